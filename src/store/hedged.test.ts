import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import type { Bucket } from './bucket.ts';
import { hedged } from './hedged.ts';
import { memoryBucket } from './memory.ts';

/** A bucket whose nth read does what the nth letter says: `.` answers, `-` hangs until it is aborted, `x` fails. */
async function scripted(script: string) {
  const inner = memoryBucket();
  await inner.put('a', Buffer.from('hello'));
  const seen = { reads: 0, aborted: 0, hedges: 0 };
  const bucket: Bucket = {
    ...inner,
    async range(key, offset, length, options) {
      switch (script[seen.reads++]) {
        case '.':
          return inner.range(key, offset, length);
        case 'x':
          throw new VivaceError('unavailable', `read ${seen.reads} failed`);
        default:
          return new Promise((_, reject) => {
            options?.signal?.addEventListener('abort', () => {
              seen.aborted++;
              reject(new VivaceError('cancelled', 'aborted'));
            });
          });
      }
    },
  };
  return { seen, bucket: hedged(bucket, { afterMs: 5, upTo: 3, onHedge: () => seen.hedges++ }) };
}

const read = (bucket: Bucket, signal?: AbortSignal) =>
  bucket.range('a', 1, 3, { signal }).then((bytes) => Buffer.from(bytes).toString());

test('a read that hangs is asked again, and aborted when another one answers', async () => {
  for (const [script, reads] of [
    ['.', 1],
    ['-.', 2],
    ['--.', 3],
  ] as const) {
    const { bucket, seen } = await scripted(script);
    assert.equal(await read(bucket), 'ell');
    assert.deepEqual(seen, { reads, aborted: reads - 1, hedges: reads - 1 });
  }
});

test('a failure is told when nothing else is under way', async () => {
  const { bucket, seen } = await scripted('x');
  await assert.rejects(read(bucket), /read 1 failed/);
  assert.equal(seen.reads, 1);
  const second = await scripted('-x.');
  assert.equal(await read(second.bucket), 'ell');
});

test('who asked can end it', async () => {
  const { bucket, seen } = await scripted('---');
  const controller = new AbortController();
  const answer = read(bucket, controller.signal);
  controller.abort();
  await assert.rejects(answer, /aborted/);
  assert.equal(seen.reads, seen.aborted);
});

test('without a time there is no hedging', () => {
  const inner = memoryBucket();
  assert.equal(hedged(inner, { afterMs: 0, upTo: 2, onHedge: () => {} }), inner);
});
