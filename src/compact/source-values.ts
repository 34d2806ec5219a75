/**
 * The values of a column in the order of the source, and out of it into that of the merged row group. The loops are functions of their
 * own: inside of longer ones they were compiled anew for every row group, and until then each number above 2^30 was an object.
 */
import type { Values } from '../parquet/column.ts';
import type { Arrays } from '../runtime/arena.ts';
import { readLevels, type SourceColumn, type SourceLevels, type TakeValues } from './source-levels.ts';

/** The new code of an entry of a dictionary; undefined: there are too many. */
export type Intern = (values: Values, entry: number) => number | undefined;

/** Whether all values are entries of dictionaries. */
export function isCoded({ stored }: SourceColumn): boolean {
  return stored.every(
    (column) =>
      column === undefined ||
      column.dictionary !== undefined ||
      column.chunk.numValues === column.chunk.statistics?.nullCount,
  );
}

/**
 * Codes that hold for all slices, whatever dictionaries they come from; each entry of one is looked at when it is met first.
 * undefined when there are too many, or a page has none.
 */
export function readCodes(
  column: SourceColumn,
  arrays: Arrays,
  into: Uint32Array,
  intern: Intern,
): SourceLevels | undefined {
  let of: Values | undefined;
  let known = arrays.uint32(0);
  return readLevels(column, arrays, ({ codes }, from, to, at, dictionary) => {
    if (codes === undefined || dictionary === undefined) return false;
    if (of !== dictionary) {
      of = dictionary;
      known = arrays.uint32(dictionary.count);
    }
    return takeCodes(codes, from, to, into, at, known, dictionary, intern);
  });
}

function takeCodes(
  codes: Uint32Array,
  from: number,
  to: number,
  into: Uint32Array,
  at: number,
  known: Uint32Array,
  dictionary: Values,
  intern: Intern,
): boolean {
  for (let i = from; i < to; i++) {
    const entry = codes[i];
    let code = known[entry];
    if (code === 0) {
      const given = intern(dictionary, entry);
      if (given === undefined) return false;
      code = known[entry] = given + 1;
    }
    into[at++] = code - 1;
  }
  return true;
}

/** Values that numbers from `first` on mean. */
export interface Place {
  first: number;
  values: Values & { type: 'bytes' };
}

export interface NumberedStrings {
  levels: SourceLevels;
  /** Of each value, the number with which it is found. */
  numbers: Uint32Array;
  /** How many numbers there are. */
  count: number;
  places: Place[];
  /** Whether some values are entries of dictionaries. */
  isMixed: boolean;
}

/** Strings of which not all stand in dictionaries, by numbers. */
export function readNumbered(column: SourceColumn, arrays: Arrays, numbers: Uint32Array): NumberedStrings {
  const places: Place[] = [];
  let count = 0;
  let isMixed = false;
  let of: Values | undefined;
  let firstOfDictionary = 0;
  const place = (values: Values): number => {
    if (values.type !== 'bytes') throw new TypeError(`cannot merge strings: they are ${values.type}`);
    const first = count;
    places.push({ first, values });
    count += values.count;
    return first;
  };
  const levels = readLevels(column, arrays, (page, from, to, at, dictionary) => {
    if (page.codes === undefined) {
      numberPlain(numbers, at, place(ownStrings(page.values!)), from, to);
      return true;
    }
    isMixed = true;
    if (of !== dictionary) {
      of = dictionary;
      firstOfDictionary = place(dictionary!);
    }
    numberCoded(numbers, at, firstOfDictionary, page.codes, from, to);
    return true;
  });
  return { levels: levels!, numbers, count, places, isMixed };
}

function numberPlain(numbers: Uint32Array, at: number, first: number, from: number, to: number): void {
  for (let i = from; i < to; i++) numbers[at++] = first + i;
}

function numberCoded(
  numbers: Uint32Array,
  at: number,
  first: number,
  codes: Uint32Array,
  from: number,
  to: number,
): void {
  for (let i = from; i < to; i++) numbers[at++] = first + codes[i];
}

/** Strings of pages that are stored as they are lie in the array that is read into next. */
function ownStrings(values: Values): Values {
  if (values.type !== 'bytes') return values;
  return { ...values, bytes: values.bytes.slice(0, values.offsets[values.count]), offsets: values.offsets.slice() };
}

/** Numbers of 64 bits and ids of 8 bytes, two words each. */
export function readWords(column: SourceColumn, arrays: Arrays, into: Int32Array): SourceLevels {
  const take: TakeValues = ({ codes, values }, from, to, at, dictionary) => {
    if (codes === undefined) takeWords(values!, from, to, into, at);
    else takeCodedWords(wordsOf(dictionary!), codes, from, to, into, at);
    return true;
  };
  return readLevels(column, arrays, take)!;
}

function takeWords(values: Values, from: number, to: number, into: Int32Array, at: number): void {
  if (values.type === 'int64') {
    into.set(values.words.subarray(2 * from, 2 * to), 2 * at);
    return;
  }
  const bytes =
    values.type === 'double'
      ? new Uint8Array(values.values.buffer, values.values.byteOffset + 8 * from, 8 * (to - from))
      : idsOf(values).subarray(8 * from, 8 * to);
  new Uint8Array(into.buffer, into.byteOffset + 8 * at, bytes.length).set(bytes);
}

function takeCodedWords(
  words: Int32Array,
  codes: Uint32Array,
  from: number,
  to: number,
  into: Int32Array,
  at: number,
): void {
  for (let i = from, to2 = 2 * at; i < to; i++, to2 += 2) {
    const value = codes[i] << 1;
    into[to2] = words[value];
    into[to2 + 1] = words[value + 1];
  }
}

/** Numbers of 32 bits. */
export function readInts(column: SourceColumn, arrays: Arrays, into: Int32Array): SourceLevels {
  const take: TakeValues = ({ codes, values }, from, to, at, dictionary) => {
    if (codes === undefined) into.set(intsOf(values!).subarray(from, to), at);
    else takeCodedInts(intsOf(dictionary!), codes, from, to, into, at);
    return true;
  };
  return readLevels(column, arrays, take)!;
}

function takeCodedInts(
  ints: Int32Array,
  codes: Uint32Array,
  from: number,
  to: number,
  into: Int32Array,
  at: number,
): void {
  for (let i = from; i < to; i++) into[at++] = ints[codes[i]];
}

/** Booleans, a byte each. */
export function readBits(column: SourceColumn, arrays: Arrays, into: Uint8Array): SourceLevels {
  const take: TakeValues = ({ codes, values }, from, to, at, dictionary) => {
    const bits = bitsOf(codes === undefined ? values! : dictionary!);
    if (codes === undefined) into.set(bits.subarray(from, to), at);
    else for (let i = from; i < to; i++) into[at++] = bits[codes[i]];
    return true;
  };
  return readLevels(column, arrays, take)!;
}

/** `from`: of each merged value, which of the source's it is. */
export function gatherCodes(all: Uint32Array, from: Uint32Array, into: Uint32Array): Uint32Array {
  for (let i = 0; i < from.length; i++) into[i] = all[from[i]];
  return into;
}

export function gatherInts(all: Int32Array, from: Uint32Array, into: Int32Array): Int32Array {
  for (let i = 0; i < from.length; i++) into[i] = all[from[i]];
  return into;
}

export function gatherWords(all: Int32Array, from: Uint32Array, into: Int32Array): Int32Array {
  for (let i = 0; i < from.length; i++) {
    const value = from[i] << 1;
    into[i << 1] = all[value];
    into[(i << 1) + 1] = all[value + 1];
  }
  return into;
}

export function gatherBits(all: Uint8Array, from: Uint32Array, into: Uint8Array): Uint8Array {
  for (let i = 0; i < from.length; i++) into[i] = all[from[i]];
  return into;
}

/** Two words a value; of ids a copy, since they stand anywhere in a page. */
export function wordsOf(values: Values): Int32Array {
  if (values.type === 'int64') return values.words;
  if (values.type === 'double') return new Int32Array(values.values.buffer, values.values.byteOffset, 2 * values.count);
  return new Int32Array(new Uint8Array(idsOf(values).subarray(0, 8 * values.count)).buffer);
}

function idsOf(values: Values): Uint8Array {
  if (values.type === 'fixed' && values.width === 8) return values.bytes;
  throw new TypeError(`cannot merge numbers of 64 bits: they are ${values.type}`);
}

function intsOf(values: Values): Int32Array {
  if (values.type === 'int32') return values.values;
  throw new TypeError(`cannot merge numbers of 32 bits: they are ${values.type}`);
}

function bitsOf(values: Values): Uint8Array {
  if (values.type === 'boolean') return values.values;
  throw new TypeError(`cannot merge booleans: they are ${values.type}`);
}
