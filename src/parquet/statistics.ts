/**
 * The smallest and largest value of pages and chunks, in the order that the format gives each type: int32 and int64
 * signed, doubles by number, booleans false first, bytes unsigned and lexicographic.
 *
 * Values are not compared as such but by a key, a double that never orders two values the other way round: the number
 * itself, the nearest double of an int64, six bytes of a byte array after the prefix that all of them share. Only equal keys
 * need a real comparison.
 */
import { inRuns, RUN_ROWS } from '../runtime/runs.ts';
import type { Values } from './column.ts';

/** The index of the smallest and of the largest value in `values`; -1 where there is none or a NaN forbids bounds. */
export interface Bounds {
  min: number;
  max: number;
}

/** Bytes of a byte array that the index and the statistics keep. */
export const BOUND_BYTES_MAX = 64;

/** The keys of the values [from, to), at the same indexes less `from`; `into` is used when it is large enough. */
export function keysOf(values: Values, from: number, to: number, into?: Float64Array): Float64Array {
  const count = to - from;
  const keys = into !== undefined && into.length >= count ? into : new Float64Array(count);
  switch (values.type) {
    case 'boolean':
    case 'int32':
    case 'double':
      keys.set(values.values.subarray(from, to));
      break;
    case 'int64':
      inRuns(count, putWordKeys, values.words, from, keys);
      break;
    case 'bytes': {
      const { bytes, offsets } = values;
      inRuns(count, putStringKeys, bytes, offsets, from, sharedPrefix(bytes, offsets, from, to), keys);
      break;
    }
    case 'fixed':
      inRuns(count, putFixedKeys, values.bytes, values.width, from, keys);
  }
  return keys;
}

function putWordKeys(from: number, to: number, words: Int32Array, first: number, keys: Float64Array): void {
  for (let i = from, w = 2 * (first + from); i < to; i++, w += 2) {
    keys[i] = words[w + 1] * 4294967296 + (words[w] >>> 0);
  }
}

function putStringKeys(
  from: number,
  to: number,
  bytes: Uint8Array,
  offsets: Uint32Array,
  first: number,
  shared: number,
  keys: Float64Array,
): void {
  for (let i = from; i < to; i++) keys[i] = prefixOf(bytes, offsets[first + i] + shared, offsets[first + i + 1]);
}

function putFixedKeys(
  from: number,
  to: number,
  bytes: Uint8Array,
  width: number,
  first: number,
  keys: Float64Array,
): void {
  for (let i = from, at = (first + from) * width; i < to; i++, at += width) keys[i] = prefixOf(bytes, at, at + width);
}

/**
 * Bounds of the values [from, to), whose keys are keys[0, to − from); `inexact`: keysAreInexact(values). Here and below
 * nothing is read of `values` in the loop's usual way: its shape differs by column, and code that was compiled for some
 * shapes would be thrown away at the next.
 */
export function boundsOfValues(values: Values, inexact: boolean, keys: Float64Array, from: number, to: number): Bounds {
  const bounds: Bounds = { min: -1, max: -1 };
  for (let at = from; at < to; at += RUN_ROWS)
    if (!widenByValues(values, inexact, keys, from, at, Math.min(to, at + RUN_ROWS), bounds))
      return { min: -1, max: -1 };
  return bounds;
}

/** Widens the bounds by the values [from, to); the key of value i is keys[i − first]. False: there is a NaN. */
function widenByValues(
  values: Values,
  inexact: boolean,
  keys: Float64Array,
  first: number,
  from: number,
  to: number,
  bounds: Bounds,
): boolean {
  let { min, max } = bounds;
  let minKey = min < 0 ? Infinity : keys[min - first];
  let maxKey = max < 0 ? -Infinity : keys[max - first];
  for (let i = from; i < to; i++) {
    const key = keys[i - first];
    if (key > minKey && key < maxKey) continue;
    if (Number.isNaN(key)) return false;
    if (min < 0 || key < minKey || (inexact && key === minKey && compareValues(values, i, min) < 0)) {
      min = i;
      minKey = key;
    }
    if (max < 0 || key > maxKey || (inexact && key === maxKey && compareValues(values, i, max) > 0)) {
      max = i;
      maxKey = key;
    }
  }
  bounds.min = min;
  bounds.max = max;
  return true;
}

/**
 * Bounds of the dictionary entries that codes[from, to) name; `keys` are those of all `entries`. `seen` has a number an
 * entry and `stamp` is one that it does not hold yet: entries are compared once a page, not once a row.
 */
export function boundsOfCodes(
  values: Values,
  entries: number,
  inexact: boolean,
  keys: Float64Array,
  codes: Uint32Array,
  from: number,
  to: number,
  seen: Uint32Array,
  stamp: number,
): Bounds {
  const bounds: Bounds = { min: -1, max: -1 };
  if (entries * 4 > to - from) {
    // A page names few of the entries: most rows are done when their key lies between the bounds so far.
    for (let at = from; at < to; at += RUN_ROWS)
      if (!widenByCodes(values, inexact, keys, codes, at, Math.min(to, at + RUN_ROWS), seen, stamp, bounds))
        return { min: -1, max: -1 };
  } else {
    inRuns(to - from, markSeen, codes, from, seen, stamp);
    if (!widenBySeen(values, inexact, keys, entries, seen, stamp, bounds)) return { min: -1, max: -1 };
  }
  return bounds;
}

function markSeen(from: number, to: number, codes: Uint32Array, first: number, seen: Uint32Array, stamp: number): void {
  for (let i = first + from, end = first + to; i < end; i++) seen[codes[i]] = stamp;
}

/** Widens the bounds by the entries that were seen. False: there is a NaN. */
function widenBySeen(
  values: Values,
  inexact: boolean,
  keys: Float64Array,
  entries: number,
  seen: Uint32Array,
  stamp: number,
  bounds: Bounds,
): boolean {
  let { min, max } = bounds;
  for (let code = 0; code < entries; code++) {
    if (seen[code] !== stamp) continue;
    const key = keys[code];
    if (Number.isNaN(key)) return false;
    if (min < 0) {
      min = max = code;
    } else {
      if (key < keys[min] || (inexact && key === keys[min] && compareValues(values, code, min) < 0)) min = code;
      if (key > keys[max] || (inexact && key === keys[max] && compareValues(values, code, max) > 0)) max = code;
    }
  }
  bounds.min = min;
  bounds.max = max;
  return true;
}

/** Widens the bounds by the entries that codes[from, to) name. False: there is a NaN. */
function widenByCodes(
  values: Values,
  inexact: boolean,
  keys: Float64Array,
  codes: Uint32Array,
  from: number,
  to: number,
  seen: Uint32Array,
  stamp: number,
  bounds: Bounds,
): boolean {
  let { min, max } = bounds;
  let minKey = min < 0 ? Infinity : keys[min];
  let maxKey = max < 0 ? -Infinity : keys[max];
  for (let i = from; i < to; i++) {
    const code = codes[i];
    const key = keys[code];
    if (key > minKey && key < maxKey) continue;
    if (Number.isNaN(key)) return false;
    if (seen[code] === stamp) continue;
    seen[code] = stamp;
    if (min < 0 || key < minKey || (inexact && key === minKey && compareValues(values, code, min) < 0)) {
      min = code;
      minKey = key;
    }
    if (max < 0 || key > maxKey || (inexact && key === maxKey && compareValues(values, code, max) > 0)) {
      max = code;
      maxKey = key;
    }
  }
  bounds.min = min;
  bounds.max = max;
  return true;
}

/** Negative, zero or positive as value i is below, equal to or above value j. NaN is not ordered. */
export function compareValues(values: Values, i: number, j: number): number {
  switch (values.type) {
    case 'boolean':
    case 'int32':
    case 'double':
      return Math.sign(values.values[i] - values.values[j]);
    case 'int64':
      return (
        values.words[i * 2 + 1] - values.words[j * 2 + 1] || (values.words[i * 2] >>> 0) - (values.words[j * 2] >>> 0)
      );
    case 'bytes':
      return compareBytes(
        values.bytes,
        values.offsets[i],
        values.offsets[i + 1],
        values.offsets[j],
        values.offsets[j + 1],
      );
    case 'fixed': {
      const { bytes, width } = values;
      return compareBytes(bytes, i * width, (i + 1) * width, j * width, (j + 1) * width);
    }
  }
}

/**
 * Value `index` as the index and the statistics store it: PLAIN without a length, byte arrays cut to 64 bytes. A cut
 * upper bound is rounded up, so that it still is one; `text` keeps a cut bound valid UTF-8.
 */
export function encodeBound(
  values: Values,
  index: number,
  upper: boolean,
  text: boolean,
): { bytes: Uint8Array; exact: boolean } {
  switch (values.type) {
    case 'boolean':
      return { bytes: Uint8Array.of(values.values[index]), exact: true };
    case 'int32':
      return { bytes: new Uint8Array(Int32Array.of(values.values[index]).buffer), exact: true };
    case 'int64':
      return { bytes: new Uint8Array(values.words.slice(index * 2, index * 2 + 2).buffer), exact: true };
    case 'double': {
      // Readers may take either zero for the other: the lower bound is -0, the upper one +0.
      const value = values.values[index] === 0 ? (upper ? 0 : -0) : values.values[index];
      return { bytes: new Uint8Array(Float64Array.of(value).buffer), exact: true };
    }
    case 'fixed':
      return { bytes: values.bytes.slice(index * values.width, (index + 1) * values.width), exact: true };
    case 'bytes': {
      const whole = values.bytes.subarray(values.offsets[index], values.offsets[index + 1]);
      if (whole.length <= BOUND_BYTES_MAX) return { bytes: whole.slice(), exact: true };
      const cut = whole.slice(0, text ? characterStart(whole, BOUND_BYTES_MAX) : BOUND_BYTES_MAX);
      if (!upper) return { bytes: cut, exact: false };
      const raised = text ? raiseText(cut) : raiseBytes(cut);
      return raised === undefined ? { bytes: whole.slice(), exact: true } : { bytes: raised, exact: false };
    }
  }
}

/** Whether values with equal keys can differ. */
export function keysAreInexact(values: Values): boolean {
  return values.type === 'int64' || values.type === 'bytes' || values.type === 'fixed';
}

/** How many bytes the values [from, to) all begin with. */
function sharedPrefix(bytes: Uint8Array, offsets: Uint32Array, from: number, to: number): number {
  if (from === to) return 0;
  const start = offsets[from];
  let shared = offsets[from + 1] - start;
  for (let i = from + 1; i < to && shared > 0; i++) {
    const at = offsets[i];
    const end = Math.min(shared, offsets[i + 1] - at);
    let same = 0;
    while (same < end && bytes[at + same] === bytes[start + same]) same++;
    shared = same;
  }
  return shared;
}

/** The first six bytes as a big-endian number; missing bytes are zeros. */
function prefixOf(bytes: Uint8Array, from: number, to: number): number {
  if (to - from >= 6) {
    return (
      ((bytes[from] << 16) | (bytes[from + 1] << 8) | bytes[from + 2]) * 16777216 +
      ((bytes[from + 3] << 16) | (bytes[from + 4] << 8) | bytes[from + 5])
    );
  }
  let key = 0;
  for (let i = 0; i < 6; i++) key = key * 256 + (from + i < to ? bytes[from + i] : 0);
  return key;
}

function compareBytes(bytes: Uint8Array, i: number, iEnd: number, j: number, jEnd: number): number {
  for (; i < iEnd && j < jEnd; i++, j++) if (bytes[i] !== bytes[j]) return bytes[i] - bytes[j];
  return iEnd - i - (jEnd - j);
}

/** The last place at or before `at` where a UTF-8 character begins; `at` itself when the bytes are not UTF-8 there. */
function characterStart(bytes: Uint8Array, at: number): number {
  let start = at;
  while (start > at - 4 && (bytes[start] & 0xc0) === 0x80) start--;
  return (bytes[start] & 0xc0) === 0x80 ? at : start;
}

/** The smallest byte array of at most this length that is above every continuation of `bytes`. */
function raiseBytes(bytes: Uint8Array): Uint8Array | undefined {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0xff) end--;
  if (end === 0) return undefined;
  const raised = bytes.slice(0, end);
  raised[end - 1]++;
  return raised;
}

/** The same, but still UTF-8: the last byte that can be raised without leaving its character's range is raised. */
function raiseText(bytes: Uint8Array): Uint8Array | undefined {
  for (let end = bytes.length; end > 0; end = characterStart(bytes, end - 1)) {
    const last = bytes[end - 1];
    if (last < 0x7f || (last >= 0x80 && last < 0xbf)) {
      const raised = bytes.slice(0, end);
      raised[end - 1]++;
      return raised;
    }
  }
  return undefined;
}
