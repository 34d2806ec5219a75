/**
 * How fast tenants may send: one token bucket a tenant, a token a byte. A request is taken whole or not at all, so one that is
 * larger than the bucket (`burst_size_bytes`) never passes. A bucket starts full and fills at `rate_limit_bytes` a second.
 *
 * Cost: a look into one map and a few multiplications a request.
 */
export interface Rate {
  bytesPerSecond: number;
  burstBytes: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Every so many requests buckets that are full again are forgotten: a full bucket is as good as none. */
const SWEEP_REQUESTS = 65_536;

export class Rates {
  readonly #nowMs: () => number;
  readonly #rateOf: (tenant: string) => Rate;
  readonly #buckets = new Map<string, Bucket>();
  #untilSweep = SWEEP_REQUESTS;

  /** `nowMs` must never go back. */
  constructor(rateOf: (tenant: string) => Rate, nowMs: () => number) {
    this.#rateOf = rateOf;
    this.#nowMs = nowMs;
  }

  /** Takes the bytes out of the tenant's bucket; false, and takes none, when there are not enough. */
  take(tenant: string, bytes: number): boolean {
    const { bytesPerSecond, burstBytes } = this.#rateOf(tenant);
    if (burstBytes === Number.POSITIVE_INFINITY || bytesPerSecond === Number.POSITIVE_INFINITY) return true;
    const nowMs = this.#nowMs();
    if (--this.#untilSweep <= 0) this.#sweep(nowMs);
    const bucket = this.#buckets.get(tenant);
    if (bucket === undefined) {
      if (bytes > burstBytes) return false;
      this.#buckets.set(tenant, { tokens: burstBytes - bytes, atMs: nowMs });
      return true;
    }
    const tokens = Math.min(burstBytes, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * bytesPerSecond);
    const enough = bytes <= tokens;
    bucket.tokens = enough ? tokens - bytes : tokens;
    bucket.atMs = nowMs;
    return enough;
  }

  /** Tenants that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  #sweep(nowMs: number): void {
    this.#untilSweep = SWEEP_REQUESTS;
    for (const [tenant, bucket] of this.#buckets) {
      const { bytesPerSecond, burstBytes } = this.#rateOf(tenant);
      if (bucket.tokens + ((nowMs - bucket.atMs) / 1000) * bytesPerSecond >= burstBytes) this.#buckets.delete(tenant);
    }
  }
}
