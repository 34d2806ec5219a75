/**
 * Whole files for tests: rows of plain JavaScript values in, a file's bytes out, and the same rows back through our
 * reader. Slow and obvious, unlike what it tests.
 */
import { crc32 } from 'node:zlib';
import { Checks, checksPlaces } from './checks.ts';
import { type ChunkData, type ColumnSchema, levelsOf, type Values } from './column.ts';
import { type ChunkMetadata, type FileMetadata, footerLength, parseFooter, TAIL_BYTES } from './footer.ts';
import { VivaceError } from '../runtime/errors.ts';
import { type OffsetIndex, parseOffsetIndex } from './indexes.ts';
import { type DecodedPage, decodeDictionary, decodePage, type PageScratch } from './read.ts';
import { ParquetWriter } from './write.ts';

/** boolean, number, bigint (int64), or a latin-1 string (bytes, fixed): one character a byte. */
export type Cell = boolean | number | bigint | string;
/** A row of a column: null, a cell, or a list's elements. */
export type Row = Cell | null | readonly (Cell | null)[];

export interface TestColumn {
  schema: ColumnSchema;
  rows: readonly Row[];
  dictionary?: boolean;
  encoding?: ChunkData['encoding'];
  codec: ChunkData['codec'];
  bloom?: number;
  statistics?: boolean;
}

/** A file of one row group per `groupRows` rows. */
export function writeFile(columns: readonly TestColumn[], pageRows: number, groupRows = 1 << 30): Uint8Array {
  const parts: Uint8Array[] = [];
  const writer = new ParquetWriter({
    schema: columns.map((column) => column.schema),
    pageRows,
    createdBy: 'vivace test',
    keyValue: [['first', '1']],
    write: (bytes) => parts.push(bytes),
  });
  const rows = columns[0]?.rows.length ?? 0;
  for (let from = 0; from < rows; from += groupRows) {
    const to = Math.min(rows, from + groupRows);
    writer.startRowGroup(to - from);
    columns.forEach((column, i) => {
      writer.writeChunk(i, chunkOf(column, from, to));
    });
    writer.endRowGroup();
  }
  writer.addKeyValue('second', 'zwei');
  const { bytes, footerBytes, footerCrc } = writer.finish();
  const file = new Uint8Array(Buffer.concat(parts));
  if (file.length !== bytes) throw new Error(`wrote ${file.length} bytes, said ${bytes}`);
  if (crc32(file.subarray(-8 - footerBytes)) !== footerCrc)
    throw new Error(`the footer does not have the CRC ${footerCrc}`);
  return file;
}

function chunkOf(column: TestColumn, from: number, to: number): ChunkData {
  const rows = column.rows.slice(from, to);
  const definition: number[] = [];
  const repetition: number[] = [];
  const cells: Cell[] = [];
  for (const row of rows) {
    if (Array.isArray(row)) {
      if (row.length === 0) definition.push(1);
      row.forEach((cell, i) => {
        definition.push(cell === null ? 2 : 3);
        if (cell !== null) cells.push(cell);
        if (i > 0) repetition.push(1);
        else repetition.push(0);
      });
      if (row.length === 0) repetition.push(0);
    } else {
      definition.push(row === null ? 0 : 1);
      repetition.push(0);
      if (row !== null) cells.push(row as Cell);
    }
  }
  const data: ChunkData = {
    rows: rows.length,
    values: valuesOf(column.schema, cells),
    codec: column.codec,
    encoding: column.encoding,
    bloom: column.bloom,
    statistics: column.statistics,
  };
  const { maxDefinition, maxRepetition } = levelsOf(column.schema.repetition);
  // Levels that say nothing are left out, as a hurried caller would.
  if (maxDefinition > 0 && definition.some((level) => level < maxDefinition))
    data.definition = Uint8Array.from(definition);
  if (maxRepetition > 0 && repetition.some((level) => level > 0)) data.repetition = Uint8Array.from(repetition);
  if (column.dictionary) {
    const entries = [...new Map(cells.map((cell) => [keyOf(cell), cell])).values()];
    const places = new Map(entries.map((cell, i) => [keyOf(cell), i]));
    data.values = valuesOf(column.schema, entries);
    data.codes = Uint32Array.from(cells, (cell) => places.get(keyOf(cell))!);
  }
  return data;
}

/** Tells -0 from 0, which Map does not. */
function keyOf(cell: Cell): Cell {
  return Object.is(cell, -0) ? 'minus zero' : cell;
}

export function valuesOf(schema: ColumnSchema, cells: readonly Cell[]): Values {
  const count = cells.length;
  switch (schema.type) {
    case 'boolean':
      return { type: 'boolean', values: Uint8Array.from(cells, Number), count };
    case 'int32':
      return { type: 'int32', values: Int32Array.from(cells as number[]), count };
    case 'int64':
      return { type: 'int64', words: new Int32Array(BigInt64Array.from(cells as bigint[]).buffer), count };
    case 'double':
      return { type: 'double', values: Float64Array.from(cells as number[]), count };
    case 'fixed':
      return {
        type: 'fixed',
        bytes: new Uint8Array(Buffer.from(cells.join(''), 'latin1')),
        width: schema.width!,
        count,
      };
    case 'bytes': {
      const offsets = new Uint32Array(count + 1);
      cells.forEach((cell, i) => {
        offsets[i + 1] = offsets[i] + (cell as string).length;
      });
      return { type: 'bytes', bytes: new Uint8Array(Buffer.from(cells.join(''), 'latin1')), offsets, count };
    }
  }
}

export function cellOf(values: Values, i: number): Cell {
  switch (values.type) {
    case 'boolean':
      return values.values[i] === 1;
    case 'int32':
    case 'double':
      return values.values[i];
    case 'int64':
      return (BigInt(values.words[i * 2 + 1]) << 32n) | BigInt(values.words[i * 2] >>> 0);
    case 'fixed':
      return Buffer.from(values.bytes.subarray(i * values.width, (i + 1) * values.width)).toString('latin1');
    case 'bytes':
      return Buffer.from(values.bytes.subarray(values.offsets[i], values.offsets[i + 1])).toString('latin1');
  }
}

export function metadataOf(file: Uint8Array): FileMetadata {
  const end = file.length - TAIL_BYTES;
  return parseFooter(file.subarray(end - footerLength(file), end));
}

export function offsetIndexOf(file: Uint8Array, chunk: ChunkMetadata): OffsetIndex {
  return parseOffsetIndex(file.subarray(chunk.offsetIndexOffset, chunk.offsetIndexOffset! + chunk.offsetIndexLength));
}

export function pageBytes(file: Uint8Array, index: OffsetIndex, page: number): Uint8Array {
  return file.subarray(index.offsets[page], index.offsets[page] + index.bytes[page]);
}

/** The rows of every column, through our reader, page by page; every check is compared. */
export function readFile(file: Uint8Array, scratch?: PageScratch): Row[][] {
  const metadata = metadataOf(file);
  const columns: Row[][] = metadata.leaves.map(() => []);
  const found = checksPlaces(metadata);
  if (found === undefined) throw new VivaceError('undecodable', 'the file has no checks');
  const { pageRows, places } = found;
  const compare = (what: string, offset: number | undefined, length: number, check: () => number): void => {
    if (offset !== undefined && crc32(file.subarray(offset, offset + length)) !== check())
      throw new VivaceError('undecodable', `the check of ${what} differs`);
  };
  metadata.rowGroups.forEach((group, g) => {
    const { offset, length, crc } = places[g];
    compare('the indexes', offset, length, () => crc);
    const checks = new Checks(group, pageRows, file.subarray(offset, offset + length));
    group.columns.forEach((chunk, i) => {
      compare('a bloom filter', chunk.bloomOffset, chunk.bloomLength, () => checks.bloom(i));
      compare('a column index', chunk.columnIndexOffset, chunk.columnIndexLength, () => checks.columnIndex(i));
      const index = offsetIndexOf(file, chunk);
      const dictionary =
        chunk.dictionaryPageOffset === undefined
          ? undefined
          : decodeDictionary(file.subarray(chunk.dictionaryPageOffset, chunk.dataPageOffset), chunk, {
              verifyChecksum: true,
              check: checks.dictionary(i),
            });
      for (let page = 0; page < index.pages; page++) {
        const options = { offset: index.offsets[page], verifyChecksum: true, check: checks.page(i, page) };
        const decoded = decodePage(pageBytes(file, index, page), chunk, scratch, options);
        if (index.firstRows[page] !== columns[i].length % (1 << 30) && metadata.rowGroups.length === 1) {
          throw new Error(
            `page ${page} of ${chunk.name} starts at row ${columns[i].length}, not ${index.firstRows[page]}`,
          );
        }
        columns[i].push(...rowsOf(decoded, chunk, dictionary));
      }
    });
  });
  return columns;
}

/** The rows of a page of a flat column or of a standard list. */
export function rowsOf(page: DecodedPage, chunk: ChunkMetadata, dictionary: Values | undefined): Row[] {
  const rows: (Row | (Cell | null)[])[] = [];
  let value = 0;
  const next = (): Cell =>
    page.codes === undefined ? cellOf(page.values!, value++) : cellOf(dictionary!, page.codes[value++]);
  for (let entry = 0; entry < page.entries; entry++) {
    const definition = page.definition?.[entry] ?? chunk.maxDefinition;
    if (chunk.maxRepetition === 0) {
      rows.push(definition === chunk.maxDefinition ? next() : null);
      continue;
    }
    if ((page.repetition?.[entry] ?? 0) === 0) rows.push(definition === 0 ? null : []);
    if (definition >= 2) (rows.at(-1) as (Cell | null)[]).push(definition === 3 ? next() : null);
  }
  return rows;
}
