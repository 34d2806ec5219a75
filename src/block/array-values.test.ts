import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { bothFormsPaged, type SpanSpec, type Value } from '../query/segments.fixture.ts';
import type { Column, Segment, Want } from './segment.ts';

const KEY: Want = { of: 'attribute', space: 'span', key: 'a', type: 'any' };
const VALUES: (Value | undefined)[] = [
  undefined,
  ['x', 'y'],
  [],
  ['x', 'y'],
  [1n, 2n, 3n],
  [1.5],
  ['z'],
  [true, false],
  [['in']],
];

/** Bytes of values by row, in hex. */
function valuesOf(column: Column | undefined): Map<number, string> {
  const found = new Map<number, string>();
  for (const part of column?.parts ?? []) {
    const { start, end, bytes } = (part.dictionary ?? column!.dictionary)!;
    for (let row = 0, i = 0; i < part.count; row++) {
      if (part.at === undefined && part.present?.[row] === 0) continue;
      const code = part.codes![i];
      found.set(part.at?.[i] ?? part.first + row, Buffer.from(bytes.subarray(start(code), end(code))).toString('hex'));
      i++;
    }
  }
  return found;
}

test('a few values of lists are those of the whole column', async (t) => {
  const spans = Array.from({ length: 600 }, (_, i): SpanSpec => {
    const value = VALUES[(i * i + (i >> 3)) % VALUES.length];
    return { trace: 1 + (i >> 4), span: 1 + i, ...(value !== undefined && { attributes: { a: value } }) };
  });
  const { block } = await bothFormsPaged(t, 100, [spans]);
  const all = valuesOf(await block.column(KEY));
  assert.ok(all.size > 500);
  const check = async (segment: Segment, rows: Uint32Array): Promise<void> => {
    const some = valuesOf(await segment.column(KEY, undefined, { rows }));
    for (const row of rows) assert.equal(some.get(row), all.get(row), `row ${row} of ${rows}`);
    for (const [row, value] of some) assert.equal(value, all.get(row));
  };
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(599), { minLength: 1, maxLength: 80 }), (rows) =>
      check(block, Uint32Array.from(rows).sort()),
    ),
    { numRuns: 200 },
  );
});
