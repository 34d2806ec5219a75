/** The command line client over blocks in a bucket: a real S3 server. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { spansOf } from '../../src/cli/trace.fixture.ts';
import { encodeRequest } from '../../src/query/segments.fixture.ts';
import { s3Program, startS3Server } from '../contract/s3-server.fixture.ts';
import { type Cleanup, ROOT, run, startServer, temporaryFolder, until } from './server.fixture.ts';
import { post } from './spans.fixture.ts';

const program = await s3Program();
const skip = 'missing' in program ? program.missing : undefined;
const file: Cleanup = { after: (work) => after(work) };

describe('vivace-cli over a bucket', { skip }, () => {
  it('lists blocks and finds traces, by options and by a configuration', async (t) => {
    const s3 = await startS3Server(file, (program as { file: string }).file);
    const folder = temporaryFolder(t, 'cli-bucket');
    const config = path.join(folder, 'tempo.yaml');
    fs.writeFileSync(
      config,
      `storage:
  trace:
    backend: s3
    wal: {path: ${folder}/wal}
    local: {path: ${folder}/blocks}
    s3: {bucket: traces, endpoint: '${s3.endpoint}', insecure: true, access_key: ${s3.accessKey}, secret_key: '${s3.secretKey}'}
`,
    );
    const server = await startServer(t, { directory: folder, flags: [`-config.file=${config}`] });
    const traces = [...spansOf('shop GET / 0-10\n bank charge 2-8 ! no'), ...spansOf('mail send 20-30', 2)];
    assert.equal((await post(server.otlpUrl, encodeRequest(traces))).status, 200);
    assert.equal((await server.stop()).code, 0);
    const tenant = path.join(s3.root, 'buckets/traces/single-tenant');
    await until('the block is in the bucket', () => fs.readdirSync(tenant).length > 0);
    const [block] = fs.readdirSync(tenant).filter((name) => !name.startsWith('index'));
    // What is left on this machine is not what is read.
    fs.rmSync(path.join(folder, 'blocks'), { recursive: true, force: true });
    const bucket = ['--backend', 's3', '--bucket', 'traces', '--s3-endpoint', `http://${s3.endpoint}`];
    const options = [...bucket, '--s3-user', s3.accessKey, '--s3-pass', s3.secretKey];
    const cli = async (...args: string[]): Promise<string> => {
      const ended = await run(path.join(ROOT, 'bin/vivace-cli'), args);
      assert.equal(ended.code, 0, ended.stderr);
      return ended.stdout;
    };
    assert.match(await cli('list', 'blocks', ...options), new RegExp(`^${block} `, 'm'));
    assert.match(await cli('list', 'tenants', '-c', config), /^single-tenant +1 +2 +3 /m);
    assert.match(await cli('view', 'block', 'single-tenant', block, ...options), /^trace_id /m);
    assert.match(await cli('query', 'trace-id', '1', '-c', config), /bank +└╴✗ charge/);
    assert.match(await cli('query', 'search', 'service.name', 'mail', '2023-11-14', '2023-11-15', ...options), /^2 /m);
    assert.match(await cli('query', 'api', 'search', config, '{ status = error }'), /^1 .* shop +GET \/$/m);
    assert.match(
      await cli('query', 'api', 'metrics', config, '{ } | count_over_time()', '--instant', '--since', '200000h'),
      / 3 /,
    );
    const parquet = path.join(folder, 'shop.parquet');
    assert.match(await cli('export', config, '{ .service.name = "shop" }', parquet), /^1 trace, 2 spans, /);
    fs.mkdirSync(path.join(folder, 'imported/blocks'), { recursive: true });
    await cli('import', parquet, path.join(folder, 'imported'));
    assert.match(await cli('query', 'trace-id', '1', '--bucket', path.join(folder, 'imported')), /bank +└╴✗ charge/);
    const refused = await run(path.join(ROOT, 'bin/vivace-cli'), [
      'list',
      'blocks',
      ...bucket,
      '--s3-user',
      'x',
      '--s3-pass',
      'y',
    ]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^vivace-cli: cannot list .*S3 bucket traces: /);
  });
});
