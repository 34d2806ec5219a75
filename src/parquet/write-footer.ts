/**
 * The end of a file: column index, offset index and footer as thrift structs (`parquet.thrift` of the format).
 */
import type { ColumnSchema } from './column.ts';
import {
  CODECS,
  CONVERTED_LIST,
  CONVERTED_UTF8,
  type Codec,
  ENCODINGS,
  type Encoding,
  PHYSICAL_TYPES,
} from './format.ts';
import { putBytes, type Sink } from './sink.ts';
import { ThriftWriter } from './thrift.ts';

/** What is known of a written column chunk. Offsets count from the start of the file. */
export interface WrittenChunk {
  column: ColumnSchema;
  codec: Codec;
  encodings: readonly Encoding[];
  dataEncoding: Encoding;
  /** Entries, nulls included. */
  entries: number;
  nulls: number;
  uncompressedBytes: number;
  compressedBytes: number;
  dictionaryOffset: number | undefined;
  /** CRC-32 of the dictionary page's bytes and then its header. */
  dictionaryCheck: number | undefined;
  dataOffset: number;
  min: { bytes: Uint8Array; exact: boolean } | undefined;
  max: { bytes: Uint8Array; exact: boolean } | undefined;
  pages: WrittenPages;
  /** The filter with its header, until it is written. */
  bloom: Uint8Array | undefined;
  bloomOffset: number;
  columnIndexOffset: number;
  columnIndexBytes: number;
  offsetIndexOffset: number;
  offsetIndexBytes: number;
}

/** The pages of a chunk, a number each in every array. */
export interface WrittenPages {
  offsets: number[];
  /** Headers included. */
  bytes: number[];
  firstRows: number[];
  nullCounts: number[];
  /** Empty for a page of nulls. Undefined: no column index. */
  mins: Uint8Array[] | undefined;
  maxs: Uint8Array[] | undefined;
  allNull: boolean[];
  boundaryOrder: number;
  /** CRC-32 of each page's bytes and then its header. */
  checks: number[];
}

export interface WrittenRowGroup {
  rows: number;
  chunks: WrittenChunk[];
}

/** A row group that is done: only what the footer says of it is kept. */
export interface DoneRowGroup {
  rows: number;
  /** Its RowGroup struct. */
  struct: Uint8Array;
}

export function putColumnIndex(sink: Sink, pages: WrittenPages): void {
  const thrift = new ThriftWriter(sink);
  thrift.beginElement();
  thrift.bools(1, pages.allNull);
  thrift.binaries(2, pages.mins!);
  thrift.binaries(3, pages.maxs!);
  thrift.i32(4, pages.boundaryOrder);
  thrift.i64s(5, pages.nullCounts);
  thrift.end();
}

export function putOffsetIndex(sink: Sink, pages: WrittenPages): void {
  const thrift = new ThriftWriter(sink);
  thrift.beginElement();
  thrift.structs(1, pages.offsets.length);
  for (let page = 0; page < pages.offsets.length; page++) {
    thrift.beginElement();
    thrift.i64(1, pages.offsets[page]);
    thrift.i32(2, pages.bytes[page]);
    thrift.i64(3, pages.firstRows[page]);
    thrift.end();
  }
  thrift.end();
}

export function putFooter(
  sink: Sink,
  schema: readonly ColumnSchema[],
  rowGroups: readonly DoneRowGroup[],
  keyValue: readonly (readonly [string, string])[],
  createdBy: string,
): void {
  const thrift = new ThriftWriter(sink);
  thrift.beginElement();
  thrift.i32(1, 2);
  putSchema(thrift, schema);
  thrift.i64(
    3,
    rowGroups.reduce((rows, group) => rows + group.rows, 0),
  );
  thrift.structs(4, rowGroups.length);
  for (const { struct } of rowGroups) putBytes(sink, struct);
  if (keyValue.length > 0) {
    thrift.structs(5, keyValue.length);
    for (const [key, value] of keyValue) {
      thrift.beginElement();
      thrift.string(1, key);
      thrift.string(2, value);
      thrift.end();
    }
  }
  thrift.string(6, createdBy);
  // A column order for each column: without it, readers may not trust min_value and max_value.
  thrift.structs(7, schema.length);
  for (let i = 0; i < schema.length; i++) {
    thrift.beginElement();
    thrift.empty(1);
    thrift.end();
  }
  thrift.end();
}

/** The path of a column's leaf. */
export function leafPath(column: ColumnSchema): string[] {
  return column.repetition === 'list' ? [column.name, 'list', 'element'] : [column.name];
}

const REQUIRED = 0;
const OPTIONAL = 1;
const REPEATED = 2;

function putSchema(thrift: ThriftWriter, schema: readonly ColumnSchema[]): void {
  thrift.structs(
    2,
    schema.reduce((elements, column) => elements + leafPath(column).length, 1),
  );
  thrift.beginElement();
  thrift.string(4, 'schema');
  thrift.i32(5, schema.length);
  thrift.end();
  for (const column of schema) {
    if (column.repetition !== 'list') {
      putLeaf(thrift, column, column.name, column.repetition === 'required' ? REQUIRED : OPTIONAL);
      continue;
    }
    thrift.beginElement();
    thrift.i32(3, OPTIONAL);
    thrift.string(4, column.name);
    thrift.i32(5, 1);
    thrift.i32(6, CONVERTED_LIST);
    thrift.begin(10);
    thrift.empty(3);
    thrift.end();
    thrift.end();
    thrift.beginElement();
    thrift.i32(3, REPEATED);
    thrift.string(4, 'list');
    thrift.i32(5, 1);
    thrift.end();
    putLeaf(thrift, column, 'element', OPTIONAL);
  }
}

function putLeaf(thrift: ThriftWriter, column: ColumnSchema, name: string, repetition: number): void {
  thrift.beginElement();
  thrift.i32(1, PHYSICAL_TYPES.indexOf(column.type));
  if (column.type === 'fixed') thrift.i32(2, column.width!);
  thrift.i32(3, repetition);
  thrift.string(4, name);
  if (column.logical === 'string') thrift.i32(6, CONVERTED_UTF8);
  if (column.logical !== undefined) {
    thrift.begin(10);
    if (column.logical === 'string') thrift.empty(1);
    else if (column.logical === 'uuid') thrift.empty(14);
    else putTimestampNanos(thrift);
    thrift.end();
  }
  thrift.end();
}

/**
 * TIMESTAMP(isAdjustedToUTC = false, unit = NANOS). Our times are UTC, but DuckDB reads a nanosecond timestamp with a time
 * zone as microseconds, and without one exactly.
 */
function putTimestampNanos(thrift: ThriftWriter): void {
  thrift.begin(8);
  thrift.bool(1, false);
  thrift.begin(2);
  thrift.empty(3);
  thrift.end();
  thrift.end();
}

/** The RowGroup struct, as an element of the footer's list. */
export function putRowGroup(sink: Sink, group: WrittenRowGroup, ordinal: number): void {
  const thrift = new ThriftWriter(sink);
  let uncompressedBytes = 0;
  let compressedBytes = 0;
  thrift.beginElement();
  thrift.structs(1, group.chunks.length);
  for (const chunk of group.chunks) {
    putChunk(thrift, chunk);
    uncompressedBytes += chunk.uncompressedBytes;
    compressedBytes += chunk.compressedBytes;
  }
  thrift.i64(2, uncompressedBytes);
  thrift.i64(3, group.rows);
  if (group.chunks.length > 0) thrift.i64(5, startOf(group.chunks[0]));
  thrift.i64(6, compressedBytes);
  if (ordinal < 0x8000) thrift.i16(7, ordinal);
  thrift.end();
}

function putChunk(thrift: ThriftWriter, chunk: WrittenChunk): void {
  thrift.beginElement();
  thrift.i64(2, 0);
  thrift.begin(3);
  thrift.i32(1, PHYSICAL_TYPES.indexOf(chunk.column.type));
  thrift.i32s(
    2,
    chunk.encodings.map((encoding) => ENCODINGS.indexOf(encoding)),
  );
  thrift.strings(3, leafPath(chunk.column));
  thrift.i32(4, CODECS.indexOf(chunk.codec));
  thrift.i64(5, chunk.entries);
  thrift.i64(6, chunk.uncompressedBytes);
  thrift.i64(7, chunk.compressedBytes);
  thrift.i64(9, chunk.dataOffset);
  if (chunk.dictionaryOffset !== undefined) thrift.i64(11, chunk.dictionaryOffset);
  thrift.begin(12);
  thrift.i64(3, chunk.nulls);
  if (chunk.min !== undefined && chunk.max !== undefined) {
    thrift.binary(5, chunk.max.bytes);
    thrift.binary(6, chunk.min.bytes);
    thrift.bool(7, chunk.max.exact);
    thrift.bool(8, chunk.min.exact);
  }
  thrift.end();
  putEncodingStats(thrift, chunk);
  if (chunk.bloom !== undefined) {
    thrift.i64(14, chunk.bloomOffset);
    thrift.i32(15, chunk.bloom.length);
  }
  thrift.end();
  thrift.i64(4, chunk.offsetIndexOffset);
  thrift.i32(5, chunk.offsetIndexBytes);
  if (chunk.columnIndexBytes > 0) {
    thrift.i64(6, chunk.columnIndexOffset);
    thrift.i32(7, chunk.columnIndexBytes);
  }
  thrift.end();
}

/** Says that every data page has the same encoding: readers may then filter by the dictionary alone. */
function putEncodingStats(thrift: ThriftWriter, chunk: WrittenChunk): void {
  thrift.structs(13, chunk.dictionaryOffset === undefined ? 1 : 2);
  if (chunk.dictionaryOffset !== undefined) putEncodingStat(thrift, 2, 'PLAIN', 1);
  putEncodingStat(thrift, 3, chunk.dataEncoding, chunk.pages.offsets.length);
}

function putEncodingStat(thrift: ThriftWriter, pageType: number, encoding: Encoding, pages: number): void {
  thrift.beginElement();
  thrift.i32(1, pageType);
  thrift.i32(2, ENCODINGS.indexOf(encoding));
  thrift.i32(3, pages);
  thrift.end();
}

function startOf(chunk: WrittenChunk): number {
  return chunk.dictionaryOffset ?? chunk.dataOffset;
}
