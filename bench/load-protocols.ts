/**
 * Sends the shop's workload in a protocol other than OTLP/protobuf, and reports throughput, the server's CPU per million
 * spans and, over UDP, what was lost:
 *
 *   node bench/load-protocols.ts --protocol jaeger-grpc --port 14250 [--spans 300000] [--concurrency 4] [--pid N]
 *       [--rate SPANS_PER_S] [--api http://127.0.0.1:3200]
 *
 * Protocols: jaeger-grpc, jaeger-thrift, jaeger-compact (UDP), jaeger-binary (UDP), zipkin-proto, zipkin-json, otlp-json,
 * opencensus. Bodies are made once; before each is sent its traces get new ids, which have the same length in every
 * encoding.
 */
import dgram from 'node:dgram';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { parseArgs } from 'node:util';
import { decodeRequest, type Request, type Span, type Value } from '../src/cut/otlp.fixture.ts';
import { type JaegerTag, protoRequest, thriftBatch } from '../src/receive/jaeger.fixture.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../src/wire/protobuf.ts';
import { struct, thriftBytes, thriftMessage } from '../src/wire/thrift.fixture.ts';
import { makeBatches, rng } from './workload.mjs';

const { values: o } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'jaeger-grpc' },
    port: { type: 'string' },
    spans: { type: 'string', default: '300000' },
    concurrency: { type: 'string', default: '4' },
    pid: { type: 'string' },
    rate: { type: 'string' },
    api: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});

/** A body, and where ids stand in it: the pieces of one trace get one value. */
interface Body {
  bytes: Buffer;
  spans: number;
  pieces: { at: number[]; size: number }[][];
}

const next = rng(Number(o.seed) * 31 + (Date.now() & 0xffff));
const protocol = o.protocol;
const isUdp = protocol === 'jaeger-compact' || protocol === 'jaeger-binary';
const target = Number(o.spans);
const port = Number(
  o.port ??
    {
      'jaeger-grpc': 14250,
      'jaeger-thrift': 14268,
      'jaeger-compact': 6831,
      'jaeger-binary': 6832,
      'otlp-json': 4318,
      opencensus: 55678,
    }[protocol] ??
    9411,
);
const bodies = makeBodies();
const receivedBefore = await receivedSpans();
const cpuBefore = cpuSeconds();
const began = performance.now();
let session: http2.ClientHttp2Session | undefined;
let agent: http.Agent | undefined;
let sent = 0;
let number = 0;
const errors: Record<string, number> = {};
if (isUdp) await sendDatagrams();
else await Promise.all(Array.from({ length: Number(o.concurrency) }, sendRequests));
const wall = (performance.now() - began) / 1000;
await settle();
const received = (await receivedSpans()) - receivedBefore;
const cpu = cpuSeconds() - cpuBefore;
console.log(
  JSON.stringify({
    protocol,
    spans: sent,
    bytes_per_span: Math.round(
      bodies.reduce((sum, { bytes }) => sum + bytes.length, 0) / bodies.reduce((sum, { spans }) => sum + spans, 0),
    ),
    spans_per_request: Math.round(bodies.reduce((sum, { spans }) => sum + spans, 0) / bodies.length),
    wall_s: +wall.toFixed(2),
    spans_per_s: Math.round(sent / wall),
    ...(o.pid && { cpu_s_per_mspan: +((cpu / sent) * 1e6).toFixed(2), peak_mb: Math.round(peakMb()) }),
    ...(o.api && { received, lost: sent - received }),
    errors,
  }),
);
process.exit(0);

/** As many at once as `--concurrency`. */
async function sendRequests(): Promise<void> {
  while (sent < target) {
    const body = bodies[number++ % bodies.length];
    sent += body.spans;
    freshen(body);
    const status = await post(Buffer.from(body.bytes));
    if (status !== 'ok') errors[status] = (errors[status] ?? 0) + 1;
    await pace();
  }
}

async function sendDatagrams(): Promise<void> {
  const socket = dgram.createSocket('udp4');
  socket.connect(port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  while (sent < target) {
    const body = bodies[number++ % bodies.length];
    sent += body.spans;
    freshen(body);
    await new Promise((resolve) => socket.send(body.bytes, resolve));
    await pace();
  }
}

async function pace(): Promise<void> {
  if (!o.rate) return;
  const wait = began + (sent / Number(o.rate)) * 1000 - performance.now();
  if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
}

function post(body: Buffer): Promise<string> {
  if (protocol === 'jaeger-grpc' || protocol === 'opencensus') {
    session ??= http2.connect(`http://127.0.0.1:${port}`);
    const path =
      protocol === 'jaeger-grpc'
        ? '/jaeger.api_v2.CollectorService/PostSpans'
        : '/opencensus.proto.agent.trace.v1.TraceService/Export';
    return new Promise((resolve, reject) => {
      const stream = session!.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      let status: unknown;
      stream.on('response', (head) => (status ??= head['grpc-status']));
      stream.on('trailers', (trailers) => (status = trailers['grpc-status']));
      stream.on('error', reject);
      stream.on('close', () => resolve(status === '0' ? 'ok' : `grpc ${status}`));
      stream.resume();
      const head = Buffer.alloc(5);
      head.writeUInt32BE(body.length, 1);
      stream.write(head);
      stream.end(body);
    });
  }
  agent ??= new http.Agent({ keepAlive: true, maxSockets: Number(o.concurrency) });
  const [path, type] = {
    'jaeger-thrift': ['/api/traces', 'application/x-thrift'],
    'zipkin-proto': ['/api/v2/spans', 'application/x-protobuf'],
    'zipkin-json': ['/api/v2/spans', 'application/json'],
    'otlp-json': ['/v1/traces', 'application/json'],
  }[protocol] ?? ['/', ''];
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: '127.0.0.1',
        port,
        path,
        method: 'POST',
        agent,
        headers: { 'Content-Type': type, 'Content-Length': body.length },
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve((response.statusCode ?? 0) < 300 ? 'ok' : `http ${response.statusCode}`));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** New ids for all traces of a body. */
function freshen({ bytes, pieces }: Body): void {
  for (const trace of pieces)
    for (const { at, size } of trace) {
      const [first, ...rest] = at;
      for (let i = 0; i < size; i++) bytes[first + i] = freshByte(bytes[first + i], i, size);
      for (const other of rest) bytes.copy(bytes, other, first, first + size);
    }
}

function freshByte(old: number, i: number, size: number): number {
  const random = Math.floor(next() * 256);
  if (protocol === 'zipkin-json' || protocol === 'otlp-json') return '0123456789abcdef'.charCodeAt(random & 15);
  // A varint keeps its length: every byte but the last says that another one follows.
  if (protocol === 'jaeger-compact') return i === size - 1 ? old : random | 0x80;
  return random;
}

function makeBodies(): Body[] {
  const whole = protocol.startsWith('jaeger') || protocol === 'opencensus' ? 400 : 60;
  const shop = makeBatches({ seed: Number(o.seed), batches: whole === 400 ? 2 : 8, tracesPerBatch: whole });
  return shop.flatMap((batch: { body: Buffer }) => {
    const request = decodeRequest(batch.body);
    const now = BigInt(Date.now() - 5000) * 1_000_000n;
    const seen = new Map<string, bigint>();
    for (const { scopes } of request)
      for (const { spans } of scopes)
        for (const span of spans) {
          if (!seen.has(span.traceId)) seen.set(span.traceId, (half() << 64n) | half());
          span.traceId = seen.get(span.traceId)!.toString(16).padStart(32, '0');
          span.start += now;
          span.end += now;
          for (const event of span.events) event.time += now;
        }
    return encode(request).map(({ bytes, spans, ids }) => ({
      bytes,
      spans,
      pieces: [...ids].map((id) => patterns(id).map((pattern) => ({ at: find(bytes, pattern), size: pattern.length }))),
    }));
  });
}

/** A number of 64 bits whose varint has ten bytes. */
function half(): bigint {
  return (1n << 62n) | (BigInt(Math.floor(next() * 2 ** 30)) << 32n) | BigInt(Math.floor(next() * 2 ** 32));
}

interface Encoded {
  bytes: Buffer;
  spans: number;
  ids: Set<string>;
}

function encode(request: Request): Encoded[] {
  if (protocol === 'otlp-json' || protocol.startsWith('zipkin')) {
    const spans = request.flatMap(({ resource, scopes }) =>
      scopes.flatMap((scope) => scope.spans.map((span) => ({ span, service: text(resource!.attributes[0].value) }))),
    );
    const ids = new Set(spans.map(({ span }) => span.traceId));
    const bytes =
      protocol === 'otlp-json'
        ? Buffer.from(JSON.stringify(otlpJson(request)))
        : protocol === 'zipkin-json'
          ? Buffer.from(JSON.stringify(spans.map(({ span, service }) => zipkinJson(span, service))))
          : zipkinProto(spans);
    return [{ bytes, spans: spans.length, ids }];
  }
  return request.flatMap(({ resource, scopes }) => {
    const all = scopes.flatMap(({ spans }) => spans);
    const size = isUdp ? 40 : all.length;
    const made: Encoded[] = [];
    for (let from = 0; from < all.length; from += size) {
      const spans = all.slice(from, from + size);
      const ids = new Set(spans.map(({ traceId }) => traceId));
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
      made.push({ bytes, spans: spans.length, ids });
    }
    return made;
  });
}

/** How a trace's id looks in a body, in pieces. */
function patterns(id: string): Buffer[] {
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

/** Datagrams may still be on their way when the last is sent: until the count stands still. */
async function settle(): Promise<void> {
  if (!o.api) return;
  for (let last = -1, now = await receivedSpans(); now !== last; now = await receivedSpans()) {
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 2500));
  }
}

async function receivedSpans(): Promise<number> {
  if (!o.api) return 0;
  const metrics = await (await fetch(`${o.api}/metrics`)).text();
  let sum = 0;
  for (const [, value] of metrics.matchAll(/^tempo_receiver_accepted_spans\{[^}]*\} (\S+)/gm)) sum += Number(value);
  return sum;
}

function cpuSeconds(): number {
  if (!o.pid) return 0;
  const fields = fs.readFileSync(`/proc/${o.pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function peakMb(): number {
  return Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${o.pid}/status`, 'utf8'))?.[1]) / 1024;
}
