/** Where the pages of a row group's columns stand in the file, and which of them hold rows that are wanted. */
import type { ChunkMetadata } from '../parquet/footer.ts';
import { type OffsetIndex, parseOffsetIndex } from '../parquet/indexes.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { RowRange } from './segment.ts';
import type { ByteRange } from './source.ts';

/** With fewer rows than this share of a page, only their values are worth looking for. */
const SPARSE_SHARE = 8;

export class PagePlaces {
  /** The page locations of all columns, and before them the checks, as they stand in the file. */
  readonly range: ByteRange;
  readonly #columns: readonly ChunkMetadata[];
  readonly #rows: number;
  readonly #indexes = new Map<number, OffsetIndex>();
  #bytes: Uint8Array | undefined;

  /** Of `rows` rows. `range` is looked up where it is not given. */
  constructor(columns: readonly ChunkMetadata[], rows: number, range: ByteRange | undefined) {
    this.#columns = columns;
    this.#rows = rows;
    this.range = range ?? indexRange(columns);
  }

  /** Whether the bytes of `range` have been taken. Before that nothing else may be asked. */
  get isKnown(): boolean {
    return this.#bytes !== undefined;
  }

  take(bytes: Uint8Array): void {
    this.#bytes = bytes;
  }

  of(column: number): OffsetIndex {
    let offsets = this.#indexes.get(column);
    if (offsets === undefined) {
      const { offsetIndexOffset, offsetIndexLength } = this.#columns[column];
      const at = offsetIndexOffset! - this.range.offset;
      offsets = parseOffsetIndex(this.#bytes!.subarray(at, at + offsetIndexLength));
      this.#indexes.set(column, offsets);
    }
    return offsets;
  }

  /** The pages that hold rows of the range, and one of the ascending `rows`. */
  holding(column: number, range: RowRange | undefined, rows?: Uint32Array): number[] {
    const { pages, firstRows } = this.of(column);
    const wanted: number[] = [];
    let next = 0;
    for (let page = 0; page < pages; page++) {
      const end = page + 1 < pages ? firstRows[page + 1] : this.#rows;
      if (range !== undefined && (firstRows[page] >= range.to || end <= range.from)) continue;
      if (rows !== undefined) {
        while (next < rows.length && rows[next] < firstRows[page]) next++;
        if (next === rows.length || rows[next] >= end) continue;
      }
      wanted.push(page);
    }
    return wanted;
  }

  /** A function that gives, page after page, which of its rows are among the ascending `rows`; undefined where many are. */
  rowsIn(column: number, rows: Uint32Array): (page: number) => Uint32Array | undefined {
    const { firstRows, pages } = this.of(column);
    let next = 0;
    return (page) => {
      const end = page + 1 < pages ? firstRows[page + 1] : this.#rows;
      while (next < rows.length && rows[next] < firstRows[page]) next++;
      const from = next;
      while (next < rows.length && rows[next] < end) next++;
      if ((next - from) * SPARSE_SHARE >= end - firstRows[page]) return undefined;
      return rows.subarray(from, next).map((row) => row - firstRows[page]);
    };
  }

  /** Where pages stand; neighbours as one. */
  ranges(column: number, pages: readonly number[]): ByteRange[] {
    const offsets = this.of(column);
    const ranges: ByteRange[] = [];
    for (const page of pages) {
      const offset = offsets.offsets[page];
      const last = ranges.at(-1);
      if (last !== undefined && last.offset + last.length === offset) last.length += offsets.bytes[page];
      else ranges.push({ offset, length: offsets.bytes[page] });
    }
    return ranges;
  }
}

/** Where the page locations of all columns stand, one after the other. */
function indexRange(columns: readonly ChunkMetadata[]): ByteRange {
  let offset = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const { offsetIndexOffset, offsetIndexLength, name } of columns) {
    if (offsetIndexOffset === undefined)
      throw new VivaceError('undecodable', `cannot read column ${name}: where its pages stand is not said`);
    offset = Math.min(offset, offsetIndexOffset);
    end = Math.max(end, offsetIndexOffset + offsetIndexLength);
  }
  return { offset, length: end - offset };
}
