import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { shopVisit } from '../../bench/shop.ts';
import { rng } from '../../bench/workload.mjs';
import { environment, freePorts, ROOT, startServer, temporaryFolder, until, watch } from './server.fixture.ts';

interface JsonSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  kind: number;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  events: { name: string; timeUnixNano: string }[];
  links: { traceId: string; spanId: string }[];
  status: { code?: number };
}
interface JsonResource {
  resource: { attributes: { key: string; value: { stringValue?: string } }[] };
  scopeSpans: { spans: JsonSpan[] }[];
}

test('a visit is a tree of spans that lie within their parents, and a consumer links to its message', () => {
  const random = rng(7);
  const seen = { links: 0, exceptions: 0, retries: 0, services: new Set<string>() };
  for (let i = 0; i < 2000; i++) {
    const visit = shopVisit(random, 1_700_000_000_000);
    const resources = visit.resourceSpans as JsonResource[];
    const spans = resources.flatMap((each) => each.scopeSpans[0].spans);
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    assert.equal(byId.size, visit.spans);
    assert.equal(spans.filter((span) => span.parentSpanId === undefined).length, visit.traces);
    assert.equal(spans.filter((span) => span.status.code === 2).length, visit.errors);
    for (const span of spans) {
      const [start, end] = [BigInt(span.startTimeUnixNano), BigInt(span.endTimeUnixNano)];
      assert.ok(start <= end && end <= 1_700_000_000_000_000_000n);
      if (span.parentSpanId !== undefined) {
        const parent = byId.get(span.parentSpanId)!;
        assert.equal(span.traceId, parent.traceId);
        assert.ok(start >= BigInt(parent.startTimeUnixNano) && end <= BigInt(parent.endTimeUnixNano));
      }
      for (const event of span.events) {
        assert.ok(BigInt(event.timeUnixNano) >= start && BigInt(event.timeUnixNano) <= end);
        if (event.name === 'exception') seen.exceptions++;
        if (event.name === 'retry') seen.retries++;
      }
      for (const link of span.links) {
        const message = byId.get(link.spanId)!;
        assert.equal(message.kind, 4);
        assert.equal(message.traceId, link.traceId);
        assert.notEqual(message.traceId, span.traceId);
        seen.links++;
      }
    }
    for (const { resource } of resources)
      seen.services.add(resource.attributes.find(({ key }) => key === 'service.name')!.value.stringValue!);
  }
  assert.ok(seen.links > 0 && seen.exceptions > 0 && seen.retries > 0, JSON.stringify(seen));
  assert.deepEqual([...seen.services].sort(), [
    ...['cart', 'catalog', 'checkout', 'email', 'frontend', 'fulfilment', 'payment', 'shipping'],
  ]);
});

test('the demo waits for the server, fills it, and ends on SIGINT with a summary', async (t) => {
  const ports = await freePorts();
  const demo = watch(
    process.execPath,
    [path.join(ROOT, 'bench/demo.ts'), `--url=http://127.0.0.1:${ports.http}/v1/traces`, '--rate=20'],
    environment(),
  );
  t.after(async () => {
    demo.child.kill('SIGKILL');
    await demo.exited;
  });
  await until(
    'the demo says that it waits',
    () => demo.stdout().includes('waiting: no server at'),
    30_000,
    demo.stderr,
  );
  const server = await startServer(t, { directory: temporaryFolder(t, 'demo'), ports });
  const found = async (query: string): Promise<number> => {
    const answer = await fetch(`${server.url}/api/search?limit=5&q=${encodeURIComponent(query)}`);
    return ((await answer.json()) as { traces: unknown[] }).traces.length;
  };
  await until(
    'pages of the frontend are found',
    async () => (await found('{ resource.service.name = "frontend" && kind = server }')) > 0,
  );
  await until('orders are found', async () => (await found('{ name = "process orders" }')) > 0);
  await until('a line tells of a trace', () => /\/api\/traces\/[0-9a-f]{32}/.test(demo.stdout()));
  const id = /\/api\/traces\/([0-9a-f]{32})/.exec(demo.stdout())![1];
  assert.equal((await fetch(`${server.url}/api/traces/${id}`)).status, 200);
  demo.child.kill('SIGINT');
  assert.deepEqual(await demo.exited, { code: 0, signal: null });
  assert.match(demo.stdout(), /Sent \d+ traces, \d+ spans \(\d+ with errors\) in \d+ s\.\n$/);
  assert.equal(demo.stderr(), '');
});

test('options that make no sense are refused', async () => {
  const demo = watch(process.execPath, [path.join(ROOT, 'bench/demo.ts'), '--rate=-1'], environment());
  assert.deepEqual(await demo.exited, { code: 2, signal: null });
  assert.match(demo.stderr(), /cannot start the demo: --rate -1 is not a number/);
});
