/**
 * A few values of a page, without decoding the others: which place a row's value has is counted in the packed levels, and
 * codes and numbers of a known width are read where they stand.
 *
 *   levels   1 0 1 1 0 1 …        row 3 is wanted ─▶ its level is 1, two ones stand before it ─▶ value 2
 */
import { VivaceError } from '../runtime/errors.ts';

/** Codes of more bits than these may cross the four bytes that are looked at. */
export const CODE_WIDTH_MAX = 24;

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let ones = 0;
  for (let bits = byte; bits !== 0; bits &= bits - 1) ones++;
  return ones;
});

/**
 * Which of `count` ascending rows have a value, and its place among the values. Levels are 0 or 1, one an entry, hybrid-encoded in
 * bytes[from, to).
 * @returns how many rows have one; those rows are then the first of `rows`, and `places` is filled that far
 * @throws VivaceError `undecodable` when the bytes end first
 */
export function placesOf(
  bytes: Uint8Array,
  from: number,
  to: number,
  entries: number,
  rows: Uint32Array,
  count: number,
  places: Uint32Array,
): number {
  let at = from;
  let done = 0;
  let before = 0;
  let next = 0;
  let found = 0;
  while (next < count && done < entries) {
    let header = 0;
    let byte = 0x80;
    for (let shift = 0; byte > 0x7f; shift += 7) {
      if (at >= to || shift > 28) throw undecodable('levels', done, entries);
      byte = bytes[at++];
      header |= (byte & 0x7f) << shift;
    }
    const length = header >>> 1;
    if (length === 0) throw undecodable('levels', done, entries);
    if ((header & 1) === 0) {
      const end = Math.min(entries, done + length);
      if (at >= to) throw undecodable('levels', done, entries);
      const level = bytes[at++];
      for (; next < count && rows[next] < end; next++)
        if (level === 1) {
          rows[found] = rows[next];
          places[found++] = before + rows[next] - done;
        }
      if (level === 1) before += end - done;
      done = end;
      continue;
    }
    const end = Math.min(entries, done + length * 8);
    if (at + ((end - done + 7) >>> 3) > to) throw undecodable('levels', done, entries);
    let counted = at;
    let ones = before;
    for (; next < count && rows[next] < end; next++) {
      const bit = rows[next] - done;
      const place = at + (bit >>> 3);
      while (counted < place) ones += ONES[bytes[counted++]];
      const level = bytes[place];
      if (((level >>> (bit & 7)) & 1) === 0) continue;
      rows[found] = rows[next];
      places[found++] = ones + ONES[level & ((1 << (bit & 7)) - 1)];
    }
    if (next < count) {
      const last = at + ((end - done) >>> 3);
      while (counted < last) ones += ONES[bytes[counted++]];
      if (((end - done) & 7) > 0) ones += ONES[bytes[last] & ((1 << ((end - done) & 7)) - 1)];
    }
    before = ones;
    at = Math.min(to, at + length);
    done = end;
  }
  return found;
}

/**
 * The codes of `width` bits (at most CODE_WIDTH_MAX) at `count` ascending places, of hybrid-encoded ones in bytes[from, to), into
 * `out` from `outAt`.
 * @throws VivaceError `undecodable` when the bytes end first
 */
export function codesAt(
  bytes: Uint8Array,
  from: number,
  to: number,
  width: number,
  places: Uint32Array,
  count: number,
  out: Uint32Array,
  outAt: number,
): void {
  const mask = 2 ** width - 1;
  const valueBytes = (width + 7) >> 3;
  let at = from;
  let done = 0;
  let next = 0;
  while (next < count) {
    let header = 0;
    let byte = 0x80;
    for (let shift = 0; byte > 0x7f; shift += 7) {
      if (at >= to || shift > 28) throw undecodable('codes', done, places[count - 1] + 1);
      byte = bytes[at++];
      header |= (byte & 0x7f) << shift;
    }
    const length = header >>> 1;
    if (length === 0) throw undecodable('codes', done, places[count - 1] + 1);
    if ((header & 1) === 0) {
      if (at + valueBytes > to) throw undecodable('codes', done, places[count - 1] + 1);
      let code = 0;
      for (let i = 0; i < valueBytes; i++) code |= bytes[at++] << (i * 8);
      done += length;
      for (; next < count && places[next] < done; next++) out[outAt + next] = code;
      continue;
    }
    const end = done + length * 8;
    for (; next < count && places[next] < end; next++) {
      const bit = (places[next] - done) * width;
      const place = at + (bit >>> 3);
      if (at + ((bit + width + 7) >>> 3) > to) throw undecodable('codes', done, places[count - 1] + 1);
      const four = bytes[place] | (bytes[place + 1] << 8) | (bytes[place + 2] << 16) | (bytes[place + 3] << 24);
      out[outAt + next] = (four >>> (bit & 7)) & mask;
    }
    at = Math.min(to, at + length * width);
    done = end;
  }
}

/**
 * Values of some rows of one page after another, gathered; of them there is only the array that the column's type has, or codes of
 * its dictionary.
 */
export class PickedValues {
  readonly #countMax: number;
  /** Rows of the row group. */
  readonly rows: Uint32Array<ArrayBuffer>;
  count = 0;
  codes: Uint32Array | undefined;
  words: Int32Array | undefined;
  doubles: Float64Array | undefined;
  bytes: Uint8Array | undefined;
  /** Of the page at hand: its wanted rows, and the places of their values. */
  readonly ofPage: Uint32Array;
  readonly places: Uint32Array;

  constructor(countMax: number) {
    this.#countMax = countMax;
    this.rows = new Uint32Array(countMax);
    this.ofPage = new Uint32Array(countMax);
    this.places = new Uint32Array(countMax);
  }

  hasRoomFor(count: number): boolean {
    return this.count + count <= this.#countMax;
  }

  /** Codes of the first `found` places, from bytes[from, to). */
  takeCodes(bytes: Uint8Array, from: number, to: number, width: number, found: number): void {
    this.codes ??= new Uint32Array(this.#countMax);
    codesAt(bytes, from, to, width, this.places, found, this.codes, this.count);
  }

  takeDoubles(view: DataView, found: number): void {
    this.doubles ??= new Float64Array(this.#countMax);
    for (let i = 0; i < found; i++) this.doubles[this.count + i] = view.getFloat64(8 * this.places[i], true);
  }

  takeBytes(plain: Uint8Array, width: number, found: number): void {
    this.bytes ??= new Uint8Array(this.#countMax * width);
    for (let i = 0, out = this.count * width; i < found; i++)
      for (let byte = 0, at = this.places[i] * width; byte < width; byte++) this.bytes[out++] = plain[at++];
  }

  /** Room for words of numbers, from `count` on. */
  get wordsOut(): Int32Array {
    this.words ??= new Int32Array(2 * this.#countMax);
    return this.words;
  }
}

function undecodable(what: string, done: number, count: number): VivaceError {
  return new VivaceError('undecodable', `the ${what} end after ${done} of ${count}`);
}
