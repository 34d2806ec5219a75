/**
 * The reading side of a live segment (layout.ts): copies what a query or a cut needs out of the chunk lists into plain
 * arrays. It may run in any thread while the writer goes on appending, because it never looks past the snapshot's counts;
 * what a column has beyond them is recognised by its row number.
 */
import type { Dictionary } from '../block/segment.ts';
import type { Strings } from '../block/table.ts';
import { type Arrays, OWN_ARRAYS } from '../runtime/arena.ts';
import { inRuns } from '../runtime/runs.ts';
import {
  COLUMN_CHUNK,
  COLUMN_COUNT,
  COLUMN_FIRST,
  COLUMN_KEY,
  COLUMN_KIND,
  COLUMN_WORDS,
  EVENT_CHUNK,
  LINK_CHUNK,
  type LiveSnapshot,
  REQUEST_CHUNK,
  ROOT_COLUMNS,
  ROOT_EVENTS,
  ROOT_LINKS,
  ROOT_REQUESTS,
  ROOT_RESOURCES,
  ROOT_ROWS,
  ROOT_SCOPES,
  ROOT_STRINGS,
  ROOT_TRACES,
  ROW_CHUNK,
  ROW_STRIDE,
  SPACE_EVENT,
  SPACE_LINK,
  type Space,
  STRING_CHUNK,
  TABLE_CHUNK,
  TRACE_CHUNK,
  TYPE_REPEATED,
  type ValueType,
  WIDTH_OF_TYPE,
} from './layout.ts';

export interface LiveColumn {
  space: Space;
  type: ValueType;
  /** String code of the key; a META_ number for META columns. */
  key: number;
  /** Ascending rows (or event or link numbers). */
  rows: Uint32Array;
  /** One word a value, or two (low, high). */
  values: Uint32Array;
}

export class LiveView {
  readonly snapshot: LiveSnapshot;
  /** Where what is copied out of the segment goes. */
  readonly arrays: Arrays;
  readonly #u32: Uint32Array;
  readonly #u8: Uint8Array;
  #strings: Uint32Array | undefined;
  #fields = new Map<number, Uint32Array>();

  constructor(snapshot: LiveSnapshot, arrays: Arrays = OWN_ARRAYS) {
    this.snapshot = snapshot;
    this.arrays = arrays;
    this.#u32 = new Uint32Array(snapshot.buffer, 0, snapshot.buffer.byteLength >>> 2);
    this.#u8 = new Uint8Array(snapshot.buffer, 0, snapshot.buffer.byteLength & ~3);
  }

  /** The same without the fields that this one has kept. */
  again(): LiveView {
    const view = new LiveView(this.snapshot, this.arrays);
    view.#strings = this.#strings;
    return view;
  }

  get rows(): number {
    return this.snapshot.rows;
  }

  /** A field of every row (ROW_…). Kept, since several conditions may ask for it. */
  field(field: number): Uint32Array {
    return this.#kept(ROOT_ROWS, ROW_CHUNK, ROW_STRIDE * field, this.snapshot.rows);
  }

  eventField(field: number): Uint32Array {
    return this.#kept(ROOT_EVENTS, EVENT_CHUNK, EVENT_CHUNK * field, this.snapshot.events);
  }

  linkField(field: number): Uint32Array {
    return this.#kept(ROOT_LINKS, LINK_CHUNK, LINK_CHUNK * field, this.snapshot.links);
  }

  /** The same as a copy that is the caller's. */
  copyField(field: number): Uint32Array {
    return this.#copy(ROOT_ROWS, ROW_CHUNK, ROW_STRIDE * field, this.snapshot.rows);
  }

  /** Four words a trace: the bytes of its id. */
  traceWords(): Uint32Array {
    return this.#records(ROOT_TRACES, TRACE_CHUNK, 4, this.snapshot.traces);
  }

  /** Two words a resource: the codes of its message and of its schema URL. */
  resources(): Uint32Array {
    return this.#records(ROOT_RESOURCES, TABLE_CHUNK, 2, this.snapshot.resources);
  }

  scopes(): Uint32Array {
    return this.#records(ROOT_SCOPES, TABLE_CHUNK, 2, this.snapshot.scopes);
  }

  /** First row of each request. */
  requestStarts(): Uint32Array {
    return this.#records(ROOT_REQUESTS, REQUEST_CHUNK, 1, this.snapshot.requests);
  }

  /** The string of a code, as a view of shared memory: copy what outlives the query. */
  stringBytes(code: number): Uint8Array {
    this.#strings ??= this.#records(ROOT_STRINGS, STRING_CHUNK, 1, this.snapshot.strings);
    const at = this.#strings[code];
    return this.#u8.subarray(4 * (at + 2), 4 * (at + 2) + this.#u32[at + 1]);
  }

  string(code: number): string {
    const bytes = this.stringBytes(code);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  }

  /** All strings of the snapshot with their places, for many look-ups. */
  strings(): Strings {
    const addresses = this.#records(ROOT_STRINGS, STRING_CHUNK, 1, this.snapshot.strings);
    const count = addresses.length;
    const ends = this.arrays.uint32(count);
    inRuns(count, placeStrings, this.#u32, addresses, ends);
    return { count, bytes: this.#u8, starts: addresses, ends };
  }

  /** All strings of the snapshot by code. */
  dictionary(): Dictionary {
    this.#strings ??= this.#records(ROOT_STRINGS, STRING_CHUNK, 1, this.snapshot.strings);
    const strings = this.#strings;
    const u32 = this.#u32;
    return {
      count: strings.length,
      bytes: this.#u8,
      start: (code) => 4 * (strings[code] + 2),
      end: (code) => 4 * (strings[code] + 2) + u32[strings[code] + 1],
    };
  }

  /** Entries of a column, those beyond the snapshot included. */
  countOf(head: { at: number }): number {
    return this.#u32[head.at + COLUMN_COUNT];
  }

  /** Every column without its entries: address for `load`, space, type and key. */
  columnHeads(): { at: number; space: Space; type: ValueType; key: number }[] {
    const heads = [];
    let chunk = this.#u32[ROOT_COLUMNS];
    for (let index = 0; index < this.snapshot.columns; index++) {
      if (index > 0 && index % COLUMN_CHUNK === 0) chunk = this.#u32[chunk];
      const at = chunk + 1 + (index % COLUMN_CHUNK) * COLUMN_WORDS;
      const kind = this.#u32[at + COLUMN_KIND];
      heads.push({
        at,
        space: (kind & 0xff) as Space,
        type: (kind >>> 8) as ValueType,
        key: this.#u32[at + COLUMN_KEY],
      });
    }
    return heads;
  }

  /** The entries of a column that belong to the snapshot. */
  load(head: { at: number; space: Space; type: ValueType; key: number }): LiveColumn {
    const u32 = this.#u32;
    const width = WIDTH_OF_TYPE[head.type];
    const count = u32[head.at + COLUMN_COUNT];
    const rows = new Uint32Array(count);
    const values = new Uint32Array(count * width);
    let filled = 0;
    for (let chunk = u32[head.at + COLUMN_FIRST]; this.#isOld(chunk) && filled < count; chunk = u32[chunk]) {
      const capacity = u32[chunk + 1];
      const take = Math.min(capacity, count - filled);
      rows.set(u32.subarray(chunk + 2, chunk + 2 + take), filled);
      const from = chunk + 2 + capacity;
      values.set(u32.subarray(from, from + take * width), filled * width);
      filled += take;
    }
    const limit = this.#limit(head.space, head.key);
    // What belongs to the snapshot comes first and ascends; behind it may be anything that the writer is just doing.
    let seen = 0;
    for (let next = 0; seen < filled; seen++) {
      if (rows[seen] >= limit || rows[seen] < next) break;
      next = head.type === TYPE_REPEATED ? rows[seen] : rows[seen] + 1;
    }
    return {
      space: head.space,
      type: head.type,
      key: head.key,
      rows: seen === count ? rows : rows.subarray(0, seen),
      values: seen === count ? values : values.subarray(0, seen * width),
    };
  }

  /**
   * The entries of an attribute column with rows in [from, to), of which none lies beyond the snapshot; undefined when there
   * are none. Chunks before the range are stepped over, and what the writer does behind it is never looked at.
   */
  loadRange(
    head: { at: number; space: Space; type: ValueType; key: number },
    from: number,
    to: number,
  ): LiveColumn | undefined {
    const u32 = this.#u32;
    const width = WIDTH_OF_TYPE[head.type];
    const rows: number[] = [];
    const values: number[] = [];
    let left = u32[head.at + COLUMN_COUNT];
    for (let chunk = u32[head.at + COLUMN_FIRST]; this.#isOld(chunk) && left > 0; chunk = u32[chunk]) {
      const capacity = u32[chunk + 1];
      const take = Math.min(capacity, left);
      left -= take;
      if (u32[chunk + 2] >= to) break;
      if (u32[chunk + 1 + take] < from) continue;
      for (let i = 0; i < take; i++) {
        const row = u32[chunk + 2 + i];
        if (row >= to) {
          left = 0;
          break;
        }
        if (row < from) continue;
        rows.push(row);
        for (let word = 0; word < width; word++) values.push(u32[chunk + 2 + capacity + i * width + word]);
      }
    }
    if (rows.length === 0) return undefined;
    return {
      space: head.space,
      type: head.type,
      key: head.key,
      rows: Uint32Array.from(rows),
      values: Uint32Array.from(values),
    };
  }

  /** The segment's words, for the addresses that `scatter` gives. */
  get words(): Uint32Array {
    return this.#u32;
  }

  /**
   * Puts each value of a column at the place of its row, into[place[row]]: a value of two words by its address in `words`, others
   * themselves, all of which are below 2^31. Rows whose place is negative are left out.
   */
  scatter(head: { at: number; space: Space; type: ValueType; key: number }, place: Int32Array, into: Int32Array): void {
    const u32 = this.#u32;
    const width = WIDTH_OF_TYPE[head.type];
    const limit = this.#limit(head.space, head.key);
    let left = u32[head.at + COLUMN_COUNT];
    let previous = -1;
    for (let chunk = u32[head.at + COLUMN_FIRST]; this.#isOld(chunk) && left > 0; chunk = u32[chunk]) {
      const capacity = u32[chunk + 1];
      const take = Math.min(capacity, left);
      previous = scatterEntries(u32, chunk + 2, take, capacity, width, previous, limit, place, into);
      if (previous < 0) return;
      left -= take;
    }
  }

  /** Whether a chunk was there at the moment of the snapshot: one that came later may be taken back and hold something else by now. */
  #isOld(chunk: number): boolean {
    return chunk !== 0 && chunk < this.snapshot.used;
  }

  #limit(space: Space, key: number): number {
    const of = space === 3 ? ((key >>> 8) as Space) : space;
    if (of === SPACE_EVENT) return this.snapshot.events;
    if (of === SPACE_LINK) return this.snapshot.links;
    return this.snapshot.rows;
  }

  #kept(root: number, chunkEntries: number, offset: number, count: number): Uint32Array {
    const key = root * 65536 + offset;
    let values = this.#fields.get(key);
    if (values === undefined) {
      values = this.#copy(root, chunkEntries, offset, count);
      this.#fields.set(key, values);
    }
    return values;
  }

  /** The array that stands `offset` words behind the head of each chunk. */
  #copy(root: number, chunkEntries: number, offset: number, count: number): Uint32Array {
    const values = this.arrays.uint32(count);
    const u32 = this.#u32;
    let chunk = u32[root];
    for (let filled = 0; filled < count; filled += chunkEntries, chunk = u32[chunk]) {
      const from = chunk + 1 + offset;
      values.set(u32.subarray(from, from + Math.min(chunkEntries, count - filled)), filled);
    }
    return values;
  }

  #records(root: number, chunkEntries: number, width: number, count: number): Uint32Array {
    const words = this.arrays.uint32(count * width);
    const u32 = this.#u32;
    let chunk = u32[root];
    for (let filled = 0; filled < count; filled += chunkEntries, chunk = u32[chunk]) {
      const take = Math.min(chunkEntries, count - filled) * width;
      words.set(u32.subarray(chunk + 1, chunk + 1 + take), filled * width);
    }
    return words;
  }
}

/** Turns addresses of strings into where their bytes start, and puts where they end. */
function placeStrings(from: number, to: number, u32: Uint32Array, addresses: Uint32Array, ends: Uint32Array): void {
  for (let code = from; code < to; code++) {
    const at = addresses[code];
    addresses[code] = 4 * (at + 2);
    ends[code] = 4 * (at + 2) + u32[at + 1];
  }
}

/**
 * Scatters `take` entries, whose rows begin at `entry` and whose values `capacity` words behind it. Returns the last row; -1 when
 * what comes does not belong to the snapshot.
 */
function scatterEntries(
  u32: Uint32Array,
  entry: number,
  take: number,
  capacity: number,
  width: number,
  previous: number,
  limit: number,
  place: Int32Array,
  into: Int32Array,
): number {
  let value = entry + capacity;
  for (const end = entry + take; entry < end; entry++, value += width) {
    const row = u32[entry];
    if (row >= limit || row <= previous) return -1;
    previous = row;
    const at = place[row];
    if (at >= 0) into[at] = width === 1 ? u32[value] : value;
  }
  return previous;
}
