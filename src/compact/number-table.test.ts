import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NumberTable } from './number-table.ts';

test('equal numbers of several dictionaries have one code, and NaNs and zeros are told apart by their bits', () => {
  const table = new NumberTable();
  const doubles = { type: 'double' as const, values: Float64Array.of(1.5, Number.NaN, 0, -0), count: 4 };
  const more = { type: 'double' as const, values: Float64Array.of(-0, 1.5, Number.NaN), count: 3 };
  assert.deepEqual(
    [0, 1, 2, 3].map((entry) => table.intern(doubles, entry)),
    [0, 1, 2, 3],
  );
  assert.deepEqual(
    [0, 1, 2].map((entry) => table.intern(more, entry)),
    [3, 0, 1],
  );
  const values = new Float64Array(table.words.slice(0, 2 * table.count).buffer);
  assert.deepEqual([...values], [1.5, Number.NaN, 0, -0]);
});

test('at 2,048 numbers it is full, and what it has it still finds', () => {
  const table = new NumberTable();
  const values = { type: 'int64' as const, words: Int32Array.from({ length: 4098 }, (_, i) => i), count: 2049 };
  for (let entry = 0; entry < 2048; entry++) assert.equal(table.intern(values, entry), entry);
  assert.equal(table.intern(values, 2048), undefined);
  assert.equal(table.intern(values, 2047), 2047);
});
