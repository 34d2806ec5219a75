import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE_SECONDS, bothForms, EVER, type SpanSpec, traceIdOf } from './segments.fixture.ts';
import { SHOP } from './shop.fixture.ts';
import { searchByTags, type TagSearch } from './tag-search.ts';

const stop = (): void => {};

/** Numbers of the traces in the order of the answer. */
async function found(
  segments: Parameters<typeof searchByTags>[0],
  tags: Record<string, string>,
  request: Partial<TagSearch> = {},
): Promise<string> {
  const search = { tags: new Map(Object.entries(tags)), ...EVER, limit: 20, ...request };
  const { traces } = await searchByTags(segments, search, stop);
  return traces.map((trace) => Number.parseInt(trace.traceId, 16)).join(' ');
}

/** Trace 1: GET /cart (cart) over SELECT (cart, error). Trace 2: send mail (mail), orphan (cart, ok). */
const CASES: [tags: Record<string, string>, expected: string][] = [
  [{}, '2 1'],
  [{ 'service.name': 'cart' }, '2 1'],
  [{ 'service.name': 'ail' }, '2'],
  [{ 'service.name': 'Mail' }, ''],
  [{ 'service.name': 'mail', name: 'orphan' }, '2'],
  [{ 'service.name': 'mail', name: 'SELECT' }, ''],
  [{ name: 'SEL' }, '1'],
  [{ name: 'sel' }, ''],
  [{ 'root.name': 'GET' }, '1'],
  [{ 'root.name': 'SELECT' }, ''],
  [{ 'root.service.name': 'mai' }, '2'],
  [{ 'http.method': 'POS' }, '2'],
  [{ 'http.url': 'full' }, '1'],
  [{ 'http.status_code': '200' }, '1'],
  [{ 'http.status_code': '20' }, ''],
  [{ 'http.status_code': '200x' }, ''],
  [{ 'http.status_code': '99999999999999999999' }, ''],
  [{ 'status.code': 'error' }, '1'],
  [{ 'status.code': 'ok' }, '2'],
  [{ 'status.code': 'unset' }, '2 1'],
  [{ 'status.code': 'nonsense' }, '2 1'],
  [{ 'status.code': 'error', 'service.name': 'mail' }, ''],
  [{ region: 'eu' }, '2 1'],
  [{ region: 'us' }, '2'],
  [{ region: 'ap' }, '1'],
  [{ region: 'e' }, ''],
  [{ only: 'select' }, '1'],
  [{ region: 'eu', only: 'select' }, '1'],
  [{ region: 'ap', only: 'select' }, '1'],
  [{ region: 'us', only: 'select' }, ''],
  [{ region: 'us', other: 'mail' }, '2'],
  // Both are in the trace, but not in spans of one resource.
  [{ region: 'us', other: 'cart' }, ''],
  [{ rows: '42' }, ''],
  [{ cached: 'true' }, ''],
  [{ shard: 'a' }, ''],
  [{ 'link.type': 'follows' }, ''],
  [{ zones: 'b' }, '2'],
  [{ list: 'p' }, '1'],
  // An array that holds the value twice is missed, as in the reference; the other trace is not.
  [{ list: 'q' }, '1'],
  [{ only: '' }, ''],
  [{ 'no such key': 'x' }, ''],
];

test('traces by tags', async (t) => {
  const { live, block } = await bothForms(t, SHOP);
  for (const [tags, expected] of CASES)
    for (const segments of [[live], [block], [live, block]])
      assert.equal(await found(segments, tags), expected, JSON.stringify(tags));
});

test('bounds of the duration are inclusive and of the trace', async (t) => {
  const { live, block } = await bothForms(t, SHOP);
  for (const segments of [[live], [block], [live, block]]) {
    assert.equal(await found(segments, {}, { minDurationNs: 30_000_000n }), '1');
    assert.equal(await found(segments, {}, { minDurationNs: 30_000_001n }), '');
    assert.equal(await found(segments, {}, { maxDurationNs: 30_000_000n }), '2 1');
    assert.equal(await found(segments, {}, { maxDurationNs: 29_999_999n }), '2');
    assert.equal(await found(segments, {}, { minDurationNs: 2_000_000n, maxDurationNs: 2_000_000n }), '2');
    assert.equal(await found(segments, { name: 'GET' }, { maxDurationNs: 5_000_000n }), '');
  }
});

test('traces that overlap the range, newest first, as many as asked', async (t) => {
  const spans = Array.from(
    { length: 9 },
    (_, i): SpanSpec => ({ trace: i + 1, span: 1, at: 1000 * ((i * 4) % 9), ms: 500 }),
  );
  const { live, block } = await bothForms(t, spans);
  const byTime = spans.toSorted((a, b) => b.at! - a.at!).map((span) => span.trace);
  for (const segments of [[live], [block], [live, block]]) {
    assert.equal(await found(segments, {}), byTime.join(' '));
    assert.equal(await found(segments, {}, { limit: 3 }), byTime.slice(0, 3).join(' '));
    const startSeconds = BASE_SECONDS + 2;
    assert.equal(
      await found(segments, {}, { startSeconds, endSeconds: startSeconds + 2 }),
      byTime.slice(4, 7).join(' '),
    );
  }
});

test('older blocks are left alone when there are enough traces', async (t) => {
  const newer = await bothForms(t, [{ trace: 1, span: 1, at: 9000 }]);
  const older = await bothForms(t, [{ trace: 2, span: 1 }]);
  const search = { tags: new Map<string, string>(), ...EVER, limit: 1 };
  const inspected = async (...segments: Parameters<typeof searchByTags>[0]): Promise<number> => {
    const { traces, inspectedTraces } = await searchByTags(segments, search, stop);
    assert.deepEqual(
      traces.map((trace) => trace.traceId),
      [traceIdOf(1)],
    );
    return inspectedTraces;
  };
  assert.equal(await inspected(newer.block, older.block), 1);
  // Recent data is in no order of time.
  assert.equal(await inspected(older.live, newer.live), 2);
});

test('a trace in two segments is one, described as a whole', async (t) => {
  const root = await bothForms(t, [{ trace: 1, span: 1, name: 'root', ms: 10, resource: { 'service.name': 'front' } }]);
  const child = await bothForms(t, [
    { trace: 1, span: 2, parent: 1, name: 'child', at: 5, ms: 20, resource: { 'service.name': 'back' } },
  ]);
  const search = { tags: new Map([['name', 'child']]), ...EVER, limit: 20 };
  for (const segments of [
    [child.live, root.block],
    [root.live, child.block],
    [child.block, root.block],
  ]) {
    const { traces } = await searchByTags(segments, search, stop);
    assert.deepEqual(traces, [
      {
        traceId: traceIdOf(1),
        rootServiceName: 'front',
        rootTraceName: 'root',
        startUnixNano: BigInt(BASE_SECONDS) * 1_000_000_000n,
        durationMs: 25,
      },
    ]);
    assert.equal(await found(segments, {}, { maxDurationNs: 20_000_000n }), '');
  }
});
