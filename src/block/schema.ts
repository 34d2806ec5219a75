/**
 * The columns of data.parquet: what each holds and what it is called. Fixed columns are always the first; the footer's
 * `vivace.columns` says of every other column what it is, so that names are for people and other programs only.
 */
import type { ColumnSchema } from '../parquet/column.ts';
import type { ColumnSpace, ColumnType } from './table.ts';
import { VivaceError } from '../runtime/errors.ts';

/** Present in every block, in this order. */
export const FIXED_COLUMNS: readonly ColumnSchema[] = [
  { name: 'trace_id', type: 'fixed', width: 16, repetition: 'required' },
  { name: 'span_id', type: 'fixed', width: 8, repetition: 'required' },
  { name: 'parent_distance', type: 'int32', repetition: 'required' },
  { name: 'parent_span_id', type: 'fixed', width: 8, repetition: 'optional' },
  { name: 'name', type: 'bytes', logical: 'string', repetition: 'required' },
  { name: 'kind', type: 'int32', repetition: 'required' },
  { name: 'start_time', type: 'int64', logical: 'timestamp-nanos', repetition: 'required' },
  { name: 'duration', type: 'int64', repetition: 'required' },
  { name: 'status_code', type: 'int32', repetition: 'required' },
  { name: 'resource', type: 'bytes', repetition: 'required' },
  { name: 'scope', type: 'bytes', repetition: 'required' },
];

export const COLUMN_TRACE_ID = 0;
export const COLUMN_SPAN_ID = 1;
export const COLUMN_PARENT = 2;
export const COLUMN_PARENT_ID = 3;
export const COLUMN_NAME = 4;
export const COLUMN_KIND = 5;
export const COLUMN_START = 6;
export const COLUMN_DURATION = 7;
export const COLUMN_STATUS = 8;
export const COLUMN_RESOURCE = 9;
export const COLUMN_SCOPE = 10;

/**
 * What a column beyond the fixed ones is.
 *  - `rare`: a span field (k: status_message, trace_state, flags, dropped_attributes, dropped_events, dropped_links, more)
 *  - `span`, `event`, `link`: an attribute (k its key), or with `f` a field of the event or link
 *  - `resource`, `scope`: an attribute or field of the span's resource or scope again, for other programs; we read the whole message
 */
export interface ColumnUse {
  s: 'rare' | ColumnSpace | 'resource' | 'scope';
  k: string;
  t: ColumnType | ArrayType;
  /** A field (time, name, dropped, …) rather than an attribute. */
  f?: true;
}

/** Attribute columns of spans, and as many of events and of links; the rest of the keys are in `more`. */
export const ATTRIBUTE_COLUMNS_MAX = 512;

export type ElementType = Exclude<ColumnType, 'any'>;
/** A column of lists: arrays whose elements all have this type. */
export type ArrayType = `${ElementType}[]`;

/** Undefined of columns that are not of arrays. */
export function elementType(type: ColumnUse['t']): ElementType | undefined {
  return type.endsWith('[]') ? (type.slice(0, -2) as ElementType) : undefined;
}

export const COLUMNS_KEY = 'vivace.columns';
export const VERSION_KEY = 'vivace.version';
/** 1 had no columns of arrays. */
export const VERSION = '2';
export const PAGE_ROWS_KEY = 'vivace.page_rows';

const PHYSICAL: Record<ColumnType, Pick<ColumnSchema, 'type' | 'logical'>> = {
  string: { type: 'bytes', logical: 'string' },
  any: { type: 'bytes' },
  bool: { type: 'boolean' },
  int: { type: 'int64' },
  double: { type: 'double' },
};

/** Gives out column names that are unique in a file: `span.http.route`, and `span.http.route:int` when the name is taken. */
export class ColumnNames {
  readonly #taken = new Set(FIXED_COLUMNS.map((column) => column.name));

  schema(use: ColumnUse): ColumnSchema {
    const element = elementType(use.t);
    const type = element ?? (use.t as ColumnType);
    const list = use.s === 'event' || use.s === 'link' || element !== undefined;
    let base = use.s === 'rare' ? use.k : use.f ? `${use.s}_${use.k}` : `${use.s}.${use.k}`;
    // DuckDB reads no blocks together where one name is a list, or bytes, in one and a number in another.
    if (element !== undefined) base += '[]';
    else if (type === 'any' && use.s !== 'rare' && use.f === undefined) base += ':any';
    let name = base;
    if (this.#taken.has(name)) name = `${base}:${type}`;
    for (let n = 2; this.#taken.has(name); n++) name = `${base}:${type}:${n}`;
    this.#taken.add(name);
    return { name, ...PHYSICAL[type], repetition: list ? 'list' : 'optional' };
  }
}

/** Throws 'unsupported' when a version of Vivace that is newer than this one wrote the file. */
export function checkVersion(what: string, keyValue: ReadonlyMap<string, string>): void {
  const version = keyValue.get(VERSION_KEY) ?? '1';
  if (version !== '1' && version !== VERSION)
    throw new VivaceError(
      'unsupported',
      `cannot read ${what}: its layout is version ${version}, this program knows up to ${VERSION}; use a newer one`,
    );
}
