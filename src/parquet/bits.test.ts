import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { packBits, unpackBits } from './bits.ts';
import { generate } from './bits-generate.ts';

test('bits.ts is what its generator prints', () => {
  assert.equal(readFileSync(new URL('./bits.ts', import.meta.url), 'utf8'), generate());
});

test('every width packs as the format says, and unpacks', () => {
  for (let width = 0; width <= 32; width++) {
    const mask = 2 ** width - 1;
    const values = Uint32Array.from({ length: 32 }, (_, i) =>
      i % 3 === 0 ? mask : (Math.imul(i + 1, 0x9e3779b1) >>> 0) % (mask + 1),
    );
    const bytes = new Uint8Array(3 + 4 * width + 1).fill(0xaa);
    const view = new DataView(bytes.buffer);
    packBits(width, values, 8, view, 3, 2);
    // Value i is bits [i × width, (i + 1) × width) of the bytes, counted from the low bits of the first.
    let number = 0n;
    for (let i = 15; i >= 0; i--) number = (number << BigInt(width)) | BigInt(values[8 + i]);
    for (let i = 0; i < 2 * width; i++)
      assert.equal(bytes[3 + i], Number((number >> BigInt(i * 8)) & 255n), `byte ${i}`);
    assert.equal(bytes[2], 0xaa);
    assert.equal(bytes[3 + 2 * width], 0xaa);
    const out = new Uint32Array(20).fill(7);
    unpackBits(width, view, 3, out, 2, 2);
    assert.deepEqual([...out], [7, 7, ...values.subarray(8, 24), 7, 7], `width ${width}`);
  }
  assert.throws(() => unpackBits(33, new DataView(new ArrayBuffer(8)), 0, new Uint32Array(8), 0, 1), RangeError);
});
