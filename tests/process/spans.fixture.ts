/**
 * Spans to send and ways to ask for them. The generator is seeded and writes protobuf itself; every span id is new, so that
 * a span that comes back twice, or not at all, is seen.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import type http2 from 'node:http2';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../../src/wire/protobuf.ts';

export type Random = () => number;

/** mulberry32: the same numbers from the same seed. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function randomId(next: Random, bytes: 8 | 16): string {
  const id = Buffer.alloc(bytes);
  // The first byte is never zero: no id is all zeros, and none is shortened.
  for (let i = 0; i < bytes; i++) id[i] = i === 0 ? 1 + next() * 255 : next() * 256;
  return id.toString('hex');
}

/** One request: span ids by trace id. */
export interface Batch {
  traces: Map<string, string[]>;
  body: Uint8Array<ArrayBuffer>;
}

export interface BatchOptions {
  /** Ids of the traces; new ones by default. */
  traces?: number | readonly string[];
  spansPerTrace?: number;
  /** Bytes of text on each span, which no compression shortens much. */
  textBytes?: number;
  service?: string;
  /** Start of the first span; default now. */
  startMs?: number;
}

export function makeBatch(next: Random, options: BatchOptions = {}): Batch {
  const { traces = 4, spansPerTrace = 5, textBytes = 0, service = 'shop', startMs = Date.now() } = options;
  const ids = typeof traces === 'number' ? Array.from({ length: traces }, () => randomId(next, 16)) : traces;
  const writer = new ProtoWriter(4096 + ids.length * spansPerTrace * (160 + textBytes));
  const made = new Map<string, string[]>(ids.map((id) => [id, []]));
  const resourceSpans = writer.begin(tagOf(1, WIRE_BYTES), 5);
  const resource = writer.begin(tagOf(1, WIRE_BYTES), 2);
  attribute(writer, 1, 'service.name', service);
  writer.end(resource, 2);
  const scopeSpans = writer.begin(tagOf(2, WIRE_BYTES), 5);
  for (const [trace, spans] of made) {
    let parent: string | undefined;
    for (let i = 0; i < spansPerTrace; i++) {
      const id = randomId(next, 8);
      spans.push(id);
      const span = writer.begin(tagOf(2, WIRE_BYTES), 5);
      writer.bytesField(tagOf(1, WIRE_BYTES), Buffer.from(trace, 'hex'));
      writer.bytesField(tagOf(2, WIRE_BYTES), Buffer.from(id, 'hex'));
      if (parent !== undefined) writer.bytesField(tagOf(4, WIRE_BYTES), Buffer.from(parent, 'hex'));
      parent ??= id;
      writer.stringField(tagOf(5, WIRE_BYTES), i === 0 ? 'GET /checkout' : 'db.query');
      writer.varintField(tagOf(6, WIRE_VARINT), i === 0 ? 2 : 3);
      fixed64(writer, 7, BigInt(startMs) * 1_000_000n + BigInt(i * 1000));
      fixed64(writer, 8, BigInt(startMs + 5) * 1_000_000n + BigInt(i * 1000));
      attribute(writer, 9, 'test.trace', trace);
      attribute(writer, 9, 'test.number', String(Math.floor(next() * 1e6)));
      if (textBytes > 0) attribute(writer, 9, 'test.text', text(next, textBytes));
      writer.end(span, 5);
    }
  }
  writer.end(scopeSpans, 5);
  writer.end(resourceSpans, 5);
  return { traces: made, body: writer.finish() };
}

function attribute(writer: ProtoWriter, field: number, key: string, value: string): void {
  const keyValue = writer.begin(tagOf(field, WIRE_BYTES), 5);
  writer.stringField(tagOf(1, WIRE_BYTES), key);
  const anyValue = writer.begin(tagOf(2, WIRE_BYTES), 5);
  writer.stringField(tagOf(1, WIRE_BYTES), value);
  writer.end(anyValue, 5);
  writer.end(keyValue, 5);
}

function fixed64(writer: ProtoWriter, field: number, value: bigint): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  writer.varint(tagOf(field, WIRE_FIXED64));
  writer.raw(bytes);
}

function text(next: Random, length: number): string {
  let made = '';
  while (made.length < length) made += Math.floor(next() * 2 ** 52).toString(36);
  return made.slice(0, length);
}

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

/** Sends one OTLP/HTTP request. Rejects when no whole answer came. */
export function post(
  url: string,
  body: Uint8Array | string,
  headers: Record<string, string> = {},
  agent?: http.Agent,
): Promise<Answer> {
  return ask(url, { method: 'POST', agent, headers: { 'Content-Type': 'application/x-protobuf', ...headers } }, body);
}

/** One HTTP request with nothing added. Rejects when no whole answer came. */
export function ask(url: string, options: http.RequestOptions = {}, body?: Uint8Array | string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const request = http.request(
      url,
      { ...options, headers: { ...length, ...(options.headers as Record<string, string>) } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('aborted', () => reject(new Error('the answer was cut off')));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

export const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

export interface GrpcAnswer {
  status: number;
  message: string;
  headers: http2.IncomingHttpHeaders;
  trailers: http2.IncomingHttpHeaders;
}

/** Sends one unary gRPC message. Rejects when no status came. */
export function call(
  session: http2.ClientHttp2Session,
  body: Uint8Array,
  method = EXPORT,
  headers: Record<string, string> = {},
): Promise<GrpcAnswer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let head: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders | undefined;
    stream.on('response', (seen) => {
      head = seen;
      if (seen['grpc-status'] !== undefined) trailers = seen;
    });
    stream.on('trailers', (seen) => {
      trailers = seen;
    });
    stream.on('data', () => {});
    stream.on('error', reject);
    stream.on('close', () => {
      if (trailers === undefined) return reject(new Error('the stream closed without a status'));
      resolve({
        status: Number(trailers['grpc-status']),
        message: decodeURIComponent(String(trailers['grpc-message'] ?? '')),
        headers: head,
        trailers,
      });
    });
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(body.length, 1);
    stream.end(Buffer.concat([prefix, body]));
  });
}

/** Who asks, and over which connections. */
export interface Asking {
  tenant?: string;
  agent?: http.Agent;
}

/** Ids of the spans that the trace has now, as often as they are in it; empty when there is no such trace. */
export async function spansOf(url: string, trace: string, { tenant, agent }: Asking = {}): Promise<string[]> {
  const headers: Record<string, string> = tenant === undefined ? {} : { 'X-Scope-OrgID': tenant };
  const answer = await ask(`${url}/api/traces/${trace}`, { agent, headers });
  if (answer.status === 404) return [];
  assert.equal(answer.status, 200, `${trace}: ${answer.body.toString().slice(0, 500)}`);
  const { batches } = JSON.parse(answer.body.toString()) as {
    batches: { scopeSpans: { spans: { traceId: string; spanId: string }[] }[] }[];
  };
  return batches.flatMap(({ scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) => spans.map((span) => Buffer.from(span.spanId, 'base64').toString('hex'))),
  );
}

/** Ids of the traces that a search finds, with leading zeros. */
export async function search(url: string, parameters: Record<string, string>): Promise<string[]> {
  const answer = await ask(`${url}/api/search?${new URLSearchParams(parameters)}`);
  assert.equal(answer.status, 200, answer.body.toString());
  const { traces } = JSON.parse(answer.body.toString()) as { traces: { traceID: string }[] };
  return traces.map((trace) => trace.traceID.padStart(32, '0'));
}

/** Every trace has exactly the spans that it should have. */
export async function assertSpans(
  url: string,
  expected: Iterable<[string, readonly string[]]>,
  asking: Asking = {},
): Promise<void> {
  for (const [trace, spans] of expected)
    assert.deepEqual((await spansOf(url, trace, asking)).sort(), [...spans].sort(), `spans of trace ${trace}`);
}
