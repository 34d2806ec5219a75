/** A server keeps traces for as long as the rules say that match them. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { MERGE_POINTS } from '../../src/compact/merge-blocks.ts';
import { filesHolding } from '../held-bytes.fixture.ts';
import { lockLapses, ROOT, run, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, assertSpans, makeBatch, post, random, spansOf } from './spans.fixture.ts';

const FLAGS = [
  '--compactor.compaction.compaction-cycle=100ms',
  '--backend-scheduler.provider.compaction.max-input-blocks=4',
  '--storage.trace.blocklist-poll=200ms',
];
const next = random(41);

/** Traces of a service in a block of their own, or in one with those of other services. */
async function send(server: Server, tenant: string, service: string, traces: number | string[]) {
  const batch = makeBatch(next, { traces, spansPerTrace: 3, service });
  assert.equal((await post(server.otlpUrl, batch.body, { 'x-scope-orgid': tenant })).status, 200);
  return batch.traces;
}
const flush = (server: Server) => ask(`${server.url}/flush`, { method: 'POST' });
const configured = (directory: string, vivace: string): string => {
  fs.mkdirSync(directory, { recursive: true });
  const file = path.join(directory, 'vivace.yaml');
  fs.writeFileSync(file, `vivace:\n${vivace}`);
  return `-config.file=${file}`;
};

it('traces go when their rule says so, by whole traces; a preview tells before', async (t) => {
  const directory = temporaryFolder(t, 'rules');
  const overrides = path.join(directory, 'overrides.yaml');
  fs.writeFileSync(overrides, `overrides:\n  own:\n    compaction: { retention_rules: ['1h { }'] }\n`);
  const config = configured(
    directory,
    `  retention_rules:
    - '1h { resource.service.name = "kept" }'
    - '1h 50% { resource.service.name = "shared" }'
    - '0s { resource.service.name != "rest" }'
`,
  );
  const server = await startServer(t, {
    directory,
    flags: [
      ...FLAGS,
      config,
      '--multitenancy.enabled=true',
      `--config.per-user-override-config=${overrides}`,
      '--compactor.compaction.compacted-block-retention=1ms',
    ],
  });
  /** Of all blocks: where merges go on replacing what it reads, a preview says what it has not seen. */
  const cli = async (...rules: string[]) => {
    let seen = await tried(rules);
    await until('the preview misses nothing', async () => {
      if (seen.missing !== undefined) seen = await tried(rules);
      return seen.missing === undefined;
    });
    return seen.rules.map(({ rule, traces, dropped }) => [rule, traces, dropped.spans]);
  };
  const tried = async (rules: string[]) => {
    const args = ['retention', 'preview', server.url, '--org-id', 'shop', '--json', ...rules];
    const { code, stdout, stderr } = await run(path.join(ROOT, 'bin', 'vivace-cli'), args);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as {
      rules: { rule: string; traces: number; dropped: { spans: number } }[];
      missing?: string[];
    };
  };
  // The trace goes on in another block, where a rule keeps it.
  const split = [...(await send(server, 'shop', 'gone', 1)).keys()];
  const others = await send(server, 'own', 'gone', 2);
  const rest = await send(server, 'shop', 'rest', 2);
  const kept = await send(server, 'shop', 'kept', 5);
  const more = await send(server, 'shop', 'kept', split);
  const shared = await send(server, 'shop', 'shared', 40);
  await flush(server);
  const preview = await cli('--rule', '1h { resource.service.name = "kept" }', '--rule', '0s { }');
  assert.equal(preview[0][1], 6);
  assert.deepEqual(
    preview.map(([rule]) => rule),
    ['1h { resource.service.name = "kept" }', '0s { }', 'block_retention'],
  );
  const gone = await send(server, 'shop', 'gone', 5);
  await flush(server);
  const asking = { tenant: 'shop' };
  const left = async (traces: Map<string, string[]>): Promise<number> => {
    let found = 0;
    for (const [trace, spans] of traces) {
      const seen = await spansOf(server.url, trace, asking);
      assert.ok(seen.length === 0 || seen.length === spans.length, 'whole or not at all');
      if (seen.length > 0) found++;
    }
    return found;
  };
  await until('they are gone', async () => (await left(gone)) === 0, 30_000, server.stderr);
  await until('half of the shared are gone', async () => (await left(shared)) < 40, 30_000, server.stderr);
  const halves = await left(shared);
  assert.ok(halves > 8 && halves < 32, `${halves} of 40`);
  await assertSpans(server.url, [...kept, ...rest], asking);
  assert.equal((await spansOf(server.url, split[0], asking)).length, 3 + more.get(split[0])!.length);
  await assertSpans(server.url, others, { tenant: 'own' });
  const traces = [...gone.keys()].map((trace) => Buffer.from(trace, 'hex'));
  const folder = path.join(server.dataDirectory, 'blocks');
  await until('their bytes are gone', () => filesHolding(folder, ...traces).length === 0, 30_000, server.stderr);
  assert.deepEqual(
    (await cli()).map(([, , spans]) => spans),
    [0, 0, 0, 0],
    'nothing more would go',
  );
  await until('the metrics tell', async () => {
    const metrics = (await ask(`${server.url}/metrics`)).body.toString();
    return /^vivace_retention_rules_dropped_traces_total\{rule="0s .*\} [1-9]/m.test(metrics);
  });
});

it('a whole block goes by the longest rule, also beyond block_retention', async (t) => {
  const directory = temporaryFolder(t, 'rules-long');
  const start = (long: string): Promise<Server> => {
    const config = configured(directory, `  retention_rules: ['${long} { resource.service.name = "long" }']\n`);
    return startServer(t, { directory, flags: [...FLAGS, config, '--compactor.compaction.block-retention=2s'] });
  };
  const first = await start('1h');
  const long = await send(first, 'single-tenant', 'long', 3);
  const short = await send(first, 'single-tenant', 'short', 3);
  await flush(first);
  const [[one], [other]] = [short.keys(), long.keys()].map((keys) => [...keys]);
  await until('what no rule keeps goes by block_retention', async () => (await spansOf(first.url, one)).length === 0);
  await assertSpans(first.url, long);
  await first.stop();
  const second = await start('3s');
  await until('the rest goes by its rule', async () => (await spansOf(second.url, other)).length === 0);
});

for (const point of MERGE_POINTS)
  it(`every trace is there once or not at all after the process was killed: ${point}`, async (t) => {
    const directory = temporaryFolder(t, `rules-${point}`);
    const config = configured(directory, `  retention_rules: ['0s { resource.service.name = "gone" }']\n`);
    const env = { VIVACE_KILL_AT: `rules ${point}` };
    const first = await startServer(t, { directory, flags: [...FLAGS, config], env });
    const gone = await send(first, 'single-tenant', 'gone', 3);
    const kept = await send(first, 'single-tenant', 'kept', 3);
    await flush(first).catch(() => {});
    assert.equal((await first.exited).signal, 'SIGKILL');
    lockLapses(first);
    const second = await startServer(t, { directory, flags: [...FLAGS, config] });
    await assertSpans(second.url, kept);
    for (const trace of gone.keys())
      await until(
        `${trace} is gone`,
        async () => (await spansOf(second.url, trace)).length === 0,
        30_000,
        second.stderr,
      );
    await assertSpans(second.url, kept);
  });

it('rules that cannot be used stop the start', async (t) => {
  const directory = temporaryFolder(t, 'rules-bad');
  const config = configured(directory, `  retention_rules: ['30d { status = }']\n`);
  const server = await startServer(t, { directory, flags: [config], wait: false });
  assert.equal((await server.exited).code, 1);
  assert.match(server.stderr() + server.stdout(), /cannot use the retention rule .*parse error/);
});
