import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MetricsLabel, MetricsSeries } from '../query/metrics-results.ts';
import { asked, doing, get, json, series } from './api-under-test.ts';

const shop: MetricsLabel = { key: 'resource.service.name', value: { type: 'string', value: 'shop' } };
const mail: MetricsLabel = { key: 'resource.service.name', value: { type: 'string', value: 'mail' } };
const code: MetricsLabel = { key: 'span.code', value: { type: 'int', value: 200n } };

function of(value: number, ...labels: MetricsLabel[]): MetricsSeries {
  return { labels, values: Float64Array.of(value), exemplars: [] };
}

test('what 2.9 answered about groups of spans', async (t) => {
  t.after(() => {
    doing.series = undefined;
  });
  const at = (p: number): MetricsLabel => ({ key: 'p', value: { type: 'double', value: p } });
  doing.series = (query) => {
    if (query.includes('quantile'))
      return { ...series, series: [of(0.268435456, shop, code, at(0.99)), of(0.5, shop, code, at(0.5))] };
    if (query.includes('error')) return { ...series, series: [of(1, shop, code)] };
    return { ...series, series: [of(2, mail), of(7, shop, code), of(0, shop)] };
  };
  const parameters = 'q={ kind = server }&groupBy=resource.service.name, span.code&start=1&end=2';
  const path = `/api/metrics/summary?${parameters.replaceAll(' ', '%20')}`;
  assert.deepEqual(await json(path), {
    summaries: [
      {
        spanCount: '7',
        errorSpanCount: '1',
        series: [
          { key: 'resource.service.name', value: { type: 5, s: 'shop' } },
          { key: 'span.code', value: { type: 3, n: '200' } },
        ],
        p99: '268435456',
        p50: '500000000',
      },
      { spanCount: '2', series: [{ key: 'resource.service.name', value: { type: 5, s: 'mail' } }] },
    ],
  });
  assert.deepEqual(
    asked.slice(-3).map(({ query }) => query),
    [
      '{ kind = server } | count_over_time() by (resource.service.name, span.code)',
      '{ kind = server } | { status = error } | count_over_time() by (resource.service.name, span.code)',
      '{ kind = server } | quantile_over_time(duration, 0.99, 0.95, 0.9, 0.5) by (resource.service.name, span.code)',
    ],
  );
  assert.equal(((await json(`${path}&limit=1`)) as { summaries: unknown[] }).summaries.length, 1);
});

test('attributes that are none', async () => {
  for (const groupBy of ['a%20b', '.a,.b,.c,.d,.e']) {
    const { status, text } = await get(`/api/metrics/summary?groupBy=${groupBy}&start=1&end=2`);
    assert.equal(status, 400);
    assert.match(text, /invalid groupBy|at most 4/);
  }
});
