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
import type { Segment } from '../block/segment.ts';

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

  #distance(low: number, high: number): number {
    return ((high >>> 0) - this.#startHigh) * 4294967296 + ((low >>> 0) - this.#startLow);
  }

  /** out[k] becomes the interval of the time at words[2 * index[k]] for k in [from, to). */
  fill(words: Int32Array, index: Int32Array, from: number, to: number, out: Int32Array): void {
    const startLow = this.#startLow;
    const startHigh = this.#startHigh;
    const step = this.#step;
    const length = this.#length;
    for (let k = from; k < to; k++) {
      const at = 2 * index[k];
      const distance = ((words[at + 1] >>> 0) - startHigh) * 4294967296 + ((words[at] >>> 0) - startLow);
      out[k] = distance > 0 && distance <= length ? Math.ceil(distance / step) - 1 : -1;
    }
  }
}
