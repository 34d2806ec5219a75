import type { Metrics, RateMetrics, Reference, SpansetFilter, ValueMetrics } from './ast.ts';
import { accept, type Cursor, expect, peek, peekKeyword, take, unexpected } from './cursor.ts';
import { parseReference } from './parse-field.ts';

/** How many values `compare()` lists per attribute and side when the query does not say. */
const compareTopN = 10;

const overSpans: ReadonlySet<string> = new Set<RateMetrics['name']>(['rate', 'count_over_time']);
const overValues: ReadonlySet<string> = new Set<ValueMetrics['name']>([
  'min_over_time',
  'max_over_time',
  'avg_over_time',
  'sum_over_time',
  'histogram_over_time',
]);

/** A metrics function with its `by(…)`, or undefined when the keyword at the cursor is none. */
export function parseMetrics(cursor: Cursor, parseFilter: () => SpansetFilter): Metrics | undefined {
  const name = peekKeyword(cursor) ?? '';
  const { offset } = peek(cursor);
  if (overSpans.has(name)) {
    open(cursor);
    expect(cursor, ')', ')');
    return { type: 'metrics', name: name as RateMetrics['name'], by: parseBy(cursor), offset };
  }
  if (overValues.has(name)) {
    open(cursor);
    const attribute = parseReference(cursor);
    expect(cursor, ')', ')');
    return { type: 'metrics', name: name as ValueMetrics['name'], attribute, by: parseBy(cursor), offset };
  }
  if (name === 'quantile_over_time') {
    open(cursor);
    const attribute = parseReference(cursor);
    const quantiles: number[] = [];
    do {
      expect(cursor, ',', ',');
      quantiles.push(parseQuantile(cursor));
    } while (!accept(cursor, ')'));
    return { type: 'metrics', name, attribute, quantiles, by: parseBy(cursor), offset };
  }
  if (name === 'compare') {
    open(cursor);
    const filter = parseFilter();
    const numbers = parseCompareNumbers(cursor);
    expect(cursor, ')');
    const topN = numbers.length === 0 ? compareTopN : asCount(numbers[0]);
    if (numbers.length < 3) return { type: 'metrics', name, filter, topN, offset };
    return { type: 'metrics', name, filter, topN, startNs: numbers[1], endNs: numbers[2], offset };
  }
  return undefined;
}

/** How many of something: beyond what a number holds exactly it makes no difference. */
export function asCount(value: bigint): number {
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}

function open(cursor: Cursor): void {
  take(cursor);
  expect(cursor, '(', '(');
}

function parseBy(cursor: Cursor): Reference[] {
  if (peekKeyword(cursor) !== 'by') return [];
  open(cursor);
  const by = [parseReference(cursor)];
  while (accept(cursor, ',')) by.push(parseReference(cursor));
  expect(cursor, ')');
  return by;
}

function parseQuantile(cursor: Cursor): number {
  const token = take(cursor);
  if (token.type !== 'integer' && token.type !== 'float') throw unexpected(cursor, 'INTEGER or FLOAT', token);
  return Number(token.value);
}

/** None, how many values, or how many values and both ends of the window. */
function parseCompareNumbers(cursor: Cursor): bigint[] {
  const numbers: bigint[] = [];
  while (numbers.length < 3 && accept(cursor, ',')) {
    const token = take(cursor);
    if (token.type !== 'integer') throw unexpected(cursor, 'INTEGER', token);
    numbers.push(token.value);
  }
  if (numbers.length === 2) throw unexpected(cursor, ',');
  return numbers;
}
