/**
 * Which interval a span's start falls into. Intervals are left-open and right-closed, so that a span on an edge belongs to
 * the interval that ends there (spec/traceql.md §9.2):
 *
 *      start       start + step    start + 2 step          end
 *        (──── 0 ──────](──── 1 ──────](──── 2 ──────] … ](
 *
 * A time is two 32-bit words. Its distance from the start is a double, exact up to 2^53 ns (104 days); beyond that whole
 * microseconds still are, so a span may only be counted on the wrong side of an edge that it misses by nanoseconds.
 */
import type { Part, Segment } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';

type StartBounds = NonNullable<ReturnType<NonNullable<Segment['startBounds']>>>;

export interface Intervals {
  readonly startNs: bigint;
  readonly stepNs: bigint;
  /** At least 1, except for a range that is empty. */
  readonly count: number;
}

/** The intervals of a range whose length is a whole number of steps. */
export function intervalsOf(startNs: bigint, endNs: bigint, stepNs: bigint): Intervals {
  const count = stepNs > 0n && endNs > startNs ? Number((endNs - startNs) / stepNs) : 0;
  return { startNs, stepNs, count };
}

/** The right edge of an interval, as samples are stamped. */
export function stampMs(intervals: Intervals, interval: number): number {
  return Number((intervals.startNs + BigInt(interval + 1) * intervals.stepNs) / 1_000_000n);
}

/** The intervals of times between two bounds, and what lies between each two of them. */
export interface Spread {
  /** Ascending; -1 before and after the range. */
  intervals: Int32Array;
  /** Nanoseconds from the start of the range; times up to edges[i] belong to intervals[i] or an earlier one. */
  edges: Float64Array;
}

/** So many intervals of one segment have numbers of a byte. */
const SPREAD_MAX = 256;
/** Up to so many edges are compared with each time (0.6 ns an edge); more make dividing quicker (3 ns). */
const COMPARED_MAX = 3;

/** Finds intervals of times given as words (low first). */
export class IntervalFinder {
  readonly #startLow: number;
  readonly #startHigh: number;
  readonly #step: number;
  readonly #length: number;

  constructor({ startNs, stepNs, count }: Intervals) {
    this.#startLow = Number(startNs & 0xffffffffn);
    this.#startHigh = Number(startNs >> 32n);
    this.#step = Number(stepNs);
    this.#length = Number(stepNs) * count;
  }

  /** The interval of one time, -1 when it is in none. */
  of(low: number, high: number): number {
    const distance = this.#distance(low, high);
    return distance > 0 && distance <= this.#length ? Math.ceil(distance / this.#step) - 1 : -1;
  }

  /** The one interval of all times within the bounds, `outside` when they are in none, undefined when they differ. */
  common(bounds: StartBounds | undefined): number | 'outside' | undefined {
    if (bounds === undefined) return undefined;
    const { minLow, minHigh, maxLow, maxHigh } = bounds;
    const first = this.of(minLow, minHigh);
    if (first >= 0 && first === this.of(maxLow, maxHigh)) return first;
    return this.#distance(maxLow, maxHigh) <= 0 || this.#distance(minLow, minHigh) > this.#length
      ? 'outside'
      : undefined;
  }

  /** Which intervals times within the bounds fall into; undefined when those are too many. */
  spread({ minLow, minHigh, maxLow, maxHigh }: StartBounds): Spread | undefined {
    const [min, max] = [this.#distance(minLow, minHigh), this.#distance(maxLow, maxHigh)];
    const count = this.#length / this.#step;
    // An edge counts when there may be times on both its sides.
    const first = Math.max(0, Math.ceil(min / this.#step));
    const last = Math.min(count, Math.ceil(max / this.#step) - 1);
    if (last - first + 2 > SPREAD_MAX) return undefined;
    const edges = Float64Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * this.#step);
    const intervals = Int32Array.from({ length: edges.length + 1 }, (_, i) =>
      first + i - 1 < count ? Math.max(-1, first + i - 1) : -1,
    );
    return { intervals, edges };
  }

  /**
   * places[row] becomes the place of each row whose trace lies between two edges as a whole, as its line tells. Returns the other
   * rows, ascending; undefined when those are more than `othersMax`.
   */
  placeTraces(lines: TraceLines, { edges }: Spread, places: Uint8Array, othersMax: number): Uint32Array | undefined {
    const { firstRow, startLow, startHigh, endLow, endHigh } = lines;
    const others: number[] = [];
    // Neighbours of one place are filled in together.
    let from = 0;
    let last = 0;
    for (let trace = 0; trace < startLow.length; trace++) {
      const place = placeAmong(edges, this.#distance(startLow[trace], startHigh[trace]));
      const isWhole = place === edges.length || this.#distance(endLow[trace], endHigh[trace]) <= edges[place];
      if (isWhole && place === last) continue;
      places.fill(last, from, firstRow[trace]);
      from = firstRow[trace];
      if (isWhole) last = place;
      else {
        from = firstRow[trace + 1];
        if (others.length + from - firstRow[trace] > othersMax) return undefined;
        for (let row = firstRow[trace]; row < from; row++) others.push(row);
      }
    }
    places.fill(last, from, firstRow[startLow.length]);
    return Uint32Array.from(others);
  }

  /** places[row] becomes the place, among the intervals of the spread, of the time of each row of a part. */
  place(part: Part, { edges }: Spread, places: Uint8Array): void {
    const { first, count, distances, base, words, at } = part;
    if (distances === undefined || at !== undefined) {
      for (let i = 0; i < count; i++) {
        const time =
          distances === undefined
            ? this.#distance(words![2 * i], words![2 * i + 1])
            : this.#distance(base!.low, base!.high) + distances[i];
        places[at === undefined ? first + i : at[i]] = placeAmong(edges, time);
      }
      return;
    }
    const start = this.#distance(base!.low, base!.high);
    const step = this.#step;
    if (edges.length > COMPARED_MAX) {
      const least = Math.round(edges[0] / step) - 1;
      const most = edges.length;
      for (let i = 0; i < count; i++) {
        const place = Math.ceil((start + distances[i]) / step) - 1 - least;
        places[first + i] = Math.max(0, Math.min(place, most));
      }
      return;
    }
    const a = edges.length > 0 ? edges[0] - start : Number.POSITIVE_INFINITY;
    const b = edges.length > 1 ? edges[1] - start : Number.POSITIVE_INFINITY;
    const c = edges.length > 2 ? edges[2] - start : Number.POSITIVE_INFINITY;
    // Numbers of booleans, because a branch would be a guess.
    if (edges.length < 2) for (let i = 0; i < count; i++) places[first + i] = Number(distances[i] > a);
    else
      for (let i = 0; i < count; i++)
        places[first + i] = Number(distances[i] > a) + Number(distances[i] > b) + Number(distances[i] > c);
  }

  #distance(low: number, high: number): number {
    return ((high >>> 0) - this.#startHigh) * 4294967296 + ((low >>> 0) - this.#startLow);
  }

  /** out[k] becomes the interval of value index[k] of a column of times, for k in [from, to). */
  fill({ words, distances, base }: Part, index: Int32Array, from: number, to: number, out: Int32Array): void {
    const step = this.#step;
    const length = this.#length;
    if (distances !== undefined) {
      const first = this.#distance(base!.low, base!.high);
      for (let k = from; k < to; k++) {
        const distance = first + distances[index[k]];
        out[k] = distance > 0 && distance <= length ? Math.ceil(distance / step) - 1 : -1;
      }
      return;
    }
    const startLow = this.#startLow;
    const startHigh = this.#startHigh;
    for (let k = from; k < to; k++) {
      const at = 2 * index[k];
      const distance = ((words![at + 1] >>> 0) - startHigh) * 4294967296 + ((words![at] >>> 0) - startLow);
      out[k] = distance > 0 && distance <= length ? Math.ceil(distance / step) - 1 : -1;
    }
  }
}

/** How many edges are before the time. */
function placeAmong(edges: Float64Array, time: number): number {
  let from = 0;
  let to = edges.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (time > edges[middle]) from = middle + 1;
    else to = middle;
  }
  return from;
}
