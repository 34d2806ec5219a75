/**
 * OTLP for tests: plain objects to bytes and back, slow and obvious, unlike what it tests (opentelemetry-proto trace/v1,
 * common/v1, resource/v1). Ids are hex; whole numbers that may exceed 2^53 are bigint; doubles are their 64 bits.
 */

export type Value =
  | { type: 'string'; value: string }
  | { type: 'bool'; value: boolean }
  | { type: 'int'; value: bigint }
  | { type: 'double'; bits: bigint }
  | { type: 'array'; values: Value[] }
  | { type: 'kvlist'; values: Attribute[] }
  | { type: 'bytes'; hex: string }
  | { type: 'empty' };

export interface Attribute {
  key: string;
  value: Value;
}

export interface Event {
  time: bigint;
  name: string;
  attributes: Attribute[];
  dropped: number;
}

export interface Link {
  traceId: string;
  spanId: string;
  traceState: string;
  attributes: Attribute[];
  dropped: number;
  flags: number;
}

export interface Span {
  traceId: string;
  spanId: string;
  traceState: string;
  parentId: string;
  name: string;
  kind: number;
  start: bigint;
  end: bigint;
  attributes: Attribute[];
  droppedAttributes: number;
  events: Event[];
  droppedEvents: number;
  links: Link[];
  droppedLinks: number;
  statusMessage: string;
  status: number;
  flags: number;
}

export interface Resource {
  attributes: Attribute[];
  dropped: number;
}

export interface Scope {
  name: string;
  version: string;
  attributes: Attribute[];
  dropped: number;
}

export interface ScopeSpans {
  scope: Scope;
  schemaUrl: string;
  spans: Span[];
}

export interface ResourceSpans {
  resource: Resource;
  schemaUrl: string;
  scopes: ScopeSpans[];
}

/** An ExportTraceServiceRequest, and equally a TracesData. */
export type Request = ResourceSpans[];

/** How the fields of a message are written. Fields with the same number always stay in their order. */
export type FieldOrder = (fields: Field[]) => Field[];

export interface Field {
  number: number;
  bytes: Uint8Array;
}

/** As exporters write them. */
export const canonical: FieldOrder = (fields) => fields;

/** Interleaved by a seed, with fields that OTLP does not have in between. */
export function shuffled(seed: number): FieldOrder {
  const random = mulberry32(seed);
  return (fields) => {
    const noise = [varintField(900, 5n), stringField(901, 'unknown'), fixed32Field(902, 7), fixed64Field(903, 9n)];
    const all = random() < 0.3 ? [...fields, noise[Math.floor(random() * 4)]] : [...fields];
    const keyed = all.map((field) => ({ field, at: random() }));
    // The drawn places are given to equal numbers in their order.
    const numbers = new Map<number, number[]>();
    for (const { field, at } of keyed) numbers.set(field.number, [...(numbers.get(field.number) ?? []), at]);
    for (const places of numbers.values()) places.sort((a, b) => a - b);
    return all
      .map((field) => ({ field, at: numbers.get(field.number)!.shift()! }))
      .sort((a, b) => a.at - b.at)
      .map(({ field }) => field);
  };
}

export function encodeRequest(request: Request, order: FieldOrder = canonical): Uint8Array {
  const message = messagesIn(order);
  const attribute = (of: Attribute): Uint8Array => encodeAttribute(of, message);
  const attributes = (number: number, of: Attribute[]): Field[] =>
    of.map((each) => bytesField(number, attribute(each)));
  const event = (of: Event): Uint8Array =>
    message([
      fixed64Field(1, of.time),
      stringField(2, of.name),
      ...attributes(3, of.attributes),
      varintField(4, BigInt(of.dropped)),
    ]);
  const link = (of: Link): Uint8Array =>
    message([
      bytesField(1, Buffer.from(of.traceId, 'hex')),
      bytesField(2, Buffer.from(of.spanId, 'hex')),
      stringField(3, of.traceState),
      ...attributes(4, of.attributes),
      varintField(5, BigInt(of.dropped)),
      fixed32Field(6, of.flags),
    ]);
  const span = (of: Span): Uint8Array =>
    message([
      bytesField(1, Buffer.from(of.traceId, 'hex')),
      bytesField(2, Buffer.from(of.spanId, 'hex')),
      of.traceState === '' ? undefined : stringField(3, of.traceState),
      of.parentId === '' ? undefined : bytesField(4, Buffer.from(of.parentId, 'hex')),
      stringField(5, of.name),
      varintField(6, BigInt.asUintN(64, BigInt(of.kind))),
      fixed64Field(7, of.start),
      fixed64Field(8, of.end),
      ...attributes(9, of.attributes),
      varintField(10, BigInt(of.droppedAttributes)),
      ...of.events.map((each) => bytesField(11, event(each))),
      varintField(12, BigInt(of.droppedEvents)),
      ...of.links.map((each) => bytesField(13, link(each))),
      varintField(14, BigInt(of.droppedLinks)),
      bytesField(
        15,
        message([stringField(2, of.statusMessage), varintField(3, BigInt.asUintN(64, BigInt(of.status)))]),
      ),
      fixed32Field(16, of.flags),
    ]);
  const scope = (of: Scope): Uint8Array =>
    message([
      stringField(1, of.name),
      stringField(2, of.version),
      ...attributes(3, of.attributes),
      varintField(4, BigInt(of.dropped)),
    ]);
  const resource = (of: Resource): Uint8Array =>
    message([...attributes(1, of.attributes), varintField(2, BigInt(of.dropped))]);
  const scopeSpans = (of: ScopeSpans): Uint8Array =>
    message([
      bytesField(1, scope(of.scope)),
      ...of.spans.map((each) => bytesField(2, span(each))),
      stringField(3, of.schemaUrl),
    ]);
  const resourceSpans = (of: ResourceSpans): Uint8Array =>
    message([
      bytesField(1, resource(of.resource)),
      ...of.scopes.map((each) => bytesField(2, scopeSpans(each))),
      stringField(3, of.schemaUrl),
    ]);
  return message(request.map((each) => bytesField(1, resourceSpans(each))));
}

type EncodeMessage = (fields: (Field | undefined)[]) => Uint8Array;

function messagesIn(order: FieldOrder): EncodeMessage {
  return (fields) => Buffer.concat(order(fields.filter((field) => field !== undefined)).map((field) => field.bytes));
}

/** An AnyValue is one member; what else it may hold is another test's subject. */
export function encodeValue(of: Value, message = messagesIn(canonical)): Uint8Array {
  switch (of.type) {
    case 'string':
      return stringField(1, of.value).bytes;
    case 'bool':
      return varintField(2, of.value ? 1n : 0n).bytes;
    case 'int':
      return varintField(3, BigInt.asUintN(64, of.value)).bytes;
    case 'double':
      return fixed64Field(4, of.bits).bytes;
    case 'array':
      return bytesField(5, message(of.values.map((each) => bytesField(1, encodeValue(each, message))))).bytes;
    case 'kvlist':
      return bytesField(6, message(of.values.map((each) => bytesField(1, encodeAttribute(each, message))))).bytes;
    case 'bytes':
      return bytesField(7, Buffer.from(of.hex, 'hex')).bytes;
    case 'empty':
      return Buffer.alloc(0);
  }
}

function encodeAttribute(of: Attribute, message: EncodeMessage): Uint8Array {
  return message([stringField(1, of.key), bytesField(2, encodeValue(of.value, message))]);
}

/** The other way round; unknown fields are skipped, and of a field that may stand once the last one counts. */
export function decodeRequest(bytes: Uint8Array): Request {
  return readFields(bytes)
    .filter((field) => field.number === 1)
    .map((field) => decodeResourceSpans(field.content));
}

export function decodeValue(bytes: Uint8Array): Value {
  let value: Value = { type: 'empty' };
  for (const { number, integer, content } of readFields(bytes)) {
    if (number === 1) value = { type: 'string', value: text(content) };
    else if (number === 2) value = { type: 'bool', value: integer !== 0n };
    else if (number === 3) value = { type: 'int', value: BigInt.asIntN(64, integer) };
    else if (number === 4) value = { type: 'double', bits: integer };
    else if (number === 5)
      value = {
        type: 'array',
        values: readFields(content)
          .filter(isFirst)
          .map((each) => decodeValue(each.content)),
      };
    else if (number === 6)
      value = {
        type: 'kvlist',
        values: readFields(content)
          .filter(isFirst)
          .map((each) => decodeAttribute(each.content)),
      };
    else if (number === 7) value = { type: 'bytes', hex: hex(content) };
  }
  return value;
}

function decodeResourceSpans(bytes: Uint8Array): ResourceSpans {
  const of: ResourceSpans = { resource: { attributes: [], dropped: 0 }, schemaUrl: '', scopes: [] };
  for (const { number, content } of readFields(bytes)) {
    if (number === 1) {
      for (const field of readFields(content)) {
        if (field.number === 1) of.resource.attributes.push(decodeAttribute(field.content));
        else if (field.number === 2) of.resource.dropped = Number(field.integer);
      }
    } else if (number === 2) of.scopes.push(decodeScopeSpans(content));
    else if (number === 3) of.schemaUrl = text(content);
  }
  return of;
}

function decodeScopeSpans(bytes: Uint8Array): ScopeSpans {
  const of: ScopeSpans = { scope: { name: '', version: '', attributes: [], dropped: 0 }, schemaUrl: '', spans: [] };
  for (const { number, content } of readFields(bytes)) {
    if (number === 1) {
      for (const field of readFields(content)) {
        if (field.number === 1) of.scope.name = text(field.content);
        else if (field.number === 2) of.scope.version = text(field.content);
        else if (field.number === 3) of.scope.attributes.push(decodeAttribute(field.content));
        else if (field.number === 4) of.scope.dropped = Number(field.integer);
      }
    } else if (number === 2) of.spans.push(decodeSpan(content));
    else if (number === 3) of.schemaUrl = text(content);
  }
  return of;
}

function decodeSpan(bytes: Uint8Array): Span {
  const of = emptySpan();
  for (const { number, integer, content } of readFields(bytes)) {
    if (number === 1) of.traceId = hex(content);
    else if (number === 2) of.spanId = hex(content);
    else if (number === 3) of.traceState = text(content);
    else if (number === 4) of.parentId = hex(content);
    else if (number === 5) of.name = text(content);
    else if (number === 6) of.kind = int32(integer);
    else if (number === 7) of.start = integer;
    else if (number === 8) of.end = integer;
    else if (number === 9) of.attributes.push(decodeAttribute(content));
    else if (number === 10) of.droppedAttributes = Number(integer);
    else if (number === 11) of.events.push(decodeEvent(content));
    else if (number === 12) of.droppedEvents = Number(integer);
    else if (number === 13) of.links.push(decodeLink(content));
    else if (number === 14) of.droppedLinks = Number(integer);
    else if (number === 15) {
      for (const field of readFields(content)) {
        if (field.number === 2) of.statusMessage = text(field.content);
        else if (field.number === 3) of.status = int32(field.integer);
      }
    } else if (number === 16) of.flags = Number(integer);
  }
  return of;
}

export function emptySpan(): Span {
  return {
    traceId: '',
    spanId: '',
    traceState: '',
    parentId: '',
    name: '',
    kind: 0,
    start: 0n,
    end: 0n,
    attributes: [],
    droppedAttributes: 0,
    events: [],
    droppedEvents: 0,
    links: [],
    droppedLinks: 0,
    statusMessage: '',
    status: 0,
    flags: 0,
  };
}

/** A request of one resource and scope. */
export function requestOf(...spans: (Partial<Span> & { traceId: string; spanId: string })[]): Request {
  return [
    {
      resource: { attributes: [{ key: 'service.name', value: { type: 'string', value: 'test' } }], dropped: 0 },
      schemaUrl: '',
      scopes: [
        {
          scope: { name: 'tests', version: '', attributes: [], dropped: 0 },
          schemaUrl: '',
          spans: spans.map((span) => ({ ...emptySpan(), ...span })),
        },
      ],
    },
  ];
}

function decodeEvent(bytes: Uint8Array): Event {
  const of: Event = { time: 0n, name: '', attributes: [], dropped: 0 };
  for (const { number, integer, content } of readFields(bytes)) {
    if (number === 1) of.time = integer;
    else if (number === 2) of.name = text(content);
    else if (number === 3) of.attributes.push(decodeAttribute(content));
    else if (number === 4) of.dropped = Number(integer);
  }
  return of;
}

function decodeLink(bytes: Uint8Array): Link {
  const of: Link = { traceId: '', spanId: '', traceState: '', attributes: [], dropped: 0, flags: 0 };
  for (const { number, integer, content } of readFields(bytes)) {
    if (number === 1) of.traceId = hex(content);
    else if (number === 2) of.spanId = hex(content);
    else if (number === 3) of.traceState = text(content);
    else if (number === 4) of.attributes.push(decodeAttribute(content));
    else if (number === 5) of.dropped = Number(integer);
    else if (number === 6) of.flags = Number(integer);
  }
  return of;
}

function decodeAttribute(bytes: Uint8Array): Attribute {
  const of: Attribute = { key: '', value: { type: 'empty' } };
  for (const { number, content } of readFields(bytes)) {
    if (number === 1) of.key = text(content);
    else if (number === 2) of.value = decodeValue(content);
  }
  return of;
}

interface ReadField {
  number: number;
  /** Of a varint or fixed field. */
  integer: bigint;
  /** Of a length-delimited field. */
  content: Uint8Array;
}

export function readFields(bytes: Uint8Array): ReadField[] {
  const fields: ReadField[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new Error(`a varint ends at byte ${at}`);
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field: ReadField = { number: tag >>> 3, integer: 0n, content: bytes.subarray(0, 0) };
    if ((tag & 7) === 0) field.integer = varint();
    else if ((tag & 7) === 1) {
      field.integer = view.getBigUint64(at, true);
      at += 8;
    } else if ((tag & 7) === 5) {
      field.integer = BigInt(view.getUint32(at, true));
      at += 4;
    } else if ((tag & 7) === 2) {
      const length = Number(varint());
      if (at + length > bytes.length) throw new Error(`field ${field.number} overruns its message`);
      field.content = bytes.subarray(at, at + length);
      at += length;
    } else throw new Error(`wire type ${tag & 7} at byte ${at}`);
    fields.push(field);
  }
  return fields;
}

function isFirst(field: ReadField): boolean {
  return field.number === 1;
}

export function varintField(number: number, value: bigint): Field {
  return { number, bytes: Buffer.concat([varintBytes(BigInt(number * 8)), varintBytes(value)]) };
}

export function fixed64Field(number: number, value: bigint): Field {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return { number, bytes: Buffer.concat([varintBytes(BigInt(number * 8 + 1)), bytes]) };
}

export function fixed32Field(number: number, value: number): Field {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return { number, bytes: Buffer.concat([varintBytes(BigInt(number * 8 + 5)), bytes]) };
}

export function bytesField(number: number, content: Uint8Array): Field {
  return {
    number,
    bytes: Buffer.concat([varintBytes(BigInt(number * 8 + 2)), varintBytes(BigInt(content.length)), content]),
  };
}

export function stringField(number: number, value: string): Field {
  return bytesField(number, Buffer.from(value));
}

function varintBytes(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function int32(integer: bigint): number {
  return Number(BigInt.asIntN(32, integer));
}

/** A small seeded generator of numbers in [0, 1). */
export function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
