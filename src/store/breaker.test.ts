import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { withBreaker } from './breaker.ts';
import { isNotFound, isUnavailable } from './bucket.ts';
import { memoryBucket } from './memory.ts';

test('reads fail at once while the bucket cannot be reached, and are tried again later', async () => {
  let nowMs = 0;
  let isDown = false;
  let tries = 0;
  const told: string[] = [];
  const below = memoryBucket();
  await below.put('a', Buffer.from('abc'));
  const bucket = withBreaker(
    {
      ...below,
      async range(...args) {
        tries++;
        if (isDown) throw new VivaceError('unavailable', 'no answer');
        return below.range(...args);
      },
    },
    { failuresMax: 3, pauseMs: 1000, nowMs: () => nowMs, onPause: ({ message }) => told.push(message) },
  );
  const read = () => bucket.range('a', 0, 1);
  isDown = true;
  for (let i = 0; i < 10; i++) await assert.rejects(read(), isUnavailable);
  assert.equal(tries, 3);
  assert.deepEqual(told, ['no answer']);
  nowMs += 1000;
  await assert.rejects(read(), isUnavailable);
  await assert.rejects(read(), isUnavailable);
  assert.equal(tries, 4);
  isDown = false;
  nowMs += 1000;
  for (let i = 0; i < 5; i++) await read();
  // What is not there says nothing about the bucket, and failures count one after the other.
  for (let i = 0; i < 5; i++) await assert.rejects(bucket.range('b', 0, 1), isNotFound);
  for (let i = 0; i < 5; i++) {
    isDown = true;
    await assert.rejects(read(), isUnavailable);
    isDown = false;
    await read();
  }
});
