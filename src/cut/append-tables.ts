/**
 * What the writer of a live segment keeps for itself, in one WebAssembly memory, so that the kernel (append-kernel.ts) finds all
 * of it without a call. In bytes:
 *
 * ```
 *      0   the record of no column; then, for span, event and link, one whose "next" is the column of the first attribute
 *    256   words: what kernel and host tell each other, the counts of the segment, and the span that is being read
 *    512   batch: four words a span: where it begins and ends in the window, its trace, the address of its row
 *   4096   recent strings: the addresses of strings that came lately
 *   8192   window: the part of the request that is read now, and room to read past its end
 *  41472   records of the columns, 64 bytes (one line of the cache) each
 *      …   string table: hash and address of every string that is looked up, open addressing
 * ```
 */
import { newMemory, PAGE_BYTES, type WasmMemory } from './wasm.ts';

export const RECORD_BYTES = 64;
/** Offsets in a record. Of the column: space | type << 8. */
export const RECORD_KIND = 0;
/** Address of the key's bytes in the segment, in words. */
export const RECORD_KEY = 4;
/** 0x0a and the key's length as a KeyValue begins with them; 0, which no attribute has, when it is not for the kernel. */
export const RECORD_KEY_TAG = 8;
/** The last row + 1: a key that comes twice in one span is seen by that. */
export const RECORD_LAST_ROW = 12;
/** Where the next row goes, where the room for rows ends, and where the next value goes, in words. */
export const RECORD_ROW = 16;
export const RECORD_ROWS_END = 20;
export const RECORD_VALUE = 24;
/** Entries of the chunks before the last. */
export const RECORD_BEFORE = 28;
/** The record of the column that came after this one last, and of another that did before. */
export const RECORD_NEXT = 32;
export const RECORD_NEXT_BUT_ONE = 36;
/** Strings since the last decision about DISTINCT, and how many of them were new to the segment. */
export const RECORD_SEEN = 40;
export const RECORD_FRESH = 44;
/** The tags of a value and of the one member that it may have, with a byte between them. */
export const RECORD_MEMBER = 48;
export const RECORD_KEY_LENGTH = 52;

/** Where the record stands that is before a span's first attribute; those for events and links follow. */
export const FIRST_RECORD = 64;
/** The record of the attribute before. */
export const AT_RECORD = 256;
/** Longer strings are the host's. */
export const AT_STRAIGHT_MAX = 260;
export const AT_ID = 264;
export const AT_PARENT = 272;
export const AT_START = 280;
export const AT_END = 288;
/** In the window. */
export const AT_NAME = 296;
export const AT_NAME_LENGTH = 300;
export const AT_KIND = 304;
export const AT_STATUS = 308;
/** Words of the segment that are in use, and that there are. */
export const AT_USED = 312;
export const AT_CAPACITY = 316;
export const AT_STRINGS = 320;
/** Where the next string's address goes, unless a chunk of addresses is full. */
export const AT_STRING_ENTRY = 324;
/** The string table: where it begins, its slots - 1, those in use, and the seed of its hashes. */
export const AT_STRING_TABLE = 328;
export const AT_STRING_MASK = 332;
export const AT_INTERNED = 336;
export const AT_SEED = 340;
/** Address of the string that was looked up last. */
export const AT_FOUND = 344;

export const BATCH = 512;
export const BATCH_MAX = 200;
export const RECENT = 4096;
export const RECENT_MASK = 1023;
export const WINDOW = 8192;
export const WINDOW_BYTES = 32768;
/** Behind the window there is room for what a look past the end of a span may read. */
const RECORDS = WINDOW + WINDOW_BYTES + 512;

const PAGES_MAX = 65536;
const COLUMNS_MIN = 64;
const STRING_SLOTS_MIN = 1024;

export class AppendTables {
  readonly memory: WasmMemory;
  words: Int32Array;
  bytes: Uint8Array;
  /** The records of the columns. */
  heads: Int32Array;
  #columnsMax = COLUMNS_MIN;

  /** For a segment of at most so many bytes; `seed` keys the hashes of strings. */
  constructor(segmentBytesMax: number, seed: number) {
    // A string takes 16 bytes of the segment at least and 32 of the table at most, a column 90 and 128. Only what is used is taken.
    const maximum = Math.min(PAGES_MAX, 2 + Math.ceil((4 * segmentBytesMax) / PAGE_BYTES));
    this.memory = newMemory({ initial: 1, maximum });
    this.words = new Int32Array(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.heads = new Int32Array(this.memory.buffer, RECORDS);
    this.words[AT_SEED / 4] = seed;
    this.words[AT_STRING_MASK / 4] = STRING_SLOTS_MIN - 1;
    this.words[AT_STRING_TABLE / 4] = RECORDS + RECORD_BYTES * COLUMNS_MIN;
  }

  /** Makes room for the records of `count` columns. */
  reserveColumns(count: number): void {
    if (count <= this.#columnsMax) return;
    this.#columnsMax = 2 * count;
    const from = this.words[AT_STRING_TABLE / 4];
    const bytes = 8 * (this.words[AT_STRING_MASK / 4] + 1);
    const to = RECORDS + RECORD_BYTES * this.#columnsMax;
    this.#reserve(to + bytes);
    this.bytes.copyWithin(to, from, from + bytes);
    this.words[AT_STRING_TABLE / 4] = to;
  }

  /** Takes a string table of so many slots, a power of two, in place of the one there is. All of its slots are empty. */
  emptyStrings(slots: number): void {
    const at = this.words[AT_STRING_TABLE / 4];
    this.#reserve(at + 8 * slots);
    this.words[AT_STRING_MASK / 4] = slots - 1;
    this.words[AT_INTERNED / 4] = 0;
    this.words.fill(0, at / 4, at / 4 + 2 * slots);
  }

  forgetRecent(): void {
    this.words.fill(0, RECENT / 4, RECENT / 4 + RECENT_MASK + 1);
  }

  /** Forgets which columns come after which, of so many columns. */
  forgetNext(columns: number): void {
    const forget = (record: number): void => {
      this.words[(record + RECORD_NEXT) / 4] = this.words[(record + RECORD_NEXT_BUT_ONE) / 4] = 0;
    };
    for (let space = 0; space < 3; space++) forget(FIRST_RECORD + RECORD_BYTES * space);
    for (let column = 0; column < columns; column++) forget(recordOf(column));
  }

  #reserve(bytes: number): void {
    const more = bytes - this.memory.buffer.byteLength;
    if (more <= 0) return;
    this.memory.grow(Math.ceil(more / PAGE_BYTES));
    this.words = new Int32Array(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.heads = new Int32Array(this.memory.buffer, RECORDS);
  }
}

export function recordOf(column: number): number {
  return RECORDS + RECORD_BYTES * column;
}

export function columnOfRecord(record: number): number {
  return (record - RECORDS) / RECORD_BYTES;
}
