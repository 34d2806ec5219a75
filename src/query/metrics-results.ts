/** What a metrics query finds, as plain data, and the parts of an answer that can still be put together with others. */
import type { Reference } from '../traceql/ast.ts';
import type { FoundValue } from './results.ts';

export interface MetricsLabel {
  key: string;
  value: FoundValue;
}

export interface MetricsExemplar {
  labels: MetricsLabel[];
  value: number;
  timestampMs: number;
}

export interface MetricsSeries {
  labels: MetricsLabel[];
  /** A value an interval; NaN where there is no sample. */
  values: Float64Array;
  exemplars: MetricsExemplar[];
}

export interface MetricsOutcome {
  /** undefined for a filter that is false whatever the span. */
  series: MetricsSeries[] | undefined;
  /** When each interval ends. */
  stampsMs: Float64Array;
  /** Why the answer is not the whole truth. */
  partial?: string;
}

/** What was accumulated before anything is derived from it, of one process: sums of several are those of all spans. */
export type MetricsPartial = CellsPartial | ComparePartial;

export interface CellsPartial {
  of: 'cells';
  /** Label values of each series, in the order of `by`; undefined is nil. */
  groups: (FoundValue | undefined)[][];
  /** A number that tells series of one group apart: the power of two of a bucket; 0 without buckets. */
  buckets: number[];
  /** Series after series, a cell an interval. */
  cells: Float64Array;
  /** How many values each cell of a mean has. */
  counts?: Float64Array;
  exemplars: PartialExemplar[];
  /** Something was left out for want of room. */
  limited: boolean;
}

export interface ComparePartial {
  of: 'compare';
  attributes: {
    reference: Reference;
    /** By number; 0 is nil. */
    values: (FoundValue | undefined)[];
    /** Series 2 * number + side after each other, a cell an interval. */
    cells: Float64Array;
    totals: Float64Array;
    limited: boolean;
  }[];
  limited: boolean;
}

export interface PartialExemplar {
  series: number;
  interval: number;
  /** The span's own value, where the function has one. */
  value?: number;
  timestampMs: number;
  traceId: string;
  labels: MetricsLabel[];
}
