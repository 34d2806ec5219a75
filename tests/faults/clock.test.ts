/** The clock jumps an hour, both ways, while a server receives, cuts, merges and deletes: every span is there once. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { startServer, temporaryFolder, until } from '../process/server.fixture.ts';
import { ask, makeBatch, post, random, spansOf } from '../process/spans.fixture.ts';

const HOUR_MS = 3_600_000;

for (const jumps of [
  [HOUR_MS, 0],
  [-HOUR_MS, 0],
])
  test(`the clock jumps ${jumps[0] > 0 ? 'forth and back' : 'back and forth'}`, async (t) => {
    const directory = temporaryFolder(t, 'clock');
    const clock = path.join(directory, 'clock');
    fs.writeFileSync(clock, '0');
    const preload = pathToFileURL(path.join(import.meta.dirname, 'clock.ts')).href;
    const options = {
      directory,
      env: { NODE_OPTIONS: `--import=${preload}`, VIVACE_TEST_CLOCK: clock },
      flags: [
        '--storage.trace.blocklist-poll=200ms',
        '--compactor.compaction.compaction-cycle=100ms',
        '--backend-scheduler.provider.compaction.max-input-blocks=4',
        '--compactor.compaction.compacted-block-retention=1s',
        '--compactor.compaction.block-retention=3h',
      ],
    };
    const server = await startServer(t, options);
    const next = random(41);
    const sent = new Map<string, string[]>();
    const round = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        const batch = makeBatch(next, { traces: 2, spansPerTrace: 3 });
        assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
        for (const [trace, spans] of batch.traces) sent.set(trace, spans);
        await ask(`${server.url}/flush`);
      }
    };
    const complete = async (url: string): Promise<void> => {
      for (const [trace, spans] of sent) assert.deepEqual((await spansOf(url, trace)).sort(), [...spans].sort(), trace);
    };
    await round();
    for (const jump of jumps) {
      fs.writeFileSync(clock, String(jump));
      await until('the server has the new time', async () => {
        const { headers } = await ask(`${server.url}/api/search?q=%7B%7D`);
        const [, seconds] = /live-until=@(\d+)/.exec(String(headers['x-vivace-receipt'])) ?? [];
        return Math.abs(1000 * Number(seconds) - Date.now() - jump) < 60_000;
      });
      await complete(server.url);
      await round();
      await complete(server.url);
    }
    await server.kill();
    const again = await startServer(t, options);
    await complete(again.url);
    assert.deepEqual(await again.stop(), { code: 0, signal: null }, again.stderr());
    const third = await startServer(t, options);
    await complete(third.url);
  });
