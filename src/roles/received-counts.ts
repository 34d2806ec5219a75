/** What the writer thread has taken of each tenant, gathered between two messages to the main thread, as columns of numbers. */
import type { Appended } from '../cut/append.ts';

/** Of a tenant, since the last time. */
export interface TenantCounts {
  spans: number;
  bytes: number;
  tracesCreated: number;
  /** Spans that a limit of their trace refused, and which of those had another reason than its size. */
  discarded: number;
  discardedTooLong: number;
  discardedLiveTraces: number;
  truncated: number;
}

/** As it is sent: of each tenant `COUNTS` numbers. Objects take ten times as long to send. */
export interface CountsByTenant {
  tenants: string[];
  counts: Float64Array;
}

const COUNTS = 7;
/** So many tenants are told of at longer intervals. */
const MANY_TENANTS = 2000;
const MANY_MS = 10_000;

export class ReceivedCounts {
  readonly #places = new Map<string, number>();
  #counts = new Float64Array(64 * COUNTS);
  #dueMs = 0;

  add(tenant: string, appended: Appended, bytes: number): void {
    let at = this.#places.get(tenant);
    if (at === undefined) {
      at = this.#places.size * COUNTS;
      this.#places.set(tenant, at);
      if (at === this.#counts.length) {
        const wider = new Float64Array(2 * at);
        wider.set(this.#counts);
        this.#counts = wider;
      }
    }
    const counts = this.#counts;
    counts[at] += appended.spans;
    counts[at + 1] += bytes;
    counts[at + 2] += appended.traces;
    counts[at + 3] += appended.discarded;
    counts[at + 4] += appended.discardedTooLong;
    counts[at + 5] += appended.discardedLiveTraces;
    counts[at + 6] += appended.truncated;
  }

  /** What was counted since the last time, and begins anew; undefined while it is too early. */
  take(nowMs: number, isLast = false): CountsByTenant | undefined {
    if (this.#places.size === 0 || (nowMs < this.#dueMs && !isLast)) return undefined;
    const tenants = [...this.#places.keys()];
    this.#dueMs = tenants.length > MANY_TENANTS ? nowMs + MANY_MS : 0;
    const used = tenants.length * COUNTS;
    const counts = this.#counts.slice(0, used);
    this.#places.clear();
    if (used < this.#counts.length / 4) this.#counts = new Float64Array(64 * COUNTS);
    else this.#counts.fill(0, 0, used);
    return { tenants, counts };
  }
}

/** Calls `each` for every tenant. */
export function eachTenant(
  { tenants, counts }: CountsByTenant,
  each: (tenant: string, counts: TenantCounts) => void,
): void {
  for (let i = 0, at = 0; i < tenants.length; i++, at += COUNTS)
    each(tenants[i], {
      spans: counts[at],
      bytes: counts[at + 1],
      tracesCreated: counts[at + 2],
      discarded: counts[at + 3],
      discardedTooLong: counts[at + 4],
      discardedLiveTraces: counts[at + 5],
      truncated: counts[at + 6],
    });
}
