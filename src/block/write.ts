/**
 * Writes a block: data.parquet (docs/formats/block.md), the file `traces`, and what meta.json says of them. One column is in
 * memory at a time, and the work stops between columns so that the thread can do something else.
 */
import type { ChunkData } from '../parquet/column.ts';
import { createPageScratch, type PageScratch, ParquetWriter } from '../parquet/write.ts';
import { type Arrays, OWN_ARRAYS } from '../runtime/arena.ts';
import { inRuns, RUN_ROWS } from '../runtime/runs.ts';
import { type Attribute, attributesOf, bytesField, stringField } from './any-value.ts';
import { splitArrays } from './array-lists.ts';
import { ChunkBuilder } from './chunks.ts';
import {
  ATTRIBUTE_COLUMNS_MAX,
  COLUMNS_KEY,
  ColumnNames,
  type ColumnUse,
  FIXED_COLUMNS,
  PAGE_ROWS_KEY,
  VERSION,
  VERSION_KEY,
} from './schema.ts';
import {
  type ColumnType,
  type EventTable,
  type LinkTable,
  type RareColumn,
  type SpanTable,
  type SparseValues,
  stringsOf,
} from './table.ts';
import type { BlockFacts } from './sink.ts';
import { secondsOf, traceLines, usedOf } from './trace-lines.ts';
import { writeTraces } from './traces-file.ts';

export interface WrittenBlock {
  facts: BlockFacts;
  /** The file `traces`. */
  traces: Uint8Array;
}

export interface BlockWriteOptions {
  pageRows: number;
  createdBy: string;
  /** Memory that one block after the other may use; new memory by default. */
  memory?: BlockMemory;
  /** Receives data.parquet in order and owns the bytes. */
  write: (bytes: Uint8Array) => void;
}

export interface BlockMemory {
  arrays: Arrays;
  pages: PageScratch;
}

/** A trace is looked for in 500 blocks: with 12 bits three of them would be read in vain, with 20 it is every fifth time one. */
const TRACE_ID_BITS = 20;
/** Attribute columns of resources in a file, for other programs. */
const RESOURCE_COLUMNS_MAX = 128;

const RARE_TYPES: Record<RareColumn['field'], ColumnType> = {
  status_message: 'string',
  trace_state: 'string',
  flags: 'int',
  dropped_attributes: 'int',
  dropped_events: 'int',
  dropped_links: 'int',
  more: 'any',
};

/** A column of the file. */
interface FileColumn {
  use: ColumnUse;
  chunk: () => ChunkData;
}

/** What is loaded at once: a column of the file, or those that a column of arrays is made into. */
type PlannedColumn = { prepare?: () => Promise<void> | undefined } & (FileColumn | { split: () => FileColumn[] });

/** Yields after every column, and what must be waited for before the next one; returns what meta.json needs. The table must have at least one row. */
export function* writeBlock(
  table: SpanTable,
  options: BlockWriteOptions,
): Generator<Promise<void> | undefined, WrittenBlock> {
  const { arrays, pages } = options.memory ?? { arrays: OWN_ARRAYS, pages: createPageScratch() };
  const builder = new ChunkBuilder(arrays);
  const planned = [
    ...rareColumns(table, builder),
    ...attributeColumns(table, builder),
    ...resourceColumns(table, builder),
    ...scopeColumns(table, builder),
    ...eventColumns(table, builder),
    ...linkColumns(table, builder),
  ];
  const names = new ColumnNames();
  const uses: ColumnUse[] = [];
  // Which columns there are is known when all arrays have been seen.
  const schema = [...FIXED_COLUMNS];
  const writer = new ParquetWriter({
    schema,
    pageRows: options.pageRows,
    createdBy: options.createdBy,
    keyValue: [
      [VERSION_KEY, VERSION],
      [PAGE_ROWS_KEY, String(options.pageRows)],
    ],
    write: options.write,
    scratch: pages,
  });
  writer.startRowGroup(table.rows);
  let index = 0;
  for (const chunk of fixedChunks(table, builder, arrays)) {
    arrays.scoped(() => writer.writeChunk(index++, chunk()));
    yield undefined;
  }
  for (const column of planned) {
    yield column.prepare?.();
    arrays.scoped(() => {
      for (const { use, chunk } of 'split' in column ? column.split() : [column]) {
        uses.push(use);
        schema.push(names.schema(use));
        arrays.scoped(() => writer.writeChunk(index++, chunk()));
      }
    });
  }
  writer.endRowGroup();
  writer.addKeyValue(COLUMNS_KEY, JSON.stringify(uses));
  const { bytes, ...footer } = writer.finish();
  yield undefined;
  const lines = traceLines(table);
  const traces = writeTraces(lines);
  const facts = {
    dataBytes: bytes,
    ...footer,
    tracesBytes: traces.length,
    rowGroups: 1,
    traces: lines.ids.length / 16,
    spans: table.rows,
    ...secondsOf(lines),
  };
  return { facts, traces };
}

function fixedChunks(table: SpanTable, builder: ChunkBuilder, arrays: Arrays): (() => ChunkData)[] {
  const { rows } = table;
  return [
    () => traceIdChunk(table, arrays),
    () => ({
      rows,
      values: { type: 'fixed', bytes: table.spanIds, width: 8, count: rows },
      encoding: 'plain',
      codec: 'none',
      statistics: false,
    }),
    () => builder.int32(rows, table.parents),
    () => parentIdChunk(table, arrays),
    () => builder.strings(rows, table.names.codes, rows, table.names.strings, {}, 'text'),
    () => builder.int32(rows, table.kinds),
    () => ({
      rows,
      values: { type: 'int64', words: table.starts, count: rows },
      encoding: 'delta',
      codec: 'none',
    }),
    () => ({
      rows,
      values: { type: 'int64', words: durations(table, arrays), count: rows },
      encoding: 'delta',
      codec: 'none',
    }),
    () => builder.int32(rows, table.statuses),
    () => builder.strings(rows, table.resourceOf, rows, stringsOf(table.resources), {}, 'messages'),
    () => builder.strings(rows, table.scopeOf, rows, stringsOf(table.scopes), {}, 'messages'),
  ];
}

function traceIdChunk(table: SpanTable, arrays: Arrays): ChunkData {
  const traces = table.traceIds.length / 16;
  const codes = arrays.uint32(table.rows);
  inRuns(traces, fillCodes, table.traceStarts, codes);
  return {
    rows: table.rows,
    values: { type: 'fixed', bytes: table.traceIds, width: 16, count: traces },
    codes,
    codeCount: table.rows,
    codec: 'none',
    bloom: TRACE_ID_BITS,
  };
}

function fillCodes(from: number, to: number, starts: Uint32Array, codes: Uint32Array): void {
  for (let trace = from; trace < to; trace++) codes.fill(trace, starts[trace], starts[trace + 1]);
}

function parentIdChunk(table: SpanTable, arrays: Arrays): ChunkData {
  const definition = arrays.uint8(table.rows);
  const ids = new Int32Array(table.parentIds.buffer, table.parentIds.byteOffset, 2 * table.rows);
  const words = arrays.int32(2 * table.rows + 2);
  let count = 0;
  for (let from = 0; from < table.rows; from += RUN_ROWS)
    count = parentIds(from, Math.min(table.rows, from + RUN_ROWS), table.parents, ids, definition, words, count);
  const bytes = new Uint8Array(words.buffer, words.byteOffset, 8 * count);
  return {
    rows: table.rows,
    definition,
    values: { type: 'fixed', bytes, width: 8, count },
    encoding: 'plain',
    codec: 'none',
    statistics: false,
  };
}

/** Which of the rows [from, to) have a parent id, and the ids, from `filled` on; returns where they end. */
function parentIds(
  from: number,
  to: number,
  parents: Int32Array,
  ids: Int32Array,
  definition: Uint8Array,
  words: Int32Array,
  filled: number,
): number {
  for (let row = from; row < to; row++) {
    const parent = parents[row];
    // 1 unless it is zero; what is written without one is overwritten by the next id.
    const has = (parent | -parent) >>> 31;
    definition[row] = has;
    words[2 * filled] = ids[2 * row];
    words[2 * filled + 1] = ids[2 * row + 1];
    filled += has;
  }
  return filled;
}

/** End minus start in 64 bits; it wraps as unsigned nanoseconds do, and comes back exactly. */
function durations(table: SpanTable, arrays: Arrays): Int32Array {
  const out = arrays.int32(2 * table.rows);
  inRuns(table.rows, subtract, table.starts, table.ends, out);
  return out;
}

function subtract(from: number, to: number, starts: Int32Array, ends: Int32Array, out: Int32Array): void {
  for (let row = from; row < to; row++) {
    const low = (ends[2 * row] >>> 0) - (starts[2 * row] >>> 0);
    out[2 * row] = low;
    out[2 * row + 1] = ends[2 * row + 1] - starts[2 * row + 1] - (low < 0 ? 1 : 0);
  }
}

function rareColumns(table: SpanTable, builder: ChunkBuilder): PlannedColumn[] {
  return table.rare.map((rare) => ({
    use: { s: 'rare', k: rare.field, t: RARE_TYPES[rare.field] },
    prepare: () => rare.prepare?.(),
    chunk: () => builder.sparse(table.rows, rare.load(), RARE_TYPES[rare.field]),
  }));
}

function attributeColumns(table: SpanTable, builder: ChunkBuilder): PlannedColumn[] {
  let spare = ATTRIBUTE_COLUMNS_MAX - table.columns.length;
  return table.columns.map((column) => {
    const prepare = (): Promise<void> | undefined => column.prepare?.();
    const use: ColumnUse = { s: 'span', k: column.key, t: column.type };
    if (column.type !== 'any')
      return { use, prepare, chunk: () => builder.sparse(table.rows, column.load(), column.type) };
    return {
      prepare,
      split: () => {
        const columns = anyColumns(table.rows, use, column.load(), builder, spare);
        spare -= columns.length - 1;
        return columns;
      },
    };
  });
}

/** A column of any values: lists of its arrays, at most `spare` more columns than one, and what is no list. */
function anyColumns(
  rows: number,
  use: ColumnUse,
  values: SparseValues,
  builder: ChunkBuilder,
  spare: number,
): FileColumn[] {
  const { lists, rest } = splitArrays(builder, rows, values, spare) ?? { lists: [], rest: () => values };
  const columns: FileColumn[] = lists.map(({ element, chunk }) => ({ use: { ...use, t: `${element}[]` }, chunk }));
  if (rest !== undefined) columns.push({ use, chunk: () => builder.sparse(rows, rest(), 'any') });
  return columns;
}

/** Resource attributes again, one column a key, so that other programs can filter by them. */
function resourceColumns(table: SpanTable, builder: ChunkBuilder): PlannedColumn[] {
  const used = usedOf(table.resourceOf, table.resources.length);
  const byKey = resourceValues(table.resources, used, RESOURCE_COLUMNS_MAX);
  return [...byKey].map(([key, values]) => {
    const type = key.slice(0, key.indexOf(' ')) as ResourceType;
    return {
      use: { s: 'resource', k: key.slice(key.indexOf(' ') + 1), t: type },
      chunk: () =>
        builder.sparse(
          table.rows,
          spread(builder.arrays, table.resourceOf, table.resources.length, values, type),
          type,
        ),
    };
  });
}

export type ResourceType = 'string' | 'bool' | 'int' | 'double';

/** The attributes of resources, by `type key` and then by the number of the resource. */
export function resourceValues(
  resources: readonly Uint8Array[],
  used: Uint8Array | undefined,
  keysMax: number,
): Map<string, Map<number, Attribute>> {
  const byKey = new Map<string, Map<number, Attribute>>();
  for (let index = 0; index < resources.length; index++) {
    if (used?.[index] === 0) continue;
    for (const attribute of attributesOf(bytesField(resources[index], 1), 1)) {
      const { type } = attribute.value;
      if (type !== 'string' && type !== 'bool' && type !== 'int' && type !== 'double') continue;
      const key = `${type} ${attribute.key}`;
      let values = byKey.get(key);
      if (values === undefined) {
        if (byKey.size === keysMax) continue;
        values = new Map();
        byKey.set(key, values);
      }
      if (!values.has(index)) values.set(index, attribute);
    }
  }
  return byKey;
}

function scopeColumns(table: SpanTable, builder: ChunkBuilder): PlannedColumn[] {
  return (['name', 'version'] as const).map((field, index) => {
    const values = new Map<number, Attribute>();
    for (let scope = 0; scope < table.scopes.length; scope++) {
      const value = stringField(bytesField(table.scopes[scope], 1), index + 1);
      if (value !== '') values.set(scope, { key: field, value: { type: 'string', value } });
    }
    return {
      use: { s: 'scope', k: field, t: 'string', f: true },
      chunk: () =>
        builder.sparse(
          table.rows,
          spread(builder.arrays, table.scopeOf, table.scopes.length, values, 'string'),
          'string',
        ),
    };
  });
}

/** The value of each row's resource or scope. */
export function spread(
  arrays: Arrays,
  of: Uint32Array,
  total: number,
  values: Map<number, Attribute>,
  type: 'string' | 'bool' | 'int' | 'double',
): SparseValues {
  const rows = of.length;
  const has = new Uint8Array(total);
  for (const index of values.keys()) has[index] = 1;
  const all = values.size === total;
  const present = arrays.uint8(all ? 0 : rows);
  let count = all ? rows : 0;
  if (!all)
    for (let from = 0; from < rows; from += RUN_ROWS)
      count += pickLevels(from, Math.min(rows, from + RUN_ROWS), has, of, present);
  const levels = count === rows ? undefined : present;
  if (type === 'string') {
    const texts: Uint8Array[] = [];
    const codeOf = new Uint32Array(total);
    const known = new Map<string, number>();
    for (const [index, { value }] of values) {
      const text = value.type === 'string' ? value.value : '';
      let code = known.get(text);
      if (code === undefined) {
        code = known.size;
        known.set(text, code);
        texts.push(Buffer.from(text));
      }
      codeOf[index] = code;
    }
    const codes = arrays.uint32(count);
    // Most resource attributes are the same everywhere; zeros need no pass.
    if (known.size === 1) return { present: levels, count, codes, strings: stringsOf(texts) };
    if (levels === undefined) inRuns(rows, pickCodes, codeOf, of, codes);
    else for (let row = 0, at = 0; row < rows; row++) if (present[row] === 1) codes[at++] = codeOf[of[row]];
    return { present: levels, count, codes, strings: stringsOf(texts) };
  }
  const wordsOf = new Int32Array(2 * total);
  const view = new DataView(wordsOf.buffer);
  for (const [index, { value }] of values) {
    if (value.type === 'int') view.setBigInt64(8 * index, value.value, true);
    else if (value.type === 'double') view.setFloat64(8 * index, value.value, true);
    else if (value.type === 'bool') wordsOf[2 * index] = value.value ? 1 : 0;
  }
  if (type === 'bool') {
    const bits = new Uint8Array(count);
    for (let row = 0, at = 0; row < rows; row++) if (has[of[row]] === 1) bits[at++] = wordsOf[2 * of[row]];
    return { present: levels, count, bits };
  }
  const words = new Int32Array(2 * count);
  for (let row = 0, at = 0; row < rows; row++)
    if (has[of[row]] === 1) {
      words[at++] = wordsOf[2 * of[row]];
      words[at++] = wordsOf[2 * of[row] + 1];
    }
  return { present: levels, count, words };
}

/** The levels of the rows [from, to); returns how many are 1. */
function pickLevels(from: number, to: number, has: Uint8Array, of: Uint32Array, present: Uint8Array): number {
  let count = 0;
  for (let row = from; row < to; row++) count += present[row] = has[of[row]];
  return count;
}

function pickCodes(from: number, to: number, codeOf: Uint32Array, of: Uint32Array, codes: Uint32Array): void {
  for (let row = from; row < to; row++) codes[row] = codeOf[of[row]];
}

function eventColumns(table: SpanTable, builder: ChunkBuilder): PlannedColumn[] {
  const events = table.events;
  if (events === undefined) return [];
  const list = listLevels(events.starts, table.rows, events.count);
  const full = (values: SparseValues, type: ColumnType): ChunkData =>
    builder.valued(table.rows, values, type, list.levels(values.present));
  return [
    { use: { s: 'event', k: 'time', t: 'int', f: true }, chunk: () => fullWords(table.rows, events.times, list) },
    {
      use: { s: 'event', k: 'name', t: 'string', f: true },
      chunk: () => full({ present: undefined, count: events.count, ...events.names }, 'string'),
    },
    { use: { s: 'event', k: 'dropped', t: 'int', f: true }, chunk: () => full(wide(events.dropped), 'int') },
    ...childColumns(table.rows, events, builder, list),
  ];
}

function linkColumns(table: SpanTable, builder: ChunkBuilder): PlannedColumn[] {
  const links = table.links;
  if (links === undefined) return [];
  const list = listLevels(links.starts, table.rows, links.count);
  const full = (values: SparseValues, type: ColumnType): ChunkData =>
    builder.valued(table.rows, values, type, list.levels(values.present));
  return [
    {
      use: { s: 'link', k: 'trace_id', t: 'any', f: true },
      chunk: () => full(fixedStrings(links.traceIds, 16), 'any'),
    },
    { use: { s: 'link', k: 'span_id', t: 'any', f: true }, chunk: () => full(fixedStrings(links.spanIds, 8), 'any') },
    {
      use: { s: 'link', k: 'trace_state', t: 'string', f: true },
      chunk: () => full({ present: undefined, count: links.count, ...links.traceStates }, 'string'),
    },
    { use: { s: 'link', k: 'flags', t: 'int', f: true }, chunk: () => full(wide(links.flags), 'int') },
    { use: { s: 'link', k: 'dropped', t: 'int', f: true }, chunk: () => full(wide(links.dropped), 'int') },
    ...childColumns(table.rows, links, builder, list),
  ];
}

function childColumns(
  rows: number,
  children: EventTable | LinkTable,
  builder: ChunkBuilder,
  list: ListLevels,
): PlannedColumn[] {
  const columns: PlannedColumn[] = children.columns.map((column) => ({
    use: { s: column.space, k: column.key, t: column.type },
    prepare: () => column.prepare?.(),
    chunk: () => {
      const values = column.load();
      return builder.valued(rows, values, column.type, list.levels(values.present));
    },
  }));
  const more = children.more;
  if (more !== undefined) {
    const space = 'names' in children ? 'event' : 'link';
    columns.push({
      use: { s: space, k: 'more', t: 'any', f: true },
      prepare: () => more.prepare?.(),
      chunk: () => {
        const values = more.load();
        return builder.valued(rows, values, 'any', list.levels(values.present));
      },
    });
  }
  return columns;
}

interface ListLevels {
  repetition: Uint8Array;
  /** Levels for elements that are present (all when undefined) among all events or links. */
  levels(present: Uint8Array | undefined): Pick<ChunkData, 'definition' | 'repetition'>;
}

/** One entry a row without children (null list), otherwise one entry a child. */
function listLevels(starts: Uint32Array, rows: number, count: number): ListLevels {
  const repetition = new Uint8Array(count + rows);
  const entryOf = new Uint32Array(count);
  let entries = 0;
  for (let from = 0; from < rows; from += RUN_ROWS)
    entries = enterChildren(from, Math.min(rows, from + RUN_ROWS), starts, repetition, entryOf, entries);
  return {
    repetition: repetition.subarray(0, entries),
    levels(present) {
      const definition = new Uint8Array(entries);
      if (present === undefined) inRuns(count, putLevel, entryOf, definition);
      else inRuns(count, putLevels, entryOf, present, definition);
      return { definition, repetition: repetition.subarray(0, entries) };
    },
  };
}

/** The entries of the rows [from, to), from `entry` on; returns where they end. */
function enterChildren(
  from: number,
  to: number,
  starts: Uint32Array,
  repetition: Uint8Array,
  entryOf: Uint32Array,
  entry: number,
): number {
  for (let row = from; row < to; row++) {
    const first = starts[row];
    const end = starts[row + 1];
    if (first === end) entry++;
    for (let child = first; child < end; child++) {
      if (child > first) repetition[entry] = 1;
      entryOf[child] = entry++;
    }
  }
  return entry;
}

function putLevel(from: number, to: number, entryOf: Uint32Array, definition: Uint8Array): void {
  for (let child = from; child < to; child++) definition[entryOf[child]] = 3;
}

function putLevels(from: number, to: number, entryOf: Uint32Array, present: Uint8Array, definition: Uint8Array): void {
  for (let child = from; child < to; child++) definition[entryOf[child]] = 2 + present[child];
}

function fullWords(rows: number, words: Int32Array, list: ListLevels): ChunkData {
  return {
    rows,
    ...list.levels(undefined),
    values: { type: 'int64', words, count: words.length / 2 },
    encoding: 'delta',
    codec: 'none',
  };
}

/** Unsigned 32-bit values as 64-bit ones. */
function wide(values: Int32Array): SparseValues {
  const words = new Int32Array(2 * values.length);
  inRuns(values.length, widen, values, words);
  return { present: undefined, count: values.length, words };
}

function widen(from: number, to: number, values: Int32Array, words: Int32Array): void {
  for (let i = from; i < to; i++) words[2 * i] = values[i];
}

function fixedStrings(bytes: Uint8Array, width: number): SparseValues {
  const count = bytes.length / width;
  const codes = new Uint32Array(count);
  for (let i = 0; i < count; i++) codes[i] = i;
  const starts = codes.map((code) => width * code);
  const ends = codes.map((code) => width * code + width);
  return { present: undefined, count, codes, strings: { count, bytes, starts, ends } };
}
