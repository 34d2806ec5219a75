/**
 * Values of a few rows of a column, of many pages in one part: a page of which four rows are wanted costs as much to unpack into a part
 * of its own as to read, and most of what it leaves is garbage.
 *
 *   pages   ···x····x·│····x·····│··········│x········│xxxxxxxxx│      x is wanted
 *   parts   └──────── one, of its values ─────────────┘└ decoded ┘
 */
import type { Values } from '../parquet/column.ts';
import type { PageColumn } from '../parquet/footer.ts';
import { type DecodeOptions, pickRows } from '../parquet/read.ts';
import { PickedValues } from '../parquet/sparse.ts';
import { type DecodeScratch, lookUp, partOfValues } from './page-values.ts';
import type { Part } from './segment.ts';

/** With fewer rows than this share of a page, only their values are decoded. */
const SPARSE_SHARE = 8;
/** Pages of one part: between parts the query is asked whether it shall go on. */
const PAGES_MAX = 32;
/** Rows of one part. */
const ROWS_MAX = 16_384;

export class SomeRows {
  readonly #column: PageColumn;
  readonly #firstRows: ArrayLike<number>;
  readonly #rowsOfColumn: number;
  readonly #rows: Uint32Array;
  readonly #entries: Values | undefined;
  readonly #scratch: DecodeScratch;
  readonly #picked: PickedValues;
  /** Rows of the page at hand, and which of the wanted ones lie in it. */
  #page = { first: 0, end: 0 };
  #wantedFrom = 0;
  #wantedTo = 0;
  #isSparse = false;
  /** Rows of the pages that were picked: [from, to). */
  #from = 0;
  #to = 0;
  #pages = 0;

  /** `rows` ascend; `entries` are those of a dictionary of numbers. */
  constructor(
    column: PageColumn,
    firstRows: ArrayLike<number>,
    rowsOfColumn: number,
    rows: Uint32Array,
    entries: Values | undefined,
    scratch: DecodeScratch,
  ) {
    this.#column = column;
    this.#firstRows = firstRows;
    this.#rowsOfColumn = rowsOfColumn;
    this.#rows = rows;
    this.#entries = entries;
    this.#scratch = scratch;
    this.#picked = new PickedValues(Math.min(rows.length, ROWS_MAX));
  }

  /** Looks for the wanted rows of the next page. Returns a part of the pages before it where that is to come first. */
  turnTo(page: number): Part | undefined {
    const rows = this.#rows;
    const first = this.#firstRows[page];
    const end = page + 1 < this.#firstRows.length ? this.#firstRows[page + 1] : this.#rowsOfColumn;
    let from = this.#wantedTo;
    while (from < rows.length && rows[from] < first) from++;
    let to = from;
    while (to < rows.length && rows[to] < end) to++;
    this.#wantedFrom = from;
    this.#wantedTo = to;
    this.#page = { first, end };
    this.#isSparse = (to - from) * SPARSE_SHARE < end - first && to - from <= ROWS_MAX;
    return !this.#isSparse || this.#pages === PAGES_MAX || !this.#picked.hasRoomFor(to - from)
      ? this.take()
      : undefined;
  }

  /** Picks the wanted values of that page; false where it is to be decoded, after what `take` gives. */
  pick(bytes: Uint8Array, options: DecodeOptions): boolean {
    const { first, end } = this.#page;
    const { page } = this.#scratch;
    const [from, to] = [this.#wantedFrom, this.#wantedTo];
    if (!this.#isSparse) return false;
    if (!pickRows(bytes, this.#column, page, options, this.#picked, this.#rows, from, to, first)) return false;
    if (this.#pages++ === 0) this.#from = first;
    this.#to = end;
    return true;
  }

  /** What was picked, once; undefined for nothing. Its arrays are good until the next page is picked. */
  take(): Part | undefined {
    if (this.#pages === 0) return undefined;
    const { count, rows, codes, words, doubles, bytes } = this.#picked;
    const part: Part = { first: this.#from, rows: this.#to - this.#from, count, at: rows };
    this.#picked.count = 0;
    this.#pages = 0;
    if (codes !== undefined && this.#entries !== undefined)
      return partOfValues(part, lookUp(this.#entries, codes, count, this.#scratch));
    if (codes !== undefined) part.codes = codes;
    if (words !== undefined) part.words = words;
    if (doubles !== undefined) part.doubles = doubles;
    if (bytes !== undefined) part.bytes = bytes;
    return part;
  }
}
