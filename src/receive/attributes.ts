/** Attributes written one by one: KeyValues whose key is known to code, and what is common to all of them. */
import { type ProtoWriter, varintBytes } from '../wire/protobuf.ts';
import type { Name } from './key-table.ts';

/** One string attribute whose key and value code knows where to find. */
export function textAttribute(
  out: ProtoWriter,
  field: number,
  name: Name,
  value: Uint8Array,
  start = 0,
  end = value.length,
): void {
  bytesValue(out, field, name.bytes, 0, name.bytes.length, 0x0a, value, start, end);
}

/** One whole number, as far as a double is exact. */
export function intAttribute(out: ProtoWriter, field: number, name: Name, value: number): void {
  const high = Math.floor(value / 2 ** 32) >>> 0;
  keyAndHead(out, field, name.bytes, 0, name.bytes.length, 1 + varint64Bytes(value >>> 0, high));
  out.varint(0x18);
  out.varint64(value >>> 0, high);
}

/** A double, by its value. */
export function doubleAttribute(out: ProtoWriter, field: number, name: Name, value: number): void {
  keyAndHead(out, field, name.bytes, 0, name.bytes.length, 9);
  out.varint(0x21);
  out.double(value);
}

export function boolAttribute(out: ProtoWriter, field: number, name: Name, value: boolean): void {
  keyAndHead(out, field, name.bytes, 0, name.bytes.length, 2);
  out.varintField(0x10, value ? 1 : 0);
}

/** A KeyValue whose AnyValue has one length-delimited member with the tag `member`. */
export function bytesValue(
  out: ProtoWriter,
  field: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  member: number,
  value: Uint8Array,
  start: number,
  end: number,
): void {
  const size = end - start;
  const keySize = keyEnd - keyStart;
  const whole = keySize + size + 6;
  if (whole < 128 && field < 128) {
    // Nearly every attribute: all lengths take one byte. Half the time of the general way.
    out.reserve(whole + 2);
    const { bytes } = out;
    let at = out.length;
    bytes[at++] = field;
    bytes[at++] = whole;
    bytes[at++] = 0x0a;
    bytes[at++] = keySize;
    for (let i = keyStart; i < keyEnd; i++) bytes[at++] = key[i];
    bytes[at++] = 0x12;
    bytes[at++] = size + 2;
    bytes[at++] = member;
    bytes[at++] = size;
    for (let i = start; i < end; i++) bytes[at++] = value[i];
    out.length = at;
    return;
  }
  keyAndHead(out, field, key, keyStart, keyEnd, 1 + varintBytes(size) + size);
  out.bytesField(member, value, start, end);
}

/** A KeyValue up to its AnyValue, which takes `valueSize` bytes and follows. */
export function keyAndHead(
  out: ProtoWriter,
  field: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  valueSize: number,
): void {
  const keySize = keyEnd - keyStart;
  if (keySize + valueSize < 124 && field < 128) {
    out.reserve(keySize + 6);
    const { bytes } = out;
    let at = out.length;
    bytes[at++] = field;
    bytes[at++] = keySize + valueSize + 4;
    bytes[at++] = 0x0a;
    bytes[at++] = keySize;
    for (let i = keyStart; i < keyEnd; i++) bytes[at++] = key[i];
    bytes[at++] = 0x12;
    bytes[at++] = valueSize;
    out.length = at;
    return;
  }
  out.varint(field);
  out.varint(1 + varintBytes(keySize) + keySize + 1 + varintBytes(valueSize) + valueSize);
  out.varint(0x0a);
  out.varint(keySize);
  out.raw(key, keyStart, keyEnd);
  out.varint(0x12);
  out.varint(valueSize);
}

export function varint64Bytes(low: number, high: number): number {
  if (high === 0) return varintBytes(low);
  let bytes = 5;
  for (let rest = high >>> 3; rest !== 0; rest >>>= 7) bytes++;
  return bytes;
}
