/**
 * CRC-32s of what the format itself has none for: page headers, bloom filters, column indexes. A row of u32, little-endian, a
 * row group, between its column indexes and its offset indexes:
 *
 *   checks := for each column: [dictionary page] data page… [bloom filter] [column index]
 *
 * The number of a page is the CRC-32 of its bytes and then its header: it continues the one that the header holds. The footer's
 * `vivace.checks` says how many rows a page has and, of each row group, where the checks begin and the CRC-32 of them and the
 * offset indexes behind them. Whoever knows the CRC-32 of the footer (`finish`) can so check every byte of the file.
 */
import { crc32 } from 'node:zlib';
import { VivaceError } from '../runtime/errors.ts';
import type { ChunkMetadata, FileMetadata, RowGroupMetadata } from './footer.ts';
import { putUint32, type Sink } from './sink.ts';
import type { WrittenChunk } from './write-footer.ts';

export const CHECKS_KEY = 'vivace.checks';

/** The checks and the offset indexes of a row group. */
export interface ChecksPlace {
  offset: number;
  length: number;
  crc: number;
}

/** Appends those of a row group; `indexes` are the CRC-32s of its column indexes. */
export function putChecks(
  sink: Sink,
  chunks: readonly WrittenChunk[],
  indexes: ReadonlyMap<WrittenChunk, number>,
): void {
  for (const chunk of chunks) {
    if (chunk.dictionaryCheck !== undefined) putUint32(sink, chunk.dictionaryCheck);
    for (const check of chunk.pages.checks) putUint32(sink, check);
    if (chunk.bloom !== undefined) putUint32(sink, crc32(chunk.bloom));
    const index = indexes.get(chunk);
    if (index !== undefined) putUint32(sink, index);
  }
}

/** The value of the footer's key. */
export function renderPlaces(pageRows: number, places: readonly Omit<ChecksPlace, 'length'>[]): string {
  return [pageRows, ...places.flatMap(({ offset, crc }) => [offset, crc])].join(' ');
}

/** Where the checks of each row group are, and rows a page; undefined when the file has none. */
export function checksPlaces(metadata: FileMetadata): { pageRows: number; places: ChecksPlace[] } | undefined {
  const value = metadata.keyValue.get(CHECKS_KEY);
  if (value === undefined) return undefined;
  const [pageRows, ...numbers] = value.split(' ').map(Number);
  if (!(pageRows > 0) || numbers.length !== 2 * metadata.rowGroups.length || !numbers.every(Number.isInteger))
    throw new VivaceError('undecodable', `cannot read checks: ${CHECKS_KEY} is not of this file`);
  const places = metadata.rowGroups.map(({ columns }, group) => {
    const offset = numbers[2 * group];
    return { offset, length: Math.max(0, endOfIndexes(columns) - offset), crc: numbers[2 * group + 1] };
  });
  return { pageRows, places };
}

/** Where the offset indexes of a row group end. */
function endOfIndexes(columns: readonly ChunkMetadata[]): number {
  return columns.reduce(
    (end, { offsetIndexOffset = 0, offsetIndexLength }) => Math.max(end, offsetIndexOffset + offsetIndexLength),
    0,
  );
}

/** The checks of a row group by what they are of. Columns count from 0. */
export class Checks {
  readonly #bytes: DataView;
  readonly #group: RowGroupMetadata;
  /** Number of the first check of each column chunk, and of all at the end. */
  readonly #first: Uint32Array;

  /**
   * @param bytes from the place of the checks on; more may follow
   * @throws VivaceError `undecodable`
   */
  constructor(group: RowGroupMetadata, pageRows: number, bytes: Uint8Array) {
    this.#group = group;
    this.#bytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#first = new Uint32Array(group.columns.length + 1);
    let count = 0;
    group.columns.forEach((chunk, column) => {
      this.#first[column] = count;
      count += Math.ceil(group.rows / pageRows);
      for (const each of [chunk.dictionaryPageOffset, chunk.bloomOffset, chunk.columnIndexOffset])
        if (each !== undefined) count++;
    });
    this.#first[group.columns.length] = count;
    if (4 * count > bytes.length)
      throw new VivaceError('undecodable', `cannot read checks: ${bytes.length} of ${4 * count} bytes are there`);
  }

  get count(): number {
    return this.#first[this.#first.length - 1];
  }

  dictionary(column: number): number {
    return this.#at(this.#first[column]);
  }

  page(column: number, page: number): number {
    const dictionary = this.#group.columns[column].dictionaryPageOffset === undefined ? 0 : 1;
    return this.#at(this.#first[column] + dictionary + page);
  }

  bloom(column: number): number {
    const index = this.#group.columns[column].columnIndexOffset === undefined ? 0 : 1;
    return this.#at(this.#first[column + 1] - index - 1);
  }

  columnIndex(column: number): number {
    return this.#at(this.#first[column + 1] - 1);
  }

  #at(number: number): number {
    return this.#bytes.getUint32(4 * number, true);
  }
}
