import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { BucketList } from '../block/bucket-list.ts';
import type { BlockMeta } from '../block/meta.ts';
import type { Bucket } from '../store/bucket.ts';
import { memoryBucket } from '../store/memory.ts';
import { Leases } from './bucket-lease.ts';
import { retainBucket } from './bucket-retention.ts';
import { quarantineInBucket } from './quarantine-in-bucket.ts';

function metaOf(replaces?: string[]): BlockMeta {
  return {
    ...{ format: 'vivace1', blockID: randomUUID(), tenantID: 't' },
    ...{ startTime: '2026-11-20T10:00:00Z', endTime: '2026-11-20T10:05:00Z' },
    ...{ totalObjects: 1, size: 9, compactionLevel: 0, encoding: 'none', indexPageSize: 0, totalRecords: 1 },
    ...{ dataEncoding: '', bloomShards: 0, footerSize: 1 },
    vivace: { spans: 1, pageRows: 8, tracesBytes: 1, ...(replaces && { replaces }) },
  };
}

async function putBlock(bucket: Bucket, meta: BlockMeta, name = 'meta.json'): Promise<void> {
  for (const file of ['data.parquet', 'traces']) await bucket.put(`t/${meta.blockID}/${file}`, Buffer.from('x'));
  await bucket.put(`t/${meta.blockID}/${name}`, Buffer.from(JSON.stringify(meta)));
}

/** What a process lists: ids of blocks, and of those that it says are damaged; never neither while one of them changes. */
function listing(bucket: Bucket, builder: boolean) {
  const seen = { live: new Set<string>(), damaged: new Set<string>(), lost: [] as string[] };
  const list = new BucketList(bucket, {
    ...{ concurrency: 5, tenantConcurrency: 1, listConcurrency: 1, jitterMs: 0, builder, pollMs: 0 },
    ...{ staleIndexMs: 0, fallback: true, errorsTolerated: 0, tenantsTolerated: 0, listMsMax: 60_000 },
    ...{ now: Date.now, random: () => 0, wait: async () => {} },
    onChange(_tenant, added, removed) {
      for (const { blockID } of added) seen.live.add(blockID);
      for (const id of removed) {
        seen.live.delete(id);
        if (!seen.damaged.has(id)) seen.lost.push(id);
      }
    },
    onDamaged: (_tenant, damaged) => {
      for (const id of seen.damaged) if (!damaged.has(id) && !seen.live.has(id)) seen.lost.push(id);
      seen.damaged = new Set(damaged.keys());
    },
    onProblem: (_tenant, _kind, text) => assert.fail(text),
  });
  return { list, seen };
}

test('a damaged block is missing everywhere from then on, and what it had replaced is back', async () => {
  const bucket = memoryBucket();
  const [first, second] = [metaOf(), metaOf()];
  const merged = metaOf([first.blockID, second.blockID]);
  await putBlock(bucket, first, 'meta.compacted.json');
  await putBlock(bucket, merged);
  const [builder, finder, other] = [listing(bucket, true), listing(bucket, false), listing(bucket, false)];
  for (const { list } of [builder, finder, other]) await list.poll();
  finder.list.condemn('t', merged.blockID);
  assert.deepEqual([[...finder.seen.live], [...finder.seen.damaged]], [[], [merged.blockID]]);
  await builder.list.poll();
  await finder.list.poll();
  assert.deepEqual([[...finder.seen.live], [...finder.seen.damaged]], [[], [merged.blockID]], 'others have it still');
  const leases = new Leases(bucket, { owner: 'a', leaseMs: 1000, nowMs: () => 0 });
  const lease = (await leases.take('t'))!;
  const { signal } = new AbortController();
  assert.ok(await quarantineInBucket(bucket, lease, merged, signal));
  assert.equal(await quarantineInBucket(bucket, lease, merged, signal), false);
  await lease.release();
  for (const { list } of [builder, finder, other]) await list.poll();
  const late = listing(bucket, false);
  await late.list.poll();
  for (const { list, seen } of [builder, finder, other, late]) {
    // The files of the second one were gone already.
    assert.deepEqual([[...seen.live], [...seen.damaged], seen.lost], [[first.blockID], [merged.blockID], []]);
    assert.equal(list.tenants.get('t')!.damaged.get(merged.blockID)!.meta!.blockID, merged.blockID);
  }
  // Whoever repairs it has it listed again.
  const { bytes } = await bucket.get(`t/${merged.blockID}/meta.damaged.json`, { bytesMax: 10_000 });
  await bucket.put(`t/${merged.blockID}/meta.json`, bytes);
  await bucket.delete(`t/${merged.blockID}/meta.damaged.json`);
  for (const { list } of [builder, finder, other]) await list.poll();
  for (const { seen } of [builder, finder, other])
    assert.deepEqual([[...seen.live], [...seen.damaged]], [[merged.blockID], []]);
});

test('a damaged block goes when it has been there for as long as blocks are kept', async () => {
  const bucket = memoryBucket();
  const meta = metaOf();
  await putBlock(bucket, meta, 'meta.damaged.json');
  const { list, seen } = listing(bucket, true);
  await list.poll();
  const forgotten: string[] = [];
  const options = {
    ...{ retentions: { base: 1000, own: new Map() }, compactedMs: 0, concurrency: 1 },
    forgetParts: async (objects: { key: string }[]) => void forgotten.push(...objects.map(({ key }) => key)),
  };
  assert.equal((await retainBucket(bucket, list, { ...options, nowMs: Date.now() })).deleted, 0);
  assert.equal((await retainBucket(bucket, list, { ...options, nowMs: Date.now() + 5000 })).deleted, 1);
  assert.deepEqual([...seen.damaged], []);
  assert.ok(forgotten.includes(`t/${meta.blockID}/data.parquet`));
  for await (const { key } of bucket.list(`t/${meta.blockID}/`)) assert.fail(key);
});
