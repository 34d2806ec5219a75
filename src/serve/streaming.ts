/**
 * `tempopb.StreamingQuerier` (api.md §12): the queries of the HTTP API as streams. A request becomes the parameters of its
 * HTTP route and goes the same way; while the query runs its partial answers come, each with what is new since the last, and
 * at the end the whole answer. A client that reads slowly gets the newest partial answer, not all of them.
 *
 *   request ─▶ parameters ─▶ query ─┬▶ partial ─▶ new elements ─┬▶ packets ─▶ stream
 *                                   └▶ answer ──▶ all elements ─┘
 */
import type { MetricsSeries } from '../query/metrics-results.ts';
import { VivaceError } from '../runtime/errors.ts';
import { parseQuery } from '../traceql/parse.ts';
import type { GrpcCall, GrpcService } from '../wire/grpc.ts';
import { GRPC_INTERNAL, GRPC_UNKNOWN, RpcFailure } from '../wire/rpc-status.ts';
import { type ApiOptions, type Call, type QueryOp, SEARCH_TIMEOUT } from './api.ts';
import { withDeadline } from './deadline.ts';
import { federated } from './federate.ts';
import { filtered } from './filtered.ts';
import { type Elements, Packets } from './packets.ts';
import { metricsRequest } from './metrics.ts';
import { seriesField, statusFields } from './metrics-protobuf.ts';
import { searchParameters } from './parameters.ts';
import type {
  Listener,
  MetricsAnswer,
  Receipt,
  SearchAnswer,
  TagMetrics,
  TagNamesAnswer,
  TagValuesAnswer,
} from './queries.ts';
import { joinReceipts, RECEIPT_HEADER, receiptHeader, overheard } from './receipt.ts';
import { foundTraces } from './search.ts';
import { searchMetricsField, traceField } from './search-protobuf.ts';
import {
  QUERY_INSTANT_REQUEST,
  QUERY_RANGE_REQUEST,
  type RequestFields,
  requestParameters,
  SEARCH_REQUEST,
  TAG_VALUES_REQUEST,
  TAGS_REQUEST,
} from './streaming-requests.ts';
import { flatNames, flatValues, foundNames, foundValues, type TagVersion } from './tags.ts';
import { stringField, tagMetricsField, tagValueField } from './tags-protobuf.ts';
import { tenantsOf } from './tenant.ts';

export interface StreamingOptions
  extends Pick<
    ApiOptions,
    'queries' | 'limits' | 'tenants' | 'nowMs' | 'filterOf' | 'searchTimeoutMs' | 'onQuery' | 'onError'
  > {
  /** `max_grpc_streaming_packet_size`: larger messages are split; 0 for no bound. */
  packetBytesMax: number;
  /** Told of every call; `status` is `success`, `error` or `cancel`. */
  onRequest?(method: string, status: string, seconds: number): void;
}

/** One method: what it is asked, who answers, and of what elements the answer consists. */
interface Method<A> {
  op: QueryOp;
  fields: RequestFields;
  ask(call: Call, listener: Listener<A>): Promise<A>;
  elements(answer: A, call: Call): Elements;
}

/** The service for a router. */
export function streamingQuerier(options: StreamingOptions): GrpcService {
  const service: Record<string, GrpcService[string]> = {};
  const add = <A>(name: string, method: Method<A>): void => {
    const path = `/tempopb.StreamingQuerier/${name}`;
    service[path] = { kind: 'server-stream', handle: (message, call) => stream(options, path, method, message, call) };
  };
  add('Search', SEARCH);
  add('SearchTags', tagNamesMethod('v1'));
  add('SearchTagsV2', tagNamesMethod('v2'));
  add('SearchTagValues', tagValuesMethod('v1'));
  add('SearchTagValuesV2', tagValuesMethod('v2'));
  add('MetricsQueryRange', metricsMethod('range'));
  add('MetricsQueryInstant', metricsMethod('instant'));
  return service;
}

const SEARCH: Method<SearchAnswer> = {
  op: 'search',
  fields: SEARCH_REQUEST,
  ask(call, listener) {
    const { given, ...asked } = searchParameters(call.url, call.limits, call.nowMs);
    return foundTraces(call, { tenant: call.tenant, ...asked }, given, listener);
  },
  elements: ({ traces, metrics }, { limits }) => ({
    elements: traces.map((trace) => ({ key: trace.traceId, bytes: traceField(trace, limits.leftPadTraceIds) })),
    metrics: searchMetricsField(metrics),
  }),
};

function tagNamesMethod(version: TagVersion): Method<TagNamesAnswer> {
  return {
    op: 'metadata',
    fields: TAGS_REQUEST,
    ask: (call, listener) => foundNames(call, version, listener),
    elements: (answer) => (version === 'v1' ? strings(flatNames(answer), answer.metrics) : namesByScope(answer)),
  };
}

function tagValuesMethod(version: TagVersion): Method<TagValuesAnswer> {
  return {
    op: 'metadata',
    fields: TAG_VALUES_REQUEST,
    ask: (call, listener) => foundValues({ ...call, parameter: call.url.get('tagName') ?? '' }, version, listener),
    elements: (answer) => (version === 'v1' ? strings(flatValues(answer), answer.metrics) : typedValues(answer)),
  };
}

function metricsMethod(kind: 'range' | 'instant'): Method<MetricsAnswer> {
  return {
    op: 'metrics',
    fields: kind === 'range' ? QUERY_RANGE_REQUEST : QUERY_INSTANT_REQUEST,
    async ask(call, listener) {
      const request = metricsRequest(call, kind);
      // Who joins messages would keep a series that only a part of the spans puts among the first.
      const mayVanish = choosesSeries(request.query);
      const onProgress = (partial: MetricsAnswer): void =>
        listener.onProgress?.(mayVanish || partial.partial !== undefined ? { ...partial, series: [] } : partial);
      try {
        return await call.queries.metrics(request, call.signal, { ...listener, onProgress });
      } catch (error) {
        throw kind === 'range' ? compileFailure(error) : error;
      }
    },
    elements: (answer) => ({
      elements: (answer.series ?? []).map((series) => ({
        key: labelsKey(series),
        bytes: seriesField(series, answer.stampsMs, kind === 'instant'),
      })),
      metrics: searchMetricsField(answer.metrics),
      status: statusFields(answer),
    }),
  };
}

/** Whether more spans may take a series out of the answer. */
function choosesSeries(text: string): boolean {
  try {
    const query = parseQuery(text);
    return query.secondStages.length > 0 || query.metrics?.name === 'compare';
  } catch {
    // Whoever runs the query says what is wrong with it.
    return false;
  }
}

function labelsKey({ labels }: MetricsSeries): string {
  return JSON.stringify(labels, (_, value) => (typeof value === 'bigint' ? String(value) : value));
}

/** What a query over a range is told of its meaning has another code than what it is told of its parameters. */
function compileFailure(error: unknown): unknown {
  if (!(error instanceof VivaceError) || error.code !== 'invalid') return error;
  const isCompiling = error.message === 'not a metrics query' || error.message.startsWith('compiling query: ');
  return isCompiling ? new RpcFailure(GRPC_UNKNOWN, error.message) : error;
}

function strings(list: string[], metrics: TagMetrics): Elements {
  return {
    elements: list.map((each) => ({ key: each, bytes: stringField(1, each) })),
    metrics: tagMetricsField(metrics),
  };
}

function namesByScope({ scopes, metrics }: TagNamesAnswer): Elements {
  return {
    elements: scopes.flatMap(({ name, tags }) =>
      tags.map((tag) => ({ key: `${name} ${tag}`, bytes: stringField(2, tag), group: name })),
    ),
    metrics: tagMetricsField(metrics),
  };
}

function typedValues({ values, metrics }: TagValuesAnswer): Elements {
  return {
    elements: values.map((value) => ({ key: `${value.type} ${value.value}`, bytes: tagValueField(value) })),
    metrics: tagMetricsField(metrics),
  };
}

async function* stream<A>(
  options: StreamingOptions,
  path: string,
  method: Method<A>,
  message: Uint8Array,
  grpc: GrpcCall,
): AsyncGenerator<Uint8Array> {
  const startMs = options.nowMs();
  const receipts: Receipt[] = [];
  const stop = new AbortController();
  const signal = AbortSignal.any([grpc.signal, stop.signal]);
  let tenants: string[] = [];
  let status = 'cancel';
  try {
    tenants = tenantsOf(grpc.metadata['x-scope-orgid'], options.tenants);
    const filter = options.filterOf?.(grpc.metadata);
    const all = federated(options.queries, tenants);
    const visible = filter === undefined ? all : filtered(all, filter);
    const call: Call = {
      parameter: '',
      url: requestParameters(message, method.fields),
      accept: '',
      queries: overheard(visible, { onReceipt: (receipt) => void receipts.push(receipt) }),
      tenant: tenants[0],
      limits: options.limits(tenants[0]),
      nowMs: startMs,
      signal,
    };
    const packets = new Packets(options.packetBytesMax);
    const timeoutMs = method.op === 'search' ? (options.searchTimeoutMs ?? 0) : 0;
    const ask = (listener: Listener<A>): Promise<A> =>
      withDeadline(timeoutMs, SEARCH_TIMEOUT, signal, (limited) => method.ask({ ...call, signal: limited }, listener));
    for await (const { answer, isFinal } of answersOf<A>(ask)) {
      const elements = method.elements(answer, call);
      if (isFinal && receipts.length > 0)
        grpc.trailer(RECEIPT_HEADER.toLowerCase(), receiptHeader(joinReceipts(receipts)));
      yield* isFinal ? packets.final(elements) : packets.partial(elements);
    }
    status = 'success';
  } catch (error) {
    if (!signal.aborted) {
      status = 'error';
      const told = failure(error);
      if (told instanceof RpcFailure && told.code === GRPC_INTERNAL) options.onError?.(path, error);
      throw told;
    }
    throw error;
  } finally {
    // Whoever stops reading before the end wants no more work done.
    stop.abort();
    const seconds = (options.nowMs() - startMs) / 1000;
    options.onRequest?.(path, status, seconds);
    const bytes = receipts.reduce((sum, receipt) => sum + receipt.bytes.read, 0);
    if (tenants.length > 0)
      options.onQuery?.(method.op, tenants.join('|'), status === 'cancel' ? 'canceled' : 'completed', seconds, bytes);
  }
}

/** The partial answers, of which only the newest waits for the reader, and then the answer. */
async function* answersOf<A>(
  ask: (listener: Listener<A>) => Promise<A>,
): AsyncGenerator<{ answer: A; isFinal: boolean }> {
  let newest: A | undefined;
  let wake: () => void = () => {};
  let ended = false;
  const answer = ask({
    onProgress(partial) {
      newest = partial;
      wake();
    },
  }).finally(() => {
    ended = true;
    wake();
  });
  // Awaited below, unless the reader leaves before.
  answer.catch(() => {});
  while (!ended) {
    if (newest === undefined) await new Promise<void>((resolve) => (wake = resolve));
    if (newest === undefined || ended) continue;
    const partial = newest;
    newest = undefined;
    yield { answer: partial, isFinal: false };
  }
  yield { answer: await answer, isFinal: true };
}

/** What HTTP answers 400, 404, 429 or 499 has a code of its own; every 5xx is internal (api.md §12.2). */
function failure(error: unknown): unknown {
  if (error instanceof RpcFailure) return error;
  if (!(error instanceof VivaceError)) return new RpcFailure(GRPC_INTERNAL, 'internal error');
  if (error.code === 'no-tenant') return new RpcFailure(GRPC_UNKNOWN, error.message);
  if (error.code === 'undecodable') return new VivaceError('invalid', error.message, { cause: error });
  if (error.code === 'unsupported' || error.code === 'unavailable' || error.code === 'deadline')
    return new RpcFailure(GRPC_INTERNAL, error.message);
  return error;
}
