import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { denyList } from './deny-list.ts';
import { VivaceError } from '../runtime/errors.ts';
import { doing, errors, flushed, get, json, plain, range, running, seen } from './api-under-test.ts';

test('any verb will do', async () => assert.equal((await get('/api/echo', {}, 'plain', 'POST')).text, 'echo'));

test('the build says its version', async () => {
  assert.deepEqual(await json('/api/status/buildinfo'), plain.buildInfo);
});

test('not ready says why', async () => {
  doing.ready = { ok: false, reason: 'Application is stopping' };
  const got = await get('/ready');
  doing.ready = { ok: true };
  assert.deepEqual([got.status, got.text.trim()], [503, 'Application is stopping']);
});

test('flush answers 204, for all or for one', async () => {
  flushed.length = 0;
  assert.equal((await get('/flush')).status, 204);
  assert.equal((await get('/flush?tenant=a', {}, 'plain', 'POST')).status, 204);
  assert.deepEqual(flushed, [undefined, 'a']);
});

test('shutdown is begun after the answer', async () => {
  const before = doing.stopped;
  await get('/shutdown');
  assert.equal(doing.stopped, before + 1);
});

test('the status has all its sections', async () => {
  const { text } = await get('/status');
  for (const section of ['version', 'services', 'endpoints', 'runtime_config', 'config'])
    assert.ok(text.includes(`GET /status/${section}\n`), section);
  assert.match(text, /server +\| Running/);
  assert.match(text, /api_v2_traces_traceid +\| \/api\/v2\/traces\/\{traceID\}/);
});

test('the first page is for people', async () => {
  assert.match((await get('/')).text, /curl 'http:\/\/127\.0\.0\.1:\d+\/api\/search'/);
  const page = await get('/', { accept: 'text/html', host: '"><script>' });
  assert.match(page.type, /^text\/html/);
  assert.ok(!page.text.includes('<script>'));
});

test('a prefix stands before the API and nothing else', async () => {
  assert.equal((await get('/tempo/api/echo', {}, 'prefixed')).text, 'echo');
  assert.equal((await get('/api/echo', {}, 'prefixed')).status, 404);
  assert.equal((await get('/ready', {}, 'prefixed')).status, 200);
  assert.equal((await get(`/tempo/api/search?${range}`, {}, 'prefixed')).status, 200);
  assert.equal(seen.at(-1), 'GET tempo_api_search 200');
});

test('requests are reported under the name of their route', async () => {
  await get('/api/v2/search/tag/.a/values');
  assert.equal(seen.at(-1), 'GET api_v2_search_tag_tagname_values 200');
  await get('/api/traces/zz');
  assert.equal(seen.at(-1), 'GET api_traces_traceid 400');
});

test('large bodies are compressed for those who ask', async () => {
  const whole = await get('/status', { 'accept-encoding': 'br, gzip;q=0.5' });
  assert.equal(whole.headers['content-encoding'], 'gzip');
  assert.match(gunzipSync(whole.body).toString(), /^GET \/status\/version/);
  for (const encoding of ['', 'gzip;q=0', 'br'])
    assert.equal((await get('/status', { 'accept-encoding': encoding })).headers['content-encoding'], undefined);
  assert.equal((await get('/api/echo', { 'accept-encoding': 'gzip' })).headers['content-encoding'], undefined);
});

test('a client that leaves stops its query, and nothing is written', async () => {
  errors.length = 0;
  seen.length = 0;
  let told: (() => void) | undefined;
  const aborted = new Promise<void>((resolve) => {
    told = resolve;
  });
  const reached = new Promise<void>((resolve) => {
    doing.searchInstead = (_, signal) =>
      new Promise((__, reject) => {
        signal.addEventListener('abort', () => {
          // Whatever the engine makes of it, it is not its fault.
          reject(new VivaceError('internal', 'stopped'));
          told!();
        });
        resolve();
      });
  });
  const { port } = running.get('plain')!.address() as AddressInfo;
  const request = http.get({ port, path: '/api/search', host: '127.0.0.1' });
  request.on('error', () => {});
  await reached;
  request.destroy();
  await aborted;
  doing.searchInstead = undefined;
  while (!seen.at(-1)?.startsWith('GET api_search')) await new Promise(setImmediate);
  assert.equal(seen.at(-1), 'GET api_search 499');
  assert.deepEqual(errors, []);
});

test('URLs on the list are refused, others are not', async () => {
  for (const path of ['/api/search?limit=12345', '/api/v2/search/tag/password/values']) {
    const got = await get(path, {}, 'denying');
    assert.deepEqual(
      [got.status, got.text.trim()],
      [400, 'the request is refused: its URL is on query_frontend.url_deny_list'],
    );
  }
  assert.equal((await get('/api/search?limit=123', {}, 'denying')).status, 200);
  assert.throws(() => denyList(['(']), { message: /cannot use "\(" in query_frontend.url_deny_list/ });
});

test('queriers are asked under their own path', async () => {
  assert.equal((await get(`/querier/api/search?${range}`)).status, 200);
  assert.equal((await get(`/querier/tempo/api/search?${range}`, {}, 'prefixed')).status, 200);
  assert.equal((await get('/querier/ready')).status, 404);
});

test('a query that takes too long is given up', async () => {
  const signals: AbortSignal[] = [];
  doing.searchInstead = (_, signal) => {
    signals.push(signal);
    return new Promise(() => {});
  };
  const got = await get('/api/search', {}, 'hasty');
  doing.searchInstead = undefined;
  assert.deepEqual([got.status, got.text.trim()], [503, 'unable to process request in the configured timeout']);
  assert.equal(signals[0].aborted, true);
});

test('a search that takes longer than searches may is 504', async () => {
  doing.searchInstead = (_, signal) =>
    new Promise((__, reject) => {
      signal.addEventListener('abort', () => reject(new VivaceError('cancelled', 'the client has gone')));
    });
  const got = await get(`/api/search?${range}`, {}, 'limited');
  doing.searchInstead = undefined;
  assert.equal(got.status, 504);
  assert.match(
    got.text,
    /^context deadline exceeded: no answer within 1 ms; .* raise query_frontend.search.timeout\n$/,
  );
});

const failures: [error: Error, status: number][] = [
  [new VivaceError('exhausted', 'job queue full', { retryAfterMs: 1200 }), 429],
  [new VivaceError('unavailable', 'not now'), 503],
  [new VivaceError('deadline', 'too late'), 504],
  [new VivaceError('internal', 'division by zero'), 500],
  [new Error('a mistake of ours'), 500],
];
for (const [error, status] of failures) {
  test(`${error.message} is answered ${status}`, async () => {
    errors.length = 0;
    doing.searchInstead = async () => {
      throw error;
    };
    const got = await get(`/api/search?${range}`);
    doing.searchInstead = undefined;
    assert.deepEqual([got.status, got.text.trim()], [status, error.message]);
    assert.deepEqual(errors, status >= 500 ? ['/api/search'] : []);
    assert.equal(got.headers['retry-after'], status === 429 ? '2' : undefined);
  });
}
