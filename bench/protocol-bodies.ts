/**
 * The workload of `load.mjs` in every protocol: a batch of traces is one body, or, where a request has one sender, one for
 * each sender; the traces are whole in every protocol. Bodies are made once; `freshen` gives the traces of a batch new ids,
 * which have the same length in every encoding.
 */
import { decodeRequest, encodeRequest, type Request, type Span, type Value } from '../src/cut/otlp.fixture.ts';
import { type JaegerTag, protoRequest, thriftBatch } from '../src/receive/jaeger.fixture.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../src/wire/protobuf.ts';
import { struct, thriftBytes, thriftMessage } from '../src/wire/thrift.fixture.ts';
import { makeBatches, rng } from './workload.mjs';

export interface Body {
  bytes: Buffer;
  spans: number;
}

/** A batch's traces in one or several bodies, and where their ids stand: the pieces of one trace get one value. */
export interface ProtocolBatch {
  protocol: Protocol;
  bodies: Body[];
  pieces: { at: [body: Buffer, at: number][]; size: number }[];
}

export const PROTOCOLS = [
  'otlp',
  'otlp-json',
  'jaeger-grpc',
  'jaeger-thrift',
  'jaeger-compact',
  'jaeger-binary',
  'zipkin-proto',
  'zipkin-json',
  'opencensus',
] as const;

export type Protocol = (typeof PROTOCOLS)[number];

/** Datagrams hold few spans. */
const SPANS_PER_DATAGRAM = 40;

/** The same batches from the same seed; `nowMs`: when they end. Where requests have one sender, a batch is larger. */
export function makeProtocolBatches(
  protocol: Protocol,
  { seed, nowMs, count }: { seed: number; nowMs: number; count?: number },
): ProtocolBatch[] {
  const bySender = protocol.startsWith('jaeger') || protocol === 'opencensus';
  const shop = makeBatches({ seed, batches: count ?? (bySender ? 3 : 16), tracesPerBatch: bySender ? 400 : 60 });
  const next = rng(seed * 31);
  return shop.map(({ body }: { body: Buffer }) => {
    const request = decodeRequest(body);
    const now = BigInt(nowMs - 5000) * 1_000_000n;
    const seen = new Map<string, bigint>();
    for (const { scopes } of request)
      for (const { spans } of scopes)
        for (const span of spans) {
          if (!seen.has(span.traceId)) seen.set(span.traceId, (half(next) << 64n) | half(next));
          span.traceId = seen.get(span.traceId)!.toString(16).padStart(32, '0');
          span.start += now;
          span.end += now;
          for (const event of span.events) event.time += now;
        }
    const bodies = encode(protocol, request);
    const pieces = [...seen.values()].flatMap((id) =>
      patterns(protocol, id.toString(16).padStart(32, '0')).map((pattern) => ({
        size: pattern.length,
        at: bodies.flatMap(({ bytes }) => find(bytes, pattern).map((at): [Buffer, number] => [bytes, at])),
      })),
    );
    return { protocol, bodies, pieces: pieces.filter(({ at }) => at.length > 0) };
  });
}

/** New ids for all traces of a batch. */
export function freshen({ protocol, pieces }: ProtocolBatch, next: () => number): void {
  for (const { at, size } of pieces) {
    const [[first, from]] = at;
    for (let i = 0; i < size; i++) first[from + i] = freshByte(protocol, next, first[from + i], i === size - 1);
    for (const [body, to] of at) if (body !== first || to !== from) first.copy(body, to, from, from + size);
  }
}

function freshByte(protocol: Protocol, next: () => number, old: number, isLast: boolean): number {
  const random = Math.floor(next() * 256);
  if (protocol === 'zipkin-json' || protocol === 'otlp-json') return '0123456789abcdef'.charCodeAt(random & 15);
  // A varint keeps its length: every byte but the last says that another one follows.
  if (protocol === 'jaeger-compact') return isLast ? old : random | 0x80;
  return random;
}

/** A number of 64 bits whose varint has ten bytes. */
function half(next: () => number): bigint {
  return (1n << 62n) | (BigInt(Math.floor(next() * 2 ** 30)) << 32n) | BigInt(Math.floor(next() * 2 ** 32));
}

function encode(protocol: Protocol, request: Request): Body[] {
  if (protocol === 'otlp')
    return [
      {
        bytes: Buffer.from(encodeRequest(request)),
        spans: request.flatMap(({ scopes }) => scopes.flatMap(({ spans }) => spans)).length,
      },
    ];
  if (protocol === 'otlp-json' || protocol.startsWith('zipkin')) {
    const spans = request.flatMap(({ resource, scopes }) =>
      scopes.flatMap((scope) => scope.spans.map((span) => ({ span, service: text(resource!.attributes[0].value) }))),
    );
    const bytes =
      protocol === 'otlp-json'
        ? Buffer.from(JSON.stringify(otlpJson(request)))
        : protocol === 'zipkin-json'
          ? Buffer.from(JSON.stringify(spans.map(({ span, service }) => zipkinJson(span, service))))
          : zipkinProto(spans);
    return [{ bytes, spans: spans.length }];
  }
  return request.flatMap(({ resource, scopes }) => {
    const all = scopes.flatMap(({ spans }) => spans);
    const isUdp = protocol === 'jaeger-compact' || protocol === 'jaeger-binary';
    const size = isUdp ? SPANS_PER_DATAGRAM : all.length;
    const made: Body[] = [];
    for (let from = 0; from < all.length; from += size) {
      const spans = all.slice(from, from + size);
      const process = {
        service: text(resource!.attributes[0].value),
        tags: resource!.attributes.slice(1).map(({ key, value }): JaegerTag => [key, tag(value)]),
      };
      const jaeger = spans.map((span) => ({
        traceId: BigInt(`0x${span.traceId}`),
        spanId: BigInt(`0x${span.spanId}`),
        ...(span.parentId !== '' && {
          parentId: BigInt(`0x${span.parentId}`),
          ...(protocol === 'jaeger-grpc' && {
            references: [{ type: 'child_of' as const, spanId: BigInt(`0x${span.parentId}`) }],
          }),
        }),
        name: span.name,
        start: span.start / 1000n,
        duration: (span.end - span.start) / 1000n,
        tags: [
          ['span.kind', span.kind === 2 ? 'server' : 'client'] as JaegerTag,
          ...span.attributes.map(({ key, value }): JaegerTag => [key, tag(value)]),
          ...(span.status === 2 ? [['error', true] as JaegerTag] : []),
        ],
        logs: span.events.map((event) => ({
          time: event.time / 1000n,
          fields: [
            ['event', event.name],
            ...event.attributes.map(({ key, value }) => [key, tag(value)]),
          ] as JaegerTag[],
        })),
      }));
      const bytes =
        protocol === 'jaeger-grpc'
          ? Buffer.from(protoRequest(process, jaeger))
          : protocol === 'opencensus'
            ? opencensus(process.service, spans)
            : protocol === 'jaeger-thrift'
              ? thriftBytes('binary', thriftBatch(process, jaeger))
              : thriftMessage(
                  protocol === 'jaeger-compact' ? 'compact' : 'binary',
                  'emitBatch',
                  struct([1, thriftBatch(process, jaeger)]),
                );
      made.push({ bytes, spans: spans.length });
    }
    return made;
  });
}

/** How a trace's id looks in a body, in pieces. */
function patterns(protocol: Protocol, id: string): Buffer[] {
  if (protocol === 'zipkin-json' || protocol === 'otlp-json') return [Buffer.from(id)];
  if (protocol === 'jaeger-thrift' || protocol === 'jaeger-binary')
    return [Buffer.from(id.slice(16), 'hex'), Buffer.from(id.slice(0, 16), 'hex')];
  if (protocol !== 'jaeger-compact') return [Buffer.from(id, 'hex')];
  return [id.slice(16), id.slice(0, 16)].map((half) => {
    let value = BigInt.asUintN(64, BigInt(`0x${half}`) << 1n);
    const bytes: number[] = [];
    for (; value > 127n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
    return Buffer.from([...bytes, Number(value)]);
  });
}

function find(bytes: Buffer, pattern: Buffer): number[] {
  const at: number[] = [];
  for (let i = bytes.indexOf(pattern); i >= 0; i = bytes.indexOf(pattern, i + pattern.length)) at.push(i);
  return at;
}

function text(value: Value): string {
  if (value.type === 'string') return value.value;
  if (value.type === 'double') return String(new Float64Array(BigUint64Array.of(value.bits).buffer)[0]);
  if (value.type === 'int' || value.type === 'bool') return String(value.value);
  return value.type;
}

function tag(value: Value): JaegerTag[1] {
  if (value.type === 'int' || value.type === 'bool') return value.value;
  return value.type === 'double' ? Number(text(value)) : text(value);
}

function zipkinJson(span: Span, service: string) {
  return {
    traceId: span.traceId,
    id: span.spanId,
    ...(span.parentId !== '' && { parentId: span.parentId }),
    name: span.name,
    kind: span.kind === 2 ? 'SERVER' : 'CLIENT',
    timestamp: Number(span.start / 1000n),
    duration: Number((span.end - span.start) / 1000n),
    localEndpoint: { serviceName: service, ipv4: '10.0.0.1', port: 8080 },
    annotations: span.events.map(({ time, name }) => ({ timestamp: Number(time / 1000n), value: name })),
    tags: Object.fromEntries([
      ...span.attributes.map(({ key, value }) => [key, text(value)]),
      ...(span.status === 2 ? [['error', span.statusMessage]] : []),
    ]),
  };
}

function zipkinProto(spans: { span: Span; service: string }[]): Buffer {
  const out = new ProtoWriter(1 << 20);
  for (const { span, service } of spans) {
    const mark = out.begin(tagOf(1, WIRE_BYTES), 2);
    out.bytesField(tagOf(1, WIRE_BYTES), Buffer.from(span.traceId, 'hex'));
    if (span.parentId !== '') out.bytesField(tagOf(2, WIRE_BYTES), Buffer.from(span.parentId, 'hex'));
    out.bytesField(tagOf(3, WIRE_BYTES), Buffer.from(span.spanId, 'hex'));
    out.varintField(tagOf(4, WIRE_VARINT), span.kind === 2 ? 2 : 1);
    out.stringField(tagOf(5, WIRE_BYTES), span.name);
    out.varint(tagOf(6, WIRE_FIXED64));
    fixed64(out, span.start / 1000n);
    out.varintField(tagOf(7, WIRE_VARINT), Number((span.end - span.start) / 1000n));
    const endpoint = out.begin(tagOf(8, WIRE_BYTES));
    out.stringField(tagOf(1, WIRE_BYTES), service);
    out.bytesField(tagOf(2, WIRE_BYTES), Buffer.of(10, 0, 0, 1));
    out.varintField(tagOf(4, WIRE_VARINT), 8080);
    out.end(endpoint);
    for (const { key, value } of span.attributes) {
      const entry = out.begin(tagOf(11, WIRE_BYTES));
      out.stringField(tagOf(1, WIRE_BYTES), key);
      out.stringField(tagOf(2, WIRE_BYTES), text(value));
      out.end(entry);
    }
    out.end(mark, 2);
  }
  return Buffer.from(out.finish());
}

function opencensus(service: string, spans: Span[]): Buffer {
  const out = new ProtoWriter(1 << 20);
  const name = new ProtoWriter();
  name.stringField(tagOf(1, WIRE_BYTES), service);
  const node = new ProtoWriter();
  node.bytesField(tagOf(3, WIRE_BYTES), name.finish());
  out.bytesField(tagOf(1, WIRE_BYTES), node.finish());
  const truncatable = (field: number, value: string): void => {
    const mark = out.begin(tagOf(field, WIRE_BYTES));
    out.stringField(tagOf(1, WIRE_BYTES), value);
    out.end(mark);
  };
  const time = (field: number, nanos: bigint): void => {
    const mark = out.begin(tagOf(field, WIRE_BYTES));
    out.varintField(tagOf(1, WIRE_VARINT), Number(nanos / 1_000_000_000n));
    out.varintField(tagOf(2, WIRE_VARINT), Number(nanos % 1_000_000_000n));
    out.end(mark);
  };
  for (const span of spans) {
    const mark = out.begin(tagOf(2, WIRE_BYTES), 2);
    out.bytesField(tagOf(1, WIRE_BYTES), Buffer.from(span.traceId, 'hex'));
    out.bytesField(tagOf(2, WIRE_BYTES), Buffer.from(span.spanId, 'hex'));
    if (span.parentId !== '') out.bytesField(tagOf(3, WIRE_BYTES), Buffer.from(span.parentId, 'hex'));
    truncatable(4, span.name);
    time(5, span.start);
    time(6, span.end);
    const attributes = out.begin(tagOf(7, WIRE_BYTES), 2);
    for (const { key, value } of span.attributes) {
      const entry = out.begin(tagOf(1, WIRE_BYTES));
      out.stringField(tagOf(1, WIRE_BYTES), key);
      const of = out.begin(tagOf(2, WIRE_BYTES));
      if (value.type === 'int') out.varintField(tagOf(2, WIRE_VARINT), Number(value.value));
      else if (value.type === 'bool') out.varintField(tagOf(3, WIRE_VARINT), value.value ? 1 : 0);
      else truncatable(1, text(value));
      out.end(of);
      out.end(entry);
    }
    out.end(attributes, 2);
    out.varintField(tagOf(14, WIRE_VARINT), span.kind === 2 ? 1 : 2);
    out.end(mark, 2);
  }
  return Buffer.from(out.finish());
}

function fixed64(out: ProtoWriter, value: bigint): void {
  out.fixed32(Number(value & 0xffffffffn));
  out.fixed32(Number(value >> 32n));
}

function otlpJson(request: Request) {
  const any = (value: Value): unknown =>
    value.type === 'int'
      ? { intValue: String(value.value) }
      : value.type === 'bool'
        ? { boolValue: value.value }
        : value.type === 'double'
          ? { doubleValue: Number(text(value)) }
          : value.type === 'array'
            ? { arrayValue: { values: value.values.map(any) } }
            : { stringValue: text(value) };
  const list = (attributes: Span['attributes']) => attributes.map(({ key, value }) => ({ key, value: any(value) }));
  return {
    resourceSpans: request.map(({ resource, scopes }) => ({
      resource: { attributes: list(resource!.attributes) },
      scopeSpans: scopes.map(({ scope, spans }) => ({
        scope: { name: scope?.name, version: scope?.version },
        spans: spans.map((span) => ({
          traceId: span.traceId,
          spanId: span.spanId,
          ...(span.parentId !== '' && { parentSpanId: span.parentId }),
          name: span.name,
          kind: span.kind,
          startTimeUnixNano: String(span.start),
          endTimeUnixNano: String(span.end),
          attributes: list(span.attributes),
          events: span.events.map((event) => ({
            timeUnixNano: String(event.time),
            name: event.name,
            attributes: list(event.attributes),
          })),
          status: span.status === 0 ? {} : { code: span.status, message: span.statusMessage },
        })),
      })),
    })),
  };
}
