import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { memoryBucket } from '../store/memory.ts';
import { changeBucketDeletions, readBucketDeletions } from './bucket-deleted-traces.ts';
import { folderId, readFolders, removeFolder, writeFolder } from './data-folders.ts';

test('of many who delete traces at once none undoes what another one did', async () => {
  const bucket = memoryBucket();
  assert.equal((await readBucketDeletions(bucket, 't')).traces.size, 0);
  const ids = Array.from({ length: 12 }, (_, i) => i.toString(16).padStart(32, '0'));
  await Promise.all(
    ids.map((id) =>
      changeBucketDeletions(bucket, 't', (traces) => {
        traces.set(id, { deletedMs: 7 });
        return true;
      }),
    ),
  );
  const { traces, version } = await readBucketDeletions(bucket, 't');
  assert.deepEqual([...traces.keys()].sort(), ids);
  await changeBucketDeletions(bucket, 't', () => false);
  assert.equal((await readBucketDeletions(bucket, 't')).version, version, 'nothing is written for nothing');
});

test('what is damaged is told, not overwritten', async () => {
  const bucket = memoryBucket();
  await bucket.put('t/deleted-traces.json', Buffer.from('{'));
  await assert.rejects(
    changeBucketDeletions(bucket, 't', () => true),
    /cannot read t\/deleted-traces\.json of .*; repair or delete it/,
  );
});

test('a folder keeps its name, and says what it holds', async (t) => {
  const wal = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-folder-id-'));
  t.after(() => fs.rmSync(wal, { recursive: true }));
  const id = folderId(wal);
  assert.equal(folderId(wal), id);
  // As a machine leaves it that loses its power.
  fs.writeFileSync(path.join(wal, 'folder-id'), '');
  assert.match(folderId(wal), /^[0-9a-f]{16}$/);
  const bucket = memoryBucket();
  await writeFolder(bucket, id, { t: { ab: 'holds' } });
  const [folder] = await readFolders(bucket);
  assert.deepEqual([folder.id, folder.host, folder.holdings], [id, os.hostname(), { t: { ab: 'holds' } }]);
  await removeFolder(bucket, id);
  assert.deepEqual(await readFolders(bucket), []);
});
