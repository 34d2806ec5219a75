/**
 * The writing side of a live segment (layout.ts): bump allocation, interned strings, columns, and taking back what a
 * refused request or a failed log write had added. Hash tables are private to the writer; readers walk the lists.
 */
import { isUtf8 } from 'node:buffer';
import { VivaceError } from '../runtime/errors.ts';
import { ChunkList } from './chunk-list.ts';
import {
  AppendTables,
  AT_CAPACITY,
  AT_USED,
  RECORD_BEFORE,
  RECORD_BYTES,
  RECORD_KEY,
  RECORD_KEY_LENGTH,
  RECORD_KEY_TAG,
  RECORD_KIND,
  RECORD_LAST_ROW,
  RECORD_MEMBER,
  RECORD_ROW,
  RECORD_ROWS_END,
  RECORD_VALUE,
} from './append-tables.ts';
import { equalBytes, hashBytes, hashTrace } from './hash.ts';
import {
  COLUMN_CHUNK,
  COLUMN_COUNT,
  COLUMN_FIRST,
  COLUMN_KEY,
  COLUMN_KIND,
  COLUMN_LAST,
  COLUMN_WORDS,
  ENTRY_FIRST,
  ENTRY_MAX,
  EVENT_CHUNK,
  EVENT_FIELDS,
  HEADER_WORDS,
  LINK_CHUNK,
  LINK_FIELDS,
  type LiveSnapshot,
  REQUEST_CHUNK,
  ROOT_COLUMNS,
  ROOT_EVENTS,
  ROOT_LINKS,
  ROOT_REQUESTS,
  ROOT_RESOURCES,
  ROOT_ROWS,
  ROOT_SCOPES,
  ROOT_TRACES,
  ROW_CHUNK,
  ROW_FIELDS,
  ROW_STRIDE,
  type Space,
  TABLE_CHUNK,
  TRACE_CHUNK,
  type ValueType,
  WIDTH_OF_TYPE,
} from './layout.ts';
import { SegmentStrings } from './strings.ts';
import { newMemory, PAGE_BYTES, type WasmMemory } from './wasm.ts';

/** A point to which a segment can be taken back. */
export interface Mark {
  used: number;
  rows: number;
  events: number;
  links: number;
  traces: number;
  resources: number;
  scopes: number;
  strings: number;
  columns: number;
  requests: number;
}

/** What the writer knows of a column is its record in `tables.heads`. */
export const HEAD_WORDS = RECORD_BYTES / 4;
export const HEAD_LAST_ROW = RECORD_LAST_ROW / 4;
const HEAD_KIND = RECORD_KIND / 4;
const HEAD_KEY = RECORD_KEY / 4;
const HEAD_KEY_TAG = RECORD_KEY_TAG / 4;
const HEAD_ROW = RECORD_ROW / 4;
const HEAD_ROWS_END = RECORD_ROWS_END / 4;
const HEAD_VALUE = RECORD_VALUE / 4;
const HEAD_BEFORE = RECORD_BEFORE / 4;
const HEAD_MEMBER = RECORD_MEMBER / 4;
const HEAD_KEY_LENGTH = RECORD_KEY_LENGTH / 4;
const MEMBER_OF_TYPE = [0x0a, 0x10, 0x18, 0x21];

const INITIAL_BYTES = 256 * 1024;
/** Pages that nothing was written to take no memory, so a segment grows in few steps. */
const GROWTH = 4;

/**
 * One live segment. `bytesMax` bounds the whole of it; going over throws VivaceError 'too-large' and the caller takes the
 * segment back to its mark. `seed` keys the hashes, so that nobody can choose colliding keys.
 */
export class LiveColumns {
  /** The segment as the kernel knows it. It grows in place; readers may go on with the buffer that they were given. */
  readonly memory: WasmMemory;
  /** As long as the memory is now. Not a growable buffer, whose every access would cost a look at its length. */
  buffer: SharedArrayBuffer;
  u32: Uint32Array;
  u8: Uint8Array;
  readonly rows: ChunkList;
  readonly events: ChunkList;
  readonly links: ChunkList;
  readonly traces: ChunkList;
  readonly resources: ChunkList;
  readonly scopes: ChunkList;
  readonly strings: SegmentStrings;
  readonly columns: ChunkList;
  readonly requests: ChunkList;
  readonly tables: AppendTables;
  readonly #bytesMax: number;
  readonly #seed: number;
  #columnTable = new Uint32Array(256);
  #traceTable = new Uint32Array(2048);
  #metaColumns = new Map<number, number>();
  #resourceTable = new Map<number, number>();
  #scopeTable = new Map<number, number>();

  constructor(bytesMax: number, seed: number) {
    this.#bytesMax = bytesMax;
    this.#seed = seed | 0;
    this.tables = new AppendTables(bytesMax, this.#seed);
    const initial = Math.min(INITIAL_BYTES, bytesMax);
    this.memory = newMemory({
      initial: Math.ceil(initial / PAGE_BYTES),
      maximum: Math.ceil(bytesMax / PAGE_BYTES),
      shared: true,
    });
    this.buffer = this.memory.buffer as SharedArrayBuffer;
    this.u32 = new Uint32Array(this.buffer);
    this.u8 = new Uint8Array(this.buffer);
    this.#used = HEADER_WORDS;
    this.#setCapacity(initial);
    this.rows = new ChunkList(this, ROOT_ROWS, ROW_CHUNK, ROW_FIELDS, ROW_STRIDE);
    this.events = new ChunkList(this, ROOT_EVENTS, EVENT_CHUNK, EVENT_FIELDS);
    this.links = new ChunkList(this, ROOT_LINKS, LINK_CHUNK, LINK_FIELDS);
    this.traces = new ChunkList(this, ROOT_TRACES, TRACE_CHUNK, 4);
    this.resources = new ChunkList(this, ROOT_RESOURCES, TABLE_CHUNK, 2);
    this.scopes = new ChunkList(this, ROOT_SCOPES, TABLE_CHUNK, 2);
    this.strings = new SegmentStrings(this, this.tables);
    this.columns = new ChunkList(this, ROOT_COLUMNS, COLUMN_CHUNK, COLUMN_WORDS);
    this.requests = new ChunkList(this, ROOT_REQUESTS, REQUEST_CHUNK, 1);
  }

  get bytes(): number {
    return this.#used * 4;
  }

  get #used(): number {
    return this.tables.words[AT_USED / 4];
  }

  set #used(words: number) {
    this.tables.words[AT_USED / 4] = words;
  }

  /** What the kernel compares and copies by eight bytes may reach past the last string. */
  #setCapacity(bytes: number): void {
    this.tables.words[AT_CAPACITY / 4] = (bytes >>> 2) - 2;
  }

  /** Takes `words` words, zeroed; returns their address. The views may be new afterwards. */
  allocate(words: number): number {
    const at = this.#used;
    const end = at + words;
    if (end > this.tables.words[AT_CAPACITY / 4]) this.#grow(end);
    this.#used = end;
    return at;
  }

  /** The string with this code as a view of the segment's memory. */
  stringBytes(code: number): Uint8Array {
    const at = this.strings.address(code);
    return this.u8.subarray(4 * (at + 2), 4 * (at + 2) + this.u32[at + 1]);
  }

  /** The number of the trace with these (signed) words of its id. */
  trace(a: number, b: number, c: number, d: number): number {
    const table = this.#traceTable;
    const mask = table.length - 1;
    let slot = hashTrace(a, b, c, d, this.#seed) & mask;
    for (;;) {
      const found = table[slot];
      if (found === 0) break;
      const at = this.traces.address(found - 1);
      const u32 = this.u32;
      if (((u32[at] ^ a) | (u32[at + 1] ^ b) | (u32[at + 2] ^ c) | (u32[at + 3] ^ d)) === 0) return found - 1;
      slot = (slot + 1) & mask;
    }
    const index = this.traces.count;
    const at = this.traces.push();
    const u32 = this.u32;
    u32[at] = a;
    u32[at + 1] = b;
    u32[at + 2] = c;
    u32[at + 3] = d;
    table[slot] = index + 1;
    if (2 * this.traces.count > table.length) this.#rebuildTraces(table.length * 2);
    return index;
  }

  /** The number of a resource: the code of its message's bytes and of its schema URL. */
  resource(message: number, schemaUrl: number): number {
    return this.#pair(this.resources, this.#resourceTable, message, schemaUrl);
  }

  scope(message: number, schemaUrl: number): number {
    return this.#pair(this.scopes, this.#scopeTable, message, schemaUrl);
  }

  /** The column of (space, type, key), where the key's bytes stand at `offset`. */
  column(
    space: Space,
    type: ValueType,
    view: DataView,
    bytes: Uint8Array,
    offset: number,
    length: number,
    hash: number,
  ): number {
    const kind = space | (type << 8);
    const mixed = Math.imul(hash ^ kind, 0x9e3779b1);
    const table = this.#columnTable;
    const mask = table.length - 1;
    let slot = (mixed ^ (mixed >>> 15)) & mask;
    for (;;) {
      const found = table[slot];
      if (found === 0) break;
      if (this.isColumn(found - 1, kind, view, offset, length)) return found - 1;
      slot = (slot + 1) & mask;
    }
    const name = bytes.subarray(offset, offset + length);
    if (!isUtf8(name)) {
      // Two keys that read the same would be two columns of one name.
      const text = Buffer.from(new TextDecoder('utf-8', { ignoreBOM: true }).decode(name));
      const textView = new DataView(text.buffer, text.byteOffset, text.length);
      return this.column(space, type, textView, text, 0, text.length, this.hash(textView, 0, text.length));
    }
    const key = this.strings.intern(view, bytes, offset, length);
    return this.#addColumn(kind, key, slot);
  }

  /** The column of a rare span field; META columns are keyed by number. */
  metaColumn(type: ValueType, key: number): number {
    const known = this.#metaColumns.get(type * 65536 + key);
    if (known !== undefined) return known;
    const column = this.#addColumn(3 | (type << 8), key, -1);
    this.#metaColumns.set(type * 65536 + key, column);
    return column;
  }

  /** Whether column `column` is the one of this kind (space | type << 8) and key. */
  isColumn(column: number, kind: number, view: DataView, offset: number, length: number): boolean {
    const head = column * HEAD_WORDS;
    const { heads } = this.tables;
    return (
      heads[head + HEAD_KEY_LENGTH] === length &&
      heads[head + HEAD_KIND] === kind &&
      equalBytes(this.u32, heads[head + HEAD_KEY], view, offset, length)
    );
  }

  hash(view: DataView, offset: number, length: number): number {
    return hashBytes(view, offset, length, this.#seed);
  }

  /** Appends (row, value) to a column of one-word values. */
  append1(column: number, row: number, value: number): void {
    const head = column * HEAD_WORDS;
    const { heads } = this.tables;
    if (heads[head + HEAD_ROW] === heads[head + HEAD_ROWS_END]) this.addEntries(column, 1);
    const u32 = this.u32;
    u32[heads[head + HEAD_ROW]++] = row;
    u32[heads[head + HEAD_VALUE]++] = value;
    heads[head + HEAD_LAST_ROW] = row + 1;
  }

  /** Appends (row, value) to a column of two-word values. */
  append2(column: number, row: number, low: number, high: number): void {
    const head = column * HEAD_WORDS;
    const { heads } = this.tables;
    if (heads[head + HEAD_ROW] === heads[head + HEAD_ROWS_END]) this.addEntries(column, 2);
    const u32 = this.u32;
    u32[heads[head + HEAD_ROW]++] = row;
    const at = heads[head + HEAD_VALUE];
    u32[at] = low;
    u32[at + 1] = high;
    heads[head + HEAD_VALUE] = at + 2;
    heads[head + HEAD_LAST_ROW] = row + 1;
  }

  /** Replaces the value of the column's last entry. */
  replaceLast(column: number, low: number, high: number, width: number): void {
    const at = this.tables.heads[column * HEAD_WORDS + HEAD_VALUE] - width;
    this.u32[at] = low;
    if (width === 2) this.u32[at + 1] = high;
  }

  mark(): Mark {
    return {
      used: this.#used,
      rows: this.rows.count,
      events: this.events.count,
      links: this.links.count,
      traces: this.traces.count,
      resources: this.resources.count,
      scopes: this.scopes.count,
      strings: this.strings.count,
      columns: this.columns.count,
      requests: this.requests.count,
    };
  }

  /** Forgets everything that was added since `mark`. Costs as much as the segment has columns; refusals are rare. */
  takeBack(mark: Mark): void {
    this.#publish();
    this.columns.truncate(mark.columns);
    for (let column = 0; column < mark.columns; column++) this.#truncateColumn(column, mark);
    const end = this.#used;
    this.#used = mark.used;
    for (const [list, count] of [
      [this.rows, mark.rows],
      [this.events, mark.events],
      [this.links, mark.links],
      [this.traces, mark.traces],
      [this.resources, mark.resources],
      [this.scopes, mark.scopes],
      [this.requests, mark.requests],
    ] as const)
      list.truncate(count);
    this.strings.truncate(mark.strings, mark.used);
    // allocate() promises zeroed words.
    this.u32.fill(0, mark.used, end);
    this.#rebuildTraces(this.#traceTable.length);
    this.tables.forgetNext(mark.columns);
    this.#rebuildColumns(this.#columnTable.length);
    dropFrom(this.#metaColumns, mark.columns);
    dropFrom(this.#resourceTable, mark.resources);
    dropFrom(this.#scopeTable, mark.scopes);
  }

  /** Empties the segment for its next life; its memory stays. */
  reset(): void {
    this.u32.fill(0, 0, this.#used);
    this.#used = HEADER_WORDS;
    for (const list of [
      this.rows,
      this.events,
      this.links,
      this.traces,
      this.resources,
      this.scopes,
      this.columns,
      this.requests,
    ])
      list.truncate(0);
    this.strings.clear();
    this.tables.forgetNext(0);
    this.#columnTable.fill(0);
    this.#traceTable.fill(0);
    this.#metaColumns.clear();
    this.#resourceTable.clear();
    this.#scopeTable.clear();
  }

  snapshot(id: number, tenant: string, mark: Mark = this.mark()): LiveSnapshot {
    this.#publish();
    return {
      id,
      tenant,
      buffer: this.buffer,
      used: mark.used,
      rows: mark.rows,
      events: mark.events,
      links: mark.links,
      traces: mark.traces,
      resources: mark.resources,
      scopes: mark.scopes,
      strings: mark.strings,
      columns: mark.columns,
      requests: mark.requests,
    };
  }

  #grow(words: number): void {
    const bytes = Math.min(this.#bytesMax, Math.max(words * 4 + PAGE_BYTES, this.buffer.byteLength * GROWTH)) & ~7;
    if (words * 4 + 8 > bytes)
      throw new VivaceError(
        'too-large',
        `cannot hold the request in memory: it needs more than the ${this.#bytesMax} bytes of a live segment; send smaller batches or raise vivace.live_bytes`,
      );
    const more = bytes - this.buffer.byteLength;
    if (more > 0) this.memory.grow(Math.ceil(more / PAGE_BYTES));
    this.buffer = this.memory.buffer as SharedArrayBuffer;
    this.#setCapacity(bytes);
    this.u32 = new Uint32Array(this.buffer);
    this.u8 = new Uint8Array(this.buffer);
  }

  #pair(list: ChunkList, table: Map<number, number>, first: number, second: number): number {
    const key = first * 0x100000000 + second;
    const found = table.get(key);
    if (found !== undefined) return found;
    const index = list.count;
    const at = list.push();
    this.u32[at] = first;
    this.u32[at + 1] = second;
    table.set(key, index);
    return index;
  }

  #addColumn(kind: number, key: number, slot: number): number {
    const column = this.columns.count;
    const at = this.columns.push();
    const head = column * HEAD_WORDS;
    this.tables.reserveColumns(column + 1);
    this.u32.fill(0, at, at + COLUMN_WORDS);
    this.u32[at + COLUMN_KIND] = kind;
    this.u32[at + COLUMN_KEY] = key;
    this.tables.heads.fill(0, head, head + HEAD_WORDS);
    this.tables.heads[head + HEAD_KIND] = kind;
    // The key of a META column is a number.
    if (slot >= 0) {
      const string = this.strings.address(key);
      this.tables.heads[head + HEAD_KEY] = string + 2;
      const length = this.u32[string + 1];
      this.tables.heads[head + HEAD_KEY_LENGTH] = length;
      const type = kind >>> 8;
      if (length < 128 && type < MEMBER_OF_TYPE.length) {
        this.tables.heads[head + HEAD_KEY_TAG] = 0x0a | (length << 8);
        this.tables.heads[head + HEAD_MEMBER] = 0x12 | (MEMBER_OF_TYPE[type] << 16);
      }
    }
    if (slot >= 0) this.#columnTable[slot] = column + 1;
    if (2 * this.columns.count > this.#columnTable.length) this.#rebuildColumns(this.#columnTable.length * 2);
    return column;
  }

  /** Makes room for another entry. */
  addEntries(column: number, width: number): void {
    const head = column * HEAD_WORDS;
    const { heads } = this.tables;
    const at = this.columns.address(column);
    const last = this.u32[at + COLUMN_LAST];
    const before = last === 0 ? 0 : this.u32[last + 1];
    const capacity = Math.min(ENTRY_MAX, before * 2 || ENTRY_FIRST);
    const chunk = this.allocate(2 + capacity * (1 + width));
    const u32 = this.u32;
    u32[chunk + 1] = capacity;
    if (last === 0) u32[at + COLUMN_FIRST] = chunk;
    else u32[last] = chunk;
    u32[at + COLUMN_LAST] = chunk;
    heads[head + HEAD_BEFORE] += before;
    heads[head + HEAD_ROW] = chunk + 2;
    heads[head + HEAD_ROWS_END] = heads[head + HEAD_VALUE] = chunk + 2 + capacity;
  }

  /** Writes the counts of the columns where readers look. */
  #publish(): void {
    const u32 = this.u32;
    for (let column = 0; column < this.columns.count; column++) {
      const at = this.columns.address(column);
      const used = this.tables.heads[column * HEAD_WORDS + HEAD_ROW] - (u32[at + COLUMN_LAST] + 2);
      u32[at + COLUMN_COUNT] =
        u32[at + COLUMN_LAST] === 0 ? 0 : this.tables.heads[column * HEAD_WORDS + HEAD_BEFORE] + used;
    }
  }

  #truncateColumn(column: number, mark: Mark): void {
    const u32 = this.u32;
    const { heads } = this.tables;
    const head = column * HEAD_WORDS;
    const at = this.columns.address(column);
    // The rows of a META column are counted in the space that its key names (META_REPEATED) or in spans.
    const own = u32[at + COLUMN_KIND] & 0xff;
    const space = own === 3 ? u32[at + COLUMN_KEY] >>> 8 : own;
    const limit = space === 1 ? mark.events : space === 2 ? mark.links : mark.rows;
    if (heads[head + HEAD_LAST_ROW] <= limit) return;
    let before = 0;
    let chunk = u32[at + COLUMN_FIRST];
    let last = 0;
    let used = 0;
    let lastRow = 0;
    while (chunk !== 0 && chunk < mark.used) {
      const capacity = u32[chunk + 1];
      const remaining = u32[at + COLUMN_COUNT] - before;
      let kept = 0;
      while (kept < capacity && kept < remaining && u32[chunk + 2 + kept] < limit) kept++;
      if (kept === 0 && last !== 0) break;
      if (last !== 0) before += used;
      last = chunk;
      used = kept;
      if (kept > 0) lastRow = u32[chunk + 2 + kept - 1] + 1;
      if (kept < capacity) break;
      chunk = u32[chunk];
    }
    const capacity = last === 0 ? 0 : u32[last + 1];
    const width = WIDTH_OF_TYPE[(u32[at + COLUMN_KIND] >>> 8) as ValueType];
    u32[at + COLUMN_LAST] = last;
    if (last === 0) u32[at + COLUMN_FIRST] = 0;
    else u32[last] = 0;
    heads[head + HEAD_LAST_ROW] = lastRow;
    heads[head + HEAD_BEFORE] = before;
    heads[head + HEAD_ROW] = last === 0 ? 0 : last + 2 + used;
    heads[head + HEAD_ROWS_END] = last === 0 ? 0 : last + 2 + capacity;
    heads[head + HEAD_VALUE] = last === 0 ? 0 : last + 2 + capacity + used * width;
  }

  #rebuildTraces(length: number): void {
    const table = new Uint32Array(length);
    const u32 = this.u32;
    for (let index = 0; index < this.traces.count; index++) {
      const at = this.traces.address(index);
      let slot = hashTrace(u32[at], u32[at + 1], u32[at + 2], u32[at + 3], this.#seed) & (length - 1);
      while (table[slot] !== 0) slot = (slot + 1) & (length - 1);
      table[slot] = index + 1;
    }
    this.#traceTable = table;
  }

  #rebuildColumns(length: number): void {
    const table = new Uint32Array(length);
    const view = new DataView(this.buffer);
    for (let column = 0; column < this.columns.count; column++) {
      const head = column * HEAD_WORDS;
      const kind = this.tables.heads[head + HEAD_KIND];
      if ((kind & 0xff) === 3) continue;
      const hash = hashBytes(
        view,
        4 * this.tables.heads[head + HEAD_KEY],
        this.tables.heads[head + HEAD_KEY_LENGTH],
        this.#seed,
      );
      const mixed = Math.imul(hash ^ kind, 0x9e3779b1);
      let slot = (mixed ^ (mixed >>> 15)) & (length - 1);
      while (table[slot] !== 0) slot = (slot + 1) & (length - 1);
      table[slot] = column + 1;
    }
    this.#columnTable = table;
  }
}

function dropFrom(table: Map<number, number>, count: number): void {
  for (const [key, index] of table) if (index >= count) table.delete(key);
}
