import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Segment } from '../block/segment.ts';
import { formatDuration } from '../traceql/duration.ts';
import type { StaticValue } from '../traceql/ast.ts';
import { parseQuery } from '../traceql/parse.ts';
import { rowsOf } from './bits.ts';
import { gather } from './gather.ts';
import { runPipeline, selectRows } from './pipeline.ts';
import { bothForms, bothFormsPaged, type SpanSpec } from './segments.fixture.ts';
import { workedCases } from '../../tests/golden/worked.fixture.ts';
import { WORKED } from './worked.fixture.ts';

const context = { stop: (): void => {} };

/** The spansets as the fixture writes them, sorted; or the text of an error. */
async function found(segment: Segment, text: string): Promise<string> {
  const { pipeline } = parseQuery(text);
  try {
    const { rows, sets, traceOfSet, attributes } = await runPipeline({ segment }, pipeline, context);
    assert.deepEqual(rowsOf(await selectRows({ segment }, pipeline, context)), rows);
    const ids = await gather(segment, { type: 'intrinsic', name: 'span:id', offset: 0 }, rows);
    const traces = await segment.tracesOfRows(rows);
    const names: string[][] = Array.from(traceOfSet, () => []);
    for (let i = 0; i < rows.length; i++) {
      assert.equal(traceOfSet[sets[i]], traces[i]);
      names[sets[i]].push((ids[i] as { value: string }).value.slice(-2));
    }
    const said = (set: number): string => {
      const each = attributes.map((each) => `${each.key}=${shown(each.valueOf(set))}`);
      return each.length === 0 ? '' : ` [${each.join(', ')}]`;
    };
    return sorted(names.map((spans, set) => spans.sort().join(' ') + said(set)));
  } catch (error) {
    return (error as Error).message;
  }
}

function sorted(sets: string[]): string {
  return sets.sort().join(' / ');
}

function shown(value: StaticValue | StaticValue[]): string {
  if (Array.isArray(value)) return `[${value.map(shown).join()}]`;
  if (value.type === 'nil') return 'nil';
  return value.type === 'duration' ? formatDuration(value.ns) : String(value.value);
}

test('the worked examples of the language', async (t) => {
  const { live, block } = await bothForms(t, WORKED);
  for (const { query, answer, error } of workedCases()) {
    const expected = error ?? sorted(answer!);
    await t.test(query, async () => {
      assert.equal(await found(block, query), expected, 'block');
      assert.equal(await found(live, query), expected, 'live');
    });
  }
});

test('a set may be divided into many', async (t) => {
  const spans = Array.from(
    { length: 120 },
    (_, i): SpanSpec => ({ trace: 1 + (i % 2), span: i + 1, name: `n${i % 30}` }),
  );
  const { live, block } = await bothForms(t, spans);
  for (const segment of [live, block]) {
    const { sets, traceOfSet, attributes } = await runPipeline(
      { segment },
      parseQuery('{ } | by(name)').pipeline,
      context,
    );
    const counts = new Map<string, number>();
    for (const set of sets) {
      const name = shown(attributes[0].valueOf(set));
      counts.set(`${traceOfSet[set]} ${name}`, (counts.get(`${traceOfSet[set]} ${name}`) ?? 0) + 1);
    }
    assert.equal(traceOfSet.length, 30);
    assert.deepEqual([...counts.values()], new Array(30).fill(4));
  }
});

test('totals of few spans among many are those of these spans', async (t) => {
  const spans = Array.from({ length: 400 }, (_none, i): SpanSpec => {
    return { trace: 1 + (i >> 3), span: i + 1, name: i % 40 === 7 ? 'few' : 'many', at: i, ms: i % 120 };
  });
  const { live, block } = await bothFormsPaged(t, 256, [spans]);
  for (const name of ['sum', 'avg', 'min', 'max']) {
    const query = `{ name = "few" } | ${name}(duration) > 50ms`;
    const expected = await found(live, query);
    assert.equal(expected.split(' / ').length, 3, query);
    assert.equal(await found(block, query), expected, query);
  }
});
