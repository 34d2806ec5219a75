/**
 * Appends the attributes of spans, events and links to columns (append.ts walks down to them). The canonical shape that every
 * exporter writes, key then value, one value member, has a straight path; everything else that protobuf allows goes through
 * `#oddAttribute`. An attribute's column is guessed: the one that followed the previous attribute's column last time.
 */
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
import { overrun, WireCursor } from './wire-cursor.ts';

/** Strings of a column after which it is decided, again and again, whether looking them up pays. */
const SAMPLE = 2048;
/** Fewer strings decide nothing: twenty thousand users look all different at first, and want a dictionary for searches. */
const DISTINCT_AFTER = 16_384;
const DISTINCT = 0xffffffff;

const NOTHING = new Uint8Array(0);

/** Attributes of one live segment. */
export class AttributeAppender {
  /** Column of the attribute before; -1 before the first one of a span, event or link. */
  column = -1;
  /** Keys and values that were cut. */
  truncated = 0;
  readonly #segment: LiveColumns;
  #bytes: Uint8Array = NOTHING;
  #view: DataView = viewOf(NOTHING);
  /** Reads what is off the straight path. */
  readonly #cursor = new WireCursor();
  #successor = new Int32Array(64).fill(-1);
  #firstColumn = [-1, -1, -1];
  /** Strings of each column since the last decision, and how many of them were new to the segment. */
  #seen = new Uint32Array(64);
  #fresh = new Uint32Array(64);
  #attributeBytesMax = 0;
  /** Longer keys, and strings on the straight path, are looked at more closely. */
  #keyBytesMax = 127;

  constructor(segment: LiveColumns) {
    this.#segment = segment;
  }

  /** Keys and values of more bytes are cut; 0 cuts none. */
  limit(attributeBytesMax: number): void {
    this.#attributeBytesMax = attributeBytesMax;
    this.#keyBytesMax = Math.min(127, attributeBytesMax || 127);
  }

  /** From here on `bytes` are read. */
  read(bytes: Uint8Array, view: DataView): void {
    this.#bytes = bytes;
    this.#view = view;
    this.#cursor.bytes = bytes;
  }

  /** Forgets what it knows of the segment's columns. */
  reset(): void {
    this.#successor.fill(-1);
    this.#firstColumn.fill(-1);
  }

  /**
   * The KeyValues of a span, event or link that stand one behind the other, each under `tag`: of the first one `at` is where its
   * length begins. Returns where the first byte behind them is. One loop with little in it, because the engine would not
   * put a call per attribute, and those that it makes, into its place (4 % of the whole pass).
   */
  appendAll(space: Space, row: number, tag: number, at: number, end: number): number {
    const segment = this.#segment;
    const bytes = this.#bytes;
    const view = this.#view;
    const keyBytesMax = this.#keyBytesMax;
    for (;;) {
      let from = at + 1;
      let to = from + bytes[at];
      if (to - from > 127 || to > end) {
        const length = this.#cursor.length(at, end);
        from = this.#cursor.at;
        to = from + length;
      }
      const keyLength = bytes[from + 1];
      const valueTag = from + 2 + keyLength;
      const value = valueTag + 2;
      // The straight path: a key of less than 128 bytes, then a value with one scalar member of less than 128 bytes, and nothing after it.
      if (
        value < to &&
        bytes[from] === 0x0a &&
        keyLength <= keyBytesMax &&
        bytes[valueTag] === 0x12 &&
        value + bytes[valueTag + 1] === to
      ) {
        const member = bytes[value];
        if (member === 0x0a) {
          const length = bytes[value + 1];
          // A string of less than 128 bytes is shorter than any limit that is worth setting; others take the long path.
          if (value + 2 + length === to && length <= keyBytesMax) {
            const column = this.#columnOf(space, TYPE_STRING, from + 2, keyLength);
            if (this.#repeats(column, row)) this.#repeated(space, row, from, to);
            else segment.append1(column, row, this.#stringCode(column, value + 2, length));
          } else this.#value(space, row, from + 2, keyLength, value, to, from);
        } else if (member === 0x21 && value + 9 === to) {
          const column = this.#columnOf(space, TYPE_DOUBLE, from + 2, keyLength);
          // Signed, because unsigned words do not fit into small integers, and would be allocated when they are passed on.
          if (this.#repeats(column, row)) this.#repeated(space, row, from, to);
          else segment.append2(column, row, view.getInt32(value + 1, true), view.getInt32(value + 5, true));
        } else this.#shortNumber(space, row, from, to, keyLength, value);
      } else this.#longAttribute(space, row, from, to);
      if (to >= end || bytes[to] !== tag) return to;
      at = to + 1;
      if (at === end) throw overrun(at);
    }
  }

  /** A value that is neither string nor double, behind a short key. */
  #shortNumber(space: Space, row: number, from: number, to: number, keyLength: number, at: number): void {
    const bytes = this.#bytes;
    const member = bytes[at];
    if ((member === 0x18 || member === 0x10) && at + 2 <= to) {
      // Whole numbers of up to four bytes, without a call.
      let value = bytes[at + 1];
      let next = at + 2;
      if (value > 127 && next < to) {
        value = (value & 127) | (bytes[next++] << 7);
        if (value > 16383 && next < to) {
          value = (value & 16383) | (bytes[next++] << 14);
          if (value > 2097151 && next < to) value = (value & 2097151) | (bytes[next++] << 21);
        }
      }
      if (next === to && bytes[to - 1] < 128) {
        const column = this.#columnOf(space, member === 0x18 ? TYPE_INT : TYPE_BOOL, from + 2, keyLength);
        if (this.#repeats(column, row)) this.#repeated(space, row, from, to);
        else if (member === 0x18) this.#segment.append2(column, row, value, 0);
        else this.#segment.append1(column, row, value === 0 ? 0 : 1);
        return;
      }
    }
    this.#value(space, row, from + 2, keyLength, at, to, from);
  }

  /**
   * The code of a column's string. A column whose strings are nearly all new (addresses, paths with numbers in them) is not
   * worth a look-up: from then on each string gets a code of its own, equal or not (saves a tenth of the whole pass).
   */
  #stringCode(column: number, offset: number, length: number): number {
    const segment = this.#segment;
    if (column >= this.#seen.length) {
      this.#seen = widened(this.#seen, column);
      this.#fresh = widened(this.#fresh, column);
    }
    const seen = this.#seen[column];
    if (seen === DISTINCT) return segment.addString(this.#view, this.#bytes, offset, length);
    const before = segment.strings.count;
    const code = segment.internRecent(this.#view, this.#bytes, offset, length);
    if (code === before) this.#fresh[column]++;
    this.#seen[column] = seen + 1;
    if (((seen + 1) & (SAMPLE - 1)) === 0) {
      if (seen + 1 >= DISTINCT_AFTER && this.#fresh[column] > 0.75 * SAMPLE) this.#seen[column] = DISTINCT;
      this.#fresh[column] = 0;
    }
    return code;
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
        } else segment.append1(column, row, segment.intern(view, bytes, at, length));
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
    else segment.append1(column, row, segment.intern(view, bytes, from, end - from));
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
    const code = segment.intern(view, bytes, from, end - from);
    segment.append1(segment.metaColumn(TYPE_REPEATED, META_REPEATED | (space << 8)), row, code);
  }

  #repeats(column: number, row: number): boolean {
    return this.#segment.heads[column * HEAD_WORDS + HEAD_LAST_ROW] === row + 1;
  }

  #columnOf(space: Space, type: ValueType, keyAt: number, keyLength: number): number {
    const segment = this.#segment;
    const previous = this.column;
    const guess = previous < 0 ? this.#firstColumn[space] : this.#successor[previous];
    if (guess >= 0 && segment.isColumn(guess, space | (type << 8), this.#view, keyAt, keyLength)) {
      this.column = guess;
      return guess;
    }
    const hash = segment.hash(this.#view, keyAt, keyLength);
    const column = segment.column(space, type, this.#view, this.#bytes, keyAt, keyLength, hash);
    if (segment.columns.count > this.#successor.length) {
      const wider = new Int32Array(2 * segment.columns.count).fill(-1);
      wider.set(this.#successor);
      this.#successor = wider;
    }
    if (previous < 0) this.#firstColumn[space] = column;
    else this.#successor[previous] = column;
    this.column = column;
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
