/**
 * TraceQL metrics: a query over a range becomes series. Segments are accumulated one after the other; what other processes
 * accumulated is added; only then are values derived, second stages applied and series limited.
 *
 *   segments ─▶ selected rows ─▶ cells (metrics-run.ts) ─┐
 *                            partial results of others ──┴─▶ series ─▶ second stages ─▶ answer
 */
import type { Segment } from '../block/segment.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { CompareMetrics, FieldExpr, Hint, Query, Stage } from '../traceql/ast.ts';
import { allBits, type Bits, subtract } from './bits.ts';
import { CELLS_MAX } from './metrics-cells.ts';
import { ATTRIBUTES_MAX, CompareRun } from './metrics-compare.ts';
import { type Intervals, intervalsOf, stampMs } from './metrics-intervals.ts';
import { type MetricsPlan, planMetrics } from './metrics-plan.ts';
import type { MetricsOutcome, MetricsPartial, MetricsSeries } from './metrics-results.ts';
import { selectedRows } from './metrics-rows.ts';
import { MetricsRun } from './metrics-run.ts';
import { applySecondStages } from './metrics-second-stages.ts';
import { seriesOf, sortSeries } from './metrics-series.ts';
import { isPerSpan, type PipelineContext, readsWholeTraces } from './pipeline.ts';
import type { Progress } from './progress.ts';
import { type Joining, unitsOf } from './units.ts';

export interface MetricsOptions {
  /** A whole number of steps, left-open. */
  startNs: bigint;
  endNs: bigint;
  stepNs: bigint;
  /** One interval, of which there are no exemplars. */
  instant: boolean;
  exemplars: number;
  /** Series of an answer, 0 for as many as there is memory for. */
  seriesMax: number;
}

/** A metrics query under way. */
export interface MetricsQuery {
  /** Segments come newest first; traces that lie in several of them are joined where that makes a difference. */
  add(
    segments: readonly Segment[],
    joining: Joining,
    context: PipelineContext,
    progress?: Progress<MetricsOutcome>,
  ): Promise<void>;
  merge(partial: MetricsPartial): void;
  partial(): MetricsPartial;
  /** `stop` throws when nobody waits any more: there may be many series. */
  finish(stop?: () => void): MetricsOutcome;
}

/** Begins a query that `checkQuery` has passed and that has a metrics function. */
export function beginMetrics(query: Query, options: MetricsOptions): MetricsQuery {
  const { metrics } = query;
  if (metrics === undefined) throw new VivaceError('invalid', 'not a metrics query');
  const intervals = intervalsOf(options.startNs, options.endNs, options.stepNs);
  if (intervals.count > CELLS_MAX)
    throw new VivaceError(
      'invalid',
      `cannot compute ${intervals.count} intervals: at most ${CELLS_MAX} fit into memory; make the step longer or the range shorter`,
    );
  const exemplars = options.instant ? 0 : exemplarsWanted(query.hints, options.exemplars);
  const run =
    metrics.name === 'compare' ? comparing(metrics, intervals) : accumulating(query, metrics, intervals, exemplars);
  const isFalse = isConstantFalse(query);
  const finish = (stop = () => {}): MetricsOutcome => {
    // Whoever wants no bound gets as much as can be carried.
    const carried = Math.max(1, Math.floor(ANSWER_CELLS_MAX / Math.max(1, intervals.count)));
    const seriesMax = options.seriesMax <= 0 ? carried : Math.min(options.seriesMax, carried);
    const series = intervals.count === 0 ? [] : run.series(stop, seriesMax + 1);
    return limited(isFalse ? undefined : series, intervals, seriesMax, run.roomFor());
  };
  return {
    async add(segments, joining, { stop, begin }, progress) {
      if (isFalse) return;
      const stages = stagesToJoin(query);
      begin?.('find spans that were sent twice');
      const repeats = isPerSpan(stages) ? await joining.repeats.find(segments, stop) : [];
      let done = 0;
      for await (const unit of unitsOf(segments, stages, joining, stop)) {
        stop();
        begin?.(query.pipeline[0]);
        const rows = without(
          await selectedRows(unit, query.pipeline, stop),
          unit.segment,
          repeats[segments.indexOf(unit.segment)],
        );
        stop();
        begin?.(metrics.name);
        await run.add(unit.segment, rows, stop);
        if (done < segments.length) done++;
        await progress?.(done, () => finish(stop));
      }
    },
    merge: run.merge,
    partial: run.partial,
    finish,
  };
}

/** Rows (undefined: all) without those of spans that count elsewhere or have an earlier row. */
function without(rows: Bits | undefined, segment: Segment, elsewhere: Bits | undefined): Bits | undefined {
  const again = segment.repeatedRows?.() ?? [];
  if (again.length === 0 && elsewhere === undefined) return rows;
  const left = rows ?? allBits(segment.rows);
  if (elsewhere !== undefined) subtract(left, elsewhere);
  for (const row of again) left[row >>> 5] &= ~(1 << (row & 31));
  return left;
}

/** The stages, and what is read of the spans they find, as a stage that decides nothing: it may need whole traces, too. */
function stagesToJoin({ pipeline, metrics }: Query): readonly Stage[] {
  const expression =
    metrics?.name === 'compare'
      ? ROOT_NAME
      : [...metrics!.by, ...('attribute' in metrics! ? [metrics.attribute] : [])].find(readsWholeTraces);
  return expression === undefined ? pipeline : [...pipeline, { type: 'by', expression, offset: 0 }];
}

/** `compare()` counts names of roots, too. */
const ROOT_NAME: FieldExpr = { type: 'intrinsic', name: 'rootName', offset: 0 };

/** Samples of an answer; each is some 40 bytes of JSON. */
const ANSWER_CELLS_MAX = 500_000;

/** What the functions have in common. */
interface Run {
  add(segment: Segment, rows: Bits | undefined, stop: () => void): Promise<void>;
  merge(partial: MetricsPartial): void;
  partial(): MetricsPartial;
  /** Second stages applied, in order; the first `countMax` at least. */
  series(stop: () => void, countMax: number): MetricsSeries[];
  /** How many series there was room for when some were left out, 0 when none were. */
  roomFor(): number;
}

function accumulating(query: Query, metrics: MetricsPlan['metrics'], intervals: Intervals, exemplars: number): Run {
  const run = new MetricsRun(planMetrics(query, metrics, intervals), exemplars);
  return {
    add: (segment, rows, stop) => run.add(segment, rows, stop),
    merge(partial) {
      if (partial.of === 'cells') run.merge(partial);
    },
    partial: () => run.partial(),
    series(stop, countMax) {
      const { secondStages } = query;
      // Which series stay is not known before.
      const wanted = secondStages.length > 0 ? Number.POSITIVE_INFINITY : countMax;
      return applySecondStages(seriesOf(run, stop, wanted), secondStages, stop);
    },
    roomFor: () => (run.limited ? run.cells.seriesMax : 0),
  };
}

function comparing(metrics: CompareMetrics, intervals: Intervals): Run {
  const run = new CompareRun(metrics, intervals);
  return {
    add: (segment, rows, stop) => run.add(segment, rows, stop),
    merge(partial) {
      if (partial.of === 'compare') run.merge(partial);
    },
    partial: () => run.partial(),
    series: (stop) => sortSeries(run.series(stop), stop),
    roomFor: () => (run.limited ? ATTRIBUTES_MAX : 0),
  };
}

/** `roomFor` is how many series there was room for when some were left out, 0 when none were. */
function limited(
  series: MetricsOutcome['series'],
  intervals: Intervals,
  seriesMax: number,
  roomFor: number,
): MetricsOutcome {
  const stampsMs = Float64Array.from({ length: intervals.count }, (_, i) => stampMs(intervals, i));
  const tooMany = series !== undefined && series.length > seriesMax;
  if (!tooMany && roomFor === 0) return { series, stampsMs };
  const limit = tooMany ? seriesMax : roomFor;
  return {
    series: tooMany ? series.slice(0, seriesMax) : series,
    stampsMs,
    partial: `Response exceeds maximum series limit of ${limit}, a partial response is returned. Warning: the accuracy of each individual value is not guaranteed.`,
  };
}

/** `with(exemplars=…)`: a number, or false for none. */
function exemplarsWanted(hints: readonly Hint[], asked: number): number {
  const hint = hints.findLast(({ name }) => name === 'exemplars')?.value;
  if (hint?.type === 'bool') return hint.value ? asked : 0;
  if (hint?.type === 'int') return Math.max(0, Math.min(asked, Number(hint.value)));
  return asked;
}

function isConstantFalse(query: Query): boolean {
  const first = query.pipeline[0];
  if (first.type !== 'spanset' || first.expression.type !== 'filter') return false;
  const { expression } = first.expression;
  return expression.type === 'static' && expression.value.type === 'bool' && !expression.value.value;
}
