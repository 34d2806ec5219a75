/** The scalars of OTLP/JSON, each read as the JSON that it may be and written as its protobuf field. */
import { ProtoWriter } from '../wire/protobuf.ts';
import { HEX, JsonCursor } from './json-cursor.ts';

/** Where reading and writing stand. */
export class Reader {
  readonly json: JsonCursor;
  readonly out: ProtoWriter;
  depth = 0;

  constructor(bytes: Uint8Array) {
    this.json = new JsonCursor(bytes);
    this.out = new ProtoWriter(Math.max(256, bytes.length >>> 1));
  }
}

/** A string; `null` is the empty one. */
export function string(r: Reader, tag: number): void {
  const { json, out } = r;
  out.varint(tag);
  if (json.takeNull()) {
    out.varint(0);
    return;
  }
  json.text();
  out.varint(json.textEnd - json.textStart);
  out.raw(json.textBytes, json.textStart, json.textEnd);
}

/** Hexadecimal text of exactly `size` bytes, or empty. */
export function id(r: Reader, tag: number, size: number): void {
  const { json, out } = r;
  json.text();
  const digits = json.textEnd - json.textStart;
  if (digits !== 0 && digits !== size * 2) throw json.fail(`id of ${digits} digits instead of ${size * 2}, before`);
  out.varint(tag);
  out.varint(digits / 2);
  out.reserve(size);
  const text = json.textBytes;
  for (let at = json.textStart; at < json.textEnd; at += 2) {
    const high = HEX[text[at]];
    const low = HEX[text[at + 1]];
    if (high > 15 || low > 15) throw json.fail('id that is not hexadecimal, before');
    out.bytes[out.length++] = (high << 4) | low;
  }
}

/** An integer or the full name of an enum's member. */
export function enumeration(r: Reader, tag: number, names: ReadonlyMap<string, number>): void {
  const { json, out } = r;
  if (json.peek() === 0x22) {
    json.text();
    const value = names.get(json.latin1());
    if (value === undefined) throw json.fail('unknown enum name, before');
    out.varintField(tag, value);
    return;
  }
  json.integer(true);
  // The high word of an int32 repeats its sign.
  if ((json.low | 0) >> 31 !== (json.high | 0)) throw json.fail('enum beyond 32 bits, before');
  out.varint(tag);
  out.varint64(json.low, json.high);
}

export function int64(r: Reader, tag: number): void {
  r.json.integer(true);
  r.out.varint(tag);
  r.out.varint64(r.json.low, r.json.high);
}

export function fixed64(r: Reader, tag: number): void {
  r.json.integer(false);
  r.out.varint(tag);
  r.out.fixed32(r.json.low);
  r.out.fixed32(r.json.high);
}

export function uint32(r: Reader, tag: number): void {
  r.out.varintField(tag, unsigned32(r));
}

export function fixed32(r: Reader, tag: number): void {
  const value = unsigned32(r);
  r.out.varint(tag);
  r.out.fixed32(value);
}

function unsigned32(r: Reader): number {
  r.json.integer(false);
  if (r.json.high !== 0) throw r.json.fail('integer beyond 32 bits, before');
  return r.json.low;
}

export function double(r: Reader, tag: number): void {
  const value = r.json.double();
  r.out.varint(tag);
  r.out.double(value);
}

/** Standard base64 with padding, and nothing else (RFC 4648 §4). */
export function base64(r: Reader, tag: number): void {
  const { json, out } = r;
  json.text();
  const { textBytes, textStart, textEnd } = json;
  const chars = textEnd - textStart;
  if (chars % 4 !== 0) throw json.fail('base64 without its padding, before');
  let padding = 0;
  while (padding < 2 && padding < chars && textBytes[textEnd - 1 - padding] === 0x3d) padding++;
  const size = (chars / 4) * 3 - padding;
  out.varint(tag);
  out.varint(size);
  out.reserve(size + 3);
  const end = out.length + size;
  for (let at = textStart; at < textEnd; at += 4) {
    let group = 0;
    for (let i = 0; i < 4; i++) {
      const value = at + i >= textEnd - padding ? 0 : BASE64[textBytes[at + i]];
      if (value > 63) throw json.fail('bytes that are not standard base64, before');
      group = (group << 6) | value;
    }
    out.bytes[out.length++] = group >> 16;
    out.bytes[out.length++] = group >> 8;
    out.bytes[out.length++] = group;
  }
  out.length = end;
}

const BASE64: Readonly<Uint8Array> = base64Table();

function base64Table(): Uint8Array {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const table = new Uint8Array(256).fill(0xff);
  for (let i = 0; i < 64; i++) table[alphabet.charCodeAt(i)] = i;
  return table;
}
