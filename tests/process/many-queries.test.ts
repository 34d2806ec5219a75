/** Many queries at once against a real server: places, queues, clients that leave, and what is hostile. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { type Cleanup, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, makeBatch, post, random } from './spans.fixture.ts';
import { type StreamingClient, streamingClient } from './streaming-client.fixture.ts';

const works: (() => void | Promise<void>)[] = [];
const cleanup: Cleanup = { after: (work) => void works.push(work) };

describe('many queries', () => {
  let server: Server;
  let client: StreamingClient;
  const TRACES = 40;

  before(async () => {
    server = await startServer(cleanup, {
      directory: temporaryFolder(cleanup, 'many-queries'),
      // One runs, two of a tenant wait.
      flags: [
        '--querier.max-concurrent-queries=1',
        '--query-frontend.max-outstanding-per-tenant=2',
        '--vivace.progress-interval=0s',
      ],
    });
    const next = random(17);
    for (let i = 0; i < TRACES / 10; i++) {
      const batch = makeBatch(next, { traces: 10, spansPerTrace: 20 });
      assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
      assert.equal((await ask(`${server.url}/flush`)).status, 204);
    }
    client = streamingClient(`127.0.0.1:${server.ports.internalGrpc}`);
  });

  after(async () => {
    client.close();
    for (let work = works.pop(); work !== undefined; work = works.pop()) await work();
  });

  const search = (q: string): string => `${server.url}/api/search?limit=1000&q=${encodeURIComponent(q)}`;
  const metric = async (name: RegExp): Promise<number> => {
    const { body } = await ask(`${server.url}/metrics`);
    return Number(new RegExp(`^${name.source} (\\d+)$`, 'm').exec(body.toString())?.[1] ?? 0);
  };

  it('those that find no room are told so, the others are answered', async () => {
    let refused = 0;
    await until('one was refused', async () => {
      const answers = await Promise.all(
        Array.from({ length: 40 }, () => ask(search('{ span.test.number =~ ".*7.*" }'))),
      );
      for (const { status, body, headers } of answers) {
        if (status === 200) continue;
        assert.deepEqual([status, body.toString(), headers['retry-after']], [429, 'job queue full\n', '1']);
        refused++;
      }
      assert.ok(answers.some(({ status }) => status === 200));
      return refused > 0;
    });
    assert.equal(await metric(/tempo_query_frontend_discarded_requests_total\{user="single-tenant"\}/), refused);
    // Streams wait in the same queue.
    await until('a stream was refused', async () => {
      const calls = Array.from({ length: 40 }, () => client.call('Search', { Query: '{}', Limit: 1000 }).ended);
      const ends = await Promise.allSettled(calls);
      return ends.some((end) => end.status === 'rejected' && end.reason.code === 8);
    });
  });

  it('clients that leave take nothing with them', async () => {
    const canceled = /tempo_query_frontend_queries_total\{tenant="single-tenant",op="search",result="canceled"\}/;
    let left = 0;
    for (let round = 0; round < 20; round++) {
      const requests = Array.from({ length: 3 }, () => {
        const request = http.get(search('{ span.test.number =~ ".*7.*" } >> { name = "db.query" } | count() > 1'));
        request.on('error', () => {});
        return request;
      });
      const streams = [client.call('Search', { Query: '{ } >> { }', Limit: 1000 })];
      await new Promise((resolve) => setImmediate(resolve));
      for (const request of requests) request.destroy();
      for (const stream of streams) stream.cancel();
      left += requests.length;
    }
    // A place that was not given back would be missing for ever: there is one.
    for (let i = 0; i < 5; i++)
      await until('there is a place', async () => {
        const { status, body } = await ask(search('{}'));
        return status === 200 && JSON.parse(body.toString()).traces.length === TRACES;
      });
    assert.equal(await metric(/tempo_query_frontend_queue_length\{user="single-tenant"\}/), 0);
    assert.ok((await metric(canceled)) <= 2 * left);
  });

  it('hostile queries get an error or a bounded answer, and the server lives on', async () => {
    const range = (q: string, more = ''): string =>
      `${server.url}/api/metrics/query_range?q=${encodeURIComponent(q)}${more}`;
    const nested = (depth: number): string => `{ ${'('.repeat(depth)} .a = 1 ${')'.repeat(depth)} }`;
    const alternatives = Array.from({ length: 10_000 }, (_, i) => `x${i}`).join('|');
    const hostile: [what: string, url: string, statuses: number[]][] = [
      ['128 KiB of nesting', search(nested(65_000)), [400]],
      ['nesting above 128 KiB', search(nested(66_000)), [400]],
      [
        'a long chain of ||',
        search(`{ ${Array.from({ length: 9000 }, (_, i) => `.a = ${i}`).join(' || ')} }`),
        [200, 400],
      ],
      ['many spansets', search(Array.from({ length: 9000 }, () => '{ .a = 1 }').join(' || ')), [200, 400]],
      ['a chain of >>', search(Array.from({ length: 20_000 }, () => '{}').join(' >> ')), [200, 400]],
      ['a pattern with many alternatives', search(`{ span.test.number =~ "${alternatives}" }`), [200]],
      ['a catastrophic pattern', search('{ span.test.trace =~ "(a+)+$" || name =~ "(.*)*(.*)*(.*)*x" }'), [200]],
      ['the greatest limit', `${server.url}/api/search?q=%7B%7D&limit=2147483648`, [400]],
      ['a billion steps', range('{} | rate()', '&start=1&end=1000000001&step=1'), [400]],
      ['steps of a nanosecond', range('{} | rate()', '&since=24h&step=1ns'), [400]],
      ['groups by a unique attribute', range('{} | rate() by (span:id)', '&since=1h&step=1s'), [200, 400]],
      ['compare of everything', range('{} | compare({}, 1000000000)', '&since=1h'), [200, 400]],
      ['a query of one megabyte', search(`{ .a = "${'x'.repeat(1 << 19)}" }`), [400, 414, 431]],
      ['filters of tags', `${server.url}/api/v2/search/tags?q=${encodeURIComponent(nested(3000))}`, [200, 400]],
      ['a million values', `${server.url}/api/v2/search/tag/span.test.trace/values?limit=999999999`, [200]],
    ];
    for (const [what, url, statuses] of hostile) {
      const { status, body } = await ask(url);
      assert.ok(statuses.includes(status), `${what}: ${status} ${body.toString().slice(0, 300)}`);
      assert.ok(body.length < 32 << 20, what);
    }
    assert.equal((await ask(`${server.url}/ready`)).status, 200);
    assert.doesNotMatch(server.stdout() + server.stderr(), /has failed|heap out of memory/);
  });
});
