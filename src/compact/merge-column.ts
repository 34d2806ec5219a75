/**
 * A column of the slices of a planned row group in the order of the merged one, as the Parquet writer takes it. Codes are given
 * anew: equal values get one, whatever dictionaries they come from, and only values of rows that stay get any. Each entry of a
 * dictionary is looked at once, and each value costs two looks into tables of numbers; which values those are is found once for all columns
 * that have their nulls in the same rows.
 */
import type { Attribute } from '../block/any-value.ts';
import type { ChunkBuilder } from '../block/chunks.ts';
import { type ColumnUse, elementType } from '../block/schema.ts';
import { StringTable } from '../block/string-table.ts';
import type { ColumnType, Strings } from '../block/table.ts';
import { type ResourceType, spread } from '../block/write.ts';
import type { ChunkData, Values } from '../parquet/column.ts';
import type { Arrays } from '../runtime/arena.ts';
import type { LevelMerger } from './merged-levels.ts';
import type { Overflow } from './overflow.ts';
import { NumberTable } from './number-table.ts';
import type { Slice } from './row-group-plan.ts';
import { entriesMax, type SourceColumn, type SourceLevels, type StoredSlice } from './source-levels.ts';
import {
  gatherBits,
  gatherCodes,
  gatherInts,
  gatherWords,
  type Intern,
  type NumberedStrings,
  isCoded,
  type Place,
  readBits,
  readCodes,
  readInts,
  readNumbered,
  readWords,
} from './source-values.ts';

type Levels = Pick<ChunkData, 'definition' | 'repetition'>;

/** After so many values without a dictionary it is known whether one is worth it; after fewer where none had one in its block. */
const SAMPLE = 1 << 16;
const PLAIN_SAMPLE = 1 << 13;

/** What is merged: the columns of these slices, in the order of the merged row group. */
export interface MergedRows {
  slices: readonly Slice[];
  /** Rows of all slices. */
  rows: number;
  /** Of each merged row, which row of the slices it is. */
  order: Uint32Array;
}

export class ColumnMerger {
  readonly #merged: MergedRows;
  readonly #levels: LevelMerger;
  readonly #arrays: Arrays;
  readonly #builder: ChunkBuilder;

  /** `levels` are those of earlier row groups, to be used again. */
  constructor(merged: MergedRows, levels: LevelMerger, arrays: Arrays, builder: ChunkBuilder) {
    this.#merged = merged;
    this.#levels = levels;
    this.#arrays = arrays;
    this.#builder = builder;
    levels.start(merged.order, merged.rows);
  }

  /** `levelsOf`: see SourceColumn. */
  chunk(type: ColumnType, stored: readonly StoredSlice[], levelsOf: readonly StoredSlice[] | undefined): ChunkData {
    const column = this.#column(stored, levelsOf);
    switch (type) {
      case 'string':
      case 'any':
        return this.#codedStrings(column) ?? this.#anyStrings(this.#numbered(column));
      case 'bool':
        return this.#bits(column);
      default:
        return this.#codedNumbers(type, column) ?? this.#numbers(type, column);
    }
  }

  /** Adds the values of a column that gets none of its own. */
  overflow(
    use: ColumnUse,
    stored: readonly StoredSlice[],
    levelsOf: readonly StoredSlice[] | undefined,
    into: Overflow,
  ): void {
    this.#arrays.scoped(() => into.add(use, this.#column(stored, elementType(use.t) ? [] : levelsOf), this.#arrays));
  }

  /** The column `more`, with those. */
  more(stored: readonly StoredSlice[], levelsOf: readonly StoredSlice[] | undefined, overflow: Overflow): ChunkData {
    return this.#anyStrings(overflow.before(this.#numbered(this.#column(stored, levelsOf)), this.#arrays));
  }

  /** A column of strings that every row has and that always gets a dictionary. The codes hold until the next chunk. */
  messages(stored: readonly StoredSlice[]): { chunk: ChunkData; codes: Uint32Array; strings: StringTable } {
    return this.#strings(this.#column(stored))!;
  }

  /** A column of attributes of resources, of which each row has one. */
  ofResources(type: ResourceType, of: Uint32Array, resources: number, values: Map<number, Attribute>): ChunkData {
    const found = spread(this.#arrays, of, resources, values, type);
    if (found.strings === undefined) return this.#builder.sparse(of.length, found, type);
    const { codes, count, present, strings } = found;
    const levels = present === undefined ? {} : { definition: present };
    const chunk = {
      rows: of.length,
      ...levels,
      values: valuesOf(strings),
      codes,
      codeCount: count,
      codec: 'zstd' as const,
    };
    return strings.count > 512 ? { ...chunk, bloom: 10 } : chunk;
  }

  /** Numbers of 32 bits that every row has. */
  ints(stored: readonly StoredSlice[], into: Int32Array): Int32Array {
    const all = this.#arrays.int32(this.#merged.rows);
    readInts(this.#column(stored), this.#arrays, all);
    return gatherInts(all, this.#merged.order, into);
  }

  /** Numbers of 64 bits, or ids of 8 bytes, that every row has: two words each. */
  words(stored: readonly StoredSlice[], into: Int32Array): Int32Array {
    const all = this.#arrays.int32(2 * this.#merged.rows);
    readWords(this.#column(stored), this.#arrays, all);
    return gatherWords(all, this.#merged.order, into);
  }

  /** Ids of 8 bytes that some rows have. */
  ids(stored: readonly StoredSlice[]): ChunkData {
    const all = this.#arrays.int32(2 * this.#merged.rows);
    const { from, levels } = this.#ordered(readWords(this.#column(stored), this.#arrays, all));
    const words = gatherWords(all, from, this.#arrays.int32(2 * from.length));
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    const values: Values = { type: 'fixed', bytes, width: 8, count: from.length };
    return { rows: this.#rows, ...levels, values, encoding: 'plain', codec: 'none', statistics: false };
  }

  get #rows(): number {
    return this.#merged.order.length;
  }

  /** Whether no row of the slices is left out. */
  get #isWhole(): boolean {
    return this.#rows === this.#merged.rows;
  }

  #column(stored: readonly StoredSlice[], levelsOf?: readonly StoredSlice[]): SourceColumn {
    const isList =
      levelsOf !== undefined || stored.some((column) => column !== undefined && column.chunk.maxRepetition > 0);
    const { slices, rows } = this.#merged;
    return { slices, stored, rows, isList, levelsOf };
  }

  #ordered(source: SourceLevels): { from: Uint32Array; levels: Levels } {
    const { from, definition, repetition } = this.#levels.merge(source);
    return { from, levels: { ...(definition && { definition }), ...(repetition && { repetition }) } };
  }

  /** undefined: the values do not all have codes, or there are too many. The codes hold until the next chunk. */
  #coded(column: SourceColumn, intern: Intern): { codes: Uint32Array; count: number; levels: Levels } | undefined {
    if (!isCoded(column)) return undefined;
    const all = this.#arrays.uint32(entriesMax(column));
    const source = readCodes(column, this.#arrays, all, intern);
    if (source === undefined) return undefined;
    const { from, levels } = this.#ordered(source);
    return { codes: gatherCodes(all, from, this.#arrays.uint32(from.length)), count: from.length, levels };
  }

  #strings(column: SourceColumn): { chunk: ChunkData; codes: Uint32Array; strings: StringTable } | undefined {
    let strings = new StringTable();
    const coded = this.#coded(column, (values, entry) => {
      const { bytes, offsets } = values as Values & { type: 'bytes' };
      return strings.intern(bytes, offsets[entry], offsets[entry + 1]);
    });
    if (coded === undefined) return undefined;
    const { codes, count, levels } = coded;
    // What only rows have that are left out must not stay.
    if (!this.#isWhole) strings = onlyUsed(strings, codes, count);
    const values = valuesOf(strings);
    const chunk: ChunkData = { rows: this.#rows, ...levels, values, codes, codeCount: count, codec: 'zstd' };
    if (strings.count > 512) chunk.bloom = 10;
    return { chunk, codes, strings };
  }

  #codedStrings(column: SourceColumn): ChunkData | undefined {
    const found = this.#strings(column);
    return found === undefined || isNearlyDistinct(found.strings.count, found.chunk.codeCount!)
      ? undefined
      : found.chunk;
  }

  #codedNumbers(type: 'int' | 'double', column: SourceColumn): ChunkData | undefined {
    // Which numbers are left over is not worth finding out: there are few of them in a dictionary, and none is anybody's name.
    if (!this.#isWhole) return undefined;
    const numbers = new NumberTable();
    const coded = this.#coded(column, (values, entry) => numbers.intern(values, entry));
    if (coded === undefined) return undefined;
    const { codes, count, levels } = coded;
    const { count: distinct } = numbers;
    const all = numbers.words.slice(0, 2 * distinct);
    const values: Values =
      type === 'int'
        ? { type: 'int64', words: all, count: distinct }
        : { type: 'double', values: new Float64Array(all.buffer, 0, distinct), count: distinct };
    return { rows: this.#rows, ...levels, values, codes, codeCount: count, codec: 'zstd' };
  }

  #numbered(column: SourceColumn): NumberedStrings {
    return readNumbered(column, this.#arrays, this.#arrays.uint32(entriesMax(column)));
  }

  #anyStrings(stored: NumberedStrings): ChunkData {
    const { from, levels } = this.#ordered(stored.levels);
    const numbers = gatherCodes(stored.numbers, from, this.#arrays.uint32(from.length));
    const codes = this.#arrays.uint32(from.length);
    const renumbered = this.#arrays.uint32(stored.count);
    const strings = new StringTable();
    const finder = new StringFinder(stored.places);
    // Hashing every value of a column of different ones would cost more than all else.
    const sample = Math.min(stored.isMixed ? SAMPLE : PLAIN_SAMPLE, numbers.length);
    codeStrings(numbers, 0, sample, renumbered, codes, strings, finder);
    if (isNearlyDistinct(strings.count, sample)) return this.#plain(numbers, levels, finder);
    codeStrings(numbers, sample, numbers.length, renumbered, codes, strings, finder);
    if (isNearlyDistinct(strings.count, numbers.length)) return this.#plain(numbers, levels, finder);
    return {
      rows: this.#rows,
      ...levels,
      values: valuesOf(strings),
      codes,
      codeCount: numbers.length,
      codec: 'zstd',
      ...(strings.count > 512 && { bloom: 10 }),
    };
  }

  /** Every string as it comes. */
  #plain(numbers: Uint32Array, levels: Levels, finder: StringFinder): ChunkData {
    const count = numbers.length;
    const offsets = this.#arrays.uint32(count + 1);
    const bytes = this.#arrays.uint8(lengthOf(numbers, finder));
    copyStrings(numbers, finder, offsets, bytes);
    const strings = { type: 'bytes' as const, bytes, offsets, count };
    return { rows: this.#rows, ...levels, values: strings, encoding: 'delta-length', codec: 'zstd' };
  }

  #bits(column: SourceColumn): ChunkData {
    const all = this.#arrays.uint8(entriesMax(column));
    const { from, levels } = this.#ordered(readBits(column, this.#arrays, all));
    const bits = gatherBits(all, from, this.#arrays.uint8(from.length));
    const values: Values = { type: 'boolean', values: bits, count: from.length };
    return { rows: this.#rows, ...levels, values, encoding: 'plain', codec: 'zstd' };
  }

  #numbers(type: 'int' | 'double', column: SourceColumn): ChunkData {
    const all = this.#arrays.int32(2 * entriesMax(column));
    const { from, levels } = this.#ordered(readWords(column, this.#arrays, all));
    const words = gatherWords(all, from, this.#arrays.int32(2 * from.length));
    return this.#builder.words(this.#rows, words, from.length, type === 'int' ? 'int64' : 'double', levels);
  }
}

/** Equal strings get one code. */
function codeStrings(
  numbers: Uint32Array,
  from: number,
  to: number,
  renumbered: Uint32Array,
  codes: Uint32Array,
  strings: StringTable,
  finder: StringFinder,
): void {
  for (let i = from; i < to; i++) {
    const number = numbers[i];
    let code = renumbered[number];
    if (code === 0) {
      const { bytes, start, end } = finder.find(number);
      code = renumbered[number] = strings.intern(bytes, start, end) + 1;
    }
    codes[i] = code - 1;
  }
}

function lengthOf(numbers: Uint32Array, finder: StringFinder): number {
  let length = 0;
  for (let i = 0; i < numbers.length; i++) {
    const { start, end } = finder.find(numbers[i]);
    length += end - start;
  }
  return length;
}

function copyStrings(numbers: Uint32Array, finder: StringFinder, offsets: Uint32Array, into: Uint8Array): void {
  let to = 0;
  for (let i = 0; i < numbers.length; i++) {
    const { bytes, start, end } = finder.find(numbers[i]);
    offsets[i] = to;
    for (let from = start; from < end; from++) into[to++] = bytes[from];
  }
  offsets[numbers.length] = to;
}

/** Above this a dictionary is larger than what it saves. */
function isNearlyDistinct(distinct: number, count: number): boolean {
  return distinct > 256 && distinct > 0.5 * count;
}

/** The strings that codes mean, which are given anew. */
function onlyUsed(strings: StringTable, codes: Uint32Array, count: number): StringTable {
  const renumbered = new Uint32Array(strings.count);
  for (let i = 0; i < count; i++) renumbered[codes[i]] = 1;
  const used = new StringTable();
  for (let code = 0; code < strings.count; code++)
    if (renumbered[code] === 1) renumbered[code] = used.intern(strings.bytes, strings.starts[code], strings.ends[code]);
  for (let i = 0; i < count; i++) codes[i] = renumbered[codes[i]];
  return used;
}

function valuesOf({ bytes, starts, ends, count }: Strings): Values {
  const offsets = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) offsets[i] = starts[i];
  offsets[count] = count === 0 ? 0 : ends[count - 1];
  return { type: 'bytes', bytes: bytes.subarray(0, offsets[count]), offsets, count };
}

/** The strings of numbers: those of neighbours are mostly in one place. */
class StringFinder {
  bytes = new Uint8Array(0);
  start = 0;
  end = 0;
  readonly #places: readonly Place[];
  #offsets = new Uint32Array(1);
  #first = 0;
  #count = 0;

  constructor(places: readonly Place[]) {
    this.#places = places;
  }

  /** The string is `bytes` from `start` to `end` of this, until the next call. */
  find(number: number): this {
    if (number < this.#first || number - this.#first >= this.#count) this.#seek(number);
    const at = number - this.#first;
    this.start = this.#offsets[at];
    this.end = this.#offsets[at + 1];
    return this;
  }

  #seek(number: number): void {
    let low = 0;
    for (let high = this.#places.length - 1; low < high; ) {
      const middle = (low + high + 1) >>> 1;
      if (this.#places[middle].first <= number) low = middle;
      else high = middle - 1;
    }
    const { first, values } = this.#places[low];
    this.#first = first;
    this.#count = values.count;
    this.#offsets = values.offsets as Uint32Array<ArrayBuffer>;
    this.bytes = values.bytes as Uint8Array<ArrayBuffer>;
  }
}
