/**
 * A tenant's life on a small disk, at the speed of the machine: spans of the shop come for hours of a clock of its own, are cut
 * to blocks, merged, and deleted when they are too old. Reports, as time passes, what the disk holds, how many blocks (and row groups)
 * are listed, and what a search over all of them costs. All three have to stay what they are once the first blocks have gone.
 *
 *   node bench/retention-run.ts [--spans 3000000] [--hours 4] [--retention 1h] [--block-spans 50000] [--looks 12]
 *
 * The product's own parts in one process, one after the other: appending, cutting, choosing, merging, retention, search.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BlockCatalog, type LocalBlockRef } from '../src/block/catalog.ts';
import { createBlockCaches, openBlock } from '../src/block/open.ts';
import { chooseMerges } from '../src/compact/choose.ts';
import { retainFolder } from '../src/compact/local-retention.ts';
import { mergeBlocks } from '../src/compact/merge-blocks.ts';
import { parseGoDuration } from '../src/config/duration.ts';
import { Appender } from '../src/cut/append.ts';
import { LiveColumns } from '../src/cut/columns.ts';
import { cutBlock } from '../src/cut/cut-block.ts';
import { joinedSegment } from '../src/cut/joined-segment.ts';
import { RepeatedSpanCache } from '../src/query/repeated-spans.ts';
import { searchTraces } from '../src/query/search.ts';
import { SplitTraceCache } from '../src/query/split-traces.ts';
import { parseQuery } from '../src/traceql/parse.ts';
import { freshen, makeBatches, rng } from './workload.mjs';

const { values } = parseArgs({
  options: {
    spans: { type: 'string', default: '3000000' },
    hours: { type: 'string', default: '4' },
    retention: { type: 'string', default: '1h' },
    'block-spans': { type: 'string', default: '50000' },
    looks: { type: 'string', default: '12' },
  },
});
const SPANS = Number(values.spans);
const BLOCK_SPANS = Number(values['block-spans']);
const RETENTION_MS = parseGoDuration(values.retention);
const STEP_MS = (Number(values.hours) * 3_600_000 * BLOCK_SPANS) / SPANS;
const LOOK_EVERY = Math.max(1, Math.round(SPANS / BLOCK_SPANS / Number(values.looks)));
/** An eighth of the time that blocks are kept, so that they are not kept much longer than they have to be. */
const WINDOW_MS = RETENTION_MS / 8;
const BEGIN_MS = 1_700_000_000_000;
const QUERY = '{ span.enduser.id = "u1" && status = error }';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-retention-'));
const catalog = new BlockCatalog(folder);
const made = { spans: 0, cutSeconds: 0, mergedSpans: 0, mergeSeconds: 0 };
try {
  const pool = makeBatches({ seed: 1, batches: 16, tracesPerBatch: 60 });
  const random = rng(5);
  console.log('  hours    spans  blocks  groups  disk MiB  search ms  read MiB   rss MiB');
  for (let step = 1, nowMs = BEGIN_MS; made.spans < SPANS; step++, nowMs += STEP_MS) {
    await cut(pool, random, nowMs);
    await merge(nowMs);
    await retainFolder(catalog, {
      retentions: { base: RETENTION_MS, own: new Map() },
      // Files of merged blocks go at once: their metas say when they were marked, by the clock of this run.
      compactedMs: 0,
      diskPercentMax: 0,
      nowMs: nowMs + 1,
    });
    catalog.refresh();
    if (step % LOOK_EVERY === 0) await look(nowMs);
  }
  const rate = (spans: number, seconds: number): string => `${Math.round(spans / seconds)} spans a second of CPU`;
  console.log(`cut: ${rate(made.spans, made.cutSeconds)}`);
  console.log(
    `merged: ${rate(made.mergedSpans, made.mergeSeconds)}, each span ${(made.mergedSpans / made.spans).toFixed(1)} times`,
  );
} finally {
  fs.rmSync(folder, { recursive: true });
}

async function cut(pool: ReturnType<typeof makeBatches>, random: () => number, nowMs: number): Promise<void> {
  const cpu = process.cpuUsage();
  const columns = new LiveColumns(512 * 1024 * 1024, 12345);
  const appender = new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 5_000_000 });
  for (let count = 0, i = 0; count < BLOCK_SPANS; i++) {
    const batch = pool[i % pool.length];
    freshen(batch, random, BigInt(Math.round(nowMs - STEP_MS)) * 1_000_000n);
    const { spans } = appender.append(new Uint8Array(batch.body));
    count += spans;
    made.spans += spans;
  }
  await cutBlock(columns.snapshot(1, 'bench', columns.mark()), {
    ...{ blocksDirectory: folder, pageRows: 4096, createdBy: 'bench', fsync: 'never', cutMs: nowMs },
    log: { instance: 'bench', sequence: 1 },
    pause: async () => {},
  });
  catalog.refresh();
  made.cutSeconds += secondsSince(cpu);
}

async function merge(nowMs: number): Promise<void> {
  const options = { windowMs: WINDOW_MS, nowMs, inputsMin: 2, inputsMax: 4, levelMax: 0 };
  for (;;) {
    const merges = chooseMerges(catalog.blocks('bench'), { ...options, tracesMax: 6_000_000, bytesMax: 100 * 2 ** 30 });
    if (merges.length === 0) return;
    for (const refs of merges as LocalBlockRef[][]) {
      const cpu = process.cpuUsage();
      const { spans } = await mergeBlocks(refs, {
        ...{ blocksDirectory: folder, pageRows: 4096, createdBy: 'bench', fsync: 'never', nowMs },
        bounds: { columnsMax: 512, rowsMax: 262_144, bytesMax: 64 * 2 ** 20 },
        pause: async () => {},
        checkLock: async () => {},
      });
      made.mergeSeconds += secondsSince(cpu);
      made.mergedSpans += spans;
    }
    catalog.refresh();
  }
}

async function look(nowMs: number): Promise<void> {
  const refs = catalog.blocks('bench');
  const caches = createBlockCaches(64 * 2 ** 20);
  const blocks = await Promise.all(refs.map((ref) => openBlock(ref, caches)));
  const segments = blocks.flatMap(({ rowGroups }) => rowGroups);
  const joining = { segmentOf: joinedSegment, splits: new SplitTraceCache(), repeats: new RepeatedSpanCache() };
  const began = performance.now();
  const options = { startSeconds: 0, endSeconds: 2 ** 32, limit: 20, spansPerSpanSet: 3, stop: () => {} };
  await searchTraces(segments, parseQuery(QUERY), options, joining);
  const ms = performance.now() - began;
  const read = segments.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
  for (const block of blocks) {
    block.release();
    block.close();
  }
  const cells = [
    ((nowMs - BEGIN_MS) / 3_600_000).toFixed(2).padStart(7),
    String(made.spans).padStart(8),
    String(refs.length).padStart(7),
    String(segments.length).padStart(7),
    mib(bytesOf(folder)).padStart(9),
    ms.toFixed(0).padStart(10),
    mib(read).padStart(9),
    mib(process.memoryUsage.rss()).padStart(9),
  ];
  console.log(cells.join(' '));
}

function bytesOf(directory: string): number {
  let sum = 0;
  for (const entry of fs.readdirSync(directory, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) sum += fs.statSync(path.join(entry.parentPath, entry.name)).size;
  return sum;
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function secondsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
