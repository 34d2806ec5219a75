/** Finds the rows of a column whose value satisfies a test: once a dictionary entry where there is a dictionary. */
import { decodeAnyValue } from '../block/any-value.ts';
import type { Column, Dictionary, Part } from '../block/segment.ts';
import { CodeFlags } from '../parquet/code-flags.ts';
import type { Bits } from './bits.ts';
import { type StringTest, testAny, type ValueTest } from './test-value.ts';

let hits = new Uint8Array(1 << 16);

/** Sets the bits of the rows that satisfy `test`. */
export function matchColumn(column: Column, test: ValueTest, into: Bits): void {
  switch (column.kind) {
    case 'string':
      if (test.string !== undefined) matchStrings(column, test.string, into);
      return;
    case 'any':
      matchStrings(column, (bytes, from, to) => testAny(test, decodeAnyValue(bytes.subarray(from, to))), into);
      return;
    case 'int': {
      const { int, intAnyOf } = test;
      if (int !== undefined) matchParts(column, (part) => testInts(part, int), into);
      else if (intAnyOf !== undefined)
        matchParts(
          column,
          ({ words, count }) => {
            const out = reserve(count);
            for (let i = 0; i < count; i++) out[i] = intAnyOf(words![2 * i] >>> 0, words![2 * i + 1]) ? 1 : 0;
          },
          into,
        );
      return;
    }
    case 'double': {
      const { double, doubleAnyOf } = test;
      if (double !== undefined)
        matchParts(column, ({ doubles, count }) => testDoubles(doubles!, count, double.value, double.mask), into);
      else if (doubleAnyOf !== undefined)
        matchParts(
          column,
          ({ doubles, count }) => {
            const out = reserve(count);
            for (let i = 0; i < count; i++) out[i] = doubleAnyOf.has(doubles![i]) ? 1 : 0;
          },
          into,
        );
      return;
    }
    case 'bool':
      if (test.bool !== undefined)
        for (const part of column.parts) {
          const wanted = test.bool.equal ? test.bool.value : 1 - test.bool.value;
          const out = reserve(part.count);
          for (let i = 0; i < part.count; i++) out[i] = part.bits![i] === wanted ? 1 : 0;
          scatter(part, into);
        }
      return;
    case 'int32':
      throw new Error('an int32 column is matched by matchInts');
    case 'fixed':
      throw new Error('a fixed column is matched by matchFixed');
  }
}

/** Goes through the parts, or, where there is a dictionary, once through its entries. `test` fills `hits`. */
function matchParts(column: Column, test: (part: Part) => void, into: Bits): void {
  const { entries } = column;
  if (entries !== undefined) {
    test(entries);
    flag(column, hits.slice(0, entries.count), into);
    return;
  }
  for (const part of column.parts) {
    test(part);
    scatter(part, into);
  }
}

function flag(column: Column, flags: Uint8Array, into: Bits): void {
  const wanted = new CodeFlags(flags);
  if (wanted.count > 0) column.flag!(wanted, into);
}

/** Rows of an int32 column whose value is flagged: `wanted(value)` is called once a distinct value. */
export function matchInts(column: Column, wanted: (value: number) => boolean, into: Bits): void {
  const small = Uint8Array.from({ length: SMALL_INTS }, (_, value) => (wanted(value) ? 1 : 0));
  const large = new Map<number, number>();
  const flagOf = (value: number): number => {
    let flag = large.get(value);
    if (flag === undefined) large.set(value, (flag = wanted(value) ? 1 : 0));
    return flag;
  };
  matchParts(
    column,
    ({ ints, count }) => {
      const out = reserve(count);
      for (let i = 0; i < count; i++) out[i] = ints![i] >>> 0 < SMALL_INTS ? small[ints![i]] : flagOf(ints![i]);
    },
    into,
  );
}

/** Kinds, status codes and the like are below this. */
const SMALL_INTS = 64;

/** Rows of a coded column (resource, scope) whose code is flagged. */
export function matchCodes(column: Column, flags: Uint8Array, into: Bits): void {
  if (column.flag !== undefined) {
    flag(column, flags, into);
    return;
  }
  for (const part of column.parts) {
    const codes = part.codes!;
    const out = reserve(part.count);
    for (let i = 0; i < part.count; i++) out[i] = flags[codes[i]];
    scatter(part, into);
  }
}

/** Rows of a fixed-width column for which `test` holds. */
export function matchFixed(
  column: Column,
  width: number,
  test: (bytes: Uint8Array, at: number) => boolean,
  into: Bits,
): void {
  for (const part of column.parts) {
    const out = reserve(part.count);
    for (let i = 0; i < part.count; i++) out[i] = test(part.bytes!, i * width) ? 1 : 0;
    scatter(part, into);
  }
}

/** Rows that have a value at all. */
export function matchPresent(column: Column, into: Bits): void {
  for (const part of column.parts) {
    reserve(part.count).fill(1, 0, part.count);
    scatter(part, into);
  }
}

/** Rows of a string or any column whose entry satisfies `test`. */
export function matchStrings(column: Column, plainTest: StringTest, into: Bits): void {
  const { dictionary } = column;
  const test = checkedTest(column, plainTest);
  const shared = dictionary === undefined ? undefined : new EntryFlags(dictionary, test);
  if (dictionary?.isOfColumn) {
    if (!shared!.testAll()) return;
    if (column.flag !== undefined) {
      flag(column, shared!.passing(), into);
      return;
    }
  }
  for (const part of column.parts) {
    if (part.dictionary === undefined) {
      if (shared!.matchCodes(part.codes!, part.count, reserve(part.count))) scatter(part, into);
    } else if (matchEntries(part.dictionary, test, part.codes!, part.count)) scatter(part, into);
  }
}

/** Costs (StringTest) between two looks at whether the query shall go on. */
const CHECK_COST = 1_000_000;

/** A slow test that looks now and then whether anybody waits for it. */
function checkedTest(column: Column, test: StringTest): StringTest {
  const { cost } = test;
  if (cost === undefined || column.check === undefined) return test;
  let spent = 0;
  return (bytes, from, to) => {
    spent += cost * (to - from + 1);
    if (spent > CHECK_COST) {
      column.check!();
      spent = 0;
    }
    return test(bytes, from, to);
  };
}

/** The values of a part that has its strings to itself; whether there was a hit. */
function matchEntries(dictionary: Dictionary, test: StringTest, codes: Uint32Array, count: number): boolean {
  const out = reserve(count);
  // Values that are made of several columns have entries that several rows mean.
  if (dictionary.count < count) return new EntryFlags(dictionary, test).matchCodes(codes, count, out);
  const { bytes } = dictionary;
  const only = oneString(test);
  if (only !== undefined && dictionary.isOfColumn) {
    const code = entryOf(dictionary, only, 0);
    if (code < 0) return false;
  }
  let any = 0;
  for (let i = 0; i < count; i++)
    any |= out[i] = test(bytes, dictionary.start(codes[i]), dictionary.end(codes[i])) ? 1 : 0;
  return any !== 0;
}

/** The one string that satisfies the test, where it is one; the empty one cannot be searched for. */
function oneString({ only }: StringTest): Uint8Array | undefined {
  return only?.length === 1 && only[0].length > 0 ? only[0] : undefined;
}

/** The first entry at or after `from` that is this string, or -1. All bytes are searched at once, which the platform does fast. */
function entryOf(dictionary: Dictionary, wanted: Uint8Array, from: number): number {
  const { bytes, count } = dictionary;
  if (count === 0) return -1;
  const end = dictionary.end(count - 1);
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, end);
  for (let at = all.indexOf(wanted, dictionary.start(from)); at >= 0; at = all.indexOf(wanted, at + 1)) {
    let low = from;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (dictionary.start(middle) < at) low = middle + 1;
      else high = middle;
    }
    // Empty strings begin where the next one does.
    while (low < count && dictionary.start(low) === at && dictionary.end(low) === at) low++;
    if (low < count && dictionary.start(low) === at && dictionary.end(low) - at === wanted.length) return low;
  }
  return -1;
}

/**
 * Answers of a test on dictionary entries: 0 not asked yet, 1 no, 2 yes. A live dictionary holds the strings of all columns,
 * so there only those that occur are tested.
 */
class EntryFlags {
  readonly #dictionary: Dictionary;
  readonly #test: StringTest;
  readonly #flags: Uint8Array;

  constructor(dictionary: Dictionary, test: StringTest) {
    this.#dictionary = dictionary;
    this.#test = test;
    this.#flags = new Uint8Array(dictionary.count);
  }

  /** Tests every entry; whether one of them passes. */
  testAll(): boolean {
    const { count, bytes } = this.#dictionary;
    const only = oneString(this.#test);
    if (only !== undefined) {
      const code = entryOf(this.#dictionary, only, 0);
      this.#flags.fill(1);
      if (code >= 0) this.#flags[code] = 2;
      return code >= 0;
    }
    let any = false;
    for (let code = 0; code < count; code++) {
      const passes = this.#test(bytes, this.#dictionary.start(code), this.#dictionary.end(code));
      this.#flags[code] = passes ? 2 : 1;
      any ||= passes;
    }
    return any;
  }

  /** After `testAll`: 1 for each entry that passes. */
  passing(): Uint8Array {
    return this.#flags.map((flag) => flag - 1);
  }

  matchCodes(codes: Uint32Array, count: number, out: Uint8Array): boolean {
    const flags = this.#flags;
    let any = 0;
    for (let i = 0; i < count; i++) {
      const code = codes[i];
      let flag = flags[code];
      if (flag === 0) {
        const { bytes } = this.#dictionary;
        flag = flags[code] = this.#test(bytes, this.#dictionary.start(code), this.#dictionary.end(code)) ? 2 : 1;
      }
      any |= out[i] = flag - 1;
    }
    return any !== 0;
  }
}

/** A column of ints; `distances` may have been asked for. */
function testInts({ words, distances, base, count }: Part, { low, high, mask }: NonNullable<ValueTest['int']>): void {
  if (distances === undefined) testWords(words!, count, low, high, mask);
  else {
    // Where this is not exact it is further away than any value.
    const wanted = (high - base!.high) * 4294967296 + (low - (base!.low >>> 0));
    testDoubles(distances, count, wanted, mask);
  }
}

function testWords(words: Int32Array, count: number, low: number, high: number, mask: number): void {
  const out = reserve(count);
  for (let i = 0; i < count; i++) {
    // Minus one, zero or one, without a branch: values are as good as random.
    const valueHigh = words[2 * i + 1];
    const valueLow = words[2 * i] >>> 0;
    const order =
      2 * (Number(valueHigh > high) - Number(valueHigh < high)) + Number(valueLow > low) - Number(valueLow < low);
    out[i] = (mask >>> (1 + Math.sign(order))) & 1;
  }
}

function testDoubles(values: Float64Array, count: number, wanted: number, mask: number): void {
  const out = reserve(count);
  // Numbers of booleans, because a branch would be a guess: 0.6 ns a value instead of 2.
  if (mask === GREATER) for (let i = 0; i < count; i++) out[i] = Number(values[i] > wanted);
  else if (mask === (GREATER | EQUAL)) for (let i = 0; i < count; i++) out[i] = Number(values[i] >= wanted);
  else if (mask === LESS) for (let i = 0; i < count; i++) out[i] = Number(values[i] < wanted);
  else if (mask === (LESS | EQUAL)) for (let i = 0; i < count; i++) out[i] = Number(values[i] <= wanted);
  else
    for (let i = 0; i < count; i++) {
      const value = values[i];
      const order = value < wanted ? LESS : value > wanted ? GREATER : value === wanted ? EQUAL : UNORDERED;
      out[i] = (mask & order) === 0 ? 0 : 1;
    }
}

/** Bits of an OrderMask. */
const LESS = 1;
const EQUAL = 2;
const GREATER = 4;
const UNORDERED = 8;

function reserve(count: number): Uint8Array {
  if (hits.length < count) hits = new Uint8Array(2 * count);
  return hits;
}

/** Sets the bits of the rows whose value was a hit. */
function scatter(part: Part, into: Bits): void {
  const { first, count, present, at } = part;
  if (at !== undefined) {
    for (let i = 0; i < count; i++) if (hits[i] === 1) into[at[i] >>> 5] |= 1 << (at[i] & 31);
  } else if (present !== undefined) {
    const flags = hits;
    for (let row = 0, i = 0; row < part.rows; row++) {
      const there = present[row];
      into[(first + row) >>> 5] |= (there & flags[i]) << ((first + row) & 31);
      i += there;
    }
  } else scatterDense(first, count, into);
}

/** A word at a time: hits are as good as random, and a branch for each would often be guessed wrong. */
function scatterDense(first: number, count: number, into: Bits): void {
  const flags = hits;
  let i = 0;
  for (; i < count && ((first + i) & 31) !== 0; i++) into[(first + i) >>> 5] |= flags[i] << ((first + i) & 31);
  for (; i + 32 <= count; i += 32) {
    let word = 0;
    for (let bit = 0; bit < 32; bit++) word |= flags[i + bit] << bit;
    into[(first + i) >>> 5] |= word;
  }
  for (; i < count; i++) into[(first + i) >>> 5] |= flags[i] << ((first + i) & 31);
}
