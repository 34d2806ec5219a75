/** Two processes merge and delete in one folder at the same time, while both receive: every span is there once. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { fsck } from '../process/fsck.fixture.ts';
import { type Server, startServer, temporaryFolder, until } from '../process/server.fixture.ts';
import { ask, makeBatch, post, random, spansOf } from '../process/spans.fixture.ts';

const ROUNDS = 6 * Math.max(1, Number(process.env.VIVACE_FAULTS ?? 0));
const FLAGS = [
  '--storage.trace.blocklist-poll=200ms',
  '--compactor.compaction.compaction-cycle=50ms',
  '--backend-scheduler.provider.compaction.max-input-blocks=4',
  '--compactor.compaction.compacted-block-retention=1s',
];

test('two compactors race in one folder', async (t) => {
  const directory = temporaryFolder(t, 'race');
  const servers = await Promise.all([0, 1].map(() => startServer(t, { directory, flags: FLAGS })));
  const next = random(31);
  const sent = new Map<string, string[]>();
  const complete = async (server: Server): Promise<void> => {
    for (const [trace, spans] of sent)
      assert.deepEqual((await spansOf(server.url, trace)).sort(), [...spans].sort(), `${trace} of ${server.url}`);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const server of servers) {
      const batch = makeBatch(next, { traces: 2, spansPerTrace: 3 });
      assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
      for (const [trace, spans] of batch.traces) sent.set(trace, spans);
    }
    await Promise.all(servers.map((server) => ask(`${server.url}/flush`)));
    await complete(servers[round % 2]);
  }
  const spans = [...sent.values()].flat().length;
  const stored = async (): Promise<{ spans: number; blocks: number; problems: number }> => {
    const { tenants, problems } = await fsck('--bucket', path.join(directory, 'data'));
    return { ...tenants[0], problems };
  };
  await until('blocks are merged', async () => (await stored()).blocks < ROUNDS, 60_000, servers[0].stderr);
  for (const server of servers) await complete(server);
  for (const server of servers) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
  const after = await stored();
  assert.deepEqual([after.spans, after.problems], [spans, 0]);
});
