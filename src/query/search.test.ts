import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Segment } from '../block/segment.ts';
import { parseQuery } from '../traceql/parse.ts';
import type { FoundValue } from './results.ts';
import { type SearchOptions, searchTraces } from './search.ts';
import { plainStats } from './service-stats.ts';
import { BASE_SECONDS, bothForms, EVER, joiningOf, type SpanSpec } from './segments.fixture.ts';
import { workedCases } from '../../tests/golden/worked.fixture.ts';
import { WORKED } from './worked.fixture.ts';

async function search(segments: readonly Segment[], text: string, options: Partial<SearchOptions> = {}) {
  const all = { ...EVER, limit: 20, spansPerSpanSet: 100, stop: () => {}, ...options };
  return searchTraces(segments, parseQuery(text), all, joiningOf());
}

/** The spansets as the fixture writes them, sorted; or the text of an error. */
async function found(segments: readonly Segment[], text: string): Promise<string> {
  try {
    const { traces } = await search(segments, text);
    const sets = traces.flatMap(({ spanSets }) =>
      spanSets!.map(({ spans, matched, attributes }) => {
        assert.equal(matched, spans.length);
        const names = spans.map(({ spanId }) => spanId.slice(-2)).sort();
        const said = attributes?.map(({ key, value }) => `${key}=${shown(value)}`).join(', ');
        return names.join(' ') + (said === undefined ? '' : ` [${said}]`);
      }),
    );
    return sorted(sets);
  } catch (error) {
    return (error as Error).message;
  }
}

function sorted(sets: string[]): string {
  return sets.sort().join(' / ');
}

function shown(value: FoundValue): string {
  return value.type === 'array' ? `[${value.values.map(shown).join()}]` : String(value.value);
}

test('a trace is one trace wherever its spans are', async (t) => {
  // Each span of trace A is in another place; two of them are in two places.
  const at = (...ids: number[]): SpanSpec[] => WORKED.filter(({ span }) => ids.includes(span));
  const first = await bothForms(t, at(0xa2, 0xa3, 0xb1, 0xc1));
  const second = await bothForms(t, at(0xa1, 0xa5, 0xb2));
  const third = await bothForms(t, at(0xa3, 0xa4, 0xa5));
  const layouts: [string, Segment[]][] = [
    ['live and two blocks', [third.live, second.block, first.block]],
    ['three live segments', [third.live, second.live, first.live]],
    ['three blocks', [third.block, second.block, first.block]],
  ];
  for (const [name, segments] of layouts)
    await t.test(name, async () => {
      for (const { query, answer, error } of workedCases())
        assert.equal(await found(segments, query), error ?? sorted(answer!), query);
    });
  await t.test('summaries tell of the whole trace', async () => {
    for (const [, segments] of layouts)
      for (const query of ['{ traceDuration > 0 && name = "parse" }', '{ name = "parse" } << { }']) {
        const { traces } = await search(segments, query);
        const stats = [...plainStats(traces[0].serviceStats!)].sort();
        assert.deepEqual(
          { ...traces[0], spanSets: undefined, serviceStats: stats },
          {
            traceId: '0000000000000000000000000000000a',
            rootServiceName: 'shop',
            rootTraceName: 'GET /cart',
            startUnixNano: BigInt(BASE_SECONDS) * 1_000_000_000n,
            durationMs: 400,
            spanSets: undefined,
            serviceStats: [
              ['cartdb', { spanCount: 2, errorCount: 1 }],
              ['shop', { spanCount: 3, errorCount: 0 }],
            ],
          },
          query,
        );
      }
  });
});

test('newest first, and no more than asked for', async (t) => {
  const spans = Array.from({ length: 50 }, (_, i): SpanSpec => ({ trace: i + 1, span: 1, at: ((i * 7) % 50) * 1000 }));
  const { live } = await bothForms(t, spans.slice(0, 20));
  const { block } = await bothForms(t, spans.slice(20));
  for (const query of ['{ } with(most_recent=true)', '{ } | count() > 0 with(most_recent=true)']) {
    const { traces } = await search([live, block], query, { limit: 5 });
    const starts = traces.map(({ startUnixNano }) => Number(startUnixNano / 1_000_000_000n) - BASE_SECONDS);
    assert.deepEqual(starts, [49, 48, 47, 46, 45], query);
  }
  const within = await search([live, block], '{ }', { startSeconds: BASE_SECONDS + 3, endSeconds: BASE_SECONDS + 5 });
  assert.equal(within.traces.length, 3);
});

test('spans beyond the listed ones are counted', async (t) => {
  const spans = Array.from(
    { length: 30 },
    (_, i): SpanSpec => ({ trace: 1, span: i + 1, attributes: { i: BigInt(i % 2) } }),
  );
  const { block } = await bothForms(t, spans);
  const { traces } = await search([block], '{ } | by(span.i)', { spansPerSpanSet: 4 });
  assert.deepEqual(
    traces[0].spanSets!.map((set) => [set.spans.length, set.matched]),
    [
      [4, 15],
      [4, 15],
    ],
  );
});

test('of roots in several segments the last one names the trace', async (t) => {
  const early: SpanSpec = { trace: 1, span: 1, name: 'early', at: 0 };
  const late: SpanSpec = { trace: 1, span: 2, name: 'late', at: 5 };
  const first = await bothForms(t, [early]);
  const second = await bothForms(t, [late, { trace: 1, span: 3, parent: 2, name: 'child', at: 6 }]);
  for (const segments of [
    [first.live, second.block],
    [second.live, first.block],
    [first.block, second.block],
    [second.block, first.block],
  ])
    for (const query of ['{ name = "early" }', '{ } && { name = "child" }'])
      assert.equal((await search(segments, query)).traces[0].rootTraceName, 'late', query);
});
