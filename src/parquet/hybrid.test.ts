import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { VivaceError } from '../runtime/errors.ts';
import { bitWidth, decodeCodes, decodeLevels, encodeCodes, encodeLevels, putRepeat } from './hybrid.ts';
import { createSink, written } from './sink.ts';

/** Values of at most `width` bits in runs of all lengths. */
const coded = fc.integer({ min: 0, max: 32 }).chain((width) =>
  fc.record({
    width: fc.constant(width),
    codes: fc
      .array(
        fc.tuple(fc.integer({ min: 0, max: 2 ** Math.min(width, 32) - 1 }), fc.oneof(fc.constant(1), fc.nat(100))),
        {
          maxLength: 60,
        },
      )
      .map((runs) => Uint32Array.from(runs.flatMap(([code, length]) => Array<number>(length).fill(code)))),
  }),
);

const encode = (codes: Uint32Array, width: number): Uint8Array<ArrayBuffer> => {
  const sink = createSink(1);
  encodeCodes(sink, codes, 0, codes.length, width);
  return new Uint8Array(written(sink));
};
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

test('codes come back, from us and from hyparquet', () => {
  fc.assert(
    fc.property(coded, ({ width, codes }) => {
      const bytes = encode(codes, width);
      const out = new Uint32Array(codes.length);
      assert.equal(decodeCodes(bytes, viewOf(bytes), 0, bytes.length, width, codes.length, out), bytes.length);
      assert.deepEqual(out, codes);
      if (width > 24) return;
      const theirs = new Uint32Array(codes.length);
      readRleBitPackedHybrid({ view: viewOf(bytes), offset: 0 }, width, theirs, bytes.length);
      assert.deepEqual(theirs, codes);
    }),
    { numRuns: 500 },
  );
});

test('levels come back with their count', () => {
  fc.assert(
    fc.property(coded, fc.constantFrom(1, 2), ({ codes }, width) => {
      const levels = Uint8Array.from(codes, (code) => code & (2 ** width - 1));
      const sink = createSink(1);
      encodeLevels(sink, levels, 0, levels.length, width);
      const bytes = written(sink);
      const out = new Uint8Array(levels.length);
      const top = 2 ** width - 1;
      const equal = decodeLevels(bytes, 0, bytes.length, width, levels.length, top, out);
      assert.equal(equal, levels.filter((level) => level === top).length);
      if (equal < levels.length) assert.deepEqual(out, levels);
    }),
    { numRuns: 500 },
  );
});

test('a long run costs a few bytes, alternating values their bits', () => {
  assert.equal(encode(new Uint32Array(1_000_000).fill(7), 3).length, 4);
  assert.equal(
    encode(
      Uint32Array.from({ length: 800 }, (_, i) => i & 1),
      1,
    ).length,
    102,
  );
  assert.ok(
    encode(
      Uint32Array.from({ length: 8000 }, (_, i) => i >> 3),
      10,
    ).length < 4000,
  );
});

test('levels of one run leave the array alone', () => {
  const sink = createSink();
  putRepeat(sink, 100, 1, 1);
  const out = new Uint8Array(100);
  assert.equal(decodeLevels(written(sink), 0, sink.length, 1, 100, 1, out), 100);
  assert.deepEqual(out, new Uint8Array(100));
});

test('a last group without its padding is read', () => {
  const codes = Uint32Array.from({ length: 11 }, (_, i) => i);
  const bytes = encode(codes, 4).subarray(0, 1 + 6);
  const out = new Uint32Array(11);
  decodeCodes(bytes, viewOf(bytes), 0, bytes.length, 4, 11, out);
  assert.deepEqual(out, codes);
});

test('what cannot be is refused', () => {
  const refuse = (width: number, count: number, ...bytes: number[]) => {
    const data = Uint8Array.from(bytes);
    const isUndecodable = (error: unknown) => error instanceof VivaceError && error.code === 'undecodable';
    const out = new Uint32Array(count);
    assert.throws(() => decodeCodes(data, viewOf(data), 0, data.length, width, count, out), isUndecodable);
    const levels = new Uint8Array(count);
    if (width <= 8 && width > 0)
      assert.throws(() => decodeLevels(data, 0, data.length, width, count, 99, levels), isUndecodable);
  };
  refuse(1, 1); // nothing at all
  refuse(2, 8, 3, 0); // a group of two bytes with one
  refuse(2, 8, 16); // a repeat without its value
  refuse(2, 8, 0, 1, 0, 1); // runs of nothing
  refuse(2, 8, 1, 1, 1, 1);
  refuse(2, 8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1); // a header without end
  refuse(33, 8, 16, 0, 0, 0, 0, 0);
});

test('bit widths', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 255, 256, 0xffffffff].map(bitWidth), [0, 1, 2, 2, 3, 8, 9, 32]);
});
