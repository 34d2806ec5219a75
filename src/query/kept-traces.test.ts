import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinedSegment } from '../cut/joined-segment.ts';
import { parseQuery } from '../traceql/parse.ts';
import { type KeepRule, keptTraces } from './kept-traces.ts';
import { bothForms, type SpanSpec } from './segments.fixture.ts';

const rule = (query: string, keepMs: number, share = 1): KeepRule => ({
  stages: parseQuery(query).pipeline,
  share,
  keepMs,
});
const span = (trace: number, number: number, more: Partial<SpanSpec> = {}): SpanSpec => ({
  ...{ trace, span: number, name: 'work', resource: { 'service.name': 'shop' } },
  ...more,
});

test('the first rule that applies decides, and a trace is looked at as a whole', async (t) => {
  const { block } = await bothForms(t, [
    span(1, 1, { status: 2 }),
    span(1, 2, { parent: 1 }),
    span(2, 1),
    span(3, 1),
    span(3, 2, { parent: 1 }),
    span(4, 1, { name: 'health' }),
  ]);
  // Of trace 2 the error is elsewhere, of trace 3 the third span.
  const { block: other } = await bothForms(t, [span(2, 2, { status: 2 }), span(3, 3), span(9, 1, { status: 2 })]);
  const rules = [
    rule('{ name = "health" }', 0),
    rule('{ status = error }', 30),
    rule('{ } | count() > 2', 20),
    rule('{ }', 5, 0),
  ];
  const own = { segments: [block], ageMs: 100 };
  const found = await keptTraces(own, [{ segments: [other], ageMs: 40 }], rules, joinedSegment, async () => {});
  assert.deepEqual([...found.rules], [1, 1, 2, 0]);
  assert.deepEqual([...found.agesMs], [100, 40, 40, 100], 'as old as their youngest part');
  assert.deepEqual([...found.spans], [2, 1, 2, 1]);
  const alone = await keptTraces(own, [], rules, joinedSegment, async () => {});
  assert.deepEqual([...alone.rules], [1, -1, -1, 0]);
});

test('a share is chosen by ids, the same in every block', async (t) => {
  const traces = Array.from({ length: 2000 }, (_, i) => i + 1);
  const { block } = await bothForms(
    t,
    traces.map((trace) => span(trace, 1)),
  );
  const { block: again } = await bothForms(
    t,
    traces.map((trace) => span(trace, 2, { status: 1 })),
  );
  const chosen = async (segment: typeof block, share: number): Promise<number[]> => {
    const { rules } = await keptTraces(
      { segments: [segment], ageMs: 0 },
      [],
      [rule('{ }', 1, share)],
      joinedSegment,
      async () => {},
    );
    return traces.filter((_, i) => rules[i] === 0);
  };
  const tenth = await chosen(block, 0.1);
  assert.ok(tenth.length > 150 && tenth.length < 250, String(tenth.length));
  assert.deepEqual(await chosen(again, 0.1), tenth);
  const half = new Set(await chosen(block, 0.5));
  assert.ok(
    tenth.every((trace) => half.has(trace)),
    'who is in a share is in every larger one',
  );
});
