/**
 * CRC-32s of what the format itself has none for: page headers, bloom filters, column indexes. A row of u32, little-endian,
 * between the column indexes and the offset indexes; `vivace.checks` in the footer says where, and rows a page.
 *
 *   checks := for each row group, for each column: [dictionary page] data page… [bloom filter] [column index]
 *
 * The number of a page is the CRC-32 of its bytes and then its header: it continues the one that the header holds. Whoever
 * knows the CRC-32 of all from the checks to the end of the file (`WriterOptions`, `finish`) can so check every byte of it.
 */
import { crc32 } from 'node:zlib';
import { VivaceError } from '../runtime/errors.ts';
import type { FileMetadata } from './footer.ts';
import { putUint32, type Sink } from './sink.ts';
import type { WrittenChunk } from './write-footer.ts';

export const CHECKS_KEY = 'vivace.checks';

/** Appends them; `chunks` of all row groups in order, with their column indexes in `indexes`. */
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

/** Where the checks of a file begin; undefined when it has none. */
export function checksOffset(metadata: FileMetadata): number | undefined {
  const value = metadata.keyValue.get(CHECKS_KEY);
  return value === undefined ? undefined : Number(value.split(' ')[0]);
}

/** The checks of a file by what they are of. Row groups and columns count from 0. */
export class Checks {
  readonly #bytes: DataView;
  readonly #metadata: FileMetadata;
  /** Number of the first check of each column chunk, row group by row group, and of all at the end. */
  readonly #first: Uint32Array;

  /**
   * @param bytes the file from `checksOffset` on; more may follow
   * @throws VivaceError `undecodable`
   */
  constructor(metadata: FileMetadata, bytes: Uint8Array) {
    const pageRows = Number(metadata.keyValue.get(CHECKS_KEY)?.split(' ')[1]);
    if (!(pageRows > 0)) throw new VivaceError('undecodable', `cannot read checks: ${CHECKS_KEY} has no rows a page`);
    this.#metadata = metadata;
    this.#bytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const columns = metadata.leaves.length;
    this.#first = new Uint32Array(metadata.rowGroups.length * columns + 1);
    let count = 0;
    metadata.rowGroups.forEach((group, groupIndex) => {
      group.columns.forEach((chunk, column) => {
        this.#first[groupIndex * columns + column] = count;
        count += Math.ceil(group.rows / pageRows);
        for (const each of [chunk.dictionaryPageOffset, chunk.bloomOffset, chunk.columnIndexOffset])
          if (each !== undefined) count++;
      });
    });
    this.#first[this.#first.length - 1] = count;
    if (4 * count > bytes.length)
      throw new VivaceError('undecodable', `cannot read checks: ${bytes.length} of ${4 * count} bytes are there`);
  }

  get count(): number {
    return this.#first[this.#first.length - 1];
  }

  dictionary(group: number, column: number): number {
    return this.#at(this.#firstOf(group, column));
  }

  page(group: number, column: number, page: number): number {
    const dictionary = this.#metadata.rowGroups[group].columns[column].dictionaryPageOffset === undefined ? 0 : 1;
    return this.#at(this.#firstOf(group, column) + dictionary + page);
  }

  bloom(group: number, column: number): number {
    const index = this.#metadata.rowGroups[group].columns[column].columnIndexOffset === undefined ? 0 : 1;
    return this.#at(this.#endOf(group, column) - index - 1);
  }

  columnIndex(group: number, column: number): number {
    return this.#at(this.#endOf(group, column) - 1);
  }

  #firstOf(group: number, column: number): number {
    return this.#first[group * this.#metadata.leaves.length + column];
  }

  #endOf(group: number, column: number): number {
    return this.#first[group * this.#metadata.leaves.length + column + 1];
  }

  #at(number: number): number {
    return this.#bytes.getUint32(4 * number, true);
  }
}
