import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { xxhash64 as theirHash } from 'hyparquet/src/xxhash.js';
import { VivaceError } from '../runtime/errors.ts';
import { mayContain, parseBloomFilter, putBloomFilter } from './bloom.ts';
import { valuesOf } from './file.fixture.ts';
import { createSink, written } from './sink.ts';
import { xxhash64 } from './xxhash64.ts';

const hashOf = (bytes: Uint8Array, from = 0, to = bytes.length): bigint => {
  const hash = new Int32Array(2);
  xxhash64(bytes, from, to, hash);
  return (BigInt(hash[1] >>> 0) << 32n) | BigInt(hash[0] >>> 0);
};

test('xxHash64 of known texts', () => {
  assert.equal(hashOf(new Uint8Array(0)), 0xef46db3751d8e999n);
  assert.equal(hashOf(Buffer.from('a')), 0xd24ec4f1a98c6e5bn);
  assert.equal(hashOf(Buffer.from('abc')), 0x44bc2cf5ad770999n);
});

test('xxHash64 of any bytes is hyparquet’s', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(3), (bytes, from) => {
      const start = Math.min(from, bytes.length);
      assert.equal(hashOf(bytes, start), theirHash(bytes.slice(start)));
    }),
    { numRuns: 500 },
  );
});

test('a filter holds its values and few others', () => {
  const count = 2000;
  const ids = Array.from({ length: count }, (_, i) => `${i}`.padStart(16, '0'));
  const sink = createSink();
  putBloomFilter(sink, valuesOf({ name: 'id', type: 'fixed', width: 16, repetition: 'required' }, ids), 10);
  assert.ok(sink.length < (count * 10) / 8 + 64, `${sink.length} bytes`);
  const filter = parseBloomFilter(written(sink));
  for (const id of ids) assert.ok(mayContain(filter, Buffer.from(id)));
  let wrong = 0;
  for (let i = 0; i < 10_000; i++) if (mayContain(filter, Buffer.from(`other${i}`.padStart(16, '0')))) wrong++;
  assert.ok(wrong < 250, `${wrong} of 10000 values that are not there`);
});

test('a filter that is cut short or of unknown make is refused', () => {
  const sink = createSink();
  putBloomFilter(sink, valuesOf({ name: 'id', type: 'int32', repetition: 'required' }, [1, 2]), 10);
  const bytes = written(sink);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => parseBloomFilter(bytes.subarray(0, length)), VivaceError);
  }
  const unknown = bytes.slice();
  unknown[3] = 0x2c; // the algorithm's union: case 2
  assert.throws(() => parseBloomFilter(unknown), VivaceError);
});
