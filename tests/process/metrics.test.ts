/** Metrics of spans that several processes hold, and of several tenants. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { type Answer, ask, makeBatch, post, random } from './spans.fixture.ts';

it('counts what processes on one folder hold, live and in blocks', async (t) => {
  const directory = temporaryFolder(t, 'metrics');
  const next = random(11);
  const flags = ['--vivace.live-bytes=2097152'];
  const servers = [
    await startServer(t, { directory, flags }),
    await startServer(t, { directory, flags }),
    await startServer(t, { directory, target: 'query-frontend' }),
  ];
  const startMs = Date.now() - 120_000;
  const sent = new Map<string, number>();
  for (let i = 0; i < 80; i++) {
    const service = ['cart', 'mail', 'shop'][i % 3];
    const batch = makeBatch(next, {
      traces: 3,
      spansPerTrace: 20,
      textBytes: 100,
      service,
      startMs: startMs + 500 * i,
    });
    assert.equal((await post(servers[i % 2].otlpUrl, batch.body)).status, 200);
    sent.set(service, (sent.get(service) ?? 0) + 60);
  }
  // Something is in blocks by now, and something is not. All of it is older than the cut-off.
  for (const server of servers) {
    const counts = await series(server, '{ } | count_over_time() by (resource.service.name)', startMs);
    assert.deepEqual(new Map(counts.map(({ labels, value }) => [labels[0].value.stringValue, value])), sent);
    const [total] = await series(server, '{ } | avg_over_time(duration)', startMs);
    assert.equal(total.value, 0.005);
    const quantiles = await series(server, '{ kind = server } | quantile_over_time(duration, .5, .9)', startMs);
    assert.deepEqual(
      quantiles.map(({ value }) => value),
      [2 ** 22.5 / 1e9, 2 ** 22.9 / 1e9],
    );
    const compared = await series(server, '{ } | compare({ kind = server })', startMs);
    const selected = compared.filter(
      ({ labels }) => labels[0].value.stringValue === 'selection' && labels[1].key === 'name',
    );
    assert.deepEqual(
      selected.map(({ labels, value }) => [labels[1].value.stringValue, value]),
      [['GET /checkout', 240]],
    );
    const traces = await series(server, '{ } | count() = 20 | count_over_time()', startMs);
    assert.equal(traces[0].value, 4800);
  }
});

it('counts tenants together when asked for several', async (t) => {
  const server = await startServer(t, {
    directory: temporaryFolder(t, 'metrics-tenants'),
    flags: ['--multitenancy.enabled=true'],
  });
  const next = random(12);
  const startMs = Date.now() - 60_000;
  for (const [tenant, traces] of [
    ['a', 2],
    ['b', 3],
  ] as const) {
    const { body } = makeBatch(next, { traces, service: tenant, startMs });
    assert.equal((await post(server.otlpUrl, body, { 'X-Scope-OrgID': tenant })).status, 200);
  }
  const counts = async (tenant: string, query: string) =>
    (await series(server, query, startMs, { 'X-Scope-OrgID': tenant })).map(({ value }) => value);
  assert.deepEqual(await counts('a', '{ } | count_over_time()'), [10]);
  assert.deepEqual(await counts('a|b', '{ } | count_over_time()'), [25]);
  assert.deepEqual(await counts('b|a', '{ } | count_over_time() by (resource.service.name)'), [10, 15]);
  assert.deepEqual(await counts('a|b', '{ } | count_over_time() by (resource.service.name) | topk(1)'), [15]);
  assert.deepEqual(await counts('a|b|c', '{ } | max_over_time(duration)'), [0.005]);
});

it('counts spans once that were sent again, before they were cut and after', async (t) => {
  const server = await startServer(t, { directory: temporaryFolder(t, 'metrics-again') });
  const startMs = Date.now() - 60_000;
  const { body } = makeBatch(random(13), { traces: 4, startMs });
  for (let sent = 1; sent <= 3; sent++) {
    assert.equal((await post(server.otlpUrl, body)).status, 200);
    if (sent % 2 === 0) assert.equal((await fetch(`${server.url}/flush`, { method: 'POST' })).status, 204);
    for (const query of [
      '{ } | count_over_time()',
      '{ } | by(name) | count_over_time()',
      '{ } | count() > 0 | count_over_time()',
    ])
      assert.deepEqual(
        (await series(server, query, startMs)).map(({ value }) => value),
        [20],
        `${query}, sent ${sent} times`,
      );
    const found = await ask(`${server.url}/api/search?q=${encodeURIComponent('{ duration >= 0 }')}`);
    const { traces } = JSON.parse(found.body.toString()) as SearchBody;
    assert.deepEqual(
      traces.map(({ spanSet, serviceStats }) => [
        spanSet.matched,
        Object.values(serviceStats).map((each) => each.spanCount),
      ]),
      Array.from({ length: 4 }, () => [5, [5]]),
      `sent ${sent} times`,
    );
  }
});

interface SearchBody {
  traces: { spanSet: { matched: number }; serviceStats: Record<string, { spanCount: number }> }[];
}

interface Found {
  labels: { key: string; value: { stringValue?: string } }[];
  value?: number;
}

/** An instant query over what was sent since `startMs`. */
async function series(
  server: Server,
  query: string,
  startMs: number,
  headers: Record<string, string> = {},
): Promise<Found[]> {
  const parameters = new URLSearchParams({
    q: query,
    start: String(Math.floor(startMs / 1000) - 1),
    end: String(Math.floor(Date.now() / 1000) + 60),
  });
  const answer: Answer = await ask(`${server.url}/api/metrics/query?${parameters}`, { headers });
  assert.equal(answer.status, 200, answer.body.toString());
  return (JSON.parse(answer.body.toString()) as { series?: Found[] }).series ?? [];
}
