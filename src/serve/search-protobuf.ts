/** `SearchAnswer` as `tempopb.SearchResponse` (numbers: api.md §12.3). Zeros and empty texts are left out. */
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import type {
  AttributeValue,
  ResultAttribute,
  SearchAnswer,
  SearchMetrics,
  SpanSetResult,
  TraceResult,
} from './queries.ts';
import { ROOT_UNKNOWN, shownTraceId, STOP_EVERY } from './search-json.ts';

/** Trace ids lose their leading zeros unless `leftPadTraceIds`. */
export function searchProtobuf(answer: SearchAnswer, leftPadTraceIds: boolean, stop = () => {}): Uint8Array {
  const out = new ProtoWriter(1024);
  answer.traces.forEach((trace, i) => {
    if (i % STOP_EVERY === 0) stop();
    nested(out, 1, () => writeTrace(out, trace, leftPadTraceIds));
  });
  nested(out, 2, () => writeSearchMetrics(out, answer.metrics));
  return out.finish();
}

/** One trace as a field of the message. */
export function traceField(trace: TraceResult, leftPadTraceIds: boolean): Uint8Array {
  return fieldOf(1, (out) => writeTrace(out, trace, leftPadTraceIds));
}

/** `metrics` as a field of the message. */
export function searchMetricsField(metrics: SearchMetrics): Uint8Array {
  return fieldOf(2, (out) => writeSearchMetrics(out, metrics));
}

/** A message field alone. */
export function fieldOf(field: number, content: (out: ProtoWriter) => void): Uint8Array {
  const out = new ProtoWriter(256);
  nested(out, field, () => content(out));
  return out.finish();
}

export function writeSearchMetrics(out: ProtoWriter, metrics: SearchMetrics): void {
  integer(out, 1, metrics.inspectedTraces);
  integer(out, 2, metrics.inspectedBytes);
  integer(out, 3, metrics.totalBlocks);
  integer(out, 4, metrics.completedJobs);
  integer(out, 5, metrics.totalJobs);
  integer(out, 6, metrics.totalBlockBytes);
  integer(out, 7, metrics.inspectedSpans);
}

/** A message field, also when its content is empty. */
export function nested(out: ProtoWriter, field: number, content: () => void): void {
  const mark = out.begin(tagOf(field, WIRE_BYTES));
  content();
  out.end(mark);
}

/** A text field, left out when empty. */
export function text(out: ProtoWriter, field: number, value: string | undefined): void {
  if (value) out.stringField(tagOf(field, WIRE_BYTES), value);
}

/** A varint field, left out when zero. Negative ones take ten bytes, as int64 does. */
export function integer(out: ProtoWriter, field: number, value: number | bigint | undefined): void {
  if (!value) return;
  out.varint(tagOf(field, WIRE_VARINT));
  writeInt64(out, value);
}

function writeInt64(out: ProtoWriter, value: number | bigint): void {
  if (typeof value === 'number') out.varint(value);
  else out.varint64(Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
}

function writeTrace(out: ProtoWriter, trace: TraceResult, leftPadTraceIds: boolean): void {
  text(out, 1, shownTraceId(trace.traceId, leftPadTraceIds));
  text(out, 2, trace.rootServiceName ?? ROOT_UNKNOWN);
  text(out, 3, trace.rootTraceName);
  integer(out, 4, trace.startUnixNano);
  integer(out, 5, Math.max(0, Math.trunc(trace.durationMs)));
  const sets = trace.spanSets ?? [];
  // Older clients read the first set under its former number.
  if (sets.length > 0) nested(out, 6, () => writeSpanSet(out, sets[0]));
  for (const set of sets) nested(out, 7, () => writeSpanSet(out, set));
  trace.serviceStats?.forEach((stats, service) => {
    nested(out, 8, () => {
      text(out, 1, service);
      nested(out, 2, () => {
        integer(out, 1, stats.spanCount);
        integer(out, 2, stats.errorCount);
      });
    });
  });
}

function writeSpanSet(out: ProtoWriter, set: SpanSetResult): void {
  for (const span of set.spans) {
    nested(out, 1, () => {
      text(out, 1, span.spanId);
      text(out, 2, span.name);
      integer(out, 3, span.startUnixNano);
      integer(out, 4, span.durationNs);
      writeAttributes(out, 5, span.attributes);
    });
  }
  integer(out, 2, set.matched);
  writeAttributes(out, 3, set.attributes ?? []);
}

export function writeAttributes(out: ProtoWriter, field: number, attributes: ResultAttribute[]): void {
  for (const { key, value } of attributes) {
    nested(out, field, () => {
      text(out, 1, key);
      nested(out, 2, () => writeValue(out, value));
    });
  }
}

/** An OTLP AnyValue: one of its fields is always there, also when it holds zero. */
function writeValue(out: ProtoWriter, value: AttributeValue): void {
  switch (value.type) {
    case 'string':
      out.stringField(tagOf(1, WIRE_BYTES), value.value);
      return;
    case 'bool':
      out.varintField(tagOf(2, WIRE_VARINT), value.value ? 1 : 0);
      return;
    case 'int':
      out.varint(tagOf(3, WIRE_VARINT));
      writeInt64(out, value.value);
      return;
    case 'double':
      out.varint(tagOf(4, WIRE_FIXED64));
      out.double(value.value);
      return;
    case 'array':
      nested(out, 5, () => {
        for (const element of value.values) nested(out, 1, () => writeValue(out, element));
      });
  }
}
