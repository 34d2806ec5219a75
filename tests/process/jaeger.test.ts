import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import zlib from 'node:zlib';
import { protoRequest, thriftBatch } from '../../src/receive/jaeger.fixture.ts';
import { vector } from '../../src/receive/vectors.fixture.ts';
import {
  i32,
  i64,
  list,
  string,
  struct,
  type ThriftValue,
  thriftBytes,
  thriftMessage,
} from '../../src/wire/thrift.fixture.ts';
import { THRIFT_STRUCT } from '../../src/wire/thrift.ts';
import { metricOf, type ReceivingServer, startReceiving, traceOf } from './receivers.fixture.ts';
import { temporaryFolder, until } from './server.fixture.ts';
import { ask, call } from './spans.fixture.ts';

// Numbers of the cases are rows of the table of hostile inputs (spec/ingestion.md §10).

const POST_SPANS = '/jaeger.api_v2.CollectorService/PostSpans';
const suite = { after };
const directory = temporaryFolder(suite, 'jaeger');
let server: ReceivingServer;
let session: http2.ClientHttp2Session;
const udp = dgram.createSocket('udp4');

before(async () => {
  server = await startReceiving(suite, { directory });
  session = http2.connect(`http://127.0.0.1:${server.receivers.jaegerGrpc}`);
  session.on('error', () => {});
});
after(() => {
  session.destroy();
  udp.close();
});

const collector = (): string => `http://127.0.0.1:${server.receivers.jaegerHttp}/api/traces`;
const postThrift = (body: Uint8Array, headers: Record<string, string> = {}) =>
  ask(collector(), { method: 'POST', headers: { 'Content-Type': 'application/x-thrift', ...headers } }, body);
const datagram = (port: number, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => udp.send(bytes, port, '127.0.0.1', (error) => (error ? reject(error) : resolve())));

async function assertVector(name: string): Promise<void> {
  await until(`the span of ${name} is there`, async () => (await traceOf(server, vector(name).traceId)) !== undefined);
  const [span, ...more] = (await traceOf(server, vector(name).traceId)) ?? [];
  assert.equal(more.length, 0);
  assert.equal(span.spanId, Buffer.from('1112131415161718', 'hex').toString('base64'));
  assert.deepEqual([span.name, span.kind, span.status.code], ['op', 'SPAN_KIND_CLIENT', 'STATUS_CODE_ERROR']);
  assert.deepEqual([span.startTimeUnixNano, span.endTimeUnixNano], ['1700000000000000000', '1700000000001000000']);
  assert.deepEqual([span.resource, span.attributes], [{ 'service.name': 'svc' }, {}]);
}

describe('golden vectors come back by id', () => {
  it('Thrift over HTTP', async () => {
    const answer = await postThrift(vector('jaeger-thrift').bytes);
    assert.deepEqual([answer.status, answer.body.length], [202, 0]);
    await assertVector('jaeger-thrift');
  });
  it('PostSpans', async () => {
    assert.equal((await call(session, vector('jaeger-proto').bytes, POST_SPANS)).status, 0);
    await assertVector('jaeger-proto');
  });
  it('UDP, compact', async () => {
    await datagram(server.receivers.compact, vector('jaeger-udp-compact').bytes);
    await assertVector('jaeger-udp-compact');
  });
  it('UDP, binary', async () => {
    await datagram(server.receivers.binary, vector('jaeger-udp-binary').bytes);
    await assertVector('jaeger-udp-binary');
  });
});

let number = 0;
const span = () => ({
  traceId: 0xabc000n + BigInt(++number),
  spanId: 1n,
  name: 'op',
  start: 1_700_000_000_000_000n,
  duration: 1n,
});
const batch = (...spans: Parameters<typeof thriftBatch>[1]): Buffer =>
  thriftBytes('binary', thriftBatch({ service: 's' }, spans));

describe('Thrift over HTTP', () => {
  const nested = (depth: number): ThriftValue => (depth === 0 ? struct() : struct([1, nested(depth - 1)]));
  const good = thriftBatch({ service: 's' }, [span()]);
  const spansOf = (hex: string): Buffer => Buffer.concat([batch().subarray(0, -8), Buffer.from(`0f0002${hex}`, 'hex')]);
  const cases: [string, body: Uint8Array, status: number, headers?: Record<string, string>][] = [
    ['64: a list of -1', spansOf('0cffffffff'), 400],
    ['64: a list of 2^31-1', spansOf('0c7fffffff'), 400],
    ['64: a list of 50 million', spansOf('0c02faf080'), 400],
    ['64: a text of -1', Buffer.from('0c00010b0001ffffffff', 'hex'), 400],
    ['64: a text of 2^31-1', Buffer.from('0c00010b00017fffffff', 'hex'), 400],
    ['65: an unknown field of 100 structs', thriftBytes('binary', struct([9, nested(100)], [1, struct()])), 400],
    ['65: a missing field', thriftBytes('binary', struct([1, struct([1, string('s')])])), 400],
    ['65: a wrong type', thriftBytes('binary', struct([1, struct([1, i64(1n)])], [2, list(THRIFT_STRUCT, [])])), 400],
    ['65: a compact body', thriftBytes('compact', good), 400],
    ['65: a message', vector('jaeger-udp-binary').bytes, 400],
    ['66: trace id 0', batch({ ...span(), traceId: 0n }), 500],
    ['66: span id 0', batch({ ...span(), spanId: 0n }), 500],
    ['67: negative times', batch({ ...span(), start: -5n, duration: -5n }), 202],
    [
      '67: spans that say nothing',
      batch({ traceId: 0n, spanId: 0n, name: '', start: 0n, duration: 0n, flags: 0 }),
      202,
    ],
    ['no spans', batch(), 202],
    ['an unknown field', thriftBytes('binary', struct([9, i32(5)], ...(good.value as [number, ThriftValue][]))), 202],
    ['empty', Buffer.alloc(0), 400],
    ['bytes after the batch', Buffer.concat([batch(span()), Buffer.from('more')]), 202],
    ['another type', batch(span()), 400, { 'Content-Type': 'application/json' }],
    ['no type', batch(span()), 400, { 'Content-Type': '' }],
    ['a type with parameters', batch(span()), 202, { 'Content-Type': 'application/x-thrift; charset=utf-8' }],
    ['the other name of the type', batch(span()), 202, { 'Content-Type': 'application/vnd.apache.thrift.binary' }],
    ['gzip', zlib.gzipSync(batch(span())), 202, { 'Content-Encoding': 'gzip' }],
    ['gzip that is none', batch(span()), 400, { 'Content-Encoding': 'gzip' }],
    ['an unknown encoding', batch(span()), 400, { 'Content-Encoding': 'br' }],
    ['a body of 21 MiB', Buffer.alloc(21 << 20), 500],
  ];
  for (const [title, body, status, headers] of cases)
    it(title, async () => {
      const answer = await postThrift(body, headers);
      assert.equal(answer.status, status, answer.body.toString());
      if (status !== 202) assert.match(answer.headers['content-type'] ?? '', /^text\/plain/);
    });
  it('compact is taken when the type says so', async () => {
    const one = span();
    const bytes = thriftBytes('compact', thriftBatch({ service: 's' }, [one]));
    assert.equal((await postThrift(bytes, { 'Content-Type': 'application/vnd.apache.thrift.compact' })).status, 202);
    assert.equal((await traceOf(server, one.traceId.toString(16)))?.length, 1);
  });
  it('other methods and paths', async () => {
    assert.equal((await ask(collector())).status, 405);
    assert.equal((await ask(collector().replace('/traces', '/other'), { method: 'POST' })).status, 404);
    assert.equal((await ask(`${collector()}?format=jaeger.thrift`, { method: 'POST' }, batch(span()))).status, 400);
  });
});

describe('gRPC', () => {
  const request = (...spans: Parameters<typeof protoRequest>[1]): Uint8Array => protoRequest({ service: 's' }, spans);
  const spanBytes = (hex: string): Buffer => {
    const bytes = Buffer.from(hex, 'hex');
    return Buffer.concat([Buffer.of(0x0a, bytes.length + 2, 0x0a, bytes.length), bytes]);
  };
  const cases: [string, Uint8Array, grpc: number][] = [
    ['72: a trace id of 5 bytes', spanBytes('0a050102030405'), 13],
    ['72: a trace id of 0 bytes', spanBytes('0a00'), 13],
    ['72: nanoseconds of 2e9', spanBytes('32061080a8d6b907'), 13],
    ['72: a duration of mixed signs', spanBytes('3a0d080110ffffffffffffffffff01'), 13],
    ['73: a trace id of 8 bytes', spanBytes('0a080000000000abcdef12080000000000000001'), 0],
    ['no trace id', spanBytes('12080000000000000001'), 3],
    ['no span id', spanBytes('0a080000000000abcdee'), 3],
    ['span id 0', request({ ...span(), spanId: 0n }), 3],
    ['before 1970', request({ ...span(), start: -1n }), 0],
    ['empty', Buffer.alloc(0), 0],
    ['an empty batch', Buffer.from('0a00', 'hex'), 0],
    ['no process', protoRequest(undefined, [span()]), 0],
    ['no protobuf', Buffer.from('0aff', 'hex'), 13],
  ];
  for (const [title, body, status] of cases)
    it(title, async () => {
      const answer = await call(session, body, POST_SPANS);
      assert.equal(answer.status, status, answer.message);
    });
  it('73: is padded on the left', async () => {
    assert.equal((await traceOf(server, '0000000000000000' + '0000000000abcdef'))?.length, 1);
  });
  it('other services', async () => {
    for (const path of ['/jaeger.api_v2.QueryService/GetTrace', '/jaeger.api_v2.SamplingManager/GetSamplingStrategy'])
      assert.equal((await call(session, Buffer.alloc(0), path)).status, 12);
  });
});

describe('UDP', () => {
  it('68–71: what cannot be used is counted, and the next datagram works', async () => {
    const { compact, binary } = server.receivers;
    const random = Buffer.from('5a'.repeat(100), 'hex');
    const zipkin = Buffer.from('82810109656d69745a69706b696e4261746368190c00', 'hex');
    const large = Buffer.concat([vector('jaeger-udp-compact').bytes, Buffer.alloc(65_400)]).subarray(0, 65_507);
    const bad = [Buffer.alloc(0), random, zipkin, large, Buffer.alloc(600, 0x80)];
    for (const port of [compact, binary]) for (const each of bad) await datagram(port, each);
    await until(
      'they are counted',
      async () => (await metricOf(server, 'vivace_datagrams_total', 'result="undecodable"')) === 2 * bad.length,
    );
    const one = span();
    const { traceId } = one;
    const args = struct([1, thriftBatch({ service: 's' }, [one])]);
    await datagram(compact, thriftMessage('compact', 'emitBatch', args));
    await until('the span is there', async () => (await traceOf(server, traceId.toString(16))) !== undefined);
  });
});

it('counts by receiver and transport', async () => {
  const accepted = (transport: string) =>
    metricOf(server, 'tempo_receiver_accepted_spans', `receiver="jaeger/jaeger_receiver",transport="${transport}"`);
  for (const transport of ['grpc', 'collector_http', 'udp_thrift_compact', 'udp_thrift_binary'])
    assert.ok((await accepted(transport)) > 0, transport);
});

it('stops in order', async () => {
  session.destroy();
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
  assert.doesNotMatch(server.stderr(), /level=error/);
});

describe('several tenants', () => {
  it('each protocol says in its own way that the tenant is missing', async (t) => {
    const strict = await startReceiving(t, { directory: temporaryFolder(t, 'tenants'), multitenancy: true });
    const own = http2.connect(`http://127.0.0.1:${strict.receivers.jaegerGrpc}`);
    t.after(() => own.destroy());
    const url = `http://127.0.0.1:${strict.receivers.jaegerHttp}/api/traces`;
    const thrift = (headers: Record<string, string>) =>
      ask(
        url,
        { method: 'POST', headers: { 'Content-Type': 'application/x-thrift', ...headers } },
        vector('jaeger-thrift').bytes,
      );
    const proto = (headers: Record<string, string>) => call(own, vector('jaeger-proto').bytes, POST_SPANS, headers);
    assert.equal((await thrift({})).status, 500);
    assert.equal((await thrift({ 'X-Scope-OrgID': 'a/b' })).status, 500);
    assert.equal((await thrift({ 'X-Scope-OrgID': 'one' })).status, 202);
    assert.equal((await proto({})).status, 2);
    assert.equal((await call(own, Buffer.alloc(0), POST_SPANS)).status, 2);
    assert.equal((await proto({ 'x-scope-orgid': 'a/b' })).status, 3);
    assert.equal((await proto({ 'x-scope-orgid': 'two' })).status, 0);
    assert.equal((await traceOf(strict, vector('jaeger-thrift').traceId, 'one'))?.length, 1);
    assert.equal(await traceOf(strict, vector('jaeger-thrift').traceId, 'two'), undefined);
    assert.equal((await traceOf(strict, vector('jaeger-proto').traceId, 'two'))?.length, 1);
    await datagram(strict.receivers.compact, vector('jaeger-udp-compact').bytes);
    await until(
      'the span over UDP is refused',
      async () => (await metricOf(strict, 'tempo_receiver_refused_spans', 'udp_thrift_compact')) === 1,
    );
  });
});
