/**
 * Writes a Parquet file from typed arrays, a column chunk at a time. `docs/formats/parquet.md` draws the file.
 *
 *   PAR1 · row group… · footer · footer length · PAR1
 *   row group := column chunk… · bloom filters · column indexes · checks · offset indexes
 *   column chunk := [dictionary page] data page (version 2)…
 *
 * Page p of every column covers the same rows, [p × pageRows, (p + 1) × pageRows) of its row group: a reader computes the
 * page of a row.
 */
import { crc32 } from 'node:zlib';
import { putBloomFilter } from './bloom.ts';
import { CHECKS_KEY, putChecks, renderPlaces } from './checks.ts';
import { type ChunkData, type ColumnSchema, levelsOf, type Values } from './column.ts';
import { encodeDeltaInt32, encodeDeltaInt64, encodeDeltaLength } from './delta.ts';
import { type Encoding, MAGIC } from './format.ts';
import { bitWidth, encodeCodes, encodeLevels, putRepeat } from './hybrid.ts';
import { putDataHeader, putDictionaryHeader } from './page-header.ts';
import { compressZstd } from './page-zstd.ts';
import { encodeByteStreamSplit, encodePlain, rawBytes } from './plain.ts';
import { createSink, putByte, putBytes, putUint32, type Sink, written } from './sink.ts';
import {
  type Bounds,
  boundsOfCodes,
  boundsOfValues,
  compareValues,
  encodeBound,
  keysAreInexact,
  keysOf,
} from './statistics.ts';
import {
  type DoneRowGroup,
  putColumnIndex,
  putFooter,
  putOffsetIndex,
  putRowGroup,
  type WrittenChunk,
  type WrittenPages,
  type WrittenRowGroup,
} from './write-footer.ts';

/** Values shorter than this are not worth a call of the compressor. */
const COMPRESS_BYTES_MIN = 64;

/** Compressed values are kept when they take at most this share of the plain ones: decompressing costs more than reading. */
const COMPRESSED_SHARE_MAX = 0.85;

/** Pages of a chunk that the compressor may fail to shrink before it is not asked again: pages of one column are alike. */
const USELESS_PAGES_MAX = 2;

export interface WriterOptions {
  /** Columns may be added until the first row group ends. */
  schema: readonly ColumnSchema[];
  /** Rows of every page but the last of a row group. */
  pageRows: number;
  createdBy: string;
  keyValue: [string, string][];
  /** 1 by default: higher levels cost more than they save on pages that are encoded already. */
  zstdLevel?: number;
  /** Receives the file in order. The bytes are the receiver's: the writer does not touch them again. */
  write: (bytes: Uint8Array) => void;
  /** Of a file that is finished; new by default. */
  scratch?: PageScratch;
}

/** One file in the making. Calls out of order, or data that contradicts itself, are errors of the caller and end it. */
export class ParquetWriter {
  readonly #options: WriterOptions;
  readonly #keyValue: [string, string][];
  readonly #rowGroups: DoneRowGroup[] = [];
  readonly #checks: { offset: number; crc: number }[] = [];
  readonly #scratch: PageScratch;
  #group: WrittenRowGroup | undefined;
  #bytes = 0;

  constructor(options: WriterOptions) {
    if (!(options.pageRows > 0)) throw new RangeError(`pageRows is ${options.pageRows}; give at least 1`);
    this.#options = options;
    this.#scratch = options.scratch ?? createPageScratch();
    this.#keyValue = [...options.keyValue];
    this.#emit(MAGIC.slice());
  }

  /** @param rows of the row group, at least 1 */
  startRowGroup(rows: number): void {
    if (this.#group !== undefined) throw new Error('cannot start a row group: the last one has not ended');
    if (!(rows > 0)) throw new RangeError(`cannot start a row group of ${rows} rows: leave an empty one out`);
    this.#group = { rows, chunks: [] };
  }

  /** Columns come in schema order, every one once. */
  writeChunk(columnIndex: number, data: ChunkData): void {
    const group = this.#group;
    if (group === undefined) throw new Error('cannot write a column chunk: no row group has started');
    if (columnIndex !== group.chunks.length) {
      throw new Error(`cannot write column ${columnIndex}: column ${group.chunks.length} is next`);
    }
    const column = this.#options.schema[columnIndex];
    checkChunk(column, data, group.rows);
    const { pageRows, zstdLevel = 1 } = this.#options;
    this.#scratch.uselessPages = 0;
    const chunk = encodeChunk(column, data, pageRows, zstdLevel, this.#bytes, this.#scratch);
    group.chunks.push(chunk);
    this.#emit(written(this.#scratch.chunk).slice());
  }

  endRowGroup(): void {
    const group = this.#group;
    if (group === undefined) throw new Error('cannot end a row group: none has started');
    if (group.chunks.length !== this.#options.schema.length) {
      throw new Error(`cannot end a row group after ${group.chunks.length} of ${this.#options.schema.length} columns`);
    }
    this.#putIndexes(group);
    const sink = this.#scratch.chunk;
    sink.length = 0;
    putRowGroup(sink, group, this.#rowGroups.length);
    this.#rowGroups.push({ rows: group.rows, struct: written(sink).slice() });
    this.#group = undefined;
  }

  /** Bloom filters, column indexes, checks and offset indexes, behind the row group: so nothing grows with the file but its footer. */
  #putIndexes({ chunks }: WrittenRowGroup): void {
    const sink = this.#scratch.chunk;
    sink.length = 0;
    const start = this.#bytes;
    for (const chunk of chunks) {
      if (chunk.bloom === undefined) continue;
      chunk.bloomOffset = start + sink.length;
      putBytes(sink, chunk.bloom);
    }
    const indexes = new Map<WrittenChunk, number>();
    for (const chunk of chunks) {
      if (chunk.pages.mins === undefined) continue;
      const from = sink.length;
      chunk.columnIndexOffset = start + from;
      putColumnIndex(sink, chunk.pages);
      chunk.columnIndexBytes = sink.length - from;
      indexes.set(chunk, crc32(written(sink).subarray(from)));
    }
    const checksAt = sink.length;
    putChecks(sink, chunks, indexes);
    for (const chunk of chunks) {
      chunk.offsetIndexOffset = start + sink.length;
      putOffsetIndex(sink, chunk.pages);
      chunk.offsetIndexBytes = start + sink.length - chunk.offsetIndexOffset;
    }
    this.#checks.push({ offset: start + checksAt, crc: crc32(written(sink).subarray(checksAt)) });
    this.#emit(written(sink).slice());
  }

  /** A line of the footer's key-value metadata, after those of the options. */
  addKeyValue(key: string, value: string): void {
    this.#keyValue.push([key, value]);
  }

  /** Writes the footer. `footerBytes` is its own length, as its last field states it; `footerCrc` the CRC-32 of it and all behind it. */
  finish(): { bytes: number; footerBytes: number; footerCrc: number } {
    if (this.#group !== undefined) throw new Error('cannot finish a file: its last row group has not ended');
    const sink = this.#scratch.chunk;
    sink.length = 0;
    this.#keyValue.push([CHECKS_KEY, renderPlaces(this.#options.pageRows, this.#checks)]);
    putFooter(sink, this.#options.schema, this.#rowGroups, this.#keyValue, this.#options.createdBy);
    const footerBytes = sink.length;
    putUint32(sink, footerBytes);
    putBytes(sink, MAGIC);
    const footer = written(sink).slice();
    this.#emit(footer);
    return { bytes: this.#bytes, footerBytes, footerCrc: crc32(footer) };
  }

  #emit(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    this.#options.write(bytes);
  }
}

export interface PageScratch {
  /** The pages of the chunk at hand. */
  chunk: Sink;
  /** The levels of the page at hand. */
  levels: Sink;
  /** The encoded values of the page at hand, before compression. */
  values: Sink;
  keys: Float64Array;
  /** For each dictionary entry, the last page whose bounds it entered. */
  seen: Uint32Array;
  /** Pages in a row of the current chunk that compression did not help. */
  uselessPages: number;
}

export function createPageScratch(): PageScratch {
  return {
    chunk: createSink(1 << 16),
    levels: createSink(1 << 12),
    values: createSink(1 << 16),
    keys: new Float64Array(0),
    seen: new Uint32Array(0),
    uselessPages: 0,
  };
}

/** Encodes a chunk into `scratch.chunk`, which stands at byte `offset` of the file. */
function encodeChunk(
  column: ColumnSchema,
  data: ChunkData,
  pageRows: number,
  zstdLevel: number,
  offset: number,
  scratch: PageScratch,
): WrittenChunk {
  const sink = scratch.chunk;
  sink.length = 0;
  // Without a single value there is nothing to look up: such a chunk needs no dictionary page.
  const codes = data.values.count === 0 ? undefined : data.codes;
  const dataEncoding = encodingOf(data, codes);
  const chunk: WrittenChunk = {
    column,
    codec: data.codec,
    encodings: codes === undefined ? ['RLE', dataEncoding] : ['RLE', 'PLAIN', dataEncoding],
    dataEncoding,
    entries: 0,
    nulls: 0,
    uncompressedBytes: 0,
    compressedBytes: 0,
    dictionaryOffset: undefined,
    dictionaryCheck: undefined,
    dataOffset: 0,
    min: undefined,
    max: undefined,
    pages: {
      offsets: [],
      bytes: [],
      firstRows: [],
      nullCounts: [],
      mins: undefined,
      maxs: undefined,
      allNull: [],
      boundaryOrder: 0,
      checks: [],
    },
    bloom: undefined,
    bloomOffset: 0,
    columnIndexOffset: 0,
    columnIndexBytes: 0,
    offsetIndexOffset: 0,
    offsetIndexBytes: 0,
  };
  if (codes !== undefined) {
    chunk.dictionaryOffset = offset;
    putDictionaryPage(data, zstdLevel, chunk, scratch);
  }
  chunk.dataOffset = offset + sink.length;

  const { maxDefinition, maxRepetition } = levelsOf(column.repetition);
  const bounds: Bounds[] | undefined = data.statistics === false ? undefined : [];
  if (bounds !== undefined && codes !== undefined) prepareKeys(data.values, scratch);
  const inexact = keysAreInexact(data.values);
  const entries = data.values.count;
  const entryCount = data.repetition?.length ?? (maxRepetition > 0 ? data.definition?.length : undefined) ?? data.rows;
  let entry = 0;
  let value = 0;
  for (let row = 0, page = 1; row < data.rows; row += pageRows, page++) {
    const rows = Math.min(pageRows, data.rows - row);
    const entryEnd = data.repetition === undefined ? entry + rows : endOfRows(data.repetition, entry, entryCount, rows);
    const present =
      data.definition === undefined ? entryEnd - entry : countLevel(data.definition, entry, entryEnd, maxDefinition);
    const valueEnd = value + present;
    chunk.pages.offsets.push(offset + sink.length);
    chunk.pages.firstRows.push(row);
    chunk.pages.nullCounts.push(entryEnd - entry - present);
    chunk.pages.allNull.push(present === 0);
    putDataPage(
      column,
      data,
      codes,
      dataEncoding,
      { entry, entryEnd, value, valueEnd, rows },
      zstdLevel,
      chunk,
      scratch,
    );
    chunk.pages.bytes.push(offset + sink.length - chunk.pages.offsets[page - 1]);
    if (bounds !== undefined) {
      bounds.push(
        codes === undefined
          ? boundsOfPage(data.values, inexact, value, valueEnd, scratch)
          : boundsOfCodes(data.values, entries, inexact, scratch.keys, codes, value, valueEnd, scratch.seen, page),
      );
    }
    chunk.nulls += entryEnd - entry - present;
    entry = entryEnd;
    value = valueEnd;
  }
  const valueCount = data.codes === undefined ? data.values.count : (data.codeCount ?? data.codes.length);
  if (entry !== entryCount || value !== valueCount) {
    throw new Error(
      `cannot write column ${column.name}: its levels hold ${value} values in ${entry} entries, its data ${valueCount} in ${entryCount}`,
    );
  }
  chunk.entries = entry;
  chunk.compressedBytes = sink.length;
  if (bounds !== undefined) putBounds(chunk, data.values, bounds, column.logical === 'string');
  if (data.bloom && data.values.count > 0) {
    scratch.values.length = 0;
    putBloomFilter(scratch.values, data.values, data.bloom);
    chunk.bloom = written(scratch.values).slice();
  }
  return chunk;
}

function putDictionaryPage(data: ChunkData, zstdLevel: number, chunk: WrittenChunk, scratch: PageScratch): void {
  const sink = scratch.chunk;
  const plain = plainBytes(data.values, 0, data.values.count, scratch.values);
  // A dictionary page has no flag that it is stored as it is.
  const stored = data.codec === 'none' ? plain : compressZstd(plain, zstdLevel);
  const start = sink.length;
  const crc = crc32(stored);
  putDictionaryHeader(sink, data.values.count, plain.length, stored.length, crc);
  chunk.dictionaryCheck = crc32(written(sink).subarray(start), crc);
  chunk.uncompressedBytes += sink.length - start + plain.length;
  putBytes(sink, stored);
}

interface PageRange {
  entry: number;
  entryEnd: number;
  value: number;
  valueEnd: number;
  rows: number;
}

function putDataPage(
  column: ColumnSchema,
  data: ChunkData,
  codes: Uint32Array | undefined,
  encoding: Encoding,
  range: PageRange,
  zstdLevel: number,
  chunk: WrittenChunk,
  scratch: PageScratch,
): void {
  const { entry, entryEnd, value, valueEnd } = range;
  const { maxDefinition, maxRepetition } = levelsOf(column.repetition);
  const levels = scratch.levels;
  levels.length = 0;
  putLevels(levels, data.repetition, entry, entryEnd, 0, maxRepetition);
  const repetitionBytes = levels.length;
  putLevels(levels, data.definition, entry, entryEnd, maxDefinition, maxDefinition);

  const plain = encodeValues(data, codes, value, valueEnd, scratch.values);
  let stored = plain;
  if (data.codec === 'zstd' && plain.length >= COMPRESS_BYTES_MIN && scratch.uselessPages < USELESS_PAGES_MAX) {
    const compressed = compressZstd(plain, zstdLevel);
    if (compressed.length <= plain.length * COMPRESSED_SHARE_MAX) {
      stored = compressed;
      scratch.uselessPages = 0;
    } else scratch.uselessPages++;
  }
  const sink = scratch.chunk;
  const start = sink.length;
  const crc = crc32(stored, crc32(written(levels)));
  putDataHeader(sink, {
    uncompressedBytes: levels.length + plain.length,
    compressedBytes: levels.length + stored.length,
    crc,
    count: entryEnd - entry,
    nulls: entryEnd - entry - (valueEnd - value),
    rows: range.rows,
    encoding,
    definitionBytes: levels.length - repetitionBytes,
    repetitionBytes,
    compressed: stored !== plain,
  });
  chunk.pages.checks.push(crc32(written(sink).subarray(start), crc));
  chunk.uncompressedBytes += sink.length - start + levels.length + plain.length;
  putBytes(sink, written(levels));
  putBytes(sink, stored);
}

/** Levels of the entries [from, to); none at all when `max` is 0. Undefined levels are all `uniform`. */
function putLevels(
  sink: Sink,
  levels: Uint8Array | undefined,
  from: number,
  to: number,
  uniform: number,
  max: number,
): void {
  if (max === 0) return;
  const width = bitWidth(max);
  if (levels === undefined) putRepeat(sink, to - from, uniform, width);
  else encodeLevels(sink, levels, from, to, width);
}

/** The encoded values [from, to): in `sink`, or a view of the data where they are stored as they are. */
function encodeValues(
  data: ChunkData,
  codes: Uint32Array | undefined,
  from: number,
  to: number,
  sink: Sink,
): Uint8Array {
  const values = data.values;
  sink.length = 0;
  if (codes !== undefined) {
    const width = bitWidth(values.count - 1);
    putByte(sink, width);
    encodeCodes(sink, codes, from, to, width);
    return written(sink);
  }
  switch (data.encoding) {
    case 'delta':
      if (values.type === 'int64') encodeDeltaInt64(sink, values.words, from, to);
      else if (values.type === 'int32') encodeDeltaInt32(sink, values.values, from, to);
      else throw new TypeError(`cannot write values of type ${values.type} as deltas`);
      return written(sink);
    case 'delta-length':
      if (values.type !== 'bytes') throw new TypeError(`cannot write values of type ${values.type} by their lengths`);
      encodeDeltaLength(sink, values.bytes, values.offsets, from, to);
      return written(sink);
    case 'byte-stream-split':
      encodeByteStreamSplit(sink, values, from, to);
      return written(sink);
    default:
      return plainBytes(values, from, to, sink);
  }
}

function plainBytes(values: Values, from: number, to: number, sink: Sink): Uint8Array {
  if (values.type !== 'boolean' && values.type !== 'bytes') return rawBytes(values, from, to);
  sink.length = 0;
  encodePlain(sink, values, from, to);
  return written(sink);
}

/** Keys of all dictionary entries, and a clean slate of which page saw them. */
function prepareKeys(values: Values, scratch: PageScratch): void {
  scratch.keys = keysOf(values, 0, values.count, scratch.keys);
  if (scratch.seen.length < values.count) scratch.seen = new Uint32Array(values.count);
  else scratch.seen.fill(0, 0, values.count);
}

function boundsOfPage(values: Values, inexact: boolean, from: number, to: number, scratch: PageScratch): Bounds {
  scratch.keys = keysOf(values, from, to, scratch.keys);
  return boundsOfValues(values, inexact, scratch.keys, from, to);
}

/** Puts the pages' bounds into the chunk's index, and theirs into its statistics; nothing where a NaN forbids it. */
function putBounds(chunk: WrittenChunk, values: Values, bounds: readonly Bounds[], text: boolean): void {
  const pages: WrittenPages = chunk.pages;
  if (bounds.some((page, i) => page.min < 0 && !pages.allNull[i])) return;
  const none = new Uint8Array(0);
  pages.mins = bounds.map((page) => (page.min < 0 ? none : encodeBound(values, page.min, false, text).bytes));
  pages.maxs = bounds.map((page) => (page.max < 0 ? none : encodeBound(values, page.max, true, text).bytes));
  const known = bounds.filter((page) => page.min >= 0);
  pages.boundaryOrder = boundaryOrder(values, bounds, pages);
  if (known.length === 0) return;
  const min = known.reduce(
    (least, page) => (compareValues(values, page.min, least) < 0 ? page.min : least),
    known[0].min,
  );
  const max = known.reduce((most, page) => (compareValues(values, page.max, most) > 0 ? page.max : most), known[0].max);
  chunk.min = encodeBound(values, min, false, text);
  chunk.max = encodeBound(values, max, true, text);
}

/** 1 when both bounds never fall from page to page, 2 when they never rise, else 0. Pages of nulls do not count. */
function boundaryOrder(values: Values, bounds: readonly Bounds[], pages: WrittenPages): number {
  let falls = false;
  let rises = false;
  for (let i = 1, last = 0; i < bounds.length; i++) {
    if (bounds[i].min < 0) continue;
    if (bounds[last].min >= 0) {
      // Byte arrays as they are stored: two that are cut and rounded up may change places.
      const min =
        values.type === 'bytes'
          ? Buffer.compare(pages.mins![i], pages.mins![last])
          : compareValues(values, bounds[i].min, bounds[last].min);
      const max =
        values.type === 'bytes'
          ? Buffer.compare(pages.maxs![i], pages.maxs![last])
          : compareValues(values, bounds[i].max, bounds[last].max);
      if (min < 0 || max < 0) falls = true;
      if (min > 0 || max > 0) rises = true;
    }
    last = i;
  }
  return !falls ? 1 : !rises ? 2 : 0;
}

/** The entry after the next `rows` rows from entry `from` on, where a row begins. */
function endOfRows(repetition: Uint8Array, from: number, to: number, rows: number): number {
  for (let at = from; at < to; at++) {
    if (repetition[at] === 0 && rows-- === 0) return at;
  }
  return to;
}

function countLevel(levels: Uint8Array, from: number, to: number, level: number): number {
  let count = 0;
  if (level === 1) {
    // Levels of 0 and 1 count themselves.
    for (; from + 8 <= to; from += 8) {
      count +=
        levels[from] +
        levels[from + 1] +
        levels[from + 2] +
        levels[from + 3] +
        levels[from + 4] +
        levels[from + 5] +
        levels[from + 6] +
        levels[from + 7];
    }
  }
  // 1 where they are equal, without a branch.
  for (; from < to; from++) count += ((levels[from] ^ level) - 1) >>> 31;
  return count;
}

function encodingOf(data: ChunkData, codes: Uint32Array | undefined): Encoding {
  if (codes !== undefined) return 'RLE_DICTIONARY';
  switch (data.encoding) {
    case 'delta':
      return 'DELTA_BINARY_PACKED';
    case 'delta-length':
      return 'DELTA_LENGTH_BYTE_ARRAY';
    case 'byte-stream-split':
      return 'BYTE_STREAM_SPLIT';
    default:
      return 'PLAIN';
  }
}

function checkChunk(column: ColumnSchema, data: ChunkData, rows: number): void {
  const problem =
    data.rows !== rows
      ? `it has ${data.rows} rows, its row group ${rows}`
      : data.values.type !== column.type
        ? `its values are ${data.values.type}, the column ${column.type}`
        : data.values.type === 'fixed' && data.values.width !== column.width
          ? `its values are ${data.values.width} bytes wide, the column ${column.width}`
          : column.repetition === 'required' && data.definition !== undefined
            ? 'a required column has no definition levels'
            : column.repetition !== 'list' && data.repetition !== undefined
              ? 'only a list has repetition levels'
              : undefined;
  if (problem !== undefined) throw new TypeError(`cannot write column ${column.name}: ${problem}`);
}
