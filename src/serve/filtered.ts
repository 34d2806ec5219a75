/**
 * The queries of a caller who may see only spans of a filter: whatever is asked is answered as if there were no others.
 * Searches and metrics have the filter ANDed into every spanset filter, tags into their `q`; of a trace those spans come
 * that a search for the filter finds, and none means that there is no such trace.
 */
import { VivaceError } from '../runtime/errors.ts';
import type { FieldExpr } from '../traceql/ast.ts';
import { checkQuery } from '../traceql/check.ts';
import { both, conjoin } from '../traceql/conjoin.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseQuery } from '../traceql/parse.ts';
import { printField, printQuery } from '../traceql/print.ts';
import { parseTagFilter } from '../traceql/tag-filter.ts';
import type { Listener, Queries, SearchAnswer, SearchRequest, TraceAnswer, TraceRequest } from './queries.ts';
import { keepSpans } from './trace-spans.ts';

/** Throws `invalid` with the reason when the filter cannot be ANDed into every kind of query. */
export function checkForcedFilter(text: string): void {
  forcedExpression(text);
}

export function filtered(queries: Queries, filter: string): Queries {
  const forced = forcedExpression(filter);
  const narrowed = <R extends { query: string }>(request: R): R => ({
    ...request,
    query: conjoined(request.query, forced),
  });
  const narrowedTags = <R extends { query?: string }>(request: R): R => ({
    ...request,
    query: tagQuery(request.query, forced),
  });
  return {
    trace: (request, signal, listener) => visibleTrace(queries, forced, request, signal, quiet(listener)),
    async search(request, signal, listener) {
      const onProgress =
        listener?.onProgress && ((partial: SearchAnswer) => listener.onProgress!(withoutStats(partial)));
      const answer = await queries.search(narrowedSearch(request, forced), signal, { ...quiet(listener), onProgress });
      return withoutStats(answer);
    },
    tagNames: (request, signal, listener) => queries.tagNames(narrowedTags(request), signal, quiet(listener)),
    tagValues: (request, signal, listener) => queries.tagValues(narrowedTags(request), signal, quiet(listener)),
    metrics: (request, signal, listener) => queries.metrics(narrowed(request), signal, quiet(listener)),
    metricsBody: (request, form, signal, listener) =>
      queries.metricsBody(narrowed(request), form, signal, quiet(listener)),
    metricsPartial: (request, signal, listener) => queries.metricsPartial(narrowed(request), signal, quiet(listener)),
  };
}

/** They count the spans of all services of a trace. */
function withoutStats(answer: SearchAnswer): SearchAnswer {
  return { ...answer, traces: answer.traces.map((trace) => ({ ...trace, serviceStats: undefined })) };
}

/** An explanation would tell the filter, and how much there is beside it. */
function quiet<A>(listener: Listener<A> | undefined): Listener<A> {
  return { ...listener, onExplanation: undefined };
}

function forcedExpression(text: string): FieldExpr {
  const parsed = readable(() => parseTagFilter(text));
  if (parsed === undefined)
    throw new VivaceError(
      'invalid',
      `filter ${text} cannot be used: write one filter of scoped attributes or intrinsics, such as { resource.team = "shop" }`,
    );
  return parsed.expression;
}

/** Before TraceQL there was no way to say a filter. */
function narrowedSearch(request: SearchRequest, forced: FieldExpr): SearchRequest {
  if ((request.tags?.size ?? 0) > 0 || request.minDurationNs !== undefined || request.maxDurationNs !== undefined)
    throw new VivaceError(
      'denied',
      'these credentials may search by TraceQL only: use q in place of tags and durations',
    );
  return { ...request, tags: undefined, query: conjoined(request.query, forced) };
}

function conjoined(text: string, forced: FieldExpr): string {
  return readable(() => {
    const query = parseQuery(text === '' ? '{}' : text);
    // Mistakes are told of the text as it was written.
    checkQuery(query, text);
    return printQuery(conjoin(query, forced));
  });
}

/** A filter that cannot be used is none, but never in place of the forced one. */
function tagQuery(asked: string | undefined, forced: FieldExpr): string {
  const alone = `{ ${printField(forced)} }`;
  const parsed = asked === undefined ? undefined : readable(() => parseTagFilter(asked));
  if (parsed === undefined) return alone;
  const together = `{ ${printField(both(parsed.expression, forced))} }`;
  return readable(() => parseTagFilter(together)) === undefined ? alone : together;
}

async function visibleTrace(
  queries: Queries,
  forced: FieldExpr,
  request: TraceRequest,
  signal: AbortSignal,
  listener: Listener,
): Promise<TraceAnswer | undefined> {
  const found = await queries.trace(request, signal, listener);
  if (found === undefined) return undefined;
  const id = Buffer.from(request.id).toString('hex');
  const answer = await queries.search(
    {
      tenant: request.tenant,
      query: `{ trace:id = "${id}" && (${printField(forced)}) }`,
      limit: 1,
      spansPerSpanSet: 0x7fffffff,
      startSeconds: 0,
      endSeconds: 0xffffffff,
    },
    signal,
  );
  const visible = new Set<string>();
  for (const trace of answer.traces)
    for (const set of trace.spanSets ?? []) for (const span of set.spans) visible.add(span.spanId);
  if (visible.size === 0) return undefined;
  return { ...found, trace: keepSpans(found.trace, visible) };
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TraceQLError) throw new VivaceError('invalid', error.message, { cause: error });
    throw error;
  }
}
