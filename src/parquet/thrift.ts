/**
 * Thrift's compact protocol, as much of it as Parquet's metadata uses.
 *
 * A struct is fields and a zero byte. A field is one byte, the difference to the last field's number (high four bits,
 * 0 = the number follows as a zigzag varint) and its type (low four bits), then the value. Integers are zigzag varints, a
 * binary is a length and bytes, a boolean lives in the field's type, a list is one byte (count, element type; count 15 =
 * the count follows) and its elements.
 */
import { VivaceError } from '../runtime/errors.ts';
import { putByte, putBytes, putVarint, type Sink } from './sink.ts';

const TRUE = 1;
const FALSE = 2;
const BYTE = 3;
const I16 = 4;
const I32 = 5;
const I64 = 6;
const DOUBLE = 7;
const BINARY = 8;
const LIST = 9;
const SET = 10;
const MAP = 11;
const STRUCT = 12;

/** Structs within structs that a reader follows; Parquet needs fewer than ten. */
const DEPTH_MAX = 32;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Writes structs into a sink: fields in ascending order, `begin…end` around a nested struct. */
export class ThriftWriter {
  readonly #sink: Sink;
  readonly #outer: number[] = [];
  #last = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  i16(id: number, value: number): void {
    this.#field(id, I16);
    this.#zigzag(value);
  }

  i32(id: number, value: number): void {
    this.#field(id, I32);
    this.#zigzag(value);
  }

  /** `value` is an integer within ±2^52. */
  i64(id: number, value: number): void {
    this.#field(id, I64);
    this.#zigzag(value);
  }

  bool(id: number, value: boolean): void {
    this.#field(id, value ? TRUE : FALSE);
  }

  binary(id: number, value: Uint8Array): void {
    this.#field(id, BINARY);
    this.#binary(value);
  }

  string(id: number, value: string): void {
    this.binary(id, encoder.encode(value));
  }

  /** A nested struct as a field. */
  begin(id: number): void {
    this.#field(id, STRUCT);
    this.beginElement();
  }

  /** A struct as an element of a list, or the outermost one. */
  beginElement(): void {
    this.#outer.push(this.#last);
    this.#last = 0;
  }

  end(): void {
    putByte(this.#sink, 0);
    this.#last = this.#outer.pop()!;
  }

  /** An empty struct as a field: how Parquet's unions spell a case without data. */
  empty(id: number): void {
    this.begin(id);
    this.end();
  }

  structs(id: number, count: number): void {
    this.#list(id, count, STRUCT);
  }

  i32s(id: number, values: ArrayLike<number>): void {
    this.#list(id, values.length, I32);
    for (let i = 0; i < values.length; i++) this.#zigzag(values[i]);
  }

  i64s(id: number, values: ArrayLike<number>): void {
    this.#list(id, values.length, I64);
    for (let i = 0; i < values.length; i++) this.#zigzag(values[i]);
  }

  bools(id: number, values: readonly boolean[]): void {
    this.#list(id, values.length, TRUE);
    for (const value of values) putByte(this.#sink, value ? TRUE : FALSE);
  }

  binaries(id: number, values: readonly Uint8Array[]): void {
    this.#list(id, values.length, BINARY);
    for (const value of values) this.#binary(value);
  }

  strings(id: number, values: readonly string[]): void {
    this.#list(id, values.length, BINARY);
    for (const value of values) this.#binary(encoder.encode(value));
  }

  #list(id: number, count: number, type: number): void {
    this.#field(id, LIST);
    if (count < 15) {
      putByte(this.#sink, (count << 4) | type);
    } else {
      putByte(this.#sink, 0xf0 | type);
      putVarint(this.#sink, count);
    }
  }

  #field(id: number, type: number): void {
    const difference = id - this.#last;
    if (difference > 0 && difference < 16) {
      putByte(this.#sink, (difference << 4) | type);
    } else {
      putByte(this.#sink, type);
      this.#zigzag(id);
    }
    this.#last = id;
  }

  #binary(value: Uint8Array): void {
    putVarint(this.#sink, value.length);
    putBytes(this.#sink, value);
  }

  #zigzag(value: number): void {
    putVarint(this.#sink, value < 0 ? -2 * value - 1 : 2 * value);
  }
}

/**
 * Reads structs: `for (let id = r.field(0); id !== 0; id = r.field(id)) switch (id) { case 1: … = r.i32(); … default: r.skip(); }`.
 * Every read checks the field's type and the end of the bytes.
 * @throws VivaceError `undecodable`
 */
export class ThriftReader {
  /** The next byte to read. */
  offset: number;
  readonly #bytes: Uint8Array;
  #type = 0;
  #depth = 0;

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes;
    this.offset = offset;
  }

  /** The number of the struct's next field after field `last`, or 0 at its end. */
  field(last: number): number {
    if (last === 0 && ++this.#depth > DEPTH_MAX) throw undecodable(`structs are nested deeper than ${DEPTH_MAX}`);
    const head = this.#byte();
    if (head === 0) {
      this.#depth--;
      return 0;
    }
    const difference = head >> 4;
    const id = difference === 0 ? this.#zigzag() : last + difference;
    // Field 0 would read as the end of the struct; Parquet has no such field, nor negative ones.
    if (id <= 0) throw undecodable(`thrift field number ${id}`);
    this.#type = head & 15;
    return id;
  }

  /** i16, i32 or i64 as a number. */
  integer(): number {
    if (this.#type < BYTE || this.#type > I64) throw this.#mismatch('an integer');
    if (this.#type === BYTE) return (this.#byte() << 24) >> 24;
    return this.#zigzag();
  }

  /** An integer that cannot be negative: a size, count or offset. */
  size(): number {
    const value = this.integer();
    if (value < 0) throw undecodable(`negative size ${value}`);
    return value;
  }

  bool(): boolean {
    if (this.#type !== TRUE && this.#type !== FALSE) throw this.#mismatch('a boolean');
    return this.#type === TRUE;
  }

  /** A view into the bytes read from. */
  binary(): Uint8Array {
    if (this.#type !== BINARY) throw this.#mismatch('a binary');
    const length = this.#varint();
    if (length > this.#bytes.length - this.offset) throw truncated();
    this.offset += length;
    return this.#bytes.subarray(this.offset - length, this.offset);
  }

  string(): string {
    return decoder.decode(this.binary());
  }

  /** Checks that the field is a struct; its fields follow. */
  struct(): void {
    if (this.#type !== STRUCT) throw this.#mismatch('a struct');
  }

  /** The number of elements of a list; read each with the reader of its type. At most as many as bytes are left. */
  list(): number {
    if (this.#type !== LIST && this.#type !== SET) throw this.#mismatch('a list');
    const head = this.#byte();
    const count = head >> 4 === 15 ? this.#varint() : head >> 4;
    if (count > this.#bytes.length - this.offset) throw truncated();
    this.#type = head & 15;
    return count;
  }

  bools(): boolean[] {
    const values: boolean[] = [];
    const count = this.list();
    if (count > 0 && this.#type !== TRUE && this.#type !== FALSE) throw this.#mismatch('a boolean');
    for (let i = 0; i < count; i++) values.push(this.#byte() === TRUE);
    return values;
  }

  integers(): number[] {
    const values: number[] = [];
    for (let i = this.list(); i > 0; i--) values.push(this.integer());
    return values;
  }

  binaries(): Uint8Array[] {
    const values: Uint8Array[] = [];
    for (let i = this.list(); i > 0; i--) values.push(this.binary());
    return values;
  }

  strings(): string[] {
    const values: string[] = [];
    for (let i = this.list(); i > 0; i--) values.push(this.string());
    return values;
  }

  /** Passes over the current field, whatever it is. */
  skip(): void {
    this.#skip(this.#type, 0, false);
  }

  #skip(type: number, depth: number, element: boolean): void {
    if (depth > DEPTH_MAX) throw undecodable(`values are nested deeper than ${DEPTH_MAX}`);
    switch (type) {
      case TRUE:
      case FALSE:
        if (element) this.offset++;
        break;
      case BYTE:
        this.offset++;
        break;
      case I16:
      case I32:
      case I64:
        this.#skipVarint();
        break;
      case DOUBLE:
        this.offset += 8;
        break;
      case BINARY: {
        const length = this.#varint();
        this.offset += length;
        break;
      }
      case LIST:
      case SET: {
        this.#type = LIST;
        const count = this.list();
        const elementType = this.#type;
        for (let i = 0; i < count; i++) this.#skip(elementType, depth + 1, true);
        break;
      }
      case MAP: {
        const count = this.#varint();
        if (count === 0) break;
        if (count > this.#bytes.length - this.offset) throw truncated();
        const types = this.#byte();
        for (let i = 0; i < count; i++) {
          this.#skip(types >> 4, depth + 1, true);
          this.#skip(types & 15, depth + 1, true);
        }
        break;
      }
      case STRUCT:
        for (let head = this.#byte(); head !== 0; head = this.#byte()) {
          if (head >> 4 === 0) this.#skipVarint();
          this.#skip(head & 15, depth + 1, false);
        }
        break;
      default:
        throw undecodable(`thrift type ${type}`);
    }
    if (this.offset > this.#bytes.length) throw truncated();
  }

  #byte(): number {
    if (this.offset >= this.#bytes.length) throw truncated();
    return this.#bytes[this.offset++];
  }

  #skipVarint(): void {
    while (this.#byte() > 0x7f);
  }

  /** An unsigned varint as a number; beyond 2^53 it is refused. */
  #varint(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 128;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
      if (scale > 2 ** 63) throw undecodable('a varint is longer than ten bytes');
    }
    if (value > Number.MAX_SAFE_INTEGER) throw undecodable('an integer is beyond 2^53');
    return value;
  }

  #zigzag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #mismatch(wanted: string): VivaceError {
    return undecodable(`thrift type ${this.#type} where ${wanted} belongs, at byte ${this.offset}`);
  }
}

function truncated(): VivaceError {
  return undecodable('the bytes end in the middle of a value');
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', reason);
}
