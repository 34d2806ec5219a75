/**
 * Polling a bucket of many blocks on a real S3 server: `node --expose-gc bench/bucket-poll.ts [blocks] [tenants]`
 *
 * Polls of three processes: one that finds no index, lists, reads every meta and writes the indexes, and lists again; one that starts
 * later and lists; and one that only reads the indexes, twice. Memory is that of the process beyond what it took before the poll: at its peak, and
 * what is kept (after a collection).
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { BucketList } from '../src/block/bucket-list.ts';
import { BLOCK_FORMAT, type BlockMeta, rfc3339Seconds } from '../src/block/meta.ts';
import { counted } from '../src/store/counted.ts';
import { s3Bucket } from '../src/store/s3.ts';
import { type S3Server, s3Program, s3Settings, startS3Server } from '../tests/contract/s3-server.fixture.ts';

const MIB = 1024 * 1024;

if (process.argv[2] === 'poll')
  await poll(JSON.parse(process.argv[3]) as S3Server, process.argv[4] === 'builder', Number(process.argv[5]));
else await run(Number(process.argv[2] ?? 10_000), Number(process.argv[3] ?? 10));

async function run(blocks: number, tenants: number): Promise<void> {
  const works: (() => void | Promise<void>)[] = [];
  try {
    const program = await s3Program();
    if ('missing' in program) throw new Error(program.missing);
    const s3 = await startS3Server({ after: (work) => void works.push(work) }, program.file, ['traces']);
    for (let block = 0; block < blocks; block++) {
      const id = randomUUID();
      const folder = path.join(s3.root, 'buckets', 'traces', `tenant-${block % tenants}`, id);
      fs.mkdirSync(folder, { recursive: true });
      fs.writeFileSync(path.join(folder, 'meta.json'), JSON.stringify(metaOf(id, block)));
      for (const name of ['data.parquet', 'traces']) fs.writeFileSync(path.join(folder, name), '');
    }
    for (const [role, polls] of [
      ['builder', 2],
      ['builder', 1],
      ['reader', 2],
    ] as const) {
      const args = ['--expose-gc', import.meta.filename, 'poll', JSON.stringify(s3), role, String(polls)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
      await new Promise((resolve) => child.on('exit', resolve));
    }
  } finally {
    for (const work of works.reverse()) await work();
  }
}

async function poll(s3: S3Server, builder: boolean, polls: number): Promise<void> {
  let requests = 0;
  let blocks = 0;
  const bucket = counted(s3Bucket(s3Settings(s3)), () => requests++);
  // As storage.trace.blocklist_poll_… has them by default, but for the age of an index: each poll of a builder lists.
  const list = new BucketList(bucket, {
    ...{
      concurrency: 50,
      tenantConcurrency: 1,
      listConcurrency: 3,
      jitterMs: 0,
      builder,
      pollMs: builder ? 1 : 300_000,
    },
    ...{ staleIndexMs: 0, fallback: true, errorsTolerated: 1, tenantsTolerated: 1, listMsMax: 30_000 },
    ...{ now: Date.now, random: Math.random, wait: async () => {} },
    onChange: (_tenant, added, removed) => {
      blocks += added.length - removed.length;
    },
    onProblem: (_tenant, _kind, text) => console.error(text),
  });
  // The client is loaded, and its connections are open.
  await bucket.folders('');
  for (let each = 1; each <= polls; each++) {
    globalThis.gc!();
    const before = process.memoryUsage.rss();
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss());
    }, 5);
    requests = 0;
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    await list.poll();
    const { user, system } = process.cpuUsage(cpu);
    clearInterval(watch);
    globalThis.gc!();
    console.log(
      JSON.stringify({
        ...{ role: builder ? 'builder' : 'reader', poll: each, blocks, requests },
        seconds: +((performance.now() - began) / 1000).toFixed(2),
        cpu_seconds: +((user + system) / 1e6).toFixed(2),
        peak_mib: Math.round((peak - before) / MIB),
        heap_mib: Math.round(process.memoryUsage().heapUsed / MIB),
      }),
    );
  }
  bucket.close();
}

function metaOf(id: string, block: number): BlockMeta {
  const seconds = 1_760_000_000 + 30 * block;
  return {
    ...{ format: BLOCK_FORMAT, blockID: id, tenantID: '', startTime: rfc3339Seconds(seconds) },
    ...{ endTime: rfc3339Seconds(seconds + 60), totalObjects: 10_000, size: 10_000_000, compactionLevel: 0 },
    ...{ encoding: 'none', indexPageSize: 0, totalRecords: 1, dataEncoding: '', bloomShards: 0, footerSize: 20_000 },
    vivace: {
      ...{ spans: 350_000, pageRows: 4096, tracesBytes: 1_000_000, cut: new Date(1000 * seconds).toISOString() },
      log: { instance: '0123456789ab', sequence: block },
    },
  };
}
