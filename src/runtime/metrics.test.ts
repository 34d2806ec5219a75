import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownMetrics } from './metrics.ts';

/** The samples of a scrape: `name{labels}` to value. */
async function scraped(metrics: ReturnType<typeof ownMetrics>): Promise<Map<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

const made = () => ownMetrics({ version: '3.0.3', revision: 'abc', branch: 'main' });

const counts: [what: string, count: (m: ReturnType<typeof made>) => void, samples: Record<string, number>][] = [
  [
    'spans received',
    (m) => m.received('a', 3, 700),
    {
      'tempo_distributor_spans_received_total{tenant="a"}': 3,
      'tempo_distributor_bytes_received_total{tenant="a"}': 700,
    },
  ],
  [
    'spans accepted',
    (m) => m.acceptedSpans('otlp/otlp_receiver', 'http', 3),
    { 'tempo_receiver_accepted_spans{receiver="otlp/otlp_receiver",transport="http"}': 3 },
  ],
  [
    'spans refused',
    (m) => m.refusedSpans('otlp/otlp_receiver', 'grpc', 2),
    { 'tempo_receiver_refused_spans{receiver="otlp/otlp_receiver",transport="grpc"}': 2 },
  ],
  [
    'spans discarded',
    (m) => m.discardedSpans('rate_limited', 'a', 2),
    { 'tempo_discarded_spans_total{reason="rate_limited",tenant="a"}': 2 },
  ],
  [
    'attributes cut',
    (m) => m.attributesTruncated('a', 'span', 2),
    { 'tempo_distributor_attributes_truncated_total{tenant="a",scope="span"}': 2 },
  ],
  [
    'traces begun, under both names',
    (m) => m.tracesCreated('a', 4),
    { 'tempo_ingester_traces_created_total{tenant="a"}': 4, 'tempo_live_store_traces_created_total{tenant="a"}': 4 },
  ],
  [
    'blocks written, under both names',
    (m) => m.blockFlushed(3, 5e6),
    {
      tempo_ingester_blocks_flushed_total: 1,
      tempo_live_store_blocks_completed_total: 1,
      'tempo_ingester_flush_duration_seconds_bucket{le="4"}': 1,
      'tempo_ingester_flush_duration_seconds_bucket{le="2"}': 0,
    },
  ],
  [
    'blocks not written',
    (m) => m.flushFailed(),
    { tempo_ingester_failed_flushes_total: 1, tempo_live_store_failed_completions_total: 1 },
  ],
  [
    'requests',
    (m) => m.request('api_search', 'GET', 200, 0.3),
    {
      'tempo_request_duration_seconds_bucket{le="0.5",method="GET",route="api_search",status_code="200",ws="false"}': 1,
      'tempo_request_duration_seconds_bucket{le="0.25",method="GET",route="api_search",status_code="200",ws="false"}': 0,
    },
  ],
  [
    'queries',
    (m) => m.query('search', 'a', 'completed', 11),
    {
      'tempo_query_frontend_queries_total{tenant="a",op="search",result="completed"}': 1,
      'tempo_query_frontend_request_duration_seconds_bucket{le="10",tenant="a",op="search"}': 0,
    },
  ],
  ['pushes', (m) => m.pushed(0.001), { tempo_distributor_push_duration_seconds_count: 1 }],
  [
    'traces of a batch',
    (m) => m.tracesPerBatch(1024),
    {
      'tempo_distributor_traces_per_batch_bucket{le="1024"}': 1,
      'tempo_distributor_traces_per_batch_bucket{le="512"}': 0,
    },
  ],
  [
    'limits',
    (m) => m.limitReached('max_bytes_per_trace'),
    { 'vivace_limit_reached_total{limit="max_bytes_per_trace"}': 1 },
  ],
];
for (const [what, count, samples] of counts) {
  test(`${what} are counted`, async () => {
    const metrics = made();
    count(metrics);
    const all = await scraped(metrics);
    for (const [sample, value] of Object.entries(samples)) assert.equal(all.get(sample), value, sample);
    metrics.close();
  });
}

test('levels are read at the scrape, and of tenants that are gone nothing stays', async () => {
  const metrics = made();
  let tenants: [string, number][] = [
    ['a', 5],
    ['b', 7],
  ];
  metrics.observe({ liveBytes: () => tenants });
  metrics.observe({ logBytes: () => 11 });
  const before = await scraped(metrics);
  assert.equal(before.get('vivace_live_bytes'), 12);
  assert.equal(before.get('vivace_log_bytes'), 11);
  assert.equal(before.get('tempo_live_store_live_trace_bytes{tenant="b"}'), 7);
  tenants = [['a', 1]];
  const after = await scraped(metrics);
  assert.equal(after.get('tempo_ingester_live_trace_bytes{tenant="a"}'), 1);
  assert.equal(after.has('tempo_ingester_live_trace_bytes{tenant="b"}'), false);
  metrics.close();
});

test('two instances in one process count for themselves', async () => {
  const [one, other] = [made(), made()];
  one.received('a', 3, 1);
  assert.equal((await scraped(other)).has('tempo_distributor_spans_received_total{tenant="a"}'), false);
  one.close();
  other.close();
});

test('the process tells its build, memory, time and files', async () => {
  const metrics = made();
  const all = await scraped(metrics);
  const info = [...all.keys()].find((sample) => sample.startsWith('tempo_build_info{'));
  assert.match(info ?? '', /version="3.0.3",revision="abc",branch="main"/);
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_start_time_seconds',
    'go_goroutines',
    'go_memstats_heap_inuse_bytes',
  ]) {
    assert.ok(all.get(name)! > 0, name);
  }
  assert.ok(all.has('go_gc_duration_seconds_count'));
  metrics.close();
});
