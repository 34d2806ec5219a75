/**
 * How much a tenant above its limit delays another one. `node bench/fairness.ts [seconds a phase] [phases]`
 *
 * A server of its own with two tenants: `quiet` sends 50 small requests a second and waits for each, `loud` may send 1 MB/s and
 * sends 10, from four connections, without heeding Retry-After. Phases alternate between quiet alone and both; what counts
 * is the ratio of the 99th percentiles of quiet's acknowledgements, each the median of its phases. The last line is a verdict.
 */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { type Server, startServer, temporaryFolder } from '../tests/process/server.fixture.ts';
import { makeBatch, post, random } from '../tests/process/spans.fixture.ts';

const LIMIT_BYTES = 1_000_000;
const QUIET_PER_S = 50;
const LOUD_TIMES = 10;
const LOUD_CONNECTIONS = 4;

const [seconds, phases] = [Number(process.argv[2] ?? 10), Number(process.argv[3] ?? 3)];
const works: (() => void | Promise<void>)[] = [];
const cleanup = { after: (work: () => void | Promise<void>) => void works.push(work) };
const next = random(7);
const agent = new http.Agent({ keepAlive: true });
const taken: Record<string, number> = { quiet: 0, loud: 0 };
const refused: Record<string, number> = { quiet: 0, loud: 0 };

if (!isMainThread) {
  parentPort!.on('message', async ({ url, lastsSeconds }: { url: string; lastsSeconds: number }) => {
    const endMs = performance.now() + lastsSeconds * 1000;
    await Promise.all(Array.from({ length: LOUD_CONNECTIONS }, () => shout(url, endMs)));
    parentPort!.postMessage({ taken: taken.loud, refused: refused.loud });
  });
} else await compare();

async function compare(): Promise<void> {
  try {
    const server = await start();
    await phase(server, 2, true);
    const [alone, together]: number[][] = [[], []];
    for (let i = 0; i < phases; i++) {
      alone.push(await phase(server, seconds, false));
      together.push(await phase(server, seconds, true));
    }
    const ratio = median(together) / median(alone);
    const shown = (list: number[]) => list.map((ms) => +ms.toFixed(2));
    console.log(
      JSON.stringify({
        alone_p99_ms: shown(alone),
        together_p99_ms: shown(together),
        ratio: +ratio.toFixed(2),
        taken,
        refused,
      }),
    );
    // Tempo's users do not wait longer because somebody else sends too much: the wish is at most half as long again.
    console.log(ratio <= 1.5 ? 'HOLDS' : `FAILS: ${ratio.toFixed(2)} times, wanted at most 1.5`);
  } finally {
    agent.destroy();
    for (const work of works.reverse()) await work();
  }
}

async function start(): Promise<Server> {
  const directory = temporaryFolder(cleanup, 'fairness');
  const overrides = `overrides: {loud: {ingestion: {rate_limit_bytes: ${LIMIT_BYTES}, burst_size_bytes: ${LIMIT_BYTES}}}}\n`;
  fs.writeFileSync(path.join(directory, 'overrides.yaml'), overrides);
  const config = 'multitenancy_enabled: true\noverrides: {per_tenant_override_config: overrides.yaml}\n';
  fs.writeFileSync(path.join(directory, 'vivace.yaml'), config);
  return startServer(cleanup, { directory, flags: ['-config.file=vivace.yaml'] });
}

/** 99th percentile of quiet's acknowledgements. */
async function phase(server: Server, lastsSeconds: number, loud: boolean): Promise<number> {
  const endMs = performance.now() + lastsSeconds * 1000;
  const shouted = loud ? shoutBeside(server.otlpUrl, lastsSeconds) : undefined;
  const latencies: number[] = [];
  for (let dueMs = performance.now(); dueMs < endMs; dueMs += 1000 / QUIET_PER_S) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const { body } = makeBatch(next, { traces: 1, spansPerTrace: 10 });
    const began = performance.now();
    await send(server.otlpUrl, 'quiet', body);
    latencies.push(performance.now() - began);
  }
  await shouted;
  latencies.sort((a, b) => a - b);
  return latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * 0.99))];
}

/** In a thread of its own: what it costs to send much must not delay who measures. */
async function shoutBeside(url: string, lastsSeconds: number): Promise<void> {
  const worker = new Worker(import.meta.filename);
  worker.postMessage({ url, lastsSeconds });
  const counts = await new Promise<{ taken: number; refused: number }>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  taken.loud += counts.taken;
  refused.loud += counts.refused;
  await worker.terminate();
}

async function shout(url: string, endMs: number): Promise<void> {
  const { body } = makeBatch(next, { traces: 50, spansPerTrace: 10 });
  const everyMs = (body.length * LOUD_CONNECTIONS * 1000) / (LOUD_TIMES * LIMIT_BYTES);
  for (let dueMs = performance.now(); dueMs < endMs; dueMs += everyMs) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    await send(url, 'loud', body);
  }
}

async function send(url: string, tenant: string, body: Uint8Array): Promise<void> {
  const answer = await post(url, body, { 'X-Scope-OrgID': tenant }, agent);
  if (answer.status === 200) taken[tenant]++;
  else if (answer.status === 429) refused[tenant]++;
  else throw new Error(`${tenant}: ${answer.status} ${answer.body}`);
}

function median(list: number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1];
}
