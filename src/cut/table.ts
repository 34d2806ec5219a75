/** A live segment as the table from which a block is written: every column gathered into the block's order of rows. */
import { ATTRIBUTE_COLUMNS_MAX } from '../block/schema.ts';
import {
  type AttributeColumn,
  type CodedRows,
  type ColumnSpace,
  type ColumnType,
  type EventTable,
  type LinkTable,
  type Loading,
  type RareColumn,
  type SpanTable,
  type SparseValues,
  type Strings,
  stringsOf,
} from '../block/table.ts';
import {
  EVENT_DROPPED,
  EVENT_NAME,
  EVENT_ROW,
  EVENT_TIME,
  LINK_DROPPED,
  LINK_FLAGS,
  LINK_ROW,
  LINK_SPAN_ID,
  LINK_TRACE_ID,
  LINK_TRACE_STATE,
  META_DROPPED_ATTRIBUTES,
  META_DROPPED_EVENTS,
  META_DROPPED_LINKS,
  META_FLAGS,
  META_KIND,
  META_REPEATED,
  META_STATUS,
  META_STATUS_MESSAGE,
  META_TRACE_STATE,
  ROW_BITS,
  ROW_END,
  ROW_NAME,
  ROW_PARENT_ID,
  ROW_RESOURCE,
  ROW_SCOPE,
  ROW_SPAN_ID,
  ROW_START,
  SPACE_EVENT,
  SPACE_LINK,
  SPACE_META,
  SPACE_SPAN,
  TYPE_BOOL,
  TYPE_DOUBLE,
  TYPE_INT,
} from './layout.ts';
import type { Arrays } from '../runtime/arena.ts';
import { inRuns, RUN_ROWS } from '../runtime/runs.ts';
import type { LiveView } from './live-view.ts';
import { concat, lengthDelimited, wrapMessage } from './message.ts';
import { addUp, countRows, type RowOrder } from './order.ts';
import { encodeKeyValue } from './key-value.ts';

type Head = ReturnType<LiveView['columnHeads']>[number];

/** What every column of a table is gathered from and with. */
interface Source {
  view: LiveView;
  heads: Head[];
  /** Those that get a column of the block, and those that go to `more`. */
  kept: Head[];
  overflow: Head[];
  strings: Strings;
  scratch: GatherScratch;
}

const SPACES: readonly ColumnSpace[] = ['span', 'event', 'link'];
const TYPES: readonly ColumnType[] = ['string', 'bool', 'int', 'double', 'any'];
/** The tag of the attributes field in Span, Event and Link. */
const ATTRIBUTE_TAGS = [0x4a, 0x1a, 0x22] as const;

const RARE: readonly [RareColumn['field'], number][] = [
  ['status_message', META_STATUS_MESSAGE],
  ['trace_state', META_TRACE_STATE],
  ['flags', META_FLAGS],
  ['dropped_attributes', META_DROPPED_ATTRIBUTES],
  ['dropped_events', META_DROPPED_EVENTS],
  ['dropped_links', META_DROPPED_LINKS],
];

/**
 * The table of the rows that `order` names. Columns are read from the segment when they are loaded. When only `some` of the
 * traces are in the order, columns without a value in it are looked for and left out.
 */
export function tableOf(view: LiveView, order: RowOrder, some = false): SpanTable {
  const rows = order.rows.length;
  const live = view.rows;
  const { arrays } = view;
  const place = arrays.int32(live).fill(-1);
  inRuns(rows, placeRows, order.rows, place);
  const strings = view.strings();
  const scratch = new GatherScratch(arrays, Math.max(rows, view.snapshot.events, view.snapshot.links));
  const heads = some ? headsInUse(view, place) : view.columnHeads();
  const source: Source = { view, heads, ...chooseColumns(heads, view), strings, scratch };
  const kinds = arrays.int32(rows);
  const statuses = arrays.int32(rows);
  arrays.scoped(() => inRuns(rows, unpackBits, view.copyField(ROW_BITS), order.rows, kinds, statuses));
  overwrite(view, heads, META_KIND, place, kinds);
  overwrite(view, heads, META_STATUS, place, statuses);
  const spanIds = words2(view, ROW_SPAN_ID, order.rows);
  const parentIds = words2(view, ROW_PARENT_ID, order.rows);
  const spanMore = moreColumn(source, SPACE_SPAN, place, rows);
  const rare: RareColumn[] = [];
  for (const [field, key] of RARE) {
    const head = heads.find((each) => each.space === SPACE_META && each.key === key);
    if (head !== undefined) rare.push({ field, load: () => gather(source, head, place, rows) });
  }
  if (spanMore !== undefined) rare.push({ field: 'more', ...spanMore });
  const events = eventTable(source, place, rows);
  const links = linkTable(source, place, rows);
  return {
    rows,
    traceIds: traceIds(view, order.traces),
    traceStarts: order.starts,
    parents: order.parents,
    spanIds: bytesOf(spanIds),
    parentIds: bytesOf(parentIds),
    starts: words2(view, ROW_START, order.rows),
    ends: words2(view, ROW_END, order.rows),
    kinds,
    statuses,
    names: { codes: words1(view, ROW_NAME, order.rows), strings },
    resourceOf: words1(view, ROW_RESOURCE, order.rows),
    resources: messages(view, view.resources()),
    scopeOf: words1(view, ROW_SCOPE, order.rows),
    scopes: messages(view, view.scopes()),
    rare,
    columns: attributeColumns(source, SPACE_SPAN, place, rows),
    ...(events && { events }),
    ...(links && { links }),
  };
}

function placeRows(from: number, to: number, rows: Uint32Array, place: Int32Array): void {
  for (let row = from; row < to; row++) place[rows[row]] = row;
}

function unpackBits(
  from: number,
  to: number,
  bits: Uint32Array,
  rows: Uint32Array,
  kinds: Int32Array,
  statuses: Int32Array,
): void {
  for (let row = from; row < to; row++) {
    const word = bits[rows[row]];
    kinds[row] = word & 0xff;
    statuses[row] = (word >>> 8) & 0xff;
  }
}

/** Columns with a value at a row that has a place. */
function headsInUse(view: LiveView, place: Int32Array): Head[] {
  return view.columnHeads().filter((head) =>
    view.arrays.scoped(() => {
      const { rows } = view.load(head);
      const space = head.space === SPACE_META ? head.key >>> 8 : head.space;
      if (space === SPACE_SPAN) return rows.some((row) => place[row] >= 0);
      const of = space === SPACE_EVENT ? view.eventField(EVENT_ROW) : view.linkField(LINK_ROW);
      return rows.some((child) => place[of[child]] >= 0);
    }),
  );
}

/** Each (message, schema URL) as a ResourceSpans or ScopeSpans message that has no spans: field 1, then field 3. */
function messages(view: LiveView, pairs: Uint32Array): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let index = 0; index < pairs.length; index += 2)
    all.push(wrapMessage(view.stringBytes(pairs[index]), view.stringBytes(pairs[index + 1])));
  return all;
}

/** The columns that get a column of the block, and those (the rarest beyond the limit) that go to `more`. */
function chooseColumns(heads: Head[], view: LiveView): { kept: Head[]; overflow: Head[] } {
  const attributes = heads.filter((head) => head.space !== SPACE_META);
  const kept: Head[] = [];
  const overflow: Head[] = [];
  for (const space of [SPACE_SPAN, SPACE_EVENT, SPACE_LINK]) {
    const own = attributes.filter((head) => head.space === space);
    if (own.length > ATTRIBUTE_COLUMNS_MAX) {
      const counts = new Map(own.map((head) => [head, view.countOf(head)]));
      const ranked = [...own].sort((a, b) => counts.get(b)! - counts.get(a)!);
      const dropped = new Set(ranked.slice(ATTRIBUTE_COLUMNS_MAX));
      kept.push(...own.filter((head) => !dropped.has(head)));
      overflow.push(...dropped);
    } else kept.push(...own);
  }
  return { kept, overflow };
}

function attributeColumns(source: Source, space: 0 | 1 | 2, place: Int32Array, rows: number): AttributeColumn[] {
  const { view, kept } = source;
  return kept
    .filter((head) => head.space === space)
    .map((head) => ({
      space: SPACES[space],
      key: view.string(head.key),
      type: TYPES[head.type],
      load: () => gather(source, head, place, rows),
    }));
}

/** Arrays that every column of a table uses again: at 20 columns and 150,000 rows new ones would be 60 MB a block. */
class GatherScratch {
  /** By row: its value, or where it is, or -1. */
  readonly placed: Int32Array;
  readonly present: Uint8Array;
  readonly words: Int32Array;

  constructor(arrays: Arrays, rowsMax: number) {
    this.placed = arrays.int32(rowsMax);
    this.present = arrays.uint8(rowsMax);
    this.words = arrays.int32(2 * rowsMax + 2);
  }
}

/** The values of a column in the table's order: scattered by place, then read off row by row. */
function gather({ view, strings, scratch }: Source, head: Head, place: Int32Array, rows: number): SparseValues {
  const placed = scratch.placed.fill(-1, 0, rows);
  view.scatter(head, place, placed);
  const present = scratch.present;
  const words = scratch.words;
  const levels = (count: number): Uint8Array | undefined => (count === rows ? undefined : present.subarray(0, rows));
  const type = head.type;
  let count = 0;
  if (type === TYPE_INT || type === TYPE_DOUBLE) {
    for (let from = 0; from < rows; from += RUN_ROWS)
      count = gatherWords(from, Math.min(rows, from + RUN_ROWS), placed, view.words, present, words, count);
    return { present: levels(count), count, words: words.subarray(0, 2 * count) };
  }
  if (type === TYPE_BOOL) {
    const bits = new Uint8Array(words.buffer, words.byteOffset, rows + 1);
    for (let from = 0; from < rows; from += RUN_ROWS)
      count = gatherBits(from, Math.min(rows, from + RUN_ROWS), placed, present, bits, count);
    return { present: levels(count), count, bits: bits.subarray(0, count) };
  }
  const codes = new Uint32Array(words.buffer, words.byteOffset, rows + 1);
  for (let from = 0; from < rows; from += RUN_ROWS)
    count = gatherCodes(from, Math.min(rows, from + RUN_ROWS), placed, present, codes, count);
  return { present: levels(count), count, codes: codes.subarray(0, count), strings };
}

/**
 * Which of the rows [from, to) have a value, and the values, from `filled` on; returns where they end. Rows with and without one
 * alternate at random, so there is no branch to mispredict: a missing value is read from address 0 and overwritten by the next one.
 */
function gatherWords(
  from: number,
  to: number,
  addressOf: Int32Array,
  values: Uint32Array,
  present: Uint8Array,
  words: Int32Array,
  filled: number,
): number {
  for (let row = from; row < to; row++) {
    const address = addressOf[row];
    const has = (address >>> 31) ^ 1;
    present[row] = has;
    const at = address & -has;
    words[2 * filled] = values[at];
    words[2 * filled + 1] = values[at + 1];
    filled += has;
  }
  return filled;
}

/** The same of values that are placed themselves. */
function gatherBits(
  from: number,
  to: number,
  placed: Int32Array,
  present: Uint8Array,
  bits: Uint8Array,
  filled: number,
): number {
  for (let row = from; row < to; row++) {
    const has = (placed[row] >>> 31) ^ 1;
    present[row] = has;
    bits[filled] = placed[row];
    filled += has;
  }
  return filled;
}

/** Again the same: a loop that met both kinds of array would be slower for each. */
function gatherCodes(
  from: number,
  to: number,
  placed: Int32Array,
  present: Uint8Array,
  codes: Uint32Array,
  filled: number,
): number {
  for (let row = from; row < to; row++) {
    const has = (placed[row] >>> 31) ^ 1;
    present[row] = has;
    codes[filled] = placed[row];
    filled += has;
  }
  return filled;
}

/** KeyValues of keys that a row has twice and of columns beyond the limit: one byte string a row. */
function moreColumn(source: Source, space: 0 | 1 | 2, place: Int32Array, rows: number): Loading | undefined {
  const { view, heads, overflow } = source;
  const repeated = heads.find((head) => head.space === SPACE_META && head.key === (META_REPEATED | (space << 8)));
  const rest = overflow.filter((head) => head.space === space);
  if (repeated === undefined && rest.length === 0) return undefined;
  const load = (): SparseValues => {
    const parts = new Map<number, Uint8Array[]>();
    const tag = ATTRIBUTE_TAGS[space];
    const add = (row: number, keyValue: Uint8Array): void => {
      const at = place[row];
      if (at < 0) return;
      const list = parts.get(at);
      if (list === undefined) parts.set(at, [lengthDelimited(tag, keyValue)]);
      else list.push(lengthDelimited(tag, keyValue));
    };
    for (const head of rest) {
      const column = view.load(head);
      const key = view.stringBytes(head.key);
      for (let entry = 0; entry < column.rows.length; entry++)
        add(column.rows[entry], encodeKeyValue(key, head.type, column.values, entry, view));
    }
    if (repeated !== undefined) {
      const column = view.load(repeated);
      for (let entry = 0; entry < column.rows.length; entry++)
        add(column.rows[entry], view.stringBytes(column.values[entry]));
    }
    return byteStrings(parts, rows);
  };
  return { load };
}

function byteStrings(parts: Map<number, Uint8Array[]>, rows: number): SparseValues {
  const present = new Uint8Array(rows);
  const order = [...parts.keys()].sort((a, b) => a - b);
  const joined = order.map((row) => {
    present[row] = 1;
    return concat(parts.get(row)!);
  });
  return {
    present,
    count: order.length,
    codes: Uint32Array.from(order, (_, index) => index),
    strings: stringsOf(joined),
  };
}

function eventTable(source: Source, place: Int32Array, rows: number): EventTable | undefined {
  const { view, strings } = source;
  if (view.snapshot.events === 0) return undefined;
  const { order, starts, inner } = childOrder(view.arrays, view.eventField(EVENT_ROW), place, rows);
  if (order.length === 0) return undefined;
  return {
    count: order.length,
    starts,
    times: pairs(view.arrays, view.eventField(EVENT_TIME), view.eventField(EVENT_TIME + 1), order),
    names: { codes: picked(view.arrays, view.eventField(EVENT_NAME), order), strings },
    dropped: signed(picked(view.arrays, view.eventField(EVENT_DROPPED), order)),
    ...childColumns(source, SPACE_EVENT, inner, order.length),
  };
}

function linkTable(source: Source, place: Int32Array, rows: number): LinkTable | undefined {
  const { view, strings } = source;
  if (view.snapshot.links === 0) return undefined;
  const { order, starts, inner } = childOrder(view.arrays, view.linkField(LINK_ROW), place, rows);
  if (order.length === 0) return undefined;
  const traceIds = new Uint32Array(4 * order.length);
  for (let word = 0; word < 4; word++) {
    const field = view.linkField(LINK_TRACE_ID + word);
    for (let link = 0; link < order.length; link++) traceIds[4 * link + word] = field[order[link]];
  }
  const spanIds = pairs(view.arrays, view.linkField(LINK_SPAN_ID), view.linkField(LINK_SPAN_ID + 1), order);
  return {
    count: order.length,
    starts,
    traceIds: new Uint8Array(traceIds.buffer),
    spanIds: bytesOf(spanIds),
    traceStates: { codes: picked(view.arrays, view.linkField(LINK_TRACE_STATE), order), strings } satisfies CodedRows,
    flags: signed(picked(view.arrays, view.linkField(LINK_FLAGS), order)),
    dropped: signed(picked(view.arrays, view.linkField(LINK_DROPPED), order)),
    ...childColumns(source, SPACE_LINK, inner, order.length),
  };
}

/** The attributes of events or links. */
function childColumns(source: Source, space: 1 | 2, place: Int32Array, count: number) {
  const more = moreColumn(source, space, place, count);
  return { columns: attributeColumns(source, space, place, count), ...(more && { more }) };
}

/** Events or links in the order of their rows: live numbers, first of each row, and the place of each live number. */
function childOrder(
  arrays: Arrays,
  rowOf: Uint32Array,
  place: Int32Array,
  rows: number,
): { order: Uint32Array; starts: Uint32Array; inner: Int32Array } {
  const starts = arrays.uint32(rows + 1);
  inRuns(rowOf.length, countRows, rowOf, place, starts);
  inRuns(rows, addUp, starts);
  const order = arrays.uint32(starts[rows]);
  const inner = arrays.int32(rowOf.length).fill(-1);
  inRuns(rowOf.length, orderChildren, rowOf, place, starts.slice(0, rows), inner, order);
  return { order, starts, inner };
}

function orderChildren(
  from: number,
  to: number,
  rowOf: Uint32Array,
  place: Int32Array,
  next: Uint32Array,
  inner: Int32Array,
  order: Uint32Array,
): void {
  for (let child = from; child < to; child++) {
    const row = place[rowOf[child]];
    if (row < 0) continue;
    inner[child] = next[row];
    order[next[row]++] = child;
  }
}

function overwrite(view: LiveView, heads: Head[], key: number, place: Int32Array, into: Int32Array): void {
  const head = heads.find((each) => each.space === SPACE_META && each.key === key);
  if (head === undefined) return;
  const column = view.load(head);
  for (let entry = 0; entry < column.rows.length; entry++) {
    const row = place[column.rows[entry]];
    if (row >= 0) into[row] = column.values[2 * entry];
  }
}

function traceIds(view: LiveView, traces: Uint32Array): Uint8Array {
  const words = view.traceWords();
  const ids = view.arrays.int32(4 * traces.length);
  inRuns(traces.length, pickIds, words, traces, ids);
  return bytesOf(ids);
}

function pickIds(from: number, to: number, words: Uint32Array, traces: Uint32Array, ids: Int32Array): void {
  for (let index = from; index < to; index++)
    for (let word = 0; word < 4; word++) ids[4 * index + word] = words[4 * traces[index] + word];
}

/** The values of `field` at `indexes`. */
function picked(arrays: Arrays, field: Uint32Array, indexes: Uint32Array): Uint32Array<ArrayBuffer> {
  const out = arrays.uint32(indexes.length);
  inRuns(indexes.length, pick, field, indexes, out);
  return out;
}

/** A field of the rows `rows`. */
function words1(view: LiveView, field: number, rows: Uint32Array): Uint32Array {
  const out = view.arrays.uint32(rows.length);
  view.arrays.scoped(() => inRuns(rows.length, pick, view.copyField(field), rows, out));
  return out;
}

/** Two fields of the rows `rows`, one word of each after the other. */
function words2(view: LiveView, field: number, rows: Uint32Array): Int32Array<ArrayBuffer> {
  const out = view.arrays.int32(2 * rows.length);
  view.arrays.scoped(() => inRuns(rows.length, pickPairs, view.copyField(field), view.copyField(field + 1), rows, out));
  return out;
}

function pairs(arrays: Arrays, low: Uint32Array, high: Uint32Array, indexes: Uint32Array): Int32Array<ArrayBuffer> {
  const out = arrays.int32(2 * indexes.length);
  inRuns(indexes.length, pickPairs, low, high, indexes, out);
  return out;
}

function pick(from: number, to: number, field: Uint32Array, indexes: Uint32Array, into: Uint32Array): void {
  for (let index = from; index < to; index++) into[index] = field[indexes[index]];
}

function pickPairs(
  from: number,
  to: number,
  low: Uint32Array,
  high: Uint32Array,
  indexes: Uint32Array,
  into: Int32Array,
): void {
  for (let index = from; index < to; index++) {
    into[2 * index] = low[indexes[index]];
    into[2 * index + 1] = high[indexes[index]];
  }
}

function bytesOf(words: Int32Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function signed(words: Uint32Array<ArrayBuffer>): Int32Array {
  return new Int32Array(words.buffer, words.byteOffset, words.length);
}
