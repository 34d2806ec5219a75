/**
 * A column of the slices of a planned row group in the order of the merged one, as the Parquet writer takes it. Codes are given
 * anew: equal values get one, whatever dictionaries they come from, and only values of rows that stay get any. Each entry of a
 * dictionary is looked at once, and each row costs two looks into tables of numbers.
 */
import type { Attribute } from '../block/any-value.ts';
import type { ChunkBuilder } from '../block/chunks.ts';
import { StringTable } from '../block/string-table.ts';
import type { ColumnType, Strings } from '../block/table.ts';
import { type ResourceType, spread } from '../block/write.ts';
import type { ChunkData, Values } from '../parquet/column.ts';
import type { Arrays } from '../runtime/arena.ts';
import { type CodedRows, isShort, readCoded } from './coded-rows.ts';
import { NumberTable } from './number-table.ts';
import { wordsOf } from './placed-rows.ts';
import type { Slice } from './row-group-plan.ts';
import { readFlat, readLists, type StoredRows, type StoredSlice } from './stored-rows.ts';

type Levels = Pick<ChunkData, 'definition' | 'repetition'>;

/** After so many values of pages without a dictionary it is known whether one is worth it. */
const SAMPLE = 1 << 16;

/** What is merged: the columns of these slices, in the order of the merged row group. */
export interface MergedRows {
  slices: readonly Slice[];
  /** Rows of all slices. */
  rows: number;
  /** Of each merged row, which row of the slices it is. */
  order: Uint32Array;
  /** Of each row of the slices, which merged row it is; for those that are left out the number of merged rows. */
  places: Uint32Array;
}

export class ColumnMerger {
  readonly #merged: MergedRows;
  readonly #arrays: Arrays;
  readonly #builder: ChunkBuilder;

  constructor(merged: MergedRows, arrays: Arrays, builder: ChunkBuilder) {
    this.#merged = merged;
    this.#arrays = arrays;
    this.#builder = builder;
  }

  /** `levelsOf`: see readLists. */
  chunk(type: ColumnType, stored: readonly StoredSlice[], levelsOf: readonly StoredSlice[] | undefined): ChunkData {
    const { slices, rows, order } = this.#merged;
    const isList =
      levelsOf !== undefined || stored.some((column) => column !== undefined && column.chunk.maxRepetition > 0);
    if (type !== 'bool' && isShort(stored) && !(isList && stored.includes(undefined))) {
      const chunk = type === 'string' || type === 'any' ? this.#codedStrings(stored) : this.#codedNumbers(type, stored);
      if (chunk !== undefined) return chunk;
    }
    const read = isList
      ? readLists(slices, stored, levelsOf ?? [], rows, this.#arrays)
      : readFlat(slices, stored, rows, this.#arrays);
    if (read.lists !== undefined) return this.#list(type, read, read.lists, order);
    return this.#ordered(type, read, order, order.length);
  }

  /** A column of strings that every row has and that always gets a dictionary. The codes hold until the next chunk. */
  messages(stored: readonly StoredSlice[]): { chunk: ChunkData; codes: Uint32Array; strings: StringTable } {
    const { codes, strings, chunk } = this.#strings(stored)!;
    return { chunk, codes, strings };
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

  /** undefined: the long way has to be gone. */
  #strings(stored: readonly StoredSlice[]): { chunk: ChunkData; codes: Uint32Array; strings: StringTable } | undefined {
    const { slices, places, order } = this.#merged;
    let strings = new StringTable();
    const intern = (values: Values, entry: number): number => {
      const { bytes, offsets } = values as Values & { type: 'bytes' };
      return strings.intern(bytes, offsets[entry], offsets[entry + 1]);
    };
    const read = readCoded(slices, stored, places, order.length, this.#arrays, intern);
    if (read === undefined) return undefined;
    const { codes, count, levels } = this.#compacted(read);
    // What only rows have that are left out must not stay.
    if (!this.#isWhole) strings = onlyUsed(strings, codes, count);
    const values = valuesOf(strings);
    const chunk: ChunkData = { rows: order.length, ...levels, values, codes, codeCount: count, codec: 'zstd' };
    if (strings.count > 512) chunk.bloom = 10;
    return { chunk, codes, strings };
  }

  #codedStrings(stored: readonly StoredSlice[]): ChunkData | undefined {
    const found = this.#strings(stored);
    return found === undefined || isNearlyDistinct(found.strings.count, found.chunk.codeCount!)
      ? undefined
      : found.chunk;
  }

  #codedNumbers(type: 'int' | 'double', stored: readonly StoredSlice[]): ChunkData | undefined {
    const { slices, places, order } = this.#merged;
    const numbers = new NumberTable();
    const intern = (values: Values, entry: number): number | undefined => numbers.intern(values, entry);
    // Which numbers are left over is not worth finding out: there are few of them in a dictionary, and none is anybody's name.
    const read = this.#isWhole ? readCoded(slices, stored, places, order.length, this.#arrays, intern) : undefined;
    if (read === undefined) return undefined;
    const { codes, count, levels } = this.#compacted(read);
    const { count: distinct } = numbers;
    const all = numbers.words.slice(0, 2 * distinct);
    const values: Values =
      type === 'int'
        ? { type: 'int64', words: all, count: distinct }
        : { type: 'double', values: new Float64Array(all.buffer, 0, distinct), count: distinct };
    return { rows: order.length, ...levels, values, codes, codeCount: count, codec: 'zstd' };
  }

  /** Codes of rows that have one, one after the other, and which rows they are. */
  #compacted({ codes: all, levels }: CodedRows): { codes: Uint32Array; count: number; levels: Levels } {
    const rows = this.#merged.order.length;
    const codes = this.#arrays.uint32(rows + 1);
    const definition = this.#arrays.uint8(rows);
    const count = compact(all, rows, codes, definition);
    if (levels !== undefined)
      return { codes, count, levels: { definition: levels.subarray(0, rows), repetition: this.#arrays.uint8(rows) } };
    return { codes, count, levels: count === rows ? {} : { definition } };
  }

  get #isWhole(): boolean {
    return this.#merged.order.length === this.#merged.rows;
  }

  #list(
    type: ColumnType,
    stored: StoredRows,
    { starts, levels }: NonNullable<StoredRows['lists']>,
    order: Uint32Array,
  ): ChunkData {
    const count = countEntries(starts, order);
    const entries = this.#arrays.uint32(count);
    const definition = this.#arrays.uint8(count);
    const repetition = this.#arrays.uint8(count);
    orderEntries(starts, levels, order, entries, definition, repetition);
    return { ...this.#ordered(type, stored, entries, order.length), definition, repetition };
  }

  /** `order` names entries; in lists there are more or fewer of them than `rows`. */
  #ordered(type: ColumnType, stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
    switch (type) {
      case 'string':
      case 'any':
        return this.#anyStrings(stored, order, rows);
      case 'bool':
        return this.#bits(stored, order, rows);
      default:
        return this.#numbers(type, stored, order, rows);
    }
  }

  #anyStrings(stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
    const { numbers, isCoded } = stored;
    const definition = this.#arrays.uint8(order.length);
    const codes = this.#arrays.uint32(order.length);
    const renumbered = this.#arrays.uint32(stored.count + 1);
    const strings = new StringTable();
    let count = 0;
    let isMixed = !isCoded;
    for (let i = 0; i < order.length; i++) {
      const number = numbers[order[i]];
      if (number === 0) continue;
      let code = renumbered[number];
      if (code === 0) {
        code = renumbered[number] = internNumber(stored, number, strings) + 1;
        // Hashing every value of a column of different ones would cost more than all else.
        if (isMixed && count >= SAMPLE) {
          if (isNearlyDistinct(strings.count, count)) return this.#plain(stored, order, rows);
          isMixed = false;
        }
      }
      definition[i] = 1;
      codes[count++] = code - 1;
    }
    if (isNearlyDistinct(strings.count, count)) return this.#plain(stored, order, rows);
    return {
      rows,
      ...levelsOf(definition, count),
      values: valuesOf(strings),
      codes,
      codeCount: count,
      codec: 'zstd',
      ...(strings.count > 512 && { bloom: 10 }),
    };
  }

  /** Every string as it comes. */
  #plain(stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
    const { numbers } = stored;
    const finder = new ValueFinder(stored);
    const definition = this.#arrays.uint8(order.length);
    let count = 0;
    let length = 0;
    for (let i = 0; i < order.length; i++) {
      const number = numbers[order[i]];
      if (number === 0) continue;
      definition[i] = 1;
      count++;
      const { values, at } = finder.find(number);
      length += values.offsets[at + 1] - values.offsets[at];
    }
    const offsets = this.#arrays.uint32(count + 1);
    const bytes = this.#arrays.uint8(length);
    let value = 0;
    let to = 0;
    for (let i = 0; i < order.length; i++) {
      const number = numbers[order[i]];
      if (number === 0) continue;
      const { values, at } = finder.find(number);
      const end = values.offsets[at + 1];
      offsets[value++] = to;
      for (let from = values.offsets[at]; from < end; from++) bytes[to++] = values.bytes[from];
    }
    offsets[count] = to;
    const strings = { type: 'bytes' as const, bytes, offsets, count };
    return { rows, ...levelsOf(definition, count), values: strings, encoding: 'delta-length', codec: 'zstd' };
  }

  #bits(stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
    const { numbers, places } = stored;
    const all = this.#arrays.uint8(stored.count + 1);
    for (const { first, values } of places) if (values.type === 'boolean') all.set(values.values, first + 1);
    const definition = this.#arrays.uint8(order.length);
    const bits = this.#arrays.uint8(order.length);
    const count = pickBits(numbers, order, all, bits, definition);
    const values: Values = { type: 'boolean', values: bits, count };
    return { rows, ...levelsOf(definition, count), values, encoding: 'plain', codec: 'zstd' };
  }

  #numbers(type: 'int' | 'double', stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
    const { numbers } = stored;
    const all = this.#arrays.int32(2 * stored.count + 2);
    for (const { first, values } of stored.places)
      all.set(wordsOf(values, all).subarray(0, 2 * values.count), 2 * first + 2);
    const definition = this.#arrays.uint8(order.length);
    const words = this.#arrays.int32(2 * order.length);
    const count = pickWords(numbers, order, all, words, definition);
    return this.#builder.words(rows, words, count, type === 'int' ? 'int64' : 'double', levelsOf(definition, count));
  }
}

/** Codes of those that have one, less 1, and which have. */
function compact(all: Uint32Array, rows: number, codes: Uint32Array, definition: Uint8Array): number {
  let count = 0;
  for (let row = 0; row < rows; row++) {
    const code = all[row];
    const present = -code >>> 31;
    codes[count] = code - 1;
    count += present;
    definition[row] = present;
  }
  return count;
}

/** Entries of lists: how many the rows have. */
function countEntries(starts: Uint32Array, order: Uint32Array): number {
  let count = 0;
  for (let row = 0; row < order.length; row++) count += starts[order[row] + 1] - starts[order[row]];
  return count;
}

function orderEntries(
  starts: Uint32Array,
  levels: Uint8Array,
  order: Uint32Array,
  entries: Uint32Array,
  definition: Uint8Array,
  repetition: Uint8Array,
): void {
  for (let row = 0, at = 0; row < order.length; row++) {
    const begin = starts[order[row]];
    const end = starts[order[row] + 1];
    for (let entry = begin; entry < end; entry++) {
      repetition[at] = entry === begin ? 0 : 1;
      definition[at] = levels[entry];
      entries[at++] = entry;
    }
  }
}

function pickBits(
  numbers: Uint32Array,
  order: Uint32Array,
  all: Uint8Array,
  bits: Uint8Array,
  definition: Uint8Array,
): number {
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const number = numbers[order[i]];
    if (number === 0) continue;
    definition[i] = 1;
    bits[count++] = all[number];
  }
  return count;
}

function pickWords(
  numbers: Uint32Array,
  order: Uint32Array,
  all: Int32Array,
  words: Int32Array,
  definition: Uint8Array,
): number {
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const number = numbers[order[i]];
    if (number === 0) continue;
    definition[i] = 1;
    words[2 * count] = all[2 * number];
    words[2 * count++ + 1] = all[2 * number + 1];
  }
  return count;
}

/** Above this a dictionary is larger than what it saves. */
function isNearlyDistinct(distinct: number, count: number): boolean {
  return distinct > 256 && distinct > 0.5 * count;
}

function levelsOf(definition: Uint8Array, count: number): Levels {
  return count === definition.length ? {} : { definition };
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

function internNumber(stored: StoredRows, number: number, strings: StringTable): number {
  const { values, at } = new ValueFinder(stored).find(number);
  return strings.intern(values.bytes, values.offsets[at], values.offsets[at + 1]);
}

/** The values of numbers: those of neighbours are mostly in one place. */
class ValueFinder {
  readonly #places: StoredRows['places'];
  #found: { values: Values & { type: 'bytes' }; at: number } | undefined;
  #first = 0;
  #end = 0;

  constructor({ places }: StoredRows) {
    this.#places = places;
  }

  find(number: number): { values: Values & { type: 'bytes' }; at: number } {
    const wanted = number - 1;
    if (this.#found === undefined || wanted < this.#first || wanted >= this.#end) {
      let low = 0;
      for (let high = this.#places.length - 1; low < high; ) {
        const middle = (low + high + 1) >>> 1;
        if (this.#places[middle].first <= wanted) low = middle;
        else high = middle - 1;
      }
      const { first, values } = this.#places[low];
      if (values.type !== 'bytes') throw new TypeError(`cannot merge strings: they are ${values.type}`);
      this.#first = first;
      this.#end = first + values.count;
      this.#found = { values, at: 0 };
    }
    this.#found.at = wanted - this.#first;
    return this.#found;
  }
}
