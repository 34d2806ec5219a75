import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask } from './spans.fixture.ts';

const suite = { after };
const directory = temporaryFolder(suite, 'overrides-api');
let server: Server;

before(async () => {
  fs.writeFileSync(
    path.join(directory, 'vivace.yaml'),
    'multitenancy_enabled: true\nhttp_api_prefix: /tempo\noverrides: {user_configurable_overrides: {enabled: true, poll_interval: 100ms, client: {backend: local, local: {path: ./limits}}}}\n',
  );
  server = await startServer(suite, { directory, flags: ['-config.file=vivace.yaml'] });
});

async function call(
  method: string,
  options: { tenant?: string; query?: string; body?: string; version?: string } = {},
) {
  const { tenant = 'a', query = '', body, version } = options;
  const headers = { 'X-Scope-OrgID': tenant, ...(version !== undefined && { 'If-Match': version }) };
  const answer = await ask(`${server.url}/tempo/api/overrides${query}`, { method, headers }, body);
  return { status: answer.status, text: answer.body.toString(), etag: String(answer.headers.etag ?? '') };
}

it('a tenant creates, reads, patches, replaces and deletes its limits', async () => {
  assert.deepEqual(await call('GET'), { status: 404, text: '', etag: '' });
  assert.equal((await call('GET', { query: '?scope=merged' })).status, 404);
  const body = '{"metrics_generator":{"processors":["span-metrics"]}}';
  const unmatched = await call('POST', { body });
  assert.deepEqual([unmatched.status, unmatched.text], [428, 'must specify If-Match header\n']);
  const created = await call('POST', { body, version: '0' });
  assert.deepEqual([created.status, created.text], [200, '']);
  assert.notEqual(created.etag, '');
  assert.equal((await call('POST', { body, version: '0' })).status, 412);
  const read = await call('GET');
  assert.equal(read.etag, created.etag);
  assert.deepEqual(JSON.parse(read.text).metrics_generator.processors, ['span-metrics']);
  const patched = await call('PATCH', { body: '{"metrics_generator":{"collection_interval":"30s"}}' });
  assert.deepEqual([patched.status, JSON.parse(patched.text).metrics_generator.collection_interval], [200, '30s']);
  assert.deepEqual(JSON.parse(patched.text).metrics_generator.processors, ['span-metrics']);
  assert.equal((await call('DELETE', { version: created.etag })).status, 412);
  assert.equal((await call('DELETE')).status, 428);
  assert.equal((await call('GET', { tenant: 'b' })).status, 404, 'another tenant');
  const merged = await call('GET', { query: '?scope=merged' });
  assert.equal(JSON.parse(merged.text).metrics_generator.native_histogram_bucket_factor, 1.1);
  const page = await ask(`${server.url}/status/overrides/a`);
  assert.match(page.body.toString(), /collection_interval: 30s/);
  assert.equal((await call('DELETE', { version: patched.etag })).status, 200);
  assert.equal((await call('GET')).status, 404);
});

it('what cannot be is refused', async () => {
  const unknown = await call('POST', { body: '{"foo":1}', version: '0' });
  assert.deepEqual([unknown.status, unknown.text], [400, 'json: unknown field "foo"\n']);
  const scope = await call('GET', { query: '?scope=foo' });
  assert.deepEqual([scope.status, scope.text], [400, 'unknown scope "foo", valid options are api and merged\n']);
  assert.equal((await call('PUT', { body: '{}' })).status, 405);
  assert.equal((await call('PATCH', { body: '{' })).status, 400);
  assert.equal((await call('GET', { tenant: 'a|b' })).status, 400);
  assert.equal((await call('GET', { tenant: '../a' })).status, 400);
  assert.equal((await call('POST', { body: `"${'x'.repeat(300_000)}"`, version: '0' })).status, 413);
  assert.equal((await ask(`${server.url}/tempo/api/overrides`)).status, 401);
});

it('what others write into the bucket is read, too', async () => {
  const folder = path.join(directory, 'limits/overrides/other');
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'overrides.json'), '{"metrics_generator":{"disable_collection":true}}');
  await until('it is read', async () =>
    (await ask(`${server.url}/status/overrides/other`)).body.includes('disable_collection: true'),
  );
  const metrics = (await ask(`${server.url}/metrics`)).body.toString();
  assert.match(metrics, /tempo_overrides_user_configurable_overrides_fetch_total\{tenant="other"\} [1-9]/);
});
