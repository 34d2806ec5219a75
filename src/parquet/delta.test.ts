import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js';
import { VivaceError } from '../runtime/errors.ts';
import {
  decodeDeltaBytes,
  decodeDeltaInt32,
  decodeDeltaInt64,
  decodeDeltaLength,
  encodeDeltaInt32,
  encodeDeltaInt64,
  encodeDeltaLength,
} from './delta.ts';
import { createSink, putBytes, written } from './sink.ts';

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const isUndecodable = (error: unknown) => error instanceof VivaceError && error.code === 'undecodable';

const int32s = fc.array(
  fc.oneof(fc.integer(), fc.integer({ min: 0, max: 9 }), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1)),
  { minLength: 1, maxLength: 400 },
);
const int64s = fc.array(
  fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.bigInt({ min: 0n, max: 2n ** 33n }),
    fc.bigInt({ min: 0n, max: 9n }),
    fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, -1n, 0xffffffffn, 0x100000000n),
  ),
  { minLength: 1, maxLength: 400 },
);

test('int32 come back, from us and from hyparquet', () => {
  fc.assert(
    fc.property(int32s, (numbers) => {
      const values = Int32Array.from(numbers);
      const sink = createSink(1);
      encodeDeltaInt32(sink, values, 0, values.length);
      const bytes = new Uint8Array(written(sink));
      const out = new Int32Array(values.length);
      assert.equal(decodeDeltaInt32(bytes, viewOf(bytes), 0, bytes.length, values.length, out), bytes.length);
      assert.deepEqual(out, values);
      const theirs = new Int32Array(values.length);
      deltaBinaryUnpack({ view: viewOf(bytes), offset: 0 }, values.length, theirs);
      assert.deepEqual(theirs, values);
    }),
    { numRuns: 300 },
  );
});

test('int64 come back, from us and from hyparquet', () => {
  fc.assert(
    fc.property(int64s, fc.boolean(), (numbers, sorted) => {
      const values = BigInt64Array.from(numbers);
      if (sorted) values.sort();
      const sink = createSink(1);
      encodeDeltaInt64(sink, new Int32Array(values.buffer), 0, values.length);
      const bytes = new Uint8Array(written(sink));
      const out = new BigInt64Array(values.length);
      const words = new Int32Array(out.buffer);
      assert.equal(decodeDeltaInt64(bytes, viewOf(bytes), 0, bytes.length, values.length, words), bytes.length);
      assert.deepEqual(out, values);
      const theirs = new BigInt64Array(values.length);
      deltaBinaryUnpack({ view: viewOf(bytes), offset: 0 }, values.length, theirs);
      assert.deepEqual(theirs, values);
    }),
    { numRuns: 300 },
  );
});

test('deltas are as narrow as their spread', () => {
  const words = new Int32Array(BigInt64Array.from({ length: 1025 }, (_, i) => (1n << 60n) | BigInt(i * 1000)).buffer);
  const sink = createSink();
  encodeDeltaInt64(sink, words, 0, 1025);
  assert.ok(sink.length < 100, `${sink.length} bytes for 1025 evenly spaced times`);
});

test('a last miniblock without its padding is read', () => {
  const sink = createSink();
  encodeDeltaInt32(sink, Int32Array.of(0, 255, 0, 255), 0, 4);
  // Three deltas of 9 bits need four bytes of the miniblock's 36.
  const bytes = written(sink).subarray(0, sink.length - 32);
  const out = new Int32Array(4);
  decodeDeltaInt32(bytes, viewOf(bytes), 0, bytes.length, 4, out);
  assert.deepEqual([...out], [0, 255, 0, 255]);
  const short = bytes.subarray(0, bytes.length - 1);
  assert.throws(() => decodeDeltaInt32(short, viewOf(short), 0, short.length, 4, out), isUndecodable);
});

test('byte arrays by length, and by prefix', () => {
  const texts = ['', 'front', 'frontend', 'frontend', 'cart', 'f'];
  const whole = Buffer.from(texts.join(''));
  const offsets = Uint32Array.from(texts, (_, i) => texts.slice(0, i).join('').length);
  const ends = Uint32Array.of(...offsets, whole.length);
  const sink = createSink(1);
  encodeDeltaLength(sink, whole, ends, 1, 6);
  const out = new Uint32Array(6);
  const bytes = new Uint8Array(written(sink));
  assert.equal(
    Buffer.from(decodeDeltaLength(bytes, viewOf(bytes), 0, bytes.length, 5, out)).toString(),
    whole.toString(),
  );
  assert.deepEqual(
    out,
    ends.subarray(1).map((end) => end),
  );

  // Prefix lengths, suffix lengths, suffixes.
  sink.length = 0;
  encodeDeltaInt32(sink, Int32Array.of(0, 0, 5, 8, 0, 0), 0, 6);
  encodeDeltaInt32(sink, Int32Array.of(0, 5, 3, 0, 4, 1), 0, 6);
  putBytes(sink, Buffer.from('frontendcartf'));
  const prefixed = new Uint8Array(written(sink));
  const decoded = new Uint32Array(7);
  const all = decodeDeltaBytes(prefixed, viewOf(prefixed), 0, prefixed.length, 6, decoded, 1000);
  assert.equal(Buffer.from(all).toString(), whole.toString());
  assert.deepEqual(decoded, ends);
  const bounded = () => decodeDeltaBytes(prefixed, viewOf(prefixed), 0, prefixed.length, 6, decoded, 20);
  assert.throws(bounded, isUndecodable, 'the bound on what prefixes make of little');
});

test('what cannot be is refused', () => {
  const refuse = (count: number, ...bytes: number[]) => {
    const data = Uint8Array.from(bytes);
    const out = new Int32Array(count * 2);
    assert.throws(() => decodeDeltaInt32(data, viewOf(data), 0, data.length, count, out), isUndecodable);
    assert.throws(() => decodeDeltaInt64(data, viewOf(data), 0, data.length, count, out), isUndecodable);
  };
  refuse(5);
  refuse(5, 128, 1, 4, 6, 0); // another count
  refuse(5, 128, 1, 0, 5, 0); // no miniblocks
  refuse(5, 128, 1, 3, 5, 0); // which do not divide the block
  refuse(5, 0xff, 0xff, 0xff, 0xff, 0x0f, 4, 5, 0); // a block of 2^32 values
  refuse(5, 128, 1, 4, 5, 0); // no block
  refuse(5, 128, 1, 4, 5, 0, 0, 65, 0, 0, 0, 1, 1, 1, 1, 1); // 65 bits
  refuse(5, 128, 1, 4, 5, 0, 0, 32, 0, 0, 0, 1, 1); // a miniblock cut off
  refuse(5, 128, 1, 4, 5, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1);
});
