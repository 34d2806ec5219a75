/**
 * What a question costs a row of a block: a comparison of doubles, of strings, with columns in the cache and read from the
 * file; pipelines of spansets; metrics, in intervals that the block is divided by; and a trace by its id. Prints nanoseconds a
 * row (or a trace) and a hash of the answer.
 * `node src/query/bench.ts` is tiny; `node src/query/bench.ts 500000` is for people.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { freshen, makeBatches, rng } from '../../bench/workload.mjs';
import type { BlockRef } from '../block/catalog.ts';
import { onlyRowGroup } from '../block/only-row-group.fixture.ts';
import { createBlockCaches, OpenBlock, openBlock } from '../block/open.ts';
import { Appender } from '../cut/append.ts';
import { LiveColumns } from '../cut/columns.ts';
import { joinedSegment } from '../cut/joined-segment.ts';
import { cutBlock } from '../cut/cut-block.ts';
import type { FieldExpr } from '../traceql/ast.ts';
import { parseQuery } from '../traceql/parse.ts';
import { rowsOf } from './bits.ts';
import { filterRows } from './filter.ts';
import { beginMetrics } from './metrics.ts';
import { runPipeline } from './pipeline.ts';
import { RepeatedSpanCache } from './repeated-spans.ts';
import { SplitTraceCache } from './split-traces.ts';
import { collectTrace } from './trace.ts';

const spansWanted = Number(process.argv[2] ?? 20_000);
const rounds = Math.max(5, Math.min(50, Math.ceil(500_000 / spansWanted)));
const CACHE_BYTES = 256 * 1024 * 1024;

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'query-bench-'));
try {
  const { block, ids } = await makeBlock();
  await benchFilter('double comparison', block, '{ span.app.score > 99.9 }');
  await benchFilter('string equality', block, '{ resource.service.name = "payment" }');
  await benchFilter('string equality of a span', block, '{ span.http.route = "/checkout" }');
  await benchFilter('regular expression', block, '{ span.db.query.text =~ ".*eu-west.*LIMIT 7" }');
  await benchPipeline('structural', block, '{ kind = server } >> { span.db.system = "postgresql" }');
  await benchPipeline('structural, siblings', block, '{ kind = client } !~ { kind = server }');
  await benchPipeline('count', block, '{ kind = server } | count() > 3');
  await benchPipeline('average of durations', block, '{ kind = server } | avg(duration) > 100ms');
  await benchPipeline('groups', block, '{ } | by(resource.service.name) | count() > 5');
  await benchMetrics('spans in time', block, '{ } | rate()', 1n);
  await benchMetrics('spans by a label in time', block, '{ } | rate() by (resource.service.name)', 1n);
  await benchMetrics('spans by a label', block, '{ } | rate() by (resource.service.name)');
  await benchMetrics('quantiles', block, '{ kind = server } | quantile_over_time(duration, .9) by (span.http.route)');
  await benchMetrics('two labels', block, '{ status = error } | rate() by (resource.service.name, span.http.route)');
  await benchTrace(block, ids);
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}

/** A block of the shop's spans, the same in every run but for its name. */
async function makeBlock(): Promise<{ block: BlockRef; ids: Uint8Array[] }> {
  const columns = new LiveColumns(1024 * 1024 * 1024, 12345);
  const appender = new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 5_000_000 });
  const pool = makeBatches({ seed: 1, batches: 16, tracesPerBatch: 20 });
  const random = rng(5);
  const ids: Uint8Array[] = [];
  for (let count = 0, i = 0; count < spansWanted; i++) {
    const batch = pool[i % pool.length];
    const fresh = freshen(batch, random, 1_700_000_000_000_000_000n + BigInt(i) * 1_000_000n);
    ids.push(Uint8Array.from(Buffer.from(fresh[i % fresh.length], 'hex')));
    count += appender.append(new Uint8Array(batch.body)).spans;
  }
  const block = await cutBlock(columns.snapshot(1, 'bench', columns.mark()), {
    blocksDirectory: directory,
    pageRows: 8192,
    createdBy: 'bench',
    fsync: 'never',
    log: { instance: 'bench', sequence: 1 },
    cutMs: Date.now(),
    pause: async () => {},
  });
  return { block, ids };
}

async function benchFilter(name: string, block: BlockRef, text: string): Promise<void> {
  const expression = filterOf(text);
  let rows = new Uint32Array(0);
  const cached = createBlockCaches(CACHE_BYTES);
  const warm = await measure(async () => {
    const opened = await openBlock(block, cached);
    const [segment] = opened.rowGroups;
    rows = Uint32Array.from(rowsOf(await filterRows(segment, expression)));
    opened.release();
    return segment.rows;
  });
  print(`${name}, a row`, warm, hash(bytesOf(rows)));
  const cold = await measure(async () => {
    const segment = onlyRowGroup(await OpenBlock.open(block, createBlockCaches(CACHE_BYTES)));
    rows = Uint32Array.from(rowsOf(await filterRows(segment, expression)));
    segment.close();
    return segment.rows;
  });
  print(`${name}, from the file, a row`, cold, hash(bytesOf(rows)));
  const opened = await openBlock(block, cached);
  opened.release();
  opened.close();
}

/** Over a range of which the block is a part, in intervals that it is divided by. */
async function benchPipeline(name: string, block: BlockRef, text: string): Promise<void> {
  const segment = onlyRowGroup(await OpenBlock.open(block, createBlockCaches(CACHE_BYTES)));
  const { pipeline } = parseQuery(text);
  let found: Uint32Array[] = [];
  const each = await measure(async () => {
    const { rows, sets, traceOfSet } = await runPipeline({ segment }, pipeline, { stop: () => {} });
    found = [rows, sets, traceOfSet];
    return segment.rows;
  });
  print(`${name}, a row`, each, hash(...found.map(bytesOf)));
  segment.close();
}

async function benchMetrics(name: string, ref: BlockRef, text: string, stepSeconds = 15n): Promise<void> {
  const segment = onlyRowGroup(await OpenBlock.open(ref, createBlockCaches(CACHE_BYTES)));
  const startNs = 1_700_000_000_000_000_000n;
  const range = { startNs, endNs: startNs + 3_600_000_000_000n, stepNs: stepSeconds * 1_000_000_000n, instant: false };
  const query = parseQuery(text);
  const joining = { segmentOf: joinedSegment, splits: new SplitTraceCache(), repeats: new RepeatedSpanCache() };
  let sums = new Float64Array(0);
  const each = await measure(async () => {
    const running = beginMetrics(query, { ...range, exemplars: 0, seriesMax: 0 });
    await running.add([segment], joining, { stop() {} });
    sums = Float64Array.from(running.finish().series!, ({ values }) => values.reduce((sum, value) => sum + value));
    return segment.rows;
  });
  print(`metrics, ${name}, a row`, each, hash(new Uint8Array(sums.buffer)));
  segment.close();
}

async function benchTrace(block: BlockRef, ids: Uint8Array[]): Promise<void> {
  const segment = onlyRowGroup(await OpenBlock.open(block, createBlockCaches(CACHE_BYTES)));
  let parts: Uint8Array[] = [];
  const each = await measure(async () => {
    parts = [];
    for (const id of ids) parts.push((await collectTrace([segment], id, 0, () => {}))!.bytes);
    return ids.length;
  });
  print('trace by id, a trace', each, hash(...parts));
  segment.close();
}

function filterOf(text: string): FieldExpr {
  const stage = parseQuery(text).pipeline[0];
  if (stage.type !== 'spanset' || stage.expression.type !== 'filter') throw new Error(`cannot time ${text}: no filter`);
  return stage.expression.expression;
}

/** Nanoseconds an item in the best of some rounds; `run` returns how many items it had. */
async function measure(run: () => Promise<number>): Promise<number> {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    const items = await run();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / items);
  }
  return best;
}

function print(name: string, nanoseconds: number, hashed: string): void {
  console.log(`${name.padEnd(44)} ${nanoseconds.toFixed(2).padStart(10)} ns  ${hashed}`);
}

function hash(...parts: Uint8Array[]): string {
  return parts
    .reduce((crc, part) => crc32(part, crc), 0)
    .toString(16)
    .padStart(8, '0');
}

function bytesOf(array: Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
