/**
 * Several blocks of a tenant into one, wherever they are and wherever it goes: what is opened is read by ranges, what is made
 * goes to a sink. Who merges in a folder or in a bucket opens the blocks, makes the sink, and writes `mergedMeta` when both
 * files are there.
 */
import { createHash } from 'node:crypto';
import type { BlockRef } from '../block/catalog.ts';
import { type BlockMeta, logsOf, type MetaOptions, rfc3339Seconds } from '../block/meta.ts';
import type { OpenBlock } from '../block/open.ts';
import type { BlockFacts, BlockSink } from '../block/sink.ts';
import { renderPlaces, ROW_GROUPS_KEY, type WrittenPlace } from '../block/row-group-places.ts';
import { COLUMNS_KEY, ColumnNames, FIXED_COLUMNS, PAGE_ROWS_KEY, VERSION, VERSION_KEY } from '../block/schema.ts';
import { writeTraces } from '../block/traces-file.ts';
import { secondsOf } from '../block/trace-lines.ts';
import { ParquetWriter } from '../parquet/write.ts';
import { Arena } from '../runtime/arena.ts';
import { collectArrays } from '../runtime/array-collection.ts';
import { LevelMerger } from './merged-levels.ts';
import { type MergedColumn, mergedSchema } from './merged-schema.ts';
import { type Drops, type RowGroupBounds, RowGroupPlanner } from './row-group-plan.ts';
import { keptColumns } from './kept-columns.ts';
import { writeRowGroup } from './write-row-group.ts';

export interface MergeBounds extends RowGroupBounds {
  /** Attribute columns of a space. */
  columnsMax: number;
}

export interface MergeOptions {
  pageRows: number;
  createdBy: string;
  bounds: MergeBounds;
  /** Traces that are left out; at least one must stay (`keepsAny`). */
  drops?: Drops;
  /** Gives the thread to others; called every few milliseconds of work. */
  pause: () => Promise<void>;
}

export interface Merged extends BlockFacts {
  /** Traces that were in several blocks, and spans that were there more than once. */
  combined: number;
  duplicates: number;
  /** Traces that were left out. */
  dropped: number;
}

/** How much is kept of the blocks while they are read: `createBlockCaches(MERGE_CACHE_BYTES)`. */
export const MERGE_CACHE_BYTES = 8 * 1024 * 1024;

/**
 * Merges the blocks, which come in the order of `byCut`: of a span that several of them have, the first one's stays. The caller
 * closes them. Rejects with TooLarge when they must stay as they are.
 */
export async function mergeInto(
  sink: BlockSink,
  blocks: readonly OpenBlock[],
  { bounds, drops, ...options }: MergeOptions,
): Promise<Merged> {
  const all = mergedSchema(blocks, bounds.columnsMax);
  const columns = drops === undefined ? all : await keptColumns(all, blocks, bounds, drops);
  const ready: Uint8Array[] = [];
  const flush = async (): Promise<void> => {
    for (const bytes of ready.splice(0)) await sink.data(bytes);
    await options.pause();
  };
  const writer = newWriter(columns, options, (bytes) => ready.push(bytes));
  const planner = new RowGroupPlanner(blocks, bounds, drops);
  const arrays = new Arena(ARENA_BYTES);
  const levels = new LevelMerger();
  const collect = collectArrays(GARBAGE_BYTES);
  const places: WrittenPlace[] = [];
  const sum = { tracesBytes: 0, traces: 0, spans: 0, combined: 0, duplicates: 0, dropped: 0 };
  try {
    for (let plan = await planner.next(); plan !== undefined; plan = await planner.next()) {
      sum.dropped += plan.dropped;
      if (plan.rows === 0) continue;
      const { lines, rows, combined, duplicates } = await writeRowGroup(plan, {
        writer,
        columns,
        arrays,
        levels,
        written: flush,
      });
      arrays.reset();
      const traces = writeTraces(lines);
      places.push({ traces: { offset: sum.tracesBytes, length: traces.length }, ...secondsOf(lines) });
      sum.tracesBytes += traces.length;
      sum.traces += lines.ids.length / 16;
      sum.spans += rows;
      sum.combined += combined;
      sum.duplicates += duplicates;
      await sink.traces(traces);
      collect();
      await options.pause();
    }
  } finally {
    arrays.release();
  }
  if (places.length > 1) writer.addKeyValue(ROW_GROUPS_KEY, renderPlaces(places));
  const { bytes, ...footer } = writer.finish();
  await flush();
  return {
    ...{ dataBytes: bytes, rowGroups: places.length, ...footer, ...sum },
    startSeconds: Math.min(...places.map(({ startSeconds }) => startSeconds)),
    endSeconds: Math.max(...places.map(({ endSeconds }) => endSeconds)),
  };
}

/** What row groups leave behind. */
const GARBAGE_BYTES = 16 * 1024 * 1024;

/** Memory that one row group after the other uses. */
const ARENA_BYTES = 32 * 1024 * 1024;

function newWriter(
  columns: readonly MergedColumn[],
  { pageRows, createdBy }: Pick<MergeOptions, 'pageRows' | 'createdBy'>,
  write: (bytes: Uint8Array) => void,
): ParquetWriter {
  const names = new ColumnNames();
  const uses = columns.map(({ use }) => use);
  return new ParquetWriter({
    schema: [...FIXED_COLUMNS, ...uses.map((use) => names.schema(use))],
    pageRows,
    createdBy,
    keyValue: [
      [VERSION_KEY, VERSION],
      [PAGE_ROWS_KEY, String(pageRows)],
      [COLUMNS_KEY, JSON.stringify(uses)],
    ],
    write,
  });
}

/** Whether a trace of the blocks stays. */
export async function keepsAny(blocks: readonly OpenBlock[], drops: Drops): Promise<boolean> {
  for (const group of blocks.flatMap(({ rowGroups }) => rowGroups)) {
    const { ids } = await group.lines();
    for (let at = 0; at < ids.length; at += 16) if (!drops(ids, at)) return true;
  }
  return false;
}

/** The blocks in the order in which they were cut. */
export function byCut<Ref extends BlockRef>(refs: readonly Ref[]): Ref[] {
  return [...refs].sort((a, b) => cutMsOf(a.meta) - cutMsOf(b.meta));
}

/**
 * What the meta of the block into which these are merged says; the same blocks make the same id, whoever merges them. One block
 * alone is written again, which is no merge.
 */
export function mergedMeta(refs: readonly BlockRef[], pageRows: number): MetaOptions {
  const metas = refs.map(({ meta }) => meta);
  return {
    id: mergedId(refs.map(({ id }) => id)),
    tenant: refs[0].tenant,
    compactionLevel: (refs.length > 1 ? 1 : 0) + Math.max(...metas.map(({ compactionLevel }) => compactionLevel)),
    pageRows,
    more: {
      logs: mergedLogs(metas),
      cut: rfc3339Seconds(Math.max(...metas.map(cutMsOf)) / 1000),
      replaces: refs.map(({ id }) => id),
    },
  };
}

function cutMsOf({ vivace, endTime }: BlockMeta): number {
  return Date.parse(vivace.cut ?? endTime);
}

function mergedId(ids: string[]): string {
  const hex = createHash('sha256')
    .update([...ids].sort().join())
    .digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** How far each log is in the blocks. */
function mergedLogs(metas: BlockMeta[]): { instance: string; sequence: number }[] {
  const sequences = new Map<string, number>();
  for (const meta of metas)
    for (const { instance, sequence } of logsOf(meta))
      sequences.set(instance, Math.max(sequence, sequences.get(instance) ?? 0));
  return [...sequences].map(([instance, sequence]) => ({ instance, sequence }));
}
