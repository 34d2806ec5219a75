import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Column, Part } from '../block/segment.ts';
import { eachValue } from './gather.ts';

test('rows find their values in every part, of whatever kind the parts are', () => {
  const parts: Part[] = [
    { first: 0, rows: 10, count: 2, at: Uint32Array.of(3, 7), ints: Int32Array.of(103, 107) },
    { first: 10, rows: 10, count: 3, at: Uint32Array.of(11, 12, 19), ints: Int32Array.of(111, 112, 119) },
    { first: 20, rows: 3, count: 2, present: Uint8Array.of(1, 0, 1), ints: Int32Array.of(120, 122) },
    { first: 23, rows: 2, count: 2, ints: Int32Array.of(123, 124) },
    { first: 25, rows: 5, count: 1, at: Uint32Array.of(29), ints: Int32Array.of(129) },
  ];
  const column: Column = { kind: 'int32', parts };
  const rows = Uint32Array.of(3, 4, 12, 19, 20, 21, 22, 24, 29);
  const found: number[] = [];
  eachValue(column, rows, (slot, part, index) => {
    assert.equal(part.ints![index], 100 + rows[slot]);
    found.push(rows[slot]);
  });
  assert.deepEqual(found, [3, 12, 19, 20, 22, 24, 29]);
});
