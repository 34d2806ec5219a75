/**
 * A trace by id over many blocks in a real S3 server: `node bench/bucket-trace.ts [blocks] [spans a block] [traces asked for]`
 *
 * A process that only asks polls the bucket (how many requests until it is ready, until its filters are there). Then traces are asked
 * for, each of another block: once cold (nothing of the block was read but its filter), and ten times warm. Requests are
 * those that the process counts itself, `tempodb_backend_request_duration_seconds_count`.
 */
import fs from 'node:fs';
import path from 'node:path';
import { cut, TestColumns } from '../tests/contract/segments.fixture.ts';
import { type S3Server, s3Program, startS3Server } from '../tests/contract/s3-server.fixture.ts';
import { type Server, startServer, temporaryFolder, until } from '../tests/process/server.fixture.ts';
import { ask } from '../tests/process/spans.fixture.ts';
import { freshen, makeBatches, rng } from './workload.mjs';

const [blocks, spansPerBlock, asked] = [500, 2000, 100].map((value, i) => Number(process.argv[2 + i] ?? value));
const WARM = 10;
const TENANT = 'single-tenant';
const works: (() => void | Promise<void>)[] = [];
const cleanup = { after: (work: () => void | Promise<void>) => void works.push(work) };

try {
  const program = await s3Program();
  if ('missing' in program) throw new Error(program.missing);
  const s3 = await startS3Server(cleanup, program.file, ['traces']);
  const { traces, bytes } = await fill(path.join(s3.root, 'buckets', 'traces', TENANT));
  // Whoever takes spans writes the index.
  const builder = await open(s3, 'all');
  await until(
    'index and filters are there',
    () => fs.existsSync(path.join(s3.root, 'buckets', 'traces', TENANT, 'trace-filters')),
    300_000,
    builder.stderr,
  );
  await settled(builder);
  await builder.stop();
  const began = performance.now();
  const server = await open(s3, 'querier');
  const readyMs = performance.now() - began;
  const requestsReady = await requests(server);
  // At once, while filters are still being read.
  const first = await timed(server, traces[0]);
  const requestsBackground = await settled(server);
  const cold: number[] = [];
  const warm: number[] = [];
  const coldRequests: number[] = [];
  for (const trace of traces.slice(1, 1 + asked)) {
    const before = await requests(server);
    cold.push(await timed(server, trace));
    coldRequests.push((await requests(server)) - before);
  }
  const beforeWarm = await requests(server);
  for (let run = 0; run < WARM; run++)
    for (const trace of traces.slice(1, 1 + asked)) warm.push(await timed(server, trace));
  console.log(
    JSON.stringify({
      blocks,
      mb: Math.round(bytes / 1e6),
      ready_ms: Math.round(readyMs),
      ready_requests: requestsReady,
      background_requests: requestsBackground - requestsReady,
      first_ms: round(first),
      cold_ms: { p50: round(quantile(cold, 0.5)), p99: round(quantile(cold, 0.99)) },
      cold_requests: { p50: quantile(coldRequests, 0.5), max: Math.max(...coldRequests) },
      warm_ms: { p50: round(quantile(warm, 0.5)), p99: round(quantile(warm, 0.99)) },
      warm_requests: ((await requests(server)) - beforeWarm) / warm.length,
    }),
  );
} finally {
  for (const work of works.reverse()) await work();
}

/** Blocks as files of the S3 server; one trace of each. */
async function fill(folder: string): Promise<{ traces: string[]; bytes: number }> {
  const scratch = temporaryFolder(cleanup, 'blocks');
  const random = rng(11);
  const [batch] = makeBatches({ seed: 3, batches: 1, tracesPerBatch: 40 });
  const traces: string[] = [];
  let bytes = 0;
  fs.mkdirSync(folder, { recursive: true });
  for (let block = 0; block < blocks; block++) {
    const columns = new TestColumns(undefined, 64 << 20);
    let ids: string[] = [];
    while (columns.columns.rows.count < spansPerBlock) {
      ids = freshen(batch, random, BigInt(Date.now() - 60_000 - 1000 * block) * 1_000_000n);
      columns.append(batch.body);
    }
    const ref = await cut(columns, scratch, 4096);
    bytes += ref.meta.size + ref.meta.vivace.tracesBytes;
    traces.push(ids[0]);
    fs.cpSync(ref.directory, path.join(folder, ref.id), { recursive: true });
    fs.rmSync(ref.directory, { recursive: true });
  }
  return { traces, bytes };
}

function open({ endpoint, accessKey, secretKey }: S3Server, target: string): Promise<Server> {
  return startServer(cleanup, {
    directory: temporaryFolder(cleanup, target),
    target,
    flags: [
      '--storage.trace.backend=s3',
      '--storage.trace.s3.bucket=traces',
      `--storage.trace.s3.endpoint=${endpoint}`,
      `--storage.trace.s3.access-key=${accessKey}`,
      `--storage.trace.s3.secret-key=${secretKey}`,
      '--storage.trace.s3.insecure=true',
      '--compactor.disabled=true',
      '--querier.frontend-worker.frontend-address=127.0.0.1:1',
    ],
  });
}

/** Resolves when the process asks for nothing by itself any more; how many requests it has made. */
async function settled(server: Server): Promise<number> {
  for (let before = -1; ; ) {
    const now = await requests(server);
    if (now === before) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 2500));
  }
}

/** They are told once a second. */
async function requests(server: Server): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const text = (await ask(`${server.url}/metrics`)).body.toString();
  const counts = text.matchAll(/^tempodb_backend_request_duration_seconds_count\{.*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function timed(server: Server, trace: string): Promise<number> {
  const began = performance.now();
  const { status } = await ask(`${server.url}/api/traces/${trace}`);
  if (status !== 200) throw new Error(`trace ${trace}: ${status}`);
  return performance.now() - began;
}

function quantile(values: number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
}

function round(ms: number): number {
  return Math.round(10 * ms) / 10;
}
