/** The evaluator is judged by the worked examples, which people have looked at. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BASE_SECONDS, encodeRequest } from '../../src/query/segments.fixture.ts';
import { WORKED } from '../../src/query/worked.fixture.ts';
import { formatDuration } from '../../src/traceql/duration.ts';
import type { StaticValue } from '../../src/traceql/ast.ts';
import { parseQuery } from '../../src/traceql/parse.ts';
import { decode } from '../golden/wire.ts';
import { workedCases } from '../golden/worked.fixture.ts';
import { search } from './evaluate.ts';
import { metricsSeries, valueText, type Window } from './metrics.ts';
import { modelOf } from './model.ts';
import { Unspecified } from './reading.ts';

const T = BigInt(BASE_SECONDS) * 1_000_000_000n;
const SECOND = 1_000_000_000n;
const WINDOWS: { [kind: string]: Window } = {
  instant: { startNs: T - 60n * SECOND, endNs: T + 60n * SECOND, stepNs: 120n * SECOND },
  range: { startNs: T - 90n * SECOND, endNs: T + 60n * SECOND, stepNs: 30n * SECOND },
};
const traces = modelOf([WORKED]);

test('the spans of the worked examples are the same in OTLP/JSON', () => {
  const file = new URL('../golden/worked/spans.json', import.meta.url);
  const bytes = Buffer.from(encodeRequest(WORKED));
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), decode('ExportTraceServiceRequest', bytes));
});

test('the evaluator finds what the worked examples say', () => {
  for (const { line, query, answer } of workedCases()) {
    // Errors are none of its business.
    if (answer === undefined) assert.throws(() => search(parseQuery(query), traces), Unspecified, line);
    else assert.deepEqual(found(query), answer, line);
  }
});

test('the evaluator computes what the worked examples say', () => {
  const file = new URL('../golden/worked/metrics.txt', import.meta.url);
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const [, kind, query, , answer] = /^(range|instant) (.*?)( >\w+)? => (.*)$/.exec(line) ?? assert.fail(line);
    // Numbers of the tree are the implementation's.
    if (/compare\(|nestedSet/.test(query)) continue;
    const expected = /^no(thing| series)$/.test(answer) ? [] : answer.split(' ; ').map(normalised);
    assert.deepEqual(computed(query, kind).map(normalised).sort(), expected.sort(), line);
  }
});

function computed(query: string, kind: string): string[] {
  const window = WINDOWS[kind];
  return metricsSeries(parseQuery(query), traces, window).map(({ labels, values }) => {
    const named = [...labels].map(([key, value]) => `${key}=${typeName(value)}${shown(value)}`);
    return `{${named.join(', ')}} ${valueText(values, kind === 'range' ? window : undefined, T)}`;
  });
}

/** Figures to six digits, without zeros at the end. */
function normalised(series: string): string {
  const [, labels, values] = /^(\{.*\}) (.*)$/.exec(series)!;
  const figures = values.replace(
    /(^|[ :])(-?[\d.e+-]+)(?=$| )/g,
    (_, before, x) => before + Number(Number(x).toPrecision(6)),
  );
  return `${labels} ${figures}`;
}

function typeName({ type }: StaticValue): string {
  return type === 'int' || type === 'bool' ? `${type}:` : type === 'float' ? 'double:' : '';
}

function found(query: string): string[] {
  return [...search(parseQuery(query), traces).values()]
    .flat()
    .map(({ spans, attributes }) => {
      const named = [...attributes].map(([key, value]) => `${key}=${shown(value)}`);
      const ids = spans.map(({ spec }) => spec.span.toString(16)).sort();
      return ids.join(' ') + (named.length === 0 ? '' : ` [${named.join(', ')}]`);
    })
    .sort();
}

function shown(value: StaticValue | StaticValue[]): string {
  if (Array.isArray(value)) return `[${value.map(shown).join()}]`;
  if (value.type === 'nil') return 'nil';
  return value.type === 'duration' ? formatDuration(value.ns) : String(value.value);
}
