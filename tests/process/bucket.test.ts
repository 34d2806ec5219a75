/** Real processes over a real S3 server: blocks go there, others find them, and no end of a process loses or doubles a span. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { UPLOAD_POINTS } from '../../src/block/upload.ts';
import { azureProgram, startAzureServer } from '../contract/azure-server.fixture.ts';
import { memcachedProgram, startMemcached } from '../contract/cache-servers.fixture.ts';
import { faultProxy } from '../contract/fault-proxy.fixture.ts';
import { gcsProgram, startGcsServer } from '../contract/gcs-server.fixture.ts';
import { PACE, testBuckets } from './bucket-servers.fixture.ts';
import {
  type Cleanup,
  becomesReady,
  type Server,
  type StartOptions,
  startServer,
  temporaryFolder,
  until,
} from './server.fixture.ts';
import { ask, type Batch, makeBatch, post, random, spansOf } from './spans.fixture.ts';

const buckets = await testBuckets('bucket');
const { skip, over, root } = buckets;
const next = random(20);
const azurite = await azureProgram();
const noAzure = 'missing' in azurite ? azurite.missing : undefined;
const fakeGcs = await gcsProgram();
const noGcs = 'missing' in fakeGcs ? fakeGcs.missing : undefined;
const memcached = memcachedProgram();
const noMemcached = 'missing' in memcached ? memcached.missing : undefined;

describe('blocks in a bucket', { skip }, () => {
  test('a block is uploaded, and other processes find its spans after a poll', async (t) => {
    const bucket = buckets.make();
    const writer = await startServer(t, over(t, bucket));
    const reader = await startServer(t, { ...over(t, bucket), target: 'querier' });
    const other = await startServer(t, over(t, bucket));
    const batch = await send(writer);
    await ask(`${writer.url}/flush`);
    await until('the bucket has a block', () => metas(bucket).length > 0);
    for (const server of [writer, reader, other]) await untilComplete(server, batch);
    const query = encodeURIComponent('{ resource.service.name = "shop" && name = "db.query" }');
    for (const server of [writer, reader, other]) {
      const answer = await ask(`${server.url}/api/search?q=${query}&limit=100`);
      const { traces } = JSON.parse(answer.body.toString()) as { traces: { traceID: string }[] };
      assert.deepEqual(traces.map(({ traceID }) => traceID).sort(), [...batch.traces.keys()].sort());
      const tags = JSON.parse((await ask(`${server.url}/api/search/tag/service.name/values`)).body.toString());
      assert.deepEqual(tags.tagValues, ['shop']);
    }
    assert.ok(fs.existsSync(path.join(root(bucket), 'single-tenant/index.json.gz')));
    for (const line of [
      /tempodb_backend_request_duration_seconds_count\{operation="GET",status_code="206"\} \d/,
      /tempodb_blocklist_length\{tenant="single-tenant"\} 1/,
    ])
      await until(`the metrics say ${line}`, async () =>
        line.test((await ask(`${reader.url}/metrics`)).body.toString()),
      );
  });

  test('the local copy goes when its time is over, and nobody misses it', async (t) => {
    const bucket = buckets.make();
    const options = over(t, bucket, ['--live-store.complete-block-timeout=100ms']);
    const server = await startServer(t, options);
    const batch = await send(server);
    await ask(`${server.url}/flush`);
    let asked = 0;
    await until('the local copy is gone', async () => {
      await complete(server, batch);
      asked++;
      return metas(bucket).length === 1 && localBlocks(options).length === 0;
    });
    assert.ok(asked > 0);
    await complete(server, batch);
    await server.kill();
    const again = await startServer(t, options);
    await untilComplete(again, batch);
  });

  test('a process that is stopped uploads what is left', async (t) => {
    const bucket = buckets.make();
    const server = await startServer(t, over(t, bucket));
    const batch = await send(server);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.equal(metas(bucket).length, 1);
    const reader = await startServer(t, { ...over(t, bucket), target: 'querier' });
    await complete(reader, batch);
  });

  for (const point of [...UPLOAD_POINTS, 'removed'])
    test(`killed when an upload has reached "${point}", and started again: every span once`, async (t) => {
      const bucket = buckets.make();
      const options = over(t, bucket, ['--live-store.complete-block-timeout=100ms']);
      const server = await startServer(t, { ...options, env: { VIVACE_KILL_AT: `upload ${point}` } });
      const batch = await send(server);
      // The answer may not come any more.
      await ask(`${server.url}/flush`).catch(() => {});
      assert.equal((await server.exited).signal, 'SIGKILL');
      const again = await startServer(t, options);
      await complete(again, batch);
      await until('the upload is done and the local copy gone', async () => {
        await complete(again, batch);
        return metas(bucket).length > 0 && localBlocks(options).length === 0;
      });
      assert.equal(metas(bucket).length, 1);
      const reader = await startServer(t, { ...over(t, bucket), target: 'querier' });
      await complete(reader, batch);
    });

  test('a bucket that is not there delays nobody who sends, and gets its blocks when it is', async (t) => {
    const bucket = buckets.make();
    const missing = `${bucket}-later`;
    const options = over(t, missing);
    const server = await startServer(t, options);
    const batch = await send(server);
    await ask(`${server.url}/flush`);
    await complete(server, batch);
    const reader = await startServer(t, { ...over(t, missing), target: 'querier', wait: false });
    await until('it is told that the bucket is missing', () => server.stderr().includes('the bucket does not exist'));
    await until('the reader waits for the bucket', async () =>
      ask(`${reader.url}/ready`).then(
        ({ status }) => status === 503,
        () => false,
      ),
    );
    fs.mkdirSync(root(missing));
    await until('the bucket has the block', () => metas(missing).length === 1);
    await becomesReady(reader);
    await untilComplete(reader, batch);
  });

  test('a bucket that fails altogether while it is asked is told as such, and forgotten when it is back', async (t) => {
    const bucket = buckets.make();
    const proxy = await faultProxy(t, buckets.server.endpoint);
    const server = await startServer(t, over(t, bucket));
    const batch = await send(server);
    await server.stop();
    const flags = ['--storage.trace.s3.retry-max-attempts=1'];
    const reader = await startServer(t, { ...over(t, bucket, flags, proxy.endpoint), target: 'querier' });
    const [trace] = batch.traces.keys();
    await until('the block is listed', async () =>
      /tempodb_blocklist_length\{.*\} 1/.test((await ask(`${reader.url}/metrics`)).body.toString()),
    );
    proxy.decide = () => 'slow-down';
    const refused = await ask(`${reader.url}/api/traces/${trace}`);
    assert.equal(refused.status, 503);
    assert.match(refused.body.toString(), /SlowDown/);
    proxy.decide = () => 'none';
    await until('it is found again', async () => (await ask(`${reader.url}/api/traces/${trace}`)).status === 200);
    await complete(reader, batch);
  });

  test('while the bucket fails, what is on this machine is found, and the answer says what it lacks', async (t) => {
    const bucket = buckets.make();
    const writer = await startServer(t, over(t, bucket));
    const old = await send(writer);
    await writer.stop();
    const proxy = await faultProxy(t, buckets.server.endpoint);
    const server = await startServer(t, over(t, bucket, ['--storage.trace.s3.retry-max-attempts=1'], proxy.endpoint));
    await until('the block is listed', async () =>
      /tempodb_blocklist_length\{.*\} 1/.test((await ask(`${server.url}/metrics`)).body.toString()),
    );
    const recent = await send(server);
    proxy.decide = () => 'slow-down';
    // Only one half of them is asked for, so that no page of the block was read before.
    const searched = async () => {
      const query = encodeURIComponent('{ resource.service.name = "shop" && name = "db.query" }');
      const { status, headers, body } = await ask(`${server.url}/api/search?q=${query}&limit=100`);
      assert.equal(status, 200, body.toString());
      const { traces } = JSON.parse(body.toString()) as { traces: { traceID: string }[] };
      return {
        receipt: String(headers['x-vivace-receipt']),
        ids: traces.map(({ traceID }) => traceID.padStart(32, '0')).sort(),
      };
    };
    const partial = await searched();
    assert.deepEqual(partial.ids, [...recent.traces.keys()].sort());
    assert.match(partial.receipt, /missing=\("block [0-9a-f-]+: .*SlowDown/);
    await complete(server, recent);
    const [lost] = old.traces.keys();
    assert.equal((await ask(`${server.url}/api/traces/${lost}`)).status, 503);
    await until('the metric tells', async () =>
      /vivace_partial_answers_total\{.*op="search".*\} [1-9]/.test(
        (await ask(`${server.url}/metrics`)).body.toString(),
      ),
    );
    proxy.decide = () => 'none';
    const all = [...old.traces.keys(), ...recent.traces.keys()].sort();
    await until('all are found', async () => (await searched()).ids.length === all.length);
    const whole = await searched();
    assert.deepEqual(whole.ids, all);
    assert.ok(!whole.receipt.includes('missing'), whole.receipt);
    await until('the trace is found', async () => (await ask(`${server.url}/api/traces/${lost}`)).status === 200);
    await complete(server, old);
  });

  test('a trace is asked for only where it may be: a few requests, however many blocks', async (t) => {
    const bucket = buckets.make();
    const proxy = await faultProxy(t, buckets.server.endpoint);
    let reads: string[] = [];
    proxy.decide = ({ url = '' }) => {
      if (/\/(?:data\.parquet|traces|trace-filters)/.test(url)) reads.push(url);
      return 'none';
    };
    const writer = await startServer(t, over(t, bucket));
    const batches: Batch[] = [];
    for (let i = 0; i < 20; i++) {
      batches.push(await send(writer));
      await ask(`${writer.url}/flush`);
    }
    await until('their filters are in one object', () =>
      fs.existsSync(path.join(root(bucket), 'single-tenant/trace-filters')),
    );
    await writer.stop();
    assert.equal(metas(bucket).length, 20);
    const reader = await startServer(t, { ...over(t, bucket, [], proxy.endpoint), target: 'querier' });
    // One read for the object, and one a block that came after it.
    await until('filters are read', () => reads.some((url) => url.includes('/trace-filters')));
    await until('nothing is under way', async () => {
      const before = reads.length;
      await ask(`${reader.url}/api/traces/${'ab'.repeat(16)}`);
      return reads.length === before;
    });
    assert.ok(reads.length <= 13, reads.join('\n'));
    for (const batch of batches.slice(0, 5)) {
      const [trace] = batch.traces.keys();
      reads = [];
      assert.ok((await spansOf(reader.url, trace)).length > 0);
      assert.ok(reads.length > 0 && reads.length <= 8, reads.join('\n'));
      reads = [];
      assert.ok((await spansOf(reader.url, trace)).length > 0);
      assert.deepEqual(reads, []);
    }
  });

  test('processes share what they read in memcached, and miss nothing without it', { skip: noMemcached }, async (t) => {
    const bucket = buckets.make();
    const cache = await startMemcached(t, 'file' in memcached ? memcached.file : '');
    const flags = [
      '--storage.trace.cache=memcached',
      `--storage.trace.memcached.addresses=${cache.address}`,
      '--storage.trace.memcached.timeout=5s',
    ];
    const writer = await startServer(t, over(t, bucket));
    const batch = await send(writer);
    await writer.stop();
    const ofCalls = (method: string): RegExp =>
      new RegExp(
        `tempo_memcache_request_duration_seconds_count\\{method="${method}",name="bloom",status_code="200"\\} \\d`,
      );
    for (const method of ['Memcache.Put', 'Memcache.GetMulti']) {
      const reader = await startServer(t, { ...over(t, bucket, flags), target: 'querier' });
      await complete(reader, batch);
      await until(`the metrics have ${method}`, async () =>
        ofCalls(method).test((await ask(`${reader.url}/metrics`)).body.toString()),
      );
    }
    await cache.kill();
    await complete(await startServer(t, { ...over(t, bucket, flags), target: 'querier' }), batch);
  });

  test('what is deleted from the bucket is missed by nobody after a poll', async (t) => {
    const bucket = buckets.make();
    const options = over(t, bucket);
    const server = await startServer(t, options);
    const batch = await send(server);
    await ask(`${server.url}/flush`);
    await until('the bucket has a block', () => metas(bucket).length === 1);
    await until('the index has been written', () =>
      fs.existsSync(path.join(root(bucket), 'single-tenant/index.json.gz')),
    );
    for (const meta of metas(bucket)) fs.rmSync(path.dirname(meta), { recursive: true });
    const [trace] = batch.traces.keys();
    await until('the trace is gone', async () => (await spansOf(server.url, trace)).length === 0);
    assert.deepEqual(localBlocks(options), []);
  });
});

describe('blocks in the bucket of another kind', () => {
  test('Azure', { skip: noAzure }, async (t) => {
    const azure = await startAzureServer(t, (azurite as { file: string }).file);
    await there(t, [
      '--storage.trace.backend=azure',
      `--storage.trace.azure.container-name=${azure.containerName}`,
      `--storage.trace.azure.endpoint-suffix=${azure.endpointSuffix}`,
      `--storage.trace.azure.storage-account-name=${azure.storageAccountName}`,
      `--storage.trace.azure.storage-account-key=${azure.storageAccountKey}`,
      '--storage.trace.azure.prefix=team',
    ]);
  });

  test('Google', { skip: noGcs }, async (t) => {
    const gcs = await startGcsServer(t, (fakeGcs as { file: string }).file);
    await there(t, [
      '--storage.trace.backend=gcs',
      `--storage.trace.gcs.bucket-name=${gcs.bucketName}`,
      `--storage.trace.gcs.endpoint=${gcs.endpoint}`,
      '--storage.trace.gcs.insecure=true',
      '--storage.trace.gcs.prefix=team',
    ]);
  });

  /** A block goes there, and another process finds it. */
  async function there(t: Cleanup, storage: string[]): Promise<void> {
    const flags = [...storage, ...PACE];
    const writer = await startServer(t, { directory: temporaryFolder(t), flags });
    const batch = await send(writer);
    await ask(`${writer.url}/flush`);
    const reader = await startServer(t, { directory: temporaryFolder(t), flags, target: 'querier' });
    await untilComplete(reader, batch);
    assert.deepEqual(await writer.stop(), { code: 0, signal: null });
  }
});

describe('a log in the bucket', { skip }, () => {
  const flags = ['--ingester.ack=storage'];

  test('what is acknowledged outlives the machine and all that was on its disk, once', async (t) => {
    const bucket = buckets.make();
    const options = over(t, bucket, flags);
    const server = await startServer(t, options);
    const batches = [await send(server)];
    assert.equal(logOf(bucket).filter((key) => key.endsWith('.log')).length, 1);
    assert.deepEqual(fs.globSync('**/*.log', { cwd: options.directory }), [], 'none on the disk');
    batches.push(...(await Promise.all([send(server), send(server), send(server)])));
    for (const batch of batches) await complete(server, batch);
    // Part of it is in a block of the bucket.
    await ask(`${server.url}/flush`);
    await until('the bucket has a block', () => metas(bucket).length === 1);
    batches.push(await send(server));
    await server.kill();
    fs.rmSync(options.directory, { recursive: true });
    silentForMinutes(bucket);
    // Two that want it: one gets it.
    const others = await Promise.all([startServer(t, over(t, bucket, flags)), startServer(t, over(t, bucket, flags))]);
    await until('all that was left is in blocks', async () => {
      for (const other of others) await ask(`${other.url}/flush`);
      return logOf(bucket).every((key) => key.endsWith('/owner')) && logOf(bucket).length === others.length;
    });
    const reader = await startServer(t, { ...over(t, bucket), target: 'querier' });
    for (const batch of batches) await complete(reader, batch);
    const stored = metas(bucket).map(
      (meta) => JSON.parse(fs.readFileSync(meta, 'utf8')) as { vivace: { spans: number } },
    );
    assert.equal(
      stored.reduce((sum, { vivace }) => sum + vivace.spans, 0),
      batches.length * 42,
    );
    assert.equal(metas(bucket).length, 2, 'what was in blocks already is not written again');
  });

  test('no answer says that spans are safe which the bucket has refused', async (t) => {
    const bucket = buckets.make();
    const proxy = await faultProxy(t, buckets.server.endpoint);
    const options = over(t, bucket, [...flags, '--storage.trace.s3.retry-max-attempts=1'], proxy.endpoint);
    const server = await startServer(t, options);
    const first = await send(server);
    proxy.decide = ({ method, url = '' }) => (method === 'PUT' && url.includes('.log') ? 'slow-down' : 'none');
    const refused = makeBatch(next, { traces: 1, spansPerTrace: 3 });
    const answer = await post(server.otlpUrl, refused.body);
    assert.equal(answer.status, 503);
    const [trace] = refused.traces.keys();
    assert.deepEqual(await spansOf(server.url, trace), []);
    proxy.decide = () => 'none';
    assert.equal((await post(server.otlpUrl, refused.body)).status, 200);
    await complete(server, refused);
    await complete(server, first);
  });

  test('a process that is stopped leaves blocks and no log', async (t) => {
    const bucket = buckets.make();
    const server = await startServer(t, over(t, bucket, flags));
    const batch = await send(server);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.deepEqual(logOf(bucket), []);
    const reader = await startServer(t, { ...over(t, bucket), target: 'querier' });
    await untilComplete(reader, batch);
  });

  test('objects leave the log when their spans are in blocks of the bucket', async (t) => {
    const bucket = buckets.make();
    const server = await startServer(t, over(t, bucket, flags));
    const batch = await send(server);
    await ask(`${server.url}/flush`);
    await until('the log is empty', () => logOf(bucket).every((key) => key.endsWith('/owner')));
    assert.equal(metas(bucket).length, 1);
    await complete(server, batch);
  });

  test('a process whose log was taken over while it seemed dead ends, and does not go on beside the other', async (t) => {
    const bucket = buckets.make();
    const server = await startServer(t, over(t, bucket, flags));
    const batch = await send(server);
    process.kill(server.pid, 'SIGSTOP');
    silentForMinutes(bucket);
    const other = await startServer(t, over(t, bucket, flags));
    await untilComplete(other, batch);
    const ended = server.exited;
    process.kill(server.pid, 'SIGCONT');
    assert.equal((await ended).code, 1);
    assert.match(server.stderr(), /was taken over by another process/);
    await ask(`${other.url}/flush`);
    await complete(other, batch);
  });
});

test('a log in the bucket wants a bucket', async (t) => {
  const server = await startServer(t, {
    directory: temporaryFolder(t),
    flags: ['--ingester.ack=storage'],
    wait: false,
  });
  assert.notEqual((await server.exited).code, 0);
  assert.match(server.stderr(), /cannot use ingester\.ack: storage: storage\.trace\.backend is local/);
});

function logOf(bucket: string): string[] {
  return fs.globSync('vivace~log/*/*', { cwd: root(bucket) });
}

/** The owners of all logs have written nothing for two minutes, as far as the bucket's clock says. */
function silentForMinutes(bucket: string): void {
  const then = new Date(Date.now() - 120_000);
  for (const key of logOf(bucket)) fs.utimesSync(path.join(root(bucket), key), then, then);
}

const metas = (bucket: string): string[] => buckets.glob(bucket, '*/*/meta.json');

function localBlocks({ directory }: StartOptions): string[] {
  return fs.globSync('data/wal/blocks/*/*', { cwd: directory });
}

async function send(server: Server): Promise<Batch> {
  const batch = makeBatch(next, { traces: 6, spansPerTrace: 7, textBytes: 300 });
  assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
  return batch;
}

async function complete(server: Server, batch: Batch): Promise<void> {
  for (const [trace, spans] of batch.traces)
    assert.deepEqual((await spansOf(server.url, trace)).sort(), [...spans].sort());
}

async function untilComplete(server: Server, batch: Batch): Promise<void> {
  const [last] = [...batch.traces.keys()].reverse();
  await until(
    'the spans are found',
    async () => (await spansOf(server.url, last)).length > 0,
    30_000,
    () => server.stderr(),
  );
  await complete(server, batch);
}
