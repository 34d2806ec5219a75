/**
 * Numbers of columns that have neither lists nor, but for ids of parents, nulls: each is put at once where its row is in the merged
 * row group. The loops are functions of their own: inside of longer ones they were compiled anew for every row group, and until
 * then each number above 2^30 was an object.
 */
import type { Values } from '../parquet/column.ts';
import type { Arrays } from '../runtime/arena.ts';
import type { Slice } from './row-group-plan.ts';
import type { StoredSlice } from './stored-rows.ts';

/**
 * Two words a row; rows without a value are left as they are.
 * @param places of each row of the slices where it goes; what must not appear goes behind the end
 */
export function placeWords(
  slices: readonly Slice[],
  stored: readonly StoredSlice[],
  places: Uint32Array,
  into: Int32Array,
  arrays: Arrays,
): Int32Array {
  let scratch = arrays.int32(0);
  for (let index = 0; index < slices.length; index++) {
    const slice = slices[index];
    const { pages, dictionary } = stored[index]!;
    for (const { first, page } of pages) {
      const from = Math.max(slice.from - first, 0);
      const to = Math.min(slice.to - first, page.rows);
      const at = slice.base + first - slice.from;
      const { definition, codes } = page;
      const values = (codes === undefined ? page.values : dictionary)!;
      if (scratch.length < 2 * values.count) scratch = arrays.int32(2 * values.count);
      const words = wordsOf(values, scratch);
      if (codes === undefined && definition === undefined) putWords(into, places, at, words, from, to);
      else putSomeWords(into, places, at, words, definition, codes, from, to);
    }
  }
  return into;
}

function putWords(
  into: Int32Array,
  places: Uint32Array,
  at: number,
  words: Int32Array,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const place = places[at + row] << 1;
    into[place] = words[row << 1];
    into[place + 1] = words[(row << 1) + 1];
  }
}

function putSomeWords(
  into: Int32Array,
  places: Uint32Array,
  at: number,
  words: Int32Array,
  definition: Uint8Array | undefined,
  codes: Uint32Array | undefined,
  from: number,
  to: number,
): void {
  for (let row = 0, next = 0; row < to; row++) {
    if (definition !== undefined && definition[row] === 0) continue;
    const value = (codes === undefined ? next : codes[next]) << 1;
    next++;
    if (row < from) continue;
    const place = places[at + row] << 1;
    into[place] = words[value];
    into[place + 1] = words[value + 1];
  }
}

/** The same of numbers of 32 bits, of which every row has one. */
export function placeInts(
  slices: readonly Slice[],
  stored: readonly StoredSlice[],
  places: Uint32Array,
  into: Int32Array,
): Int32Array {
  for (let index = 0; index < slices.length; index++) {
    const slice = slices[index];
    const { pages, dictionary } = stored[index]!;
    for (const { first, page } of pages) {
      const from = Math.max(slice.from - first, 0);
      const to = Math.min(slice.to - first, page.rows);
      const at = slice.base + first - slice.from;
      const values = page.codes === undefined ? page.values! : dictionary!;
      if (values.type !== 'int32') throw new TypeError(`cannot merge numbers of 32 bits: they are ${values.type}`);
      if (page.codes === undefined) putInts(into, places, at, values.values, from, to);
      else putCodedInts(into, places, at, values.values, page.codes, from, to);
    }
  }
  return into;
}

function putInts(into: Int32Array, places: Uint32Array, at: number, ints: Int32Array, from: number, to: number): void {
  for (let row = from; row < to; row++) into[places[at + row]] = ints[row];
}

function putCodedInts(
  into: Int32Array,
  places: Uint32Array,
  at: number,
  ints: Int32Array,
  codes: Uint32Array,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) into[places[at + row]] = ints[codes[row]];
}

/** Two words a value; of ids a copy in `scratch`, which has room for them, since they stand anywhere in a page. */
export function wordsOf(values: Values, scratch: Int32Array): Int32Array {
  if (values.type === 'int64') return values.words;
  if (values.type === 'double') return new Int32Array(values.values.buffer, values.values.byteOffset, 2 * values.count);
  if (values.type !== 'fixed' || values.width !== 8)
    throw new TypeError(`cannot merge numbers of 64 bits: they are ${values.type}`);
  new Uint8Array(scratch.buffer, scratch.byteOffset).set(values.bytes.subarray(0, 8 * values.count));
  return scratch;
}
