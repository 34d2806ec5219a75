/**
 * What merging costs a span: four blocks of the shop's spans, as they would be cut one after the other, into one, three times: with
 * a thread that has merged nothing yet, and with one that has. Prints spans a second of CPU, bytes a span before and after, and how
 * much memory it took beyond that of the idle process.
 * `node src/compact/bench.ts` is tiny; `node src/compact/bench.ts 480000` is for people.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freshen, makeBatches, rng } from '../../bench/workload.mjs';
import { BlockCatalog, type LocalBlockRef } from '../block/catalog.ts';
import { Appender } from '../cut/append.ts';
import { LiveColumns } from '../cut/columns.ts';
import { cutBlock } from '../cut/cut-block.ts';
import { mergeBlocks } from './merge-blocks.ts';

const BLOCKS = 4;
const TIMES = 3;
const PAGE_ROWS = 4096;

const spansWanted = Number(process.argv[2] ?? 4000);
const given = process.argv[3];
if (given !== undefined) {
  const idle = process.memoryUsage.rss();
  for (let time = 0; time < TIMES; time++) await merge(path.join(given, String(time)), idle);
} else {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'compact-bench-'));
  try {
    const first = path.join(directory, '0');
    for (let block = 0; block < BLOCKS; block++) await makeBlock(first, block);
    // What is merged is marked, and not merged again.
    for (let time = 1; time < TIMES; time++) fs.cpSync(first, path.join(directory, String(time)), { recursive: true });
    const output = execFileSync(process.execPath, [
      ...process.execArgv,
      import.meta.filename,
      String(spansWanted),
      directory,
    ]);
    process.stdout.write(output);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function makeBlock(blocksDirectory: string, number: number): Promise<void> {
  const columns = new LiveColumns(1024 * 1024 * 1024, 12345);
  const appender = new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 5_000_000 });
  const pool = makeBatches({ seed: 1, batches: 16, tracesPerBatch: 20 });
  const random = rng(5 + number);
  const begin = 1_700_000_000_000_000_000n + BigInt(number) * 60_000_000_000n;
  for (let count = 0, i = 0; count < spansWanted / BLOCKS; i++) {
    const batch = pool[i % pool.length];
    freshen(batch, random, begin + BigInt(i) * 1_000_000n);
    count += appender.append(new Uint8Array(batch.body)).spans;
  }
  await cutBlock(columns.snapshot(1, 'bench', columns.mark()), {
    blocksDirectory,
    pageRows: PAGE_ROWS,
    createdBy: 'bench',
    fsync: 'never',
    log: { instance: 'bench', sequence: 1 },
    cutMs: 1_700_000_000_000,
    pause: async () => {},
  });
}

async function merge(blocksDirectory: string, idle: number): Promise<void> {
  const catalog = new BlockCatalog(blocksDirectory);
  catalog.refresh();
  const refs = catalog.blocks('bench') as LocalBlockRef[];
  const bytesOf = (each: LocalBlockRef[]): number =>
    each.reduce((sum, { meta }) => sum + meta.size + meta.vivace.tracesBytes, 0);
  let peak = idle;
  const cpu = process.cpuUsage();
  const { block, spans } = await mergeBlocks(refs, {
    blocksDirectory,
    pageRows: PAGE_ROWS,
    createdBy: 'bench',
    fsync: 'never',
    nowMs: 0,
    bounds: { columnsMax: 512, rowsMax: Number(process.argv[4] ?? 196_608), bytesMax: 64 << 20 },
    async pause() {
      peak = Math.max(peak, process.memoryUsage.rss());
    },
    checkLock: async () => {},
  });
  const { user, system } = process.cpuUsage(cpu);
  peak = Math.max(peak, process.memoryUsage.rss());
  process.stdout.write(
    `merge of ${refs.length} blocks: ${spans} spans, ${Math.round((spans / (user + system)) * 1e6)} spans a second of CPU, ` +
      `${(bytesOf(refs) / spans).toFixed(1)} to ${(bytesOf([block]) / spans).toFixed(1)} bytes a span, ` +
      `${Math.round((peak - idle) / 2 ** 20)} MiB beyond the idle process\n`,
  );
}
