/**
 * A column of a planned row group as it is stored in the slices, one slice after the other: a number for each entry, with which
 * its value is found, or 0 where it has none. An entry is a row, or an element of a list. What the values are is looked at only
 * where that cannot be avoided: a code of a dictionary stays a code, whatever stands in the dictionary.
 *
 * ```
 *  slice 0: dictionary [GET, PUT], codes 0 - 1 0     slice 1: dictionary [PUT], codes - 0      (- is null)
 *  places:  GET 1 · PUT 2 · PUT 3                    numbers: 1 0 2 1 0 3
 * ```
 */
import type { StoredColumn } from '../block/row-group.ts';
import type { Values } from '../parquet/column.ts';
import type { DecodedPage } from '../parquet/read.ts';
import type { Arrays } from '../runtime/arena.ts';
import type { Slice } from './row-group-plan.ts';

/** The column of a slice; undefined where its block has none. */
export type StoredSlice = StoredColumn | undefined;

/** Values that numbers from `first` + 1 on mean. */
interface Place {
  first: number;
  values: Values;
}

export interface StoredRows {
  /** Number of the value of each entry; 0 = none. */
  numbers: Uint32Array;
  /** How many numbers there are, 0 aside. */
  count: number;
  /** Whether all values are entries of dictionaries. */
  isCoded: boolean;
  places: Place[];
  /** Lists: the first entry of each row and the end, and the definition level of each entry. */
  lists?: { starts: Uint32Array; levels: Uint8Array };
}

/** Of a column that is no list: entries are rows. */
export function readFlat(
  slices: readonly Slice[],
  stored: readonly StoredSlice[],
  rows: number,
  arrays: Arrays,
): StoredRows {
  const read = newRows(arrays.uint32(rows));
  slices.forEach((slice, index) => {
    const column = stored[index];
    if (column === undefined) return;
    const places = new Places(read, column.dictionary);
    for (const { first, page } of column.pages) {
      const from = Math.max(slice.from - first, 0);
      const to = Math.min(slice.to - first, page.rows);
      if (page.count > 0) putFlat(read.numbers, slice.base + first - slice.from, page, from, to, places);
    }
  });
  return read;
}

/** Rows [from, to) of a page, the first row of which stands at `base`. */
function putFlat(
  numbers: Uint32Array,
  base: number,
  page: DecodedPage,
  from: number,
  to: number,
  places: Places,
): void {
  const { definition, codes } = page;
  const add = places.add(page);
  if (codes === undefined) {
    if (definition === undefined) for (let row = from; row < to; row++) numbers[base + row] = add + row;
    else {
      let value = add;
      for (let row = 0; row < from; row++) value += definition[row];
      for (let row = from; row < to; row++) if (definition[row] === 1) numbers[base + row] = value++;
    }
    return;
  }
  if (definition === undefined) {
    for (let row = from; row < to; row++) numbers[base + row] = codes[row] + add;
    return;
  }
  let value = 0;
  for (let row = 0; row < from; row++) value += definition[row];
  for (let row = from; row < to; row++) if (definition[row] === 1) numbers[base + row] = codes[value++] + add;
}

/**
 * Of a list. `levelsOf` are columns of lists of the same lengths, for slices whose block does not have this one: their lists are of
 * nulls. Where there is none, there is no list.
 */
export function readLists(
  slices: readonly Slice[],
  stored: readonly StoredSlice[],
  levelsOf: readonly StoredSlice[],
  rows: number,
  arrays: Arrays,
): StoredRows {
  const most = slices.reduce((sum, slice, index) => {
    const column = stored[index] ?? levelsOf[index];
    return sum + (column?.chunk.numValues ?? slice.to - slice.from);
  }, 0);
  const read = newRows(arrays.uint32(most));
  const starts = arrays.uint32(rows + 1);
  const levels = arrays.uint8(most);
  let entries = 0;
  slices.forEach((slice, index) => {
    const column = stored[index] ?? levelsOf[index];
    if (column === undefined) {
      for (let row = slice.from; row < slice.to; row++) starts[slice.base + row - slice.from] = entries++;
      return;
    }
    const hasValues = stored[index] !== undefined;
    const places = new Places(read, column.dictionary);
    for (const { first, page } of column.pages) {
      const { repetition, definition, codes } = page;
      const add = hasValues ? places.add(page) : 0;
      let row = first - 1;
      let value = 0;
      for (let entry = 0; entry < page.entries; entry++) {
        if (repetition === undefined || repetition[entry] === 0) {
          row++;
          if (row >= slice.from && row < slice.to) starts[slice.base + row - slice.from] = entries;
        }
        const level = definition === undefined ? 3 : definition[entry];
        const at = level === 3 ? value++ : -1;
        if (row < slice.from || row >= slice.to) continue;
        if (hasValues) {
          levels[entries] = level;
          if (at >= 0) read.numbers[entries] = (codes === undefined ? at : codes[at]) + add;
        } else levels[entries] = level === 3 ? 2 : level;
        entries++;
      }
    }
  });
  starts[rows] = entries;
  return { ...read, lists: { starts, levels } };
}

function newRows(numbers: Uint32Array): StoredRows {
  return { numbers, count: 0, isCoded: true, places: [] };
}

/** Gives the values of pages their numbers. */
class Places {
  readonly #read: StoredRows;
  readonly #dictionary: Values | undefined;
  #first = -1;

  constructor(read: StoredRows, dictionary: Values | undefined) {
    this.#read = read;
    this.#dictionary = dictionary;
  }

  /** What is added to a code of the page, or to the number of a value in it. */
  add(page: DecodedPage): number {
    const read = this.#read;
    if (page.codes !== undefined && this.#dictionary !== undefined) {
      if (this.#first < 0) this.#first = this.#place(this.#dictionary);
      return this.#first + 1;
    }
    if (page.count === 0) return 0;
    read.isCoded = false;
    return this.#place(ownOf(page.values!)) + 1;
  }

  #place(values: Values): number {
    const first = this.#read.count;
    this.#read.places.push({ first, values });
    this.#read.count += values.count;
    return first;
  }
}

/** Values of a page, which the next page overwrites where they are numbers. */
function ownOf(values: Values): Values {
  switch (values.type) {
    case 'int64':
      return { ...values, words: values.words.slice(0, 2 * values.count) };
    case 'int32':
      return { ...values, values: values.values.slice(0, values.count) };
    case 'double':
      return { ...values, values: values.values.slice(0, values.count) };
    case 'boolean':
      return { ...values, values: values.values.slice(0, values.count) };
    case 'fixed':
      return { ...values, bytes: values.bytes.slice(0, values.width * values.count) };
    case 'bytes':
      // Those of pages that are stored as they are lie in the array that is read into next.
      return { ...values, bytes: values.bytes.slice(0, values.offsets[values.count]), offsets: values.offsets.slice() };
  }
}
