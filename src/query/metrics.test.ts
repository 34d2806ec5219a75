import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import type { Segment } from '../block/segment.ts';
import { checkQuery } from '../traceql/check.ts';
import { parseQuery } from '../traceql/parse.ts';
import { beginMetrics, type MetricsOptions } from './metrics.ts';
import type { MetricsLabel, MetricsOutcome } from './metrics-results.ts';
import { BASE_SECONDS, bothForms, joiningOf, type SpanSpec } from './segments.fixture.ts';
import { WORKED } from './worked.fixture.ts';

const S = 1_000_000_000n;
const BASE = BigInt(BASE_SECONDS) * S;

/** The ranges of spec/traceql.md §11.3: a minute to both sides of the base, in steps of 30 s or in one. */
const RANGES: Record<string, Pick<MetricsOptions, 'startNs' | 'endNs' | 'stepNs' | 'instant'>> = {
  range: { startNs: BASE - 90n * S, endNs: BASE + 60n * S, stepNs: 30n * S, instant: false },
  instant: { startNs: BASE - 60n * S, endNs: BASE + 60n * S, stepNs: 120n * S, instant: true },
};

async function outcomeOf(
  segments: readonly Segment[],
  text: string,
  options: Partial<MetricsOptions> = {},
): Promise<MetricsOutcome> {
  const query = parseQuery(text);
  checkQuery(query, text);
  const running = beginMetrics(query, { ...RANGES.range, exemplars: 0, seriesMax: 0, ...options });
  await running.add(segments, joiningOf(), { stop: () => {} });
  return running.finish();
}

/** `{label=value} time:value …`, series after series; times are seconds after the base. */
function written({ series, stampsMs }: MetricsOutcome, instant: boolean): string {
  if (series === undefined) return 'no series';
  const lines = series.map(({ labels, values }) => {
    const samples: string[] = [];
    values.forEach((value, i) => {
      if (Number.isNaN(value)) return;
      const shown = value
        .toPrecision(6)
        .replace(/(\.\d*?)0+(e|$)/, '$1$2')
        .replace(/\.(e|$)/, '$1');
      samples.push(instant ? shown : `${stampsMs[i] / 1000 - BASE_SECONDS}:${shown}`);
    });
    return `{${labels.map(writtenLabel).join(', ')}} ${samples.join(' ')}`;
  });
  return lines.length === 0 ? 'nothing' : lines.join(' ; ');
}

function writtenLabel({ key, value }: MetricsLabel): string {
  assert.notEqual(value.type, 'array');
  return `${key}=${value.type === 'string' ? '' : `${value.type}:`}${(value as { value: unknown }).value}`;
}

const cases = fs
  .readFileSync(new URL('../../tests/golden/worked/metrics.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => /^(range|instant) (.*?)(?: >(\w+))? => (.*)$/.exec(line) ?? assert.fail(`no case: ${line}`));

test('the worked examples of metrics', async (t) => {
  const { live, block } = await bothForms(t, WORKED);
  // Spans of a trace in several places.
  const at = (...ids: number[]): SpanSpec[] => WORKED.filter(({ span }) => ids.includes(span));
  const first = await bothForms(t, at(0xa2, 0xa3, 0xb1, 0xc1));
  const second = await bothForms(t, at(0xa1, 0xa5, 0xb2));
  const third = await bothForms(t, at(0xa4));
  const split = await bothForms(t, WORKED.slice(0, 5), WORKED.slice(5));
  for (const [, kind, query, only, expected] of cases)
    await t.test(`${kind} ${query}`, async () => {
      for (const [where, segments] of [
        ['live', [live]],
        ['block', [block]],
        ['two requests', [split.live]],
        ['live and two blocks', [third.live, second.block, first.block]],
        ['three live segments', [third.live, second.live, first.live]],
        ['three blocks', [third.block, second.block, first.block]],
      ] as const) {
        const found = await outcomeOf(segments, query, RANGES[kind]);
        if (only !== undefined)
          found.series = found.series?.filter(({ labels }) => labels.some(({ key }) => key === only));
        assert.equal(written(found, kind === 'instant'), expected, where);
      }
    });
});

test('parts of an answer add up', async (t) => {
  const whole = await bothForms(t, WORKED);
  const a = await bothForms(t, WORKED.slice(0, 3));
  const b = await bothForms(t, WORKED.slice(3));
  for (const [, kind, text] of cases) {
    const query = parseQuery(text);
    // Whole traces are needed for these.
    if (/>>|count\(\)|nestedSet|trace|root|childCount/.test(text)) continue;
    const options = { ...RANGES[kind], exemplars: 0, seriesMax: 0 };
    const [first, second] = [beginMetrics(query, options), beginMetrics(query, options)];
    await first.add([a.live], joiningOf(), { stop: () => {} });
    await second.add([b.block], joiningOf(), { stop: () => {} });
    first.merge(structuredClone(second.partial()));
    const expected = await outcomeOf([whole.block], text, options);
    const merged = first.finish();
    if (query.metrics?.name === 'compare') {
      const bare = ({ series }: MetricsOutcome) =>
        series!.filter(({ labels }) => !labels[1].key.startsWith('root')).map((each) => writtenLabel(each.labels[1]));
      assert.deepEqual(bare(merged), bare(expected), text);
    } else assert.equal(written(merged, false), written(expected, false), text);
  }
});

test('a span on an edge belongs to the interval that ends there', async (t) => {
  const spans: SpanSpec[] = [0, 0.000001, 10_000, 10_000.000001, 19_999.999999, 20_000, 30_000, 30_000.000001].map(
    (at, i) => ({ trace: 1 + i, span: 1, at }),
  );
  const { live, block } = await bothForms(t, spans);
  const options = { startNs: BASE, endNs: BASE + 30n * S, stepNs: 10n * S };
  for (const segment of [live, block])
    assert.equal(
      written(await outcomeOf([segment], '{} | count_over_time()', options), false),
      '{__name__=count_over_time} 10:2 20:3 30:1',
    );
  // All in one interval, none in any: nothing is read then.
  for (const segment of [live, block]) {
    const one = { startNs: BASE - 10n * S, endNs: BASE + 90n * S, stepNs: 100n * S };
    assert.equal(written(await outcomeOf([segment], '{} | rate()', one), true), '{__name__=rate} 0.08');
    const before = { startNs: BASE - 10n * S, endNs: BASE - 5n * S, stepNs: 5n * S };
    assert.equal(written(await outcomeOf([segment], '{} | rate()', before), true), '{__name__=rate} 0');
    const after = { startNs: BASE + 31n * S, endNs: BASE + 40n * S, stepNs: 9n * S };
    assert.equal(written(await outcomeOf([segment], '{} | rate()', after), true), '{__name__=rate} 0');
  }
});

test('exemplars lead to traces', async (t) => {
  const { live, block } = await bothForms(t, WORKED);
  for (const segment of [live, block]) {
    const of = async (text: string, exemplars = 100) =>
      (await outcomeOf([segment], text, { exemplars })).series!.flatMap((series) =>
        series.exemplars.map(
          ({ labels, value, timestampMs }) =>
            `${timestampMs - 1000 * BASE_SECONDS} ${Number(value.toPrecision(6))} ${labels.map(writtenLabel).sort().join(' ')}`,
        ),
      );
    assert.deepEqual(await of('{ status = error } | max_over_time(duration) by(resource.service.name)'), [
      '70 0.2 duration=200ms resource.service.name=cartdb status=error trace:id=a',
    ]);
    // Of a count the value is the sample's; there is one a trace, and two in 3 seconds.
    const counts = await of('{ } | count_over_time()');
    assert.deepEqual(
      counts.map((each) => each.split(' ').at(-1)),
      ['trace:id=a', 'trace:id=b'],
    );
    for (const each of counts) assert.match(each, /^\d+ [17] /);
    assert.equal((await of('{ } | rate()', 2)).length, 2);
    assert.deepEqual(await of('{ } | rate() with(exemplars=false)'), []);
    assert.equal((await of('{ } | rate() with(exemplars=1)')).length, 1);
    // An exemplar of a quantile goes to the closest one.
    const quantiles = (
      await outcomeOf([segment], '{ name = "send" || name = "ping" } | quantile_over_time(duration, .1, .9)', {
        exemplars: 100,
      })
    ).series!;
    assert.deepEqual(
      quantiles.map(({ exemplars }) => exemplars.map(({ value }) => value)),
      [[0.001], [2]],
    );
  }
});

test('what does not fit is left out and said', async (t) => {
  const spans: SpanSpec[] = Array.from({ length: 300 }, (_, i) => ({
    trace: 1 + i,
    span: 1,
    name: `name ${i}`,
    attributes: { n: BigInt(i) },
  }));
  const { live, block } = await bothForms(t, spans);
  const { series, partial } = await outcomeOf([live], '{ } | rate() by(name)', { seriesMax: 10 });
  assert.equal(series!.length, 10);
  assert.match(partial!, /^Response exceeds maximum series limit of 10, a partial response is returned\. Warning:/);
  // So many intervals that there is room for a few series only.
  const wide = { startNs: BASE - S, endNs: BASE + S, stepNs: S / 50_000n, instant: false };
  for (const by of ['name', 'name, kind', 'span.n', 'trace:id']) {
    const found = await outcomeOf([live], `{ } | rate() by(${by})`, wide);
    assert.match(found.partial!, /limit of 5,/, by);
    assert.equal(found.series!.length, 5);
  }
  // What is counted is counted whole, wherever it is met again.
  const second = await bothForms(
    t,
    spans.map((each) => ({ ...each, span: 2 })),
  );
  const third = await bothForms(
    t,
    spans.map((each) => ({ ...each, span: 3 })),
  );
  for (const by of ['name', 'kind, name', 'span.n']) {
    const twice = await outcomeOf([second.live, block, third.live], `{ } | count_over_time() by(${by})`, wide);
    assert.deepEqual(
      twice.series!.map(({ values }) => values.reduce((sum, count) => sum + count)),
      [3, 3, 3, 3, 3],
    );
  }
  assert.equal((await outcomeOf([live], '{ } | rate() by(kind)', wide)).partial, undefined);
  await assert.rejects(
    outcomeOf([live], '{ } | rate()', { ...wide, stepNs: 1n }),
    /cannot compute 2000000000 intervals/,
  );
});

test('making series ends when nobody waits for them', async (t) => {
  const { live, block } = await bothForms(
    t,
    Array.from({ length: 50 }, (_, i) => ({ trace: 1 + i, span: 1, name: `name ${i}`, ms: 1 + i })),
  );
  for (const query of [
    '{ } | rate() by(name)',
    '{ } | quantile_over_time(duration, .5, .9) by(name)',
    '{ } | count_over_time() by(name) | topk(3) | bottomk(2) > 0',
    '{ } | compare({ duration > 5ms })',
  ]) {
    const window = { startNs: BASE - S, endNs: BASE + S, stepNs: S, instant: false, exemplars: 0, seriesMax: 0 };
    const running = beginMetrics(parseQuery(query), window);
    await running.add([live, block], joiningOf(), { stop: () => {} });
    assert.throws(
      () =>
        running.finish(() => {
          throw new Error('gone');
        }),
      /gone/,
      query,
    );
    assert.ok(running.finish().series!.length > 0);
  }
});

test('spans count alike whether lines of traces tell their interval or their starts', async (t) => {
  // Traces within an interval, on edges, across them, and one with a span that ends before it starts.
  const spans = (backwards: boolean): SpanSpec[] =>
    Array.from({ length: 200 }, (_, i) => ({
      trace: 1 + (i >> 2),
      span: 1 + i,
      at: 3000 * (i >> 2) + (i % 16 === 3 ? 20_000 : 100 * (i & 3)),
      ms: backwards && i === 41 ? -40_000 : 1,
      attributes: { even: i % 2 === 0 },
    }));
  for (const backwards of [false, true]) {
    const { live, block } = await bothForms(t, spans(backwards));
    for (const query of ['{ } | rate()', '{ } | rate() by (span.even)', '{ span.even } | rate()']) {
      for (const step of [7n, 30n, 60n]) {
        const range = { startNs: BASE - S, endNs: BASE - S + 4n * 60n * step * S, stepNs: step * S };
        const shown = async (segment: Segment) => written(await outcomeOf([segment], query, range), false);
        const expected = await shown(live);
        assert.equal(await shown(block), expected);
        await block.lines();
        assert.equal(block.linesAtHand!() === undefined, backwards);
        assert.equal(await shown(block), expected);
      }
    }
  }
});
