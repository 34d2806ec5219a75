/** A process meets a damaged block in a bucket: all who share it are told what is missing, and the others answer. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { testBuckets } from './bucket-servers.fixture.ts';
import { type Server, startServer, until } from './server.fixture.ts';
import { ask, type Batch, makeBatch, post, random, spansOf } from './spans.fixture.ts';
import { flipSpanId } from './damaged-block.fixture.ts';

const buckets = await testBuckets('damaged');
const { skip, over } = buckets;

interface SearchAnswer {
  traces: unknown[];
  metrics: { receipt: { missing: { what: string; why: string }[] } };
}

test('a damaged block in a bucket goes into quarantine, and everybody says so', { skip }, async (t) => {
  const bucket = buckets.make();
  const flags = ['--live-store.complete-block-timeout=100ms', '--compactor.disabled=true'];
  const writer = await startServer(t, over(t, bucket, flags));
  const next = random(51);
  const put = async (): Promise<{ batch: Batch; folder: string }> => {
    const before = buckets.glob(bucket, '*/*/meta.json');
    const batch = makeBatch(next, { traces: 3 });
    assert.equal((await post(writer.otlpUrl, batch.body)).status, 200);
    await ask(`${writer.url}/flush`);
    const fresh = (): string | undefined =>
      buckets.glob(bucket, '*/*/meta.json').find((file) => !before.includes(file));
    await until('the bucket has the block', () => fresh() !== undefined);
    return { batch, folder: path.dirname(fresh()!) };
  };
  const bad = await put();
  const good = await put();
  flipSpanId(bad.folder);
  const finder = await startServer(t, { ...over(t, bucket), target: 'querier' });
  const [lost] = bad.batch.traces.keys();
  const [kept] = good.batch.traces.keys();
  await until(
    'somebody reads the damaged page',
    async () => {
      await ask(`${finder.url}/api/v2/traces/${lost}`);
      return fs.existsSync(path.join(bad.folder, 'meta.damaged.json'));
    },
    60_000,
    finder.stderr,
  );
  await until('the log says so', () => /was put into quarantine: data\.parquet: .* checksum/.test(finder.stderr()));
  assert.ok(!fs.existsSync(path.join(bad.folder, 'meta.json')));
  const search = async (from: Server) => {
    const answer = await ask(`${from.url}/api/search?q=${encodeURIComponent('{ }')}&limit=100&receipt=true`);
    assert.equal(answer.status, 200);
    const { traces, metrics } = JSON.parse(answer.body.toString()) as SearchAnswer;
    return { traces, missing: metrics.receipt.missing };
  };
  const late = await startServer(t, { ...over(t, bucket), target: 'querier' });
  for (const server of [finder, writer, late]) {
    await until('its list of blocks is new', async () => /in quarantine/.test((await search(server)).missing[0]?.why));
    const { traces, missing } = await search(server);
    assert.equal(traces.length, 3);
    const id = path.basename(bad.folder);
    assert.deepEqual(missing, [{ what: `block ${id}`, why: 'it was found damaged and is in quarantine' }]);
    assert.deepEqual((await spansOf(server.url, kept)).sort(), [...good.batch.traces.get(kept)!].sort());
    const partial = JSON.parse((await ask(`${server.url}/api/v2/traces/${lost}`)).body.toString()) as {
      status: string;
    };
    assert.equal(partial.status, 'PARTIAL');
    // Its filter of ids is whole: a trace that is not in it is not missing.
    await until(
      'a trace that was never there is not found',
      async () => (await ask(`${server.url}/api/traces/${'ab'.repeat(16)}`)).status === 404,
    );
  }
  for (const name of ['vivace_quarantined_blocks_total', 'vivace_damaged_blocks'])
    await until(`${name} says so`, async () =>
      (await ask(`${finder.url}/metrics`)).body.includes(`\n${name}{tenant="single-tenant"} 1\n`),
    );
});
