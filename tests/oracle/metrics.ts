/**
 * Metrics as the specification of TraceQL tells them (§9), over plain span objects: every span of the pipeline's answer falls
 * into an interval and a group, and each group is computed at the end from the list of its values.
 */
import type { Metrics, Query, Reference, SecondStage, Stage, StaticValue } from '../../src/traceql/ast.ts';
import { printReference } from '../../src/traceql/print.ts';
import { compareSeries } from './compare.ts';
import { search, show } from './evaluate.ts';
import { compare, isNumber, numberOf } from './field.ts';
import type { ModelSpan, ModelTrace } from './model.ts';
import { isRepeated, read, text, Unspecified } from './reading.ts';

/** Left-open; a whole number of steps. */
export interface Window {
  startNs: bigint;
  endNs: bigint;
  stepNs: bigint;
}

export interface Series {
  labels: Map<string, StaticValue>;
  /** A value an interval; undefined where there is no sample. */
  values: (number | undefined)[];
}

type Grouped = Exclude<Metrics, { name: 'compare' }>;

interface Group {
  labels: Map<string, StaticValue>;
  /** Of each interval the values that count, in nanoseconds or as they are. */
  values: StaticValue[][];
  spans: number[];
}

export function metricsSeries(query: Query, traces: readonly ModelTrace[], window: Window): Series[] {
  const metrics = query.metrics!;
  const count = Number((window.endNs - window.startNs) / window.stepNs);
  const placed = [...spansOf(query, traces)].flatMap((span) => {
    const interval = Number((span.startNs - window.startNs + window.stepNs - 1n) / window.stepNs) - 1;
    return span.startNs <= window.startNs || interval >= count ? [] : [{ span, interval }];
  });
  if (metrics.name === 'compare') return compareSeries(metrics, placed, count);
  const groups = new Map<string, Group>();
  for (const { span, interval } of placed) {
    const labels = labelsOf(metrics.by, span);
    const key = shownLabels(labels);
    const group = groups.get(key) ?? { labels, values: intervals(count, () => []), spans: intervals(count, () => 0) };
    groups.set(key, group);
    group.spans[interval]++;
    if ('attribute' in metrics) group.values[interval].push(...numbersOf(metrics.attribute, span));
  }
  if (isFalse(query.pipeline[0])) return [];
  if (groups.size === 0 && query.pipeline.some(isFalse)) throw new Unspecified('a later stage that is always false');
  const isCount = metrics.name === 'rate' || metrics.name === 'count_over_time';
  if (groups.size === 0 && isCount && metrics.by.length === 0)
    groups.set('', { labels: new Map(), values: intervals(count, () => []), spans: intervals(count, () => 0) });
  const series = [...groups.values()].flatMap((group) => computed(metrics, group, window));
  return query.secondStages.reduce(secondStage, series);
}

/** `{ false }` answers no series, where other filters that find nothing may answer one of zeros. */
function isFalse(stage: Stage): boolean {
  if (stage.type !== 'spanset' || stage.expression.type !== 'filter') return false;
  const { expression } = stage.expression;
  return expression.type === 'static' && expression.value.type === 'bool' && !expression.value.value;
}

/** A text by which series of one kind are told apart. */
export function shownLabels(labels: Map<string, StaticValue>): string {
  return [...labels]
    .map(([key, value]) => `${key}=${show(value)}`)
    .sort()
    .join(', ');
}

function spansOf(query: Query, traces: readonly ModelTrace[]): Set<ModelSpan> {
  return new Set([...search(query, traces).values()].flat().flatMap(({ spans }) => spans));
}

function intervals<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}

/** Labels without a value are left out, unless that leaves none. */
function labelsOf(by: Reference[], span: ModelSpan): Map<string, StaticValue> {
  const labels = new Map<string, StaticValue>();
  for (const reference of by) {
    const value = labelOf(reference, span);
    if (value !== undefined) labels.set(printReference(reference), value);
  }
  if (by.length > 0 && labels.size === 0) labels.set(printReference(by[0]), text('nil'));
  return labels;
}

/** Arrays are nil; of several events the first counts. */
function labelOf(reference: Reference, span: ModelSpan): StaticValue | undefined {
  const { scalars, array } = read(reference, span);
  if (isRepeated(reference) && scalars.length > 1 && reference.type === 'attribute')
    throw new Unspecified('which event makes the label');
  if (array) return undefined;
  if (scalars.length === 0 && reference.type === 'intrinsic') {
    if (reference.name !== 'event:name') throw new Unspecified('the label of what is not there');
    return text('');
  }
  return scalars[0];
}

function numbersOf(attribute: Reference, span: ModelSpan): StaticValue[] {
  const { scalars, array } = read(attribute, span);
  if (isRepeated(attribute) && scalars.length > 1) throw new Unspecified('which event gives the value');
  return array ? [] : scalars.filter(isNumber);
}

// ---- functions -----------------------------------------------------------------------------------------------------

function computed(metrics: Grouped, { labels, values, spans }: Group, { stepNs }: Window): Series[] {
  const named = metrics.by.length > 0 ? labels : new Map<string, StaticValue>([['__name__', text(metrics.name)]]);
  // The duration of a trace is not in seconds, where that of a span is; buckets of either are.
  const isRaw =
    'attribute' in metrics && metrics.attribute.type === 'intrinsic' && metrics.attribute.name === 'traceDuration';
  const unit = (list: StaticValue[]): number[] => list.filter(isNumber).map(isRaw ? numberOf : inSeconds);
  const each = (compute: (list: number[]) => number): Series[] => {
    if (values.every((list) => list.length === 0)) return [];
    return [{ labels: named, values: values.map((list) => (list.length === 0 ? undefined : compute(unit(list)))) }];
  };
  switch (metrics.name) {
    case 'rate':
      return [{ labels: named, values: spans.map((count) => count / (Number(stepNs) / 1e9)) }];
    case 'count_over_time':
      return [{ labels: named, values: spans }];
    case 'min_over_time':
      return each((list) => Math.min(...list));
    case 'max_over_time':
      return each((list) => Math.max(...list));
    case 'sum_over_time':
      return each((list) => list.reduce((a, b) => a + b, 0));
    case 'avg_over_time':
      return each((list) => list.reduce((a, b) => a + b, 0) / list.length);
    case 'histogram_over_time': {
      const buckets = values.map((list) => list.flatMap(bucketsOf));
      const bounds = [...new Set(buckets.flat())];
      return bounds.map((bound) => ({
        labels: new Map(labels).set('__bucket', { type: 'float', value: bound }),
        values: buckets.map((list) => list.filter((bucket) => bucket === bound).length),
      }));
    }
    case 'quantile_over_time': {
      const buckets = values.map((list) => list.flatMap(bucketsOf));
      if (buckets.every((list) => list.length === 0)) return [];
      return metrics.quantiles.map((p) => ({
        labels: new Map(labels).set('p', { type: 'float', value: p }),
        values: buckets.map((list) => quantile(p, list)),
      }));
    }
  }
}

/** The smallest power of two that is not smaller; durations in nanoseconds, shown in seconds. No floats, nothing below 2. */
function bucketsOf(value: StaticValue): number[] {
  if (value.type !== 'int' && value.type !== 'duration') return [];
  const number = numberOf(value);
  if (number < 2) return [];
  let bound = 2;
  while (bound < number) bound *= 2;
  return [value.type === 'duration' ? bound / 1e9 : bound];
}

function quantile(p: number, buckets: number[]): number {
  if (buckets.length === 0) return 0;
  const target = Math.max(1, Math.ceil(p * buckets.length));
  let consumed = 0;
  let before: number | undefined;
  for (const bound of [...new Set(buckets)].sort((a, b) => a - b)) {
    const count = buckets.filter((bucket) => bucket === bound).length;
    if (consumed + count === target) return bound;
    if (consumed + count > target) {
      const high = Math.log2(bound);
      const low = before === undefined ? high - 1 : Math.log2(before);
      return 2 ** (low + (high - low) * ((target - consumed) / count));
    }
    consumed += count;
    before = bound;
  }
  throw new Error('unreachable: the target is within the total');
}

function inSeconds(value: StaticValue): number {
  if (value.type === 'duration') return Number(value.ns) / 1e9;
  return isNumber(value) ? numberOf(value) : Number.NaN;
}

// ---- second stages -------------------------------------------------------------------------------------------------

function secondStage(series: Series[], stage: SecondStage): Series[] {
  if (stage.type === 'seriesFilter') {
    const limit: StaticValue = { type: 'float', value: inSeconds(stage.value.value) };
    const holds = (value: number): boolean => compare(stage.op, { type: 'float', value }, limit);
    return kept(series, (value) => value !== undefined && holds(value));
  }
  if (series.length <= stage.limit) return series;
  const better = (a: number, b: number): boolean => (stage.type === 'topk' ? a > b : a < b);
  return kept(series, (value, at, own) => {
    if (value === undefined) return false;
    const others = series.filter((other) => other !== own && other.values[at] !== undefined);
    const ahead = others.filter((other) => better(other.values[at]!, value)).length;
    const ties = others.filter((other) => other.values[at] === value);
    if (ahead >= stage.limit) return false;
    if (ahead + ties.length < stage.limit) return true;
    const first = ties.filter((other) => isBefore(other, own) === (stage.type === 'topk')).length;
    return ahead + first < stage.limit;
  });
}

/** Of series with equal values topk keeps the alphabetically first. */
function isBefore(a: Series, b: Series): boolean {
  const [x, y] = [a, b].map(({ labels }) => [...labels]);
  const only = x.length === 1 && y.length === 1 && x[0][0] === y[0][0];
  const [u, v] = [x[0]?.[1], y[0]?.[1]].map((value) => (value === undefined ? '' : show(value)));
  if (!only || !u.startsWith('string ') || !v.startsWith('string ')) throw new Unspecified('the order of labels');
  return Buffer.compare(Buffer.from(u), Buffer.from(v)) < 0;
}

function kept(series: Series[], keep: (value: number | undefined, at: number, own: Series) => boolean): Series[] {
  return series
    .map((own) => ({ ...own, values: own.values.map((value, at) => (keep(value, at, own) ? value : undefined)) }))
    .filter(({ values }) => values.some((value) => value !== undefined));
}

/** `second:value …` with seconds after `zeroNs`; one value alone without a window. */
export function valueText(values: (number | undefined)[], window: Window | undefined, zeroNs = 0n): string {
  const number = (value: number): string => String(Number(value.toPrecision(12)));
  if (window === undefined) return values[0] === undefined ? 'no sample' : number(values[0]);
  const second = (at: number): bigint => (window.startNs + BigInt(at + 1) * window.stepNs - zeroNs) / 1_000_000_000n;
  return values.flatMap((value, at) => (value === undefined ? [] : [`${second(at)}:${number(value)}`])).join(' ');
}
