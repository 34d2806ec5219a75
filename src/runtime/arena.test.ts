import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena } from './arena.ts';

const MIB = 1024 * 1024;

test('arrays are zeros, do not overlap, and are aligned for their type, also when memory is used again', () => {
  const arena = new Arena(8 * MIB);
  for (let round = 0; round < 3; round++) {
    const arrays = [
      arena.uint8(3),
      arena.int32(100_000),
      arena.uint8(0),
      arena.uint32(2 * MIB),
      arena.uint8(5 * MIB + 1),
    ];
    for (const array of arrays) assert.ok(array.every((value) => value === 0));
    for (const [index, array] of arrays.entries()) array.fill(index + 1);
    for (const [index, array] of arrays.entries()) assert.ok(array.every((value) => value === index + 1));
    arena.reset();
  }
});

test('what is made in a scope is taken back at its end, what was made before is not', () => {
  const arena = new Arena(8 * MIB);
  const before = arena.uint8(10).fill(1);
  const inner = arena.scoped(() => arena.uint8(6 * MIB).fill(2));
  const after = arena.uint8(6 * MIB);
  assert.equal(after.buffer, inner.buffer, 'the same memory');
  assert.ok(after.every((value) => value === 0));
  assert.ok(before.every((value) => value === 1));
  assert.throws(() => arena.scoped(() => assert.fail('as the work says')), /as the work says/);
});

test('memory beyond what is kept is given back', () => {
  const arena = new Arena(4 * MIB);
  const first = arena.uint8(3 * MIB);
  const second = arena.uint8(3 * MIB);
  arena.reset();
  assert.equal(second.length, 0);
  assert.equal(first.length, 3 * MIB);
  assert.equal(arena.uint8(1).buffer, first.buffer);
  arena.release();
  assert.equal(first.length, 0);
});
