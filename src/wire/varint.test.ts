import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from '../../tests/property.ts';
import { ProtoWriter } from './protobuf.ts';
import { readVarint64, type Words } from './varint.ts';

it('reads what was written, in two words', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(5), (value, behind) => {
      const [low, high] = [Number(value & 0xffffffffn), Number(value >> 32n)];
      const out = new ProtoWriter(1);
      out.varint(7);
      out.varint64(low, high);
      const end = out.length;
      for (let i = 0; i < behind; i++) out.varint(1);
      const words: Words = { low: 1, high: 1 };
      assert.equal(readVarint64(out.bytes, 1, out.length, words), end);
      assert.deepEqual(words, { low, high });
      assert.equal(readVarint64(out.bytes, 1, end - 1, words), -1);
    }),
  );
});

for (const [hex, end, low, high] of [
  ['00', 1, 0, 0],
  ['8000', 2, 0, 0],
  ['ffffffffffffffffff01', 10, 0xffffffff, 0xffffffff],
  ['8080808080808080807f', 10, 0, 0x80000000],
  ['80808080808080808000', 10, 0, 0],
  ['', -1],
  ['80', -1],
  ['8080808080808080808000', -1],
] as const)
  it(`${hex || 'nothing'} ends at ${end}`, () => {
    const bytes = Buffer.from(hex, 'hex');
    const words: Words = { low: 0, high: 0 };
    assert.equal(readVarint64(bytes, 0, bytes.length, words), end);
    if (end > 0) assert.deepEqual(words, { low, high });
  });
