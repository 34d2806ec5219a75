/** A server merges its blocks: nobody sees a span twice or not at all meanwhile, also when it is killed at any step. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { MERGE_POINTS } from '../../src/compact/merge-blocks.ts';
import { type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, makeBatch, post, random, randomId, spansOf } from './spans.fixture.ts';

const FLAGS = [
  // An hour that ends meanwhile must not keep blocks apart.
  '--compactor.compaction.compaction-window=1000000h',
  '--compactor.compaction.compaction-cycle=100ms',
  '--backend-scheduler.provider.compaction.max-input-blocks=4',
  '--compactor.compaction.compacted-block-retention=1ms',
  '--storage.trace.blocklist-poll=300ms',
];

/** So many blocks, each with a few spans of every trace: ids of spans by trace. */
async function fill(server: Server, seed: number, blocks: number): Promise<Map<string, string[]>> {
  const next = random(seed);
  const traces = Array.from({ length: 5 }, () => randomId(next, 16));
  const sent = new Map<string, string[]>(traces.map((trace) => [trace, []]));
  for (let block = 0; block < blocks; block++) {
    const batch = makeBatch(next, { traces, spansPerTrace: 3, startMs: Date.now() });
    for (const [trace, ids] of batch.traces) sent.get(trace)!.push(...ids);
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    await ask(`${server.url}/flush`, { method: 'POST' });
  }
  return sent;
}

/** Names of blocks that are in lists. */
function blocksOf(server: Server): string[] {
  const folder = path.join(server.dataDirectory, 'blocks', 'single-tenant');
  return fs.readdirSync(folder).filter((id) => fs.existsSync(path.join(folder, id, 'meta.json')));
}

async function assertOnce(server: Server, sent: Map<string, string[]>): Promise<void> {
  for (const [trace, ids] of sent) assert.deepEqual((await spansOf(server.url, trace)).sort(), [...ids].sort());
}

it('readers see every span once while blocks are merged, level by level', async (t) => {
  const server = await startServer(t, { directory: temporaryFolder(t, 'compaction'), flags: FLAGS });
  const sent = await fill(server, 9, 1);
  let reading = true;
  const reader = (async () => {
    for (let looks = 0; ; looks++) {
      if (!reading) return looks;
      await assertOnce(server, new Map(sent));
    }
  })();
  for (let round = 0; round < 4; round++)
    for (const [trace, ids] of await fill(server, 10 + round, round === 0 ? 3 : 4)) sent.set(trace, ids);
  await until('one block is left', () => blocksOf(server).length === 1, 60_000, server.stderr);
  await until(
    'their files are gone',
    () => fs.readdirSync(path.join(server.dataDirectory, 'blocks', 'single-tenant')).length === 1,
  );
  reading = false;
  assert.ok((await reader) > 0);
  await assertOnce(server, sent);
  let metrics = '';
  await until('the metrics tell', async () => {
    metrics = (await ask(`${server.url}/metrics`)).body.toString();
    return /^tempodb_compaction_blocks_total\{level="1"\} 4$/m.test(metrics);
  });
  assert.match(metrics, /^tempodb_compaction_blocks_total\{level="0"\} 16$/m);
  assert.match(metrics, /^tempodb_compaction_errors_total 0$/m);
});

for (const point of MERGE_POINTS)
  it(`every span is there once after the process was killed: ${point}`, async (t) => {
    const directory = temporaryFolder(t, 'compaction-killed');
    const first = await startServer(t, { directory, flags: FLAGS, env: { VIVACE_KILL_AT: `compaction ${point}` } });
    // The last of the flushes may not be answered any more.
    const sent = await fill(first, 7, 3);
    const batch = makeBatch(random(8), { traces: [...sent.keys()], spansPerTrace: 3 });
    assert.equal((await post(first.otlpUrl, batch.body)).status, 200);
    for (const [trace, ids] of batch.traces) sent.get(trace)!.push(...ids);
    await ask(`${first.url}/flush`, { method: 'POST' }).catch(() => {});
    assert.equal((await first.exited).signal, 'SIGKILL');
    const second = await startServer(t, { directory, flags: [...FLAGS, '--compactor.disabled=true'] });
    await assertOnce(second, sent);
    await second.stop();
    const third = await startServer(t, { directory, flags: FLAGS });
    await assertOnce(third, sent);
    fs.rmSync(path.join(third.dataDirectory, 'blocks', '.compacting'), { force: true });
    await until('one block is left', () => blocksOf(third).length === 1, 60_000, third.stderr);
    await assertOnce(third, sent);
  });
