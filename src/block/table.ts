/**
 * Spans in columns, in the order of a block, as a block is written from: a cut live segment or several blocks that are
 * being merged. Attribute columns are loaded one at a time, so that only one of them is in memory at once.
 */

/** What an attribute column holds (see docs/formats/block.md): `any` = the OTLP AnyValue message as it came. */
export type ColumnType = 'string' | 'bool' | 'int' | 'double' | 'any';
export type ColumnSpace = 'span' | 'event' | 'link';

/** Byte strings by code: string `code` is bytes[starts[code], ends[code]). */
export interface Strings {
  readonly count: number;
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/** Separate byte strings as one `Strings`. */
export function stringsOf(texts: readonly Uint8Array[]): Strings {
  const starts = new Uint32Array(texts.length);
  const ends = new Uint32Array(texts.length);
  let length = 0;
  for (let code = 0; code < texts.length; code++) {
    starts[code] = length;
    ends[code] = length += texts[code].length;
  }
  const bytes = new Uint8Array(length);
  for (let code = 0; code < texts.length; code++) bytes.set(texts[code], starts[code]);
  return { count: texts.length, bytes, starts, ends };
}

/** The values of one column over the rows (or events or links) of the table. */
export interface SparseValues {
  /** 1 where there is a value, one byte a row; undefined = everywhere. */
  present: Uint8Array | undefined;
  count: number;
  /** string, any: one code a value. */
  codes?: Uint32Array;
  strings?: Strings;
  /** int, double: two words a value. */
  words?: Int32Array;
  /** bool: one byte a value. */
  bits?: Uint8Array;
}

/** A column that is not in memory yet. */
export interface Loading {
  /** Waited for before the column is loaded. */
  prepare?(): Promise<void>;
  /** The arrays are good until the next column is loaded. */
  load(): SparseValues;
}

export interface AttributeColumn extends Loading {
  space: ColumnSpace;
  key: string;
  type: ColumnType;
}

/** A span field that most spans do not have. */
export interface RareColumn extends Loading {
  field:
    | 'status_message'
    | 'trace_state'
    | 'flags'
    | 'dropped_attributes'
    | 'dropped_events'
    | 'dropped_links'
    | 'more';
}

export interface CodedRows {
  /** One code a row. */
  codes: Uint32Array;
  strings: Strings;
}

export interface EventTable {
  count: number;
  /** First event of each row, and `count` at the end. */
  starts: Uint32Array;
  /** Two words an event. */
  times: Int32Array;
  names: CodedRows;
  dropped: Int32Array;
  columns: AttributeColumn[];
  /** KeyValue messages that fit no column, with the tag of Event.attributes before each. */
  more?: Loading;
}

export interface LinkTable {
  count: number;
  starts: Uint32Array;
  /** 16 and 8 bytes a link. */
  traceIds: Uint8Array;
  spanIds: Uint8Array;
  traceStates: CodedRows;
  flags: Int32Array;
  dropped: Int32Array;
  columns: AttributeColumn[];
  more?: Loading;
}

export interface SpanTable {
  rows: number;
  /** 16 bytes a trace, ascending. */
  traceIds: Uint8Array;
  /** First row of each trace, and `rows` at the end. */
  traceStarts: Uint32Array;
  /** Distance upwards to the parent row; 0 = root, -1 = the parent is not in the trace's rows here. */
  parents: Int32Array;
  /** 8 bytes a row. */
  spanIds: Uint8Array;
  /** 8 bytes a row; read where `parents` is not 0. Aligned to words. */
  parentIds: Uint8Array;
  /** Two words a row: nanoseconds since 1970, unsigned. */
  starts: Int32Array;
  ends: Int32Array;
  kinds: Int32Array;
  statuses: Int32Array;
  names: CodedRows;
  /** Resource number a row, and each resource as a ResourceSpans message without spans. */
  resourceOf: Uint32Array;
  resources: Uint8Array[];
  /** Scope number a row, and each scope as a ScopeSpans message without spans. */
  scopeOf: Uint32Array;
  scopes: Uint8Array[];
  rare: RareColumn[];
  columns: AttributeColumn[];
  events?: EventTable;
  links?: LinkTable;
}
