/** Queries that give way to one another at every read answer what they answer alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Segment } from '../../src/block/segment.ts';
import { beginMetrics } from '../../src/query/metrics.ts';
import { searchTraces } from '../../src/query/search.ts';
import {
  BASE_SECONDS,
  bothForms,
  EVER,
  joiningOf,
  type SpanSpec,
  traceIdOf,
} from '../../src/query/segments.fixture.ts';
import { SHOP } from '../../src/query/shop.fixture.ts';
import { searchByTags } from '../../src/query/tag-search.ts';
import { findTagValues } from '../../src/query/tag-values.ts';
import { findTagNames } from '../../src/query/tags.ts';
import { collectTrace } from '../../src/query/trace.ts';
import { WORKED } from '../../src/query/worked.fixture.ts';
import { Turns } from '../../src/roles/turns.ts';
import { Work, type WorkLimits } from '../../src/roles/work.ts';
import { parseQuery } from '../../src/traceql/parse.ts';
import { workedCases } from '../golden/worked.fixture.ts';

const NO_LIMITS: WorkLimits = { msMax: 0, timeKey: '', bytesMax: 0, spansMax: 0 };
const BOUNDS = { ...EVER, limit: 0, maxStaleValues: 0, bytesMax: 0 };

type Ask = (segments: Segment[], stop: () => void) => Promise<unknown>;

/** One of each kind that there is, and what worked examples ask. */
function questions(): [name: string, ask: Ask][] {
  const joining = joiningOf();
  const search = (text: string): [string, Ask] => [
    text,
    (segments, stop) =>
      searchTraces(segments, parseQuery(text), { ...EVER, limit: 20, spansPerSpanSet: 9, stop }, joining),
  ];
  const metrics = (text: string): [string, Ask] => [
    text,
    async (segments, stop) => {
      const startNs = BigInt(BASE_SECONDS - 60) * 1_000_000_000n;
      const range = { startNs, endNs: startNs + 120_000_000_000n, stepNs: 10_000_000_000n };
      const running = beginMetrics(parseQuery(text), { ...range, instant: false, exemplars: 5, seriesMax: 0 });
      await running.add(segments, joining, { stop });
      return running.finish();
    },
  ];
  const values = (tag: string, query?: string): [string, Ask] => [
    `values of ${tag}`,
    (segments, stop) => findTagValues(segments, { ...BOUNDS, tag, v1: false, ...(query && { query }) }, stop),
  ];
  return [
    ...workedCases().map(({ query }) => search(query)),
    metrics('{} | rate() by (resource.service.name)'),
    metrics('{ kind = server } | quantile_over_time(duration, 0.5, 0.9) by (name)'),
    metrics('{} | compare({ status = error })'),
    values('span.http.method'),
    values('resource.service.name', '{ span.v != nil }'),
    values('event:name'),
    ['names', (segments, stop) => findTagNames(segments, { ...BOUNDS, scope: '', query: '{ status = error }' }, stop)],
    [
      'tags',
      (segments, stop) =>
        searchByTags(segments, { ...EVER, limit: 9, tags: new Map([['service.name', 'cart']]) }, stop),
    ],
    ['trace', (segments, stop) => collectTrace(segments, Buffer.from(traceIdOf(1), 'hex'), 0, stop)],
  ];
}

test('one after the other and all at once', async (t) => {
  const part = (list: SpanSpec[], n: number): SpanSpec[] => list.filter((_, i) => i % 3 === n);
  const parts = await Promise.all([0, 1, 2].map((n) => bothForms(t, part(WORKED, n), part(SHOP, n))));
  const segments = [parts[0].live, parts[1].block, parts[2].block, parts[0].block];
  const outcome = (asked: Promise<unknown>): Promise<unknown> => asked.catch((error: Error) => error.message);
  const alone: unknown[] = [];
  for (const [, ask] of questions()) alone.push(await outcome(ask(segments, () => {})));

  const turns = new Turns();
  let waits = 0;
  const together = await Promise.all(
    questions().map(([, ask], i) => {
      const work = new Work(`tenant ${i % 3}`, turns, NO_LIMITS, { isCancelled: () => false }, 0);
      const turn = work.turn.bind(work);
      work.turn = () => {
        waits++;
        return turn();
      };
      return outcome(
        ask(
          segments.map((segment) => work.watch(segment)),
          work.stop,
        ),
      );
    }),
  );
  for (const [i, [name]] of questions().entries()) assert.deepEqual(together[i], alone[i], name);
  assert.ok(waits > 10 * alone.length, `${waits} turns in ${alone.length} queries`);
});
