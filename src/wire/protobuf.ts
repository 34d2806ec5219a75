/**
 * Protobuf on the wire, as small primitives: no schema, no objects, no BigInt.
 *
 *   field  = tag varint (number << 3 | wire type), value
 *   wire   0 varint · 1 eight bytes little-endian · 2 length varint + bytes · 5 four bytes little-endian
 *
 * A message inside a message needs its length before its bytes. The writer leaves room for the length, writes the
 * content behind it and patches the length afterwards; content moves only when the room was guessed wrong.
 * Source: https://protobuf.dev/programming-guides/encoding/
 */
import { VivaceError } from '../runtime/errors.ts';
import { readVarint64 } from './varint.ts';

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;
export const WIRE_FIXED32 = 5;

/** Room for a length that is patched without ever moving the content: a varint of 5 bytes, padded when it is short. */
export const LENGTH_PADDED = 5;

/** The tag of a field as a number; write it with `varint`. */
export function tagOf(field: number, wire: number): number {
  return (field << 3) | wire;
}

/** Bytes that a varint of `value` (0 … 2^32−1) takes. */
export function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}

/** Writes one message into a buffer that grows. Field methods take the finished tag (`tagOf`). */
export class ProtoWriter {
  /** The buffer; valid up to `length`. Replaced when it grows, so never keep a reference over a call. */
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;
  /** The same buffer. */
  view: DataView<ArrayBuffer>;

  constructor(capacityBytes = 256) {
    this.bytes = unfilled(capacityBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes sure that `more` bytes fit behind `length`. */
  reserve(more: number): void {
    const need = this.length + more;
    if (need <= this.bytes.length) return;
    const size = Math.max(need, this.bytes.length * 2, 64);
    // Moved, so that the smaller buffer is no garbage: memory outside the heap makes the engine collect all of the heap.
    const moved = this.bytes.buffer.transfer(this.length === 0 ? 0 : size);
    this.bytes = this.length === 0 ? unfilled(size) : new Uint8Array(moved);
    this.view = new DataView(this.bytes.buffer);
  }

  /** An unsigned integer up to 2^53−1. */
  varint(value: number): void {
    if (value < 0x80 && this.length < this.bytes.length) {
      this.bytes[this.length++] = value;
      return;
    }
    this.reserve(10);
    const bytes = this.bytes;
    let at = this.length;
    while (value > 0x7fffffff) {
      bytes[at++] = (value % 128) | 0x80;
      value = Math.floor(value / 128);
    }
    while (value > 0x7f) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[at++] = value;
    this.length = at;
  }

  /** A 64-bit integer given as two unsigned 32-bit words; negative ones in two's complement (10 bytes). */
  varint64(low: number, high: number): void {
    this.reserve(10);
    const bytes = this.bytes;
    let at = this.length;
    low >>>= 0;
    high >>>= 0;
    while (high !== 0) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    while (low > 0x7f) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low >>>= 7;
    }
    bytes[at++] = low;
    this.length = at;
  }

  fixed32(value: number): void {
    this.reserve(4);
    const bytes = this.bytes;
    const at = this.length;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
    this.length = at + 4;
  }

  double(value: number): void {
    this.reserve(8);
    this.view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** Bytes as they are, without a length. */
  raw(source: Uint8Array, start = 0, end = source.length): void {
    const size = end - start;
    this.reserve(size);
    const bytes = this.bytes;
    // A view and a native copy cost more than a loop for the few bytes of a typical key or value.
    if (size < 40) for (let i = start, at = this.length; i < end; i++) bytes[at++] = source[i];
    else bytes.set(source.subarray(start, end), this.length);
    this.length += size;
  }

  /** What stands in the buffer at [start, end) once more. */
  again(start: number, end: number): void {
    const size = end - start;
    this.reserve(size + 3);
    const { view, length } = this;
    if (size > 256) this.bytes.copyWithin(length, start, end);
    // By words, up to three bytes too many, which are written over.
    else for (let i = 0; i < size; i += 4) view.setInt32(length + i, view.getInt32(start + i));
    this.length += size;
  }

  /** A varint field. Nothing is left out: proto3's omission of zeros is the caller's choice. */
  varintField(tag: number, value: number): void {
    this.varint(tag);
    this.varint(value);
  }

  bytesField(tag: number, source: Uint8Array, start = 0, end = source.length): void {
    this.varint(tag);
    this.varint(end - start);
    this.raw(source, start, end);
  }

  /** The same by words, for a short text of a long source: up to three bytes too many, which are written over. */
  shortField(tag: number, source: DataView, start: number, end: number): void {
    const size = end - start;
    if (size > 127 || end + 3 > source.byteLength) {
      this.bytesField(tag, new Uint8Array(source.buffer, source.byteOffset + start, size));
      return;
    }
    this.varint(tag);
    this.reserve(size + 4);
    const { view, length } = this;
    view.setInt8(length, size);
    for (let i = 0; i < size; i += 4) view.setInt32(length + 1 + i, source.getInt32(start + i));
    this.length = length + 1 + size;
  }

  stringField(tag: number, value: string): void {
    this.bytesField(tag, Buffer.from(value, 'utf8'));
  }

  /**
   * Starts a nested message and returns the mark that `end` wants. `lengthBytes` is the room for its length: the
   * expected width (1…4; moved at `end` if wrong) or LENGTH_PADDED (never moved, for deep nesting, where moving the
   * same bytes at every level would be quadratic).
   */
  begin(tag: number, lengthBytes = 1): number {
    this.varint(tag);
    this.reserve(lengthBytes);
    this.length += lengthBytes;
    return this.length;
  }

  /** Ends the message started with the same `lengthBytes`. */
  end(mark: number, lengthBytes = 1): void {
    const size = this.length - mark;
    let width = varintBytes(size);
    if (lengthBytes === LENGTH_PADDED) width = LENGTH_PADDED;
    else if (width !== lengthBytes) {
      const shift = width - lengthBytes;
      if (shift > 0) this.reserve(shift);
      this.bytes.copyWithin(mark + shift, mark, this.length);
      this.length += shift;
    }
    const bytes = this.bytes;
    let at = mark - lengthBytes;
    let rest = size;
    for (let i = 1; i < width; i++) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at] = rest;
  }

  /** Begins anew in the same buffer, which is given back if it is larger than `keptBytesMax`. */
  reset(keptBytesMax: number): void {
    if (this.bytes.length > keptBytesMax) this.clear();
    this.length = 0;
  }

  /** The message in a buffer of its own and of exactly its size, and the writer keeps its own for the next. */
  copy(): Uint8Array<ArrayBuffer> {
    const copied = unfilled(this.length);
    copied.set(this.bytes.subarray(0, this.length));
    return copied;
  }

  /** The message as a buffer of its own and of exactly its size, which may be transferred to another thread. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.length === this.bytes.length ? this.bytes : this.bytes.slice(0, this.length);
  }

  /** The same, and the writer is left empty, without a buffer. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.bytes.buffer.transfer(this.length));
    this.clear();
    return taken;
  }

  /** Gives the buffer's memory back at once. */
  clear(): void {
    if (this.bytes.buffer.byteLength > 0) this.bytes.buffer.transfer(0);
    this.bytes = new Uint8Array(0);
    this.view = new DataView(this.bytes.buffer);
    this.length = 0;
  }
}

/** A new buffer; a large one is not filled with zeros, which nobody would see. */
function unfilled(size: number): Uint8Array<ArrayBuffer> {
  return size < 4096 ? new Uint8Array(size) : new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
}

/** Walks the fields of one message. Every method throws VivaceError 'undecodable' where the bytes break the format. */
export class ProtoReader {
  readonly bytes: Uint8Array;
  pos: number;
  /** Where the message ends that is being read. */
  end: number;
  /** The last `varint64()` or `fixed64()`: unsigned 32-bit words. */
  low = 0;
  high = 0;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
  }

  /** The next tag, or 0 at the end of the message. Field number 0 and wire types 3, 4, 6, 7 are refused. */
  tag(): number {
    if (this.pos >= this.end) return 0;
    const tag = this.varint();
    const wire = tag & 7;
    if (tag < 8 || tag > 0xffffffff || wire === 3 || wire === 4 || wire > 5) throw broken(`tag ${tag}`, this.pos);
    return tag;
  }

  /** An unsigned integer; above 2^53 it loses low bits, which only a length or an enum out of range can be. */
  varint(): number {
    const { bytes, pos } = this;
    if (pos < this.end && bytes[pos] < 0x80) {
      this.pos = pos + 1;
      return bytes[pos];
    }
    // Lengths of up to two bytes without the arithmetic of doubles.
    if (pos + 1 < this.end && bytes[pos + 1] < 0x80) {
      this.pos = pos + 2;
      return (bytes[pos] & 0x7f) | (bytes[pos + 1] << 7);
    }
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      if (this.pos >= this.end) throw broken('cut short varint', this.pos);
      const byte = bytes[this.pos++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw broken('varint of more than 10 bytes', this.pos);
  }

  /** A 64-bit integer into `low` and `high`. */
  varint64(): void {
    const after = readVarint64(this.bytes, this.pos, this.end, this);
    if (after < 0) throw broken('varint that does not end', this.pos);
    this.pos = after;
  }

  /** Eight bytes into `low` and `high`. */
  fixed64(): void {
    const { bytes, pos } = this;
    if (pos + 8 > this.end) throw broken('cut short value', this.end);
    this.low = (bytes[pos] | (bytes[pos + 1] << 8) | (bytes[pos + 2] << 16) | (bytes[pos + 3] << 24)) >>> 0;
    this.high = (bytes[pos + 4] | (bytes[pos + 5] << 8) | (bytes[pos + 6] << 16) | (bytes[pos + 7] << 24)) >>> 0;
    this.pos = pos + 8;
  }

  /** Goes into the message that is next; `leave` with the result goes on behind it. */
  enter(): number {
    const outer = this.end;
    this.end = this.lengthEnd();
    return outer;
  }

  leave(outer: number): void {
    this.pos = this.end;
    this.end = outer;
  }

  /** Reads a length and returns where the value ends; the value starts at `pos`. */
  lengthEnd(): number {
    const size = this.varint();
    const end = this.pos + size;
    if (end > this.end) throw broken(`length ${size} beyond the end`, this.pos);
    return end;
  }

  /** A length-delimited value as a view of the same memory. */
  bytesValue(): Uint8Array {
    const end = this.lengthEnd();
    const value = this.bytes.subarray(this.pos, end);
    this.pos = end;
    return value;
  }

  stringValue(): string {
    return Buffer.from(this.bytesValue()).toString('utf8');
  }

  /** Steps over the value of a field whose tag was just read. */
  skip(tag: number): void {
    const wire = tag & 7;
    if (wire === WIRE_VARINT) this.varint();
    else if (wire === WIRE_BYTES) this.pos = this.lengthEnd();
    else this.pos += wire === WIRE_FIXED64 ? 8 : 4;
    if (this.pos > this.end) throw broken('cut short value', this.end);
  }
}

function broken(what: string, at: number): VivaceError {
  return new VivaceError('undecodable', `cannot decode protobuf message: ${what} at byte ${at}`);
}
