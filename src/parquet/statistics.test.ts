import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { type Cell, cellOf, valuesOf } from './file.fixture.ts';
import { boundsOfCodes, boundsOfValues, encodeBound, keysAreInexact, keysOf } from './statistics.ts';

const schemas = {
  int64: { name: 'c', type: 'int64', repetition: 'required' },
  bytes: { name: 'c', type: 'bytes', repetition: 'required' },
  double: { name: 'c', type: 'double', repetition: 'required' },
  fixed: { name: 'c', type: 'fixed', width: 9, repetition: 'required' },
} as const;

const byte = fc.oneof(fc.constantFrom(0, 0x7f, 0x80, 0xff), fc.nat(255)).map((code) => String.fromCharCode(code));
const cells: fc.Arbitrary<{ type: keyof typeof schemas; list: Cell[] }> = fc.oneof(
  fc.record({
    type: fc.constant('int64' as const),
    list: fc.array(
      fc.oneof(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.bigInt({ min: 2n ** 60n, max: 2n ** 60n + 99n }),
      ),
      { minLength: 1 },
    ),
  }),
  fc.record({ type: fc.constant('double' as const), list: fc.array(fc.double({ noNaN: true }), { minLength: 1 }) }),
  fc.record({
    type: fc.constant('fixed' as const),
    list: fc.array(fc.string({ unit: byte, minLength: 9, maxLength: 9 }), { minLength: 1 }),
  }),
  fc.record({
    type: fc.constant('bytes' as const),
    list: fc.array(
      fc
        .tuple(fc.constantFrom('', 'http://shop/', 'http://'), fc.string({ unit: byte }))
        .map((parts) => parts.join('')),
      { minLength: 1 },
    ),
  }),
);

const key = (cell: Cell): Cell => (cell === 0 ? 0 : cell);

test('bounds are the smallest and the largest value, of values and of codes', () => {
  fc.assert(
    fc.property(cells, fc.nat(200), ({ type, list }, repeats) => {
      const values = valuesOf(schemas[type], list);
      // Latin-1 strings compare as their bytes do; -0 and 0 are one bound.
      const sorted = [...list].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      const least = key(sorted[0]);
      const most = key(sorted.at(-1)!);
      const plain = boundsOfValues(values, keysAreInexact(values), keysOf(values, 0, list.length), 0, list.length);
      assert.deepEqual([key(cellOf(values, plain.min)), key(cellOf(values, plain.max))], [least, most]);
      const codes = Uint32Array.from({ length: list.length + repeats }, (_, i) => i % list.length);
      const keys = keysOf(values, 0, list.length);
      const coded = boundsOfCodes(
        values,
        list.length,
        keysAreInexact(values),
        keys,
        codes,
        0,
        codes.length,
        new Uint32Array(list.length),
        1,
      );
      assert.deepEqual([key(cellOf(values, coded.min)), key(cellOf(values, coded.max))], [least, most]);
    }),
    { numRuns: 500 },
  );
});

test('a cut bound still bounds, and text stays text', () => {
  const character = fc.constantFrom('a', '\x7f', 'é', '߿', '߿', '￿', '\u{10ffff}', '\ud7ff', '~');
  fc.assert(
    fc.property(fc.string({ unit: character, maxLength: 90 }), fc.boolean(), (word, text) => {
      const whole = Buffer.from(word);
      const values = { type: 'bytes', bytes: whole, offsets: Uint32Array.of(0, whole.length), count: 1 } as const;
      const lower = encodeBound(values, 0, false, text);
      const upper = encodeBound(values, 0, true, text);
      assert.ok(Buffer.compare(lower.bytes, whole) <= 0);
      assert.ok(Buffer.compare(upper.bytes, whole) >= 0);
      assert.equal(lower.exact, Buffer.compare(lower.bytes, whole) === 0);
      assert.equal(upper.exact, Buffer.compare(upper.bytes, whole) === 0);
      assert.ok(lower.bytes.length <= 64);
      if (text) new TextDecoder('utf-8', { fatal: true }).decode(upper.bytes);
      if (text) new TextDecoder('utf-8', { fatal: true }).decode(lower.bytes);
    }),
    { numRuns: 1000 },
  );
});

test('bytes that cannot be raised are kept whole', () => {
  const bytes = new Uint8Array(70).fill(0xff);
  const values = { type: 'bytes', bytes, offsets: Uint32Array.of(0, 70), count: 1 } as const;
  assert.deepEqual(encodeBound(values, 0, true, false), { bytes, exact: true });
  assert.deepEqual(encodeBound(values, 0, false, false).bytes.length, 64);
});
