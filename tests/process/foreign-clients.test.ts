/** What applications use that do not speak OTLP, each sending a trace of two spans to a real server. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, it } from 'node:test';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import { type Json, type ReceivingServer, startReceiving, traceOf } from './receivers.fixture.ts';
import { temporaryFolder, until } from './server.fixture.ts';

// These packages have no types, or types of other versions of the SDK.
const require = createRequire(import.meta.url);

// Some clients never stop their timers, which must not keep the test alive.
const plainInterval = setInterval;
globalThis.setInterval = ((...args: Parameters<typeof setInterval>) =>
  plainInterval(...args).unref()) as typeof setInterval;

const suite = { after };
const directory = temporaryFolder(suite, 'clients');
let server: ReceivingServer;

before(async () => {
  server = await startReceiving(suite, { directory });
});

/** Waits until a trace has its two spans; the parent comes first. */
async function found(traceId: string): Promise<[Json, Json]> {
  let spans: Json[] = [];
  await until(`trace ${traceId} is there`, async () => {
    spans = (await traceOf(server, traceId)) ?? [];
    return spans.length === 2;
  });
  spans.sort((a, b) => (a.parentSpanId ? 1 : 0) - (b.parentSpanId ? 1 : 0));
  assert.equal(spans[1].parentSpanId, spans[0].spanId);
  return [spans[0], spans[1]];
}

const EXPORTERS: [string, () => SpanExporter][] = [
  [
    'exporter-jaeger over UDP',
    () => {
      const { JaegerExporter } = require('@opentelemetry/exporter-jaeger');
      return new JaegerExporter({ host: '127.0.0.1', port: server.receivers.binary });
    },
  ],
  [
    'exporter-jaeger over HTTP',
    () => {
      const { JaegerExporter } = require('@opentelemetry/exporter-jaeger');
      return new JaegerExporter({ endpoint: `http://127.0.0.1:${server.receivers.jaegerHttp}/api/traces` });
    },
  ],
  [
    'exporter-zipkin',
    () => {
      const { ZipkinExporter } = require('@opentelemetry/exporter-zipkin');
      return new ZipkinExporter({ url: `http://127.0.0.1:${server.receivers.zipkin}/api/v2/spans` });
    },
  ],
];

for (const [name, exporter] of EXPORTERS)
  it(name, async () => {
    const provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'checkout' }),
      spanProcessors: [new BatchSpanProcessor(exporter())],
    });
    const tracer = provider.getTracer('shop', '9.1');
    const root = tracer.startSpan('POST /orders', { kind: SpanKind.SERVER, attributes: { order: 'o1', items: 3 } });
    const child = tracer.startSpan('charge', { kind: SpanKind.CLIENT }, trace.setSpan(ROOT_CONTEXT, root));
    child.addEvent('declined');
    child.setStatus({ code: SpanStatusCode.ERROR, message: 'no money' });
    child.end();
    root.end();
    await provider.forceFlush();
    await provider.shutdown();
    const [parent, kid] = await found(root.spanContext().traceId);
    assert.deepEqual([parent.name, parent.kind], ['POST /orders', 'SPAN_KIND_SERVER']);
    assert.equal(parent.resource['service.name'], 'checkout');
    assert.equal(parent.attributes.order, 'o1');
    // Jaeger's numbers are doubles, Zipkin's texts.
    assert.equal(Number(parent.attributes.items), 3);
    assert.deepEqual([kid.name, kid.kind, kid.status.code], ['charge', 'SPAN_KIND_CLIENT', 'STATUS_CODE_ERROR']);
    assert.deepEqual(
      kid.events.map((event: Json) => event.name),
      ['declined'],
    );
  });

for (const transport of ['UDP', 'HTTP'])
  it(`jaeger-client over ${transport}`, async () => {
    const { initTracer } = require('jaeger-client');
    const reporter =
      transport === 'UDP'
        ? { agentHost: '127.0.0.1', agentPort: server.receivers.binary }
        : { collectorEndpoint: `http://127.0.0.1:${server.receivers.jaegerHttp}/api/traces` };
    const tracer = initTracer(
      { serviceName: 'checkout', sampler: { type: 'const', param: 1 }, reporter },
      { logger: { info() {}, error() {} } },
    );
    const root = tracer.startSpan('POST /orders');
    root.setTag('span.kind', 'server');
    root.setTag('items', 3);
    const child = tracer.startSpan('charge', { childOf: root.context() });
    child.setTag('error', true);
    child.log({ event: 'declined', 'card.brand': 'none' });
    child.finish();
    root.finish();
    await new Promise((resolve) => tracer.close(resolve));
    const [parent, kid] = await found(root.context().traceIdStr.padStart(32, '0'));
    assert.deepEqual([parent.name, parent.kind], ['POST /orders', 'SPAN_KIND_SERVER']);
    assert.equal(parent.attributes.items, 3);
    assert.equal(parent.resource['service.name'], 'checkout');
    assert.match(parent.resource['opencensus.exporterversion'], /^Jaeger-Node-/);
    assert.equal(kid.status.code, 'STATUS_CODE_ERROR');
    assert.deepEqual([kid.events[0].name, kid.events[0].attributes[0].key], ['declined', 'card.brand']);
  });

for (const version of ['JSON_V1', 'JSON_V2'])
  it(`zipkin, ${version}`, async () => {
    const zipkin = require('zipkin');
    const { HttpLogger } = require('zipkin-transport-http');
    const path = version === 'JSON_V1' ? '/api/v1/spans' : '/api/v2/spans';
    const logger = new HttpLogger({
      endpoint: `http://127.0.0.1:${server.receivers.zipkin}${path}`,
      jsonEncoder: zipkin.jsonEncoder[version],
      httpInterval: 50,
    });
    const recorder = new zipkin.BatchRecorder({ logger });
    const tracer = new zipkin.Tracer({
      ctxImpl: new zipkin.ExplicitContext(),
      recorder,
      localServiceName: 'checkout',
      traceId128Bit: true,
    });
    const rootId = tracer.createRootId();
    tracer.scoped(() => {
      tracer.setId(rootId);
      tracer.recordServiceName('checkout');
      tracer.recordRpc('post');
      tracer.recordAnnotation(new zipkin.Annotation.ServerRecv());
      tracer.recordBinary('order', 'o1');
      const childId = tracer.createChildId();
      tracer.letId(childId, () => {
        tracer.recordServiceName('checkout');
        tracer.recordRpc('charge');
        tracer.recordAnnotation(new zipkin.Annotation.ClientSend());
        tracer.recordAnnotation(
          new zipkin.Annotation.ServerAddr({ serviceName: 'bank', host: new zipkin.InetAddress('127.0.0.1'), port: 9 }),
        );
        tracer.recordBinary('error', 'no money');
        tracer.recordAnnotation(new zipkin.Annotation.ClientRecv());
      });
      tracer.recordAnnotation(new zipkin.Annotation.ServerSend());
    });
    const [parent, kid] = await found(rootId.traceId);
    logger.close?.();
    assert.deepEqual([parent.name, parent.kind], ['post', 'SPAN_KIND_SERVER']);
    assert.equal(parent.resource['service.name'], 'checkout');
    assert.equal(parent.attributes.order, 'o1');
    assert.deepEqual([kid.name, kid.kind, kid.status.code], ['charge', 'SPAN_KIND_CLIENT', 'STATUS_CODE_ERROR']);
    if (version === 'JSON_V1') assert.equal(kid.attributes.sa, true);
    else assert.equal(kid.attributes['peer.service'], 'bank');
  });

const CENSUS: [string, () => unknown][] = [
  [
    "OpenCensus' exporter-zipkin",
    () => {
      const { ZipkinTraceExporter } = require('@opencensus/exporter-zipkin');
      const url = `http://127.0.0.1:${server.receivers.zipkin}/api/v2/spans`;
      return new ZipkinTraceExporter({ url, serviceName: 'checkout', bufferSize: 1, bufferTimeout: 50 });
    },
  ],
  [
    "OpenCensus' exporter-jaeger",
    () => {
      const { JaegerTraceExporter } = require('@opencensus/exporter-jaeger');
      const options = { serviceName: 'checkout', host: '127.0.0.1', port: server.receivers.binary };
      return new JaegerTraceExporter({ ...options, bufferSize: 1, bufferTimeout: 50 });
    },
  ],
];

for (const [name, exporter] of CENSUS)
  it(name, async () => {
    const { CoreTracer, logger, SpanKind: Kind } = require('@opencensus/core');
    const made = exporter() as Json;
    // As @opencensus/nodejs starts it, which depends on a gRPC that is compiled when it is installed.
    const tracer = new CoreTracer();
    tracer.registerSpanEventListener(made);
    tracer.start({ samplingRate: 1, logger: logger.logger() });
    let traceId = '';
    await new Promise<void>((resolve) =>
      tracer.startRootSpan({ name: 'POST /orders', kind: Kind.SERVER }, (root: Json) => {
        traceId = root.traceId;
        root.addAttribute('order', 'o1');
        const child = root.startChildSpan({ name: 'charge', kind: Kind.CLIENT });
        child.end();
        root.end();
        resolve();
      }),
    );
    const [parent, kid] = await found(traceId);
    assert.deepEqual([parent.name, kid.name], ['POST /orders', 'charge']);
    // The exporter for Jaeger says nothing of kinds.
    if (name.endsWith('zipkin')) assert.deepEqual([parent.kind, kid.kind], ['SPAN_KIND_SERVER', 'SPAN_KIND_CLIENT']);
    assert.equal(parent.resource['service.name'], 'checkout');
    assert.equal(parent.attributes.order, 'o1');
    tracer.stop();
    made.sender?.close?.();
  });
