import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { checkQuery } from '../traceql/check.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseQuery } from '../traceql/parse.ts';
import { searchTraces } from './search.ts';
import { bothForms, EVER, joiningOf, type SpanSpec } from './segments.fixture.ts';

const BYTES_MAX = 128 * 1024;

/** As many of the units as fit into the longest query. */
function many(unit: (i: number) => string, separator: string, bytesMax = BYTES_MAX): string {
  let text = unit(0);
  for (let i = 1; text.length + 24 < bytesMax; i++) text += separator + unit(i);
  return text;
}

const QUERIES: [name: string, query: string, refused?: RegExp][] = [
  ['parentheses', `{ ${'('.repeat(60_000)}true${')'.repeat(60_000)} }`, /nested more than/],
  ['negations', `{ ${'!'.repeat(100_000)}.a }`, /nested more than/],
  ['parentheses of spansets', `${'('.repeat(60_000)}{}${')'.repeat(60_000)}`, /nested more than/],
  ['children of children', many(() => '{}', '>')],
  ['spansets', many((i) => `{name="a${i}"}`, '||')],
  ['stages', many(() => '{}', '|')],
  ['an attribute with many values', `{ ${many((i) => `.n=${i}`, '||')} }`],
  ['many attributes', `{ ${many((i) => `.k${i}=1`, '||')} }`],
  ['a long sum', `{ ${many(() => '.n', ' + ')} > 1 }`],
  ['many aggregates', `{ } | ${many((i) => `max(.k${i})>0`, '|')}`],
  ['the same group again and again', `{ } | ${many(() => 'by(name)', '|', 4000)}`],
  ['many groups', `{ } | ${many((i) => `by(.k${i})`, '|', 4000)}`, /at most 64 things/],
  ['alternatives that are texts', `{ name =~ "${many((i) => `a${i}`, '|')}" }`],
  ['alternatives that are patterns', `{ name =~ "${many((i) => `a.*${i}`, '|', 20_000)}" }`],
];

test('queries that are made to be heavy have an answer or an error', async (t) => {
  const spans = Array.from(
    { length: 40 },
    (_, i): SpanSpec => ({
      trace: 1 + (i % 4),
      span: i + 1,
      ...(i >= 4 && { parent: i - 3 }),
      name: `a${i}`,
      attributes: { n: BigInt(i) },
    }),
  );
  const { block } = await bothForms(t, spans);
  for (const [name, text, refused] of QUERIES)
    await t.test(name, async () => {
      const run = async (): Promise<number> => {
        const query = parseQuery(text);
        checkQuery(query, text);
        const options = { ...EVER, limit: 2 ** 31, spansPerSpanSet: 100, stop: () => {} };
        return (await searchTraces([block], query, options, joiningOf())).traces.length;
      };
      if (refused === undefined) assert.ok((await run()) <= 4);
      else
        await assert.rejects(run, (error) => {
          assert.ok(error instanceof VivaceError || error instanceof TraceQLError);
          assert.match(error.message, refused);
          return true;
        });
    });
});

test('a query ends soon after nobody waits for it', async (t) => {
  const spans = Array.from({ length: 400 }, (_, i): SpanSpec => ({ trace: 1 + (i % 4), span: i + 1, name: `a${i}` }));
  const { block } = await bothForms(t, spans);
  for (const text of ['{ } | by(name) | count() > 0', many(() => '{ }', '>', 4000), '{ } && { } | { }']) {
    let left = 3;
    const stop = (): void => {
      if (left-- === 0) throw new VivaceError('cancelled', 'the client has gone');
    };
    const options = { ...EVER, limit: 20, spansPerSpanSet: 3, stop };
    await assert.rejects(searchTraces([block], parseQuery(text), options, joiningOf()), /the client has gone/, text);
  }
});

test('an answer that would not fit into memory is refused', async (t) => {
  const spans = Array.from(
    { length: 40 },
    (_, i): SpanSpec => ({ trace: 1 + i, span: i + 1, attributes: { n: BigInt(i) } }),
  );
  const { live, block } = await bothForms(t, spans);
  for (const segment of [live, block]) {
    const search = (limit: number, answerBytesMax: number) =>
      searchTraces(
        [segment],
        parseQuery('{ span.n >= 0 } | select(span.n)'),
        { ...EVER, limit, spansPerSpanSet: 3, stop() {}, answerBytesMax },
        joiningOf(),
      );
    const refused = { code: 'invalid', message: /lower limit or spss/ };
    // Too many traces, and traces that fit with spans that do not.
    await assert.rejects(search(40, 39 * 3000), refused);
    await assert.rejects(search(40, 40 * 3000 + 100), refused);
    assert.equal((await search(40, 40 * 3600)).traces.length, 40);
    assert.equal((await search(10, 10 * 3600)).traces.length, 10);
  }
  // One trace of many sets.
  const whole = (
    await bothForms(
      t,
      Array.from({ length: 40 }, (_, i): SpanSpec => ({ trace: 1, span: i + 1 })),
    )
  ).block;
  const sets = (answerBytesMax: number) =>
    searchTraces(
      [whole],
      parseQuery('{} | by(span:id)'),
      { ...EVER, limit: 1, spansPerSpanSet: 3, stop() {}, answerBytesMax },
      joiningOf(),
    );
  await assert.rejects(sets(30_000), { code: 'invalid', message: /lower limit or spss/ });
  assert.equal((await sets(60_000)).traces[0].spanSets?.length, 40);
});
