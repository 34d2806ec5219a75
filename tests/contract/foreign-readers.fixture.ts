/** A block's data.parquet as other programs see it, and what they should see: one text a row. */
import fs from 'node:fs';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { COLUMNS_KEY, type ColumnUse, type ElementType, elementType, FIXED_COLUMNS } from '../../src/block/schema.ts';
import { type Attribute, decodeValue, type Value } from '../../src/cut/otlp.fixture.ts';
import { columnType, type FlatSpan, nonZero } from './segments.fixture.ts';

/** Cells by what a column is: the fixed columns' names, and `space key type` of the others. */
type Row = Record<string, unknown>;

export async function openDuckdb(): Promise<DuckDBConnection> {
  return await (await DuckDBInstance.create(':memory:')).connect();
}

/** The rows that these spans should make. */
export function rowsOfSpans(spans: FlatSpan[]): string[] {
  return spans.map(expectedRow).map(text).sort();
}

export async function rowsByHyparquet(file: string): Promise<string[]> {
  const bytes = fs.readFileSync(file);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const metadata = parquetMetadata(buffer);
  const names = metadata.schema[0].num_children!;
  const rows = await parquetReadObjects({
    file: buffer,
    compressors,
    utf8: false,
    parsers: { timestampFromNanoseconds: (nanos: bigint) => nanos },
  });
  const columns = topLevel(metadata.schema);
  if (columns.length !== names) throw new Error('columns were miscounted');
  const meanings = meaningsOf(
    metadata.key_value_metadata?.find((pair) => pair.key === COLUMNS_KEY)?.value,
    columns.length,
  );
  return rows.map((row) => {
    const cells: Row = {};
    meanings.forEach((meaning, i) => {
      put(cells, meaning, row[columns[i]]);
    });
    return text(cells);
  });
}

export async function rowsByDuckdb(duckdb: DuckDBConnection, file: string): Promise<string[]> {
  const pairs = (
    await duckdb.runAndReadAll(`SELECT key::VARCHAR, value FROM parquet_kv_metadata('${file}')`)
  ).getRows();
  const uses = pairs.find(([key]) => key === COLUMNS_KEY)![1] as { bytes: Uint8Array };
  const reader = await duckdb.runAndReadAll(`SELECT * FROM read_parquet('${file}')`);
  const meanings = meaningsOf(Buffer.from(uses.bytes).toString('utf8'), reader.columnCount);
  return reader.getRows().map((row) => {
    const cells: Row = {};
    meanings.forEach((meaning, i) => {
      put(cells, meaning, fromDuckdb(row[i]));
    });
    return text(cells);
  });
}

interface Meaning {
  name: string;
  any: boolean;
  /** Of the elements, where the column has arrays: they mean the same as one of any values. */
  element?: ElementType;
}

function meaningsOf(json: string | undefined, columns: number): Meaning[] {
  const uses = JSON.parse(json!) as ColumnUse[];
  if (uses.length + FIXED_COLUMNS.length !== columns)
    throw new Error(`${columns} columns and ${uses.length} descriptions of them`);
  return [
    ...FIXED_COLUMNS.map((column) => ({ name: column.name, any: false })),
    ...uses.map((use) => {
      const element = elementType(use.t);
      return {
        name: use.f ? `${use.s} ${use.k}` : `${use.s} ${use.k} ${element === undefined ? use.t : 'any'}`,
        any: use.t === 'any' && use.f !== true && use.s !== 'rare',
        ...(element && { element }),
      };
    }),
  ];
}

function put(cells: Row, { name, any, element }: Meaning, raw: unknown): void {
  if (element !== undefined) {
    if (Array.isArray(raw)) cells[name] = { type: 'array', values: raw.map((each) => elementOf(element, each)) };
    return;
  }
  // Resources and scopes are compared by trace by id; `more` is what fits no column, and is compared there too.
  if (
    name === 'resource' ||
    name === 'scope' ||
    name === 'parent_distance' ||
    name.endsWith(' more') ||
    name === 'rare more any'
  )
    return;
  const cell = Array.isArray(raw) ? raw.map((each) => plain(each, any)) : plain(raw, any);
  // An empty text or a zero of a rare field may be stored or left out: both mean that the span has none.
  if (cell !== null && !(name.startsWith('rare ') && (cell === '' || cell === 0n))) cells[name] = cell;
}

function elementOf(element: ElementType, cell: unknown): unknown {
  if (cell === null || cell === undefined) return { type: 'empty' };
  return { type: element, value: element === 'double' ? doubleText(cell as number) : cell };
}

function plain(cell: unknown, any: boolean): unknown {
  if (cell === null || cell === undefined) return null;
  if (cell instanceof Uint8Array) return any ? anyValue(decodeValue(cell)) : Buffer.from(cell).toString('hex');
  if (typeof cell === 'number' && !Number.isInteger(cell)) return doubleText(cell);
  return cell;
}

function expectedRow({ resource, scope, span }: FlatSpan): Row {
  const row: Row = {
    trace_id: span.traceId,
    span_id: span.spanId,
    name: span.name,
    kind: span.kind,
    start_time: BigInt.asIntN(64, span.start),
    duration: BigInt.asIntN(64, span.end - span.start),
    status_code: span.status,
  };
  const rare = (field: string, type: string, value: unknown, nothing: unknown): void => {
    if (value !== nothing) row[`rare ${field} ${type}`] = value;
  };
  if (nonZero(span.parentId) !== '') row['parent_span_id'] = span.parentId;
  rare('status_message', 'string', span.statusMessage, '');
  rare('trace_state', 'string', span.traceState, '');
  rare('flags', 'int', BigInt(span.flags), 0n);
  rare('dropped_attributes', 'int', signed(span.droppedAttributes), 0n);
  rare('dropped_events', 'int', signed(span.droppedEvents), 0n);
  rare('dropped_links', 'int', signed(span.droppedLinks), 0n);
  for (const [name, value] of firstOfEach('span', span.attributes)) row[name] = value;
  for (const [name, value] of firstOfEach('resource', resource.attributes))
    if (!name.endsWith(' any')) row[name] = value;
  if (scope.name !== '') row['scope name'] = scope.name;
  if (scope.version !== '') row['scope version'] = scope.version;
  if (span.events.length > 0) {
    row['event time'] = span.events.map((event) => BigInt.asIntN(64, event.time));
    row['event name'] = span.events.map((event) => event.name);
    row['event dropped'] = span.events.map((event) => signed(event.dropped));
    Object.assign(row, lists('event', span.events));
  }
  if (span.links.length > 0) {
    row['link trace_id'] = span.links.map((link) => link.traceId.padEnd(32, '0'));
    row['link span_id'] = span.links.map((link) => link.spanId.padEnd(16, '0'));
    row['link trace_state'] = span.links.map((link) => link.traceState);
    row['link flags'] = span.links.map((link) => signed(link.flags));
    row['link dropped'] = span.links.map((link) => signed(link.dropped));
    Object.assign(row, lists('link', span.links));
  }
  return row;
}

function signed(uint32: number): bigint {
  return BigInt(uint32);
}

/** One list a key and type, null where an event or link has none. */
function lists(space: string, children: { attributes: Attribute[] }[]): Row {
  const row: Record<string, unknown[]> = {};
  children.forEach((child, index) => {
    for (const [name, value] of firstOfEach(space, child.attributes)) {
      row[name] ??= new Array(children.length).fill(null);
      row[name][index] = value;
    }
  });
  return row;
}

/** A key's first value is in the column of its type, and the others are in `more`. */
function firstOfEach(space: string, attributes: Attribute[]): Map<string, unknown> {
  const row = new Map<string, unknown>();
  for (const { key, value } of attributes) {
    const name = `${space} ${key} ${columnType(value)}`;
    if (!row.has(name)) row.set(name, columnValue(value));
  }
  return row;
}

function columnValue(value: Value): unknown {
  if (value.type === 'double') {
    const number = numberOf(value.bits);
    return Number.isInteger(number) ? number : doubleText(number);
  }
  return value.type === 'string' || value.type === 'bool' || value.type === 'int' ? value.value : anyValue(value);
}

/** Of a double in an array other programs see the number, not its bits. */
function anyValue(value: Value): unknown {
  if (value.type !== 'array') return value;
  const values = value.values.map((each) =>
    each.type === 'double' ? { type: 'double', value: doubleText(numberOf(each.bits)) } : each,
  );
  return { type: 'array', values };
}

function numberOf(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

/** JSON has no NaN, infinities or -0. */
function doubleText(value: number): string {
  return `double ${value}`;
}

function text(row: Row): string {
  const ordered = Object.entries(row)
    .filter(([, value]) => !(Array.isArray(value) && value.every((each) => each === null)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(ordered, (_, value) =>
    typeof value === 'bigint' ? `${value}n` : Object.is(value, -0) ? '-0' : value,
  );
}

function topLevel(schema: { name: string; num_children?: number }[]): string[] {
  const names: string[] = [];
  let at = 1;
  const skip = (): void => {
    const children = schema[at++].num_children ?? 0;
    for (let child = 0; child < children; child++) skip();
  };
  while (at < schema.length) {
    names.push(schema[at].name);
    skip();
  }
  return names;
}

function fromDuckdb(cell: unknown): unknown {
  if (cell === null || typeof cell !== 'object') return cell;
  if ('items' in cell) return (cell.items as unknown[]).map(fromDuckdb);
  if ('nanoseconds' in cell) return cell.nanoseconds;
  if ('nanos' in cell) return cell.nanos;
  if ('bytes' in cell) return cell.bytes;
  return cell;
}
