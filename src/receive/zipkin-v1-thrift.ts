/**
 * Zipkin's Thrift of the first version as OTLP: a list of `zipkincore.Span` in the binary protocol.
 * Source: spec/ingestion.md §5.5; https://github.com/openzipkin/zipkin-api/blob/master/thrift/zipkinCore.thrift
 */
import { VivaceError } from '../runtime/errors.ts';
import {
  THRIFT_I16,
  THRIFT_I32,
  THRIFT_I64,
  THRIFT_LIST,
  THRIFT_STRING,
  THRIFT_STRUCT,
  ThriftBinary,
} from '../wire/thrift.ts';
import { ipOfBytes } from './ip-text.ts';
import { SpanGroups } from './span-groups.ts';
import { ZIPKIN_REQUEST_BYTES_MAX } from './zipkin-json.ts';
import { type V1Endpoint, ZipkinV1Span } from './zipkin-v1-span.ts';

/** A list of spans as an ExportTraceServiceRequest. Throws VivaceError 'undecodable' or 'invalid' (ids). */
export function zipkinV1ThriftToOtlp(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const thrift = new ThriftBinary(body);
  const groups = new SpanGroups(ZIPKIN_REQUEST_BYTES_MAX);
  groups.begin(body.length);
  const span = new ZipkinV1Span(thrift);
  const count = structs(thrift);
  for (let i = 0; i < count; i++) {
    readSpan(thrift, span);
    span.write(groups, false, undefined);
  }
  return groups.finish();
}

function readSpan(thrift: ThriftBinary, span: ZipkinV1Span): void {
  span.reset();
  while (thrift.field()) {
    const { fieldId, fieldType } = thrift;
    const isNumber = fieldType === THRIFT_I64;
    if (fieldId === 1 && isNumber) readId(thrift, span.traceId, 8);
    else if (fieldId === 12 && isNumber) readId(thrift, span.traceId, 0);
    else if (fieldId === 4 && isNumber) readId(thrift, span.spanId, 0);
    else if (fieldId === 5 && isNumber) readId(thrift, span.parentId, 0);
    else if (fieldId === 3 && fieldType === THRIFT_STRING) {
      thrift.text();
      span.nameStart = thrift.start;
      span.nameEnd = thrift.end;
    } else if (fieldId === 6 && fieldType === THRIFT_LIST) {
      const count = structs(thrift);
      for (let i = 0; i < count; i++) readAnnotation(thrift, span);
    } else if (fieldId === 8 && fieldType === THRIFT_LIST) {
      const count = structs(thrift);
      for (let i = 0; i < count; i++) readBinaryAnnotation(thrift, span);
    } else if (fieldId === 10 && isNumber) {
      thrift.i64();
      span.timestamp.set(thrift.low, thrift.high);
    } else if (fieldId === 11 && isNumber) {
      thrift.i64();
      span.duration.set(thrift.low, thrift.high);
    } else thrift.skip(fieldType);
  }
  // Said here and not by whoever takes the spans, because a span without anything is one byte here and many there.
  if (isZero(span.traceId)) throw new VivaceError('invalid', 'trace ids must be 128 bit, received 0 bits');
  if (isZero(span.spanId)) throw new VivaceError('invalid', 'span ids must be 64 bit, received 0 bits');
}

function readId(thrift: ThriftBinary, id: Uint8Array, at: number): void {
  thrift.i64();
  for (let i = 0; i < 8; i++) id[at + i] = (i < 4 ? thrift.high : thrift.low) >>> (24 - 8 * (i & 3));
}

function readAnnotation(thrift: ThriftBinary, span: ZipkinV1Span): void {
  let low = 0;
  let high = 0;
  let start = 0;
  let end = 0;
  let endpoint: V1Endpoint | undefined;
  while (thrift.field()) {
    const { fieldId, fieldType } = thrift;
    if (fieldId === 1 && fieldType === THRIFT_I64) {
      thrift.i64();
      low = thrift.low;
      high = thrift.high;
    } else if (fieldId === 2 && fieldType === THRIFT_STRING) {
      thrift.text();
      start = thrift.start;
      end = thrift.end;
    } else if (fieldId === 3 && fieldType === THRIFT_STRUCT) endpoint = readEndpoint(thrift);
    else thrift.skip(fieldType);
  }
  span.annotate(low, high, start, end, endpoint);
}

const BOOL = 0;
const BYTES = 1;
const I16 = 2;
const I32 = 3;
const I64 = 4;
const DOUBLE = 5;
const STRING = 6;

function readBinaryAnnotation(thrift: ThriftBinary, span: ZipkinV1Span): void {
  let keyStart = 0;
  let keyEnd = 0;
  let start = 0;
  let end = 0;
  let type = BOOL;
  let endpoint: V1Endpoint | undefined;
  while (thrift.field()) {
    const { fieldId, fieldType } = thrift;
    if ((fieldId === 1 || fieldId === 2) && fieldType === THRIFT_STRING) {
      thrift.text();
      if (fieldId === 1) {
        keyStart = thrift.start;
        keyEnd = thrift.end;
      } else {
        start = thrift.start;
        end = thrift.end;
      }
    } else if (fieldId === 3 && fieldType === THRIFT_I32) type = thrift.i32();
    else if (fieldId === 4 && fieldType === THRIFT_STRUCT) endpoint = readEndpoint(thrift);
    else thrift.skip(fieldType);
  }
  readValue(span, span.tags.key(keyStart, keyEnd), type, thrift.bytes, start, end);
  span.noteBinary(endpoint);
}

/** A value stands as the bytes of its type, most significant first. */
function readValue(
  { tags }: ZipkinV1Span,
  tag: number,
  type: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const size = end - start;
  const word = (at: number): number =>
    ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
  if (type === STRING) tags.text(tag, start, end);
  else if (type === BOOL) tags.bool(tag, size === 1 && bytes[start] === 1);
  else if (type === BYTES) tags.literal(tag, Buffer.from(bytes.subarray(start, end)).toString('base64'));
  else if (type === I16 && size >= 2) tags.int(tag, (bytes[start] << 8) | bytes[start + 1], 0);
  else if (type === I32 && size >= 4) tags.int(tag, word(start), 0);
  else if (type === I64 && size >= 8) tags.int(tag, word(start + 4), word(start));
  else if (type === DOUBLE && size >= 8) tags.double(tag, word(start + 4), word(start));
  else if (type < BOOL || type > STRING) tags.literal(tag, `<Unknown Zipkin annotation type ${type}>`);
  else tags.literal(tag, `<value of ${size} bytes is too short>`);
}

function readEndpoint(thrift: ThriftBinary): V1Endpoint {
  const endpoint = { service: '', ipv4: '', ipv6: '', port: '' };
  while (thrift.field()) {
    const { fieldId, fieldType } = thrift;
    if (fieldId === 1 && fieldType === THRIFT_I32) {
      const start = thrift.pos;
      if (thrift.i32() !== 0) endpoint.ipv4 = ipOfBytes(thrift.bytes, start, thrift.pos) ?? '';
    } else if (fieldId === 2 && fieldType === THRIFT_I16) {
      const port = thrift.i16();
      endpoint.port = port === 0 ? '' : String(port);
    } else if (fieldId === 3 && fieldType === THRIFT_STRING) {
      thrift.text();
      endpoint.service = Buffer.from(thrift.bytes.subarray(thrift.start, thrift.end)).toString('utf8');
    } else if (fieldId === 4 && fieldType === THRIFT_STRING) {
      thrift.text();
      endpoint.ipv6 = ipOfBytes(thrift.bytes, thrift.start, thrift.end) ?? '';
    } else thrift.skip(fieldType);
  }
  return endpoint;
}

function structs(thrift: ThriftBinary): number {
  const count = thrift.list();
  if (count > 0 && thrift.elementType !== THRIFT_STRUCT)
    throw new VivaceError('undecodable', `cannot decode Zipkin's Thrift: a list of type ${thrift.elementType}`);
  return count;
}

function isZero(id: Uint8Array): boolean {
  return id.every((byte) => byte === 0);
}
