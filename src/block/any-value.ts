/**
 * Attributes as plain values, for the few places where an object is affordable: once a distinct resource, scope or array.
 * (OTLP common.proto: KeyValue {1 key, 2 value}; AnyValue {1 string, 2 bool, 3 int, 4 double, 5 array, 6 kvlist, 7 bytes}.)
 */
import { ProtoReader, WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';

export type AnyValue =
  | { type: 'string'; value: string }
  | { type: 'bool'; value: boolean }
  | { type: 'int'; value: bigint }
  | { type: 'double'; value: number }
  | { type: 'array'; values: AnyValue[] }
  | { type: 'kvlist'; values: Attribute[] }
  | { type: 'bytes'; value: Uint8Array }
  | { type: 'empty' };

export interface Attribute {
  key: string;
  value: AnyValue;
}

/** The attributes in `field` of a message, in order; everything else in it is skipped. The bytes were checked on arrival. */
export function attributesOf(bytes: Uint8Array, field: number): Attribute[] {
  const all: Attribute[] = [];
  eachField(bytes, (number, wire, _low, _high, content) => {
    if (number === field && wire === 2) all.push(decodeKeyValue(content));
  });
  return all;
}

/** The string in `field` of a message; the last one wins. */
export function stringField(bytes: Uint8Array, field: number): string {
  let text = '';
  eachField(bytes, (number, wire, _low, _high, content) => {
    if (number === field && wire === 2) text = utf8(content);
  });
  return text;
}

/** The bytes in `field` of a message; repeated ones are concatenated, as protobuf merges messages. */
export function bytesField(bytes: Uint8Array, field: number): Uint8Array {
  let found = bytes.subarray(0, 0);
  eachField(bytes, (number, wire, _low, _high, content) => {
    if (number === field && wire === 2) found = found.length === 0 ? content : Buffer.concat([found, content]);
  });
  return found;
}

export function decodeKeyValue(bytes: Uint8Array): Attribute {
  let key = '';
  let value: AnyValue = { type: 'empty' };
  eachField(bytes, (number, wire, _low, _high, content) => {
    if (wire !== 2) return;
    if (number === 1) key = utf8(content);
    else if (number === 2) value = decodeAnyValue(content);
  });
  return { key, value };
}

/** Of several members the last one counts. */
export function decodeAnyValue(bytes: Uint8Array): AnyValue {
  let value: AnyValue = { type: 'empty' };
  eachField(bytes, (number, wire, low, high, content) => {
    if (number === 1 && wire === 2) value = { type: 'string', value: utf8(content) };
    else if (number === 2 && wire === 0) value = { type: 'bool', value: (low | high) !== 0 };
    else if (number === 3 && wire === 0) value = { type: 'int', value: int64(low, high) };
    else if (number === 4 && wire === 1) value = { type: 'double', value: doubleOf(low, high) };
    else if (number === 5 && wire === 2) {
      const values: AnyValue[] = [];
      eachField(content, (inner, innerWire, _l, _h, element) => {
        if (inner === 1 && innerWire === 2) values.push(decodeAnyValue(element));
      });
      value = { type: 'array', values };
    } else if (number === 6 && wire === 2) {
      const values: Attribute[] = [];
      eachField(content, (inner, innerWire, _l, _h, element) => {
        if (inner === 1 && innerWire === 2) values.push(decodeKeyValue(element));
      });
      value = { type: 'kvlist', values };
    } else if (number === 7 && wire === 2) value = { type: 'bytes', value: content.slice() };
  });
  return value;
}

export function int64(low: number, high: number): bigint {
  return (BigInt(high | 0) << 32n) | BigInt(low >>> 0);
}

const scratch = new DataView(new ArrayBuffer(8));

export function doubleOf(low: number, high: number): number {
  scratch.setUint32(0, low >>> 0, true);
  scratch.setUint32(4, high >>> 0, true);
  return scratch.getFloat64(0, true);
}

export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

const NOTHING = new Uint8Array(0);

/**
 * Calls `each` for every field of a well-formed message: number, wire type, value words of a varint or of eight bytes,
 * content of a length-delimited one.
 */
export function eachField(
  bytes: Uint8Array,
  each: (field: number, wire: number, low: number, high: number, content: Uint8Array) => void,
): void {
  const reader = new ProtoReader(bytes);
  while (reader.pos < reader.end) {
    const tag = reader.varint();
    const field = tag >>> 3;
    const wire = tag & 7;
    if (wire === WIRE_BYTES) each(field, wire, 0, 0, reader.bytesValue());
    else if (wire === WIRE_VARINT) {
      reader.varint64();
      each(field, wire, reader.low, reader.high, NOTHING);
    } else if (wire === WIRE_FIXED64) {
      reader.fixed64();
      each(field, wire, reader.low, reader.high, NOTHING);
    } else if (wire === WIRE_FIXED32) reader.skip(tag);
    else if (wire !== 3 && wire !== 4) return;
  }
}
