import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KNOWN, fields, get, json, lastAsked, traceBytes } from './api-under-test.ts';

const shownSpan = { traceId: 'wN4AAAAAAAAAAAAAAAAAEg==', name: 'GET <1>', status: {} };
const shownBatch = { resource: {}, scopeSpans: [{ scope: {}, spans: [shownSpan] }] };

test('a trace in version 1 and 2', async () => {
  assert.deepEqual(await json(`/api/traces/${KNOWN}`), { batches: [shownBatch] });
  assert.deepEqual(await json(`/api/v2/traces/${KNOWN}`), {
    trace: { resourceSpans: [shownBatch] },
    metrics: { inspectedBytes: '1024' },
  });
});

test('a part of a trace says so', async () => {
  assert.partialDeepStrictEqual(await json(`/api/v2/traces/${KNOWN}?start=7`), {
    status: 'PARTIAL',
    message: 'Trace exceeds maximum size of 9 bytes, a partial trace is returned',
  });
});

test('an unknown trace is 404 without a body in version 1, empty in version 2', async () => {
  const v1 = await get('/api/traces/ff00');
  assert.deepEqual([v1.status, v1.type, v1.text], [404, '', '']);
  const v2 = await get('/api/v2/traces/ff00');
  assert.deepEqual([v2.status, v2.text], [200, '{"trace":{},"metrics":{}}']);
  const protobuf = await get('/api/v2/traces/ff00', { accept: 'application/protobuf' });
  assert.deepEqual([...protobuf.body], [0x0a, 0, 0x12, 0]);
});

test('a trace as protobuf, also when JSON would do', async () => {
  const v1 = await get(`/api/traces/${KNOWN}`, { accept: 'application/protobuf, application/json' });
  assert.deepEqual([v1.type, v1.body], ['application/protobuf', Buffer.from(traceBytes())]);
  const v2 = await get(`/api/v2/traces/${KNOWN}?start=7`, { accept: 'application/protobuf' });
  assert.deepEqual(fields(v2.body, 1), [Buffer.from(traceBytes())]);
  assert.match(String(fields(v2.body, 4)[0]), /^Trace exceeds/);
});

test('a trace for language models', async () => {
  const got = await get(`/api/v2/traces/${KNOWN}`, { accept: 'application/vnd.grafana.llm' });
  assert.equal(got.type, 'application/vnd.grafana.llm+json');
  assert.partialDeepStrictEqual(JSON.parse(got.text), {
    trace: { traceId: KNOWN, services: [{ scopes: [{ spans: [{ name: 'GET <1>' }] }] }] },
    metrics: { inspectedBytes: 1024 },
  });
  assert.equal((await get('/api/v2/traces/ff00', { accept: 'application/vnd.grafana.llm' })).text, '{}');
  assert.equal(
    (await get(`/api/traces/${KNOWN}`, { accept: 'application/vnd.grafana.llm' })).type,
    'application/vnd.grafana.llm',
  );
});

const ids: [string, string][] = [
  ['1122334455667788', '00000000000000001122334455667788'],
  ['7', '00000000000000000000000000000007'],
  [KNOWN.toUpperCase(), KNOWN],
];
for (const [id, meant] of ids) {
  test(`the id ${id} means ${meant}`, async () => {
    await get(`/api/v2/traces/${id}?start=5&mode=ingesters`);
    assert.deepEqual(lastAsked(), {
      tenant: 'single-tenant',
      id: meant,
      mode: 'recent',
      startSeconds: 5,
      endSeconds: undefined,
      bytesMax: 5_000_000,
    });
  });
}
