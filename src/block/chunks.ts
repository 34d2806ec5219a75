/**
 * Chooses how a column is written: a dictionary when values repeat, differences for whole numbers, lengths and bytes for
 * strings that are all different. Dictionaries are in order of first use; sorting them would cost more than it saves
 * (30 ms for 20,000 entries, a tenth of a whole block of 150,000 spans).
 */
import { isUtf8 } from 'node:buffer';
import { zstdCompressSync } from 'node:zlib';
import type { ChunkData, Values } from '../parquet/column.ts';
import { utf8 } from './any-value.ts';
import type { Arrays } from '../runtime/arena.ts';
import { inRuns, RUN_ROWS } from '../runtime/runs.ts';
import type { SparseValues, Strings } from './table.ts';

/** Values below this are looked up in an array, and as many larger ones may be in a dictionary. */
const SMALL_MAX = 1024;

/** Scratch that lives as long as one block is written. */
export class ChunkBuilder {
  /** For what a chunk needs until it is written. */
  readonly arrays: Arrays;
  /** Local code + 1 of each string of the source, zero between columns. */
  #remap = new Uint32Array(0);
  #numberTable = new Int32Array(1 << 13);
  /** Codes of the column that is being built; the writer is done with them before the next one. */
  #local = new Uint32Array(0);
  #used = new Uint32Array(1024);
  readonly #small = new Uint16Array(SMALL_MAX + 1);

  constructor(arrays: Arrays) {
    this.arrays = arrays;
  }

  /** A column of codes over `rows` rows: of text, which is made valid UTF-8, of any bytes, or of messages, which always get a dictionary. */
  strings(
    rows: number,
    codes: Uint32Array,
    count: number,
    strings: Strings,
    levels: Pick<ChunkData, 'definition' | 'repetition'>,
    content: 'text' | 'bytes' | 'messages',
  ): ChunkData {
    const distinct = this.#number(codes, count, strings.count);
    const local = this.#local;
    const used = this.#used;
    const chunk = { rows, ...levels, codec: 'zstd' as const };
    const valuesOf = content === 'text' ? textOf : bytesOf;
    if (content !== 'messages' && distinct > 256 && distinct > count * 0.5)
      return { ...chunk, values: valuesOf(this.arrays, codes, count, strings), encoding: 'delta-length' };
    return {
      ...chunk,
      values: valuesOf(this.arrays, used, distinct, strings),
      codes: local,
      codeCount: count,
      ...(distinct > 512 && { bloom: 10 }),
    };
  }

  /** Numbers the different codes as they come, of `total` that there are: the number of each value, and the code of each number. */
  distinct(codes: Uint32Array, count: number, total: number): { numbers: Uint32Array; codes: Uint32Array } {
    const distinct = this.#number(codes, count, total);
    const numbers = this.arrays.uint32(count);
    const own = this.arrays.uint32(distinct);
    numbers.set(this.#local.subarray(0, count));
    own.set(this.#used.subarray(0, distinct));
    return { numbers, codes: own };
  }

  /** The same into #local and #used; returns how many there are. */
  #number(codes: Uint32Array, count: number, total: number): number {
    if (this.#remap.length < total) this.#remap = new Uint32Array(total + 1024);
    const remap = this.#remap;
    if (this.#local.length < count) this.#local = new Uint32Array(count);
    let distinct = 0;
    for (let from = 0; from < count; from += RUN_ROWS) {
      const to = Math.min(count, from + RUN_ROWS);
      if (distinct + to - from > this.#used.length) {
        const wider = new Uint32Array(2 * this.#used.length);
        wider.set(this.#used);
        this.#used = wider;
      }
      distinct = numberCodes(from, to, codes, remap, this.#used, this.#local, distinct);
    }
    inRuns(distinct, forget, this.#used, remap);
    return distinct;
  }

  /** A column of 64-bit values, two words each. */
  words(
    rows: number,
    words: Int32Array,
    count: number,
    type: 'int64' | 'double',
    levels: Pick<ChunkData, 'definition' | 'repetition'>,
  ): ChunkData {
    const coded = this.#codeWords(words, count);
    if (coded !== undefined) {
      const values: Values =
        type === 'int64'
          ? { type, words: coded.dictionary, count: coded.distinct }
          : { type, values: new Float64Array(coded.dictionary.buffer, 0, coded.distinct), count: coded.distinct };
      return { rows, ...levels, values, codes: coded.codes, codeCount: count, codec: 'zstd' };
    }
    if (type === 'int64') return { rows, ...levels, values: { type, words, count }, encoding: 'delta', codec: 'none' };
    return {
      rows,
      ...levels,
      values: { type, values: new Float64Array(words.buffer, words.byteOffset, count), count },
      encoding: 'plain',
      codec: compressible(words, count) ? 'zstd' : 'none',
    };
  }

  /** A column of 32-bit values: kinds, codes, small distances. */
  int32(rows: number, values: Int32Array, levels: Pick<ChunkData, 'definition' | 'repetition'> = {}): ChunkData {
    const count = values.length;
    const plain = { rows, ...levels, values: { type: 'int32' as const, values, count }, encoding: 'delta' as const };
    if (this.#local.length < count) this.#local = new Uint32Array(count);
    const codes = this.#local;
    const small = this.#small.fill(0);
    const large = new Map<number, number>();
    const dictionary: number[] = [];
    for (let from = 0; from < count; from += RUN_ROWS) {
      codeValues(from, Math.min(count, from + RUN_ROWS), values, small, large, dictionary, codes);
      if (large.size > SMALL_MAX) return { ...plain, codec: 'none' };
    }
    return {
      rows,
      ...levels,
      values: { type: 'int32', values: Int32Array.from(dictionary), count: dictionary.length },
      codes,
      codeCount: count,
      codec: 'zstd',
    };
  }

  /** Any sparse column. */
  sparse(rows: number, values: SparseValues, type: 'string' | 'any' | 'int' | 'double' | 'bool'): ChunkData {
    return this.valued(rows, values, type, values.present === undefined ? {} : { definition: values.present });
  }

  /** The same with the levels given, for lists. */
  valued(
    rows: number,
    values: SparseValues,
    type: 'string' | 'any' | 'int' | 'double' | 'bool',
    levels: Pick<ChunkData, 'definition' | 'repetition'>,
  ): ChunkData {
    if (type === 'string' || type === 'any')
      return this.strings(
        rows,
        values.codes!,
        values.count,
        values.strings!,
        levels,
        type === 'string' ? 'text' : 'bytes',
      );
    if (type === 'bool')
      return {
        rows,
        ...levels,
        values: { type: 'boolean', values: values.bits!, count: values.count },
        encoding: 'plain',
        codec: 'zstd',
      };
    return this.words(rows, values.words!, values.count, type === 'int' ? 'int64' : 'double', levels);
  }

  /** Codes of 64-bit values when there are few distinct ones; gives up as soon as there are many. */
  #codeWords(
    words: Int32Array,
    count: number,
  ): { codes: Uint32Array; dictionary: Int32Array; distinct: number } | undefined {
    const distinctMax = Math.min(2048, Math.max(64, count >>> 2));
    const table = this.#numberTable.fill(0);
    if (this.#local.length < count) this.#local = new Uint32Array(count);
    const codes = this.#local;
    const dictionary = new Int32Array(2 * distinctMax);
    let distinct = 0;
    for (let from = 0; from < count; from += RUN_ROWS) {
      distinct = codeWords(from, Math.min(count, from + RUN_ROWS), words, table, dictionary, codes, distinct);
      if (distinct < 0) return undefined;
    }
    return { codes, dictionary: dictionary.slice(0, 2 * distinct), distinct };
  }
}

/** Codes of the values [from, to). Small ones, the rule, are looked up in an array; code + 1, 0 = not seen. */
function codeValues(
  from: number,
  to: number,
  values: Int32Array,
  small: Uint16Array,
  large: Map<number, number>,
  dictionary: number[],
  codes: Uint32Array,
): void {
  for (let i = from; i < to; i++) {
    const value = values[i];
    let code: number;
    if (value >= -1 && value < SMALL_MAX) {
      code = small[value + 1];
      if (code === 0) code = small[value + 1] = dictionary.push(value);
    } else {
      code = large.get(value) ?? 0;
      if (code === 0) {
        code = dictionary.push(value);
        large.set(value, code);
      }
    }
    codes[i] = code - 1;
  }
}

/** Codes of the words [from, to), as `numberCodes` numbers codes; -1 when they do not fit into the dictionary. */
function codeWords(
  from: number,
  to: number,
  words: Int32Array,
  table: Int32Array,
  dictionary: Int32Array,
  codes: Uint32Array,
  distinct: number,
): number {
  const mask = table.length - 1;
  for (let i = from; i < to; i++) {
    const low = words[2 * i];
    const high = words[2 * i + 1];
    const hash = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 15)) & mask;
    let found = table[slot];
    while (found !== 0 && (dictionary[2 * found - 2] !== low || dictionary[2 * found - 1] !== high)) {
      slot = (slot + 1) & mask;
      found = table[slot];
    }
    if (found === 0) {
      if (2 * distinct === dictionary.length) return -1;
      dictionary[2 * distinct] = low;
      dictionary[2 * distinct + 1] = high;
      found = table[slot] = ++distinct;
    }
    codes[i] = found - 1;
  }
  return distinct;
}

/** Numbers of the codes [from, to) into `local`, new ones from `distinct` on, which get their codes in `used`; returns how many there are. */
function numberCodes(
  from: number,
  to: number,
  codes: Uint32Array,
  remap: Uint32Array,
  used: Uint32Array,
  local: Uint32Array,
  distinct: number,
): number {
  for (let i = from; i < to; i++) {
    const code = codes[i];
    let found = remap[code];
    if (found === 0) {
      used[distinct++] = code;
      found = remap[code] = distinct;
    }
    local[i] = found - 1;
  }
  return distinct;
}

function forget(from: number, to: number, used: Uint32Array, remap: Uint32Array): void {
  for (let i = from; i < to; i++) remap[used[i]] = 0;
}

/**
 * The same for a column that Parquet calls text: DuckDB refuses the whole column when one value is not UTF-8, so there U+FFFD
 * stands for what is not. All of them are checked at once; together they are valid although one is not only where one begins
 * inside a character.
 */
function textOf(arrays: Arrays, codes: Uint32Array, count: number, strings: Strings): Values {
  const values = bytesOf(arrays, codes, count, strings);
  const { bytes, offsets } = values;
  let valid = isUtf8(bytes);
  for (let from = 0; valid && from < count; from += RUN_ROWS)
    valid = beginCharacters(from, Math.min(count, from + RUN_ROWS), bytes, offsets);
  if (valid) return values;
  const texts: Buffer[] = [];
  for (let i = 0; i < count; i++) texts.push(Buffer.from(utf8(bytes.subarray(offsets[i], offsets[i + 1]))));
  for (let i = 0, length = 0; i < count; i++) offsets[i + 1] = length += texts[i].length;
  return { type: 'bytes', bytes: new Uint8Array(Buffer.concat(texts)), offsets, count };
}

/** Whether none of the strings [from, to) begins inside a character. */
function beginCharacters(from: number, to: number, bytes: Uint8Array, offsets: Uint32Array): boolean {
  for (let i = from; i < to; i++)
    if (offsets[i] !== offsets[i + 1] && (bytes[offsets[i]] & 0xc0) === 0x80) return false;
  return true;
}

/** The strings of `codes`, one after the other. */
function bytesOf(arrays: Arrays, codes: Uint32Array, count: number, strings: Strings): Values & { type: 'bytes' } {
  const { bytes: source, starts, ends } = strings;
  const offsets = arrays.uint32(count + 1);
  inRuns(count, addLengths, codes, starts, ends, offsets);
  const bytes = arrays.uint8(offsets[count]);
  inRuns(count, copyStrings, codes, starts, ends, source, offsets, bytes);
  return { type: 'bytes', bytes, offsets, count };
}

function addLengths(
  from: number,
  to: number,
  codes: Uint32Array,
  starts: Uint32Array,
  ends: Uint32Array,
  offsets: Uint32Array,
): void {
  let length = offsets[from];
  for (let i = from; i < to; i++) {
    length += ends[codes[i]] - starts[codes[i]];
    offsets[i + 1] = length;
  }
}

function copyStrings(
  from: number,
  to: number,
  codes: Uint32Array,
  starts: Uint32Array,
  ends: Uint32Array,
  source: Uint8Array,
  offsets: Uint32Array,
  bytes: Uint8Array,
): void {
  for (let i = from, put = offsets[from]; i < to; i++) {
    const end = ends[codes[i]];
    let at = starts[codes[i]];
    // Short strings are the rule, and a loop is faster for them than a call of set.
    if (end - at < 48) while (at < end) bytes[put++] = source[at++];
    else {
      bytes.set(source.subarray(at, end), put);
      put += end - at;
    }
  }
}

/** Whether a sample of doubles shrinks by a quarter; less is not worth decompressing at every scan. */
function compressible(words: Int32Array, count: number): boolean {
  const sample = words.subarray(0, Math.min(2 * count, 4096));
  const bytes = new Uint8Array(sample.buffer, sample.byteOffset, sample.byteLength);
  return zstdCompressSync(bytes, { params: { 100: 1 } }).length < 0.75 * bytes.length;
}
