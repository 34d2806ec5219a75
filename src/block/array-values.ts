/**
 * The pages of a key's lists and of its other values as parts of one column of any values: of each list the bytes are made again
 * that came (array-bytes.ts).
 */
import type { Values } from '../parquet/column.ts';
import { type DecodedPage, PAGE_BYTES_MAX } from '../parquet/read.ts';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { ARRAY_TAG, ELEMENT_TAG, VALUE_TAGS } from './array-bytes.ts';
import type { ElementType } from './schema.ts';
import type { Dictionary, Part } from './segment.ts';
import { WordLists } from './word-lists.ts';

/** A part is ended after so many bytes of values: what is short in a dictionary may be long when it is made again. */
const PART_BYTES = 1024 * 1024;

/** One of the columns that a key's values are in, at one page. */
export interface ArrayPage {
  /** Undefined: bytes as they came, and no lists. */
  element: ElementType | undefined;
  page: DecodedPage;
  /** What the page's codes mean. */
  dictionary: Values | undefined;
}

/**
 * The values of a page's rows, the first of which is row `first` of the segment. A row has a value in one of the columns at most.
 * @param wanted a few ascending rows of the page whose values alone are looked for
 */
export function* arrayParts(
  first: number,
  rows: number,
  pages: readonly ArrayPage[],
  wanted?: Uint32Array,
): Generator<Part> {
  const cursors = pages.map((page, column) => new ArrayCursor(page, column));
  if (wanted !== undefined) return yield* wantedParts(first, rows, cursors, wanted);
  for (let row = 0; row < rows; ) {
    const from = row;
    const entries = new Entries();
    const present = new Uint8Array(rows - from);
    const codes = new Uint32Array(rows - from);
    let count = 0;
    for (; row < rows && entries.bytes < PART_BYTES; row++) {
      // Not `of`, which would leave an iterator for each row behind.
      for (let c = 0; c < cursors.length; c++) {
        if (!cursors[c].next() || present[row - from] === 1) continue;
        codes[count++] = entries.codeOf(cursors[c]);
        present[row - from] = 1;
      }
    }
    const dictionary = entries.finish();
    yield { first: first + from, rows: row - from, count, present: present.subarray(0, row - from), codes, dictionary };
  }
}

/** Of a few rows: the others are passed, and equal values are not looked for. */
function* wantedParts(first: number, rows: number, cursors: ArrayCursor[], wanted: Uint32Array): Generator<Part> {
  for (let next = 0, row = 0, from = 0; from < rows; from = row) {
    const entries = new Entries();
    const at = new Uint32Array(wanted.length - next);
    let count = 0;
    while (next < wanted.length && entries.bytes < PART_BYTES) {
      const passed = wanted[next++] - row;
      // A row may be asked for twice.
      if (passed < 0) continue;
      for (const cursor of cursors) cursor.pass(passed);
      row += passed + 1;
      const holder = cursors.filter((cursor) => cursor.next())[0];
      if (holder === undefined) continue;
      entries.add(holder);
      at[count++] = first + row - 1;
    }
    if (next === wanted.length) row = rows;
    const codes = Uint32Array.from({ length: count }, (_, i) => i);
    yield {
      first: first + from,
      rows: row - from,
      count,
      at: at.subarray(0, count),
      codes,
      dictionary: entries.finish(),
    };
  }
}

/** The different values of a part. Which values are equal their codes say, where they have codes: bytes are made once a value. */
class Entries {
  readonly #values = new ProtoWriter();
  #ends = new Uint32Array(64);
  #count = 0;
  #keys: WordLists | undefined;
  /** The entry of each key. */
  #entryOf = new Uint32Array(64);

  get bytes(): number {
    return this.#values.length;
  }

  codeOf(cursor: ArrayCursor): number {
    const length = cursor.findKey();
    if (length === 0) return this.add(cursor);
    this.#keys ??= new WordLists();
    const known = this.#keys.count;
    const number = this.#keys.intern(cursor.key, length);
    if (number < known) return this.#entryOf[number];
    if (number === this.#entryOf.length) this.#entryOf = widened(this.#entryOf);
    return (this.#entryOf[number] = this.add(cursor));
  }

  /** As an entry of its own. */
  add(cursor: ArrayCursor): number {
    cursor.put(this.#values);
    if (this.#count === this.#ends.length) this.#ends = widened(this.#ends);
    this.#ends[this.#count] = this.#values.length;
    return this.#count++;
  }

  finish(): Dictionary {
    const ends = this.#ends;
    const { bytes } = this.#values;
    return { count: this.#count, bytes, start: (code) => (code === 0 ? 0 : ends[code - 1]), end: (code) => ends[code] };
  }
}

/** Goes over the rows of a page. */
class ArrayCursor {
  readonly #element: ElementType | undefined;
  readonly #column: number;
  readonly #page: DecodedPage;
  readonly #values: Values;
  /** Entries and values of the row at hand: [#from, #entry) and, from #first on, up to #value. */
  #from = 0;
  #entry = 0;
  #first = 0;
  #value = 0;
  /** What `findKey` found. */
  key = new Uint32Array(16);

  /** `column` is a number of its own. */
  constructor({ element, page, dictionary }: ArrayPage, column: number) {
    const values = page.codes === undefined ? page.values : dictionary;
    // A chunk without a value has no dictionary.
    this.#values = values ?? { type: 'bytes', bytes: new Uint8Array(0), offsets: new Uint32Array(1), count: 0 };
    this.#element = element;
    this.#page = page;
    this.#column = column;
  }

  /** Goes to the next row; whether it has a value here. */
  next(): boolean {
    const { definition, repetition, entries } = this.#page;
    let entry = (this.#from = this.#entry);
    this.#first = this.#value;
    const level = definition === undefined ? 3 : definition[entry];
    const valueLevel = this.#element === undefined ? 1 : 3;
    do {
      if (definition === undefined || definition[entry] === valueLevel) this.#value++;
      entry++;
    } while (repetition !== undefined && entry < entries && repetition[entry] === 1);
    this.#entry = entry;
    return level > 0;
  }

  /** Passes so many rows. */
  pass(rows: number): void {
    const { definition, repetition, entries } = this.#page;
    const valueLevel = this.#element === undefined ? 1 : 3;
    let entry = this.#entry;
    let value = this.#value;
    for (let left = rows; entry < entries; entry++) {
      if (repetition === undefined || repetition[entry] === 0) {
        if (left === 0) break;
        left--;
      }
      if (definition === undefined || definition[entry] === valueLevel) value++;
    }
    this.#entry = entry;
    this.#value = value;
  }

  /** The length of a key that is equal for equal values of a page; 0 where there is none without looking at bytes. */
  findKey(): number {
    const { codes, definition } = this.#page;
    const values = this.#values;
    const bits = values.type === 'boolean' ? values.values : undefined;
    if (codes === undefined && bits === undefined) return 0;
    const length = 1 + this.#entry - this.#from;
    if (this.key.length < length) this.key = new Uint32Array(2 * length);
    const { key } = this;
    // Behind the column, of each entry 0 to 2 where it has no value, else its code and 3.
    key[0] = this.#column;
    const valueLevel = this.#element === undefined ? 1 : 3;
    for (let entry = this.#from, at = 1, value = this.#first; entry < this.#entry; entry++) {
      const level = definition === undefined ? valueLevel : definition[entry];
      key[at++] = level < valueLevel ? level : 3 + (codes === undefined ? bits![value++] : codes[value++]);
    }
    return length;
  }

  /** Puts the value of the row, which has one. */
  put(into: ProtoWriter): void {
    if (this.#element === undefined) {
      const { bytes, offsets } = this.#values as Values & { type: 'bytes' };
      const place = this.#placeOf(this.#first);
      into.raw(bytes, offsets[place], offsets[place + 1]);
      return;
    }
    const { definition } = this.#page;
    const before = into.length;
    const array = into.begin(ARRAY_TAG);
    for (let entry = this.#from, value = this.#first; entry < this.#entry; entry++) {
      const level = definition === undefined ? 3 : definition[entry];
      if (level < 2) break;
      const mark = into.begin(ELEMENT_TAG);
      if (level === 3) putValue(this.#element, this.#values, this.#placeOf(value++), into);
      into.end(mark);
      if (into.length - before > PAGE_BYTES_MAX) throw undecodable(`an array is longer than ${PAGE_BYTES_MAX} bytes`);
    }
    into.end(array);
  }

  /** Where value `at` of the page stands. */
  #placeOf(at: number): number {
    const { codes, count } = this.#page;
    const place = codes === undefined ? at : codes[at];
    if (at >= count || place >= this.#values.count) throw undecodable(`there is no value ${place}`);
    return place;
  }
}

/** Puts one value as the content of an AnyValue message. */
export function putValue(element: ElementType, values: Values, place: number, into: ProtoWriter): void {
  into.varint(VALUE_TAGS[element]);
  switch (values.type) {
    case 'bytes': {
      const from = values.offsets[place];
      const to = values.offsets[place + 1];
      into.varint(to - from);
      into.raw(values.bytes, from, to);
      return;
    }
    case 'boolean':
      into.varint(values.values[place]);
      return;
    case 'int64':
      into.varint64(values.words[2 * place], values.words[2 * place + 1]);
      return;
    case 'double': {
      // As words: a number that is none keeps its bits.
      const { buffer, byteOffset } = values.values;
      into.raw(new Uint8Array(buffer, byteOffset + 8 * place, 8));
      return;
    }
    default:
      throw undecodable(`elements of type ${values.type}`);
  }
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', `cannot read a column of arrays: ${reason}`);
}

function widened(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(2 * values.length);
  wider.set(values);
  return wider;
}
