/**
 * PLAIN and BYTE_STREAM_SPLIT: fixed-width values little-endian one after another (or a stream for each of their
 * bytes), booleans as bits, byte arrays with four bytes of length before each. Typed arrays have the same layout on
 * every machine that Node runs on (little-endian), so that fixed-width values are copied or viewed, never converted.
 */
import { VivaceError } from '../runtime/errors.ts';
import type { Values } from './column.ts';
import type { PhysicalType } from './format.ts';
import { reserve, type Sink } from './sink.ts';

/** Appends the values [from, to). */
export function encodePlain(sink: Sink, values: Values, from: number, to: number): void {
  if (values.type === 'boolean') {
    encodeBooleans(sink, values.values, from, to);
  } else if (values.type === 'bytes') {
    encodeByteArrays(sink, values.bytes, values.offsets, from, to);
  } else {
    const raw = rawBytes(values, from, to);
    reserve(sink, raw.length);
    sink.bytes.set(raw, sink.length);
    sink.length += raw.length;
  }
}

/** The PLAIN bytes of the values [from, to), or, where the type needs no conversion, a view of them. */
export function rawBytes(values: Exclude<Values, { type: 'boolean' | 'bytes' }>, from: number, to: number): Uint8Array {
  switch (values.type) {
    case 'int32':
    case 'double':
      return bytesOf(values.values, from, to, values.values.BYTES_PER_ELEMENT);
    case 'int64':
      return bytesOf(values.words, from, to, 8);
    case 'fixed':
      return values.bytes.subarray(from * values.width, to * values.width);
  }
}

/** Appends the values [from, to) byte by byte: all first bytes, then all second bytes… */
export function encodeByteStreamSplit(sink: Sink, values: Values, from: number, to: number): void {
  if (values.type === 'boolean' || values.type === 'bytes') {
    throw new TypeError(`byte-stream-split holds fixed-width values, not ${values.type}`);
  }
  const raw = rawBytes(values, from, to);
  const count = to - from;
  const width = byteWidth(values.type, values.type === 'fixed' ? values.width : 0);
  reserve(sink, raw.length);
  const bytes = sink.bytes;
  for (let b = 0, out = sink.length; b < width; b++) {
    for (let i = 0, at = b; i < count; i++, at += width) bytes[out++] = raw[at];
  }
  sink.length += raw.length;
}

/**
 * Decodes exactly `count` PLAIN values from bytes[from, to). Fixed-width values are views of `bytes` where alignment
 * allows; FLOAT becomes double, INT96 fixed bytes of width 12.
 * @throws VivaceError `undecodable`
 */
export function decodePlain(
  type: PhysicalType,
  width: number,
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  count: number,
): Values {
  if (type === 'boolean') return { type, values: decodeBooleans(bytes, from, to, count), count };
  if (type === 'bytes') return decodeByteArrays(bytes, view, from, to, count);
  const size = count * byteWidth(type, width);
  if (size > to - from) throw undecodable(`${to - from} bytes for ${count} values of type ${type}`);
  return fixedWidthValues(type, width, bytes.subarray(from, from + size), count);
}

/**
 * Decodes exactly `count` byte-stream-split values from bytes[from, to).
 * @throws VivaceError `undecodable`
 */
export function decodeByteStreamSplit(
  type: PhysicalType,
  width: number,
  bytes: Uint8Array,
  from: number,
  to: number,
  count: number,
): Values {
  if (type === 'boolean' || type === 'bytes') throw undecodable(`byte-stream-split values of type ${type}`);
  const valueBytes = byteWidth(type, width);
  if (count * valueBytes > to - from) throw undecodable(`${to - from} bytes for ${count} values of type ${type}`);
  const raw = new Uint8Array(count * valueBytes);
  for (let b = 0, at = from; b < valueBytes; b++) {
    for (let i = 0, out = b; i < count; i++, out += valueBytes) raw[out] = bytes[at++];
  }
  return fixedWidthValues(type, width, raw, count);
}

/** Bytes of a value of a fixed-width type. */
export function byteWidth(type: PhysicalType, width: number): number {
  switch (type) {
    case 'int32':
    case 'float':
      return 4;
    case 'int64':
    case 'double':
      return 8;
    case 'int96':
      return 12;
    case 'fixed':
      return width;
    default:
      throw new TypeError(`values of type ${type} have no fixed width`);
  }
}

function fixedWidthValues(type: PhysicalType, width: number, raw: Uint8Array, count: number): Values {
  switch (type) {
    case 'int32': {
      const aligned = align(raw, 4);
      return { type, values: new Int32Array(aligned.buffer, aligned.byteOffset, count), count };
    }
    case 'int64': {
      const aligned = align(raw, 4);
      return { type, words: new Int32Array(aligned.buffer, aligned.byteOffset, count * 2), count };
    }
    case 'double': {
      const aligned = align(raw, 8);
      return { type, values: new Float64Array(aligned.buffer, aligned.byteOffset, count), count };
    }
    case 'float': {
      const aligned = align(raw, 4);
      const floats = new Float32Array(aligned.buffer, aligned.byteOffset, count);
      return { type: 'double', values: Float64Array.from(floats), count };
    }
    case 'int96':
      return { type: 'fixed', bytes: raw, width: 12, count };
    default:
      return { type: 'fixed', bytes: raw, width, count };
  }
}

/** The same bytes at a multiple of `alignment`: a copy only when they are not there already. */
function align(raw: Uint8Array, alignment: number): Uint8Array {
  return raw.byteOffset % alignment === 0 ? raw : new Uint8Array(raw);
}

function bytesOf(array: Int32Array | Float64Array, from: number, to: number, valueBytes: number): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset + from * valueBytes, (to - from) * valueBytes);
}

function encodeBooleans(sink: Sink, values: Uint8Array, from: number, to: number): void {
  const size = (to - from + 7) >> 3;
  reserve(sink, size);
  const bytes = sink.bytes;
  bytes.fill(0, sink.length, sink.length + size);
  for (let i = from, bit = sink.length * 8; i < to; i++, bit++) bytes[bit >>> 3] |= values[i] << (bit & 7);
  sink.length += size;
}

function decodeBooleans(bytes: Uint8Array, from: number, to: number, count: number): Uint8Array {
  if (count > (to - from) * 8) throw undecodable(`${to - from} bytes for ${count} booleans`);
  const values = new Uint8Array(count);
  for (let i = 0; i < count; i++) values[i] = (bytes[from + (i >> 3)] >> (i & 7)) & 1;
  return values;
}

function encodeByteArrays(sink: Sink, source: Uint8Array, offsets: Uint32Array, from: number, to: number): void {
  if (to === from) return;
  reserve(sink, (to - from) * 4 + offsets[to] - offsets[from]);
  const { bytes, view } = sink;
  let at = sink.length;
  for (let i = from; i < to; i++) {
    const start = offsets[i];
    const end = offsets[i + 1];
    view.setUint32(at, end - start, true);
    copyBytes(source, start, end, bytes, at + 4);
    at += 4 + end - start;
  }
  sink.length = at;
}

function decodeByteArrays(bytes: Uint8Array, view: DataView, from: number, to: number, count: number): Values {
  if (count * 4 > to - from) throw undecodable(`${to - from} bytes for ${count} byte arrays`);
  const offsets = new Uint32Array(count + 1);
  let size = 0;
  let at = from;
  for (let i = 0; i < count; i++) {
    if (at + 4 > to) throw undecodable(`the byte arrays end after ${i} of ${count}`);
    const length = view.getUint32(at, true);
    at += 4 + length;
    if (at > to) throw undecodable(`length ${length} of byte array ${i}`);
    offsets[i + 1] = size += length;
  }
  const values = new Uint8Array(size);
  at = from;
  for (let i = 0; i < count; i++) {
    const length = offsets[i + 1] - offsets[i];
    copyBytes(bytes, at + 4, at + 4 + length, values, offsets[i]);
    at += 4 + length;
  }
  return { type: 'bytes', bytes: values, offsets, count };
}

/** Short copies byte by byte: below about 48 bytes a loop is quicker than `subarray` and `set`. */
function copyBytes(source: Uint8Array, from: number, to: number, target: Uint8Array, at: number): void {
  if (to - from > 48) target.set(source.subarray(from, to), at);
  else while (from < to) target[at++] = source[from++];
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', reason);
}
