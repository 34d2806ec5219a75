import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { BucketList } from '../block/bucket-list.ts';
import { BlockCatalog } from '../block/catalog.ts';
import { type BlockMeta, rfc3339Seconds } from '../block/meta.ts';
import { memoryBucket } from '../store/memory.ts';
import { retainBucket } from './bucket-retention.ts';
import { retainFolder } from './local-retention.ts';
import { isExpired, type ByTenant } from './retention.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse('2026-11-21T12:00:00Z');
const KEEP: ByTenant = { base: 10 * HOUR_MS, own: new Map([['short', HOUR_MS]]) };

const blockId = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** A block whose last span ended so many hours ago. */
function metaOf(n: number, tenant: string, hours: number): BlockMeta {
  const end = NOW_MS / 1000 - 3600 * hours;
  return {
    format: 'vivace1',
    blockID: blockId(n),
    tenantID: tenant,
    startTime: rfc3339Seconds(end - 60),
    endTime: rfc3339Seconds(end),
    totalObjects: 1,
    size: 1000,
    compactionLevel: 0,
    encoding: 'none',
    indexPageSize: 0,
    totalRecords: 1,
    dataEncoding: '',
    bloomShards: 0,
    footerSize: 10,
    vivace: { spans: 1, pageRows: 8, tracesBytes: 10 },
  };
}

function folderOf(t: TestContext, metas: BlockMeta[]): { catalog: BlockCatalog; root: string } {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-retention-'));
  t.after(() => fs.rmSync(root, { recursive: true }));
  for (const meta of metas) {
    const directory = path.join(root, meta.tenantID, meta.blockID);
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, 'data.parquet'), Buffer.alloc(1000));
    fs.writeFileSync(path.join(directory, 'meta.json'), JSON.stringify(meta));
  }
  const catalog = new BlockCatalog(root);
  assert.deepEqual(catalog.refresh(), []);
  return { catalog, root };
}

const ids = (catalog: BlockCatalog, tenant: string): string[] => catalog.blocks(tenant).map(({ id }) => id);

test('the age of a block counts from when its last spans came', () => {
  const meta = metaOf(1, 't', 100);
  assert.equal(isExpired(meta, NOW_MS, 99 * HOUR_MS), true);
  assert.equal(isExpired(meta, NOW_MS, 101 * HOUR_MS), false);
  assert.equal(isExpired(meta, NOW_MS, Number.POSITIVE_INFINITY), false);
  meta.vivace.cut = rfc3339Seconds(NOW_MS / 1000 - 3600);
  assert.equal(isExpired(meta, NOW_MS, 99 * HOUR_MS), false);
  assert.equal(isExpired(metaOf(2, 't', -1e6), NOW_MS, HOUR_MS), false);
});

test('blocks of a folder leave the list first and go later, by tenant', async (t) => {
  const { catalog, root } = folderOf(t, [
    metaOf(1, 'long', 5),
    metaOf(2, 'long', 11),
    metaOf(3, 'short', 0.5),
    metaOf(4, 'short', 2),
  ]);
  const pass = (nowMs: number) =>
    retainFolder(catalog, { retentions: KEEP, compactedMs: HOUR_MS, diskPercentMax: 0, nowMs });
  const { version } = catalog;
  const first = await pass(NOW_MS);
  assert.deepEqual([first.marked, first.deleted, first.errors], [2, 0, []]);
  assert.notEqual(catalog.version, version);
  assert.deepEqual([ids(catalog, 'long'), ids(catalog, 'short')], [[blockId(1)], [blockId(3)]]);
  assert.ok(fs.existsSync(path.join(root, 'long', blockId(2), 'data.parquet')), 'those with an old list can read it');
  // Neither the same process nor one that starts now finds it again.
  catalog.refresh();
  assert.deepEqual(ids(catalog, 'long'), [blockId(1)]);
  const other = new BlockCatalog(root);
  assert.deepEqual(other.refresh(), []);
  assert.deepEqual(ids(other, 'long'), [blockId(1)]);

  assert.deepEqual((await pass(NOW_MS + HOUR_MS / 2)).deleted, 0);
  const last = await pass(NOW_MS + 1.1 * HOUR_MS);
  assert.deepEqual([last.deleted, last.deletedForSpace, last.errors], [2, 0, []]);
  assert.deepEqual(fs.readdirSync(path.join(root, 'long')), [blockId(1)]);
  assert.deepEqual(fs.readdirSync(path.join(root, 'short')), [blockId(3)]);
  assert.equal((await pass(NOW_MS + 1.1 * HOUR_MS)).deleted, 0);
});

test('a pass that was interrupted is finished by the next, and two at once do not mind each other', async (t) => {
  const metas = [metaOf(1, 'long', 11), metaOf(2, 'long', 12), metaOf(3, 'long', 1)];
  const { catalog, root } = folderOf(t, metas);
  const options = { retentions: KEEP, compactedMs: 0, diskPercentMax: 0, nowMs: NOW_MS };
  const interrupted = await retainFolder(catalog, {
    ...options,
    reached: () => {
      throw new Error('killed');
    },
  });
  assert.equal(interrupted.errors.length, 2);
  const other = new BlockCatalog(root);
  other.refresh();
  const later = { ...options, nowMs: NOW_MS + 1000 };
  const both = await Promise.all([retainFolder(catalog, later), retainFolder(other, later)]);
  assert.deepEqual(
    both.flatMap(({ errors }) => errors),
    [],
  );
  assert.deepEqual(fs.readdirSync(path.join(root, 'long')), [blockId(3)]);
});

test('while the disk is too full, what is in no list goes first, then the oldest', async (t) => {
  const { catalog, root } = folderOf(t, [
    metaOf(1, 'long', 11),
    metaOf(2, 'long', 3),
    metaOf(3, 'short', 0.5),
    metaOf(4, 'long', 5),
  ]);
  const bytesOf = (): number =>
    fs
      .readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0);
  const each = bytesOf() / 4;
  const pass = (diskPercentMax: number) =>
    retainFolder(catalog, {
      retentions: KEEP,
      compactedMs: HOUR_MS,
      diskPercentMax,
      nowMs: NOW_MS,
      disk: async () => ({ bytes: 10 * each, usedBytes: bytesOf() }),
    });
  assert.equal((await pass(50)).deletedForSpace, 0);
  assert.deepEqual(ids(catalog, 'long'), [blockId(2), blockId(4)]);
  assert.equal((await pass(35)).deletedForSpace, 1);
  assert.deepEqual([ids(catalog, 'long').length, ids(catalog, 'short').length], [2, 1]);
  assert.equal((await pass(25)).deletedForSpace, 1);
  assert.deepEqual([ids(catalog, 'long'), ids(catalog, 'short')], [[blockId(2)], [blockId(3)]]);
  assert.equal((await pass(0.1)).deletedForSpace, 2);
  assert.equal(bytesOf(), 0);
});

test('blocks of a bucket leave the list first and go later; those of others are left alone', async () => {
  let nowMs = NOW_MS;
  const bucket = memoryBucket(() => nowMs);
  const put = async (tenant: string, id: string, meta: object, name = 'meta.json'): Promise<void> => {
    for (const file of ['data.parquet', 'traces'])
      await bucket.put(`${tenant}/${id}/${file}`, Buffer.from('x'.repeat(10)));
    await bucket.put(`${tenant}/${id}/${name}`, Buffer.from(JSON.stringify(meta)));
  };
  await put('long', blockId(1), metaOf(1, 'long', 5));
  await put('long', blockId(2), metaOf(2, 'long', 11));
  await put('short', blockId(3), metaOf(3, 'short', 2));
  await put('long', blockId(4), { format: 'vParquet4', blockID: blockId(4) }, 'meta.compacted.json');
  await put('long', blockId(5), { format: 'vParquet4', blockID: blockId(5) });
  const gone: string[] = [];
  const list = new BucketList(bucket, {
    ...{ concurrency: 5, tenantConcurrency: 1, listConcurrency: 1, jitterMs: 0, builder: true, pollMs: 60_000 },
    ...{ staleIndexMs: 0, fallback: true, errorsTolerated: 0, listMsMax: 1000, tenantsTolerated: 0, random: () => 0 },
    now: () => nowMs,
    wait: async () => {},
    onChange: (_tenant, _added, removed) => gone.push(...removed),
    onProblem: (_tenant, _kind, text) => assert.fail(text),
  });
  await list.poll();
  let cacheFails = false;
  const forgotten: string[] = [];
  const forgetParts = async (objects: { key: string; size: number }[]): Promise<void> => {
    if (cacheFails) throw new Error('the cache is down');
    forgotten.push(...objects.map(({ key, size }) => `${key} ${size}`));
  };
  const pass = (reached?: () => void) =>
    retainBucket(bucket, list, {
      ...{ retentions: KEEP, compactedMs: HOUR_MS, concurrency: 3, nowMs },
      ...(reached && { reached }),
      forgetParts,
    });
  const keys = async (): Promise<string[]> => {
    const all: string[] = [];
    for await (const { key } of bucket.list('')) if (!key.includes('index')) all.push(key);
    return all;
  };
  const killed = await pass(() => {
    throw new Error('killed');
  });
  assert.deepEqual([killed.marked, killed.errors.length], [0, 2]);
  const first = await pass();
  assert.deepEqual([first.marked, first.deleted, first.errors], [2, 0, []]);
  assert.deepEqual(gone.sort(), [blockId(2), blockId(3)]);
  assert.ok((await keys()).includes(`long/${blockId(2)}/data.parquet`));
  assert.ok(!(await keys()).includes(`long/${blockId(2)}/meta.json`));
  nowMs += 1.5 * HOUR_MS;
  await list.poll();
  assert.equal(gone.length, 2);
  const interrupted = await pass(() => {
    throw new Error('killed');
  });
  assert.deepEqual([interrupted.deleted, interrupted.errors.length], [0, 2]);
  cacheFails = true;
  const failed = await pass();
  assert.equal(failed.deleted, 0);
  assert.deepEqual(failed.errors, ['cannot remove parts of blocks that have gone from caches: the cache is down']);
  cacheFails = false;
  assert.deepEqual([(await pass()).deleted, (await pass()).deleted], [2, 0]);
  assert.deepEqual(
    forgotten.sort(),
    [`long/${blockId(2)}`, `short/${blockId(3)}`].flatMap((block) => [
      `${block}/data.parquet 1000`,
      `${block}/traces 10`,
    ]),
  );
  assert.deepEqual(
    [...new Set((await keys()).map((key) => key.split('/')[1]))].sort(),
    [blockId(1), blockId(4), blockId(5)],
    'what is not ours stays',
  );
  await list.poll();
  assert.deepEqual([...list.tenants.get('long')!.live.keys()], [blockId(1)]);
});
