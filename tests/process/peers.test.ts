import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, assertSpans, type Batch, makeBatch, post, random, search, spansOf } from './spans.fixture.ts';

it('two writers and a reader over one folder; a writer that dies is taken over by the one that lives', async (t) => {
  const directory = temporaryFolder(t, 'peers');
  const next = random(9);
  const left = await startServer(t, { directory, flags: ['--vivace.live-bytes=2097152'] });
  const right = await startServer(t, { directory, flags: ['--vivace.live-bytes=2097152'] });
  const reader = await startServer(t, { directory, target: 'query-frontend' });
  const sent: Batch[] = [];
  const everywhere = async (): Promise<void> => {
    for (const { traces } of sent) await assertSpans(reader.url, traces);
  };
  // Both write at the same time, cut, and share traces.
  await Promise.all(
    [left, right].map(async (server) => {
      for (let i = 0; i < 60; i++) {
        const batch = makeBatch(next, { traces: 3, spansPerTrace: 20, textBytes: 100 });
        assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
        sent.push(batch);
      }
    }),
  );
  const [first] = sent[0].traces.keys();
  for (const server of [left, right]) {
    const more = makeBatch(next, { traces: [first], spansPerTrace: 2, service: 'shared' });
    assert.equal((await post(server.otlpUrl, more.body)).status, 200);
    sent[0].traces.get(first)!.push(...more.traces.get(first)!);
  }
  await everywhere();
  assert.deepEqual(await search(reader.url, { q: '{ resource.service.name = "shared" }' }), [first]);
  // Whoever is asked knows all.
  for (const server of [left, right]) await assertSpans(server.url, sent[0].traces);

  await left.kill();
  // Until its log is taken over, answers say that its recent spans are missing.
  const dead = (): number =>
    fs.readdirSync(path.join(directory, 'data/wal')).filter((name) => /sock$/.test(name)).length;
  const receipt = String((await ask(`${reader.url}/api/search?limit=1`)).headers['x-vivace-receipt']);
  if (dead() === 2) assert.match(receipt, /^complete=\?0, .*missing=\("process [0-9a-f]{12}: it has ended; /);
  const [last] = sent.at(-1)!.traces.keys();
  // The next heartbeat of the other finds the log without an owner.
  await until('the log of the dead is taken over', () => logs().length === 1, 60_000);
  await until('its spans are found', async () => (await spansOf(reader.url, last)).length > 0);
  await everywhere();
  assert.deepEqual(await right.stop(), { code: 0, signal: null }, right.stderr());
  await everywhere();
  assert.deepEqual(logs(), []);
  const stored = fs
    .globSync(path.join(directory, 'data/blocks/*/*/meta.json'))
    .map((file) => JSON.parse(fs.readFileSync(file, 'utf8')).vivace.spans as number);
  assert.equal(
    stored.reduce((sum, spans) => sum + spans, 0),
    sent.flatMap(({ traces }) => [...traces.values()].flat()).length,
  );

  function logs(): string[] {
    return fs.readdirSync(path.join(directory, 'data/wal')).filter((name) => !name.endsWith('.sock'));
  }
});
