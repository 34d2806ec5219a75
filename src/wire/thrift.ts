/**
 * Thrift's binary and compact protocols, read field by field, for messages of strangers: nothing is built, nothing is
 * allocated for an announced size, and every length is checked against the bytes that are there.
 *
 *             binary                                     compact
 *   field     type byte, id i16; 0 ends the struct       (difference to the last id << 4) | type; difference 0: zigzag id
 *   integer   big-endian                                 zigzag varint
 *   double    8 bytes, big-endian                        8 bytes, little-endian
 *   bool      one byte                                   in a field it is the type (1 true, 2 false), else one byte
 *   text      i32 length, bytes                          varint length, bytes
 *   list      type byte, i32 count                       (count << 4) | type; count 15: a varint follows
 *   map       two type bytes, i32 count                  varint count; if not 0: (key type << 4) | value type
 *   message   i32 0x80010000 | kind, name, i32 number    0x82, (kind << 5) | 1, varint number, name
 *             or: name, kind byte, i32 number
 *
 * Types are numbered as in the binary protocol, whatever is read. Source: the specifications of both protocols in
 * https://github.com/apache/thrift/tree/master/doc/specs, spec/ingestion.md §4.3.
 */
import { VivaceError } from '../runtime/errors.ts';
import { readVarint64 } from './varint.ts';

export const THRIFT_BOOL = 2;
export const THRIFT_BYTE = 3;
export const THRIFT_DOUBLE = 4;
export const THRIFT_I16 = 6;
export const THRIFT_I32 = 8;
export const THRIFT_I64 = 10;
export const THRIFT_STRING = 11;
export const THRIFT_STRUCT = 12;
export const THRIFT_MAP = 13;
export const THRIFT_SET = 14;
export const THRIFT_LIST = 15;
export const THRIFT_UUID = 16;

/** Values within values that are stepped over; deeper is refused. */
export const THRIFT_DEPTH_MAX = 64;

/**
 * Reads one message. What a method finds stands in the properties it names, until the next call. Every method throws
 * VivaceError 'undecodable' where the bytes break the protocol.
 */
export interface ThriftReader {
  readonly bytes: Uint8Array;
  /** The same bytes. */
  readonly view: DataView;
  pos: number;
  /** Of the last `field()`. */
  readonly fieldId: number;
  readonly fieldType: number;
  /** Of the last `text()`: bytes[start … end). */
  readonly start: number;
  readonly end: number;
  /** Of the last `i64()` or `double()`: two words, unsigned. */
  readonly low: number;
  readonly high: number;
  /** Of the last `list()`. */
  readonly elementType: number;
  /** Reads a message's head: its name into `start` and `end`. */
  message(): void;
  /** Goes into a struct; give the result to `leave` after its last field. */
  enter(): number;
  leave(outer: number): void;
  /** The next field's head; false at the end of the struct. */
  field(): boolean;
  bool(): boolean;
  i16(): number;
  i32(): number;
  i64(): void;
  double(): void;
  text(): void;
  /** The number of elements, each of which takes a byte at least. */
  list(): number;
  /** Steps over a value. */
  skip(type: number): void;
}

export class ThriftBinary implements ThriftReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  pos = 0;
  fieldId = 0;
  fieldType = 0;
  start = 0;
  end = 0;
  low = 0;
  high = 0;
  elementType = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  message(): void {
    const word = this.i32();
    if (word < 0) {
      if ((word & 0xffff0000) !== (0x80010000 | 0)) throw broken('unknown version', this.pos);
      this.text();
    } else {
      this.pos -= 4;
      this.text();
      this.#need(1);
      this.pos++;
    }
    const { start, end } = this;
    this.i32();
    this.start = start;
    this.end = end;
  }

  enter(): number {
    return 0;
  }

  leave(): void {}

  field(): boolean {
    this.#need(1);
    this.fieldType = this.bytes[this.pos++];
    if (this.fieldType === 0) return false;
    this.fieldId = this.i16();
    return true;
  }

  bool(): boolean {
    this.#need(1);
    return this.bytes[this.pos++] === 1;
  }

  i16(): number {
    this.#need(2);
    const value = this.view.getInt16(this.pos);
    this.pos += 2;
    return value;
  }

  i32(): number {
    this.#need(4);
    const value = this.view.getInt32(this.pos);
    this.pos += 4;
    return value;
  }

  i64(): void {
    this.#need(8);
    this.high = this.view.getUint32(this.pos);
    this.low = this.view.getUint32(this.pos + 4);
    this.pos += 8;
  }

  double(): void {
    this.i64();
  }

  text(): void {
    const size = this.i32();
    if (size < 0 || size > this.bytes.length - this.pos) throw broken(`text of ${size} bytes`, this.pos);
    this.start = this.pos;
    this.pos += size;
    this.end = this.pos;
  }

  list(): number {
    this.#need(1);
    this.elementType = this.bytes[this.pos++];
    return this.#count(1);
  }

  skip(type: number): void {
    this.#skip(type, THRIFT_DEPTH_MAX);
  }

  #skip(type: number, depth: number): void {
    if (depth === 0) throw tooDeep(this.pos);
    const fixed = type <= THRIFT_UUID ? BINARY_BYTES[type] : 0;
    if (fixed > 0) this.#step(fixed);
    else if (type === THRIFT_STRING) this.text();
    else if (type === THRIFT_STRUCT) while (this.field()) this.#skip(this.fieldType, depth - 1);
    else if (type === THRIFT_LIST || type === THRIFT_SET) {
      const count = this.list();
      const { elementType } = this;
      const size = BINARY_BYTES[elementType] ?? 0;
      if (size > 0) this.#step(count * size);
      else for (let i = 0; i < count; i++) this.#skip(elementType, depth - 1);
    } else if (type === THRIFT_MAP) {
      this.#need(2);
      const keys = this.bytes[this.pos++];
      const values = this.bytes[this.pos++];
      const count = this.#count(2);
      for (let i = 0; i < count; i++) {
        this.#skip(keys, depth - 1);
        this.#skip(values, depth - 1);
      }
    } else throw broken(`unknown type ${type}`, this.pos);
  }

  #count(bytesEach: number): number {
    const count = this.i32();
    if (count < 0 || count * bytesEach > this.bytes.length - this.pos) throw broken(`${count} elements`, this.pos);
    return count;
  }

  #step(size: number): void {
    this.#need(size);
    this.pos += size;
  }

  #need(size: number): void {
    if (size > this.bytes.length - this.pos) throw broken('cut short', this.bytes.length);
  }
}

/** Sizes of values by type; 0 where it differs from value to value. */
const BINARY_BYTES = sizes([
  [THRIFT_BOOL, 1],
  [THRIFT_BYTE, 1],
  [THRIFT_DOUBLE, 8],
  [THRIFT_I16, 2],
  [THRIFT_I32, 4],
  [THRIFT_I64, 8],
  [THRIFT_UUID, 16],
]);

function sizes(of: [type: number, bytes: number][]): Uint8Array {
  const table = new Uint8Array(THRIFT_UUID + 1);
  for (const [type, bytes] of of) table[type] = bytes;
  return table;
}

export class ThriftCompact implements ThriftReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  pos = 0;
  fieldId = 0;
  fieldType = 0;
  start = 0;
  end = 0;
  low = 0;
  high = 0;
  elementType = 0;
  /** Number of the last field of the struct that is being read. */
  #last = 0;
  /** The value of a bool field stands in its head: 1 true, 2 false, 0 when there is none. */
  #bool = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  message(): void {
    if (this.#byte() !== 0x82) throw broken('not a compact message', this.pos);
    if ((this.#byte() & 0x1f) !== 1) throw broken('unknown version', this.pos);
    this.#varint32();
    this.text();
  }

  enter(): number {
    const outer = this.#last;
    this.#last = 0;
    return outer;
  }

  leave(outer: number): void {
    this.#last = outer;
  }

  field(): boolean {
    const head = this.#byte();
    const type = head & 15;
    if (type === 0) return false;
    const delta = head >> 4;
    if (delta === 0) this.#last = this.i16();
    else this.#last += delta;
    this.fieldId = this.#last;
    this.#bool = type <= 2 ? type : 0;
    this.fieldType = COMPACT_TYPES[type];
    return true;
  }

  bool(): boolean {
    const value = this.#bool === 0 ? this.#byte() : this.#bool;
    this.#bool = 0;
    return value === 1;
  }

  i16(): number {
    return (this.i32() << 16) >> 16;
  }

  i32(): number {
    const value = this.#varint32();
    return (value >>> 1) ^ -(value & 1);
  }

  i64(): void {
    this.#varint64();
    const sign = -(this.low & 1);
    this.low = (((this.low >>> 1) | (this.high << 31)) ^ sign) >>> 0;
    this.high = ((this.high >>> 1) ^ sign) >>> 0;
  }

  double(): void {
    const { bytes, pos } = this;
    if (pos + 8 > bytes.length) throw broken('cut short', bytes.length);
    this.low = (bytes[pos] | (bytes[pos + 1] << 8) | (bytes[pos + 2] << 16) | (bytes[pos + 3] << 24)) >>> 0;
    this.high = (bytes[pos + 4] | (bytes[pos + 5] << 8) | (bytes[pos + 6] << 16) | (bytes[pos + 7] << 24)) >>> 0;
    this.pos = pos + 8;
  }

  text(): void {
    const size = this.#varint32() >>> 0;
    if (size > this.bytes.length - this.pos) throw broken(`text of ${size} bytes`, this.pos);
    this.start = this.pos;
    this.pos += size;
    this.end = this.pos;
  }

  list(): number {
    const head = this.#byte();
    this.elementType = COMPACT_TYPES[head & 15];
    const count = head >> 4 === 15 ? this.#varint32() >>> 0 : head >> 4;
    if (count > this.bytes.length - this.pos) throw broken(`${count} elements`, this.pos);
    return count;
  }

  skip(type: number): void {
    this.#skip(type, THRIFT_DEPTH_MAX);
  }

  #skip(type: number, depth: number): void {
    if (depth === 0) throw tooDeep(this.pos);
    switch (type) {
      case THRIFT_BOOL:
        this.bool();
        break;
      case THRIFT_BYTE:
        this.#step(1);
        break;
      case THRIFT_I16:
      case THRIFT_I32:
      case THRIFT_I64:
        this.#varint64();
        break;
      case THRIFT_DOUBLE:
        this.#step(8);
        break;
      case THRIFT_UUID:
        this.#step(16);
        break;
      case THRIFT_STRING:
        this.text();
        break;
      case THRIFT_STRUCT: {
        const outer = this.enter();
        while (this.field()) this.#skip(this.fieldType, depth - 1);
        this.leave(outer);
        break;
      }
      case THRIFT_LIST:
      case THRIFT_SET: {
        const count = this.list();
        const { elementType } = this;
        for (let i = 0; i < count; i++) this.#skip(elementType, depth - 1);
        break;
      }
      case THRIFT_MAP: {
        const count = this.#varint32() >>> 0;
        if (count * 2 > this.bytes.length - this.pos) throw broken(`${count} entries`, this.pos);
        const types = count === 0 ? 0 : this.#byte();
        for (let i = 0; i < count; i++) {
          this.#skip(COMPACT_TYPES[types >> 4], depth - 1);
          this.#skip(COMPACT_TYPES[types & 15], depth - 1);
        }
        break;
      }
      default:
        throw broken(`unknown type ${type}`, this.pos);
    }
  }

  #byte(): number {
    if (this.pos >= this.bytes.length) throw broken('cut short', this.pos);
    return this.bytes[this.pos++];
  }

  #step(size: number): void {
    if (size > this.bytes.length - this.pos) throw broken('cut short', this.bytes.length);
    this.pos += size;
  }

  /** Up to 32 bits, as a signed number; what is above them is lost, as in other readers. */
  #varint32(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    this.pos--;
    this.#varint64();
    return this.low | 0;
  }

  /** Into `low` and `high`. */
  #varint64(): void {
    const after = readVarint64(this.bytes, this.pos, this.bytes.length, this);
    if (after < 0) throw broken('varint that does not end', this.pos);
    this.pos = after;
  }
}

/** Types of the compact protocol as those of the binary one; 0 for none. */
const COMPACT_TYPES = Uint8Array.of(
  0,
  THRIFT_BOOL,
  THRIFT_BOOL,
  THRIFT_BYTE,
  THRIFT_I16,
  THRIFT_I32,
  THRIFT_I64,
  THRIFT_DOUBLE,
  THRIFT_STRING,
  THRIFT_LIST,
  THRIFT_SET,
  THRIFT_MAP,
  THRIFT_STRUCT,
  THRIFT_UUID,
  0,
  0,
);

function broken(what: string, at: number): VivaceError {
  return new VivaceError('undecodable', `cannot decode Thrift: ${what} at byte ${at}`);
}

function tooDeep(at: number): VivaceError {
  return new VivaceError(
    'undecodable',
    `cannot decode Thrift: nested more than ${THRIFT_DEPTH_MAX} levels at byte ${at}`,
  );
}
