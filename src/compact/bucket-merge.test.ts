import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { BucketList } from '../block/bucket-list.ts';
import { blockRef } from '../block/catalog.ts';
import type { BlockMeta } from '../block/meta.ts';
import type { Bucket } from '../store/bucket.ts';
import { memoryBucket } from '../store/memory.ts';
import { Leases } from './bucket-lease.ts';
import { BUCKET_MERGE_POINTS, fetchBlock, finishPlan, putMerged } from './bucket-merge.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-bucket-merge-'));
after(() => fs.rmSync(folder, { recursive: true }));

const LEASE_MS = 1000;

/** A bucket with three blocks, whose spans it counts in the lists of any number of processes. */
async function setting() {
  let nowMs = 1000;
  const bucket = memoryBucket();
  const metas = [1, 2, 4].map((spans) => metaOf(spans));
  for (const meta of metas) {
    await bucket.put(`t/${meta.blockID}/data.parquet`, Buffer.from(`data of ${meta.vivace.spans}`));
    await bucket.put(`t/${meta.blockID}/traces`, Buffer.from('x'));
    await bucket.put(`t/${meta.blockID}/meta.json`, Buffer.from(JSON.stringify(meta)));
  }
  return {
    bucket,
    metas,
    pass: (ms: number) => {
      nowMs += ms;
    },
    async process(name: string) {
      const list = listOf(bucket);
      await list.poll();
      return { list, leases: new Leases(bucket, { owner: name, leaseMs: LEASE_MS, nowMs: () => nowMs }) };
    },
    async keys(): Promise<string[]> {
      const keys: string[] = [];
      for await (const { key } of bucket.list('t/')) keys.push(key);
      return keys;
    },
  };
}

function metaOf(spans: number, replaces?: string[]): BlockMeta {
  return {
    ...{ format: 'vivace1', blockID: randomUUID(), tenantID: 't' },
    ...{ startTime: '2026-11-20T10:00:00Z', endTime: '2026-11-20T10:05:00Z' },
    ...{ totalObjects: 1, size: 9, compactionLevel: 0, encoding: 'none', indexPageSize: 0, totalRecords: 1 },
    ...{ dataEncoding: '', bloomShards: 0, footerSize: 1 },
    vivace: { spans, pageRows: 8, tracesBytes: 1, ...(replaces && { replaces }) },
  };
}

function listOf(bucket: Bucket): BucketList {
  return new BucketList(bucket, {
    ...{ concurrency: 5, tenantConcurrency: 1, listConcurrency: 1, jitterMs: 0, builder: false, pollMs: 60_000 },
    ...{ staleIndexMs: 0, fallback: true, errorsTolerated: 0, tenantsTolerated: 0, listMsMax: 60_000 },
    ...{ now: Date.now, random: () => 0, wait: async () => {}, onChange: () => {} },
    onProblem: (_tenant, _kind, text) => assert.fail(text),
  });
}

/** What was merged of the blocks, as a compactor leaves it in its scratch folder. */
function mergedOf(metas: BlockMeta[]) {
  const spans = metas.reduce((sum, { vivace }) => sum + vivace.spans, 0);
  const meta = metaOf(
    spans,
    metas.map(({ blockID }) => blockID),
  );
  const directory = fs.mkdtempSync(path.join(folder, 'merged-'));
  fs.writeFileSync(path.join(directory, 'data.parquet'), `data of ${spans}`);
  fs.writeFileSync(path.join(directory, 'traces'), 'x');
  return blockRef(meta, 't', directory);
}

function spansOf(list: BucketList): number {
  return [...list.tenants.get('t')!.live.values()].reduce((sum, { vivace }) => sum + vivace.spans, 0);
}

for (const point of BUCKET_MERGE_POINTS.slice(1))
  test(`interrupted at "${point}", while another one takes over: every span once, and no rubbish`, async () => {
    const { bucket, metas, pass, process, keys } = await setting();
    const [a, b] = [await process('a'), await process('b')];
    const slow = (await a.leases.take('t'))!;
    const watching = listOf(bucket);
    let other: Promise<void> | undefined;
    const merge = putMerged(bucket, a.list, slow, mergedOf(metas.slice(0, 2)), {
      reached(at) {
        if (at === point) other = takeOver();
      },
      // What A does goes on at the same time.
    });
    const takeOver = async (): Promise<void> => {
      assert.equal(await b.leases.take('t'), undefined);
      pass(LEASE_MS + 1);
      const lease = (await b.leases.take('t'))!;
      await finishPlan(bucket, b.list, lease, 't');
      await b.list.refresh('t');
      assert.equal(spansOf(b.list), 7);
      const free = [...b.list.tenants.get('t')!.live.values()].filter(({ compactionLevel }) => compactionLevel === 0);
      if (free.length === 3) await putMerged(bucket, b.list, lease, mergedOf(metas.slice(1)), {});
      await lease.release();
    };
    const [end] = await Promise.allSettled([merge]);
    await other;
    for (const list of [a.list, b.list, watching]) {
      await list.poll();
      assert.equal(spansOf(list), 7, end.status);
    }
    const folders = new Set((await keys()).map((key) => key.split('/')[1]));
    const listed = [...watching.tenants.get('t')!.live.keys(), ...watching.tenants.get('t')!.replaced.keys()];
    assert.deepEqual([...folders].sort(), [...listed, 'compaction.json'].sort());
  });

for (const point of BUCKET_MERGE_POINTS.slice(1))
  test(`killed at "${point}": the next one ends it`, async () => {
    const { bucket, metas, pass, process, keys } = await setting();
    const [a, b] = [await process('a'), await process('b')];
    const dead = (await a.leases.take('t'))!;
    const killed = new AbortController();
    await putMerged(bucket, a.list, dead, mergedOf(metas.slice(0, 2)), {
      signal: killed.signal,
      reached(at) {
        if (at === point) killed.abort();
      },
    }).catch(() => {});
    const isDecided = point === 'committed' || point === 'listed';
    assert.equal(await b.leases.take('t'), undefined);
    pass(LEASE_MS + 1);
    const lease = (await b.leases.take('t'))!;
    await finishPlan(bucket, b.list, lease, 't');
    await lease.release();
    await b.list.refresh('t');
    assert.deepEqual([b.list.tenants.get('t')!.live.size, spansOf(b.list)], [isDecided ? 2 : 3, 7]);
    assert.equal(new Set((await keys()).map((key) => key.split('/')[1])).size, isDecided ? 5 : 4);
  });

test('a block that has gone meanwhile does not come back', async () => {
  const { bucket, metas, process } = await setting();
  const { list, leases } = await process('a');
  const lease = (await leases.take('t'))!;
  await bucket.delete(`t/${metas[0].blockID}/meta.json`);
  await assert.rejects(putMerged(bucket, list, lease, mergedOf(metas), {}), /there is no such object/);
  await finishPlan(bucket, list, lease, 't');
  await lease.release();
  await list.refresh('t');
  assert.equal(spansOf(list), 6);
});

test('a block is fetched as it is, from this machine where that has it', async () => {
  const { bucket, metas } = await setting();
  const scratch = fs.mkdtempSync(path.join(folder, 'scratch-'));
  const ref = blockRef(metas[2], 't', undefined);
  const fetched = await fetchBlock(bucket, ref, { scratch, local: path.join(folder, 'nothing') });
  assert.equal(fs.readFileSync(path.join(fetched.directory, 'data.parquet'), 'utf8'), 'data of 4');
  assert.deepEqual(JSON.parse(fs.readFileSync(path.join(fetched.directory, 'meta.json'), 'utf8')), metas[2]);
  await bucket.delete(`t/${metas[2].blockID}/data.parquet`);
  await bucket.delete(`t/${metas[2].blockID}/traces`);
  const again = fs.mkdtempSync(path.join(folder, 'scratch-'));
  await fetchBlock(bucket, ref, { scratch: again, local: scratch });
  assert.equal(fs.readFileSync(path.join(again, 't', ref.id, 'data.parquet'), 'utf8'), 'data of 4');
});
