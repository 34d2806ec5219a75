/**
 * Rows of a live segment that a later request brought again. A segment grows, so what was found is remembered, and only new
 * rows are looked at the next time:
 *
 *   rows    ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒░░░░░     ░ since the last time
 *   table   span id ─▶ the row that came first
 */
import type { LiveView } from './live-view.ts';
import { ROW_SPAN_ID, ROW_TRACE } from './layout.ts';
import { hashId, RowIdentity } from './row-identity.ts';

/** Rows between two checks. */
const CHECK_EVERY = 32_768;

/** What is remembered of one segment: 8 to 16 bytes a row. */
export class RepeatedRows {
  /** A row + 1, or 0. */
  #table = new Int32Array(1024);
  #checked = 0;
  readonly #found: number[] = [];

  /** The repeated rows of the view, ascending. `check` throws to end it; what was found until then stays. */
  of(view: LiveView, check: () => void = () => {}): readonly number[] {
    // What one request brings twice was sent as two spans.
    if (view.snapshot.requests > 1 && this.#checked < view.rows) this.#look(view, check);
    // An older view of the segment has fewer.
    const { length } = this.#found;
    return length === 0 || this.#found[length - 1] < view.rows
      ? this.#found
      : this.#found.filter((row) => row < view.rows);
  }

  #look(view: LiveView, check: () => void): void {
    const low = view.field(ROW_SPAN_ID);
    const high = view.field(ROW_SPAN_ID + 1);
    const traceOf = view.field(ROW_TRACE);
    const identity = new RowIdentity(view);
    this.#reserve(view.rows, low, high);
    const table = this.#table;
    const mask = table.length - 1;
    for (let row = this.#checked; row < view.rows; row++) {
      if (row % CHECK_EVERY === 0) {
        this.#checked = row;
        check();
      }
      let slot = hashId(low[row], high[row]) & mask;
      for (;;) {
        const earlier = table[slot] - 1;
        if (earlier < 0) {
          table[slot] = row + 1;
          break;
        }
        if (
          low[earlier] === low[row] &&
          high[earlier] === high[row] &&
          traceOf[earlier] === traceOf[row] &&
          identity.isSame(earlier, row)
        ) {
          this.#found.push(row);
          break;
        }
        slot = (slot + 1) & mask;
      }
    }
    this.#checked = view.rows;
  }

  #reserve(rows: number, low: Uint32Array, high: Uint32Array): void {
    let size = this.#table.length;
    while (size < 2 * rows) size *= 2;
    if (size === this.#table.length) return;
    const table = new Int32Array(size);
    for (const entry of this.#table) {
      if (entry === 0) continue;
      let slot = hashId(low[entry - 1], high[entry - 1]) & (size - 1);
      while (table[slot] !== 0) slot = (slot + 1) & (size - 1);
      table[slot] = entry;
    }
    this.#table = table;
  }
}

/** Segments of which it is remembered; there are seldom more than one of a tenant. */
const SEGMENTS_KEPT = 16;

/** What one thread remembers, by the number of the segment. */
export class RepeatedRowsCache {
  readonly #segments = new Map<number, RepeatedRows>();

  of(segment: number): RepeatedRows {
    const rows = this.#segments.get(segment) ?? new RepeatedRows();
    this.#segments.delete(segment);
    this.#segments.set(segment, rows);
    if (this.#segments.size > SEGMENTS_KEPT) this.#segments.delete(this.#segments.keys().next().value!);
    return rows;
  }
}
