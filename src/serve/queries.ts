import type { MetricsPartial, MetricsSeries } from '../query/metrics-results.ts';
import type { PlanStep } from '../traceql/plan.ts';

/**
 * What the HTTP and gRPC API asks of the engine. The API parses, checks and renders; whoever implements `Queries`
 * finds. Every method rejects with a `VivaceError` when it cannot answer, and with code `cancelled` soon after `signal`
 * is aborted. Answers belong to the caller: the engine keeps no reference to what it handed out.
 *
 * Times of a range are whole Unix seconds, both ends inclusive.
 */
export interface Queries {
  /** The whole trace, or undefined when no span of it is known. */
  trace(request: TraceRequest, signal: AbortSignal, listener?: Listener): Promise<TraceAnswer | undefined>;
  /** Traces with a match, newest first. Rejects with `invalid` for a query that does not parse or type-check. */
  search(request: SearchRequest, signal: AbortSignal, listener?: Listener<SearchAnswer>): Promise<SearchAnswer>;
  /**
   * A search rendered where it was found, so that thousands of traces need not be carried between threads as objects.
   * Undefined where answers of several sources have to be joined first; then `search` is asked.
   */
  searchBody?(
    request: SearchRequest,
    form: SearchForm,
    signal: AbortSignal,
    listener?: Listener,
  ): Promise<Uint8Array> | undefined;
  /** Attribute names by scope. A filter that cannot be used is ignored, never an error. */
  tagNames(request: TagNamesRequest, signal: AbortSignal, listener?: Listener<TagNamesAnswer>): Promise<TagNamesAnswer>;
  /** Values of one attribute or intrinsic. Rejects with `invalid` for an identifier that is none. */
  tagValues(
    request: TagValuesRequest,
    signal: AbortSignal,
    listener?: Listener<TagValuesAnswer>,
  ): Promise<TagValuesAnswer>;
  /** Series of a metrics query. Rejects with `invalid` for what does not parse, type-check or is no metrics query. */
  metrics(request: MetricsRequest, signal: AbortSignal, listener?: Listener<MetricsAnswer>): Promise<MetricsAnswer>;
  /** The same rendered where it was computed. */
  metricsBody(
    request: MetricsRequest,
    form: MetricsForm,
    signal: AbortSignal,
    listener?: Listener,
  ): Promise<Uint8Array>;
  /** What was accumulated, for whoever puts the answers of several processes or tenants together. */
  metricsPartial(request: MetricsRequest, signal: AbortSignal, listener?: Listener): Promise<MetricsPartialAnswer>;
}

/** What the asker of a question wants to hear beside its answer. */
export interface Listener<Answer = never> {
  /** The answer as far as it is known, whole each time, now and then while the question is worked on. */
  onProgress?(partial: Answer): void;
  /** Before the answer, once for each source that had a part in it. */
  onReceipt?(receipt: Receipt): void;
  /** Before the answer, by this process: what was done for it. Being there asks for it. */
  onExplanation?(explanation: Explanation): void;
}

/** How a question was answered. */
export interface Explanation {
  tenant: string;
  /** Stages of a TraceQL query and what they read; empty for other questions. */
  plan: PlanStep[];
  /** Computing, and waiting for others between. */
  computedMs: number;
  waitedMs: number;
  /** Computing by what was done. */
  phases: { name: string; ms: number }[];
  /** Blocks of the tenant, and those of them in the range of time. */
  blocks: { known: number; wanted: number };
  segments: SegmentExplanation[];
}

export interface SegmentExplanation {
  name: string;
  kind: 'live' | 'block';
  rows: number;
  bytes: number;
  state: 'read' | 'pruned' | 'missing';
  /** Of a missing one. */
  why?: string;
  bytesRead: number;
  columns: ColumnExplanation[];
}

/** A column, or another list of a segment, that was read. */
export interface ColumnExplanation {
  name: string;
  /** Pages gone through, as often as they were, of how many; 0 where there are no pages. */
  pages: number;
  pagesAll: number;
  values: number;
  bytesRead: number;
  /** Reading and decoding, and what the query did with the values. */
  readMs: number;
  useMs: number;
}

/** What an answer rests on. */
export interface Receipt {
  blocks: {
    /** In the range of time. */
    wanted: number;
    /** Something was read of them beyond what says that they hold nothing. */
    read: number;
    /** Not needed: they hold nothing that matters, or enough was found before. */
    pruned: number;
  };
  bytes: {
    /** Sizes of the wanted blocks. */
    wanted: number;
    read: number;
    /** Sizes of the pruned blocks. */
    pruned: number;
  };
  /** What was acknowledged before this time is in the answer; undefined where only blocks were asked for. */
  liveUntilMs?: number;
  /** Sources that could not be asked. */
  missing: { what: string; why: string }[];
}

export interface SearchForm {
  type: 'json' | 'protobuf';
  leftPadTraceIds: boolean;
}

export interface TraceRequest {
  tenant: string;
  /** 16 bytes; shorter ids are padded with zeros on the left. */
  id: Uint8Array;
  /** Narrows the blocks looked at; recent data is always searched. Each end may be given alone. */
  startSeconds?: number;
  endSeconds?: number;
  mode: 'all' | 'recent' | 'blocks';
  /** Where a trace is cut off; 0 for nowhere. */
  bytesMax: number;
}

export interface TraceAnswer {
  /** OTLP `TracesData` bytes (repeated field 1, ResourceSpans): merged, without duplicates, in a deterministic order. */
  trace: Uint8Array;
  inspectedBytes: number;
  /** Why only a part of the trace is here, for the reader; undefined when it is whole. */
  partial?: string;
  /** What could not be read and may hold more of the trace, or all of it; undefined when everything was. */
  incomplete?: string;
}

export interface SearchRequest {
  tenant: string;
  /** TraceQL; empty matches every trace. */
  query: string;
  /** Legacy tag search: all of these must hold. Present (perhaps empty) exactly when the search is a legacy one. */
  tags?: Map<string, string>;
  /** Legacy tag search only: bounds of the trace's duration, both inclusive. */
  minDurationNs?: bigint;
  maxDurationNs?: bigint;
  /** Traces wanted. */
  limit: number;
  /** Spans listed of each span set; `matched` counts all. */
  spansPerSpanSet: number;
  startSeconds: number;
  endSeconds: number;
  /** Leave blocks in the store alone. */
  recentOnly?: boolean;
  parts?: SplitParts;
}

/** What processes on one folder tell each other of traces that several of them have a part of. */
export interface SplitParts {
  /** Traces that somebody else looks at: ids of 16 bytes each. */
  without?: Uint8Array;
  /** Spans that others have not written yet, as OTLP TracesData. */
  brought?: Uint8Array[];
  /** Blocks of these logs with this record or later ones were counted by others, before they were written. */
  counted?: { instance: string; sequence: number }[];
  /** The answer is wanted even if some spans of a merged block count twice; otherwise it is an error 'precondition'. */
  mayCountTwice?: boolean;
}

export interface SearchAnswer {
  traces: TraceResult[];
  metrics: SearchMetrics;
}

export interface TraceResult {
  /** 32 lower-case hex digits; the API trims zeros where Tempo does. */
  traceId: string;
  /** Undefined while the root span is unknown. */
  rootServiceName?: string;
  rootTraceName?: string;
  startUnixNano: bigint;
  durationMs: number;
  /** Undefined in a legacy tag search, like `serviceStats`. */
  spanSets?: SpanSetResult[];
  serviceStats?: ServiceStats;
}

/** What each service has of a trace: a map by its name, or something that reads it where it is. */
export interface ServiceStats {
  readonly size: number;
  forEach(each: (stats: { spanCount: number; errorCount: number }, service: string) => void): void;
}

export interface SpanSetResult {
  spans: SpanResult[];
  /** Spans that matched, of which `spans` lists the first few. */
  matched: number;
  attributes?: ResultAttribute[];
}

export interface SpanResult {
  /** 16 hex digits. */
  spanId: string;
  /** Only when the query speaks of names. */
  name?: string;
  startUnixNano: bigint;
  durationNs: bigint;
  attributes: ResultAttribute[];
}

export interface ResultAttribute {
  key: string;
  value: AttributeValue;
}

export type AttributeValue =
  | { type: 'string'; value: string }
  | { type: 'int'; value: bigint }
  | { type: 'double'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'array'; values: AttributeValue[] };

export interface MetricsRequest {
  tenant: string;
  query: string;
  /** Nanoseconds since 1970; the range is left-open and a whole number of steps. */
  startNs: bigint;
  endNs: bigint;
  stepNs: bigint;
  /** One interval from start to end. */
  instant: boolean;
  exemplars: number;
  /** Series of the answer, 0 for no bound. */
  seriesMax: number;
  /** Leave blocks in the store alone. */
  recentOnly?: boolean;
  parts?: SplitParts;
  /** What was accumulated elsewhere for the same query and range: by other processes, for other tenants. */
  others?: MetricsPartialAnswer[];
}

export interface MetricsForm {
  type: 'json' | 'protobuf';
}

export interface MetricsAnswer {
  /** undefined for a filter that is false whatever the span. */
  series: MetricsSeries[] | undefined;
  /** When each interval ends. */
  stampsMs: Float64Array;
  /** Why the answer is not the whole truth. */
  partial?: string;
  metrics: SearchMetrics;
}

export interface MetricsPartialAnswer {
  partial: MetricsPartial;
  metrics: SearchMetrics;
  /** The first record of each log that was counted and is not in a block, or was not then. */
  from?: { instance: string; sequence: number }[];
}

export interface SearchMetrics {
  inspectedTraces: number;
  inspectedBytes: number;
  inspectedSpans?: number;
  totalBlocks: number;
  totalJobs: number;
  completedJobs: number;
  totalBlockBytes: number;
}

/** What a tag query cost; the fields of Tempo's `MetadataMetrics`. */
export interface TagMetrics {
  inspectedBytes: number;
  totalJobs?: number;
  completedJobs?: number;
  totalBlocks?: number;
  totalBlockBytes?: number;
}

export type TagScope = '' | 'none' | 'span' | 'resource' | 'intrinsic' | 'event' | 'link' | 'instrumentation' | 'trace';

export interface TagNamesRequest {
  tenant: string;
  /** Empty and `none` ask for every scope. */
  scope: TagScope;
  /** TraceQL filter: names of spans that match it. */
  query?: string;
  startSeconds: number;
  endSeconds: number;
  /** Names of each scope, 0 for all. */
  limit: number;
  /** Stop after so many names in a row that were known already, 0 for never. */
  maxStaleValues: number;
  /** Bytes of names after which the answer is cut, 0 for no bound. */
  bytesMax: number;
  recentOnly?: boolean;
}

export interface TagNamesAnswer {
  /** Attribute scopes only; the API adds the intrinsic one. */
  scopes: { name: string; tags: string[] }[];
  metrics: TagMetrics;
}

export interface TagValuesRequest {
  tenant: string;
  /** A TraceQL identifier as the client wrote it, or with `v1` the bare key of an attribute. */
  tag: string;
  v1: boolean;
  query?: string;
  startSeconds: number;
  endSeconds: number;
  limit: number;
  maxStaleValues: number;
  bytesMax: number;
  recentOnly?: boolean;
}

export interface TagValue {
  type: 'string' | 'int' | 'float' | 'bool' | 'keyword' | 'duration';
  /** Always text, whatever the type. */
  value: string;
}

export interface TagValuesAnswer {
  values: TagValue[];
  metrics: TagMetrics;
}
