/** Which rows of a live segment are one span: same id, kind and start, and brought by different requests. */
import type { LiveView } from './live-view.ts';
import { META_KIND, ROW_BITS, ROW_START, SPACE_META } from './layout.ts';

/** Kinds from here on do not fit the byte of a row. */
const WIDE_KIND = 255;

export class RowIdentity {
  readonly #view: LiveView;
  readonly #startLow: Uint32Array;
  readonly #startHigh: Uint32Array;
  readonly #bits: Uint32Array;
  #requestStarts: Uint32Array | undefined;
  #wideKinds: Map<number, number> | undefined;

  constructor(view: LiveView) {
    this.#view = view;
    this.#startLow = view.field(ROW_START);
    this.#startHigh = view.field(ROW_START + 1);
    this.#bits = view.field(ROW_BITS);
  }

  /** Whether rows of one trace and one span id are the same span. */
  isSame(earlier: number, row: number): boolean {
    if (
      this.#startLow[earlier] !== this.#startLow[row] ||
      this.#startHigh[earlier] !== this.#startHigh[row] ||
      (this.#bits[earlier] & 0xff) !== (this.#bits[row] & 0xff)
    )
      return false;
    if ((this.#bits[row] & 0xff) === WIDE_KIND && this.#wideKind(earlier) !== this.#wideKind(row)) return false;
    this.#requestStarts ??= this.#view.requestStarts();
    return requestOf(this.#requestStarts, earlier) !== requestOf(this.#requestStarts, row);
  }

  #wideKind(row: number): number | undefined {
    if (this.#wideKinds === undefined) {
      this.#wideKinds = new Map();
      const head = this.#view.columnHeads().find((each) => each.space === SPACE_META && each.key === META_KIND);
      if (head !== undefined) {
        const { rows, values } = this.#view.load(head);
        for (let i = 0; i < rows.length; i++) this.#wideKinds.set(rows[i], values[2 * i]);
      }
    }
    return this.#wideKinds.get(row);
  }
}

/** For tables of span ids. */
export function hashId(low: number, high: number): number {
  const hash = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
  return hash ^ (hash >>> 15);
}

function requestOf(starts: Uint32Array, row: number): number {
  let from = 0;
  let to = starts.length;
  while (to - from > 1) {
    const middle = (from + to) >>> 1;
    if (starts[middle] <= row) from = middle;
    else to = middle;
  }
  return from;
}
