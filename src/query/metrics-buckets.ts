/**
 * Values by powers of two, and quantiles estimated from how many are in each (spec/traceql.md §9.4). Bucket b holds the
 * values above 2^(b - 1) up to 2^b; smaller ones than 2 are in none.
 */

/** The smallest b with 2^b ≥ value, of a whole number of at least 2. */
export function bucketOf(value: number): number {
  if (value <= 4294967296) return 32 - Math.clz32(value - 1);
  const high = Math.ceil(value / 4294967296) - 1;
  return high < 4294967296 ? 64 - Math.clz32(high) : 64;
}

/**
 * The value below which the share `quantile` of all lies: the upper bound of a bucket, or a point between two on a
 * logarithmic scale. `counts[i]` values are in bucket `buckets[i]`, ascending. 0 when there are none.
 */
export function quantileOf(quantile: number, buckets: readonly number[], counts: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < buckets.length; i++) total += counts[i];
  if (total === 0) return 0;
  const target = Math.max(1, Math.ceil(quantile * total));
  let consumed = 0;
  let below: number | undefined;
  for (let i = 0; i < buckets.length; i++) {
    if (counts[i] === 0) continue;
    const high = buckets[i];
    if (consumed + counts[i] === target) return 2 ** high;
    if (consumed + counts[i] > target) {
      const low = below ?? high - 1;
      return 2 ** (low + (high - low) * ((target - consumed) / counts[i]));
    }
    consumed += counts[i];
    below = high;
  }
  return 2 ** below!;
}
