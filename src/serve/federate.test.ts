import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KNOWN, asked, get, lastAsked, range } from './api-under-test.ts';

const tenantCases: [server: string, header: string | undefined, status: number, body: string][] = [
  ['tenants', undefined, 401, 'no org id'],
  ['tenants', '|', 400, 'no org id'],
  ['tenants', 't/1', 400, "tenant ID 't/1' contains unsupported character '/'"],
  ['tenants', '..', 400, "tenant ID is '.' or '..'"],
  ['tenants', 'x'.repeat(151), 400, 'tenant ID is too long: max 150 characters'],
  ['single', 'a|b', 400, 'multiple org IDs present'],
];
for (const [server, header, status, body] of tenantCases) {
  test(`tenant ${header?.slice(0, 20)} is answered ${status} ${body}`, async () => {
    const got = await get('/api/search', header === undefined ? {} : { 'x-scope-orgid': header }, server);
    assert.deepEqual([got.status, got.text.trim()], [status, body]);
  });
}

test('one tenant, and none where none is needed', async () => {
  assert.equal((await get(`/api/search?${range}`, { 'x-scope-orgid': 'a' }, 'tenants')).status, 200);
  assert.equal(lastAsked().tenant, 'a');
  for (const path of ['/api/echo', '/ready', '/metrics', '/status'])
    assert.equal((await get(path, {}, 'tenants')).status, 200);
});

test('several tenants are asked and their answers joined', async () => {
  const headers = { 'x-scope-orgid': 'b|a|b' };
  const found = JSON.parse((await get(`/api/search?q=%7B%7D&${range}`, headers, 'tenants')).text);
  assert.deepEqual(
    asked.slice(-2).map((request) => request.tenant),
    ['a', 'b'],
  );
  assert.equal(found.traces.length, 1);
  assert.equal(found.traces[0].durationMs, 900);
  assert.deepEqual(
    found.traces[0].spanSets.map((set: { matched?: number }) => set.matched),
    [9],
  );
  assert.equal(found.metrics.inspectedBytes, '41336');
  const names = JSON.parse((await get(`/api/v2/search/tags?${range}&scope=resource`, headers, 'tenants')).text);
  assert.deepEqual(names.scopes, [{ name: 'resource', tags: ['b.only', 'region', 'service.name'] }]);
  assert.deepEqual(
    JSON.parse((await get(`/api/traces/${KNOWN}`, headers, 'tenants')).text),
    JSON.parse((await get(`/api/traces/${KNOWN}`, { 'x-scope-orgid': 'a' }, 'tenants')).text),
  );
});
