/**
 * Reads a column for ascending rows, a few thousand at a time. Several cursors go through a segment side by side: each
 * remembers where in its column it is, so that pages are decoded once whatever their boundaries.
 */
import type { Column, ColumnOptions, Part, Segment, Want } from '../block/segment.ts';

/** Rows that are looked at together; their arrays stay in the fastest cache. */
export const CHUNK_ROWS = 4096;

/** With fewer rows than this share of a segment, pages without any of them are left out. */
const SPARSE_SHARE = 64;

/** A cursor over the column, or undefined where no row has a value. */
export async function openCursor(
  segment: Segment,
  want: Want,
  rows: Uint32Array | undefined,
): Promise<ColumnCursor | undefined> {
  const options: ColumnOptions | undefined =
    rows !== undefined && rows.length * SPARSE_SHARE < segment.rows ? { rows } : undefined;
  const column = await segment.column(want, undefined, options);
  return column && new ColumnCursor(column);
}

export class ColumnCursor {
  readonly column: Column;
  readonly #parts: Iterator<Part>;
  readonly #index = new Int32Array(CHUNK_ROWS);
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
      if (from < to) {
        this.#locate(part, rows, from, to);
        each(part, this.#index, from, to);
      }
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

  #locate(part: Part, rows: Uint32Array, from: number, to: number): void {
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
      let before = this.#before;
      let row = this.#row - first;
      for (let k = from; k < to; k++) {
        const wanted = rows[k] - first;
        for (; row < wanted; row++) before += present[row];
        index[k] = present[row] === 1 ? before : -1;
      }
      this.#before = before;
      this.#row = row + first;
    } else for (let k = from; k < to; k++) index[k] = rows[k] - first;
  }
}

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
