/** Traces of which two processes on one folder have a part each are one trace, whoever is asked and wherever the parts are. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { BASE_SECONDS, encodeRequest, type SpanSpec, traceIdOf } from '../../src/query/segments.fixture.ts';
import { type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { ask, post } from './spans.fixture.ts';

const RANGE = `start=${BASE_SECONDS - 60}&end=${BASE_SECONDS + 60}`;

it('a trace in two processes is evaluated as one', async (t) => {
  const directory = temporaryFolder(t, 'split-traces');
  const [left, right, reader] = [
    await startServer(t, { directory }),
    await startServer(t, { directory }),
    await startServer(t, { directory, target: 'query-frontend' }),
  ];
  const send = async (server: Server, spans: SpanSpec[]): Promise<void> => {
    assert.equal((await post(server.otlpUrl, Buffer.from(encodeRequest(spans)))).status, 200);
  };
  const resource = { 'service.name': 'shop' };
  const parent = (trace: number): SpanSpec => ({ trace, span: 1, name: 'parent', at: trace, ms: 9, resource });
  const child = (trace: number): SpanSpec => ({ trace, span: 2, parent: 1, name: 'child', at: trace + 1, resource });
  const grandchild = (trace: number): SpanSpec => ({ ...child(trace), span: 3, parent: 2, name: 'grandchild' });
  // 1 is in both, 2 and 3 are each in one; 4 was sent to both, as who hears no answer does.
  await send(left, [parent(1), grandchild(1), parent(2), child(2), parent(4)]);
  await send(right, [child(1), parent(3), child(3), parent(4)]);

  const traces = async (server: Server, query: string): Promise<unknown> => {
    const { status, body, headers } = await ask(`${server.url}/api/search?${RANGE}&q=${encodeURIComponent(query)}`);
    assert.equal(status, 200, body.toString());
    assert.match(String(headers['x-vivace-receipt']), /^complete,/);
    const found = JSON.parse(body.toString()) as { traces: FoundTrace[] };
    return Object.fromEntries(
      found.traces.map((trace) => [
        `${trace.traceID} ${trace.rootTraceName}`,
        `${trace.spanSet.matched} of ${trace.serviceStats.shop.spanCount}`,
      ]),
    );
  };
  const counted = async (server: Server, query: string): Promise<number[]> => {
    const { status, body } = await ask(`${server.url}/api/metrics/query?${RANGE}&q=${encodeURIComponent(query)}`);
    assert.equal(status, 200, body.toString());
    const { series = [] } = JSON.parse(body.toString()) as { series?: { value: number }[] };
    return series.map(({ value }) => value);
  };
  const check = async (when: string): Promise<void> => {
    for (const [who, server] of Object.entries({ left, right, reader })) {
      const where = `${when}, asked ${who}`;
      const all = { '1 parent': '3 of 3', '2 parent': '2 of 2', '3 parent': '2 of 2', '4 parent': '1 of 1' };
      assert.deepEqual(await traces(server, '{ }'), all, where);
      assert.deepEqual(
        await traces(server, '{ name = "parent" } >> { name =~ ".*child" }'),
        { '1 parent': '2 of 3', '2 parent': '1 of 2', '3 parent': '1 of 2' },
        where,
      );
      assert.deepEqual(
        await traces(server, '{ name = "child" } > { name = "grandchild" }'),
        { '1 parent': '1 of 3' },
        where,
      );
      assert.deepEqual(await traces(server, '{ } | count() = 3'), { '1 parent': '3 of 3' }, where);
      assert.deepEqual(await traces(server, '{ rootName = "parent" && name = "child" } | count() > 0 | by(name)'), {
        '1 parent': '1 of 3',
        '2 parent': '1 of 2',
        '3 parent': '1 of 2',
      });
      assert.deepEqual(await counted(server, '{ } | count_over_time()'), [8], where);
      assert.deepEqual(await counted(server, '{ } | count() > 2 | count_over_time()'), [3], where);
      assert.deepEqual(await counted(server, '{ } | count_over_time() by (rootName)'), [8], where);
      const whole = await ask(`${server.url}/api/v2/traces/${traceIdOf(1)}`);
      assert.equal(whole.body.toString().match(/"spanId"/g)?.length, 3, where);
    }
  };
  await check('live');
  assert.equal((await ask(`${left.url}/flush`, { method: 'POST' })).status, 204);
  await check('one in a block');
  await send(right, [grandchild(1)]);
  await check('a span in the block has come again');
  assert.equal((await ask(`${right.url}/flush`, { method: 'POST' })).status, 204);
  await check('all in blocks');
});

it('what a process writes to a block while others count is counted once', async (t) => {
  const directory = temporaryFolder(t, 'counted-once');
  const flags = ['--compactor.disabled=true'];
  const writer = await startServer(t, { directory, flags });
  const reader = await startServer(t, { directory, target: 'query-frontend' });
  let sent = 0;
  let busy = true;
  const write = async (): Promise<void> => {
    for (let trace = 1; trace <= 40; trace++) {
      const spans = Array.from({ length: 25 }, (_, span) => ({ trace, span: 1 + span, at: trace }));
      assert.equal((await post(writer.otlpUrl, Buffer.from(encodeRequest(spans)))).status, 200);
      sent += 25;
      if (trace % 3 === 0) assert.equal((await ask(`${writer.url}/flush`, { method: 'POST' })).status, 204);
    }
    busy = false;
  };
  const writing = write();
  const url = `${reader.url}/api/metrics/query?${RANGE}&q=${encodeURIComponent('{ } | count_over_time()')}`;
  for (let last = false; !last; ) {
    last = !busy;
    const before = sent;
    const { status, body } = await ask(url);
    assert.equal(status, 200, body.toString());
    const [{ value = 0 }] = (JSON.parse(body.toString()) as { series: { value?: number }[] }).series;
    // What is on its way may be counted before it is acknowledged.
    assert.ok(value >= before && value <= sent + 25, `${value} of ${before} to ${sent}`);
  }
  await writing;
});

interface FoundTrace {
  traceID: string;
  rootTraceName: string;
  spanSet: { matched: number };
  serviceStats: { shop: { spanCount: number } };
}
