/** `vivace-cli compact`, `list compacted` and `rewrite-blocks` over a folder and over a bucket that a server uses. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, it } from 'node:test';
import { s3Program, startS3Server } from '../contract/s3-server.fixture.ts';
import { type Cleanup, ROOT, run, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, assertSpans, makeBatch, post, random, spansOf } from './spans.fixture.ts';

const next = random(17);

async function cli(...args: string[]): Promise<string> {
  const ended = await run(path.join(ROOT, 'bin/vivace-cli'), args);
  assert.equal(ended.code, 0, `${args.join(' ')}: ${ended.stderr}`);
  return ended.stdout;
}

/** So many blocks of three traces each: ids of spans by trace. */
async function fill(server: Server, blocks: number): Promise<Map<string, string[]>> {
  const sent = new Map<string, string[]>();
  for (let block = 0; block < blocks; block++) {
    const batch = makeBatch(next, { traces: 3, service: block === 0 ? 'first' : 'shop' });
    for (const [trace, spans] of batch.traces) sent.set(trace, spans);
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    await ask(`${server.url}/flush`);
  }
  return sent;
}

async function work(server: Server, sent: Map<string, string[]>, storage: string[], pace: string[]): Promise<void> {
  const merged = JSON.parse(await cli('compact', '--json', '--window', '1000000h', ...storage, ...pace)) as object;
  assert.deepEqual(merged, { tenant: 'single-tenant', merges: 1, before: 4, after: 1 });
  await assertSpans(server.url, sent);
  const [first, second] = sent.keys();
  const dry = await cli('rewrite-blocks', 'drop-traces', 'single-tenant', `${first},${'ab'.repeat(16)}`, ...storage);
  assert.match(dry, /^block [0-9a-f-]{36}: 1 trace would go$/m);
  await assertSpans(server.url, sent);
  const drop = ['rewrite-blocks', 'drop-traces', '--drop-trace', 'single-tenant', ...storage, ...pace];
  assert.match(await cli(...drop, first), /: 1 trace dropped, 11 kept$/m);
  sent.delete(first);
  await until('it is gone', async () => (await spansOf(server.url, first)).length === 0);
  await assertSpans(server.url, sent);
  assert.match(await cli(...drop, '--query', '{ resource.service.name = "first" }'), /: 2 traces dropped, 9 kept$/m);
  await until('they are gone', async () => (await spansOf(server.url, second)).length === 0);
  for (const trace of [...sent.keys()].slice(0, 2)) sent.delete(trace);
  await assertSpans(server.url, sent);
  // All that is left in one block, and nothing stays.
  assert.match(await cli(...drop, [...sent.keys()].join()), /: 9 traces dropped, 0 kept$/m);
  const [last] = sent.keys();
  await until('all are gone', async () => (await spansOf(server.url, last)).length === 0);
}

it('in a folder', async (t) => {
  const server = await startServer(t, {
    directory: temporaryFolder(t, 'rewrite'),
    flags: ['--storage.trace.blocklist-poll=200ms', '--compactor.disabled=true'],
  });
  const storage = ['--bucket', server.dataDirectory];
  await work(server, await fill(server, 4), storage, []);
  // Four were merged, what came of it was written again twice, and of the last nothing is left.
  const compacted = JSON.parse(await cli('list', 'compacted', '--json', ...storage)) as { meta: object }[];
  assert.equal(compacted.length, 6);
  assert.match(await cli('list', 'compacted', ...storage), /^ID +Lvl/);
});

const program = await s3Program();
const file: Cleanup = { after: (work) => after(work) };
it('in a bucket', { skip: 'missing' in program ? program.missing : undefined }, async (t) => {
  const s3 = await startS3Server(file, (program as { file: string }).file);
  const flags = [
    '--storage.trace.backend=s3',
    '--storage.trace.s3.bucket=traces',
    `--storage.trace.s3.endpoint=${s3.endpoint}`,
    `--storage.trace.s3.access-key=${s3.accessKey}`,
    `--storage.trace.s3.secret-key=${s3.secretKey}`,
    '--storage.trace.s3.insecure=true',
    '--storage.trace.blocklist-poll=200ms',
    '--live-store.flush-check-period=100ms',
    '--live-store.complete-block-timeout=100ms',
    '--compactor.disabled=true',
  ];
  const server = await startServer(t, { directory: temporaryFolder(t), flags });
  const sent = await fill(server, 4);
  const tenant = path.join(s3.root, 'buckets/traces/single-tenant');
  await until('the bucket has them', () => fs.globSync('*/meta.json', { cwd: tenant }).length === 4);
  await until('the index has been written', () => fs.existsSync(path.join(tenant, 'index.json.gz')));
  const storage = ['--backend', 's3', '--bucket', 'traces', '--s3-endpoint', `http://${s3.endpoint}`];
  storage.push('--s3-user', s3.accessKey, '--s3-pass', s3.secretKey);
  await work(server, sent, storage, ['--settle', '1s']);
});
