import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deleted, get, json, KNOWN } from './api-under-test.ts';

test('a trace is deleted, and what is left of it told', async () => {
  const asked = await get(`/api/traces/${KNOWN}`, {}, 'plain', 'DELETE');
  assert.equal(asked.status, 202);
  assert.deepEqual(JSON.parse(asked.text), {
    ...{ traceID: KNOWN, state: 'erasing', deleted: '1970-01-01T00:00:00.000Z', erased: '1970-01-01T00:00:01.000Z' },
  });
  assert.equal((await get('/api/v2/traces/ff00', {}, 'plain', 'DELETE')).status, 200, 'nothing is left of it');
  assert.deepEqual(deleted, [`single-tenant ${KNOWN}`, `single-tenant ${'ff00'.padStart(32, '0')}`]);
  const state = { traceID: KNOWN, state: 'erasing', deleted: '1970-01-01T00:00:00.000Z', waitsFor: ['blocks'] };
  assert.deepEqual(await json(`/api/deleted-traces/${KNOWN}`), state);
  assert.deepEqual(await json('/api/deleted-traces'), { traces: [state] });
  assert.equal((await get('/api/deleted-traces/ff00')).status, 404);
});

test('bad ids are refused, and other verbs still ask', async () => {
  for (const id of ['nothex', '0'.repeat(33)])
    assert.equal((await get(`/api/traces/${id}`, {}, 'plain', 'DELETE')).status, 400);
  assert.equal((await get(`/api/traces/${KNOWN}`, {}, 'plain', 'POST')).status, 200);
  assert.equal(deleted.length, 2);
});
