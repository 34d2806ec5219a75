import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from '../../tests/property.ts';
import { LENGTH_PADDED, ProtoReader, ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from './protobuf.ts';

it('writes varints that read back, as short as they can be', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const out = new ProtoWriter(1);
      out.varint(value);
      const reader = new ProtoReader(out.finish());
      assert.equal(reader.varint(), value);
      assert.equal(reader.pos, Math.max(1, Math.ceil(value.toString(2).length / 7)));
    }),
  );
});

it('writes 64-bit integers as two words', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (value) => {
      const bits = BigInt.asUintN(64, value);
      const out = new ProtoWriter(1);
      out.varint64(Number(bits & 0xffffffffn), Number(bits >> 32n));
      let got = 0n;
      for (const [i, byte] of out.finish().entries()) got |= BigInt(byte & 0x7f) << BigInt(7 * i);
      assert.equal(BigInt.asUintN(64, got), bits);
    }),
  );
});

for (const room of [1, 2, 3, 4, LENGTH_PADDED])
  it(`patches lengths behind ${room} bytes of room`, () => {
    for (const size of [0, 1, 127, 128, 16_383, 16_384, 3_000_000]) {
      const out = new ProtoWriter(16);
      out.varintField(tagOf(1, WIRE_VARINT), 7);
      const mark = out.begin(tagOf(2, WIRE_BYTES), room);
      out.raw(Buffer.alloc(size, 'x'));
      out.end(mark, room);
      out.stringField(tagOf(3, WIRE_BYTES), 'é');
      const reader = new ProtoReader(out.finish());
      assert.deepEqual([reader.tag() >>> 3, reader.varint()], [1, 7]);
      assert.equal(reader.tag() >>> 3, 2);
      assert.ok(Buffer.alloc(size, 'x').equals(reader.bytesValue()));
      assert.deepEqual([reader.tag() >>> 3, reader.stringValue(), reader.tag()], [3, 'é', 0]);
    }
  });

for (const hex of [
  '08',
  '0aff',
  '0a05',
  '00',
  '0001',
  '0b',
  '0c',
  '0e',
  '0f',
  '08ffffffffffffffffffff01',
  '0d0000',
  '0900',
  '0affffffffffffffffff01',
])
  it(`refuses ${hex}`, () => {
    const reader = new ProtoReader(Buffer.from(hex, 'hex'));
    assert.throws(
      () => {
        for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) reader.skip(tag);
      },
      { code: 'undecodable' },
    );
  });
