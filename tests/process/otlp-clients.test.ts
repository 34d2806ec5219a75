import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Link, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import { type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { ask, search } from './spans.fixture.ts';

const EXPORTERS: [string, (server: Server) => SpanExporter][] = [
  ['grpc', ({ ports }) => new GrpcExporter({ url: `http://127.0.0.1:${ports.grpc}` })],
  ['http/json', ({ otlpUrl }) => new JsonExporter({ url: otlpUrl })],
  ['http/protobuf', ({ otlpUrl }) => new ProtoExporter({ url: otlpUrl })],
];

const LINK: Link = {
  context: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: TraceFlags.SAMPLED },
  attributes: { why: 'retry' },
};

for (const [name, exporter] of EXPORTERS)
  it(`${name}: found by id, by tag and by TraceQL at once, from a block, and after kill -9`, async (t) => {
    const directory = temporaryFolder(t);
    const first = await startServer(t, { directory });
    const sent = await send(exporter(first), name);
    await assertFound(first, sent, name);
    assert.equal((await ask(`${first.url}/flush`, { method: 'POST' })).status, 204);
    await assertFound(first, sent, name);
    // Some in a block, some in the log.
    const later = await send(exporter(first), name);
    await first.kill();
    const second = await startServer(t, { directory });
    for (const one of [sent, later]) await assertFound(second, one, name);
  });

interface Sent {
  trace: string;
  order: string;
  root: string;
  child: string;
}

/** What an application does. */
async function send(exporter: SpanExporter, name: string): Promise<Sent> {
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': `checkout-${name}`, 'service.version': '1.2.3' }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer('shop', '9.1');
  const order = Math.random().toString(36).slice(2);
  const root = tracer.startSpan('POST /orders', {
    kind: SpanKind.SERVER,
    links: [LINK],
    attributes: { 'app.order': order, 'app.items': 3, 'app.price': 9.5, 'app.paid': true, 'app.tags': ['a', 'b'] },
  });
  const child = tracer.startSpan('charge', { kind: SpanKind.CLIENT }, trace.setSpan(ROOT_CONTEXT, root));
  child.addEvent('declined', { 'card.brand': 'none' });
  child.setStatus({ code: SpanStatusCode.ERROR, message: 'no money' });
  child.end();
  root.end();
  await provider.forceFlush();
  await provider.shutdown();
  const { traceId, spanId } = root.spanContext();
  return { trace: traceId, order, root: spanId, child: child.spanContext().spanId };
}

interface Attribute {
  key: string;
  value: unknown;
}

async function assertFound({ url }: Server, sent: Sent, name: string): Promise<void> {
  const answer = await ask(`${url}/api/traces/${sent.trace}`);
  assert.equal(answer.status, 200);
  const { batches } = JSON.parse(answer.body.toString());
  assert.equal(batches.length, 1);
  const [batch] = batches;
  const resource = new Map(batch.resource.attributes.map(({ key, value }: Attribute) => [key, value]));
  assert.deepEqual(resource.get('service.name'), { stringValue: `checkout-${name}` });
  assert.equal(batch.scopeSpans.length, 1);
  assert.deepEqual(batch.scopeSpans[0].scope, { name: 'shop', version: '9.1' });
  const [root, child] = [sent.root, sent.child].map((id) =>
    batch.scopeSpans[0].spans.find((span: { spanId: string }) => span.spanId === base64(id)),
  );
  assert.equal(batch.scopeSpans[0].spans.length, 2);
  assert.deepEqual([root.name, root.kind, root.parentSpanId], ['POST /orders', 'SPAN_KIND_SERVER', undefined]);
  assert.deepEqual(
    root.attributes.map(({ key, value }: Attribute) => [key, value]),
    [
      ['app.order', { stringValue: sent.order }],
      ['app.items', { intValue: '3' }],
      ['app.price', { doubleValue: 9.5 }],
      ['app.paid', { boolValue: true }],
      ['app.tags', { arrayValue: { values: [{ stringValue: 'a' }, { stringValue: 'b' }] } }],
    ],
  );
  assert.deepEqual(
    root.links.map((link: { traceId: string; spanId: string; attributes: Attribute[] }) => [
      link.traceId,
      link.spanId,
      link.attributes,
    ]),
    [[base64(LINK.context.traceId), base64(LINK.context.spanId), [{ key: 'why', value: { stringValue: 'retry' } }]]],
  );
  assert.deepEqual([child.kind, child.parentSpanId], ['SPAN_KIND_CLIENT', base64(sent.root)]);
  assert.deepEqual(child.status, { code: 'STATUS_CODE_ERROR', message: 'no money' });
  assert.deepEqual(
    child.events.map((event: { name: string; attributes: Attribute[] }) => [event.name, event.attributes]),
    [['declined', [{ key: 'card.brand', value: { stringValue: 'none' } }]]],
  );

  const finding: Record<string, string>[] = [
    { tags: `app.order=${sent.order}` },
    { tags: `service.name="checkout-${name}" app.order=${sent.order}` },
    { q: `{ span.app.order = "${sent.order}" }` },
    { q: `{ .app.order = "${sent.order}" && span.app.items > 2 && span.app.paid = true && kind = server }` },
    { q: `{ .app.order = "${sent.order}" } && { status = error && name = "charge" }` },
  ];
  for (const parameters of finding)
    assert.deepEqual(await search(url, parameters), [sent.trace], JSON.stringify(parameters));
  const missing: Record<string, string>[] = [
    { tags: 'app.order=other' },
    { q: `{ span.app.order = "${sent.order}" && kind = client }` },
  ];
  for (const parameters of missing) assert.deepEqual(await search(url, parameters), [], JSON.stringify(parameters));
}

function base64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}
