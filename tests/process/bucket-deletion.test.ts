/**
 * Traces are deleted from a bucket on a real S3 server that several processes share: gone from the answers of all of them, and
 * later from every byte, also when the process that writes blocks again is killed at any step.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { BUCKET_MERGE_POINTS } from '../../src/compact/bucket-merge.ts';
import { redisProgram, startRedis } from '../contract/cache-servers.fixture.ts';
import { filesHolding } from '../held-bytes.fixture.ts';
import { testBuckets } from './bucket-servers.fixture.ts';
import { assertHidden, flush, remove, secretBatch, send, stateOf, untilErased } from './deletions.fixture.ts';
import { later, type Server, startServer, until } from './server.fixture.ts';
import { ask, assertSpans, random, randomId, spansOf } from './spans.fixture.ts';

const buckets = await testBuckets('deleted');
const { skip, over } = buckets;
const redis = redisProgram();
const noRedis = 'missing' in redis ? redis.missing : undefined;
const FLAGS = ['--vivace.delete-traces=always', '--live-store.complete-block-timeout=500ms'];
/** Merging would do the same by the way. */
const ALONE = [...FLAGS, '--compactor.compaction.compaction-cycle=1h'];
/** Takes spans, and leaves blocks to others. */
const TAKES = [...FLAGS, '--compactor.disabled=true'];

/** Objects and files that hold it; what says that it is deleted aside. */
function holding(bucket: string, servers: Server[], trace: string, marker: string): string[] {
  const texts = [marker, trace, Buffer.from(trace, 'hex')];
  return [buckets.root(bucket), ...servers.map(({ dataDirectory }) => dataDirectory)]
    .flatMap((folder) => filesHolding(folder, ...texts))
    .filter((file) => !/\/deleted\/|deleted-traces\.json|vivace~folders|trace-filters/.test(file));
}

async function untilHidden(server: Server, trace: string): Promise<void> {
  await until(
    `${server.url} hides it`,
    async () => (await spansOf(server.url, trace)).length === 0,
    30_000,
    server.stderr,
  );
}

describe('a trace is deleted from a bucket', { skip }, () => {
  test('that several processes share: hidden from all, and no byte of it is left', async (t) => {
    const bucket = buckets.make();
    const takes = await startServer(t, over(t, bucket, TAKES));
    const erases = await startServer(t, over(t, bucket, ALONE));
    const reader = await startServer(t, { ...over(t, bucket, FLAGS), target: 'querier' });
    const all = [takes, erases, reader];
    const trace = randomId(random(31), 16);
    const first = secretBatch(32, trace);
    await send(takes, first.batch);
    await flush(takes);
    // In the live columns and the log of one, and in a block of the bucket.
    const second = secretBatch(33, trace, [...first.batch.traces.keys()]);
    await send(takes, second.batch);
    await until('all of it is there', async () => (await spansOf(takes.url, trace)).length === 14);
    await until('the reader lists the block', async () => (await spansOf(reader.url, trace)).length === 7);
    const kept = new Map(
      [...first.batch.traces].map(([id, spans]) => [id, [...spans, ...second.batch.traces.get(id)!]] as const),
    );
    assert.ok(holding(bucket, all, trace, first.marker).length >= 2);

    // The querier has been asked: it takes no spans, and writes no blocks.
    const answer = await remove(reader, trace);
    assert.equal(answer.status, 202, answer.body.toString());
    await assertHidden(reader, trace, first.marker);
    for (const server of [takes, erases]) {
      await untilHidden(server, trace);
      await assertHidden(server, trace, second.marker);
    }
    await assertSpans(takes.url, kept);
    await untilErased(takes, trace, 120_000);
    for (const { marker } of [first, second]) assert.deepEqual(holding(bucket, all, trace, marker), []);
    for (const server of all) assert.equal((await stateOf(server, trace)).state, 'erased');
    await assertSpans(takes.url, kept);
    await until('the other has listed what was written again', async () =>
      assertSpans(reader.url, kept).then(
        () => true,
        () => false,
      ),
    );
    assert.equal((await remove(takes, trace)).status, 200, 'nothing is left to do');

    // Who still sends it is answered, and nobody sees it.
    await send(takes, secretBatch(34, trace).batch);
    await assertHidden(takes, trace, first.marker);
    await flush(takes);
    await until(
      'the late spans are gone',
      async () => holding(bucket, all, trace, 'secret-').length === 0,
      60_000,
      takes.stderr,
    );
    await untilErased(reader, trace);
    const metrics = (await ask(`${erases.url}/metrics`)).body.toString();
    assert.match(metrics, /^vivace_erased_traces_total [1-9]/m);
    assert.match(metrics, /^vivace_erased_blocks_total [1-9]/m);
  });

  test('and what a cache keeps of its blocks goes, as soon as that answers', { skip: noRedis }, async (t) => {
    const bucket = buckets.make();
    const cache = await startRedis(t, 'file' in redis ? redis.file : '');
    const client = new Redis(`redis://${cache.address}`);
    later(t, () => client.disconnect());
    const flags = [
      ...['--storage.trace.cache=redis', '--storage.trace.search.cache-control.footer=true'],
      ...[`--storage.trace.redis.endpoint=${cache.address}`, '--storage.trace.redis.timeout=500ms'],
    ];
    const erases = await startServer(t, over(t, bucket, [...ALONE, ...flags]));
    const trace = randomId(random(51), 16);
    const { batch } = secretBatch(52, trace);
    await send(erases, batch);
    await flush(erases);
    const metas = (): string[] => buckets.glob(bucket, '*/*/meta.json');
    await until('the bucket has the block', () => metas().length === 1);
    const block = path.basename(path.dirname(metas()[0]));
    const reader = await startServer(t, { ...over(t, bucket, [...FLAGS, ...flags]), target: 'querier' });
    const cached = async (): Promise<string[]> => (await client.keys('*')).filter((key) => key.includes(block));
    await until('the cache has parts of its files', async () => {
      await spansOf(reader.url, trace);
      const keys = await cached();
      return ['data.parquet', 'traces'].every((file) => keys.some((key) => key.includes(`:${file}:`)));
    });
    cache.pause();
    await remove(erases, trace);
    await until(
      'it is waited for',
      async () => ((await stateOf(erases, trace)).waitsFor ?? []).join().includes('cannot delete from redis'),
      60_000,
      erases.stderr,
    );
    assert.deepEqual(buckets.glob(bucket, `*/${block}/data.parquet`), []);
    cache.goOn();
    await untilErased(erases, trace, 120_000);
    assert.deepEqual(await cached(), []);
    await assertSpans(reader.url, batch.traces);
  });

  test('and a block that holds nothing else goes', async (t) => {
    const bucket = buckets.make();
    const server = await startServer(t, over(t, bucket, ALONE));
    const trace = randomId(random(35), 16);
    const { batch, marker } = secretBatch(36, trace, [trace]);
    await send(server, batch);
    await flush(server);
    await until('the bucket has the block', () => buckets.glob(bucket, '*/*/meta.json').length === 1);
    await remove(server, trace);
    await untilErased(server, trace, 120_000);
    assert.deepEqual(holding(bucket, [server], trace, marker), []);
    assert.deepEqual(buckets.glob(bucket, '*/*/data.parquet'), []);
  });

  test('in which the log is, too', async (t) => {
    const bucket = buckets.make();
    const server = await startServer(t, over(t, bucket, [...ALONE, '--ingester.ack=storage']));
    const trace = randomId(random(41), 16);
    const { batch, marker } = secretBatch(42, trace);
    await send(server, batch);
    assert.ok(holding(bucket, [server], trace, marker).some((file) => file.startsWith('vivace~log/')));
    await remove(server, trace);
    await assertHidden(server, trace, marker);
    await untilErased(server, trace, 120_000);
    assert.deepEqual(holding(bucket, [server], trace, marker), []);
    await assertSpans(server.url, batch.traces);
  });

  test('while a process is away: it hides the trace before it answers, and is waited for', async (t) => {
    const bucket = buckets.make();
    const erases = await startServer(t, over(t, bucket, ALONE));
    const options = over(t, bucket, TAKES);
    const away = await startServer(t, options);
    const trace = randomId(random(37), 16);
    const { batch, marker } = secretBatch(38, trace);
    await send(away, batch);
    await until('it is known', () => buckets.glob(bucket, 'vivace~folders/*').length === 2);
    await away.kill();
    await remove(erases, trace);
    await until('what is waited for is told', async () =>
      /^folder [0-9a-f]{16} of /.test(((await stateOf(erases, trace)).waitsFor ?? [])[0] ?? ''),
    );
    const back = await startServer(t, options);
    await untilHidden(back, trace);
    await assertHidden(back, trace, marker);
    await untilErased(erases, trace, 120_000);
    assert.deepEqual(holding(bucket, [back], trace, marker), []);
    await assertSpans(back.url, batch.traces);
  });
});

describe('who writes blocks again without a trace is killed, and another one goes on', { skip }, () => {
  let bucket: string;
  let takes: Server;
  before(async () => {
    bucket = buckets.make();
    takes = await startServer(buckets.file, over(buckets.file, bucket, TAKES));
  });

  for (const [at, point] of [...BUCKET_MERGE_POINTS, 'marked'].entries())
    test(`when it has reached "${point}"`, async (t) => {
      const options = { ...over(t, bucket, ALONE), target: 'compactor' };
      const first = await startServer(t, { ...options, env: { VIVACE_KILL_AT: `bucket erasing ${point}` } });
      const before = buckets.glob(bucket, '*/*/meta.json').length;
      const trace = randomId(random(100 + at), 16);
      const { batch, marker } = secretBatch(200 + at, trace);
      await send(takes, batch);
      await flush(takes);
      await until('the bucket has the block', () => buckets.glob(bucket, '*/*/meta.json').length > before);
      await remove(takes, trace);
      assert.equal((await first.exited).signal, 'SIGKILL');
      await assertHidden(takes, trace, marker);
      await assertSpans(takes.url, batch.traces);
      const second = await startServer(t, options);
      await untilErased(second, trace, 120_000);
      assert.deepEqual(holding(bucket, [takes], trace, marker), []);
      await assertHidden(takes, trace, marker);
      await assertSpans(takes.url, batch.traces);
    });
});
