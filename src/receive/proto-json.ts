/**
 * proto3's JSON into protobuf, by tables of messages, in one pass: for the protocols that few speak, so that each needs
 * one decoder only. Members may be written in lowerCamelCase or as in the .proto file; unknown ones are stepped over.
 * Source: https://protobuf.dev/programming-guides/json/
 */
import { LENGTH_PADDED, type ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import type { JsonCursor } from './json-cursor.ts';

/** Scalars; `timestamp` and `duration` are texts, `boolValue` and `uint32Value` messages that are written as scalars. */
type Scalar =
  | 'string'
  | 'bytes'
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'timestamp'
  | 'duration'
  | 'boolValue'
  | 'uint32Value';

/** What a field holds: a scalar, names of an enum, a message, or a list or a map (of texts to that) of one of them. */
export type JsonType =
  | Scalar
  | { enum: Readonly<Record<string, number>> }
  | { message: () => JsonMessage }
  | { list: JsonType }
  | { map: JsonType };

/** Fields by the name in the .proto file. */
export type JsonMessage = Readonly<Record<string, readonly [number: number, type: JsonType]>>;

const DEPTH_MAX = 32;

/** Reads the object that is next and writes its fields. Throws VivaceError 'undecodable'. */
export function protoJson(json: JsonCursor, out: ProtoWriter, message: JsonMessage, depth = 0): void {
  if (depth > DEPTH_MAX) throw json.fail(`nested more than ${DEPTH_MAX} levels`);
  if (!json.openObject()) return;
  do {
    json.key();
    const name = json.textEnd - json.textStart > 64 ? '' : json.latin1();
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const field = Object.hasOwn(message, name)
      ? message[name]
      : Object.hasOwn(message, snake)
        ? message[snake]
        : undefined;
    if (field === undefined) json.skip();
    else if (!json.takeNull()) writeField(json, out, field[0], field[1], depth);
  } while (json.anotherMember());
}

function writeField(json: JsonCursor, out: ProtoWriter, number: number, type: JsonType, depth: number): void {
  if (typeof type === 'string') writeScalar(json, out, number, type);
  else if ('list' in type) {
    if (!json.openArray()) return;
    do writeField(json, out, number, type.list, depth);
    while (json.anotherElement());
  } else if ('map' in type) {
    if (!json.openObject()) return;
    do {
      const entry = out.begin(tagOf(number, WIRE_BYTES), LENGTH_PADDED);
      json.key();
      out.bytesField(tagOf(1, WIRE_BYTES), json.textBytes.subarray(json.textStart, json.textEnd));
      writeField(json, out, 2, type.map, depth);
      out.end(entry, LENGTH_PADDED);
    } while (json.anotherMember());
  } else if ('enum' in type) writeEnum(json, out, number, type.enum);
  else {
    const mark = out.begin(tagOf(number, WIRE_BYTES), LENGTH_PADDED);
    protoJson(json, out, type.message(), depth + 1);
    out.end(mark, LENGTH_PADDED);
  }
}

const QUOTE = 0x22;

function writeEnum(json: JsonCursor, out: ProtoWriter, number: number, names: Readonly<Record<string, number>>): void {
  if (json.peek() === QUOTE) {
    json.text();
    const name = json.latin1();
    if (!Object.hasOwn(names, name)) throw json.fail('unknown enum name, before');
    out.varintField(tagOf(number, WIRE_VARINT), names[name]);
    return;
  }
  json.integer(true);
  out.varint(tagOf(number, WIRE_VARINT));
  out.varint64(json.low, json.high);
}

function writeScalar(json: JsonCursor, out: ProtoWriter, number: number, type: Scalar): void {
  switch (type) {
    case 'string':
      json.text();
      out.bytesField(tagOf(number, WIRE_BYTES), json.textBytes.subarray(json.textStart, json.textEnd));
      break;
    case 'bytes':
      json.text();
      out.bytesField(tagOf(number, WIRE_BYTES), base64(json));
      break;
    case 'bool':
      out.varintField(tagOf(number, WIRE_VARINT), json.boolean() ? 1 : 0);
      break;
    case 'int':
    case 'uint':
      json.integer(type === 'int');
      out.varint(tagOf(number, WIRE_VARINT));
      out.varint64(json.low, json.high);
      break;
    case 'double':
      out.varint(tagOf(number, WIRE_FIXED64));
      out.double(json.double());
      break;
    case 'boolValue':
    case 'uint32Value': {
      const mark = out.begin(tagOf(number, WIRE_BYTES));
      writeScalar(json, out, 1, type === 'boolValue' ? 'bool' : 'uint');
      out.end(mark);
      break;
    }
    default:
      writeSeconds(json, out, number, type);
  }
}

/** Standard or URL-safe alphabet, with padding or without. */
function base64(json: JsonCursor): Uint8Array {
  const text = json.latin1();
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) throw json.fail('bytes that are not base64, before');
  return Buffer.from(text, 'base64');
}

/** RFC 3339, or a decimal number of seconds and an `s`. */
function writeSeconds(json: JsonCursor, out: ProtoWriter, number: number, type: 'timestamp' | 'duration'): void {
  json.text();
  const text = json.textEnd - json.textStart > 64 ? '' : json.latin1();
  let seconds: number;
  let nanos: number;
  if (type === 'timestamp') {
    const found = /^(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/.exec(text);
    seconds = found === null ? Number.NaN : Date.parse(`${found[1]}${found[3]}`.toUpperCase()) / 1000;
    nanos = Number((found?.[2] ?? '').padEnd(9, '0'));
  } else {
    const found = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
    const sign = found?.[1] === '-' ? -1 : 1;
    seconds = found === null ? Number.NaN : sign * Number(found[2]);
    nanos = sign * Number((found?.[3] ?? '').padEnd(9, '0'));
  }
  if (Number.isNaN(seconds)) throw json.fail(`expected a ${type}, before`);
  const mark = out.begin(tagOf(number, WIRE_BYTES));
  out.varint(tagOf(1, WIRE_VARINT));
  out.varint64(seconds >>> 0, Math.floor(seconds / 2 ** 32) >>> 0);
  out.varint(tagOf(2, WIRE_VARINT));
  out.varint64(nanos >>> 0, nanos < 0 ? 0xffffffff : 0);
  out.end(mark);
}
