/**
 * Arrays as an exporter encodes them, byte by byte (OTLP common.proto). Only an array in exactly this form becomes a list in a
 * block, for only then can the bytes that came be made of the list again.
 *
 * ```
 *  array    2a length element…
 *  element  0a length value      a value of length 0 is an empty one
 *  value    0a length text (UTF-8) · 10 bool · 18 varint (64 bits) · 21 double (8 bytes)
 * ```
 * All values of an array have one type, and no varint is longer than it must be.
 */
import { isUtf8 } from 'node:buffer';
import { tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import type { ElementType } from './schema.ts';

export const ARRAY_TAG = tagOf(5, WIRE_BYTES);
export const ELEMENT_TAG = tagOf(1, WIRE_BYTES);
export const VALUE_TAGS: Record<ElementType, number> = {
  string: tagOf(1, WIRE_BYTES),
  bool: tagOf(2, WIRE_VARINT),
  int: tagOf(3, WIRE_VARINT),
  double: tagOf(4, WIRE_FIXED64),
};

/** Types of elements by number. */
export const ELEMENT_TYPES: readonly ElementType[] = ['string', 'bool', 'int', 'double'];
/** An array without a value: empty, or of empty values. */
export const NO_VALUES = 4;
export const NO_LIST = 7;

/** The number of the type of elements, and how many there are: `type + 8 × count`. NO_LIST where this is not such an array. */
export function scanArray(bytes: Uint8Array, from: number, to: number): number {
  if (to - from < 2 || bytes[from] !== ARRAY_TAG) return NO_LIST;
  let at = lengthEnd(bytes, from + 1, to);
  if (at < 0 || at + lengthAt(bytes, from + 1) !== to) return NO_LIST;
  let type = NO_VALUES;
  let count = 0;
  for (; at < to; count++) {
    if (bytes[at] !== ELEMENT_TAG) return NO_LIST;
    const value = lengthEnd(bytes, at + 1, to);
    if (value < 0) return NO_LIST;
    const end = value + lengthAt(bytes, at + 1);
    if (end > to) return NO_LIST;
    if (end > value) {
      const found = scanValue(bytes, value, end);
      if (found === NO_LIST || (type !== NO_VALUES && type !== found)) return NO_LIST;
      type = found;
    }
    at = end;
  }
  return type + 8 * count;
}

/** The number of the type of a value that is not empty, or NO_LIST. */
function scanValue(bytes: Uint8Array, from: number, to: number): number {
  switch (bytes[from]) {
    case VALUE_TAGS.string: {
      const text = lengthEnd(bytes, from + 1, to);
      return text >= 0 && text + lengthAt(bytes, from + 1) === to && isText(bytes, text, to) ? 0 : NO_LIST;
    }
    case VALUE_TAGS.bool:
      return to - from === 2 && bytes[from + 1] <= 1 ? 1 : NO_LIST;
    case VALUE_TAGS.int:
      return isVarint(bytes, from + 1, to) ? 2 : NO_LIST;
    case VALUE_TAGS.double:
      return to - from === 9 ? 3 : NO_LIST;
  }
  return NO_LIST;
}

function isText(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] >= 0x80) return isUtf8(bytes.subarray(at, to));
  return true;
}

/** Whether these bytes are one varint of 64 bits, and none too many. */
function isVarint(bytes: Uint8Array, from: number, to: number): boolean {
  const last = to - 1;
  if (last < from || last - from > 9 || bytes[last] >= 0x80) return false;
  if (last > from && bytes[last] === 0) return false;
  if (last - from === 9 && bytes[last] > 1) return false;
  for (let at = from; at < last; at++) if (bytes[at] < 0x80) return false;
  return true;
}

/** Where the length that begins here ends; -1 when it is longer than it must be, or than four bytes. */
function lengthEnd(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at < to && at < from + 4; at++)
    if (bytes[at] < 0x80) return at > from && bytes[at] === 0 ? -1 : at + 1;
  return -1;
}

function lengthAt(bytes: Uint8Array, at: number): number {
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return length;
  }
}

/** Goes through an array that `scanArray` knows. A value's bytes [from, to) are those behind its tag, and behind the length of a text. */
export function eachValue(
  bytes: Uint8Array,
  from: number,
  to: number,
  each: (from: number, to: number) => void,
  empty: () => void,
): void {
  for (let at = lengthEnd(bytes, from + 1, to); at < to; ) {
    const value = lengthEnd(bytes, at + 1, to);
    const end = value + lengthAt(bytes, at + 1);
    if (end === value) empty();
    else each(bytes[value] === VALUE_TAGS.string ? lengthEnd(bytes, value + 1, end) : value + 1, end);
    at = end;
  }
}
