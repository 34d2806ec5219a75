/**
 * The values of an `any` column as the columns of a block: arrays become lists, a column for each type of their elements, so that
 * other programs read them, and what is no such array stays as it came (array-bytes.ts says which are).
 *
 * ```
 *  row    any                    span.k[] (string)   span.k[]:int   span.k:any
 *   0     ["a", "b"]             [a, b]              null           null
 *   1     [7]                    null                [7]            null
 *   2     []                     []                  null           null          to where most arrays of the key are
 *   3     ["a", 7]               null                null           its bytes
 * ```
 */
import type { ChunkData } from '../parquet/column.ts';
import { ELEMENT_TYPES, eachValue, NO_LIST, NO_VALUES, scanArray } from './array-bytes.ts';
import { inRuns, RUN_ROWS } from '../runtime/runs.ts';
import type { ChunkBuilder } from './chunks.ts';
import type { ElementType } from './schema.ts';
import { StringTable } from './string-table.ts';
import type { SparseValues, Strings } from './table.ts';

/**
 * Elements of a key's arrays in all rows together, beyond so many a row and this much: the same long array in many rows is one
 * string in memory, and would be a list in each of them.
 */
const ELEMENTS_A_ROW_MAX = 16;
const ELEMENTS_MORE_MAX = 65_536;

export interface SplitArrays {
  lists: { element: ElementType; chunk: () => ChunkData }[];
  /** What is in none of the lists; undefined: nothing. */
  rest: (() => SparseValues) | undefined;
}

interface Scanned {
  rows: number;
  values: SparseValues;
  strings: Strings;
  /** The number of each value; equal ones have one. */
  numbers: Uint32Array;
  /** The code of each number. */
  codes: Uint32Array;
  /** What `scanArray` says of each number. */
  kinds: Uint32Array;
}

/**
 * @param spare columns that the block may have more than one for this key
 * @returns undefined when the column stays as it is. The arrays of the result are the builder's, and each chunk is good until the next
 */
export function splitArrays(
  builder: ChunkBuilder,
  rows: number,
  values: SparseValues,
  spare: number,
): SplitArrays | undefined {
  const strings = values.strings!;
  const { numbers, codes } = builder.distinct(values.codes!, values.count, strings.count);
  const kinds = builder.arrays.uint32(codes.length);
  for (let number = 0; number < codes.length; number++)
    kinds[number] = scanArray(strings.bytes, strings.starts[codes[number]], strings.ends[codes[number]]);
  const found = new Uint32Array(NO_LIST + 1);
  let elements = 0;
  for (let from = 0; from < values.count; from += RUN_ROWS)
    elements += countKinds(from, Math.min(values.count, from + RUN_ROWS), numbers, kinds, found);
  if (found[NO_LIST] === values.count || elements > ELEMENTS_A_ROW_MAX * rows + ELEMENTS_MORE_MAX) return undefined;
  if (found[NO_VALUES] > 0) {
    let most = 0;
    for (let type = 1; type < NO_VALUES; type++) if (found[type] > found[most]) most = type;
    found[most] += found[NO_VALUES];
    for (let number = 0; number < kinds.length; number++)
      if ((kinds[number] & 7) === NO_VALUES) kinds[number] += most - NO_VALUES;
  }
  const types = [...ELEMENT_TYPES.keys()].filter((type) => found[type] > 0);
  if (types.length - (found[NO_LIST] > 0 ? 0 : 1) > spare) return undefined;
  const scanned = { rows, values, strings, numbers, codes, kinds };
  return {
    lists: types.map((type) => ({ element: ELEMENT_TYPES[type], chunk: () => listChunk(builder, scanned, type) })),
    rest: found[NO_LIST] > 0 ? () => restOf(builder, scanned, found[NO_LIST]) : undefined,
  };
}

/** Counts the kinds of the values [from, to) into `found`; returns how many elements they have. */
function countKinds(from: number, to: number, numbers: Uint32Array, kinds: Uint32Array, found: Uint32Array): number {
  let elements = 0;
  for (let i = from; i < to; i++) {
    const kind = kinds[numbers[i]];
    found[kind & 7]++;
    elements += kind >>> 3;
  }
  return elements;
}

function listChunk(builder: ChunkBuilder, scanned: Scanned, type: number): ChunkData {
  const { rows, values, numbers, kinds } = scanned;
  const { arrays } = builder;
  const element = ELEMENT_TYPES[type];
  const parsed = parse(builder, scanned, type);
  const sum: Sum = { values: 0, entries: 0, places: 0 };
  inRuns(values.count, addSizes, numbers, kinds, type, parsed, sum);
  const lists: Lists = {
    definition: arrays.uint8(rows + sum.entries),
    repetition: arrays.uint8(rows + sum.entries),
    places: arrays.uint32(sum.places),
  };
  const filled: Sum = { values: 0, entries: 0, places: 0 };
  inRuns(rows, fillLists, values.present, numbers, kinds, type, parsed, lists, filled);
  const { places, ...levels } = lists;
  return builder.valued(rows, picked(builder, parsed, places, element), element, levels);
}

/** How many there are, or were looked at. */
interface Sum {
  values: number;
  entries: number;
  places: number;
}

interface Lists {
  definition: Uint8Array;
  repetition: Uint8Array;
  /** Which of the parsed values each value is. */
  places: Uint32Array;
}

/** Adds what the values [from, to) take: entries beyond one a row, and places. */
function addSizes(
  from: number,
  to: number,
  numbers: Uint32Array,
  kinds: Uint32Array,
  type: number,
  { firstValue }: Parsed,
  sum: Sum,
): void {
  let { entries, places } = sum;
  for (let i = from; i < to; i++) {
    const number = numbers[i];
    if ((kinds[number] & 7) !== type) continue;
    entries += Math.max(1, kinds[number] >>> 3) - 1;
    places += firstValue[number + 1] - firstValue[number];
  }
  sum.entries = entries;
  sum.places = places;
}

/** Fills in the rows [from, to), from where `filled` says on. */
function fillLists(
  from: number,
  to: number,
  present: Uint8Array | undefined,
  numbers: Uint32Array,
  kinds: Uint32Array,
  type: number,
  { firstElement, firstValue, levels }: Parsed,
  { definition, repetition, places }: Lists,
  filled: Sum,
): void {
  let { values: value, entries: entry, places: at } = filled;
  for (let row = from; row < to; row++) {
    const number = present === undefined || present[row] === 1 ? numbers[value++] : -1;
    if (number < 0 || (kinds[number] & 7) !== type) {
      entry++;
      continue;
    }
    const first = firstElement[number];
    const end = firstElement[number + 1];
    if (first === end) definition[entry++] = 1;
    for (let each = first; each < end; each++) {
      repetition[entry] = each > first ? 1 : 0;
      definition[entry++] = levels[each];
    }
    for (let place = firstValue[number]; place < firstValue[number + 1]; place++) places[at++] = place;
  }
  filled.values = value;
  filled.entries = entry;
  filled.places = at;
}

/** Values of elements: the code of each text, two words of each number; of a bool the low one says which. */
interface Values {
  codes: Uint32Array;
  strings: StringTable;
  words: Int32Array;
}

/** The different arrays of a type, one after the other. */
interface Parsed extends Values {
  /** By number of an array: its first element, and its first value, which is an element that is not empty; the ends at the end. */
  firstElement: Uint32Array;
  firstValue: Uint32Array;
  /** The definition level of each element: 2 empty, 3 a value. */
  levels: Uint8Array;
}

function parse(builder: ChunkBuilder, { strings, codes: arraysOf, kinds }: Scanned, type: number): Parsed {
  const { arrays } = builder;
  const { bytes, starts, ends } = strings;
  let most = 0;
  for (let number = 0; number < kinds.length; number++) if ((kinds[number] & 7) === type) most += kinds[number] >>> 3;
  const isText = ELEMENT_TYPES[type] === 'string';
  const parsed: Parsed = {
    firstElement: arrays.uint32(kinds.length + 1),
    firstValue: arrays.uint32(kinds.length + 1),
    levels: arrays.uint8(most),
    codes: arrays.uint32(isText ? most : 0),
    strings: new StringTable(),
    words: arrays.int32(isText ? 0 : 2 * most),
  };
  const { firstElement, firstValue, levels, codes, words } = parsed;
  let element = 0;
  let value = 0;
  const put = (from: number, to: number): void => {
    levels[element++] = 3;
    if (isText) codes[value] = parsed.strings.intern(bytes, from, to);
    else if (ELEMENT_TYPES[type] === 'double') putFixed(bytes, from, words, 2 * value);
    else putVarint(bytes, from, to, words, 2 * value);
    value++;
  };
  const skip = (): void => {
    levels[element++] = 2;
  };
  for (let number = 0; number < kinds.length; number++) {
    if ((kinds[number] & 7) === type) eachValue(bytes, starts[arraysOf[number]], ends[arraysOf[number]], put, skip);
    firstElement[number + 1] = element;
    firstValue[number + 1] = value;
  }
  return parsed;
}

function putFixed(bytes: Uint8Array, from: number, words: Int32Array, at: number): void {
  for (let i = 0; i < 2; i++, from += 4)
    words[at + i] = bytes[from] | (bytes[from + 1] << 8) | (bytes[from + 2] << 16) | (bytes[from + 3] << 24);
}

function putVarint(bytes: Uint8Array, from: number, to: number, words: Int32Array, at: number): void {
  let low = 0;
  let high = 0;
  for (let shift = 0; from < to; shift += 7) {
    const bits = bytes[from++] & 0x7f;
    if (shift < 32) low |= bits << shift;
    if (shift === 28) high |= bits >>> 4;
    else if (shift > 28) high |= bits << (shift - 32);
  }
  words[at] = low;
  words[at + 1] = high;
}

/** The parsed values at these places, which are given up. */
function picked({ arrays }: ChunkBuilder, parsed: Values, places: Uint32Array, element: ElementType): SparseValues {
  const { codes, strings, words } = parsed;
  const count = places.length;
  const picked = { present: undefined, count };
  if (element === 'string') {
    inRuns(count, takeCodes, codes, places);
    return { ...picked, codes: places, strings };
  }
  if (element === 'bool') {
    const bits = arrays.uint8(count);
    for (let i = 0; i < count; i++) bits[i] = words[2 * places[i]];
    return { ...picked, bits };
  }
  const own = arrays.int32(2 * count);
  for (let i = 0; i < count; i++) {
    own[2 * i] = words[2 * places[i]];
    own[2 * i + 1] = words[2 * places[i] + 1];
  }
  return { ...picked, words: own };
}

function takeCodes(from: number, to: number, codes: Uint32Array, places: Uint32Array): void {
  for (let i = from; i < to; i++) places[i] = codes[places[i]];
}

function restOf({ arrays }: ChunkBuilder, { rows, values, numbers, kinds }: Scanned, count: number): SparseValues {
  const present = arrays.uint8(rows);
  const codes = arrays.uint32(count);
  for (let row = 0, i = 0, at = 0; row < rows; row++) {
    if (values.present?.[row] === 0) continue;
    if (kinds[numbers[i]] === NO_LIST) {
      present[row] = 1;
      codes[at++] = values.codes![i];
    }
    i++;
  }
  return { present, count, codes, strings: values.strings! };
}
