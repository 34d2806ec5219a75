/** Jaeger's batches as plain data, in Thrift and in protobuf. */
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import {
  bool,
  double,
  i32,
  i64,
  list,
  string,
  struct,
  type ThriftField,
  type ThriftValue,
} from '../wire/thrift.fixture.ts';
import { THRIFT_STRUCT } from '../wire/thrift.ts';

/** Numbers are doubles, bigints longs. */
export type JaegerTag = [key: string, value: string | number | bigint | boolean | Uint8Array];

export interface JaegerReference {
  type: 'child_of' | 'follows_from';
  /** Default: the span's own. */
  traceId?: bigint;
  spanId: bigint;
}

export interface JaegerSpan {
  traceId: bigint;
  spanId: bigint;
  /** Only in Thrift; protobuf has references for it. */
  parentId?: bigint;
  name: string;
  references?: JaegerReference[];
  /** Microseconds. */
  start: bigint;
  duration: bigint;
  flags?: number;
  tags?: JaegerTag[];
  logs?: { time: bigint; fields: JaegerTag[] }[];
  /** Only in protobuf. */
  process?: JaegerProcess;
}

export interface JaegerProcess {
  service: string;
  tags?: JaegerTag[];
}

const mask64 = 2n ** 64n - 1n;

/** The struct `Batch`. */
export function thriftBatch(process: JaegerProcess, spans: JaegerSpan[]): ThriftValue {
  return struct(
    [1, struct([1, string(process.service)], ...thriftTags(2, process.tags))],
    [2, list(THRIFT_STRUCT, spans.map(thriftSpan))],
  );
}

function thriftSpan(span: JaegerSpan): ThriftValue {
  const { references = [], logs = [] } = span;
  const fields: ThriftField[] = [
    [1, i64(span.traceId & mask64)],
    [2, i64(span.traceId >> 64n)],
    [3, i64(span.spanId)],
    [4, i64(span.parentId ?? 0n)],
    [5, string(span.name)],
  ];
  if (references.length > 0)
    fields.push([
      6,
      list(
        THRIFT_STRUCT,
        references.map(({ type, traceId = span.traceId, spanId }) =>
          struct(
            [1, i32(type === 'child_of' ? 0 : 1)],
            [2, i64(traceId & mask64)],
            [3, i64(traceId >> 64n)],
            [4, i64(spanId)],
          ),
        ),
      ),
    ]);
  fields.push([7, i32(span.flags ?? 1)], [8, i64(span.start)], [9, i64(span.duration)], ...thriftTags(10, span.tags));
  if (logs.length > 0)
    fields.push([
      11,
      list(
        THRIFT_STRUCT,
        logs.map(({ time, fields }) => struct([1, i64(time)], ...thriftLog(fields))),
      ),
    ]);
  return struct(...fields);
}

function thriftTags(id: number, tags: JaegerTag[] = []): ThriftField[] {
  return tags.length === 0 ? [] : [[id, list(THRIFT_STRUCT, tags.map(thriftTag))]];
}

/** Unlike tags, the fields of a log must be there. */
function thriftLog(fields: JaegerTag[]): ThriftField[] {
  return [[2, list(THRIFT_STRUCT, fields.map(thriftTag))]];
}

function thriftTag([key, value]: JaegerTag): ThriftValue {
  const of = (type: number, id: number, made: ThriftValue): ThriftValue =>
    struct([1, string(key)], [2, i32(type)], [id, made]);
  switch (typeof value) {
    case 'string':
      return of(0, 3, string(value));
    case 'number':
      return of(1, 4, double(value));
    case 'boolean':
      return of(2, 5, bool(value));
    case 'bigint':
      return of(3, 6, i64(value));
    default:
      return of(4, 7, string(value));
  }
}

/** `PostSpansRequest`. */
export function protoRequest(process: JaegerProcess | undefined, spans: JaegerSpan[]): Uint8Array {
  const out = new ProtoWriter();
  const batch = out.begin(tagOf(1, WIRE_BYTES), 3);
  for (const span of spans) out.bytesField(tagOf(1, WIRE_BYTES), protoSpan(span));
  if (process !== undefined) protoProcess(out, 2, process);
  out.end(batch, 3);
  return out.finish();
}

/** `Span`. */
export function protoSpan(span: JaegerSpan): Uint8Array {
  const out = new ProtoWriter();
  out.bytesField(tagOf(1, WIRE_BYTES), id(span.traceId, 16));
  out.bytesField(tagOf(2, WIRE_BYTES), id(span.spanId, 8));
  out.stringField(tagOf(3, WIRE_BYTES), span.name);
  for (const { type, traceId = span.traceId, spanId } of span.references ?? []) {
    const reference = out.begin(tagOf(4, WIRE_BYTES));
    out.bytesField(tagOf(1, WIRE_BYTES), id(traceId, 16));
    out.bytesField(tagOf(2, WIRE_BYTES), id(spanId, 8));
    if (type === 'follows_from') out.varintField(tagOf(3, WIRE_VARINT), 1);
    out.end(reference);
  }
  out.varintField(tagOf(5, WIRE_VARINT), span.flags ?? 1);
  protoTime(out, 6, span.start);
  protoDuration(out, 7, span.duration);
  for (const tag of span.tags ?? []) protoTag(out, 8, tag);
  for (const { time, fields } of span.logs ?? []) {
    const log = out.begin(tagOf(9, WIRE_BYTES));
    protoTime(out, 1, time);
    for (const field of fields) protoTag(out, 2, field);
    out.end(log);
  }
  if (span.process !== undefined) protoProcess(out, 10, span.process);
  out.stringField(tagOf(11, WIRE_BYTES), 'p1');
  out.stringField(tagOf(12, WIRE_BYTES), 'a warning');
  return out.finish();
}

function protoProcess(out: ProtoWriter, field: number, process: JaegerProcess): void {
  const mark = out.begin(tagOf(field, WIRE_BYTES));
  out.stringField(tagOf(1, WIRE_BYTES), process.service);
  for (const tag of process.tags ?? []) protoTag(out, 2, tag);
  out.end(mark);
}

function protoTag(out: ProtoWriter, field: number, [key, value]: JaegerTag): void {
  const mark = out.begin(tagOf(field, WIRE_BYTES));
  out.stringField(tagOf(1, WIRE_BYTES), key);
  switch (typeof value) {
    case 'string':
      out.stringField(tagOf(3, WIRE_BYTES), value);
      break;
    case 'boolean':
      out.varintField(tagOf(2, WIRE_VARINT), 1);
      out.varintField(tagOf(4, WIRE_VARINT), value ? 1 : 0);
      break;
    case 'bigint':
      out.varintField(tagOf(2, WIRE_VARINT), 2);
      out.varint(tagOf(5, WIRE_VARINT));
      varint64(out, value);
      break;
    case 'number':
      out.varintField(tagOf(2, WIRE_VARINT), 3);
      out.varint(tagOf(6, WIRE_FIXED64));
      out.double(value);
      break;
    default:
      out.varintField(tagOf(2, WIRE_VARINT), 4);
      out.bytesField(tagOf(7, WIRE_BYTES), value);
  }
  out.end(mark);
}

/** A Duration, whose members have the same sign. */
function protoDuration(out: ProtoWriter, field: number, micros: bigint): void {
  protoSeconds(out, field, micros / 1_000_000n, micros % 1_000_000n);
}

/** A Timestamp, whose nanoseconds are never negative. */
function protoTime(out: ProtoWriter, field: number, micros: bigint): void {
  const rest = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  protoSeconds(out, field, (micros - rest) / 1_000_000n, rest);
}

function protoSeconds(out: ProtoWriter, field: number, seconds: bigint, micros: bigint): void {
  const mark = out.begin(tagOf(field, WIRE_BYTES));
  out.varint(tagOf(1, WIRE_VARINT));
  varint64(out, seconds);
  out.varint(tagOf(2, WIRE_VARINT));
  varint64(out, micros * 1000n);
  out.end(mark);
}

function varint64(out: ProtoWriter, value: bigint): void {
  const unsigned = BigInt.asUintN(64, value);
  out.varint64(Number(unsigned & 0xffffffffn), Number(unsigned >> 32n));
}

function id(value: bigint, bytes: number): Buffer {
  return Buffer.from(value.toString(16).padStart(bytes * 2, '0'), 'hex');
}
