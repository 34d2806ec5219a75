import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { FolderLock } from './folder-lock.ts';

test('one has the lock; one that nobody touches is taken, and its owner finds out', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-lock-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'lock');
  const takers = await Promise.all(Array.from({ length: 5 }, () => FolderLock.take(file, 60_000)));
  const owners = takers.filter((lock) => lock !== undefined);
  assert.equal(owners.length, 1);
  await owners[0].check();
  assert.deepEqual(fs.readdirSync(folder), ['lock']);
  fs.utimesSync(file, 1, 1);
  const next = await FolderLock.take(file, 60_000);
  assert.ok(next !== undefined);
  await assert.rejects(owners[0].check(), /another process has taken/);
  await owners[0].release();
  await next.check();
  await next.release();
  assert.deepEqual(fs.readdirSync(folder), []);
});
