import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutsDue, slicesPerTurn } from './cut-pace.ts';

test('tenants that began together are cut evenly, from a quarter of the log on', () => {
  const due = (age: number, left: number): number => cutsDue(new Array(left).fill(age), 8000);
  assert.deepEqual([due(0, 1000), due(2000, 1000), due(2400, 1000), due(6000, 1000)], [0, 0, 100, 1000]);
});

test('tenants that are spread over three quarters of the log are cut when they come to its end', () => {
  const ages = Array.from({ length: 1000 }, (_, i) => 6000 - 6 * i);
  assert.equal(cutsDue(ages, 8000), 1);
  assert.equal(
    cutsDue(
      ages.map((age) => age - 600),
      8000,
    ),
    0,
  );
});

test('one tenant alone is cut at three quarters', () => {
  assert.deepEqual([cutsDue([5999], 8000), cutsDue([6000], 8000)], [0, 1]);
  assert.equal(cutsDue([], 8000), 0);
});

test('of a log that goes on growing none is older than its deadline, however they began', () => {
  const max = 1_000_000;
  const ages: number[] = new Array(500).fill(0);
  let oldest = 0;
  let most = 0;
  for (let step = 0; step < 2000; step++) {
    for (let i = 0; i < ages.length; i++) ages[i] += 1000;
    const due = cutsDue(ages, max);
    most = Math.max(most, due);
    for (let cut = 0; cut < due; cut++) {
      ages.shift();
      ages.push(0);
    }
    oldest = Math.max(oldest, ages[0]);
  }
  assert.ok(oldest <= 0.75 * max, `${oldest}`);
  assert.ok(most <= 2, `${most} at once`);
});

test('cuts give way to requests while they keep up', () => {
  const slices = (due: number, logPart: number): number => slicesPerTurn(due, 10_000, logPart, 16);
  assert.deepEqual(
    [slices(0, 0.7), slices(100, 0.7), slices(1000, 0.7), slices(5000, 0.7), slices(0, 0.9)],
    [1, 1, 7, 16, 16],
  );
});
