/** What a metrics query accumulates, decided before a span is read. */
import type { CompareMetrics, Metrics, Query, Reference } from '../traceql/ast.ts';
import type { CellKind } from './metrics-cells.ts';
import type { Intervals } from './metrics-intervals.ts';

export interface MetricsPlan {
  query: Query;
  metrics: Exclude<Metrics, CompareMetrics>;
  intervals: Intervals;
  /** The number that is taken of each span; undefined where spans are counted. */
  value: Reference | undefined;
  /** Values are sorted into powers of two, and what is counted is how many are in each. */
  buckets: boolean;
  /** What a value in a bucket or cell is divided by to become what is shown: durations of spans are shown in seconds. */
  unit: { ofBuckets: number; ofCells: number };
  cells: CellKind;
}

const NS_IN_SECOND = 1e9;

const CELLS: Record<Exclude<Metrics['name'], 'compare'>, CellKind> = {
  rate: 'count',
  count_over_time: 'count',
  min_over_time: 'min',
  max_over_time: 'max',
  avg_over_time: 'mean',
  sum_over_time: 'sum',
  quantile_over_time: 'count',
  histogram_over_time: 'count',
};

export function planMetrics(query: Query, metrics: MetricsPlan['metrics'], intervals: Intervals): MetricsPlan {
  const value = 'attribute' in metrics ? metrics.attribute : undefined;
  const duration = value?.type === 'intrinsic' && value.name === 'duration';
  // Of the other durations only the buckets are in seconds; that is how it is in Tempo.
  const otherDuration =
    value?.type === 'intrinsic' && (value.name === 'traceDuration' || value.name === 'event:timeSinceStart');
  const buckets = metrics.name === 'quantile_over_time' || metrics.name === 'histogram_over_time';
  return {
    query,
    metrics,
    intervals,
    value,
    buckets,
    unit: {
      ofBuckets: duration || otherDuration ? NS_IN_SECOND : 1,
      ofCells: duration && !buckets ? NS_IN_SECOND : 1,
    },
    cells: CELLS[metrics.name],
  };
}
