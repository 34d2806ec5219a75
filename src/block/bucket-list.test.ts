import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import type { Bucket } from '../store/bucket.ts';
import { counted } from '../store/counted.ts';
import { memoryBucket } from '../store/memory.ts';
import { BucketList, type BucketListOptions, shardsOf } from './bucket-list.ts';
import { BLOCK_FORMAT, type BlockMeta } from './meta.ts';
import { INDEX_FILE, parseTenantIndex } from './tenant-index.ts';

const POLL_MS = 60_000;

function metaOf(id = randomUUID() as string): BlockMeta {
  return {
    format: BLOCK_FORMAT,
    blockID: id,
    tenantID: 't',
    startTime: '2026-11-20T10:00:00Z',
    endTime: '2026-11-20T10:05:00Z',
    totalObjects: 1,
    size: 1000,
    compactionLevel: 0,
    encoding: 'none',
    indexPageSize: 0,
    totalRecords: 1,
    dataEncoding: '',
    bloomShards: 0,
    footerSize: 100,
    vivace: { spans: 1, pageRows: 8, tracesBytes: 100 },
  };
}

/** A bucket, a clock, and pollers over them that keep what they were told. */
function setting() {
  let nowMs = Date.parse('2026-11-20T11:00:00Z');
  const operations: string[] = [];
  const bucket = counted(
    memoryBucket(() => nowMs),
    (operation) => operations.push(operation),
  );
  const poller = (more: Partial<BucketListOptions> = {}, over: Bucket = bucket) => {
    const blocks = new Map<string, Set<string>>();
    const problems: string[] = [];
    const list = new BucketList(over, {
      concurrency: 50,
      tenantConcurrency: 0,
      listConcurrency: 3,
      jitterMs: 0,
      builder: true,
      pollMs: POLL_MS,
      staleIndexMs: 0,
      fallback: true,
      errorsTolerated: 1,
      tenantsTolerated: 1,
      listMsMax: 1000,
      now: () => nowMs,
      random: () => 0.5,
      wait: async () => {},
      onChange(tenant, added, removed) {
        const ids = blocks.get(tenant) ?? new Set();
        blocks.set(tenant, ids);
        for (const { blockID } of added) ids.add(blockID);
        for (const id of removed) assert.ok(ids.delete(id), `${id} was removed and not known`);
      },
      onProblem: (tenant, kind, text) => problems.push(`${tenant} ${kind}: ${text}`),
      ...more,
    });
    return { list, problems, of: (tenant: string) => [...(blocks.get(tenant) ?? [])].sort() };
  };
  return {
    bucket,
    operations,
    poller,
    pass: (ms: number) => {
      nowMs += ms;
    },
    async put(tenant: string, meta = metaOf()): Promise<string> {
      await bucket.put(`${tenant}/${meta.blockID}/data.parquet`, Buffer.from('x'));
      await bucket.put(`${tenant}/${meta.blockID}/meta.json`, Buffer.from(JSON.stringify(meta)));
      return meta.blockID;
    },
  };
}

test('blocks come, are merged, and go; what has no meta is no block', async () => {
  const { bucket, poller, put, pass } = setting();
  const { list, of } = poller();
  const [a, b] = [await put('t'), await put('t')].sort();
  await bucket.put(`t/${randomUUID()}/data.parquet`, Buffer.from('unfinished'));
  await bucket.put('t/not-a-block/meta.json', Buffer.from('{}'));
  const other = await put('u');
  await list.poll();
  assert.deepEqual(of('t'), [a, b]);
  assert.deepEqual(of('u'), [other]);
  pass(POLL_MS);
  await bucket.put(`t/${a}/meta.compacted.json`, Buffer.from('{}'));
  await list.poll();
  assert.deepEqual(of('t'), [b]);
  assert.deepEqual([...list.tenants.get('t')!.compacted.keys()], [a]);
  pass(POLL_MS);
  for (const id of [a, b]) for await (const { key } of bucket.list(`t/${id}/`)) await bucket.delete(key);
  await list.poll();
  assert.deepEqual(of('t'), []);
});

test('one builds the index, the others read it: a few requests, however many blocks', async () => {
  const { operations, poller, put, bucket, pass } = setting();
  const ids: string[] = [];
  for (let i = 0; i < 200; i++) ids.push(await put('t'));
  const builder = poller();
  await builder.list.poll();
  operations.length = 0;
  const reader = poller({ builder: false });
  await reader.list.poll();
  assert.deepEqual(reader.of('t'), ids.sort());
  assert.deepEqual(operations, ['GET', 'GET']);
  const second = poller();
  operations.length = 0;
  await second.list.poll();
  assert.deepEqual(operations, ['GET', 'GET']);
  pass(POLL_MS);
  const late = await put('t');
  operations.length = 0;
  await builder.list.poll();
  // Tenants, index, listing, the one new meta, the index in both forms.
  assert.deepEqual(operations, ['GET', 'GET', 'GET', 'GET', 'PUT', 'PUT']);
  const { live } = parseTenantIndex((await bucket.get(`t/${INDEX_FILE}`, { bytesMax: 1 << 20 })).bytes);
  assert.equal(live.length, 201);
  await reader.list.poll();
  assert.ok(reader.of('t').includes(late));
  // Tempo's form says of our blocks only that they are there.
  await bucket.delete(`t/${INDEX_FILE}`);
  const other = poller({ builder: false });
  operations.length = 0;
  await other.list.poll();
  assert.deepEqual(other.of('t'), [...ids, late].sort());
  assert.equal(operations.length, 3 + 201);
});

test('who lists reads no meta that the last index has, however old that is', async () => {
  const { operations, poller, put, pass } = setting();
  for (let i = 0; i < 20; i++) await put('t');
  await poller().list.poll();
  pass(10 * POLL_MS);
  await put('t');
  operations.length = 0;
  const { list, of } = poller();
  await list.poll();
  assert.equal(of('t').length, 21);
  // Tenants, index, listing, the one meta, the index in both forms.
  assert.deepEqual(operations, ['GET', 'GET', 'GET', 'GET', 'PUT', 'PUT']);
});

test('an index that is damaged is told, not used, and written anew', async () => {
  const { bucket, poller, put } = setting();
  const id = await put('t');
  await bucket.put(`t/${INDEX_FILE}`, Buffer.from('no gzip'));
  const { list, of, problems } = poller();
  await list.poll();
  assert.deepEqual(of('t'), [id]);
  assert.match(problems[0], /^t index: cannot read t\/index\.json\.gz of bucket in memory: /);
  const reader = poller({ builder: false, fallback: false });
  await reader.list.poll();
  assert.deepEqual(reader.of('t'), [id]);
});

test('a stale index is not used; without fallback the list stays as it was', async () => {
  const { poller, put, pass } = setting();
  const id = await put('t');
  await poller().list.poll();
  const strict = poller({ builder: false, staleIndexMs: 1000, fallback: false, tenantsTolerated: 0 });
  await strict.list.poll();
  assert.deepEqual(strict.of('t'), [id]);
  pass(1001);
  const late = await put('t');
  await assert.rejects(
    strict.list.poll(),
    /the tenant index is 1 s old and storage.trace.blocklist_poll_fallback is false/,
  );
  assert.deepEqual(strict.of('t'), [id]);
  const lenient = poller({ builder: false, staleIndexMs: 1000 });
  await lenient.list.poll();
  assert.deepEqual(lenient.of('t'), [id, late].sort());
});

test('what this process has just uploaded is not missed by an older index or listing', async () => {
  const { poller, put, pass } = setting();
  await put('t');
  await poller().list.poll();
  const { list, of } = poller();
  const mine = metaOf();
  list.add('t', mine);
  await list.poll();
  assert.ok(of('t').includes(mine.blockID));
  // Long after, it counts as deleted by somebody.
  pass(60 * 60_000);
  await list.poll();
  assert.ok(!of('t').includes(mine.blockID));
});

test('what this process has listed is not missed when somebody else’s index, of an earlier listing, comes after', async () => {
  const { bucket, poller, put, pass } = setting();
  await put('t');
  const listed = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const slow: Bucket = {
    ...bucket,
    async put(...args) {
      listed.resolve();
      await goOn.promise;
      return bucket.put(...args);
    },
  };
  let isLate = true;
  const late: Bucket = {
    ...bucket,
    async put(...args) {
      if (isLate) throw new VivaceError('precondition', 'somebody was first');
      return bucket.put(...args);
    },
  };
  const other = poller({}, slow);
  const own = poller({}, late);
  // The other one has listed; before it writes its index, we upload, list, and come too late with ours.
  const polling = other.list.poll();
  await listed.promise;
  pass(1);
  const meta = metaOf();
  await put('t', meta);
  own.list.add('t', meta);
  await own.list.poll();
  goOn.resolve();
  await polling;
  pass(1000);
  await own.list.poll();
  assert.ok(own.of('t').includes(meta.blockID), 'it is in no index yet');
  isLate = false;
  await own.list.publish();
  const reader = poller({ builder: false });
  await reader.list.poll();
  assert.ok(reader.of('t').includes(meta.blockID));
});

test('who ends leaves an index with what it uploaded', async () => {
  const { poller, put } = setting();
  await put('t');
  const { list } = poller();
  await list.poll();
  const mine = metaOf();
  await put('t', mine);
  list.add('t', mine);
  await list.publish();
  const reader = poller({ builder: false });
  await reader.list.poll();
  assert.ok(reader.of('t').includes(mine.blockID));
});

test('a tenant that cannot be listed keeps its blocks, and the others are listed', async () => {
  const { bucket, poller, put, pass } = setting();
  const ids = [await put('t'), await put('u')];
  const broken: Bucket = {
    ...bucket,
    list: (prefix, options) => {
      if (prefix === 't/' && fails) throw new Error('slow down');
      return bucket.list(prefix, options);
    },
  };
  let fails = false;
  const { list, of, problems } = poller({}, broken);
  await list.poll();
  fails = true;
  pass(POLL_MS);
  const late = await put('u');
  await list.poll();
  assert.deepEqual(of('t'), [ids[0]]);
  assert.deepEqual(of('u'), [ids[1], late].sort());
  assert.deepEqual(problems, ['t poll: slow down', 't poll: slow down']);
  pass(POLL_MS);
  const strict = poller({ tenantsTolerated: 0 }, broken);
  await assert.rejects(strict.list.poll(), /slow down/);
});

test('blocks of other formats are counted, asked for once, and keep their index', async () => {
  const { bucket, operations, poller, put, pass } = setting();
  await put('t', { ...metaOf(), format: 'vParquet4' });
  const ours = await put('t');
  const { list, of } = poller();
  await list.poll();
  assert.deepEqual(of('t'), [ours]);
  assert.equal(list.tenants.get('t')!.foreign.size, 1);
  await assert.rejects(bucket.get(`t/${INDEX_FILE}`, { bytesMax: 1 }));
  pass(POLL_MS);
  operations.length = 0;
  await list.poll();
  // Tenants, the index in both forms, listing.
  assert.deepEqual(operations, ['GET', 'GET', 'GET', 'GET']);
});

test('ten thousand blocks of ten tenants', async () => {
  const { poller, put } = setting();
  for (let i = 0; i < 10_000; i++) await put(`tenant-${i % 10}`);
  const builder = poller();
  await builder.list.poll();
  const reader = poller({ builder: false });
  await reader.list.poll();
  for (let tenant = 0; tenant < 10; tenant++) assert.equal(reader.of(`tenant-${tenant}`).length, 1000);
});

test('a block that replaces others comes as they go, and they may be marked later', async () => {
  const { bucket, poller, put, pass } = setting();
  const [a, b, c] = [await put('t'), await put('t'), await put('t')];
  const changes: string[] = [];
  const { list } = poller({
    onChange: (_, added, removed) => changes.push(`+${added.length} -${removed.length}`),
  });
  await list.poll();
  const merged = metaOf();
  merged.vivace.replaces = [a, b];
  await put('t', merged);
  pass(POLL_MS);
  await list.poll();
  assert.deepEqual(changes, ['+3 -0', '+1 -2']);
  const { live, replaced } = list.tenants.get('t')!;
  assert.deepEqual([[...live.keys()].sort(), [...replaced.keys()].sort()], [[c, merged.blockID].sort(), [a, b].sort()]);
  // Others learn of it by the index.
  const reader = poller({ builder: false });
  await reader.list.poll();
  assert.deepEqual(reader.of('t'), [c, merged.blockID].sort());
  for (const id of [a, b]) await bucket.delete(`t/${id}/meta.json`);
  pass(POLL_MS);
  await list.poll();
  await reader.list.poll();
  assert.deepEqual(changes, ['+3 -0', '+1 -2']);
  assert.equal(list.tenants.get('t')!.replaced.size, 0);
  // As this process does it itself.
  const own = metaOf();
  own.vivace.replaces = [c];
  list.add('t', own);
  list.markCompacted('t', c, 0);
  assert.deepEqual(changes, ['+3 -0', '+1 -2', '+1 -1']);
});

test('a long listing may have missed the merged block: what it does not find stays until the next', async () => {
  const { bucket, poller, put, pass } = setting();
  const [a, b] = [await put('t'), await put('t')].sort();
  const merged = metaOf('00000000-0000-4000-8000-000000000000');
  merged.vivace.replaces = [a, b];
  let isMerging = false;
  const slow: Bucket = {
    ...bucket,
    async *list(prefix, options) {
      const page = [];
      for await (const object of bucket.list(prefix, options)) page.push(object);
      // The first page was read before the new block came, the second after its predecessors were marked.
      if (isMerging) {
        await put('t', merged);
        pass(2000);
        for (const id of [a, b]) await bucket.delete(`t/${id}/meta.json`);
        isMerging = false;
        return;
      }
      yield* page;
    },
  };
  const { list, of } = poller({}, slow);
  await list.poll();
  isMerging = true;
  pass(POLL_MS);
  await list.poll();
  assert.deepEqual(of('t'), [a, b]);
  pass(POLL_MS);
  await list.poll();
  assert.deepEqual(of('t'), [merged.blockID]);
});

test('listings of a tenant do not overlap', async () => {
  const { bucket, poller, put } = setting();
  await put('t');
  let running = 0;
  const watched: Bucket = {
    ...bucket,
    async *list(prefix, options) {
      assert.equal(++running, 1);
      yield* bucket.list(prefix, options);
      await new Promise(setImmediate);
      running--;
    },
  };
  const { list, of } = poller({}, watched);
  await Promise.all([list.poll(), list.refresh('t'), list.refresh('t')]);
  assert.equal(of('t').length, 1);
});

test('shards meet and hold every block', () => {
  for (const count of [1, 2, 3, 7]) {
    const shards = shardsOf('t', count);
    for (const id of ['00000000-', '55555555-', '55555554-', '7fffffff-', 'ffffffff-'])
      assert.equal(
        shards.filter(
          ({ from, to }) => (from === undefined || `t/${id}` >= from) && (to === undefined || `t/${id}` < to),
        ).length,
        1,
      );
  }
});
