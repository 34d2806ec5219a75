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
import { StringTable } from './string-table.ts';

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
 * @param wanted ascending rows of the page whose values alone are looked for
 */
export function* arrayParts(
  first: number,
  rows: number,
  pages: readonly ArrayPage[],
  wanted?: Uint32Array,
): Generator<Part> {
  const cursors = pages.map((page, column) => new ArrayCursor(page, column));
  for (let row = 0, next = 0; row < rows; ) {
    const from = row;
    const entries = new Entries();
    const present = new Uint8Array(rows - from);
    const codes = new Uint32Array(rows - from);
    let count = 0;
    for (; row < rows && entries.bytes < PART_BYTES; row++) {
      const isWanted = wanted === undefined || wanted[next] === row;
      if (isWanted) next++;
      for (const cursor of cursors) {
        if (!cursor.next() || !isWanted || present[row - from] === 1) continue;
        codes[count++] = entries.codeOf(cursor);
        present[row - from] = 1;
      }
    }
    const dictionary = entries.finish();
    yield { first: first + from, rows: row - from, count, present: present.subarray(0, row - from), codes, dictionary };
  }
}

/** The different values of a part. Which values are equal their codes say, where they have codes: bytes are made once a value. */
class Entries {
  readonly #values = new ProtoWriter();
  #ends = new Uint32Array(64);
  #count = 0;
  readonly #keys = new StringTable();
  /** The entry of each key. */
  #entryOf = new Uint32Array(64);

  get bytes(): number {
    return this.#values.length;
  }

  codeOf(cursor: ArrayCursor): number {
    const key = cursor.key();
    if (key === undefined) return this.#add(cursor);
    const known = this.#keys.count;
    const number = this.#keys.intern(key, 0, key.length);
    if (number < known) return this.#entryOf[number];
    if (number === this.#entryOf.length) this.#entryOf = widened(this.#entryOf);
    return (this.#entryOf[number] = this.#add(cursor));
  }

  #add(cursor: ArrayCursor): number {
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
  #key = new Uint32Array(16);

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

  /** Equal for equal values of a page, good until the next; undefined where that is not known without looking at bytes. */
  key(): Uint8Array | undefined {
    const { codes, definition } = this.#page;
    const values = this.#values;
    const bits = values.type === 'boolean' ? values.values : undefined;
    if (codes === undefined && bits === undefined) return undefined;
    const length = 1 + this.#entry - this.#from;
    if (this.#key.length < length) this.#key = new Uint32Array(2 * length);
    const key = this.#key;
    // Behind the column, of each entry 0 to 2 where it has no value, else its code and 3.
    key[0] = this.#column;
    const valueLevel = this.#element === undefined ? 1 : 3;
    for (let entry = this.#from, at = 1, value = this.#first; entry < this.#entry; entry++) {
      const level = definition === undefined ? valueLevel : definition[entry];
      key[at++] = level < valueLevel ? level : 3 + (codes === undefined ? bits![value++] : codes[value++]);
    }
    return new Uint8Array(key.buffer, 0, 4 * length);
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
      if (level === 3) this.#putValue(this.#element, this.#placeOf(value++), into);
      into.end(mark);
      if (into.length - before > PAGE_BYTES_MAX) throw undecodable(`an array is longer than ${PAGE_BYTES_MAX} bytes`);
    }
    into.end(array);
  }

  #putValue(element: ElementType, place: number, into: ProtoWriter): void {
    const values = this.#values;
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

  /** Where value `at` of the page stands. */
  #placeOf(at: number): number {
    const { codes, count } = this.#page;
    const place = codes === undefined ? at : codes[at];
    if (at >= count || place >= this.#values.count) throw undecodable(`there is no value ${place}`);
    return place;
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
