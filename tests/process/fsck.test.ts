/** `vivace-cli fsck` over what real servers have stored, damaged in every way it knows. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, it } from 'node:test';
import { s3Bucket } from '../../src/store/s3.ts';
import { s3Program, s3Settings, startS3Server } from '../contract/s3-server.fixture.ts';
import { type Fsck, fsck } from './fsck.fixture.ts';
import { type Cleanup, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, assertSpans, type Batch, makeBatch, post, random } from './spans.fixture.ts';

const next = random(11);

async function send(server: Server): Promise<Batch> {
  const batch = makeBatch(next, { traces: 2 });
  assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
  return batch;
}

/** Other bytes in the middle of the file. */
function spoil(file: string, at = 0.5): void {
  const bytes = fs.readFileSync(file);
  bytes[Math.floor(bytes.length * at)] ^= 0x20;
  fs.writeFileSync(file, bytes);
}

it('fsck finds what is damaged or left over in a folder, and repairs what can be', async (t) => {
  const directory = temporaryFolder(t, 'fsck');
  const options = { directory, flags: ['--compactor.disabled=true'] };
  const server = await startServer(t, options);
  const blocks = path.join(server.dataDirectory, 'blocks/single-tenant');
  const cut: { batch: Batch; folder: string }[] = [];
  for (let i = 0; i < 4; i++) {
    const before = fs.existsSync(blocks) ? fs.readdirSync(blocks) : [];
    const batch = await send(server);
    await ask(`${server.url}/flush`);
    cut.push({ batch, folder: path.join(blocks, fs.readdirSync(blocks).find((name) => !before.includes(name))!) });
  }
  const inLog = await send(server);
  const clean = await fsck('--bucket', server.dataDirectory);
  assert.deepEqual([clean.code, clean.findings, clean.tenants[0].blocks], [0, [], 4]);
  assert.deepEqual([clean.logs.length, clean.logs[0].isLive], [1, true]);
  await server.kill();
  const [data, meta, lost, whole] = cut;
  spoil(path.join(data.folder, 'data.parquet'), 0.3);
  spoil(path.join(meta.folder, 'meta.json'));
  fs.rmSync(path.join(lost.folder, 'traces'));
  const leftover = path.join(blocks, `.${path.basename(whole.folder).replace(/^.{8}/, '01234567')}`);
  fs.mkdirSync(leftover);
  fs.utimesSync(leftover, 1, 1);
  fs.writeFileSync(path.join(blocks, 'notes.txt'), 'mine');
  const found = await fsck('--bucket', server.dataDirectory);
  assert.equal(found.code, 4);
  const about = (from: Fsck, folder: string): string | undefined =>
    from.findings.find(({ block }) => block === path.basename(folder))?.text;
  assert.match(about(found, data.folder) ?? '', /^data\.parquet: .* checksum differs/);
  assert.match(about(found, meta.folder) ?? '', /^meta\.json is damaged$/);
  assert.match(about(found, lost.folder) ?? '', /^traces is missing$/);
  assert.equal(about(found, whole.folder), undefined);
  assert.deepEqual(
    found.findings
      .filter(({ block }) => block === undefined)
      .map(({ text }) => text)
      .sort(),
    [`${path.basename(leftover)} was left by somebody who was interrupted`, 'notes.txt belongs to no block'],
  );
  assert.deepEqual(
    found.findings.filter(({ repaired }) => repaired),
    [],
    'nothing is changed without being asked',
  );
  // Lengths and metas only.
  const fast = await fsck('--fast', '--bucket', server.dataDirectory);
  assert.equal(about(fast, data.folder), undefined);
  assert.match(about(fast, lost.folder) ?? '', /^traces has no bytes/);

  const repaired = await fsck('--repair', '--bucket', server.dataDirectory);
  assert.deepEqual([repaired.code, repaired.problems, repaired.left], [4, 5, 1]);
  assert.ok(!fs.existsSync(leftover) && fs.existsSync(path.join(blocks, 'notes.txt')));
  assert.ok(fs.existsSync(path.join(data.folder, 'meta.damaged.json')));
  fs.rmSync(path.join(blocks, 'notes.txt'));
  const again = await startServer(t, options);
  for (const { batch } of [meta, whole]) await assertSpans(again.url, batch.traces);
  await assertSpans(again.url, inLog.traces);
  await again.stop();

  // The byte is set right again, as from a backup.
  spoil(path.join(data.folder, 'data.parquet'), 0.3);
  const back = await fsck('--repair', '--bucket', server.dataDirectory);
  assert.deepEqual(back.findings.find(({ block }) => block === path.basename(data.folder))?.repair, 'brought back');
  const third = await startServer(t, options);
  for (const { batch } of [data, meta, whole]) await assertSpans(third.url, batch.traces);
});

it('fsck tells of a damaged record of the log', async (t) => {
  const directory = temporaryFolder(t, 'fsck-log');
  const server = await startServer(t, { directory });
  await send(server);
  await send(server);
  const wal = path.join(server.dataDirectory, 'wal');
  await server.kill();
  const [segment] = fs.globSync('*/*.log', { cwd: wal }).map((name) => path.join(wal, name));
  const bytes = fs.readFileSync(segment);
  bytes[bytes.indexOf('shop')] ^= 1;
  fs.writeFileSync(segment, bytes);
  const { code, findings, logs } = await fsck('--bucket', server.dataDirectory);
  assert.equal(code, 4);
  assert.match(findings[0].text, /its checksum differs/);
  assert.deepEqual(logs[0].isLive, false);
});

const program = await s3Program();
const file: Cleanup = { after: (work) => after(work) };
it('fsck of a bucket', { skip: 'missing' in program ? program.missing : undefined }, async (t) => {
  const s3 = await startS3Server(file, (program as { file: string }).file);
  const secrets = [`--storage.trace.s3.access-key=${s3.accessKey}`, `--storage.trace.s3.secret-key=${s3.secretKey}`];
  const flags = [
    '--storage.trace.backend=s3',
    '--storage.trace.s3.bucket=traces',
    `--storage.trace.s3.endpoint=${s3.endpoint}`,
    '--storage.trace.s3.insecure=true',
    '--compactor.disabled=true',
    ...secrets,
  ];
  const server = await startServer(t, { directory: temporaryFolder(t), flags });
  const tenant = path.join(s3.root, 'buckets/traces/single-tenant');
  const metas = (): string[] => fs.globSync('*/meta.json', { cwd: tenant });
  for (let i = 1; i <= 3; i++) {
    await send(server);
    await ask(`${server.url}/flush`);
    await until('the block is in the bucket', () => metas().length === i);
  }
  await server.stop();
  const storage = ['--backend', 's3', '--bucket', 'traces', '--s3-endpoint', `http://${s3.endpoint}`];
  storage.push('--s3-user', s3.accessKey, '--s3-pass', s3.secretKey);
  const clean = await fsck(...storage);
  assert.deepEqual([clean.code, clean.findings, clean.tenants[0].blocks], [0, [], 3]);
  const [data, meta, unfinished] = metas().map((name) => path.join(tenant, path.dirname(name)));
  spoil(path.join(data, 'data.parquet'), 0.3);
  spoil(path.join(meta, 'meta.json'));
  fs.rmSync(path.join(unfinished, 'meta.json'));
  for (const name of fs.readdirSync(unfinished)) fs.utimesSync(path.join(unfinished, name), 1, 1);
  const found = await fsck(...storage);
  assert.deepEqual([found.code, found.problems], [4, 3]);
  const repaired = await fsck('--repair', ...storage);
  assert.deepEqual([repaired.code, repaired.left], [4, 1]);
  // Its machine may still have it, and would believe it to be here.
  assert.equal((await fsck('--repair', '--remove-uploads', ...storage)).left, 1);
  assert.deepEqual(fs.readdirSync(data).sort(), ['data.parquet', 'meta.damaged.json', 'traces']);
  assert.deepEqual(fs.readdirSync(meta).sort(), ['data.parquet', 'meta.json', 'traces']);
  assert.ok(!fs.existsSync(unfinished));
  const after = await fsck(...storage);
  assert.deepEqual([after.code, after.tenants[0].blocks, after.findings.length], [4, 1, 1]);
  assert.match(after.findings[0].text, /^it is in quarantine: data\.parquet/);

  // As a process leaves it that is killed in between.
  const bucket = s3Bucket(s3Settings(s3));
  const key = `other/${path.basename(data)}/data.parquet`;
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  async function* parts(): AsyncGenerator<Uint8Array> {
    begun.resolve();
    await ended.promise;
    yield new Uint8Array(bucket.partBytes);
  }
  const upload = bucket.multipart(key, parts());
  upload.catch(() => {});
  await begun.promise;
  assert.equal((await fsck(...storage)).problems, 1, 'somebody may be at it');
  const left = (await fsck('--min-age', '0s', ...storage)).findings.find(({ tenant: of }) => of === 'other');
  assert.match(left!.text, new RegExp(`^an upload of ${key} was begun at .* and never ended$`));
  assert.equal((await fsck('--min-age', '0s', '--repair', ...storage)).left, 1);
  assert.equal((await fsck('--min-age', '0s', ...storage)).problems, 1);
  ended.resolve();
  await assert.rejects(upload);
  bucket.close();
});
