/** What may follow a metrics function: `topk`, `bottomk` and comparisons, from left to right over the final series (spec/traceql.md §9.7). */
import type { ComparisonOp, SecondStage, StaticValue, TopK } from '../traceql/ast.ts';
import { compareUtf8 } from '../traceql/values.ts';
import type { MetricsSeries } from './metrics-results.ts';

/** `stop` throws when nobody waits for the answer any more. */
export function applySecondStages(
  series: MetricsSeries[],
  stages: readonly SecondStage[],
  stop: () => void,
): MetricsSeries[] {
  for (const stage of stages) {
    stop();
    if (stage.type === 'seriesFilter') series = filtered(series, stage.op, secondsOf(stage.value.value));
    else if (series.length > stage.limit) series = extremes(series, stage, stop);
  }
  return series;
}

/** At each instant the samples of the `limit` largest or smallest series stay; of equal ones the labels decide. */
function extremes(series: MetricsSeries[], { type: which, limit }: TopK, stop: () => void): MetricsSeries[] {
  const names = series.map(({ labels }) => labels.map(({ key, value }) => `${key}=${nameOf(value)}`).join(','));
  const sign = which === 'topk' ? -1 : 1;
  // What is first in this order is kept when values are equal.
  const byName = series.map((_, i) => i).sort((a, b) => -sign * compareUtf8(names[a], names[b]));
  const kept = series.map(({ values }) => new Float64Array(values.length).fill(Number.NaN));
  const intervals = series[0].values.length;
  const present: number[] = [];
  for (let interval = 0; interval < intervals; interval++) {
    stop();
    present.length = 0;
    for (const i of byName) if (!Number.isNaN(series[i].values[interval])) present.push(i);
    // The sort is stable, so equal values stay in the order of names.
    present.sort((a, b) => sign * (series[a].values[interval] - series[b].values[interval]));
    for (const i of present.slice(0, limit)) kept[i][interval] = series[i].values[interval];
  }
  return withSamples(series.map((each, i) => ({ ...each, values: kept[i] })));
}

function nameOf(value: MetricsSeries['labels'][number]['value']): string {
  return value.type === 'array' ? '' : String(value.value);
}

function filtered(series: MetricsSeries[], op: ComparisonOp, limit: number): MetricsSeries[] {
  return withSamples(
    series.map(({ labels, values, exemplars }) => ({
      labels,
      values: values.map((value) => (holds(op, value, limit) ? value : Number.NaN)),
      exemplars: exemplars.filter(({ value }) => holds(op, value, limit)),
    })),
  );
}

function withSamples(series: MetricsSeries[]): MetricsSeries[] {
  return series.filter(({ values }) => values.some((value) => !Number.isNaN(value)));
}

function holds(op: ComparisonOp, value: number, limit: number): boolean {
  switch (op) {
    case '=':
      return value === limit;
    case '!=':
      return value !== limit;
    case '<':
      return value < limit;
    case '<=':
      return value <= limit;
    case '>':
      return value > limit;
    case '>=':
      return value >= limit;
  }
}

/** Durations are compared as seconds. */
function secondsOf(value: StaticValue): number {
  if (value.type === 'duration') return Number(value.ns) / 1e9;
  return value.type === 'int' || value.type === 'float' ? Number(value.value) : Number.NaN;
}
