/** From what was accumulated to the series of an answer: derived values, labels, order, exemplars (spec/traceql.md §9.1, 9.3). */
import { VivaceError } from '../runtime/errors.ts';
import { printReference } from '../traceql/print.ts';
import { compareUtf8 } from '../traceql/values.ts';
import { quantileOf } from './metrics-buckets.ts';
import { CELLS_MAX } from './metrics-cells.ts';
import type { MetricsExemplar, MetricsLabel, MetricsSeries, PartialExemplar } from './metrics-results.ts';
import type { MetricsRun } from './metrics-run.ts';
import type { FoundValue } from './results.ts';

/** Quantiles of an answer, 8 bytes each. */
const VALUES_MAX = 4 * CELLS_MAX;
/** Series, or comparisons of two, between looks whether somebody still waits. */
const STOP_EVERY = 1024;

/** The series of a query before second stages, in order; the first `countMax` of them at least. */
export function seriesOf(run: MetricsRun, stop: () => void, countMax: number): MetricsSeries[] {
  if (run.plan.metrics.name === 'quantile_over_time') return sortSeries(quantileSeries(run, stop), stop);
  return plainSeries(run, stop, countMax);
}

type Labeled = Pick<MetricsSeries, 'labels'>;

/** In the order of `compareSeries`. */
export function sortSeries<Series extends Labeled>(series: Series[], stop: () => void): Series[] {
  let compared = 0;
  return series.sort((a, b) => {
    if (++compared % STOP_EVERY === 0) stop();
    return compareSeries(a, b);
  });
}

/** By number of labels, then label by label: key, value. */
export function compareSeries(a: Labeled, b: Labeled): number {
  if (a.labels.length !== b.labels.length) return a.labels.length - b.labels.length;
  for (let i = 0; i < a.labels.length; i++) {
    const order = compareUtf8(a.labels[i].key, b.labels[i].key) || compareLabels(a.labels[i].value, b.labels[i].value);
    if (order !== 0) return order;
  }
  return 0;
}

/** Numbers first and by size, everything else by its text. */
function compareLabels(a: FoundValue, b: FoundValue): number {
  if (isNumber(a) !== isNumber(b)) return isNumber(a) ? -1 : 1;
  if (isNumber(a) && isNumber(b) && a.value !== b.value) return a.value < b.value ? -1 : 1;
  if (a.type === 'array' || b.type === 'array') return 0;
  return compareUtf8(String(a.value), String(b.value)) || compareUtf8(a.type, b.type);
}

function isNumber(value: FoundValue): value is Extract<FoundValue, { type: 'int' | 'double' }> {
  return value.type === 'int' || value.type === 'double';
}

/** Values are only made of what is answered: there may be a hundred thousand series. */
function plainSeries(run: MetricsRun, stop: () => void, countMax: number): MetricsSeries[] {
  const { metrics, unit, intervals } = run.plan;
  const stepSeconds = Number(intervals.stepNs) / 1e9;
  const bySeries = Map.groupBy(run.exemplars.exemplars, ({ series }) => series);
  const labeled = run.usedSeries().map((series, at) => {
    if (at % STOP_EVERY === 0) stop();
    const labels = groupLabels(run, series);
    if (metrics.name === 'histogram_over_time')
      labels.push({ key: '__bucket', value: double(2 ** run.bucketOf(series) / unit.ofBuckets) });
    else if (metrics.by.length === 0) labels.push({ key: '__name__', value: { type: 'string', value: metrics.name } });
    return { labels, series };
  });
  return sortSeries(labeled, stop)
    .slice(0, countMax)
    .map(({ labels, series }, at) => {
      if (at % STOP_EVERY === 0) stop();
      const cells = run.cells.row(series);
      let values: Float64Array;
      if (metrics.name === 'rate') values = cells.map((count) => count / stepSeconds);
      else if (run.cells.counts !== undefined) {
        const counts = run.cells.counts.subarray(series * cells.length, (series + 1) * cells.length);
        values = cells.map((sum, i) => sum / counts[i] / unit.ofCells);
      } else values = unit.ofCells === 1 ? cells.slice() : cells.map((value) => value / unit.ofCells);
      const own = metrics.name !== 'histogram_over_time';
      const exemplars = (bySeries.get(series) ?? []).map((exemplar) => {
        const value = own ? exemplar.value : undefined;
        return shownExemplar(exemplar, value === undefined ? values[exemplar.interval] : value / unit.ofCells);
      });
      return { labels, values, exemplars: inOrder(exemplars) };
    });
}

/** One series a group and quantile. An exemplar goes to the quantile that it is closest to, of all spans together. */
function quantileSeries(run: MetricsRun, stop: () => void): MetricsSeries[] {
  const { metrics, unit, intervals } = run.plan;
  const quantiles = metrics.name === 'quantile_over_time' ? [...new Set(metrics.quantiles)] : [];
  const groups = new Map<number, number[]>();
  const totals = new Map<number, number>();
  for (const series of run.usedSeries()) {
    const group = run.groupNumber(series);
    const known = groups.get(group);
    if (known === undefined) groups.set(group, [series]);
    else known.push(series);
    const bucket = run.bucketOf(series);
    totals.set(
      bucket,
      run.cells.row(series).reduce((sum, count) => sum + count, totals.get(bucket) ?? 0),
    );
  }
  const values = groups.size * quantiles.length * intervals.count;
  if (values > VALUES_MAX)
    throw new VivaceError(
      'too-large',
      `cannot compute ${quantiles.length} quantiles of ${groups.size} groups in ${intervals.count} intervals: at most ${VALUES_MAX} values fit into memory; ask for fewer quantiles, group by something with fewer values, or make the step longer`,
    );
  const allBuckets = [...totals.keys()].sort((a, b) => a - b);
  const allCounts = allBuckets.map((bucket) => totals.get(bucket)!);
  const overall = quantiles.map((quantile) => quantileOf(quantile, allBuckets, allCounts) / unit.ofBuckets);
  const byGroup = Map.groupBy(run.exemplars.exemplars, ({ series }) => run.groupNumber(series));
  const found: MetricsSeries[] = [];
  for (const [group, members] of groups) {
    members.sort((a, b) => run.bucketOf(a) - run.bucketOf(b));
    const buckets = members.map((series) => run.bucketOf(series));
    const rows = members.map((series) => run.cells.row(series));
    const exemplars = (byGroup.get(group) ?? []).map((exemplar) =>
      shownExemplar(exemplar, exemplar.value! / unit.ofBuckets),
    );
    const counts = new Float64Array(members.length);
    const labels = groupLabels(run, members[0]);
    for (const [at, quantile] of quantiles.entries()) {
      stop();
      const values = new Float64Array(intervals.count);
      for (let interval = 0; interval < intervals.count; interval++) {
        for (let i = 0; i < rows.length; i++) counts[i] = rows[i][interval];
        values[interval] = quantileOf(quantile, buckets, counts) / unit.ofBuckets;
      }
      found.push({
        labels: [...labels, { key: 'p', value: double(quantile) }],
        values,
        exemplars: inOrder(exemplars.filter(({ value }) => closest(overall, value) === at)),
      });
    }
  }
  return found;
}

/** A nil value has no label, unless all are nil: then the first one says so. */
function groupLabels(run: MetricsRun, series: number): MetricsLabel[] {
  const { by } = run.plan.metrics;
  const labels: MetricsLabel[] = [];
  run.groupOf(series).forEach((value, i) => {
    if (value !== undefined) labels.push({ key: printReference(by[i]), value });
  });
  if (labels.length === 0 && by.length > 0)
    labels.push({ key: printReference(by[0]), value: { type: 'string', value: 'nil' } });
  return labels;
}

function closest(estimates: readonly number[], value: number): number {
  let best = 0;
  for (let i = 1; i < estimates.length; i++)
    if (Math.abs(estimates[i] - value) < Math.abs(estimates[best] - value)) best = i;
  return best;
}

function shownExemplar({ labels, timestampMs }: PartialExemplar, value: number): MetricsExemplar {
  return { labels, value, timestampMs };
}

function inOrder(exemplars: MetricsExemplar[]): MetricsExemplar[] {
  return exemplars.sort((a, b) => a.timestampMs - b.timestampMs);
}

function double(value: number): FoundValue {
  return { type: 'double', value };
}
