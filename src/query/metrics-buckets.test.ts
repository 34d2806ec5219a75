import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { fillBuckets, quantileOf } from './metrics-buckets.ts';

function bucketsOf(...values: number[]): number[] {
  const into = new Int32Array(values.length);
  fillBuckets(Float64Array.from(values), values.length, into);
  return [...into];
}

test('a value is in the bucket of the next power of two', () => {
  assert.deepEqual(bucketsOf(2, 3, 4, 5, 8, 9, 200, 256, 257), [1, 2, 2, 3, 3, 4, 8, 8, 9]);
  assert.deepEqual(bucketsOf(2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53, 2 ** 63, 2 ** 64), [32, 32, 33, 53, 63, 64]);
  fc.assert(
    fc.property(fc.integer({ min: 2, max: Number.MAX_SAFE_INTEGER }), (value) => {
      const [bucket] = bucketsOf(value);
      assert.ok(2 ** bucket >= value && 2 ** (bucket - 1) < value);
    }),
  );
});

test('quantiles', () => {
  // 20 ms and 200 ms (spec/traceql.md §9.4): the target is reached exactly by the first.
  const [low, high] = bucketsOf(20e6, 200e6);
  assert.equal(quantileOf(0.5, [low, high], [1, 1]), 2 ** low);
  assert.equal(quantileOf(1, [low, high], [1, 1]), 2 ** high);
  assert.equal(quantileOf(0, [low, high], [1, 1]), 2 ** low);
  // Between two buckets on a logarithmic scale; below the first one as if there was one more.
  assert.equal(quantileOf(0.5, [10], [4]), 2 ** 9.5);
  assert.equal(quantileOf(0.75, [10, 14], [2, 4]), 2 ** (10 + 4 * (3 / 4)));
  // Empty buckets are as if they were not there.
  assert.equal(quantileOf(0.75, [10, 12, 14], [2, 0, 4]), 2 ** 13);
  assert.equal(quantileOf(0.5, [10], [0]), 0);
  assert.equal(quantileOf(0.5, [], []), 0);
});
