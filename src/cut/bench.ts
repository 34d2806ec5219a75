/**
 * What a span costs between the socket and the block: appended to live columns, brought into a block's order, written as a
 * block. Prints nanoseconds a span, a hash of what was made, and the block's bytes a span.
 * `node src/cut/bench.ts` is tiny; `node src/cut/bench.ts 150000` is for people.
 */
import { crc32 } from 'node:zlib';
import { type Batch, freshen, makeBatches, rng } from '../../bench/workload.mjs';
import { writeBlock } from '../block/write.ts';
import { Appender } from './append.ts';
import { LiveColumns } from './columns.ts';
import { ROW_FIELDS, ROW_NAME } from './layout.ts';
import { LiveView } from './live-view.ts';
import { orderRows } from './order.ts';
import { tableOf } from './table.ts';

const spansWanted = Number(process.argv[2] ?? 10_000);
const rounds = Math.max(3, Math.min(12, Math.ceil(60_000 / spansWanted)));

const bodies = requests();
const columns = new LiveColumns(512 * 1024 * 1024, 12345);
const appender = new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 5_000_000 });

const spans = measure(() => {
  columns.reset();
  let count = 0;
  for (const body of bodies) count += appender.append(body).spans;
  return count;
});
print('append, a span', spans.best, hashOfRows());

const snapshot = columns.snapshot(1, 'bench', columns.mark());
let order = orderRows(new LiveView(snapshot));
const ordered = measure(() => {
  order = orderRows(new LiveView(snapshot));
  return order.rows.length;
});
print('order, a span', ordered.best, hash(bytesOf(order.rows), bytesOf(order.parents), bytesOf(order.starts)));

let file: Uint8Array[] = [];
let traces: Uint8Array = new Uint8Array(0);
const cut = measure(() => {
  file = [];
  const table = tableOf(new LiveView(snapshot), order);
  const steps = writeBlock(table, { pageRows: 8192, createdBy: 'bench', write: (bytes) => file.push(bytes) });
  let step = steps.next();
  while (!step.done) step = steps.next();
  traces = step.value.traces;
  return table.rows;
});
print('cut, a span', cut.best, hash(...file, traces));
const bytes = file.reduce((sum, part) => sum + part.length, traces.length);
console.log(`${'block, a span'.padEnd(36)} ${(bytes / cut.items).toFixed(2).padStart(10)} bytes`);

/** The shop's requests, with ids and times that are the same in every run. */
function requests(): Uint8Array[] {
  const pool = makeBatches({ seed: 1, batches: 16, tracesPerBatch: 20 });
  const random = rng(5);
  const made: Uint8Array[] = [];
  for (let count = 0, i = 0; count < spansWanted; i++) {
    const batch: Batch = pool[i % pool.length];
    freshen(batch, random, 1_700_000_000_000_000_000n + BigInt(i) * 1_000_000n);
    made.push(new Uint8Array(batch.body));
    count += batch.spans;
  }
  return made;
}

/** Nanoseconds an item in the best of some rounds; `run` returns how many items it had. */
function measure(run: () => number): { best: number; items: number } {
  let best = Infinity;
  let items = 0;
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    items = run();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / items);
  }
  return { best, items };
}

/** What every row says, whatever the layout in memory and the codes of strings are. */
function hashOfRows(): string {
  const view = new LiveView(columns.snapshot(1, 'bench', columns.mark()));
  const fields: Uint8Array[] = [];
  for (let field = 0; field < ROW_FIELDS; field++) {
    if (field !== ROW_NAME) fields.push(bytesOf(view.field(field)));
    else for (const code of view.field(field)) fields.push(view.stringBytes(code));
  }
  return hashOf([bytesOf(view.traceWords()), ...fields]);
}

function print(name: string, nanoseconds: number, hashed: string): void {
  console.log(`${name.padEnd(36)} ${nanoseconds.toFixed(2).padStart(10)} ns  ${hashed}`);
}

function hash(...parts: Uint8Array[]): string {
  return hashOf(parts);
}

function hashOf(parts: Uint8Array[]): string {
  return parts
    .reduce((crc, part) => crc32(part, crc), 0)
    .toString(16)
    .padStart(8, '0');
}

function bytesOf(array: Uint32Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
