import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LEASE_FILE } from '../block/objects.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Bucket } from '../store/bucket.ts';
import { memoryBucket } from '../store/memory.ts';
import { Leases } from './bucket-lease.ts';

const LEASE_MS = 60_000;

function setting(bucket: Bucket = memoryBucket()) {
  let nowMs = 0;
  const leases = (owner: string, over = bucket) => new Leases(over, { owner, leaseMs: LEASE_MS, nowMs: () => nowMs });
  return {
    bucket,
    leases,
    pass: (ms: number) => {
      nowMs += ms;
    },
    content: async () =>
      JSON.parse(Buffer.from((await bucket.get(`t/${LEASE_FILE}`, { bytesMax: 1 << 20 })).bytes).toString()),
  };
}

test('one has it until it is released', async () => {
  const { leases } = setting();
  const [a, b] = [leases('a'), leases('b')];
  const first = await a.take('t');
  assert.ok(first && !first.isSequel);
  assert.equal(await b.take('t'), undefined);
  assert.ok(await b.take('another tenant'));
  await first.release();
  const again = await a.take('t');
  assert.ok(again?.isSequel, 'nobody else has had it');
  await again.release();
  const second = await b.take('t');
  assert.ok(second && !second.isSequel);
  await second.release();
  const third = await a.take('t');
  assert.ok(third && !third.isSequel, 'somebody else has had it');
  await third.release();
});

test('of many who want it at once one gets it', async () => {
  const { leases } = setting();
  const taken = await Promise.all(Array.from({ length: 8 }, (_, i) => leases(`${i}`).take('t')));
  assert.equal(taken.filter((lease) => lease !== undefined).length, 1);
  for (const lease of taken) await lease?.release();
});

test('an owner that renews keeps it, one that does not loses it with what it would decide', async () => {
  const { leases, pass, content } = setting();
  const [a, b] = [leases('a'), leases('b')];
  const lease = (await a.take('t'))!;
  await lease.write({ writing: 'block' });
  assert.equal(await b.take('t'), undefined);
  pass(LEASE_MS - 1);
  await lease.write({});
  pass(LEASE_MS - 1);
  assert.equal(await b.take('t'), undefined, 'it has changed since');
  lease.check();
  pass(LEASE_MS);
  assert.throws(() => lease.check(), /may have taken/);
  const taken = await b.take('t');
  assert.deepEqual(taken?.plan.writing, 'block', 'what the owner before was about');
  await assert.rejects(lease.write({ writing: 'other' }));
  assert.ok(lease.lost.aborted);
  await assert.rejects(lease.write({}), /another process has taken/);
  assert.deepEqual((await content()).owner, 'b');
  await lease.release();
  assert.deepEqual((await content()).owner, 'b');
  await taken!.release();
  assert.deepEqual((await content()).owner, '');
});

test('a put whose answer is lost has succeeded', async () => {
  const { bucket, leases } = setting();
  let isLost = true;
  const lossy: Bucket = {
    ...bucket,
    async put(key, bytes, options) {
      const version = await bucket.put(key, bytes, options);
      if (isLost) throw new VivaceError('unavailable', 'no answer');
      return version;
    },
  };
  const lease = (await leases('a', lossy).take('t'))!;
  await lease.write({ writing: 'block' });
  isLost = false;
  await lease.write({ writing: 'other' });
  await lease.release();
  assert.ok(await leases('b').take('t'));
});

test('what is no lease is told, with what to do', async () => {
  const { bucket, leases } = setting();
  for (const text of ['no JSON', '{}', '{"owner":"a","beat":1,"commit":{}}']) {
    await bucket.put(`t/${LEASE_FILE}`, Buffer.from(text));
    await assert.rejects(leases('a').take('t'), /cannot read t\/compaction\.json of bucket in memory: .*; delete it/);
  }
});
