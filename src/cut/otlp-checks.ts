/**
 * The parts of an OTLP request that are kept whole or looked at closely, and so are off the straight path of append.ts: the
 * wire form of resources, scopes and nested values, keys and texts beyond the limit, and trace ids that do not come first.
 */
import { VivaceError } from '../runtime/errors.ts';
import { concat, keyValueBytes, lengthDelimited } from './message.ts';
import { overrun, WireCursor } from './wire-cursor.ts';

/** Any nesting of AnyValue deeper than this is refused (spec/ingestion.md §12). */
const VALUE_DEPTH_MAX = 256;

/** Checks the wire form of a resource or scope, whose bytes are kept whole. */
export function checkAttributed(cursor: WireCursor, from: number, end: number, attributeField: number): void {
  for (let at = from; at < end; ) {
    const tag = cursor.varint(at, end);
    at = cursor.at;
    if (tag === ((attributeField << 3) | 2)) {
      const length = cursor.length(at, end);
      at = cursor.at;
      checkKeyValue(cursor, at, at + length, 0);
      at += length;
    } else at = cursor.skipAny(tag, at, end, 0);
  }
}

export function checkKeyValue(cursor: WireCursor, from: number, end: number, depth: number): void {
  for (let at = from; at < end; ) {
    const tag = cursor.varint(at, end);
    at = cursor.at;
    if (tag === 0x12 || tag === 0x0a) {
      const length = cursor.length(at, end);
      at = cursor.at;
      if (tag === 0x12) checkAnyValue(cursor, at, at + length, depth);
      at += length;
    } else at = cursor.skipUnknown(tag, 2, at, end);
  }
}

/** Checks an AnyValue; returns where its last member begins, -1 when it has none. */
export function checkAnyValue(cursor: WireCursor, from: number, end: number, depth: number): number {
  if (depth > VALUE_DEPTH_MAX)
    throw new VivaceError(
      'undecodable',
      `cannot decode an attribute value: it is nested deeper than ${VALUE_DEPTH_MAX} levels`,
    );
  let last = -1;
  for (let at = from; at < end; ) {
    const begin = at;
    const tag = cursor.varint(at, end);
    at = cursor.at;
    switch (tag) {
      case 0x0a:
      case 0x3a: {
        at = cursor.at;
        const length = cursor.length(at, end);
        at = cursor.at + length;
        last = begin;
        break;
      }
      case 0x10:
      case 0x18:
        cursor.varint64(at, end);
        at = cursor.at;
        last = begin;
        break;
      case 0x21:
        if (at + 8 > end) throw overrun(at);
        at += 8;
        last = begin;
        break;
      case 0x2a:
      case 0x32: {
        const length = cursor.length(at, end);
        at = cursor.at;
        const memberEnd = at + length;
        while (at < memberEnd) {
          const inner = cursor.varint(at, memberEnd);
          at = cursor.at;
          if (inner === 0x0a) {
            const innerLength = cursor.length(at, memberEnd);
            at = cursor.at;
            if (tag === 0x2a) checkAnyValue(cursor, at, at + innerLength, depth + 1);
            else checkKeyValue(cursor, at, at + innerLength, depth + 1);
            at += innerLength;
          } else at = cursor.skipUnknown(inner, 1, at, memberEnd);
        }
        last = begin;
        break;
      }
      default:
        at = cursor.skipUnknown(tag, 7, at, end);
    }
  }
  return last;
}

/** A resource or scope whose attribute keys and string values are cut to `max` bytes, and how many were. */
export function cutAttributes(
  source: Uint8Array,
  attributeField: number,
  max: number,
): { bytes: Uint8Array; cut: number } {
  const cursor = new WireCursor();
  cursor.bytes = source;
  const count = { cut: 0 };
  const parts: Uint8Array[] = [];
  let changed = false;
  for (let at = 0; at < source.length; ) {
    const begin = at;
    const tag = cursor.varint(at, source.length);
    at = cursor.at;
    if (tag !== ((attributeField << 3) | 2)) {
      at = cursor.skipAny(tag, at, source.length, 0);
      parts.push(source.subarray(begin, at));
      continue;
    }
    const length = cursor.length(at, source.length);
    at = cursor.at;
    const cut = length > max ? cutKeyValue(cursor, at, at + length, max, count) : undefined;
    at += length;
    if (cut === undefined) parts.push(source.subarray(begin, at));
    else {
      changed = true;
      parts.push(lengthDelimited(tag, cut));
    }
  }
  return { bytes: changed ? concat(parts) : source, cut: count.cut };
}

function cutKeyValue(
  cursor: WireCursor,
  from: number,
  end: number,
  max: number,
  count: { cut: number },
): Uint8Array | undefined {
  const source = cursor.bytes;
  let key = source.subarray(from, from);
  let value = source.subarray(from, from);
  let changed = false;
  for (let at = from; at < end; ) {
    const tag = cursor.varint(at, end);
    at = cursor.at;
    if (tag !== 0x0a && tag !== 0x12) {
      at = cursor.skipAny(tag, at, end, 0);
      continue;
    }
    const length = cursor.length(at, end);
    at = cursor.at;
    if (tag === 0x0a) key = source.subarray(at, at + length);
    else value = source.subarray(at, at + length);
    at += length;
  }
  if (key.length > max) {
    key = key.subarray(0, cutAtCodePoint(key, 0, max));
    count.cut++;
    changed = true;
  }
  if (value[0] === 0x0a) {
    const at = value.byteOffset - source.byteOffset;
    const length = cursor.length(at + 1, at + value.length);
    const text = cursor.at;
    if (text + length === at + value.length && length > max) {
      value = lengthDelimited(0x0a, source.subarray(text, text + cutAtCodePoint(source, text, max)));
      count.cut++;
      changed = true;
    }
  }
  return changed ? keyValueBytes(key, value).bytes : undefined;
}

/** Where the 16 bytes of a span's trace id begin. */
export function findTraceId(cursor: WireCursor, from: number, end: number): number {
  let found = -1;
  for (let at = from; at < end; ) {
    const tag = cursor.varint(at, end);
    at = cursor.at;
    if (tag === 0x0a) {
      const length = cursor.length(at, end);
      at = cursor.at;
      if (length !== 16 && length !== 0) throw wrongIdLength('trace', length);
      found = length === 16 ? at : -1;
      at += length;
    } else at = cursor.skipUnknown(tag, 1, at, end);
  }
  if (found < 0) throw invalidTraceId(0);
  return found;
}

/** Number of bytes, at most `max`, after which no code point is split. */
export function cutAtCodePoint(bytes: Uint8Array, at: number, max: number): number {
  let length = max;
  while (length > 0 && length > max - 4 && (bytes[at + length] & 0xc0) === 0x80) length--;
  return (bytes[at + length] & 0xc0) === 0x80 ? max : length;
}

export function wrongIdLength(what: string, length: number): VivaceError {
  const want = what.endsWith('trace') ? 16 : 8;
  return new VivaceError(
    'undecodable',
    `cannot decode the request: a ${what} id has ${length} bytes instead of ${want}`,
  );
}

export function invalidTraceId(bits: number): VivaceError {
  return new VivaceError('invalid', `trace ids must be 128 bit and not all zero, received ${bits} bits`);
}
