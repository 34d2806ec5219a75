import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { decodeDeltaInt64, encodeDeltaInt64 } from './delta.ts';
import { decodeDeltaDistances, decodeDeltaInt64At, DISTANCES_ROOM, WIDTH_MAX } from './delta-distances.ts';
import { sumBits } from './delta-sums.ts';
import { generate, generateTotals } from './delta-sums-generate.ts';
import { sumOfBits } from './delta-totals.ts';
import { createSink, written } from './sink.ts';

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

test('delta-sums.ts and delta-totals.ts are what their generator prints', () => {
  assert.equal(readFileSync(new URL('./delta-sums.ts', import.meta.url), 'utf8'), generate());
  assert.equal(readFileSync(new URL('./delta-totals.ts', import.meta.url), 'utf8'), generateTotals());
});

test('differences of every width are added up', () => {
  for (let width = 0; width <= WIDTH_MAX; width++) {
    const mask = 2 ** width - 1;
    const values = Array.from({ length: 16 }, (_, i) => (i % 3 === 0 ? mask : (i * 0x9e3779b97f5) % (mask + 1)));
    const bytes = new Uint8Array(3 + 2 * width + 1).fill(0xaa);
    let number = 0n;
    for (const value of values.toReversed()) number = (number << BigInt(width)) | BigInt(value);
    for (let i = 0; i < 2 * width; i++) bytes[3 + i] = Number((number >> BigInt(8 * i)) & 255n);
    const out = new Float64Array(18).fill(7);
    let sum = 1000;
    const sums = values.map((value) => (sum += value - 5));
    assert.equal(sumBits(width, viewOf(bytes), 3, out, 1, 2, 1000, -5), sum);
    assert.deepEqual([...out], [7, ...sums, 7], `width ${width}`);
    assert.equal(sumOfBits(width, viewOf(bytes), 3, 2, 1000, -5), sum);
  }
  assert.throws(() => sumBits(45, viewOf(new Uint8Array(64)), 0, new Float64Array(8), 0, 1, 0, 0), RangeError);
  assert.throws(() => sumOfBits(45, viewOf(new Uint8Array(64)), 0, 1, 0, 0), RangeError);
});

const nearby = fc.record({
  base: fc.constantFrom(0n, 1_700_000_000_000_000_000n, -5n, 2n ** 63n - 2n ** 46n, 0xffffff00n),
  spread: fc.constantFrom(1n, 1000n, 2n ** 31n, 2n ** 33n, 2n ** 40n, 2n ** 43n, 2n ** 50n, 2n ** 62n),
  parts: fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }), { minLength: 1, maxLength: 600 }),
  every: fc.constantFrom(1, 2, 31, 32, 33, 200),
});

test('some values of a delta page are those of the whole page', () => {
  let exact = 0;
  fc.assert(
    fc.property(nearby, ({ base, spread, parts, every }) => {
      const values = BigInt64Array.from(parts, (part) => base + (BigInt(part) * spread) / 1_000_000n);
      const sink = createSink(1);
      encodeDeltaInt64(sink, new Int32Array(values.buffer), 0, values.length);
      const bytes = new Uint8Array(written(sink));
      const wanted = Uint32Array.from({ length: Math.ceil(values.length / every) }, (_none, i) => i * every);
      const out = new BigInt64Array(wanted.length);
      const words = new Int32Array(out.buffer);
      if (!decodeDeltaInt64At(bytes, viewOf(bytes), 0, bytes.length, values.length, wanted, wanted.length, words, 0))
        return;
      exact++;
      assert.deepEqual(
        out,
        BigInt64Array.from(wanted, (index) => values[index]),
      );
    }),
    { numRuns: 600 },
  );
  assert.ok(exact > 300, `${exact} of 600 without the long way`);
});

test('distances are those of the values from the first one', () => {
  let exact = 0;
  fc.assert(
    fc.property(nearby, fc.boolean(), ({ base, spread, parts }, isCut) => {
      const values = BigInt64Array.from(parts, (part) => base + (BigInt(part) * spread) / 1_000_000n);
      const sink = createSink(1);
      encodeDeltaInt64(sink, new Int32Array(values.buffer), 0, values.length);
      // Some writers leave out what follows the last value: zeros here, which need not be there.
      let { length } = sink;
      if (isCut) while (length > 0 && written(sink)[length - 1] === 0 && isEnough(written(sink), length - 1)) length--;
      const bytes = new Uint8Array(written(sink).subarray(0, length));
      const out = new Float64Array(values.length + DISTANCES_ROOM);
      const first = decodeDeltaDistances(bytes, viewOf(bytes), 0, bytes.length, values.length, out);
      if (first === undefined) return;
      exact++;
      const start = (BigInt(first.high) << 32n) | BigInt(first.low >>> 0);
      const found = Array.from(values, (_value, i) => start + BigInt(out[i]));
      assert.deepEqual(found, [...values]);

      function isEnough(whole: Uint8Array, shorter: number): boolean {
        const words = new Int32Array(2 * values.length);
        try {
          decodeDeltaInt64(whole.subarray(0, shorter), viewOf(whole), 0, shorter, values.length, words);
          return true;
        } catch {
          return false;
        }
      }
    }),
    { numRuns: 600 },
  );
  assert.ok(exact > 300, `${exact} of 600 are exact`);
});
