/**
 * A trace for language models (`application/vnd.grafana.llm`, api.md §1.7): ids in hex, attributes as plain objects,
 * what is empty left out. Asked for one trace at a time, so this decodes to objects.
 */
import { ProtoReader } from '../wire/protobuf.ts';
import type { TraceAnswer } from './queries.ts';

type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };
type Attributes = { [key: string]: Plain };

interface Service {
  serviceName: string;
  resource: Attributes | undefined;
  scopes: Scope[];
}

interface Scope {
  name: string;
  version: string | undefined;
  spans: Span[];
}

interface Span {
  spanId: string;
  name: string;
  parentSpanId?: string;
  kind: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  durationMs: number;
  attributes?: Attributes;
  events?: Event[];
  links?: Link[];
  status: { code: string; message: string };
}

interface Event {
  name: string;
  timeUnixNano: string;
  attributes?: Attributes;
}

interface Link {
  traceId: string;
  spanId: string;
  attributes?: Attributes;
}

/** JSON text. Throws `undecodable` when the trace is no protobuf. */
export function simplifiedTrace({ trace, inspectedBytes, partial }: TraceAnswer): string {
  const walk: Walk = { traceId: '' };
  const services: Service[] = [];
  eachField(new ProtoReader(trace), (number, reader) => {
    if (number === 1) services.push(service(reader.bytesValue(), walk));
  });
  return JSON.stringify({
    trace: { traceId: walk.traceId, services },
    metrics: { inspectedBytes },
    ...(partial !== undefined && { status: 'PARTIAL', message: partial }),
  });
}

interface Walk {
  /** Of the first span. */
  traceId: string;
}

/** Calls `take` for every field; what it does not read is skipped. */
function eachField(reader: ProtoReader, take: (number: number, reader: ProtoReader) => void): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const before = reader.pos;
    take(tag >>> 3, reader);
    if (reader.pos === before) reader.skip(tag);
  }
}

function service(bytes: Uint8Array, walk: Walk): Service {
  const scopes: Scope[] = [];
  let resource: Attributes = {};
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 1) resource = attributesIn(reader.bytesValue(), 1);
    else if (number === 2) scopes.push(scope(reader.bytesValue(), walk));
  });
  const { 'service.name': name, ...others } = resource;
  return { serviceName: typeof name === 'string' ? name : String(name ?? ''), resource: unlessEmpty(others), scopes };
}

function scope(bytes: Uint8Array, walk: Walk): Scope {
  const made: Scope = { name: '', version: undefined, spans: [] };
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 2) made.spans.push(span(reader.bytesValue(), walk));
    else if (number === 1) {
      eachField(new ProtoReader(reader.bytesValue()), (inner, scopeReader) => {
        if (inner === 1) made.name = scopeReader.stringValue();
        else if (inner === 2) made.version = scopeReader.stringValue() || undefined;
      });
    }
  });
  return made;
}

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const CODES = ['UNSET', 'OK', 'ERROR'];

function span(bytes: Uint8Array, walk: Walk): Span {
  let start = 0n;
  let end = 0n;
  const events: Event[] = [];
  const links: Link[] = [];
  const made: Span = {
    spanId: '',
    name: '',
    kind: 'SPAN_KIND_UNSPECIFIED',
    startTimeUnixNano: '0',
    endTimeUnixNano: '0',
    durationMs: 0,
    status: { code: 'STATUS_CODE_UNSET', message: '' },
  };
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 1) walk.traceId ||= hex(reader.bytesValue());
    else if (number === 2) made.spanId = hex(reader.bytesValue());
    else if (number === 4) made.parentSpanId = hex(reader.bytesValue()) || undefined;
    else if (number === 5) made.name = reader.stringValue();
    else if (number === 6) made.kind = named('SPAN_KIND_', KINDS, reader.varint());
    else if (number === 7) start = fixed64(reader);
    else if (number === 8) end = fixed64(reader);
    else if (number === 11) events.push(event(reader.bytesValue()));
    else if (number === 13) links.push(link(reader.bytesValue()));
    else if (number === 15) made.status = status(reader.bytesValue());
  });
  made.startTimeUnixNano = String(start);
  made.endTimeUnixNano = String(end);
  made.durationMs = end > start ? Number((end - start) / 1_000_000n) : 0;
  made.attributes = unlessEmpty(attributesIn(bytes, 9));
  if (events.length > 0) made.events = events;
  if (links.length > 0) made.links = links;
  return made;
}

function status(bytes: Uint8Array): Span['status'] {
  const made = { code: 'STATUS_CODE_UNSET', message: '' };
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 2) made.message = reader.stringValue();
    else if (number === 3) made.code = named('STATUS_CODE_', CODES, reader.varint());
  });
  return made;
}

function event(bytes: Uint8Array): Event {
  const made: Event = { name: '', timeUnixNano: '0', attributes: unlessEmpty(attributesIn(bytes, 3)) };
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 1) made.timeUnixNano = String(fixed64(reader));
    else if (number === 2) made.name = reader.stringValue();
  });
  return made;
}

function link(bytes: Uint8Array): Link {
  const made: Link = { traceId: '', spanId: '', attributes: unlessEmpty(attributesIn(bytes, 4)) };
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 1) made.traceId = hex(reader.bytesValue());
    else if (number === 2) made.spanId = hex(reader.bytesValue());
  });
  return made;
}

/** The KeyValues that a message holds in field `wanted`; of equal keys the last. */
function attributesIn(bytes: Uint8Array, wanted: number, depth = 0): Attributes {
  // Without a prototype, so that a key like __proto__ is one as any other.
  const attributes: Attributes = Object.create(null);
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number !== wanted) return;
    let key = '';
    let value: Plain = null;
    eachField(new ProtoReader(reader.bytesValue()), (inner, pair) => {
      if (inner === 1) key = pair.stringValue();
      else if (inner === 2) value = plainValue(pair.bytesValue(), depth);
    });
    attributes[key] = value;
  });
  return attributes;
}

/** Deeper values of hostile spans are named, not followed. */
const NESTED_MAX = 500;

function plainValue(bytes: Uint8Array, depth: number): Plain {
  if (depth > NESTED_MAX) return '(not shown: nested too deep)';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let value: Plain = null;
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 1) value = reader.stringValue();
    else if (number === 2) value = reader.varint() !== 0;
    else if (number === 3) value = int64(reader);
    else if (number === 4) value = double(view, reader);
    else if (number === 5) value = list(reader.bytesValue(), depth + 1);
    else if (number === 6) value = attributesIn(reader.bytesValue(), 1, depth + 1);
    else if (number === 7) value = hex(reader.bytesValue());
  });
  return value;
}

function list(bytes: Uint8Array, depth: number): Plain[] {
  const values: Plain[] = [];
  eachField(new ProtoReader(bytes), (number, reader) => {
    if (number === 1) values.push(plainValue(reader.bytesValue(), depth));
  });
  return values;
}

/** A number where it is exact, text beyond. */
function int64(reader: ProtoReader): Plain {
  reader.varint64();
  const signed = (BigInt(reader.high | 0) << 32n) | BigInt(reader.low);
  return Number.isSafeInteger(Number(signed)) ? Number(signed) : String(signed);
}

function double(view: DataView, reader: ProtoReader): Plain {
  if (reader.pos + 8 > view.byteLength) return null;
  const value = view.getFloat64(reader.pos, true);
  reader.pos += 8;
  return Number.isFinite(value) ? value : String(value);
}

function fixed64(reader: ProtoReader): bigint {
  if (reader.pos + 8 > reader.end) return 0n;
  const value = Buffer.from(reader.bytes.buffer, reader.bytes.byteOffset + reader.pos, 8).readBigUInt64LE();
  reader.pos += 8;
  return value;
}

function named(prefix: string, names: string[], number: number): string {
  return prefix + (names[number] ?? number);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

function unlessEmpty(attributes: Attributes): Attributes | undefined {
  for (const _ in attributes) return attributes;
  return undefined;
}
