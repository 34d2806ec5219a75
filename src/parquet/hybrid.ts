/**
 * RLE/bit-packed hybrid: how Parquet stores levels and dictionary codes of a known bit width.
 *
 *   run    := header values
 *   header := varint; lowest bit 0: the value that follows (whole bytes, little-endian) repeats header >> 1 times
 *                     lowest bit 1: (header >> 1) groups of 8 values, bit-packed, follow
 *
 * The encoder makes one pass over groups of 8 values: a group of different values joins the packed run, one of equal
 * values is followed to the end of its run, which becomes a repeat when that is smaller. The test of a group has no branch
 * a value, so that values that alternate at random cost no more than others. Only the last group of a page is padded.
 */
import { VivaceError } from '../runtime/errors.ts';
import { packBits, unpackBits } from './bits.ts';
import { putVarint, reserve, type Sink } from './sink.ts';

/** Bits that hold every number up to `value`. */
export function bitWidth(value: number): number {
  return 32 - Math.clz32(value);
}

/** Appends codes[from, to) of `width` bits each. */
export function encodeCodes(sink: Sink, codes: Uint32Array, from: number, to: number, width: number): void {
  const repeatMin = repeatMinOf(width);
  let literal = from;
  for (let at = from; ; ) {
    at = repeatInCodes(codes, at, to, repeatMin);
    if (at < 0) break;
    const end = endOfCodes(codes, at, to);
    if (at > literal) packCodes(sink, codes, literal, at, width);
    putRepeat(sink, end - at, codes[at], width);
    literal = at = end;
  }
  if (to > literal) packCodes(sink, codes, literal, to, width);
}

/** Where, in whole groups from `at` on, at least `repeatMin` values are equal; -1 when nowhere. */
function repeatInCodes(codes: Uint32Array, at: number, to: number, repeatMin: number): number {
  const whole = to - 7;
  while (at < whole) {
    const first = codes[at];
    const differ =
      (first ^ codes[at + 1]) |
      (first ^ codes[at + 2]) |
      (first ^ codes[at + 3]) |
      (first ^ codes[at + 4]) |
      (first ^ codes[at + 5]) |
      (first ^ codes[at + 6]) |
      (first ^ codes[at + 7]);
    if (differ !== 0) {
      at += 8;
      continue;
    }
    const enough = Math.min(to, at + repeatMin);
    let end = at + 8;
    while (end < enough && codes[end] === first) end++;
    if (end - at >= repeatMin) return at;
    at += (end - at) & ~7;
  }
  return -1;
}

/** Where the values equal to the eight at `at` end. */
function endOfCodes(codes: Uint32Array, at: number, to: number): number {
  const first = codes[at];
  let end = at + 8;
  while (end < to && codes[end] === first) end++;
  return end;
}

/**
 * Appends levels[from, to) of 1 or 2 bits each: the same loop over bytes, because one that met both kinds of array would
 * take twice as long for each.
 */
export function encodeLevels(sink: Sink, levels: Uint8Array, from: number, to: number, width: number): void {
  const repeatMin = repeatMinOf(width);
  let literal = from;
  for (let at = from; ; ) {
    at = repeatInLevels(levels, at, to, repeatMin);
    if (at < 0) break;
    const end = endOfLevels(levels, at, to);
    if (at > literal) packLevels(sink, levels, literal, at, width);
    putRepeat(sink, end - at, levels[at], width);
    literal = at = end;
  }
  if (to > literal) packLevels(sink, levels, literal, to, width);
}

/** Where, in whole groups from `at` on, at least `repeatMin` values are equal; -1 when nowhere. */
function repeatInLevels(levels: Uint8Array, at: number, to: number, repeatMin: number): number {
  const whole = to - 7;
  while (at < whole) {
    const first = levels[at];
    const differ =
      (first ^ levels[at + 1]) |
      (first ^ levels[at + 2]) |
      (first ^ levels[at + 3]) |
      (first ^ levels[at + 4]) |
      (first ^ levels[at + 5]) |
      (first ^ levels[at + 6]) |
      (first ^ levels[at + 7]);
    if (differ !== 0) {
      at += 8;
      continue;
    }
    const enough = Math.min(to, at + repeatMin);
    let end = at + 8;
    while (end < enough && levels[end] === first) end++;
    if (end - at >= repeatMin) return at;
    at += (end - at) & ~7;
  }
  return -1;
}

/** Where the values equal to the eight at `at` end. */
function endOfLevels(levels: Uint8Array, at: number, to: number): number {
  const first = levels[at];
  let end = at + 8;
  while (end < to && levels[end] === first) end++;
  return end;
}

/** Appends `count` times the same value. */
export function putRepeat(sink: Sink, count: number, value: number, width: number): void {
  putVarint(sink, count * 2);
  reserve(sink, 4);
  for (let bits = 0; bits < width; bits += 8) sink.bytes[sink.length++] = value >>> bits;
}

/**
 * A repeat costs its header and value and another header for what follows, about three bytes: fewer than 24 / width
 * values are smaller packed. Below eight there is no whole group to save.
 */
function repeatMinOf(width: number): number {
  return width === 0 ? 1 : Math.max(8, Math.ceil(24 / width));
}

function packCodes(sink: Sink, values: Uint32Array, from: number, to: number, width: number): void {
  const groups = (to - from) >>> 3;
  const rest = (to - from) & 7;
  putVarint(sink, ((groups + (rest > 0 ? 1 : 0)) << 1) | 1);
  reserve(sink, (groups + 1) * width);
  packBits(width, values, from, sink.view, sink.length, groups);
  sink.length += groups * width;
  if (rest > 0) {
    const last = new Uint32Array(8);
    last.set(values.subarray(to - rest, to));
    packBits(width, last, 0, sink.view, sink.length, 1);
    sink.length += width;
  }
}

function packLevels(sink: Sink, levels: Uint8Array, from: number, to: number, width: number): void {
  const groups = (to - from + 7) >>> 3;
  putVarint(sink, (groups << 1) | 1);
  reserve(sink, groups * width);
  const bytes = sink.bytes;
  let length = sink.length;
  const whole = to - ((to - from) & 7);
  let at = from;
  if (width === 1) {
    for (; at < whole; at += 8) {
      bytes[length++] =
        levels[at] |
        (levels[at + 1] << 1) |
        (levels[at + 2] << 2) |
        (levels[at + 3] << 3) |
        (levels[at + 4] << 4) |
        (levels[at + 5] << 5) |
        (levels[at + 6] << 6) |
        (levels[at + 7] << 7);
    }
  } else {
    for (; at < whole; at += 4) {
      bytes[length++] = levels[at] | (levels[at + 1] << 2) | (levels[at + 2] << 4) | (levels[at + 3] << 6);
    }
  }
  if (at < to) {
    bytes.fill(0, length, length + width);
    for (let bit = 0; at < to; at++, bit += width) bytes[length + (bit >> 3)] |= levels[at] << (bit & 7);
    length += width;
  }
  sink.length = length;
}

/**
 * Decodes `count` values of `width` bits from bytes[from, to) into `out`.
 * @returns where the last run ended
 * @throws VivaceError `undecodable` when the bytes end first
 */
export function decodeCodes(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  width: number,
  count: number,
  out: Uint32Array,
): number {
  checkWidth(width);
  const valueBytes = (width + 7) >> 3;
  let at = from;
  let done = 0;
  while (done < count) {
    // A header as a varint of at most five bytes, inline: runs are often short.
    let header = 0;
    let byte = 0x80;
    for (let shift = 0; byte > 0x7f; shift += 7) {
      if (at >= to || shift > 28) throw endsEarly(done, count);
      byte = bytes[at++];
      header |= (byte & 0x7f) << shift;
    }
    if ((header & 1) === 0) {
      const end = Math.min(count, done + (header >>> 1));
      if (end === done) throw undecodable('a run of no values');
      if (at + valueBytes > to) throw endsEarly(done, count);
      let value = 0;
      for (let i = 0; i < valueBytes; i++) value |= bytes[at++] << (i * 8);
      if (width < 32 && value >>> width !== 0) throw undecodable(`value ${value} in a run of ${width}-bit values`);
      if (end - done > 64) out.fill(value, done, end);
      else for (let i = done; i < end; i++) out[i] = value;
      done = end;
    } else {
      const values = Math.min(count - done, (header >>> 1) * 8);
      if (values === 0) throw undecodable('a run of no values');
      const groups = values >>> 3;
      // The last group may be cut off after its last value.
      if (at + Math.ceil((values * width) / 8) > to) throw endsEarly(done, count);
      unpackBits(width, view, at, out, done, groups);
      if ((values & 7) > 0) unpackRest(bytes, at + groups * width, to, width, out, done + groups * 8, values & 7);
      at = Math.min(to, at + (header >>> 1) * width);
      done += values;
    }
  }
  return at;
}

/**
 * The same as `decodeCodes`, for levels of at most 8 bits.
 * @returns the number of values equal to `level`, and nothing in `out`, when a single repeat of `level` covers
 * everything: the usual page without nulls; else how many values equal `level`
 */
export function decodeLevels(
  bytes: Uint8Array,
  from: number,
  to: number,
  width: number,
  count: number,
  level: number,
  out: Uint8Array,
): number {
  checkWidth(width);
  if (width > 8) throw undecodable(`levels of ${width} bits`);
  let at = from;
  let done = 0;
  let equal = 0;
  while (done < count) {
    let header = 0;
    let byte = 0x80;
    for (let shift = 0; byte > 0x7f; shift += 7) {
      if (at >= to || shift > 28) throw endsEarly(done, count);
      byte = bytes[at++];
      header |= (byte & 0x7f) << shift;
    }
    if ((header & 1) === 0) {
      const end = Math.min(count, done + (header >>> 1));
      if (end === done) throw undecodable('a run of no levels');
      if (at >= to) throw endsEarly(done, count);
      const value = bytes[at++];
      if (value === level) {
        equal += end - done;
        if (end - done === count) return count;
      }
      if (end - done > 64) out.fill(value, done, end);
      else for (let i = done; i < end; i++) out[i] = value;
      done = end;
    } else {
      const values = Math.min(count - done, (header >>> 1) * 8);
      if (values === 0) throw undecodable('a run of no levels');
      if (at + Math.ceil((values * width) / 8) > to) throw endsEarly(done, count);
      unpackLevels(bytes, at, width, out, done, done + values);
      // 1 where the levels are equal, without a branch that random levels would mislead.
      for (let i = done, end = done + values; i < end; i++) equal += ((out[i] ^ level) - 1) >>> 31;
      at = Math.min(to, at + (header >>> 1) * width);
      done += values;
    }
  }
  return equal;
}

/** The last, incomplete group: its missing bytes count as zeros. */
function unpackRest(
  bytes: Uint8Array,
  at: number,
  to: number,
  width: number,
  out: Uint32Array,
  first: number,
  count: number,
): void {
  const group = new Uint8Array(32);
  group.set(bytes.subarray(at, Math.min(to, at + width)));
  const values = new Uint32Array(8);
  unpackBits(width, new DataView(group.buffer), 0, values, 0, 1);
  for (let i = 0; i < count; i++) out[first + i] = values[i];
}

function unpackLevels(bytes: Uint8Array, at: number, width: number, out: Uint8Array, from: number, to: number): void {
  const whole = to - ((to - from) & 7);
  if (width === 1) {
    for (; from < whole; from += 8) {
      const b = bytes[at++];
      out[from] = b & 1;
      out[from + 1] = (b >> 1) & 1;
      out[from + 2] = (b >> 2) & 1;
      out[from + 3] = (b >> 3) & 1;
      out[from + 4] = (b >> 4) & 1;
      out[from + 5] = (b >> 5) & 1;
      out[from + 6] = (b >> 6) & 1;
      out[from + 7] = b >> 7;
    }
  } else if (width === 2) {
    for (; from < whole; from += 4) {
      const b = bytes[at++];
      out[from] = b & 3;
      out[from + 1] = (b >> 2) & 3;
      out[from + 2] = (b >> 4) & 3;
      out[from + 3] = b >> 6;
    }
  }
  const mask = (1 << width) - 1;
  for (let bit = at * 8; from < to; from++, bit += width) {
    const word = bytes[bit >> 3] | ((bytes[(bit >> 3) + 1] ?? 0) << 8);
    out[from] = (word >> (bit & 7)) & mask;
  }
}

function checkWidth(width: number): void {
  if (width > 32) throw undecodable(`values of ${width} bits`);
}

function endsEarly(done: number, count: number): VivaceError {
  return undecodable(`the values end after ${done} of ${count}`);
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', reason);
}
