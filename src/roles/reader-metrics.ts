/** A metrics question in a reader thread: the spans of one tenant, and what has been counted elsewhere already. */
import type { Segment } from '../block/segment.ts';
import { beginMetrics } from '../query/metrics.ts';
import type { MetricsOutcome } from '../query/metrics-results.ts';
import type { PipelineContext } from '../query/pipeline.ts';
import type { Progress } from '../query/progress.ts';
import type { Joining } from '../query/units.ts';
import { VivaceError } from '../runtime/errors.ts';
import type {
  MetricsAnswer,
  MetricsForm,
  MetricsPartialAnswer,
  MetricsRequest,
  SearchMetrics,
} from '../serve/queries.ts';
import { renderMetrics } from '../serve/render-metrics.ts';
import type { Query } from '../traceql/ast.ts';
import { checkQuery } from '../traceql/check.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseQuery } from '../traceql/parse.ts';

export interface MetricsQuestion {
  op: 'metrics';
  request: MetricsRequest;
  /** Bytes of an answer instead of the answer, or what was accumulated before anything is derived from it. */
  form?: MetricsForm | 'partial';
}

export interface MetricsWork {
  segments: readonly Segment[];
  from: MetricsPartialAnswer['from'];
  joining: Joining;
  context: PipelineContext;
  /** The account of what was read, after so many segments. */
  metricsOf(done: number): SearchMetrics;
  /** What could not be read; undefined when everything could. */
  incomplete(): string | undefined;
  /** Tells a listener of what `answerOf` makes of an outcome. */
  progressOf(answerOf: (outcome: MetricsOutcome, done: number) => MetricsAnswer): Progress<MetricsOutcome>;
}

export async function answerMetrics(
  { request, form }: MetricsQuestion,
  query: Query,
  { segments, from, joining, context, metricsOf, incomplete, progressOf }: MetricsWork,
): Promise<MetricsAnswer | MetricsPartialAnswer | Uint8Array> {
  const running = beginMetrics(query, request);
  for (const { partial } of request.others ?? []) running.merge(partial);
  const spans = segments.reduce((sum, segment) => sum + segment.rows, 0);
  const allMetrics = (done: number): SearchMetrics =>
    (request.others ?? []).map(({ metrics }) => metrics).reduce(sumOf, { ...metricsOf(done), inspectedSpans: spans });
  const answerOf = (outcome: MetricsOutcome, done: number): MetricsAnswer => {
    const partial = outcome.partial ?? incomplete();
    return { ...outcome, ...(partial !== undefined && { partial }), metrics: allMetrics(done) };
  };
  await running.add(segments, joining, context, progressOf(answerOf));
  if (form === 'partial') return { partial: running.partial(), metrics: allMetrics(segments.length), from };
  const answer = answerOf(running.finish(context.stop), segments.length);
  return form === undefined ? answer : renderMetrics(answer, request.instant, form, context.stop);
}

/** A checked metrics query. Errors of meaning have a prefix, those of syntax have none. */
export function parseMetricsQuery(text: string): Query {
  const query = parseQuery(text);
  if (query.metrics === undefined) throw new VivaceError('invalid', 'not a metrics query');
  try {
    checkQuery(query, text);
  } catch (error) {
    if (!(error instanceof TraceQLError)) throw error;
    throw new VivaceError('invalid', `compiling query: ${error.message}`, { cause: error });
  }
  return query;
}

function sumOf(a: SearchMetrics, b: SearchMetrics): SearchMetrics {
  return {
    inspectedTraces: a.inspectedTraces + b.inspectedTraces,
    inspectedBytes: a.inspectedBytes + b.inspectedBytes,
    inspectedSpans: (a.inspectedSpans ?? 0) + (b.inspectedSpans ?? 0),
    totalBlocks: a.totalBlocks + b.totalBlocks,
    totalJobs: a.totalJobs + b.totalJobs,
    completedJobs: a.completedJobs + b.completedJobs,
    totalBlockBytes: a.totalBlockBytes + b.totalBlockBytes,
  };
}
