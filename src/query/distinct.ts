/**
 * Collects texts that differ, within bounds: how many, how many bytes, and how many in a row that were known already.
 * A text that comes again in the same segment is neither new nor stale.
 */

export interface DistinctBounds {
  /** 0 = no bound, like the others. */
  limit: number;
  maxStaleValues: number;
}

/** Bytes that several collectors share. */
export interface ByteBudget {
  bytesLeft: number;
}

/** More than anybody reads, whatever the bounds: memory has an end. */
const TEXTS_MAX = 1 << 20;

export function byteBudget(bytesMax: number): ByteBudget {
  return { bytesLeft: bytesMax > 0 ? bytesMax : Number.POSITIVE_INFINITY };
}

export class Distinct {
  /** No more texts are taken. */
  full = false;
  readonly #textsMax: number;
  readonly #staleMax: number;
  readonly #budget: ByteBudget;
  /** The segment in which each text was seen last. */
  readonly #seen = new Map<string, number>();
  #segment = 0;
  #stale = 0;

  constructor(bounds: DistinctBounds, budget: ByteBudget) {
    this.#textsMax = bounds.limit > 0 ? Math.min(bounds.limit, TEXTS_MAX) : TEXTS_MAX;
    this.#staleMax = bounds.maxStaleValues > 0 ? bounds.maxStaleValues : Number.POSITIVE_INFINITY;
    this.#budget = budget;
  }

  get texts(): string[] {
    return [...this.#seen.keys()];
  }

  /** What follows is of another segment. */
  nextSegment(): void {
    this.#segment++;
  }

  add(text: string): void {
    if (this.full) return;
    const seenIn = this.#seen.get(text);
    if (seenIn === this.#segment) return;
    if (seenIn !== undefined) {
      this.#seen.set(text, this.#segment);
      this.full = ++this.#stale >= this.#staleMax;
      return;
    }
    const bytes = Buffer.byteLength(text);
    if (bytes > this.#budget.bytesLeft) {
      this.full = true;
      return;
    }
    this.#budget.bytesLeft -= bytes;
    this.#stale = 0;
    this.#seen.set(text, this.#segment);
    this.full = this.#seen.size >= this.#textsMax;
  }
}
