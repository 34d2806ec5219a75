/**
 * Attributes of a merged block that get no column of their own, because its blocks together have too many: they go to the column
 * `more` of their space, as those of a block that is cut (docs/formats/block.md). An entry is a row, or an event or link of one.
 *
 * ```
 *  columns    a: entries 0, 2     b: entry 0           one column after the other is read, and made into KeyValues
 *  pieces     a₀ a₂ b₀            entries 0 2 0
 *  more       0: a₀ b₀ + what there was    2: a₂ + …   values of their own, which the entries mean from then on
 * ```
 */
import { putValue } from '../block/array-values.ts';
import { ARRAY_TAG, ELEMENT_TAG } from '../block/array-bytes.ts';
import { type ColumnUse, elementType } from '../block/schema.ts';
import type { Values } from '../parquet/column.ts';
import type { Arrays } from '../runtime/arena.ts';
import { ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';
import { TooLarge } from './merged-schema.ts';
import { readLevels, type SourceColumn, type SourceLevels } from './source-levels.ts';
import type { NumberedStrings } from './source-values.ts';

/** The field `attributes` of Span, Event and Link. */
const ATTRIBUTES: Partial<Record<ColumnUse['s'], number>> = { rare: 9, event: 3, link: 4 };
const KEY_TAG = tagOf(1, WIRE_BYTES);
const VALUE_TAG = tagOf(2, WIRE_BYTES);
/** Of one row group: every value stands there with its key. */
const BYTES_MAX = 16 * 1024 * 1024;

export class Overflow {
  readonly #tag: number;
  readonly #pieces = new Pieces();
  #entryOf = new Uint32Array(256);

  /** `space`: that of `more`. */
  constructor(space: ColumnUse['s']) {
    this.#tag = tagOf(ATTRIBUTES[space]!, WIRE_BYTES);
  }

  /** Adds the values of a column. Throws TooLarge. */
  add({ k, t }: ColumnUse, column: SourceColumn, arrays: Arrays): void {
    const key = Buffer.from(k);
    const element = elementType(t);
    const contents = new Pieces();
    const { bytes } = contents;
    const levels = readLevels(column, arrays, ({ codes, values }, from, to, _at, dictionary) => {
      const all = codes === undefined ? values! : dictionary!;
      for (let i = from; i < to; i++) {
        const place = codes === undefined ? i : codes[i];
        if (t === 'any') putBytes(all, place, bytes);
        else putValue(element ?? (t as 'string'), all, place, bytes);
        contents.end();
      }
      return true;
    })!;
    if (element !== undefined) this.#addArrays(key, levels, contents);
    else
      eachEntry(levels, (entry, level, value) => {
        if (level === levels.levelMax) this.#add(entry, key, () => contents.copy(value, this.#pieces.bytes));
      });
  }

  /** Each list of values as an array. */
  #addArrays(key: Uint8Array, levels: SourceLevels, contents: Pieces): void {
    const { bytes } = this.#pieces;
    const { entries, repetition } = levels;
    let row = -1;
    let end = () => {};
    eachEntry(levels, (entry, level, value) => {
      if (repetition === undefined || repetition[entry] === 0) {
        end();
        end = () => {};
        row++;
        if (level === 0) return;
        end = this.#begin(row, key, () => bytes.begin(ARRAY_TAG));
      }
      // An empty array has an entry, too.
      if (level < 2) return;
      const mark = bytes.begin(ELEMENT_TAG);
      if (level === 3) contents.copy(value, bytes);
      bytes.end(mark);
    });
    if (entries > 0) end();
  }

  /** The column `more`, with what was added before the values that it has. */
  before(more: NumberedStrings, arrays: Arrays): NumberedStrings {
    const { levelMax, entries, repetition } = more.levels;
    const pieces = this.#pieces;
    if (pieces.count === 0) return more;
    // Pieces of an entry in the order in which they were added.
    const next = arrays.uint32(entries + 1);
    for (let piece = 0; piece < pieces.count; piece++) next[this.#entryOf[piece] + 1]++;
    for (let entry = 0; entry < entries; entry++) next[entry + 1] += next[entry];
    const sorted = arrays.uint32(pieces.count);
    for (let piece = 0; piece < pieces.count; piece++) sorted[next[this.#entryOf[piece]]++] = piece;
    const joined = new Pieces(pieces.bytes.length);
    const definition = arrays.uint8(entries);
    const numbers = arrays.uint32(entries);
    let values = 0;
    let at = 0;
    eachEntry(more.levels, (entry, level, value) => {
      const has = level === levelMax;
      const isAdded = at < pieces.count && this.#entryOf[sorted[at]] === entry;
      definition[entry] = isAdded ? levelMax : level;
      if (!isAdded) {
        if (has) numbers[values++] = more.numbers[value];
        return;
      }
      for (; at < pieces.count && this.#entryOf[sorted[at]] === entry; at++) pieces.copy(sorted[at], joined.bytes);
      if (has) copyNumbered(more, more.numbers[value], joined.bytes);
      numbers[values++] = more.count + joined.count;
      joined.end();
    });
    const isDense = values === entries && repetition === undefined;
    return {
      levels: { levelMax, entries, values, definition: isDense ? undefined : definition, repetition },
      numbers,
      count: more.count + joined.count,
      places: [...more.places, { first: more.count, values: joined.finish() }],
      isMixed: more.isMixed,
    };
  }

  #add(entry: number, key: Uint8Array, putContent: () => void): void {
    const end = this.#begin(entry, key, () => {
      putContent();
      return -1;
    });
    end();
  }

  /** `begin` puts the value, or begins it and says the mark; what is returned ends it. */
  #begin(entry: number, key: Uint8Array, begin: () => number): () => void {
    const { bytes, count } = this.#pieces;
    const attribute = bytes.begin(this.#tag);
    bytes.bytesField(KEY_TAG, key);
    const value = bytes.begin(VALUE_TAG);
    const content = begin();
    return () => {
      if (content >= 0) bytes.end(content);
      bytes.end(value);
      bytes.end(attribute);
      if (bytes.length > BYTES_MAX) throw new TooLarge('their attributes without a column take too much memory');
      if (count === this.#entryOf.length) this.#entryOf = widened(this.#entryOf);
      this.#entryOf[count] = entry;
      this.#pieces.end();
    };
  }
}

/** Strings of bytes one after the other. */
class Pieces {
  readonly bytes: ProtoWriter;
  count = 0;
  #ends = new Uint32Array(256);

  constructor(bytes = 1 << 12) {
    this.bytes = new ProtoWriter(bytes);
  }

  /** What was written since the last one is one. */
  end(): void {
    if (this.count === this.#ends.length) this.#ends = widened(this.#ends);
    this.#ends[this.count++] = this.bytes.length;
  }

  copy(piece: number, into: ProtoWriter): void {
    into.raw(this.bytes.bytes, piece === 0 ? 0 : this.#ends[piece - 1], this.#ends[piece]);
  }

  finish(): Values & { type: 'bytes' } {
    const offsets = new Uint32Array(this.count + 1);
    offsets.set(this.#ends.subarray(0, this.count), 1);
    return { type: 'bytes', bytes: this.bytes.finish(), offsets, count: this.count };
  }
}

/** `value`: the number of the entry's value, if it has one. */
function eachEntry(
  { entries, levelMax, definition }: SourceLevels,
  each: (entry: number, level: number, value: number) => void,
): void {
  for (let entry = 0, value = 0; entry < entries; entry++) {
    const level = definition === undefined ? levelMax : definition[entry];
    each(entry, level, value);
    if (level === levelMax) value++;
  }
}

function copyNumbered({ places }: NumberedStrings, number: number, into: ProtoWriter): void {
  const { first, values } = places.findLast((place) => place.first <= number)!;
  putBytes(values, number - first, into);
}

function putBytes(values: Values, at: number, into: ProtoWriter): void {
  if (values.type !== 'bytes') throw new TypeError(`cannot merge values of any type: they are ${values.type}`);
  into.raw(values.bytes, values.offsets[at], values.offsets[at + 1]);
}

function widened(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(2 * values.length);
  wider.set(values);
  return wider;
}
