import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asked, fields, get, json, lastAsked, NOW } from './api-under-test.ts';
import { alignedRange, automaticStep, instantRange } from './metrics-parameters.ts';

const S = 1_000_000_000n;
const limits = { maxSeconds: 86_400, exemplarsMax: 100, seriesMax: 0, intervalsMax: 10_000, endCutoffMs: 30_000 };

test('a range is rounded outwards and begins one step earlier', () => {
  const range = (startNs: bigint, endNs: bigint, stepNs: bigint) =>
    Object.values(alignedRange({ startNs, endNs, stepNs }, limits, NOW * 1000));
  assert.deepEqual(range(600n * S, 1200n * S, 300n * S), [300n * S, 1200n * S, 300n * S]);
  assert.deepEqual(range(600n * S + 1n, 1200n * S + 1n, 300n * S), [300n * S, 1500n * S, 300n * S]);
  assert.deepEqual(range(700n * S, 800n * S, 600n * S), [0n, 1200n * S, 600n * S]);
});

test('a range ends before the cut-off', () => {
  const now = BigInt(NOW) * S;
  const at = (endNs: bigint, stepNs = 20n * S) =>
    alignedRange({ startNs: now - 600n * S, endNs, stepNs }, limits, NOW * 1000).endNs - now;
  assert.equal(at(now + 5n * S), -40n * S);
  assert.equal(at(now - 40n * S), -40n * S);
  assert.equal(at(now - 60n * S), -60n * S);
  const instant = instantRange({ startNs: now - 600n * S, endNs: now }, limits, NOW * 1000);
  assert.deepEqual(Object.values(instant), [now - 600n * S, now - 30n * S, 570n * S]);
});

test('steps without a step', () => {
  const seconds = (range: number) => Number(automaticStep(BigInt(Math.round(range * 1e9)))) / 1e9;
  assert.deepEqual(
    [0, 1, 12, 30, 59.9, 60, 240, 300, 3000, 3600, 4000, 86_400, 7 * 86_400, 40 * 86_400].map(seconds),
    [0.05, 0.05, 0.05, 0.1, 0.2, 1, 1, 1, 10, 15, 15, 300, 2400, 14_400],
  );
});

test('parameters in all notations', async () => {
  const from = `start=${NOW - 3000}`;
  const ask = async (parameters: string, route = 'query_range') => {
    const { status, text } = await get(`/api/metrics/${route}?q=x&${parameters}`);
    assert.equal(status, 200, text);
    const { startNs, endNs, stepNs, exemplars, seriesMax, instant } = lastAsked();
    const ns = (value: unknown) => Number((value as bigint) - BigInt(NOW) * S) / 1e9;
    return [ns(startNs), ns(endNs), Number(stepNs) / 1e9, exemplars, seriesMax, instant];
  };
  assert.deepEqual(await ask(`${from}&end=${NOW - 600}&step=1m`), [-3060, -600, 60, 100, 0, false]);
  assert.deepEqual(await ask(`${from}000000000&end=${NOW - 600}.0&step=60&exemplars=7`), [
    -3060,
    -600,
    60,
    7,
    0,
    false,
  ]);
  assert.deepEqual(
    await ask(
      `start=${new Date((NOW - 3000) * 1000).toISOString()}&end=${NOW - 600}&step=60.0&exemplars=x&maxSeries=5`,
    ),
    [-3060, -600, 60, 100, 5, false],
  );
  assert.deepEqual(await ask('since=10m&step=20s'), [-620, -40, 20, 100, 0, false]);
  assert.deepEqual(await ask(`end=${NOW - 600}&since=10m&step=20s`), [-1220, -600, 20, 100, 0, false]);
  assert.deepEqual(await ask(`${from}&end=${NOW - 600}`, 'query'), [-3000, -600, 2400, 0, 0, true]);
  await get(`/api/metrics/query?query=y&${from}&end=${NOW}`);
  assert.equal(lastAsked().query, 'y');
});

test('what is refused', async () => {
  const refused = async (parameters: string, route = 'query_range') => {
    const before = asked.length;
    const { status, text } = await get(`/api/metrics/${route}?q=x&${parameters}`);
    assert.equal(status, 400);
    assert.equal(asked.length, before);
    return text.trim();
  };
  const range = `start=${NOW - 3000}&end=${NOW}`;
  const desc = 'rpc error: code = Code(400) desc = ';
  assert.equal(await refused(`${range}&step=soon`), `${desc}cannot parse "soon" to a valid duration`);
  assert.equal(await refused(`${range}&step=-1m`), 'start required');
  assert.equal(await refused(`${range}&step=1ms`), 'step of 1ms is too small, minimum step for given range is 300ms');
  assert.equal(
    await refused('since=soon'),
    `${desc}could not parse 'since' parameter: not a valid duration string: "soon"`,
  );
  assert.match(await refused('start=yesterday&end=1'), /could not parse 'start' parameter/);
  assert.equal(await refused(`start=${NOW}&end=${NOW - 1}`), 'end must be greater than start');
  assert.equal(await refused(`start=${NOW}&end=${NOW}`, 'query'), 'end must be greater than start');
  assert.equal(
    await refused(`start=${NOW - 90_000}&end=${NOW}`, 'query'),
    'metrics query time range exceeds the maximum allowed duration of 24h0m0s',
  );
});

test('answers in JSON', async () => {
  const range = await json('/api/metrics/query_range?q=x');
  const labels = [
    { key: 'resource.service.name', value: { stringValue: 'a<b' } },
    { key: 'span.code', value: { intValue: '200' } },
    { key: 'p', value: { doubleValue: 0.5 } },
  ];
  const metrics = { inspectedTraces: 3, inspectedBytes: '20668', totalBlocks: 1, completedJobs: 4, totalJobs: 4 };
  const rest = {
    metrics: { ...metrics, inspectedSpans: '8' },
    status: 'PARTIAL',
    message: 'Response exceeds maximum series limit of 2',
  };
  const other = [{ key: 'span.hit', value: { boolValue: false } }];
  assert.deepEqual(range, {
    series: [
      {
        labels,
        samples: [{ timestampMs: '1767225000000' }, { timestampMs: '1767225060000', value: 1.5 }],
        exemplars: [
          {
            labels: [{ key: 'trace:id', value: { stringValue: '12' } }],
            value: 0.25,
            timestampMs: '1767225000001',
          },
        ],
      },
      {
        labels: other,
        samples: [
          { timestampMs: '1767225000000', value: '-Infinity' },
          { timestampMs: '1767225030000', value: 2 },
          { timestampMs: '1767225060000', value: 3 },
        ],
      },
    ],
    ...rest,
  });
  assert.deepEqual(await json('/api/metrics/query?q=x'), {
    series: [{ labels }, { labels: other, value: '-Infinity' }],
    ...rest,
  });
});

test('answers in protobuf', async () => {
  const headers = { accept: 'application/protobuf' };
  const range = await get('/api/metrics/query_range?q=x', headers);
  assert.equal(range.type, 'application/protobuf');
  const [first, second] = fields(range.body, 1);
  assert.equal(fields(first, 1).length, 3);
  assert.equal(fields(first, 2).length, 2);
  assert.equal(fields(first, 4).length, 1);
  assert.equal(fields(second, 2).length, 3);
  assert.equal(fields(range.body, 4)[0].toString(), 'Response exceeds maximum series limit of 2');
  const instant = await get('/api/metrics/query?q=x', headers);
  assert.equal(fields(instant.body, 1).length, 2);
});

test('tenants are counted together', async () => {
  await get('/api/metrics/query?q=x', { 'x-scope-orgid': 'a|b|c' }, 'tenants');
  assert.deepEqual(
    asked.slice(-3).map(({ tenant }) => tenant),
    ['b', 'c', 'a'],
  );
  assert.equal((lastAsked().others as unknown[]).length, 2);
});
