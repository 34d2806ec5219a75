/**
 * What is accumulated: a number for every series and interval, series after series. A cell is a count, a sum, a smallest or
 * a largest value; of a mean there are two, sum and count.
 *
 *   series 0: │ interval 0 │ interval 1 │ … │   series 1: │ interval 0 │ …
 */

export type CellKind = 'count' | 'sum' | 'mean' | 'min' | 'max';

/** Cells of one query: 8 bytes each, 16 of a mean. */
export const CELLS_MAX = 2_000_000;
/** Series that are told apart, however few intervals they have: each has labels. */
const SERIES_MAX = 131_072;

const LANE_SERIES = 256;

export class Cells {
  readonly kind: CellKind;
  readonly intervals: number;
  /** How many series there is room for. */
  readonly seriesMax: number;
  values: Float64Array<ArrayBuffer>;
  /** Of means alone. */
  counts: Float64Array<ArrayBuffer> | undefined;
  #series = 0;
  readonly #lanes = new Uint32Array(4 * LANE_SERIES);

  constructor(kind: CellKind, intervals: number, cellsMax = CELLS_MAX) {
    this.kind = kind;
    this.intervals = intervals;
    this.seriesMax = Math.min(SERIES_MAX, Math.max(1, Math.floor(cellsMax / Math.max(1, intervals))));
    this.values = new Float64Array(0);
    this.counts = kind === 'mean' ? new Float64Array(0) : undefined;
  }

  get series(): number {
    return this.#series;
  }

  /** Makes room for series up to this many, none of them beyond `seriesMax`. */
  ensure(series: number): void {
    if (series <= this.#series) return;
    this.#series = series;
    const needed = series * this.intervals;
    if (needed <= this.values.length) return;
    const length = Math.min(this.seriesMax * this.intervals, Math.max(2 * this.values.length, needed, 64));
    const known = this.values.length;
    const values = new Float64Array(length);
    values.set(this.values);
    if (this.kind !== 'count') values.fill(Number.NaN, known);
    this.values = values;
    if (this.counts === undefined) return;
    const counts = new Float64Array(length);
    counts.set(this.counts);
    this.counts = counts;
  }

  /** Counts one span for each (series, interval). Negative series are left out. */
  count(series: Int32Array, intervals: Int32Array, count: number): void {
    const cells = this.values;
    const width = this.intervals;
    for (let k = 0; k < count; k++) if (series[k] >= 0) cells[series[k] * width + intervals[k]]++;
  }

  /**
   * The same for one interval. Few series are counted in four places in turn: counting the same one again and again would
   * wait each time for what was just written.
   */
  countIn(interval: number, series: Int32Array, count: number): void {
    const cells = this.values;
    const width = this.intervals;
    if (this.#series > LANE_SERIES) {
      for (let k = 0; k < count; k++) if (series[k] >= 0) cells[series[k] * width + interval]++;
      return;
    }
    const lanes = this.#lanes;
    for (let k = 0; k < count; k++) if (series[k] >= 0) lanes[4 * series[k] + (k & 3)]++;
    for (let each = 0; each < this.#series; each++) {
      const lane = 4 * each;
      cells[each * width + interval] += lanes[lane] + lanes[lane + 1] + lanes[lane + 2] + lanes[lane + 3];
    }
    lanes.fill(0, 0, 4 * this.#series);
  }

  /** The same with a value for each. */
  add(series: Int32Array, intervals: Int32Array, values: Float64Array, count: number): void {
    const width = this.intervals;
    const cells = this.values;
    switch (this.kind) {
      case 'min':
        for (let k = 0; k < count; k++) {
          if (series[k] < 0) continue;
          const cell = series[k] * width + intervals[k];
          if (!(cells[cell] <= values[k])) cells[cell] = values[k];
        }
        return;
      case 'max':
        for (let k = 0; k < count; k++) {
          if (series[k] < 0) continue;
          const cell = series[k] * width + intervals[k];
          if (!(cells[cell] >= values[k])) cells[cell] = values[k];
        }
        return;
      default: {
        const counts = this.counts;
        for (let k = 0; k < count; k++) {
          if (series[k] < 0) continue;
          const cell = series[k] * width + intervals[k];
          // NaN is a cell that has no value yet.
          cells[cell] = Number.isNaN(cells[cell]) ? values[k] : cells[cell] + values[k];
          if (counts !== undefined) counts[cell]++;
        }
      }
    }
  }

  /** Takes in cells of another part of the spans, for one series. */
  merge(series: number, values: Float64Array, counts: Float64Array | undefined): void {
    const at = series * this.intervals;
    for (let i = 0; i < this.intervals; i++) {
      const other = values[i];
      const own = this.values[at + i];
      if (Number.isNaN(other)) continue;
      if (Number.isNaN(own)) this.values[at + i] = other;
      else if (this.kind === 'min') this.values[at + i] = Math.min(own, other);
      else if (this.kind === 'max') this.values[at + i] = Math.max(own, other);
      else this.values[at + i] = own + other;
      if (this.counts !== undefined) this.counts[at + i] += counts![i];
    }
  }

  row(series: number): Float64Array<ArrayBuffer> {
    return this.values.subarray(series * this.intervals, (series + 1) * this.intervals);
  }
}
