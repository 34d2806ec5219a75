/**
 * One read path: the live columns and a row group of a block look the same to a query. A query says which columns it needs,
 * waits for them, and then works on typed arrays without waiting again.
 */
import type { CodeFlags } from '../parquet/code-flags.ts';
import type { TraceLines } from './traces-file.ts';

/** Byte strings by code: entry `code` is bytes[start(code), end(code)). */
export interface Dictionary {
  /** Entries are the strings of one column alone, one after the other in `bytes`, and the column has no others. */
  readonly isOfColumn?: boolean;
  readonly count: number;
  readonly bytes: Uint8Array;
  start(code: number): number;
  end(code: number): number;
}

export type ColumnKind = 'string' | 'any' | 'bool' | 'int' | 'double' | 'int32' | 'fixed';

/**
 * The values of a run of rows. Exactly one of the value arrays is there, by the column's kind:
 * string, any: `codes`; int: `words` (two a value, low first) or, where asked for, `distances`; double: `doubles`; bool: `bits`; int32: `ints`; fixed: `bytes`.
 * Value i belongs to row `at[i]` when `at` is there, to the i-th row whose `present` is 1, or, with neither, to row `first + i`.
 */
export interface Part {
  first: number;
  rows: number;
  count: number;
  present?: Uint8Array;
  at?: Uint32Array;
  codes?: Uint32Array;
  /** Of this part only, when its strings are not in the column's dictionary. */
  dictionary?: Dictionary;
  words?: Int32Array;
  /** Value i is `base` + distances[i], exactly. The array may be longer. */
  distances?: Float64Array;
  base?: { low: number; high: number };
  doubles?: Float64Array;
  bits?: Uint8Array;
  ints?: Int32Array;
  bytes?: Uint8Array;
}

export interface Column {
  kind: ColumnKind;
  /**
   * To be gone through, as often as one likes; a part's arrays are good only until the next part, since columns of blocks are
   * decoded while they are gone through.
   */
  parts: Iterable<Part>;
  /** string and any columns whose parts have none of their own. */
  dictionary?: Dictionary;
  /**
   * Sets the bits of the rows whose code is wanted, which costs less than going through the parts; there where all values are
   * codes of one dictionary. Calls `check` now and then.
   */
  flag?(wanted: CodeFlags, into: Uint32Array, check?: () => void): void;
  /** Columns of numbers that have `flag`: the values of the codes, as if they were rows. */
  entries?: Part;
  /** Throws when the query shall go no further: for whoever works long on one part. */
  check?(): void;
  /** Pages of the whole column, of which `parts` may be a few; absent where there are no pages. */
  pages?: number;
}

export type FixedField =
  | 'span_id'
  | 'parent_span_id'
  | 'parent_distance'
  | 'name'
  | 'kind'
  | 'start'
  | 'duration'
  | 'status';
export type RareField =
  | 'status_message'
  | 'trace_state'
  | 'flags'
  | 'dropped_attributes'
  | 'dropped_events'
  | 'dropped_links'
  | 'more';
export type ChildField = 'time' | 'name' | 'dropped' | 'trace_id' | 'span_id' | 'trace_state' | 'flags' | 'more';
export type Space = 'span' | 'event' | 'link';
export type AttributeType = 'string' | 'any' | 'bool' | 'int' | 'double';

/** What a query wants of a segment. */
export type Want =
  | { of: 'fixed'; field: FixedField }
  | { of: 'rare'; field: RareField }
  | { of: 'attribute'; space: Space; key: string; type: AttributeType }
  | { of: 'child'; space: 'event' | 'link'; field: ChildField }
  | { of: 'resource' }
  | { of: 'scope' };

/** A range of rows; undefined = all. */
export interface RowRange {
  from: number;
  to: number;
}

export interface ColumnOptions {
  /** Ascending rows: pages without any of them are left out. */
  rows?: Uint32Array;
  /** Only rows with one of these strings are wanted: the whole column may be left out when it has none of them. */
  equals?: readonly Uint8Array[];
  /** Parts of int columns may have `distances`: for whoever needs no words, which take longer to decode. */
  distances?: boolean;
}

export interface Segment {
  readonly name: string;
  /** The id of the block of which it is a row group; absent for live columns. */
  readonly block?: string | undefined;
  readonly live: boolean;
  readonly rows: number;
  /** Seconds since 1970 that contain every span. */
  readonly startSeconds: number;
  readonly endSeconds: number;
  /** Bytes of the whole segment, for metrics. */
  readonly bytes: number;
  /**
   * The earliest and latest start of a span, where that is known: who counts by time need not read starts that all count
   * alike. `isUsed`: unless they are only compared with those of other segments.
   */
  startBounds?(isUsed?: boolean): { minLow: number; minHigh: number; maxLow: number; maxHigh: number } | undefined;
  /**
   * `lines` without reading, where they are at hand, rows of a trace stand together, and none of its spans starts before or after
   * the time that its line says.
   */
  linesAtHand?(): TraceLines | undefined;
  /** Bytes read from files so far, of all queries together; absent where nothing is read. */
  readonly bytesRead?: number;

  /** Whether the trace may be here; false is certain. */
  mayHold(traceId: Uint8Array): Promise<boolean>;
  /** The same without waiting, for many traces: `hash` is the xxHash64 of the id. */
  mayHoldHash?(): Promise<(hash: Int32Array) => boolean>;
  /** `check` is called now and then where this takes long, and throws to end it. */
  lines(check?: () => void): Promise<TraceLines>;
  /** The least and the greatest trace id, where that is known without reading. */
  traceRange?(): { first: Uint8Array; last: Uint8Array } | undefined;
  /** The ids of `lines` alone, 16 bytes each; of blocks they ascend. */
  traceIds(): Promise<Uint8Array>;
  /** Rows of spans that earlier rows have as well, ascending; absent where there are none. `lines` and `tree` leave them out. */
  repeatedRows?(check?: () => void): readonly number[];
  /** Says that all columns of these rows will be read: where that is far away, they are fetched together, and once. */
  prepare?(range: RowRange): Promise<void>;
  /** Says that this whole column, or the lines of traces, will probably be read soon. */
  warm?(what: Want | 'lines'): void;
  /** The number of a trace, or -1, where that is known without searching the sorted ids of `lines`. */
  traceNumber?(traceId: Uint8Array): number;
  /** Rows of a trace of `lines`, in depth-first order. */
  rowsOfTrace(trace: number): Promise<Uint32Array>;
  /** The trace of each of these ascending rows. */
  tracesOfRows(rows: Uint32Array): Promise<Uint32Array>;
  /** Types that an attribute key has. */
  typesOf(space: Space, key: string): AttributeType[];
  keys(space: Space): string[];
  /** Those that a row has, where `keys` may have more. */
  keysInUse?(space: Space): Promise<string[]>;
  /**
   * Every attribute column that has values in the range of rows (of event or link numbers), where those are found without
   * looking at all keys. Only those values are in the columns.
   */
  attributesOf?(space: Space, range: RowRange): { key: string; column: Column }[];
  /** The column, or undefined when no row has a value. A `range` may give more rows, never fewer. */
  column(want: Want, range?: RowRange, options?: ColumnOptions): Promise<Column | undefined>;
  /** Each resource as a ResourceSpans message without spans; column {of: 'resource'} has its codes. */
  resources(): Promise<Uint8Array[]>;
  scopes(): Promise<Uint8Array[]>;
  /**
   * Depth-first order of each trace, traces by id: the row at each position, the distance to the parent (0 = a root, -1 = the
   * parent is not here), the first position of each trace and the end, and the number of each trace in `lines`. Without
   * `order` a position is a row, without `traces` the numbers count up. A span that came twice has one position.
   */
  tree(
    check?: () => void,
  ): Promise<{ order?: Uint32Array; parents: Int32Array; starts: Uint32Array; traces?: Uint32Array }>;
  /** The row of each event or link whose number is in the range of rows; `first` is the number of the first. */
  childRows(space: 'event' | 'link', range?: RowRange): Promise<{ first: number; rows: Uint32Array } | undefined>;
}
