/**
 * Values by powers of two, and quantiles estimated from how many are in each (spec/traceql.md §9.4). Bucket b holds the
 * values above 2^(b - 1) up to 2^b; smaller ones than 2 are in none.
 */

/**
 * into[k] becomes the smallest b with 2^b ≥ values[k], which is at least 2. Read off the double itself: its exponent, and one
 * more unless it is a power of two.
 */
export function fillBuckets(values: Float64Array, count: number, into: Int32Array): void {
  const words = new Int32Array(values.buffer, values.byteOffset, 2 * count);
  for (let k = 0; k < count; k++) {
    const high = words[2 * k + 1];
    const rest = (high & 0xfffff) | words[2 * k];
    into[k] = (high >> 20) - 1023 + ((rest | -rest) >>> 31);
  }
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
