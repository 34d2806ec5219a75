/** A trace's OTLP bytes as a list of spans, for showing one trace at a time: here an object a span is affordable. */
import { type Attribute, attributesOf, bytesField, stringField } from '../block/any-value.ts';
import { ProtoReader, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';

export interface TraceSpan {
  /** 16 hex digits; the parent's is empty for a root. */
  id: string;
  parentId: string;
  name: string;
  service: string;
  /** OTLP's numbers. */
  kind: number;
  status: number;
  statusMessage: string;
  /** Nanoseconds from the start of the trace. */
  startNs: number;
  endNs: number;
  /** Of each event: its name and the message, where it is an exception. */
  exceptions: string[];
  /** The Span, Resource and InstrumentationScope messages, for whoever wants everything. */
  bytes: Uint8Array;
  resource: Uint8Array;
  scope: Uint8Array;
}

export interface Trace {
  /** 32 hex digits. */
  id: string;
  startUnixNano: bigint;
  /** From the first start to the last end. */
  durationNs: number;
  /** By start. */
  spans: TraceSpan[];
}

/** The spans of a `TracesData` message. Throws VivaceError 'undecodable'. */
export function readTrace(traces: Uint8Array): Trace {
  const found: Found[] = [];
  let traceId = '';
  eachMessage(traces, 1, (resourceSpans) => {
    const resource = bytesField(resourceSpans, 1);
    const service = serviceOf(attributesOf(resource, 1));
    eachMessage(resourceSpans, 2, (scopeSpans) => {
      const scope = bytesField(scopeSpans, 1);
      eachMessage(scopeSpans, 2, (bytes) => {
        const span = readSpan(bytes);
        traceId ||= span.traceId;
        found.push({ ...span, service, resource, scope });
      });
    });
  });
  let start = found.length === 0 ? 0n : found[0].start;
  let end = 0n;
  for (const span of found) {
    if (span.start < start) start = span.start;
    if (span.end > end) end = span.end;
  }
  const spans = found.map(({ traceId: _, start: from, end: to, ...span }) => ({
    ...span,
    startNs: Number(from - start),
    // A clock that was set back while the span ran.
    endNs: Math.max(Number(from - start), Number(to - start)),
  }));
  spans.sort((a, b) => a.startNs - b.startNs || b.endNs - a.endNs || (a.id < b.id ? -1 : 1));
  return { id: traceId, startUnixNano: start, durationNs: Number(end > start ? end - start : 0n), spans };
}

type Found = Omit<TraceSpan, 'startNs' | 'endNs'> & { traceId: string; start: bigint; end: bigint };

function eachMessage(bytes: Uint8Array, field: number, each: (message: Uint8Array) => void): void {
  const reader = new ProtoReader(bytes);
  const wanted = tagOf(field, WIRE_BYTES);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag())
    if (tag === wanted) each(reader.bytesValue());
    else reader.skip(tag);
}

function readSpan(bytes: Uint8Array): Omit<Found, 'service' | 'resource' | 'scope'> {
  const span = {
    traceId: '',
    id: '',
    parentId: '',
    name: '',
    kind: 0,
    status: 0,
    statusMessage: '',
    start: 0n,
    end: 0n,
    exceptions: [] as string[],
    bytes,
  };
  const reader = new ProtoReader(bytes);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag())
    switch (tag) {
      case tagOf(1, WIRE_BYTES):
        span.traceId = hex(reader.bytesValue());
        break;
      case tagOf(2, WIRE_BYTES):
        span.id = hex(reader.bytesValue());
        break;
      case tagOf(4, WIRE_BYTES): {
        const id = hex(reader.bytesValue());
        span.parentId = /^0*$/.test(id) ? '' : id;
        break;
      }
      case tagOf(5, WIRE_BYTES):
        span.name = reader.stringValue();
        break;
      case tagOf(6, WIRE_VARINT):
        span.kind = reader.varint();
        break;
      case tagOf(7, WIRE_FIXED64):
        span.start = fixed64(reader, tag);
        break;
      case tagOf(8, WIRE_FIXED64):
        span.end = fixed64(reader, tag);
        break;
      case tagOf(11, WIRE_BYTES): {
        const event = reader.bytesValue();
        if (stringField(event, 2) === 'exception') span.exceptions.push(exceptionText(attributesOf(event, 3)));
        break;
      }
      case tagOf(15, WIRE_BYTES): {
        const status = new ProtoReader(reader.bytesValue());
        for (let inner = status.tag(); inner !== 0; inner = status.tag())
          if (inner === tagOf(2, WIRE_BYTES)) span.statusMessage = status.stringValue();
          else if (inner === tagOf(3, WIRE_VARINT)) span.status = status.varint();
          else status.skip(inner);
        break;
      }
      default:
        reader.skip(tag);
    }
  return span;
}

function fixed64(reader: ProtoReader, tag: number): bigint {
  const at = reader.pos;
  reader.skip(tag);
  return new DataView(reader.bytes.buffer, reader.bytes.byteOffset + at, 8).getBigUint64(0, true);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function serviceOf(attributes: Attribute[]): string {
  const found = attributes.find(({ key }) => key === 'service.name')?.value;
  return found?.type === 'string' && found.value !== '' ? found.value : '(no service)';
}

function exceptionText(attributes: Attribute[]): string {
  const text = (key: string): string => {
    const value = attributes.find((each) => each.key === key)?.value;
    return value?.type === 'string' ? value.value : '';
  };
  return [text('exception.type'), text('exception.message')].filter((part) => part !== '').join(': ') || 'exception';
}
