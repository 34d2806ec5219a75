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

test('while one read tries whether the bucket can be reached again, the others fail at once', async () => {
  let nowMs = 0;
  const answers: PromiseWithResolvers<Uint8Array<ArrayBuffer>>[] = [];
  const bucket = withBreaker(
    {
      ...memoryBucket(),
      range() {
        const answer = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
        answers.push(answer);
        return answer.promise;
      },
    },
    { failuresMax: 2, pauseMs: 1000, nowMs: () => nowMs, onPause() {} },
  );
  const read = () => bucket.range('a', 0, 1);
  const fail = (at: number) => answers[at].reject(new VivaceError('unavailable', `no answer ${at}`));
  const first = [read(), read()];
  fail(0);
  fail(1);
  for (const each of first) await assert.rejects(each, isUnavailable);
  nowMs += 1000;
  const trial = read();
  await assert.rejects(read(), /no answer 1/);
  fail(2);
  await assert.rejects(trial, /no answer 2/);
  nowMs += 1000;
  const another = read();
  assert.equal(answers.length, 4);
  answers[3].resolve(new Uint8Array(1));
  await another;
  const next = [read(), read()];
  assert.equal(answers.length, 6);
  for (const at of [4, 5]) answers[at].resolve(new Uint8Array(1));
  await Promise.all(next);
});
