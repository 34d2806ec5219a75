/** What a search finds, as plain data: the reader thread sends it to whoever renders it. */

export interface SearchOutcome {
  traces: FoundTraceSummary[];
  inspectedTraces: number;
}

export interface FoundTraceSummary {
  /** 32 lower-case hex digits. */
  traceId: string;
  /** undefined while the root span is unknown. */
  rootServiceName?: string;
  rootTraceName?: string;
  startUnixNano: bigint;
  durationMs: number;
  /** undefined in a legacy tag search, like serviceStats. */
  spanSets?: FoundSpanSet[];
  serviceStats?: ServiceStats;
}

/** What each service has of a trace: a map by its name, or something that reads it where it is. */
export interface ServiceStats {
  readonly size: number;
  forEach(each: (stats: ServiceStat, service: string) => void): void;
}

export interface ServiceStat {
  spanCount: number;
  errorCount: number;
}

export interface FoundSpanSet {
  spans: FoundSpan[];
  matched: number;
  attributes?: FoundAttribute[];
}

export interface FoundSpan {
  spanId: string;
  name?: string;
  startUnixNano: bigint;
  durationNs: bigint;
  attributes: FoundAttribute[];
}

export interface FoundAttribute {
  key: string;
  value: FoundValue;
}

export type FoundValue =
  | { type: 'string'; value: string }
  | { type: 'int'; value: bigint }
  | { type: 'double'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'array'; values: FoundValue[] };
