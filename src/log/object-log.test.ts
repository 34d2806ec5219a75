import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListedObject } from '../store/bucket.ts';
import { memoryBucket } from '../store/memory.ts';
import { type LogObjects, ObjectLog } from './object-log.ts';
import { sayAlive, takeOverObjectLogs } from './object-ownership.ts';
import { replayCommit } from './replay.ts';

const NOBODY = new Set<string>();

/** The objects of a bucket in memory whose clock the test sets. */
function objectsAt(clock: { nowMs: number }): LogObjects {
  const bucket = memoryBucket(() => clock.nowMs);
  return {
    put: (name, bytes, only) => bucket.put(name, bytes, { only }),
    get: (name) => bucket.get(name, { bytesMax: 1 << 20 }),
    async list(prefix) {
      const all: ListedObject[] = [];
      for await (const object of bucket.list(prefix)) all.push(object);
      return all;
    },
    delete: (name) => bucket.delete(name),
  };
}

function openLog(objects: LogObjects, clock: { nowMs: number }): ObjectLog {
  return new ObjectLog({ objects, instance: 'a', groupMs: 500, nowMs: () => clock.nowMs, onProblem: assert.fail });
}

async function commit(log: ObjectLog, ...bodies: string[]): Promise<void> {
  for (const body of bodies) log.add('t', Buffer.from(body));
  await log.commit();
}

test('a commit is one object, with every record in its order', async () => {
  const clock = { nowMs: 0 };
  const objects = objectsAt(clock);
  const log = openLog(objects, clock);
  await commit(log, 'one', 'two');
  await commit(log, 'three');
  const names = (await objects.list('a/')).map(({ key }) => key);
  assert.deepEqual(names, ['a/00000001.log', 'a/00000002.log']);
  const seen: string[] = [];
  for (const name of names)
    assert.deepEqual(
      await replayCommit((await objects.get(name)).bytes, ({ sequence, tenant, body }) => {
        seen.push(`${sequence} ${tenant} ${Buffer.from(body)}`);
      }),
      [],
    );
  assert.deepEqual(seen, ['1 t one', '2 t two', '3 t three']);
});

test('the first request does not wait, the next ones wait for their time or for four mebibytes', async () => {
  const clock = { nowMs: 10_000 };
  const log = openLog(objectsAt(clock), clock);
  log.add('t', Buffer.from('1'));
  await log.gather();
  await log.commit();
  clock.nowMs += 100;
  log.add('t', Buffer.from('2'));
  let gathered = false;
  const waiting = log.gather().then(() => {
    gathered = true;
  });
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.ok(!gathered);
  log.add('t', Buffer.alloc(4 * 1024 * 1024));
  await waiting;
});

test('objects stay until the blocks with their spans are in the bucket', async () => {
  const clock = { nowMs: 0 };
  const objects = objectsAt(clock);
  const log = openLog(objects, clock);
  await commit(log, 'one');
  log.blockCut('x');
  await commit(log, 'two');
  await log.release(1);
  log.uploaded('other');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await objects.list('a/')).length, 2);
  log.uploaded('x');
  while (log.segments > 1) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    (await objects.list('a/')).map(({ key }) => key),
    ['a/00000002.log'],
  );
});

test('what comes after everything was released stays, and goes in its time, also after a release of nothing', async () => {
  const clock = { nowMs: 0 };
  const objects = objectsAt(clock);
  const log = openLog(objects, clock);
  const names = async (): Promise<string[]> => (await objects.list('a/')).map(({ key }) => key);
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  await log.release(0);
  await turns();
  await commit(log, 'one');
  log.blockCut('block');
  await log.release(Number.POSITIVE_INFINITY);
  await commit(log, 'two');
  log.uploaded('block');
  await turns();
  assert.deepEqual(await names(), ['a/00000002.log']);
  await log.release(1);
  await turns();
  assert.deepEqual(await names(), ['a/00000002.log']);
  const written = log.writtenBytes;
  assert.ok(written > log.bytes, 'what was deleted counts as written');
  await log.release(2);
  await turns();
  assert.deepEqual(await names(), []);
  assert.deepEqual([log.bytes, log.writtenBytes], [0, written]);
});

test('the log of a silent process has one heir, and the heir of a silent heir another', async () => {
  const clock = { nowMs: 1_000_000 };
  const objects = objectsAt(clock);
  await sayAlive(objects, 'a', undefined);
  await commit(openLog(objects, clock), 'one');
  clock.nowMs += 59_000;
  const b = await sayAlive(objects, 'b', undefined);
  assert.deepEqual(await takeOverObjectLogs(objects, 'b', NOBODY), []);
  clock.nowMs += 2000;
  await sayAlive(objects, 'b', b);
  await sayAlive(objects, 'c', undefined);
  const taken = await Promise.all(['b', 'c'].map((own) => takeOverObjectLogs(objects, own, NOBODY)));
  assert.deepEqual(taken.flat(), [{ instance: 'a', names: ['a/00000001.log'] }]);
  const heir = taken[0].length > 0 ? 'b' : 'c';
  assert.deepEqual(await takeOverObjectLogs(objects, heir, new Set(['a'])), [], 'it is at it');
  clock.nowMs += 61_000;
  await sayAlive(objects, 'd', undefined);
  const again = await takeOverObjectLogs(objects, 'd', NOBODY);
  assert.deepEqual(again.map(({ instance }) => instance).sort(), ['a', 'b', 'c']);
  await assert.rejects(sayAlive(objects, 'b', b), /was taken over by another process/);
});
