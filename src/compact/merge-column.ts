/**
 * A column of the slices of a planned row group in the order of the merged one, as the Parquet writer takes it. Codes are given
 * anew: equal values get one, whatever dictionaries they come from, and only values of rows that stay get any. Each entry of a
 * dictionary is looked at once, and each row costs two looks into tables of numbers.
 */
import { ChunkBuilder } from '../block/chunks.ts';
import type { ColumnUse } from '../block/schema.ts';
import type { ChunkData, Values } from '../parquet/column.ts';
import type { Arrays } from '../runtime/arena.ts';
import type { StoredRows } from './stored-rows.ts';
import { StringTable } from './string-table.ts';

type Levels = Pick<ChunkData, 'definition' | 'repetition'>;

/** After so many values of pages without a dictionary it is known whether one is worth it. */
const SAMPLE = 1 << 16;

export class ColumnMerger {
  readonly #arrays: Arrays;
  readonly #builder: ChunkBuilder;

  constructor(arrays: Arrays) {
    this.#arrays = arrays;
    this.#builder = new ChunkBuilder(arrays);
  }

  /** @param order of each row of the merged row group, which row of the slices it is */
  chunk(type: ColumnUse['t'], stored: StoredRows, order: Uint32Array): ChunkData {
    if (stored.lists !== undefined) return this.#list(type, stored, stored.lists, order);
    return this.#ordered(type, stored, order, order.length);
  }

  /** A column of strings that always gets a dictionary; also its codes, in an array that holds until the next chunk. */
  messages(stored: StoredRows, order: Uint32Array): { chunk: ChunkData; codes: Uint32Array; strings: StringTable } {
    const codes = this.#arrays.uint32(order.length);
    const strings = new StringTable();
    const renumbered = new Uint32Array(stored.count + 1);
    for (let row = 0; row < order.length; row++) {
      const number = stored.numbers[order[row]];
      let code = renumbered[number];
      if (code === 0) code = renumbered[number] = internNumber(stored, number, strings) + 1;
      codes[row] = code - 1;
    }
    const chunk: ChunkData = { rows: order.length, values: valuesOf(strings), codes, codec: 'zstd' };
    return { chunk: strings.count > 512 ? { ...chunk, bloom: 10 } : chunk, codes, strings };
  }

  #list(
    type: ColumnUse['t'],
    stored: StoredRows,
    { starts, levels }: NonNullable<StoredRows['lists']>,
    order: Uint32Array,
  ): ChunkData {
    let count = 0;
    for (const row of order) count += starts[row + 1] - starts[row];
    const entries = this.#arrays.uint32(count);
    const definition = this.#arrays.uint8(count);
    const repetition = this.#arrays.uint8(count);
    let at = 0;
    for (let row = 0; row < order.length; row++)
      for (let entry = starts[order[row]], begin = entry; entry < starts[order[row] + 1]; entry++) {
        repetition[at] = entry === begin ? 0 : 1;
        definition[at] = levels[entry];
        entries[at++] = entry;
      }
    return { ...this.#ordered(type, stored, entries, order.length), definition, repetition };
  }

  /** `order` names entries; in lists there are more or fewer of them than `rows`. */
  #ordered(type: ColumnUse['t'], stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
    switch (type) {
      case 'string':
      case 'any':
        return this.#strings(stored, order, rows);
      case 'bool':
        return this.#bits(stored, order, rows);
      default:
        return this.#numbers(type, stored, order, rows);
    }
  }

  #strings(stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
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
    let count = 0;
    for (let i = 0; i < order.length; i++) {
      const number = numbers[order[i]];
      if (number === 0) continue;
      definition[i] = 1;
      bits[count++] = all[number];
    }
    const values: Values = { type: 'boolean', values: bits, count };
    return { rows, ...levelsOf(definition, count), values, encoding: 'plain', codec: 'zstd' };
  }

  #numbers(type: 'int' | 'double', stored: StoredRows, order: Uint32Array, rows: number): ChunkData {
    const { numbers } = stored;
    const all = this.#arrays.int32(2 * stored.count + 2);
    for (const { first, values } of stored.places) all.set(wordsOf(values), 2 * first + 2);
    const definition = this.#arrays.uint8(order.length);
    if (stored.isCoded) {
      const coded = this.#codedNumbers(stored, all, order, definition);
      if (coded !== undefined) {
        const { count, words, codes } = coded;
        const distinct = words.length / 2;
        const values: Values =
          type === 'int'
            ? { type: 'int64', words, count: distinct }
            : { type: 'double', values: new Float64Array(words.buffer, 0, distinct), count: distinct };
        return { rows, ...levelsOf(definition, count), values, codes, codeCount: count, codec: 'zstd' };
      }
    }
    const words = this.#arrays.int32(2 * order.length);
    let count = 0;
    for (let i = 0; i < order.length; i++) {
      const number = numbers[order[i]];
      if (number === 0) continue;
      definition[i] = 1;
      words[2 * count] = all[2 * number];
      words[2 * count++ + 1] = all[2 * number + 1];
    }
    return this.#builder.words(rows, words, count, type === 'int' ? 'int64' : 'double', levelsOf(definition, count));
  }

  /** undefined: too many of them are different. */
  #codedNumbers(stored: StoredRows, all: Int32Array, order: Uint32Array, definition: Uint8Array) {
    const { numbers } = stored;
    const renumbered = this.#arrays.uint32(stored.count + 1);
    const codes = this.#arrays.uint32(order.length);
    const known = new Map<number, number[]>();
    const words: number[] = [];
    let count = 0;
    for (let i = 0; i < order.length; i++) {
      const number = numbers[order[i]];
      if (number === 0) continue;
      let code = renumbered[number];
      if (code === 0) {
        const [low, high] = [all[2 * number], all[2 * number + 1]];
        const same = known.get(low) ?? [];
        code = same.find((each) => words[2 * each - 1] === high) ?? 0;
        if (code === 0) {
          code = words.push(low, high) / 2;
          if (code > NUMBERS_MAX) return undefined;
          known.set(low, [...same, code]);
        }
        renumbered[number] = code;
      }
      definition[i] = 1;
      codes[count++] = code - 1;
    }
    return { count, words: Int32Array.from(words), codes };
  }
}

/** Entries of a dictionary of numbers. */
const NUMBERS_MAX = 2048;

/** Above this a dictionary is larger than what it saves. */
function isNearlyDistinct(distinct: number, count: number): boolean {
  return distinct > 256 && distinct > 0.5 * count;
}

function levelsOf(definition: Uint8Array, count: number): Levels {
  return count === definition.length ? {} : { definition };
}

function valuesOf({ bytes, starts, ends, count }: StringTable): Values {
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

/** Two words a value. */
export function wordsOf(values: Values): Int32Array {
  if (values.type === 'int64') return values.words.subarray(0, 2 * values.count);
  if (values.type === 'double') return new Int32Array(values.values.buffer, values.values.byteOffset, 2 * values.count);
  if (values.type === 'fixed' && values.width === 8)
    return new Int32Array(values.bytes.slice(0, 8 * values.count).buffer);
  throw new TypeError(`cannot merge numbers of 64 bits: they are ${values.type}`);
}
