/**
 * Reads a column for ascending rows, a few thousand at a time. Several cursors go through a segment side by side: each
 * remembers where in its column it is, so that pages are decoded once whatever their boundaries.
 */
import type { Column, ColumnOptions, Part, Segment, Want } from '../block/segment.ts';
import { countOnes } from './gather.ts';

/** Rows that are looked at together; their arrays stay in the fastest cache. */
export const CHUNK_ROWS = 4096;

/** With fewer rows than this share of a segment, it is told which ones are wanted. */
const SPARSE_SHARE = 8;

/** A cursor over the column, or undefined where no row has a value. With `distances`, ints may come as those. */
export async function openCursor(
  segment: Segment,
  want: Want,
  rows: Uint32Array | undefined,
  distances = false,
): Promise<ColumnCursor | undefined> {
  const column = await openColumn(segment, want, rows, distances);
  return column && new ColumnCursor(column);
}

/** The column itself; where `rows` are few, parts have only those. */
export function openColumn(
  segment: Segment,
  want: Want,
  rows: Uint32Array | undefined,
  distances: boolean,
): Promise<Column | undefined> {
  const isSparse = rows !== undefined && rows.length * SPARSE_SHARE < segment.rows;
  const options: ColumnOptions = { distances, ...(isSparse && { rows }) };
  return segment.column(want, undefined, options);
}

export class ColumnCursor {
  readonly column: Column;
  readonly #parts: Iterator<Part>;
  readonly #index = new Int32Array(CHUNK_ROWS);
  #places = new Int32Array(CHUNK_ROWS);
  #part: Part | undefined;
  /** The first row of the part that was not looked at, and how many values come before it. */
  #row = 0;
  #before = 0;

  constructor(column: Column) {
    this.column = column;
    this.#parts = column.parts[Symbol.iterator]();
    this.#advance();
  }

  /**
   * Calls `each` for every run of rows[from, to) that lies in one part: row rows[k] has value index[k] of the part, or none
   * when that is -1. Rows must be larger than those of the call before.
   */
  read(
    rows: Uint32Array,
    count: number,
    each: (part: Part, index: Int32Array, from: number, to: number) => void,
  ): void {
    for (let from = 0; from < count && this.#part !== undefined; ) {
      const part = this.#part;
      const end = part.first + part.rows;
      if (rows[from] >= end) {
        this.#advance();
        continue;
      }
      let to = from;
      if (rows[count - 1] < end) to = count;
      else while (to < count && rows[to] < end) to++;
      while (from < to && rows[from] < part.first) this.#index[from++] = -1;
      if (from < to) each(part, this.#locate(part, rows, from, to), from, to);
      from = to;
    }
  }

  /** Gives back what decoding holds; needed when not all was read. */
  close(): void {
    this.#parts.return?.();
    this.#part = undefined;
  }

  #advance(): void {
    const next = this.#parts.next();
    this.#part = next.done ? undefined : next.value;
    this.#row = this.#part?.first ?? 0;
    this.#before = 0;
  }

  #locate(part: Part, rows: Uint32Array, from: number, to: number): Int32Array {
    const index = this.#index;
    const { first, at, present } = part;
    if (at !== undefined) {
      let next = this.#before;
      for (let k = from; k < to; k++) {
        const row = rows[k];
        next = atLeast(at, next, part.count, row);
        index[k] = next < part.count && at[next] === row ? next : -1;
      }
      this.#before = next;
    } else if (present !== undefined) {
      const start = this.#row - first;
      const end = rows[to - 1] + 1 - first;
      // Rows close together: a number for each row between them costs less than guessing where the next one is.
      if (end - start <= DENSE_ROWS * (to - from))
        this.#before = this.#locateDense(present, start, end, rows, first, from, to);
      else {
        let row = start;
        for (let k = from; k < to; k++) {
          const wanted = rows[k] - first;
          this.#before += countOnes(present, row, wanted);
          row = wanted;
          index[k] = present[row] === 1 ? this.#before : -1;
        }
        this.#before += present[row];
      }
      this.#row = end + first;
    } else {
      const shift = rows[from] - first;
      // All rows of a page, as they come: their places are known.
      if (shift === from && rows[to - 1] - rows[from] === to - 1 - from) return IN_ORDER;
      for (let k = from; k < to; k++) index[k] = rows[k] - first;
    }
    return index;
  }

  #locateDense(
    present: Uint8Array,
    start: number,
    end: number,
    rows: Uint32Array,
    first: number,
    from: number,
    to: number,
  ): number {
    if (this.#places.length < end - start) this.#places = new Int32Array(end - start);
    const places = this.#places;
    let before = this.#before;
    for (let row = start; row < end; row++) {
      const one = present[row];
      // The place, or -1 where there is none, without a branch.
      places[row - start] = before | (one - 1);
      before += one;
    }
    const index = this.#index;
    for (let k = from, base = first + start; k < to; k++) index[k] = places[rows[k] - base];
    return before;
  }
}

/** Up to so many rows for each wanted one, all of them are looked at. */
const DENSE_ROWS = 16;
const IN_ORDER = Int32Array.from({ length: CHUNK_ROWS }, (_, i) => i);

/** The first place in at[from, count) that holds `row` or more: near ones by steps, far ones by halving. */
function atLeast(at: Uint32Array, from: number, count: number, row: number): number {
  if (from >= count || at[from] >= row) return from;
  let step = 1;
  while (from + step < count && at[from + step] < row) step *= 2;
  let low = from + (step >>> 1) + 1;
  let high = Math.min(count, from + step);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at[middle] < row) low = middle + 1;
    else high = middle;
  }
  return low;
}
