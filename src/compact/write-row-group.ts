/**
 * A planned row group, read from its slices and written column after column: only one of them is in memory at a time, beside what
 * orders the rows (8 bytes a row) and what the lines of traces are made of (30).
 */
import { ChunkBuilder } from '../block/chunks.ts';
import {
  COLUMN_DURATION,
  COLUMN_KIND,
  COLUMN_NAME,
  COLUMN_PARENT,
  COLUMN_PARENT_ID,
  COLUMN_RESOURCE,
  COLUMN_SCOPE,
  COLUMN_SPAN_ID,
  COLUMN_START,
  COLUMN_STATUS,
  elementType,
} from '../block/schema.ts';
import type { StringTable } from '../block/string-table.ts';
import type { ColumnType } from '../block/table.ts';
import type { TraceLines } from '../block/traces-file.ts';
import { traceLines } from '../block/trace-lines.ts';
import { type ResourceType, resourceValues } from '../block/write.ts';
import type { ChunkData } from '../parquet/column.ts';
import type { ParquetWriter } from '../parquet/write.ts';
import type { Arrays } from '../runtime/arena.ts';
import { ColumnMerger } from './merge-column.ts';
import { mergeOrder, type SourceSpans } from './merge-order.ts';
import type { MergedColumn } from './merged-schema.ts';
import type { LevelMerger } from './merged-levels.ts';
import { Overflow } from './overflow.ts';
import type { PlannedRowGroup } from './row-group-plan.ts';
import type { SourceColumn, StoredSlice } from './source-levels.ts';
import { readInts, readWords } from './source-values.ts';

export interface RowGroupMergeOptions {
  writer: ParquetWriter;
  columns: readonly MergedColumn[];
  arrays: Arrays;
  /** Used from row group to row group. */
  levels: LevelMerger;
  /** Called after every column: what was written goes on its way, and the thread may do something else. */
  written: () => Promise<void>;
}

export interface MergedRowGroup {
  lines: TraceLines;
  rows: number;
  combined: number;
  duplicates: number;
}

/** The plan must have traces. */
export async function writeRowGroup(plan: PlannedRowGroup, options: RowGroupMergeOptions): Promise<MergedRowGroup> {
  const { writer, arrays, written } = options;
  const { slices } = plan;
  const builder = new ChunkBuilder(arrays);
  const fixed = (index: number): Promise<StoredSlice[]> =>
    Promise.all(slices.map(({ group, from, to }) => group.stored(index, { from, to })));
  let next = 0;
  const write = async (chunk: () => ChunkData): Promise<void> => {
    arrays.scoped(() => writer.writeChunk(next++, chunk()));
    await written();
  };

  // What stays until the lines of traces are made.
  const rowsOfOrder = arrays.uint32(plan.rows);
  const parents = arrays.int32(plan.rows);
  const { traceStarts, rows, combined, duplicates } = await orderOf(plan, rowsOfOrder, parents, fixed, arrays);
  const count = rows.length;
  const merger = new ColumnMerger({ slices, rows: plan.rows, order: rows }, options.levels, arrays, builder);
  const starts = arrays.int32(2 * count);
  const ends = arrays.int32(2 * count);
  const statuses = arrays.int32(count);
  const resourceOf = arrays.uint32(count);
  const nameOf = arrays.uint32(count);

  writer.startRowGroup(count);
  await write(() => traceIdChunk(plan.traceIds, traceStarts, count, arrays));
  let stored = await fixed(COLUMN_SPAN_ID);
  await write(() => {
    const ids = merger.words(stored, arrays.int32(2 * count));
    const bytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
    const values = { type: 'fixed' as const, bytes, width: 8, count };
    return { rows: count, values, encoding: 'plain', codec: 'none', statistics: false };
  });
  await write(() => builder.int32(count, parents.subarray(0, count)));
  stored = await fixed(COLUMN_PARENT_ID);
  await write(() => merger.ids(stored));
  stored = await fixed(COLUMN_NAME);
  let names: StringTable | undefined;
  await write(() => {
    const merged = merger.messages(stored);
    nameOf.set(merged.codes.subarray(0, count));
    names = merged.strings;
    return merged.chunk;
  });
  stored = await fixed(COLUMN_KIND);
  await write(() => builder.int32(count, merger.ints(stored, arrays.int32(count))));
  stored = await fixed(COLUMN_START);
  await write(() => timeChunk(merger.words(stored, starts), count));
  stored = await fixed(COLUMN_DURATION);
  await write(() => timeChunk(merger.words(stored, ends), count));
  addStarts(ends, starts);
  stored = await fixed(COLUMN_STATUS);
  await write(() => builder.int32(count, merger.ints(stored, statuses)));
  stored = await fixed(COLUMN_RESOURCE);
  let resources: StringTable | undefined;
  await write(() => {
    const merged = merger.messages(stored);
    resourceOf.set(merged.codes.subarray(0, count));
    resources = merged.strings;
    return merged.chunk;
  });
  stored = await fixed(COLUMN_SCOPE);
  await write(() => merger.messages(stored).chunk);
  const resourceTexts = textsOf(resources!);
  const byKey = resourceValues(resourceTexts, undefined, Number.POSITIVE_INFINITY);
  for (const { use, indexes, levelsOf, overflow } of options.columns) {
    if (use.s === 'resource') {
      const values = byKey.get(`${use.t} ${use.k}`) ?? new Map();
      await write(() => merger.ofResources(use.t as ResourceType, resourceOf, resourceTexts.length, values));
      continue;
    }
    const own = await storedOf(plan, indexes);
    const levels = levelsOf && (await storedOf(plan, levelsOf));
    if (overflow !== undefined) {
      const rest = new Overflow(use.s);
      for (const column of overflow) {
        const values = await storedOf(plan, column.indexes);
        const lists = column.levelsOf && (await storedOf(plan, column.levelsOf));
        merger.overflow(column.use, values, lists, rest);
        await written();
      }
      await write(() => merger.more(own, levels, rest));
      continue;
    }
    const element = elementType(use.t);
    // Where a block has no such column, its rows have no such array.
    if (element !== undefined) await write(() => merger.chunk(element, own, []));
    else await write(() => merger.chunk(use.t as ColumnType, own, levels));
  }
  writer.endRowGroup();
  await written();
  const lines = traceLines({
    ...{ traceIds: plan.traceIds, traceStarts, starts, ends, parents, resourceOf, statuses },
    resources: resourceTexts,
    names: { codes: nameOf, strings: names! },
  });
  return { lines, rows: count, combined, duplicates };
}

/** The column of each slice whose block has it. */
export function storedOf(
  { slices }: PlannedRowGroup,
  indexes: readonly (number | undefined)[],
): Promise<StoredSlice[]> {
  return Promise.all(
    slices.map(({ group, block, from, to }) => {
      const index = indexes[block];
      return index === undefined ? undefined : group.stored(index, { from, to });
    }),
  );
}

async function orderOf(
  plan: PlannedRowGroup,
  rows: Uint32Array,
  parents: Int32Array,
  fixed: (index: number) => Promise<StoredSlice[]>,
  arrays: Arrays,
) {
  const distances = await fixed(COLUMN_PARENT);
  const { firstPiece } = plan;
  let isCombined = false;
  for (let trace = 0; trace + 1 < firstPiece.length && !isCombined; trace++)
    isCombined = firstPiece[trace + 1] > firstPiece[trace] + 1;
  const stored = isCombined
    ? {
        spanIds: await fixed(COLUMN_SPAN_ID),
        parentIds: await fixed(COLUMN_PARENT_ID),
        starts: await fixed(COLUMN_START),
        kinds: await fixed(COLUMN_KIND),
      }
    : undefined;
  return arrays.scoped(() => {
    const { slices, rows: sourceRows } = plan;
    const columnOf = (stored: StoredSlice[]): SourceColumn => ({ slices, stored, rows: sourceRows, isList: false });
    const ints = (stored: StoredSlice[]): Int32Array => {
      const into = arrays.int32(sourceRows);
      readInts(columnOf(stored), arrays, into);
      return into;
    };
    const words = (stored: StoredSlice[]): Int32Array => {
      const into = arrays.int32(2 * sourceRows);
      readWords(columnOf(stored), arrays, into);
      return into;
    };
    const parentIds = (stored: StoredSlice[]): Int32Array => {
      const ids = arrays.int32(2 * sourceRows);
      const { definition } = readWords(columnOf(stored), arrays, ids);
      return definition === undefined ? ids : spreadWords(ids, definition, arrays.int32(2 * sourceRows));
    };
    const spans: SourceSpans | undefined = stored && {
      spanIds: words(stored.spanIds),
      parentIds: parentIds(stored.parentIds),
      starts: words(stored.starts),
      kinds: ints(stored.kinds),
    };
    return mergeOrder(plan, ints(distances), parents, rows, spans);
  });
}

/** Values at their rows; zeros where there is none. */
function spreadWords(words: Int32Array, definition: Uint8Array, into: Int32Array): Int32Array {
  for (let row = 0, value = 0; row < definition.length; row++) {
    if (definition[row] === 0) continue;
    into[2 * row] = words[value++];
    into[2 * row + 1] = words[value++];
  }
  return into;
}

function timeChunk(words: Int32Array, count: number): ChunkData {
  return { rows: count, values: { type: 'int64', words, count }, encoding: 'delta', codec: 'none' };
}

/** Makes ends of durations: 64 bits that wrap, as the one was made of the other. */
function addStarts(durations: Int32Array, starts: Int32Array): void {
  for (let at = 0; at < durations.length; at += 2) {
    const low = (starts[at] >>> 0) + (durations[at] >>> 0);
    durations[at] = low;
    durations[at + 1] += starts[at + 1] + (low > 0xffffffff ? 1 : 0);
  }
}

function traceIdChunk(ids: Uint8Array, starts: Uint32Array, rows: number, arrays: Arrays): ChunkData {
  const codes = arrays.uint32(rows);
  const count = ids.length / 16;
  for (let trace = 0; trace < count; trace++) codes.fill(trace, starts[trace], starts[trace + 1]);
  return { rows, values: { type: 'fixed', bytes: ids, width: 16, count }, codes, codec: 'none', bloom: 12 };
}

function textsOf({ count, bytes, starts, ends }: StringTable): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => bytes.subarray(starts[i], ends[i]));
}
