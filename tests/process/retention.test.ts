/** A server deletes blocks that are too old. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, makeBatch, post, random, spansOf } from './spans.fixture.ts';

it('blocks that are too old leave answers and disk; a tenant keeps its own for longer', async (t) => {
  const directory = temporaryFolder(t, 'retention');
  const overrides = path.join(directory, 'overrides.yaml');
  fs.writeFileSync(overrides, 'overrides:\n  patient:\n    compaction:\n      block_retention: 1h\n');
  const server = await startServer(t, {
    directory,
    flags: [
      '--multitenancy.enabled=true',
      `--config.per-user-override-config=${overrides}`,
      '--storage.trace.blocklist-poll=200ms',
      '--compactor.compaction.block-retention=2s',
      '--compactor.compaction.compacted-block-retention=1ms',
    ],
  });
  const next = random(3);
  const sent = new Map<string, string>();
  for (const tenant of ['single', 'patient']) {
    const batch = makeBatch(next, { traces: 1, spansPerTrace: 3, startMs: Date.now() });
    assert.equal((await post(server.otlpUrl, batch.body, { 'x-scope-orgid': tenant })).status, 200);
    const [trace] = batch.traces.keys();
    sent.set(tenant, trace);
    assert.equal((await ask(`${server.url}/flush?tenant=${tenant}`, { method: 'POST' })).status, 204);
  }
  const blocksOf = (tenant: string): string[] => fs.readdirSync(path.join(server.dataDirectory, 'blocks', tenant));
  await until('the block is gone', () => blocksOf('single').length === 0, 30_000, server.stderr);
  assert.deepEqual(await spansOf(server.url, sent.get('single')!, { tenant: 'single' }), []);
  assert.equal((await spansOf(server.url, sent.get('patient')!, { tenant: 'patient' })).length, 3);
  assert.equal(blocksOf('patient').length, 1);
  await until('the metrics tell of it', async () => {
    const metrics = (await ask(`${server.url}/metrics`)).body.toString();
    return (
      /^tempodb_retention_marked_for_deletion_total 1$/m.test(metrics) &&
      /^tempodb_retention_deleted_total 1$/m.test(metrics) &&
      /^tempodb_retention_errors_total 0$/m.test(metrics) &&
      /^tempodb_blocklist_length\{tenant="patient"\} 1$/m.test(metrics)
    );
  });
});
