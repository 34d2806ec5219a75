import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import type { Segment } from '../block/segment.ts';
import { mergeBlocks } from '../compact/merge-blocks.ts';
import { LiveSegment } from '../cut/live-segment.ts';
import { RepeatedRows } from '../cut/repeated-rows.ts';
import { blockOf, cut, TestColumns } from '../../tests/contract/segments.fixture.ts';
import { parseQuery } from '../traceql/parse.ts';
import { rowsOf } from './bits.ts';
import { beginMetrics } from './metrics.ts';
import { RepeatedSpanCache } from './repeated-spans.ts';
import { BASE_SECONDS, encodeRequest, joiningOf, type SpanSpec } from './segments.fixture.ts';

const span = (trace: number, id: number, more: Partial<SpanSpec> = {}): SpanSpec => ({
  trace,
  span: id,
  at: id,
  ...more,
});
const stop = (): void => {};

function folderOf(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-repeated-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

async function blockWith(t: TestContext, spans: SpanSpec[]): Promise<Segment> {
  const columns = new TestColumns();
  columns.append(encodeRequest(spans));
  const block = await blockOf(await cut(columns, folderOf(t)));
  t.after(() => block.close());
  return block;
}

/** How many spans of each segment are found to be elsewhere. */
async function repeatedIn(cache: RepeatedSpanCache, segments: Segment[]): Promise<number[]> {
  return (await cache.find(segments, stop)).map((rows) => (rows === undefined ? 0 : rowsOf(rows).length));
}

test('a span of two blocks counts in the older one, unless kind or start or trace differ', async (t) => {
  const older = await blockWith(t, [span(1, 1), span(1, 2), span(2, 3), span(9, 9)]);
  const newer = await blockWith(t, [
    span(1, 1),
    span(1, 2, { kind: 2 }),
    span(2, 3, { at: 4 }),
    span(3, 1),
    span(9, 9),
  ]);
  const cache = new RepeatedSpanCache();
  for (let times = 0; times < 2; times++) assert.deepEqual(await repeatedIn(cache, [newer, older]), [2, 0]);
  // With a third one between them.
  const between = await blockWith(t, [span(1, 2), span(3, 1)]);
  assert.deepEqual(await repeatedIn(cache, [newer, between, older]), [3, 1, 0]);
});

test('of a trace that is too large to be put together when its blocks are merged every span counts once', async (t) => {
  const folder = folderOf(t);
  const refs = [];
  for (const spans of [
    [span(1, 1), span(1, 2), span(1, 3)],
    [span(1, 2), span(1, 4), span(1, 5)],
  ]) {
    const columns = new TestColumns();
    columns.append(encodeRequest(spans));
    refs.push(await cut(columns, folder));
  }
  const { block } = await mergeBlocks(refs, {
    ...{ blocksDirectory: folder, pageRows: 4, createdBy: 'vivace test', fsync: 'never', nowMs: Date.now() },
    ...{ bounds: { columnsMax: 512, rowsMax: 1, bytesMax: 1 << 20 }, pause: async () => {}, checkLock: async () => {} },
  });
  const merged = await OpenBlock.open(block, createBlockCaches(1 << 20));
  t.after(() => merged.close());
  const segments = [...merged.rowGroups];
  assert.deepEqual(
    segments.map(({ rows }) => rows),
    [3, 3],
  );
  assert.deepEqual(await repeatedIn(new RepeatedSpanCache(), segments), [1, 0]);
});

test('of many blocks at once every span counts once', async (t) => {
  const blocks: Segment[] = [];
  for (let i = 0; i < 24; i++) blocks.push(await blockWith(t, [span(7, 1), span(7, 100 + i), span(7, 101 + i)]));
  const repeated = await repeatedIn(new RepeatedSpanCache(), blocks.reverse());
  assert.deepEqual(repeated, [...Array.from({ length: 23 }, () => 2), 0]);
});

test('rows that come to a live segment are compared when they have come', async (t) => {
  const block = await blockWith(t, [span(1, 1), span(1, 2), span(2, 3)]);
  const columns = new TestColumns();
  const known = new RepeatedRows();
  const cache = new RepeatedSpanCache();
  const views: Segment[] = [];
  const expected: [own: number, elsewhere: number][] = [];
  const take = (spans: SpanSpec[], own: number, elsewhere: number): void => {
    columns.append(encodeRequest(spans));
    views.push(new LiveSegment(columns.snapshot(5), known));
    expected.push([own, elsewhere]);
  };
  take([span(4, 4), span(4, 4)], 0, 0);
  take([span(1, 1), span(4, 5)], 0, 1);
  take([span(4, 4), span(4, 5), span(1, 5), span(2, 3)], 2, 2);
  take([span(1, 1), span(2, 3, { kind: 4 })], 3, 3);
  // An older view is asked again after a newer one.
  for (const i of [0, 1, 2, 3, 1, 0]) {
    const [own, elsewhere] = expected[i];
    assert.equal(views[i].repeatedRows!().length, own);
    assert.deepEqual(await repeatedIn(cache, [views[i], block]), [elsewhere, 0], `view ${i}`);
  }
});

test('of two live segments the newer one leaves out what the older one has', async () => {
  const live = (id: number, ...requests: SpanSpec[][]): Segment => {
    const columns = new TestColumns();
    for (const spans of requests) columns.append(encodeRequest(spans));
    return new LiveSegment(columns.snapshot(id));
  };
  const older = live(1, [span(1, 1), span(2, 2)]);
  const newer = live(2, [span(2, 2), span(1, 9)], [span(1, 1)]);
  assert.deepEqual(await repeatedIn(new RepeatedSpanCache(), [newer, older]), [2, 0]);
});

test('metrics count a span that was sent again once', async (t) => {
  const spans = [span(1, 1, { name: 'a' }), span(1, 2, { name: 'b' }), span(2, 3, { name: 'a' })];
  const block = await blockWith(t, spans);
  const columns = new TestColumns();
  columns.append(encodeRequest([...spans, span(3, 4, { name: 'a' })]));
  columns.append(encodeRequest([span(3, 4, { name: 'a' }), span(3, 5, { name: 'b' })]));
  const live = new LiveSegment(columns.snapshot(1));
  const base = BigInt(BASE_SECONDS) * 1_000_000_000n;
  for (const [query, expected] of [
    ['{ } | count_over_time()', [5]],
    ['{ } | count_over_time() by(name)', [3, 2]],
    ['{ name = "a" } | count_over_time()', [3]],
    ['{ name = "a" } || { name = "b" } | count_over_time()', [5]],
    ['{ } | count() > 0 | count_over_time()', [5]],
    ['{ rootName != "" } | count_over_time()', [5]],
    ['{ } | sum_over_time(duration)', [0.005]],
  ] as const) {
    const window = { startNs: base - 1_000_000_000n, endNs: base + 1_000_000_000n, stepNs: 2_000_000_000n };
    const running = beginMetrics(parseQuery(query), { ...window, instant: true, exemplars: 0, seriesMax: 0 });
    await running.add([live, block], joiningOf(), { stop });
    assert.deepEqual(
      running.finish().series!.map(({ values }) => Number(values[0].toFixed(6))),
      expected,
      query,
    );
  }
});
