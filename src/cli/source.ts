/**
 * Whom a query command asks: a server over HTTP or gRPC, or the blocks of a data folder. All answer in the JSON of Tempo's
 * HTTP API, so that a command renders one form, and `--json` prints what came.
 */

/** Routes of the API with JSON answers, by what they are for. */
export type Route = 'search' | 'tags' | 'tag-values' | 'metrics-range' | 'metrics-instant' | 'explain';

export interface Source {
  /** The server or folder, as messages name it. */
  readonly name: string;
  /** Whether only blocks are looked at, so that the newest spans are missing. */
  readonly blocksOnly: boolean;
  /** The answer's JSON text. `parameter` is what stands in the path: the tag of `tag-values`. Throws VivaceError. */
  ask(route: Route, parameters: URLSearchParams, parameter?: string): Promise<string>;
  /** Undefined when no span is known. Throws VivaceError. */
  trace(id: string, parameters: URLSearchParams): Promise<TraceFound | undefined>;
  close(): void;
}

export interface TraceFound {
  /** OTLP TracesData. */
  bytes: Uint8Array;
  /** Why only a part is here. */
  partial?: string;
}
