/**
 * A real OpenTelemetry Collector in front of the server, forwarding by OTLP over gRPC and over HTTP. What it makes of
 * Jaeger and Zipkin must be what the server makes of the same bytes when they are sent to itself.
 */
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { type Link, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import { type JaegerSpan, protoRequest, thriftBatch } from '../../src/receive/jaeger.fixture.ts';
import { vector } from '../../src/receive/vectors.fixture.ts';
import { struct, thriftBytes, thriftMessage } from '../../src/wire/thrift.fixture.ts';
import { collectorProgram, type CollectorPorts, startCollector } from '../contract/collector.fixture.ts';
import { attributesOf, type Json, type ReceivingServer, startReceiving, traceOf } from './receivers.fixture.ts';
import { run, temporaryFolder, until } from './server.fixture.ts';
import { ask, call, randomId, random } from './spans.fixture.ts';

const require = createRequire(import.meta.url);
const program = await collectorProgram();
const skip = 'missing' in program ? program.missing : undefined;
const file = 'file' in program ? program.file : '';

const suite = { after };
const directory = temporaryFolder(suite, 'collected');
const next = random(17);
const TENANTS = ['by-grpc', 'by-http'];
let server: ReceivingServer;
let collector: CollectorPorts;

before(async () => {
  if (skip !== undefined) return;
  server = await startReceiving(suite, { directory, multitenancy: true });
  const { ports } = await startCollector(suite, file, {
    grpc: { endpoint: `127.0.0.1:${server.ports.grpc}`, tenant: TENANTS[0] },
    http: { endpoint: `127.0.0.1:${server.ports.http}`, tenant: TENANTS[1] },
  });
  collector = ports;
});

/** Attributes whose names a Collector has changed since the one inside Tempo 3.0, whose names are ours. */
const RENAMED: Record<string, string> = {
  'network.local.address': 'net.host.ip',
  'network.peer.address': 'net.peer.ip',
  'service.peer.name': 'peer.service',
};

/** A tenant's trace, as that Collector would have made it. */
async function seen(traceId: string, tenant: string): Promise<Json[]> {
  const spans = (await traceOf(server, traceId, tenant)) ?? [];
  const plain = (list: Json[] = []) => list.map((each) => ({ ...each, attributes: attributesOf(each.attributes) }));
  return spans
    .map((span) => ({
      ...span,
      attributes: Object.fromEntries(
        Object.entries(span.attributes).map(([key, value]) => [RENAMED[key] ?? key, value]),
      ),
      events: plain(span.events),
      links: plain(span.links),
      // New: Jaeger's flags are kept.
      flags: undefined,
    }))
    .sort((a, b) => (a.spanId < b.spanId ? -1 : 1));
}

/** Waits until both ways brought so many spans of a trace, and returns them. */
async function forwarded(traceId: string, count: number): Promise<Json[][]> {
  const traces: Json[][] = [];
  for (const tenant of TENANTS) {
    await until(`${traceId} is there ${tenant}`, async () => (await seen(traceId, tenant)).length >= count);
    traces.push(await seen(traceId, tenant));
  }
  return traces;
}

const now = BigInt(Date.now()) * 1000n;

/** A trace of three spans with everything that Jaeger knows. */
function jaegerSpans(traceId: bigint): JaegerSpan[] {
  const other = { traceId: 0xfeedn, spanId: 0xbeefn };
  return [
    {
      ...{ traceId, spanId: 0xan, name: 'POST /orders', start: now, duration: 5000n },
      tags: [
        ['span.kind', 'server'],
        ['http.status_code', 503n],
        ['order', 'o1 \u00e4'],
        ['items', 3n],
        ['price', 9.5],
        ['paid', true],
        ['raw', Buffer.of(1, 2, 255)],
      ],
      references: [{ type: 'follows_from', ...other }],
    },
    {
      ...{ traceId, spanId: 0xbn, parentId: 0xan, name: 'charge', start: now + 10n, duration: 300n },
      references: [
        { type: 'child_of', spanId: 0xan },
        { type: 'follows_from', ...other },
      ],
      tags: [
        ['span.kind', 'client'],
        ['error', true],
        ['otel.status_description', 'no money'],
      ],
      logs: [
        {
          time: now + 20n,
          fields: [
            ['event', 'declined'],
            ['card.brand', 'none'],
            ['tries', 2n],
          ],
        },
        { time: now + 21n, fields: [['message', 'without a name']] },
      ],
    },
    {
      ...{ traceId, spanId: 0xcn, parentId: 0xbn, name: 'audit', start: now + 30n, duration: 0n },
      references: [{ type: 'child_of', spanId: 0xbn }],
      tags: [
        ['span.kind', 'producer'],
        ['otel.status_code', 'OK'],
      ],
    },
  ];
}

const PROCESS = {
  service: 'checkout',
  tags: [
    ['hostname', 'h1'],
    ['jaeger.version', 'Go-2.1'],
    ['zone', 4n],
  ] as never,
};

function zipkinSpans(traceId: string): Json[] {
  const timestamp = Number(now);
  return [
    {
      ...{ traceId, id: '000000000000000a', name: 'post', kind: 'SERVER', timestamp, duration: 5000 },
      localEndpoint: { serviceName: 'checkout', ipv4: '10.1.2.3', port: 80 },
      remoteEndpoint: { serviceName: 'browser', ipv6: '2001:db8::1', port: 4711 },
      annotations: [{ timestamp: timestamp + 5, value: 'parsed' }],
      tags: { order: 'o1 \u00e4', items: '3', 'host.name': 'h1' },
    },
    {
      ...{ traceId, id: '000000000000000b', parentId: '000000000000000a', name: 'charge', kind: 'CLIENT' },
      ...{ timestamp: timestamp + 10, duration: 300 },
      localEndpoint: { serviceName: 'checkout' },
      annotations: [{ timestamp: timestamp + 20, value: 'declined|{"card.brand":"none","tries":2}|1' }],
      tags: {
        error: 'no money',
        'otlp.link.0': `${'1'.repeat(32)}|${'2'.repeat(16)}||{"why":"retry"}|0`,
        'otel.library.name': 'shop',
        'otel.library.version': '9.1',
      },
    },
    {
      ...{ traceId, id: '000000000000000c', parentId: '000000000000000b', name: 'audit', timestamp: timestamp + 30 },
      localEndpoint: { serviceName: 'ledger' },
      tags: { 'span.kind': 'internal', 'otel.status_code': 'Ok' },
    },
  ];
}

function zipkinV1Spans(traceId: string): Json[] {
  const timestamp = Number(now);
  const endpoint = { serviceName: 'checkout', ipv4: '10.1.2.3', port: 80 };
  return [
    {
      ...{ traceId, id: '000000000000000a', name: 'post', timestamp, duration: 5000 },
      annotations: [
        { timestamp, value: 'sr', endpoint },
        { timestamp: timestamp + 5, value: 'parsed', endpoint },
        { timestamp: timestamp + 5000, value: 'ss', endpoint },
      ],
      binaryAnnotations: [
        { key: 'order', value: 'o1', endpoint },
        { key: 'http.status_code', value: '503', endpoint },
      ],
    },
    {
      ...{ traceId, id: '000000000000000b', parentId: '000000000000000a', name: 'charge' },
      annotations: [{ timestamp: timestamp + 10, value: 'cs', endpoint }],
      binaryAnnotations: [{ key: 'error', value: 'no money', endpoint }],
    },
  ];
}

const DIRECT = 'direct';
const POST_SPANS = '/jaeger.api_v2.CollectorService/PostSpans';

/** Sends the same request to the Collector and to the server itself. */
async function sendHttp(ports: [collector: number, server: number], where: string, type: string, body: Uint8Array) {
  for (const port of ports) {
    const headers = { 'Content-Type': type, 'X-Scope-OrgID': DIRECT };
    const answer = await ask(`http://127.0.0.1:${port}${where}`, { method: 'POST', headers }, body);
    assert.equal(answer.status, 202, answer.body.toString());
  }
}

const zipkinHttp = (where: string, type: string, body: Uint8Array) =>
  sendHttp([collector.zipkin, server.receivers.zipkin], where, type, body);

async function datagram(port: number, bytes: Uint8Array): Promise<void> {
  const socket = dgram.createSocket('udp4');
  await new Promise((resolve) => socket.send(bytes, port, '127.0.0.1', resolve));
  socket.close();
}

const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const THRIFT = 'application/x-thrift';
const thriftOf = (id: string) => thriftBatch(PROCESS, jaegerSpans(BigInt(`0x${id}`)));
const direct = (id: string) =>
  sendHttp(
    [collector.jaegerHttp, server.receivers.jaegerHttp],
    '/api/traces',
    THRIFT,
    thriftBytes('binary', thriftOf(id)),
  );

/** Over UDP there is no tenant, so that the server gets the same batch over HTTP. */
async function overUdp(id: string, protocol: 'compact' | 'binary'): Promise<void> {
  const headers = { 'Content-Type': THRIFT, 'X-Scope-OrgID': DIRECT };
  const url = `http://127.0.0.1:${server.receivers.jaegerHttp}/api/traces`;
  assert.equal((await ask(url, { method: 'POST', headers }, thriftBytes('binary', thriftOf(id)))).status, 202);
  await datagram(collector[protocol], thriftMessage(protocol, 'emitBatch', struct([1, thriftOf(id)])));
}

/** Each sends one trace both ways. */
const PROTOCOLS: [name: string, spans: number, send: (traceId: string) => Promise<void>, traceId?: string][] = [
  [
    'Jaeger over gRPC',
    3,
    async (id) => {
      for (const port of [collector.jaegerGrpc, server.receivers.jaegerGrpc]) {
        const session = http2.connect(`http://127.0.0.1:${port}`);
        const body = protoRequest(PROCESS, jaegerSpans(BigInt(`0x${id}`)));
        const answer = await call(session, body, POST_SPANS, { 'x-scope-orgid': DIRECT });
        session.close();
        assert.equal(answer.status, 0, answer.message);
      }
    },
  ],
  ['Jaeger, Thrift over HTTP', 3, direct],
  ['Jaeger over UDP, compact', 3, (id) => overUdp(id, 'compact')],
  ['Jaeger over UDP, binary', 3, (id) => overUdp(id, 'binary')],
  ['Zipkin, JSON', 3, (id) => zipkinHttp('/api/v2/spans', 'application/json', text(zipkinSpans(id)))],
  [
    'Zipkin, JSON of the first version',
    2,
    (id) => zipkinHttp('/api/v1/spans', 'application/json', text(zipkinV1Spans(id))),
  ],
  [
    'Zipkin, protobuf',
    1,
    () => zipkinHttp('/api/v2/spans', 'application/x-protobuf', vector('zipkin-proto').bytes),
    vector('zipkin-proto').traceId,
  ],
  [
    'Zipkin, Thrift',
    1,
    () => zipkinHttp('/api/v1/spans', THRIFT, vector('zipkin-thrift').bytes),
    vector('zipkin-thrift').traceId,
  ],
];

for (const [name, count, send, known] of PROTOCOLS)
  it(`${name}: the Collector's spans are as our own`, { skip }, async () => {
    const traceId = known ?? randomId(next, 16);
    await send(traceId);
    const ours = await seen(traceId, DIRECT);
    assert.equal(ours.length, count);
    for (const theirs of await forwarded(traceId, count)) assert.deepEqual(theirs, ours);
  });

const LINK: Link = {
  context: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: TraceFlags.SAMPLED },
  attributes: { why: 'retry' },
};

const EXPORTERS: [name: string, exporter: () => SpanExporter, texts?: 'texts'][] = [
  ['OTLP over gRPC', () => new GrpcExporter({ url: `http://127.0.0.1:${collector.otlpGrpc}` })],
  ['OTLP over HTTP, JSON', () => new JsonExporter({ url: `http://127.0.0.1:${collector.otlpHttp}/v1/traces` })],
  ['OTLP over HTTP, protobuf', () => new ProtoExporter({ url: `http://127.0.0.1:${collector.otlpHttp}/v1/traces` })],
  [
    'exporter-jaeger',
    () => new (require('@opentelemetry/exporter-jaeger').JaegerExporter)({ host: '127.0.0.1', port: collector.binary }),
  ],
  [
    'exporter-zipkin',
    () =>
      new (require('@opentelemetry/exporter-zipkin').ZipkinExporter)({
        url: `http://127.0.0.1:${collector.zipkin}/api/v2/spans`,
      }),
    'texts',
  ],
];

for (const [name, exporter, texts] of EXPORTERS)
  it(`an application's spans through the Collector: ${name}`, { skip }, async () => {
    const provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'checkout' }),
      spanProcessors: [new BatchSpanProcessor(exporter())],
    });
    const tracer = provider.getTracer('shop', '9.1');
    const attributes = { 'app.order': 'o1', 'app.items': 3, 'app.price': 9.5, 'app.paid': true };
    const root = tracer.startSpan('POST /orders', { kind: SpanKind.SERVER, links: [LINK], attributes });
    const child = tracer.startSpan('charge', { kind: SpanKind.CLIENT }, trace.setSpan(ROOT_CONTEXT, root));
    child.addEvent('declined', { 'card.brand': 'none' });
    child.setStatus({ code: SpanStatusCode.ERROR, message: 'no money' });
    child.end();
    root.end();
    await provider.forceFlush();
    await provider.shutdown();
    const { traceId, spanId } = root.spanContext();
    const isOtlp = name.startsWith('OTLP');
    for (const spans of await forwarded(traceId, 2)) {
      const [parent, kid] = [root, child].map((each) =>
        spans.find((span) => Buffer.from(span.spanId, 'base64').toString('hex') === each.spanContext().spanId),
      );
      assert.deepEqual(
        [parent.name, parent.kind, parent.parentSpanId],
        ['POST /orders', 'SPAN_KIND_SERVER', undefined],
      );
      assert.equal(parent.resource['service.name'], 'checkout');
      for (const [key, value] of Object.entries(attributes)) {
        const wanted = texts || (isOtlp && Number.isInteger(value)) ? String(value) : value;
        assert.deepEqual(parent.attributes[key], wanted, key);
      }
      assert.deepEqual([kid.name, kid.kind], ['charge', 'SPAN_KIND_CLIENT']);
      assert.equal(Buffer.from(kid.parentSpanId, 'base64').toString('hex'), spanId);
      assert.equal(kid.status.code, 'STATUS_CODE_ERROR');
      assert.deepEqual(
        kid.events.map((event: Json) => event.name),
        ['declined'],
      );
      if (!texts) assert.deepEqual(kid.events[0].attributes, { 'card.brand': 'none' });
      // Zipkin's exporter sends no links.
      if (!texts)
        assert.deepEqual(
          parent.links.map((link: Json) => Buffer.from(link.spanId, 'base64').toString('hex')),
          [LINK.context.spanId],
        );
      if (!isOtlp) continue;
      assert.deepEqual(parent.scope, { name: 'shop', version: '9.1' });
      assert.deepEqual(parent.links[0].attributes, LINK.attributes);
      assert.equal(kid.status.message, 'no money');
    }
  });

for (const [way, flags] of [
  ['gRPC', (at: ReceivingServer) => [`--otlp-endpoint=127.0.0.1:${at.ports.grpc}`]],
  ['HTTP', (at: ReceivingServer) => [`--otlp-endpoint=127.0.0.1:${at.ports.http}`, '--otlp-http']],
] as const)
  it(`telemetrygen over ${way}`, { skip }, async () => {
    const tenant = `generated-${way}`;
    const made = await run(path.join(path.dirname(file), 'telemetrygen'), [
      ...['traces', ...flags(server), '--otlp-insecure', '--traces=20', '--child-spans=4', '--rate=0'],
      ...['--workers=2', '--status-code=Error', '--span-links=1', '--span-duration=7ms', '--service=made'],
      ...['--otlp-attributes=deployment.environment="test"', '--telemetry-attributes=shop.items=3'],
      `--otlp-header=X-Scope-OrgID="${tenant}"`,
    ]);
    assert.equal(made.code, 0, made.stderr);
    const headers = { 'X-Scope-OrgID': tenant };
    const query = new URLSearchParams({ q: '{ resource.service.name = "made" }', limit: '100', spss: '10' });
    const answer = await ask(`${server.url}/api/search?${query}`, { headers });
    const { traces } = JSON.parse(answer.body.toString());
    assert.equal(traces.length, 40, made.stderr);
    const known = new Set(traces.map(({ traceID }: Json) => traceID.padStart(32, '0')));
    let links = 0;
    for (const { traceID } of traces) {
      const spans = await seen(traceID.padStart(32, '0'), tenant);
      const [root, ...more] = spans.filter((span) => span.parentSpanId === undefined);
      assert.deepEqual([spans.length, more.length], [5, 0]);
      for (const span of spans) {
        assert.equal(span.resource['deployment.environment'], 'test');
        assert.equal(span.attributes['shop.items'], '3');
        assert.equal(span.status.code, 'STATUS_CODE_ERROR');
        // To spans that it made before.
        for (const link of span.links) {
          assert.ok(known.has(Buffer.from(link.traceId, 'base64').toString('hex')));
          links++;
        }
        if (span !== root) assert.equal(span.parentSpanId, root.spanId);
      }
    }
    assert.ok(links > 0);
  });
