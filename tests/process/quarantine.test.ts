/** A server meets a damaged block: it goes into quarantine, the others answer, and whoever asks is told what is missing. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, type Batch, makeBatch, post, random, spansOf } from './spans.fixture.ts';
import { flipSpanId } from './damaged-block.fixture.ts';

interface SearchAnswer {
  traces: unknown[];
  metrics: { receipt: { missing: { what: string; why: string }[] } };
}

it('a damaged block is quarantined, the others answer, and the receipt says so', async (t) => {
  const directory = temporaryFolder(t, 'quarantine');
  const options = { directory, flags: ['--compactor.disabled=true'] };
  const server = await startServer(t, options);
  const next = random(5);
  const blocks = path.join(server.dataDirectory, 'blocks/single-tenant');
  const cut = async (): Promise<{ batch: Batch; folder: string }> => {
    const before = fs.existsSync(blocks) ? fs.readdirSync(blocks) : [];
    const batch = makeBatch(next, { traces: 3 });
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    await ask(`${server.url}/flush`);
    return { batch, folder: path.join(blocks, fs.readdirSync(blocks).find((name) => !before.includes(name))!) };
  };
  const bad = await cut();
  const good = await cut();
  const id = path.basename(bad.folder);
  const [lost] = bad.batch.traces.keys();
  const [kept] = good.batch.traces.keys();
  flipSpanId(bad.folder);
  const search = async (from: Server) => {
    const answer = await ask(`${from.url}/api/search?q=${encodeURIComponent('{ }')}&limit=100&receipt=true`);
    assert.equal(answer.status, 200);
    const { traces, metrics } = JSON.parse(answer.body.toString()) as SearchAnswer;
    return { traces, missing: metrics.receipt.missing };
  };
  const quarantined = path.join(bad.folder, 'meta.damaged.json');
  await until(
    'somebody reads the damaged page',
    async () => {
      await ask(`${server.url}/api/v2/traces/${lost}`);
      return fs.existsSync(quarantined);
    },
    30_000,
    server.stderr,
  );
  await until('the log says so', () =>
    /was put into quarantine: data\.parquet: .* checksum differs/.test(server.stderr()),
  );
  const check = async (from: Server): Promise<void> => {
    await until('the list of blocks is new', async () => /quarantine/.test((await search(from)).missing[0]?.why));
    const { traces, missing } = await search(from);
    assert.equal(traces.length, 3);
    assert.deepEqual(missing, [{ what: `block ${id}`, why: 'it was found damaged and is in quarantine' }]);
    assert.deepEqual((await spansOf(from.url, kept)).sort(), [...good.batch.traces.get(kept)!].sort());
    const partial = JSON.parse((await ask(`${from.url}/api/v2/traces/${lost}`)).body.toString()) as { status: string };
    assert.equal(partial.status, 'PARTIAL');
    // Its list of traces is whole: a trace that is not in it is not missing.
    assert.equal((await ask(`${from.url}/api/traces/${'ab'.repeat(16)}`)).status, 404);
  };
  await check(server);
  for (const name of ['vivace_quarantined_blocks_total', 'vivace_damaged_blocks', 'vivace_unreadable_blocks_total'])
    await until(`${name} says so`, async () =>
      (await ask(`${server.url}/metrics`)).body.includes(`\n${name}{tenant="single-tenant"} 1\n`),
    );
  await server.kill();
  await check(await startServer(t, options));
});
