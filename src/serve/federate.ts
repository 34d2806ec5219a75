/** Reads over several tenants at once: every tenant is asked, the answers become one. */
import type {
  Listener,
  MetricsRequest,
  Queries,
  SearchAnswer,
  SearchMetrics,
  TagMetrics,
  TagNamesAnswer,
  TagValuesAnswer,
  TraceAnswer,
  TraceResult,
} from './queries.ts';

/**
 * The answers of one request to each of `tenants`, joined. With one tenant that is its answer as it is. A trace that
 * several tenants hold is one trace: its batches follow one another, equal ones once.
 */
export function federated(queries: Queries, tenants: string[]): Queries {
  const all = <R extends { tenant: string }, A>(
    request: R,
    listener: Listener<A> | undefined,
    ask: (request: R, listener: Listener<A> | undefined) => Promise<A>,
    join: (answers: A[]) => A,
  ): Promise<A> => {
    if (tenants.length === 1) return ask({ ...request, tenant }, listener);
    const partials = new Map<string, A>();
    const asked = tenants.map((each) => {
      const onProgress = (partial: A): void => {
        partials.set(each, partial);
        listener?.onProgress?.(join([...partials.values()]));
      };
      return ask({ ...request, tenant: each }, listener && { ...listener, ...(listener.onProgress && { onProgress }) });
    });
    return Promise.all(asked).then(join);
  };
  const [tenant, ...otherTenants] = tenants;
  // Spans of all tenants are counted together, so that means, quantiles and the largest series are those of all.
  const withOthers = async (request: MetricsRequest, signal: AbortSignal, listener?: Listener<never>) => {
    const others = await Promise.all(
      otherTenants.map((other) =>
        queries.metricsPartial({ ...request, tenant: other }, signal, withoutProgress(listener)),
      ),
    );
    return { ...request, tenant, others: [...(request.others ?? []), ...others] };
  };
  return {
    ...(tenants.length === 1 && {
      searchBody: (request, form, signal, listener) =>
        queries.searchBody?.({ ...request, tenant }, form, signal, listener),
    }),
    trace: (request, signal, listener) => all(request, listener, (r, l) => queries.trace(r, signal, l), joinTraces),
    search: (request, signal, listener) =>
      all(
        request,
        listener,
        (r, l) => queries.search(r, signal, l),
        (answers) => joinSearches(answers, request.limit),
      ),
    tagNames: (request, signal, listener) =>
      all(
        request,
        listener,
        (r, l) => queries.tagNames(r, signal, l),
        (answers) => joinNames(answers, request.limit),
      ),
    tagValues: (request, signal, listener) =>
      all(
        request,
        listener,
        (r, l) => queries.tagValues(r, signal, l),
        (answers) => joinValues(answers, request.limit),
      ),
    metrics: async (request, signal, listener) =>
      queries.metrics(await withOthers(request, signal, listener), signal, listener),
    metricsBody: async (request, form, signal, listener) =>
      queries.metricsBody(await withOthers(request, signal, listener), form, signal, listener),
    metricsPartial: async (request, signal, listener) =>
      queries.metricsPartial(await withOthers(request, signal, listener), signal, listener),
  };
}

function withoutProgress(listener: Listener<never> | undefined): Listener | undefined {
  return listener?.onReceipt && { onReceipt: listener.onReceipt };
}

/** Traces of several searches, each trace once, newest first, at most `limit`. */
export function joinSearches(answers: SearchAnswer[], limit: number): SearchAnswer {
  if (answers.length === 1) return answers[0];
  const traces = new Map<string, TraceResult>();
  for (const trace of answers.flatMap((answer) => answer.traces)) {
    const known = traces.get(trace.traceId);
    traces.set(trace.traceId, known === undefined ? trace : joinTraceResults(known, trace));
  }
  const newestFirst = [...traces.values()].sort((a, b) =>
    a.startUnixNano > b.startUnixNano ? -1 : a.startUnixNano < b.startUnixNano ? 1 : 0,
  );
  return { traces: newestFirst.slice(0, limit), metrics: sum(answers.map((answer) => answer.metrics)) };
}

/** Fragments of one trace: the earlier start, the longer duration, the larger counts; span sets of both. */
function joinTraceResults(a: TraceResult, b: TraceResult): TraceResult {
  const serviceStats = a.serviceStats && new Map<string, { spanCount: number; errorCount: number }>();
  for (const fragment of [a.serviceStats, b.serviceStats])
    fragment?.forEach((stats, service) => {
      const known = serviceStats?.get(service);
      serviceStats?.set(service, {
        spanCount: Math.max(known?.spanCount ?? 0, stats.spanCount),
        errorCount: Math.max(known?.errorCount ?? 0, stats.errorCount),
      });
    });
  return {
    traceId: a.traceId,
    rootServiceName: a.rootServiceName ?? b.rootServiceName,
    rootTraceName: a.rootTraceName ?? b.rootTraceName,
    startUnixNano: earlier(a.startUnixNano, b.startUnixNano),
    durationMs: Math.max(a.durationMs, b.durationMs),
    spanSets: a.spanSets && joinSpanSets(a.spanSets, b.spanSets ?? []),
    serviceStats,
  };
}

function earlier(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

/** Sets of equal groups are one set, of which the fragment with more matches is kept. */
function joinSpanSets(a: NonNullable<TraceResult['spanSets']>, b: NonNullable<TraceResult['spanSets']>) {
  const byGroup = new Map<string, (typeof a)[number]>();
  for (const set of [...a, ...b]) {
    const group = JSON.stringify(set.attributes?.filter(({ key }) => key.startsWith('by(')) ?? [], (_, v) =>
      typeof v === 'bigint' ? String(v) : v,
    );
    const known = byGroup.get(group);
    if (known === undefined || known.matched < set.matched) byGroup.set(group, set);
  }
  return [...byGroup.values()];
}

function joinTraces(answers: (TraceAnswer | undefined)[]): TraceAnswer | undefined {
  const found = answers.filter((answer) => answer !== undefined);
  if (found.length <= 1) return found[0];
  const distinct = found.filter(
    (one, i) => found.findIndex((other) => Buffer.compare(one.trace, other.trace) === 0) === i,
  );
  return {
    // Messages put one after the other are the message with all their repeated fields.
    trace: Buffer.concat(distinct.map((answer) => answer.trace)),
    inspectedBytes: found.reduce((bytes, answer) => bytes + answer.inspectedBytes, 0),
    partial: found.find((answer) => answer.partial !== undefined)?.partial,
    incomplete: found.find((answer) => answer.incomplete !== undefined)?.incomplete,
  };
}

export function joinNames(answers: TagNamesAnswer[], limit: number): TagNamesAnswer {
  if (answers.length === 1) return answers[0];
  const scopes = new Map<string, Set<string>>();
  for (const { name, tags } of answers.flatMap((answer) => answer.scopes)) {
    const known = scopes.get(name) ?? new Set();
    for (const tag of tags) known.add(tag);
    scopes.set(name, known);
  }
  return {
    scopes: [...scopes].map(([name, tags]) => ({ name, tags: atMost([...tags].sort(), limit) })),
    metrics: sum(answers.map((answer) => answer.metrics)),
  };
}

export function joinValues(answers: TagValuesAnswer[], limit: number): TagValuesAnswer {
  if (answers.length === 1) return answers[0];
  const values = new Map(
    answers.flatMap((answer) => answer.values).map((value) => [`${value.type} ${value.value}`, value]),
  );
  return { values: atMost([...values.values()], limit), metrics: sum(answers.map((answer) => answer.metrics)) };
}

function atMost<T>(list: T[], limit: number): T[] {
  return limit > 0 ? list.slice(0, limit) : list;
}

function sum<M extends SearchMetrics | TagMetrics>(metrics: M[]): M {
  const total: Record<string, number> = {};
  for (const one of metrics) {
    for (const [name, value] of Object.entries(one)) total[name] = (total[name] ?? 0) + (value ?? 0);
  }
  return total as unknown as M;
}
