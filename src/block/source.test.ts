import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import type { BlockRef } from './catalog.ts';
import {
  type ByteRange,
  coalesce,
  fetchingSource,
  fewer,
  GAP_BYTES_MAX,
  PIECE_BYTES_MAX,
  PREPARED_PIECES_MAX,
  WASTED_BYTES_MAX,
} from './source.ts';

test('near ranges become one, long ones are cut', () => {
  const cases: [ranges: [number, number][], joined: [number, number][]][] = [
    [[], []],
    [[[5, 0]], []],
    [
      [
        [0, 10],
        [10, 10],
      ],
      [[0, 20]],
    ],
    [
      [
        [100, 10],
        [0, 10],
      ],
      [[0, 110]],
    ],
    [
      [
        [0, 10],
        [10 + GAP_BYTES_MAX, 10],
      ],
      [[0, 20 + GAP_BYTES_MAX]],
    ],
    [
      [
        [0, 10],
        [11 + GAP_BYTES_MAX, 10],
      ],
      [
        [0, 10],
        [11 + GAP_BYTES_MAX, 10],
      ],
    ],
    [
      [
        [0, 100],
        [20, 10],
      ],
      [[0, 100]],
    ],
    [
      [[7, PIECE_BYTES_MAX + 1]],
      [
        [7, PIECE_BYTES_MAX],
        [7 + PIECE_BYTES_MAX, 1],
      ],
    ],
  ];
  for (const [ranges, joined] of cases)
    assert.deepEqual(
      coalesce(ranges.map(([offset, length]) => ({ offset, length }))),
      joined.map(([offset, length]) => ({ offset, length })),
    );
});

test('many pieces become few, unless too much would be fetched in vain', () => {
  const far = Array.from({ length: 20 }, (_, i) => ({ offset: i * 200_000, length: 10_000 }));
  assert.equal(fewer(far).length, PREPARED_PIECES_MAX);
  const farther = far.map(({ offset, length }) => ({ offset: offset * 20, length }));
  const some = fewer(farther);
  assert.ok(some.length > PREPARED_PIECES_MAX);
  const fetched = some.reduce((sum, { length }) => sum + length, 0);
  assert.ok(fetched <= WASTED_BYTES_MAX + 20 * 10_000);
});

test('what was prepared is not fetched again, until it is forgotten', async () => {
  const ref = { id: 'block', tenant: 't', meta: { vivace: { tracesBytes: 3 } } } as BlockRef;
  const fetched: ByteRange[] = [];
  const source = fetchingSource(ref, async (_, range) => {
    fetched.push(range);
    return Uint8Array.from({ length: range.length }, (_, i) => (range.offset + i) & 0xff);
  });
  await source.prepare!([
    { offset: 100, length: 50 },
    { offset: 2_000_000, length: 50 },
  ]);
  assert.equal(fetched.length, 2);
  const read = await source.fetch([{ offset: 2_000_010, length: 20 }]);
  assert.equal(read(2_000_010, 1)[0], 2_000_010 & 0xff);
  assert.equal(fetched.length, 2);
  await source.fetch([{ offset: 140, length: 20 }]);
  assert.equal(fetched.length, 3);
  source.forget!();
  await source.fetch([{ offset: 100, length: 50 }]);
  assert.equal(fetched.length, 4);
});

test('what will be wanted soon is told in pieces, and fetched all the same', async () => {
  const ref = { id: 'block', tenant: 't', meta: { size: 5_000_000, vivace: { tracesBytes: 3 } } } as BlockRef;
  const warmed: unknown[] = [];
  const source = fetchingSource(
    ref,
    async (_, { length }) => new Uint8Array(length),
    (...told) => warmed.push(told),
  );
  source.warm!([
    { offset: 10, length: 10 },
    { offset: 0, length: 10 },
  ]);
  assert.deepEqual(warmed, [['data.parquet', { offset: 0, length: 20 }, 5_000_000]]);
  assert.equal((await source.fetch([{ offset: 0, length: 20 }]))(0, 20).length, 20);
});

test('whatever was fetched can be read, and nothing else', async () => {
  const ref = { id: 'block', tenant: 't', meta: { vivace: { tracesBytes: 3 } } } as BlockRef;
  const byteAt = (at: number): number => (at * 31) & 0xff;
  const source = fetchingSource(ref, async (_, { offset, length }) =>
    Uint8Array.from({ length }, (_, i) => byteAt(offset + i)),
  );
  const range = fc.record({ offset: fc.nat(3_000_000), length: fc.integer({ min: 1, max: 40_000 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 6 }), async (ranges) => {
      const read = await source.fetch(ranges);
      for (const { offset, length } of ranges) {
        const bytes = read(offset, length);
        assert.equal(bytes.length, length);
        for (const i of [0, length >> 1, length - 1]) assert.equal(bytes[i], byteAt(offset + i));
      }
      assert.throws(() => read(9_000_000, 1), /was not fetched/);
    }),
    { numRuns: 50 },
  );
});
