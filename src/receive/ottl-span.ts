/**
 * What paths of OTTL mean in a span, or in one of its events. Messages are taken apart into values by field number when a
 * condition asks first; conditions that ask for nothing but a name cost no attributes.
 * Source: …/pkg/ottl/contexts/ottlspan/README.md, …/ottlspanevent/README.md of the OpenTelemetry Collector
 */
import { ProtoReader } from '../wire/protobuf.ts';
import type { Getter, PathOf } from './ottl.ts';
import type { Value } from './ottl-value.ts';

/** What a condition is asked about; `event` only where conditions are about events. */
export interface SpanContext {
  resource: Message;
  resourceSchemaUrl: string;
  scope: Message;
  span: Message;
  event?: Message;
}

/** Field numbers, each with how it is read. */
type Schema = Readonly<Record<string, [field: number, read: (message: Message, field: number) => Value]>>;

const RESOURCE: Schema = { attributes: [1, attributes], dropped_attributes_count: [2, int] };
const SCOPE: Schema = {
  ...{ name: [1, text], version: [2, text], attributes: [3, attributes], dropped_attributes_count: [4, int] },
};
const SPAN: Schema = {
  ...{ trace_id: [1, bytes], span_id: [2, bytes], trace_state: [3, text], parent_span_id: [4, bytes] },
  ...{ 'trace_id.string': [1, hex], 'span_id.string': [2, hex], 'parent_span_id.string': [4, hex] },
  ...{ name: [5, text], kind: [6, int], 'kind.string': [6, kindName], 'kind.deprecated_string': [6, kindLongName] },
  ...{ start_time_unix_nano: [7, int], end_time_unix_nano: [8, int], attributes: [9, attributes] },
  ...{ dropped_attributes_count: [10, int], dropped_events_count: [12, int], dropped_links_count: [14, int] },
  ...{ 'status.message': [15, statusMessage], 'status.code': [15, statusCode], flags: [16, int] },
};
const EVENT: Schema = {
  ...{ time_unix_nano: [1, int], name: [2, text], attributes: [3, attributes], dropped_attributes_count: [4, int] },
};

/** Paths of conditions about spans: `name` and `span.name` alike. */
export const spanPath: PathOf<SpanContext> = ([first, ...rest]) =>
  first === 'span' ? spanGetter(rest) : (common(first, rest) ?? spanGetter([first, ...rest]));

/** Paths of conditions about events; `span.name` is the span's. */
export const eventPath: PathOf<SpanContext> = ([first, ...rest]) => {
  if (first === 'span') return spanGetter(rest);
  if (first === 'spanevent') return eventGetter(rest);
  return common(first, rest) ?? eventGetter([first, ...rest]);
};

function spanGetter(names: readonly string[]): Getter<SpanContext> | undefined {
  return getter(SPAN, names, ({ span }) => span);
}

function eventGetter(names: readonly string[]): Getter<SpanContext> | undefined {
  return getter(EVENT, names, ({ event, span }) => event ?? span);
}

function common(first: string, rest: readonly string[]): Getter<SpanContext> | undefined {
  if (first === 'resource')
    return rest.join('.') === 'schema_url'
      ? ({ resourceSchemaUrl }) => resourceSchemaUrl
      : getter(RESOURCE, rest, ({ resource }) => resource);
  if (first === 'scope' || first === 'instrumentation_scope') return getter(SCOPE, rest, ({ scope }) => scope);
  return undefined;
}

function getter(
  schema: Schema,
  names: readonly string[],
  of: (context: SpanContext) => Message,
): Getter<SpanContext> | undefined {
  const path = names.join('.');
  if (!Object.hasOwn(schema, path)) return undefined;
  const [field, read] = schema[path];
  return (context) => read(of(context), field);
}

/** A message whose fields are found when they are asked for first. */
export class Message {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  #attributes: ReadonlyMap<string, Value> | undefined;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  attributes(field: number): ReadonlyMap<string, Value> {
    this.#attributes ??= attributesOf(this, field);
    return this.#attributes;
  }
}

/** Calls `visit` with the reader before each value of a field. */
function each({ bytes, start, end }: Message, field: number, visit: (reader: ProtoReader, tag: number) => void): void {
  const reader = new ProtoReader(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const { pos } = reader;
    if (tag >>> 3 === field) visit(reader, tag);
    reader.pos = pos;
    reader.skip(tag);
  }
}

function attributes(message: Message, field: number): Value {
  return message.attributes(field);
}

function attributesOf(message: Message, field: number): ReadonlyMap<string, Value> {
  const found = new Map<string, Value>();
  each(message, field, (reader) => keyValue(reader, found));
  return found;
}

function int(message: Message, field: number): Value {
  let value = 0n;
  each(message, field, (reader, tag) => {
    value = number(reader, tag);
  });
  return value;
}

function number(reader: ProtoReader, tag: number): bigint {
  const wire = tag & 7;
  if (wire === 1) reader.fixed64();
  else if (wire === 0) reader.varint64();
  else if (wire === 5) {
    const { bytes, pos } = reader;
    return BigInt((bytes[pos] | (bytes[pos + 1] << 8) | (bytes[pos + 2] << 16) | (bytes[pos + 3] << 24)) >>> 0);
  } else return 0n;
  return BigInt.asIntN(64, (BigInt(reader.high) << 32n) | BigInt(reader.low));
}

function text(message: Message, field: number): Value {
  let value = '';
  each(message, field, (reader) => {
    value = reader.stringValue();
  });
  return value;
}

function bytes(message: Message, field: number): Value {
  let value = new Uint8Array(0);
  each(message, field, (reader) => {
    value = new Uint8Array(reader.bytesValue());
  });
  return value;
}

function hex(message: Message, field: number): Value {
  return Buffer.from(bytes(message, field) as Uint8Array).toString('hex');
}

const KINDS = ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'];

function kindName(message: Message, field: number): Value {
  return KINDS[Number(int(message, field))] ?? '';
}

function kindLongName(message: Message, field: number): Value {
  return `SPAN_KIND_${String(kindName(message, field)).toUpperCase()}`;
}

function statusMessage(message: Message, field: number): Value {
  return inside(message, field, (status) => text(status, 2)) ?? '';
}

function statusCode(message: Message, field: number): Value {
  return inside(message, field, (status) => int(status, 3)) ?? 0n;
}

function inside(message: Message, field: number, read: (inner: Message) => Value): Value {
  let value: Value;
  each(message, field, (reader) => {
    const end = reader.lengthEnd();
    value = read(new Message(reader.bytes, reader.pos, end));
  });
  return value;
}

function keyValue(reader: ProtoReader, into: Map<string, Value>): void {
  const pair = new Message(reader.bytes, ...range(reader));
  const key = text(pair, 1) as string;
  let value: Value;
  each(pair, 2, (inner) => {
    value = anyValue(inner);
  });
  // The first of equal keys counts, as in a Collector.
  if (!into.has(key)) into.set(key, value);
}

function range(reader: ProtoReader): [start: number, end: number] {
  const end = reader.lengthEnd();
  return [reader.pos, end];
}

function anyValue(reader: ProtoReader): Value {
  const inner = new ProtoReader(reader.bytes, ...range(reader));
  let value: Value;
  for (let tag = inner.tag(); tag !== 0; tag = inner.tag()) {
    const { pos } = inner;
    value = memberValue(inner, tag);
    inner.pos = pos;
    inner.skip(tag);
  }
  return value;
}

function memberValue(reader: ProtoReader, tag: number): Value {
  switch (tag) {
    case 0x0a:
      return reader.stringValue();
    case 0x10:
      return reader.varint() !== 0;
    case 0x18:
      return number(reader, tag);
    case 0x21: {
      const view = new DataView(reader.bytes.buffer, reader.bytes.byteOffset);
      return view.getFloat64(reader.pos, true);
    }
    case 0x2a: {
      const values: Value[] = [];
      each(new Message(reader.bytes, ...range(reader)), 1, (inner) => values.push(anyValue(inner)));
      return values;
    }
    case 0x32: {
      const map = new Map<string, Value>();
      each(new Message(reader.bytes, ...range(reader)), 1, (inner) => keyValue(inner, map));
      return map;
    }
    case 0x3a:
      return new Uint8Array(reader.bytesValue());
    default:
      return undefined;
  }
}
