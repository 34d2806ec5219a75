/** Clients that leave while all kinds of queries work for them: whatever they asked, the readers are free again. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { it } from 'node:test';
import { startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, makeBatch, post, random } from './spans.fixture.ts';
import { streamingClient } from './streaming-client.fixture.ts';

const SEARCHES = [
  '{ span.test.number + 1 > 3 }',
  '{ } >> { } | count() > 1',
  '{ } !~ { } | by(name) | avg(duration) > 1ns',
  '{ } | by(span:id) | max(span.test.number) > 1',
  '{ nestedSetLeft > 1 && rootName != "x" } | select(span.test.trace)',
];
const METRICS = [
  '{ } | rate() by (span:id)',
  '{ } | quantile_over_time(duration, .1, .2, .3, .4, .5, .6, .7, .8, .9, .99) by (span.test.number)',
  '{ } | rate() by (span:id) | topk(3) | bottomk(2) > 0',
  '{ } | compare({ kind = server }, 100)',
  '{ } >> { } | count() > 1 | histogram_over_time(duration) by (span.test.number)',
];

it('queries of clients that have gone end, whatever they compute', async (t) => {
  const server = await startServer(t, {
    directory: temporaryFolder(t, 'cancel'),
    flags: ['--querier.max-concurrent-queries=100', '--vivace.progress-interval=0s'],
  });
  const next = random(23);
  const startMs = Date.now() - 100_000;
  // Half of it is in a block, and every trace is in two places.
  const traces = Array.from({ length: 400 }, (_, i) => (0x1000 + i).toString(16).padStart(32, 'a'));
  for (let part = 0; part < 4; part++) {
    const batch = makeBatch(next, { traces, spansPerTrace: 15, startMs });
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    if (part === 1) assert.equal((await ask(`${server.url}/flush`, { method: 'POST' })).status, 204);
  }
  const metric = async (name: RegExp): Promise<number> => {
    const { body } = await ask(`${server.url}/metrics`);
    return Number(new RegExp(`^${name.source} (\\d+)$`, 'm').exec(body.toString())?.[1] ?? 0);
  };
  const running = /vivace_queries_running\{tenant="single-tenant"\}/;
  const urls = [
    ...SEARCHES.map((q) => `/api/search?limit=1000&spss=100&q=${encodeURIComponent(q)}`),
    ...METRICS.map((q) => `/api/metrics/query_range?since=10m&step=100ms&q=${encodeURIComponent(q)}`),
    '/api/v2/search/tag/span:id/values',
    `/api/v2/search/tags?q=${encodeURIComponent('{ span.test.number > 0 }')}`,
    '/api/search?tags=service.name%3Dshop&limit=1000',
  ];
  const client = streamingClient(`127.0.0.1:${server.ports.internalGrpc}`);
  t.after(() => client.close());
  for (let round = 0; round < 3; round++)
    for (const path of urls) {
      const request = http.get(server.url + path);
      request.on('error', () => {});
      const query = decodeURIComponent(/q=(.*)$/.exec(path)?.[1] ?? '{}');
      const stream = client.call('Search', { Query: query, Limit: 1000 });
      stream.ended.catch(() => {});
      if (round > 0) await new Promise((resolve) => setImmediate(resolve));
      request.destroy();
      stream.cancel();
    }
  await until('no query is at work', async () => (await metric(running)) === 0);
  assert.equal(await metric(/tempo_query_frontend_queue_length\{user="single-tenant"\}/), 0);
  const { status, body } = await ask(`${server.url}/api/search?q=%7B%7D&limit=1000`);
  assert.equal(status, 200);
  assert.equal((JSON.parse(body.toString()) as { traces: unknown[] }).traces.length, 400);
  assert.doesNotMatch(server.stdout() + server.stderr(), /has failed/);
});
