/**
 * Appends attributes of spans, events and links to columns where the kernel (append-kernel.ts) leaves that to its host: those
 * whose column it did not guess, long ones, arrays, keys that come twice, and what is not written as exporters write it, key
 * then value, one value member. The kernel guesses the column that came after the previous attribute's last, or before that.
 */
import { DISTINCT, SAMPLE } from './append-kernel.ts';
import {
  AT_RECORD,
  AT_STRAIGHT_MAX,
  columnOfRecord,
  RECORD_FRESH,
  RECORD_NEXT,
  RECORD_NEXT_BUT_ONE,
  RECORD_SEEN,
  recordOf,
} from './append-tables.ts';
import { HEAD_LAST_ROW, HEAD_WORDS, type LiveColumns } from './columns.ts';
import {
  META_REPEATED,
  type Space,
  TYPE_ANY,
  TYPE_BOOL,
  TYPE_DOUBLE,
  TYPE_INT,
  TYPE_REPEATED,
  TYPE_STRING,
  type ValueType,
} from './layout.ts';
import { concat, keyValueBytes, lengthDelimited } from './message.ts';
import { checkAnyValue, cutAtCodePoint } from './otlp-checks.ts';
import { WireCursor } from './wire-cursor.ts';

/** Fewer strings decide nothing: twenty thousand users look all different at first, and want a dictionary for searches. */
const DISTINCT_AFTER = 16_384;

const NOTHING = new Uint8Array(0);

/** Attributes of one live segment. */
export class AttributeAppender {
  /** Keys and values that were cut. */
  truncated = 0;
  readonly #segment: LiveColumns;
  #bytes: Uint8Array = NOTHING;
  #view: DataView = viewOf(NOTHING);
  /** Reads what is off the straight path. */
  readonly #cursor = new WireCursor();
  #attributeBytesMax = -1;
  /** Longer keys, and strings on the straight path, are looked at more closely. */
  #keyBytesMax = 127;

  constructor(segment: LiveColumns) {
    this.#segment = segment;
  }

  /** Keys and values of more bytes are cut; 0 cuts none. */
  limit(attributeBytesMax: number): void {
    if (attributeBytesMax === this.#attributeBytesMax) return;
    // What was guessed may be a column whose key is longer than the limit is now.
    this.#segment.tables.forgetNext(this.#segment.columns.count);
    this.#attributeBytesMax = attributeBytesMax;
    this.#keyBytesMax = Math.min(127, attributeBytesMax || 127);
    this.#segment.tables.words[AT_STRAIGHT_MAX / 4] = this.#keyBytesMax;
  }

  /** From here on `bytes` are read. */
  read(bytes: Uint8Array, view: DataView): void {
    this.#bytes = bytes;
    this.#view = view;
    this.#cursor.bytes = bytes;
  }

  /** The KeyValue whose length begins at `at`. Returns where it ends. */
  append(space: Space, row: number, at: number, end: number): number {
    const length = this.#cursor.length(at, end);
    const from = this.#cursor.at;
    this.#longAttribute(space, row, from, from + length);
    return from + length;
  }

  /**
   * The code of a column's string. A column whose strings are nearly all new (addresses, paths with numbers in them) is not
   * worth a look-up: from then on each string gets a code of its own, equal or not (saves a tenth of the whole pass).
   */
  #stringCode(column: number, offset: number, length: number): number {
    const { strings, tables } = this.#segment;
    const record = recordOf(column) >> 2;
    const { words } = tables;
    if (words[record + RECORD_SEEN / 4] === DISTINCT) return strings.add(this.#view, this.#bytes, offset, length);
    const before = strings.count;
    const code = strings.intern(this.#view, this.#bytes, offset, length);
    // What they are looked up in may be in another place now.
    const { words: now } = tables;
    if (code === before) now[record + RECORD_FRESH / 4]++;
    if ((++now[record + RECORD_SEEN / 4] & (SAMPLE - 1)) === 0) this.decide(recordOf(column));
    return code;
  }

  /** Whether strings of a column, of which SAMPLE more have come, are worth a look-up. */
  decide(record: number): void {
    const words = this.#segment.tables.words;
    const seen = (record + RECORD_SEEN) >> 2;
    const fresh = (record + RECORD_FRESH) >> 2;
    if (words[seen] >= DISTINCT_AFTER && words[fresh] > 0.75 * SAMPLE) words[seen] = DISTINCT;
    words[fresh] = 0;
  }

  /** A KeyValue whose value takes more than 127 bytes, or that is none of the usual shapes. */
  #longAttribute(space: Space, row: number, from: number, end: number): void {
    const bytes = this.#bytes;
    const keyLength = bytes[from + 1];
    const keyAt = from + 2;
    const valueTag = keyAt + keyLength;
    if (
      end - from < 4 ||
      bytes[from] !== 0x0a ||
      keyLength > this.#keyBytesMax ||
      valueTag + 1 >= end ||
      bytes[valueTag] !== 0x12
    ) {
      this.#oddAttribute(space, row, from, end);
      return;
    }
    const length = this.#cursor.varint(valueTag + 1, end);
    if (this.#cursor.at + length !== end) this.#oddAttribute(space, row, from, end);
    else this.#value(space, row, keyAt, keyLength, this.#cursor.at, end, from);
  }

  #value(
    space: Space,
    row: number,
    keyAt: number,
    keyLength: number,
    from: number,
    end: number,
    keyValueAt: number,
  ): void {
    const segment = this.#segment;
    const bytes = this.#bytes;
    const view = this.#view;
    const tag = from < end ? bytes[from] : 0;
    if (tag === 0x0a) {
      let at = from + 2;
      let length = bytes[from + 1];
      if (from + 1 >= end || length > 127) {
        length = this.#cursor.varint(from + 1, end);
        at = this.#cursor.at;
      }
      if (at + length === end) {
        const column = this.#columnOf(space, TYPE_STRING, keyAt, keyLength);
        const max = this.#attributeBytesMax;
        if (max > 0 && length > max) {
          length = cutAtCodePoint(bytes, at, max);
          this.truncated++;
        }
        if (this.#repeats(column, row)) {
          if (at + length === end) this.#repeated(space, row, keyValueAt, end);
          else this.#repeatedString(space, row, keyAt, keyLength, at, length);
        } else
          segment.append1(
            column,
            row,
            length < 128 ? this.#stringCode(column, at, length) : segment.strings.intern(view, bytes, at, length),
          );
        return;
      }
    } else if (tag === 0x18) {
      const low = this.#cursor.varint64(from + 1, end);
      if (this.#cursor.at === end) {
        const high = this.#cursor.high;
        const column = this.#columnOf(space, TYPE_INT, keyAt, keyLength);
        if (this.#repeats(column, row)) this.#repeated(space, row, keyValueAt, end);
        else segment.append2(column, row, low, high);
        return;
      }
    } else if (tag === 0x21) {
      if (from + 9 === end) {
        const column = this.#columnOf(space, TYPE_DOUBLE, keyAt, keyLength);
        if (this.#repeats(column, row)) this.#repeated(space, row, keyValueAt, end);
        else segment.append2(column, row, view.getUint32(from + 1, true), view.getUint32(from + 5, true));
        return;
      }
    } else if (tag === 0x10) {
      const low = this.#cursor.varint64(from + 1, end);
      if (this.#cursor.at === end) {
        const column = this.#columnOf(space, TYPE_BOOL, keyAt, keyLength);
        if (this.#repeats(column, row)) this.#repeated(space, row, keyValueAt, end);
        else segment.append1(column, row, (low | this.#cursor.high) !== 0 ? 1 : 0);
        return;
      }
    }
    const last = checkAnyValue(this.#cursor, from, end, 0);
    if (last >= 0 && last !== from && isScalarTag(bytes[last])) {
      // Several members: the last one is the value, appended from a KeyValue of its own in case the key comes twice.
      const key = bytes.subarray(keyAt, keyAt + keyLength);
      this.#normalised(space, row, key, bytes.subarray(last, this.#cursor.endOfField(last, end)));
      return;
    }
    const column = this.#columnOf(space, TYPE_ANY, keyAt, keyLength);
    if (this.#repeats(column, row)) this.#repeated(space, row, keyValueAt, end);
    else segment.append1(column, row, segment.strings.intern(view, bytes, from, end - from));
  }

  /** A KeyValue that is not written as exporters write it: normalised into a buffer of its own and appended from there. */
  #oddAttribute(space: Space, row: number, from: number, end: number): void {
    let keyAt = from;
    let keyLength = 0;
    let value: Uint8Array = new Uint8Array(0);
    let hasValue = false;
    for (let at = from; at < end; ) {
      const tag = this.#cursor.varint(at, end);
      at = this.#cursor.at;
      if (tag === 0x0a || tag === 0x12) {
        const length = this.#cursor.length(at, end);
        at = this.#cursor.at;
        if (tag === 0x0a) {
          keyAt = at;
          keyLength = length;
        } else {
          value = hasValue
            ? concat([value, this.#bytes.subarray(at, at + length)])
            : this.#bytes.slice(at, at + length);
          hasValue = true;
        }
        at += length;
      } else at = this.#cursor.skipUnknown(tag, 2, at, end);
    }
    const max = this.#attributeBytesMax;
    if (max > 0 && keyLength > max) {
      keyLength = cutAtCodePoint(this.#bytes, keyAt, max);
      this.truncated++;
    }
    this.#normalised(space, row, this.#bytes.subarray(keyAt, keyAt + keyLength), value);
  }

  /** Appends key and value (an AnyValue) from a KeyValue that is written as exporters write it. */
  #normalised(space: Space, row: number, key: Uint8Array, value: Uint8Array): void {
    const normal = keyValueBytes(key, value);
    const bytes = this.#bytes;
    const view = this.#view;
    const before = this.#cursor.at;
    this.read(normal.bytes, viewOf(normal.bytes));
    try {
      this.#value(space, row, normal.keyAt, key.length, normal.valueAt, normal.bytes.length, 0);
    } finally {
      this.read(bytes, view);
      this.#cursor.at = before;
    }
  }

  /** A key that the row already has: kept as the whole KeyValue, so that it comes back. */
  #repeated(space: Space, row: number, from: number, end: number): void {
    this.#repeatedBytes(space, row, this.#view, this.#bytes, from, end);
  }

  #repeatedString(space: Space, row: number, keyAt: number, keyLength: number, at: number, length: number): void {
    const key = this.#bytes.subarray(keyAt, keyAt + keyLength);
    const { bytes } = keyValueBytes(key, lengthDelimited(0x0a, this.#bytes.subarray(at, at + length)));
    this.#repeatedBytes(space, row, new DataView(bytes.buffer), bytes, 0, bytes.length);
  }

  #repeatedBytes(space: Space, row: number, view: DataView, bytes: Uint8Array, from: number, end: number): void {
    const segment = this.#segment;
    const code = segment.strings.intern(view, bytes, from, end - from);
    segment.append1(segment.metaColumn(TYPE_REPEATED, META_REPEATED | (space << 8)), row, code);
  }

  #repeats(column: number, row: number): boolean {
    return this.#segment.tables.heads[column * HEAD_WORDS + HEAD_LAST_ROW] === row + 1;
  }

  #columnOf(space: Space, type: ValueType, keyAt: number, keyLength: number): number {
    const segment = this.#segment;
    const previous = segment.tables.words[AT_RECORD / 4] >> 2;
    const next = segment.tables.words[previous + RECORD_NEXT / 4];
    let column = columnOfRecord(next);
    if (next === 0 || !segment.isColumn(column, space | (type << 8), this.#view, keyAt, keyLength)) {
      const hash = segment.hash(this.#view, keyAt, keyLength);
      column = segment.column(space, type, this.#view, this.#bytes, keyAt, keyLength, hash);
      const words = segment.tables.words;
      words[previous + RECORD_NEXT_BUT_ONE / 4] = words[previous + RECORD_NEXT / 4];
      words[previous + RECORD_NEXT / 4] = recordOf(column);
    }
    segment.tables.words[AT_RECORD / 4] = recordOf(column);
    return column;
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** At least twice as long, with room for `index`. */
export function widened(values: Uint32Array, index: number): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(2 * (index + 1));
  wider.set(values);
  return wider;
}

function isScalarTag(tag: number): boolean {
  return tag === 0x0a || tag === 0x10 || tag === 0x18 || tag === 0x21;
}
