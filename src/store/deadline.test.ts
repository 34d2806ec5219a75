import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { type Bucket, bucketError, isNotFound } from './bucket.ts';
import { withDeadline } from './deadline.ts';
import { memoryBucket } from './memory.ts';

/** Reads of `slow` never end unless they are aborted. */
const below = memoryBucket();
const bucket: Bucket = {
  ...below,
  range(key, offset, length, call) {
    if (key !== 'slow') return below.range(key, offset, length, call);
    return new Promise((_, reject) =>
      call?.signal?.addEventListener('abort', () =>
        reject(bucketError('cancelled', `read ${key}`, 'm', 'nobody waits')),
      ),
    );
  },
};
await below.put('a', Buffer.from('abc'));

test('what takes too long is unavailable; what does not is as it is', async () => {
  const hasty = withDeadline(bucket, 20);
  await assert.rejects(hasty.range('slow', 0, 1), (error) => {
    assert.ok(error instanceof VivaceError);
    assert.equal(error.code, 'unavailable');
    assert.match(error.message, /^cannot read slow of .*: nothing came for 20 ms; /);
    return true;
  });
  const patient = withDeadline(bucket, 3_600_000);
  assert.equal(Buffer.from(await patient.range('a', 1, 2)).toString(), 'bc');
  await assert.rejects(patient.range('b', 0, 1), isNotFound);
  const stopping = new AbortController();
  const read = patient.range('slow', 0, 1, { signal: stopping.signal });
  stopping.abort();
  await assert.rejects(read, (error) => error instanceof VivaceError && error.code === 'cancelled');
});
