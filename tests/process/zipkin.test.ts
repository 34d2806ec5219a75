import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import zlib from 'node:zlib';
import { vector } from '../../src/receive/vectors.fixture.ts';
import { metricOf, type ReceivingServer, startReceiving, traceOf } from './receivers.fixture.ts';
import { temporaryFolder } from './server.fixture.ts';
import { ask, randomId, random } from './spans.fixture.ts';

// Numbers of the cases are rows of the table of hostile inputs (spec/ingestion.md §10).

const suite = { after };
const directory = temporaryFolder(suite, 'zipkin');
const next = random(9);
let server: ReceivingServer;

before(async () => {
  server = await startReceiving(suite, { directory, zipkin: ', parse_string_tags: true' });
});

const V2 = '/api/v2/spans';
const V1 = '/api/v1/spans';
const JSON_TYPE = 'application/json';
const send = (
  body: Uint8Array | string,
  path = V2,
  type: string | undefined = JSON_TYPE,
  headers: Record<string, string> = {},
) =>
  ask(
    `http://127.0.0.1:${server.receivers.zipkin}${path}`,
    { method: 'POST', headers: { ...(type !== undefined && { 'Content-Type': type }), ...headers } },
    body,
  );

describe('golden vectors come back by id', () => {
  const cases: [string, string, string, attributes: Record<string, unknown>][] = [
    ['zipkin-proto', V2, 'application/x-protobuf', { k: 'v' }],
    ['zipkin-thrift', V1, 'application/x-thrift', {}],
  ];
  for (const [name, path, type, attributes] of cases)
    it(name, async () => {
      const { bytes, traceId } = vector(name);
      const answer = await send(bytes, path, type);
      assert.deepEqual([answer.status, answer.body.length], [202, 0], answer.body.toString());
      const [span, ...more] = (await traceOf(server, traceId)) ?? [];
      assert.equal(more.length, 0);
      assert.deepEqual([span.name, span.kind], ['op', 'SPAN_KIND_CLIENT']);
      assert.deepEqual([span.startTimeUnixNano, span.endTimeUnixNano], ['1700000000000000000', '1700000000001000000']);
      assert.deepEqual([span.resource, span.attributes], [{ 'service.name': 'svc' }, attributes]);
    });
});

it('both halves of a shared span come back', async () => {
  const traceId = randomId(next, 16);
  const half = (kind: string, serviceName: string) => ({
    ...{ traceId, id: '00000000000000aa', parentId: '00000000000000bb', name: kind, kind, shared: kind === 'SERVER' },
    ...{
      timestamp: Date.now() * 1000,
      duration: 5,
      localEndpoint: { serviceName },
      tags: { n: '12', t: 'true', d: '1.5' },
    },
  });
  const body = JSON.stringify([half('CLIENT', 'front'), half('SERVER', 'back')]);
  assert.equal((await send(zlib.gzipSync(body), V2, JSON_TYPE, { 'Content-Encoding': 'gzip' })).status, 202);
  const spans = (await traceOf(server, traceId)) ?? [];
  assert.deepEqual(spans.map(({ kind, resource, attributes }) => [kind, resource['service.name'], attributes]).sort(), [
    ['SPAN_KIND_CLIENT', 'front', { n: '12', t: true, d: 1.5 }],
    ['SPAN_KIND_SERVER', 'back', { n: '12', t: true, d: 1.5 }],
  ]);
});

const one = (fields: Record<string, unknown> = {}): string =>
  JSON.stringify([
    { traceId: randomId(next, 16), id: randomId(next, 8), name: 'op', timestamp: Date.now() * 1000, ...fields },
  ]);
const v1 = (fields: Record<string, unknown>): string =>
  JSON.stringify([
    { traceId: randomId(next, 16), id: randomId(next, 8), name: 'op', timestamp: Date.now() * 1000, ...fields },
  ]);
const proto = (): Buffer => vector('zipkin-proto').bytes;

describe('answers', () => {
  const cases: [
    string,
    body: Uint8Array | string,
    status: number,
    path?: string,
    type?: string,
    headers?: Record<string, string>,
  ][] = [
    ['74: v1 [null]', '[null]', 400, V1],
    ['74: v1 binaryAnnotations:[null]', v1({ binaryAnnotations: [null] }), 400, V1],
    ['75: v1 value:true', v1({ binaryAnnotations: [{ key: 'sa', value: true }] }), 202, V1],
    ['76: no id', one({ id: undefined }), 400],
    ['76: id of zeros', one({ id: '0' }), 400],
    ['76: id of 17 digits', one({ id: '1'.repeat(17) }), 400],
    ['76: id that is not hexadecimal', one({ id: 'x' }), 400],
    ['77: a number as traceId', one({ traceId: 12345 }), 400],
    ['77: traceId of 33 digits', one({ traceId: '1'.repeat(33) }), 400],
    ['77: empty traceId', one({ traceId: '' }), 400],
    ['no traceId', one({ traceId: undefined }), 500],
    ['78: annotation a|b|c', one({ annotations: [{ timestamp: 1, value: 'a|b|c' }] }), 400],
    ['78: link with broken JSON', one({ tags: { 'otlp.link.0': `${'1'.repeat(32)}|${'1'.repeat(16)}||x|0` } }), 400],
    ['79: number as a tag', one({ tags: { a: 5 } }), 400],
    ['79: port 70000', one({ localEndpoint: { port: 70000 } }), 400],
    ['79: ipv4 999.1.1.1', one({ localEndpoint: { ipv4: '999.1.1.1' } }), 400],
    ['79: timestamp 1.5', one({ timestamp: 1.5 }), 400],
    [
      '80: protobuf with a trace id of 8 bytes',
      Buffer.from('0a160a0801020304050607081a080102030405060708', 'hex'),
      400,
      V2,
      'application/x-protobuf',
    ],
    ['80: protobuf cut short', proto().subarray(0, -2), 400, V2, 'application/x-protobuf'],
    ['81: protobuf with a parameter in its type', proto(), 400, V2, 'application/x-protobuf; charset=utf-8'],
    ['82: Thrift n = -1', Buffer.from('0cffffffff', 'hex'), 400, V1, 'application/x-thrift'],
    ['82: Thrift n = 2^31-1', Buffer.from('0c7fffffff', 'hex'), 400, V1, 'application/x-thrift'],
    ['82: Thrift n = 83 million and one byte', Buffer.from('0c04f2788001', 'hex'), 400, V1, 'application/x-thrift'],
    ['83: 100 000 lists', '['.repeat(100_000), 400],
    ['88: a megabyte of digits', one({ tags: { n: '9'.repeat(1 << 20) } }), 202],
    [
      'span id of zeros in protobuf',
      Buffer.from('0a1c0a1001020304050607080102030405060708' + '1a080000000000000000', 'hex'),
      500,
      V2,
      'application/x-protobuf',
    ],
    ['nothing', '[]', 202],
    ['null', 'null', 202],
    ['[null]', '[null]', 202],
    ['an empty protobuf', '', 202, V2, 'application/x-protobuf'],
    ['an empty body', '', 400],
    ['another path', one(), 202, '/'],
    ['gzip that is none', one(), 400, V2, JSON_TYPE, { 'Content-Encoding': 'gzip' }],
    ['an unknown encoding', one(), 400, V2, JSON_TYPE, { 'Content-Encoding': 'br' }],
    ['a body of 21 MiB', Buffer.alloc(21 << 20, 0x20), 400],
  ];
  for (const [title, body, status, path, type, headers] of cases)
    it(title, async () => {
      const answer = await send(body, path, type, headers);
      assert.equal(answer.status, status, answer.body.toString());
      if (status === 500) assert.equal(answer.body.toString(), '"Internal Server Error"');
    });
  it('88: saturates', async () => {
    const traceId = randomId(next, 16);
    assert.equal((await send(one({ traceId, tags: { n: '9'.repeat(1 << 20) } }))).status, 202);
    assert.deepEqual((await traceOf(server, traceId))?.[0].attributes, { n: '9223372036854775807' });
  });
});

it('counts by receiver and transport', async () => {
  for (const transport of ['http_v1_json', 'http_v1_thrift', 'http_v2_json', 'http_v2_proto']) {
    const labels = `receiver="zipkin/zipkin_receiver",transport="${transport}"`;
    assert.ok((await metricOf(server, 'tempo_receiver_accepted_spans', labels)) > 0, transport);
  }
});

it('stops in order', async () => {
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
  assert.doesNotMatch(server.stderr(), /level=error/);
});

it('needs a tenant where there are several, even for nothing', async (t) => {
  const strict = await startReceiving(t, { directory: temporaryFolder(t, 'tenants'), multitenancy: true });
  const post = (body: string, headers: Record<string, string> = {}) =>
    ask(`http://127.0.0.1:${strict.receivers.zipkin}${V2}`, { method: 'POST', headers }, body);
  const traceId = randomId(next, 16);
  assert.equal((await post('[]')).status, 500);
  assert.equal((await post(one({ traceId }))).status, 500);
  assert.equal((await post(one({ traceId }), { 'X-Scope-OrgID': 'a/b' })).status, 500);
  assert.equal((await post(one({ traceId }), { 'X-Scope-OrgID': 'one' })).status, 202);
  assert.equal((await traceOf(strict, traceId, 'one'))?.length, 1);
  assert.equal(await traceOf(strict, traceId, 'two'), undefined);
});
