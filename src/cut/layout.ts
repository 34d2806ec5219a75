/**
 * The shared-memory layout of one live segment: everything that arrived for one tenant since the last cut.
 *
 * A segment is one SharedArrayBuffer (a WebAssembly memory, which grows in place), filled from the front by a bump allocator and read
 * by other threads up to the counts that the writer hands out, so a snapshot costs a message of constant size. Addresses are word (4-byte) indices.
 *
 * ```
 *  header   64 words   roots of the chunk lists below
 *  row chunk           [next] then ROW_FIELDS arrays of ROW_STRIDE words: field f of row r is at chunk + 1 + f*ROW_STRIDE + r%ROW_CHUNK
 *  event, link chunk   the same with their own fields
 *  trace chunk         [next] then TRACE_CHUNK * 4 words: the 16 bytes of each trace id as they came
 *  resource, scope     [next] then TABLE_CHUNK * 2 words: code of the message's bytes, code of the schema URL
 *  request chunk       [next] then REQUEST_CHUNK words: the row at which a request began
 *  string chunk        [next] then STRING_CHUNK words: the address of string i
 *  string              [code] [length in bytes] [bytes, padded to words]
 *  column chunk        [next] then COLUMN_CHUNK records of COLUMN_WORDS words
 *  entry chunk         [next] [capacity] rows[capacity] values[capacity * width]
 * ```
 *
 * An attribute is an entry (row, value) of the column of its (space, key, type): sparse, so that fifty thousand keys cost as
 * little as ten. The row of an event or link attribute is the number of the event or link, not of the span.
 */

export const HEADER_WORDS = 64;
export const ROOT_ROWS = 0;
export const ROOT_EVENTS = 1;
export const ROOT_LINKS = 2;
export const ROOT_TRACES = 3;
export const ROOT_RESOURCES = 4;
export const ROOT_SCOPES = 5;
export const ROOT_STRINGS = 6;
export const ROOT_COLUMNS = 7;
export const ROOT_REQUESTS = 8;

export const ROW_CHUNK = 1024;
/** A line of the cache more, because arrays that are 4 KiB apart have all fields of a row in the same eight places of it (5 % of the pass). */
export const ROW_STRIDE = ROW_CHUNK + 16;
export const ROW_FIELDS = 13;
export const ROW_TRACE = 0;
export const ROW_SPAN_ID = 1;
export const ROW_PARENT_ID = 3;
export const ROW_START = 5;
export const ROW_END = 7;
export const ROW_RESOURCE = 9;
export const ROW_SCOPE = 10;
export const ROW_NAME = 11;
/** Bits 0–7 kind, 8–15 status code; values that do not fit are in the columns META_KIND and META_STATUS, with 255 here. */
export const ROW_BITS = 12;

export const EVENT_CHUNK = 256;
export const EVENT_FIELDS = 5;
export const EVENT_ROW = 0;
export const EVENT_TIME = 1;
export const EVENT_NAME = 3;
export const EVENT_DROPPED = 4;

export const LINK_CHUNK = 64;
export const LINK_FIELDS = 10;
export const LINK_ROW = 0;
export const LINK_TRACE_ID = 1;
export const LINK_SPAN_ID = 5;
export const LINK_TRACE_STATE = 7;
export const LINK_FLAGS = 8;
export const LINK_DROPPED = 9;

export const TRACE_CHUNK = 1024;
export const TABLE_CHUNK = 64;
export const STRING_CHUNK = 1024;
export const REQUEST_CHUNK = 256;
export const COLUMN_CHUNK = 32;
export const COLUMN_WORDS = 5;
/** space | type << 8 */
export const COLUMN_KIND = 0;
export const COLUMN_KEY = 1;
export const COLUMN_FIRST = 2;
export const COLUMN_LAST = 3;
/** Entries at the last snapshot. */
export const COLUMN_COUNT = 4;
export const ENTRY_FIRST = 8;
/** No power of two: rows and values of forty columns would all stand in the same sets of the cache (5 % of the pass). */
export const ENTRY_MAX = 4000;

/** Where a column's rows are counted. META columns hold rare span fields; their key is one of the META_ numbers. */
export const SPACE_SPAN = 0;
export const SPACE_EVENT = 1;
export const SPACE_LINK = 2;
export const SPACE_META = 3;
export type Space = 0 | 1 | 2 | 3;

/** How a value is held: a string code, 0/1, an int64 or double as two words (low first), or the code of a whole AnyValue's bytes. */
export const TYPE_STRING = 0;
export const TYPE_BOOL = 1;
export const TYPE_INT = 2;
export const TYPE_DOUBLE = 3;
/** Arrays, kvlists, bytes and empty values: the AnyValue message as it came. */
export const TYPE_ANY = 4;
/** A key that this row already has: the KeyValue message as it came, under the key META_REPEATED. */
export const TYPE_REPEATED = 5;
export type ValueType = 0 | 1 | 2 | 3 | 4 | 5;
export const WIDTH_OF_TYPE = [1, 1, 2, 2, 1, 1] as const;

export const META_TRACE_STATE = 1;
export const META_FLAGS = 2;
export const META_DROPPED_ATTRIBUTES = 3;
export const META_DROPPED_EVENTS = 4;
export const META_DROPPED_LINKS = 5;
export const META_STATUS_MESSAGE = 6;
export const META_KIND = 7;
export const META_STATUS = 8;
export const META_REPEATED = 9;

/** What a reader needs to see one moment of a live segment. All counts are of durable entries. */
export interface LiveSnapshot {
  id: number;
  tenant: string;
  buffer: SharedArrayBuffer;
  /** Words in use: chunks beyond were begun later. */
  used: number;
  rows: number;
  events: number;
  links: number;
  traces: number;
  resources: number;
  scopes: number;
  strings: number;
  columns: number;
  /** Requests that brought the rows: a span that came twice in different requests is one span. */
  requests: number;
}
