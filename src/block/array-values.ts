/**
 * The pages of a key's lists and of its other values as parts of one column of any values: of each list the bytes are made again
 * that came (array-bytes.ts). Equal values of a part are one entry of its dictionary.
 */
import type { Values } from '../parquet/column.ts';
import { type DecodedPage, PAGE_BYTES_MAX } from '../parquet/read.ts';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { ARRAY_TAG, ELEMENT_TAG, VALUE_TAGS } from './array-bytes.ts';
import type { ElementType } from './schema.ts';
import type { Part } from './segment.ts';
import { StringTable } from './string-table.ts';

/** A part is ended after so many bytes of different values: what is short in a dictionary may be long when it is made again. */
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
  const cursors = pages.map((page) => new ArrayCursor(page));
  const value = new ProtoWriter();
  for (let row = 0, next = 0; row < rows; ) {
    const from = row;
    const strings = new StringTable();
    const present = new Uint8Array(rows - from);
    const codes = new Uint32Array(rows - from);
    let count = 0;
    for (; row < rows && bytesOf(strings) < PART_BYTES; row++) {
      const isWanted = wanted === undefined || wanted[next] === row;
      if (isWanted) next++;
      value.length = 0;
      for (const cursor of cursors) {
        if (!cursor.next(isWanted && present[row - from] === 0 ? value : undefined)) continue;
        codes[count++] = strings.intern(value.bytes, 0, value.length);
        present[row - from] = 1;
      }
    }
    const { bytes, starts, ends } = strings;
    const dictionary = {
      count: strings.count,
      bytes,
      start: (code: number) => starts[code],
      end: (code: number) => ends[code],
    };
    yield { first: first + from, rows: row - from, count, present: present.subarray(0, row - from), codes, dictionary };
  }
}

function bytesOf({ count, ends }: StringTable): number {
  return count === 0 ? 0 : ends[count - 1];
}

/** Goes over the rows of a page. */
class ArrayCursor {
  readonly #element: ElementType | undefined;
  readonly #page: DecodedPage;
  readonly #values: Values;
  #entry = 0;
  #value = 0;

  constructor({ element, page, dictionary }: ArrayPage) {
    const values = page.codes === undefined ? page.values : dictionary;
    // A chunk without a value has no dictionary.
    this.#values = values ?? { type: 'bytes', bytes: new Uint8Array(0), offsets: new Uint32Array(1), count: 0 };
    this.#element = element;
    this.#page = page;
  }

  /** Goes over a row, and puts its value where it is wanted. Whether it was put. */
  next(into: ProtoWriter | undefined): boolean {
    return this.#element === undefined ? this.#bytes(into) : this.#array(this.#element, into);
  }

  #bytes(into: ProtoWriter | undefined): boolean {
    if (this.#page.definition?.[this.#entry++] === 0) return false;
    const at = this.#value++;
    if (into === undefined) return false;
    const { bytes, offsets } = this.#values as Values & { type: 'bytes' };
    const place = this.#placeOf(at);
    into.raw(bytes, offsets[place], offsets[place + 1]);
    return true;
  }

  #array(element: ElementType, into: ProtoWriter | undefined): boolean {
    const { definition, repetition, entries } = this.#page;
    let entry = this.#entry;
    const level = definition === undefined ? 3 : definition[entry];
    const array = into !== undefined && level > 0 ? into.begin(ARRAY_TAG) : -1;
    do {
      const has = definition === undefined || definition[entry] === 3;
      if (array >= 0 && level > 1) {
        const mark = into!.begin(ELEMENT_TAG);
        if (has) this.#putValue(element, this.#placeOf(this.#value), into!);
        into!.end(mark);
        if (into!.length > PAGE_BYTES_MAX) throw undecodable(`an array is longer than ${PAGE_BYTES_MAX} bytes`);
      }
      if (has) this.#value++;
      entry++;
    } while (repetition !== undefined && entry < entries && repetition[entry] === 1);
    this.#entry = entry;
    if (array < 0) return false;
    into!.end(array);
    return true;
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
