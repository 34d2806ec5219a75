import assert from 'node:assert/strict';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import zlib from 'node:zlib';
import { SpanKind } from '@opentelemetry/api';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BasicTracerProvider, SimpleSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import lz4 from 'lz4-napi';
import snappy from 'snappy';
import { VivaceError } from '../runtime/errors.ts';
import { BodyBudget } from '../wire/body.ts';
import { grpcRouter } from '../wire/grpc.ts';
import { type Listener, listen } from '../wire/listener.ts';
import { snappyFramed } from '../wire/snappy.ts';
import type { Accept, Receiver } from './accept.ts';
import { OTLP_EXPORT, otlpGrpc } from './otlp-grpc.ts';
import { otlpHttp } from './otlp-http.ts';
import { countSpans } from './otlp-scan.ts';

const GOLDEN = Buffer.from(
  '0a660a170a150a0c736572766963652e6e616d6512050a03737663124b0a050a036c696212420a100102030405060708090a0b0c0d0e0fa1120811121314151617182a026f7030033900002a36fe9c97174140423936fe9c97174a080a016b12030a01767a021802',
  'hex',
);
const GOLDEN_JSON = Buffer.from(
  `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}}]},"scopeSpans":[{"scope":{"name":"lib"},"spans":[{"traceId":"0102030405060708090a0b0c0d0e0fa1","spanId":"1112131415161718","name":"op","kind":3,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000001000000","attributes":[{"key":"k","value":{"stringValue":"v"}}],"status":{"code":2}}]}]}]}`,
);
const PROTOBUF = 'application/x-protobuf';
const JSON_TYPE = 'application/json';

/** What arrived, and what the next request is to be answered. */
const taken: { tenant: string; body: Buffer; from: Receiver }[] = [];
const counted: string[] = [];
let failure: VivaceError | undefined;

const accept: Accept = async (tenant, body, from) => {
  assert.equal(body.byteLength, body.buffer.byteLength, 'the buffer holds nothing else');
  // Ownership passes: what happens to the buffer must not matter to the receiver.
  const moved = structuredClone(body, { transfer: [body.buffer] });
  await new Promise((resolve) => setImmediate(resolve));
  if (failure !== undefined) throw failure;
  const spans = countSpans(moved);
  if (spans < 0) throw new VivaceError('undecodable', 'broken protobuf');
  taken.push({ tenant, body: Buffer.from(moved), from });
  return spans;
};

const budget = new BodyBudget();
const common = {
  accept,
  budget,
  onAccepted: (from: Receiver, spans: number) => counted.push(`${from.receiver} ${from.transport} +${spans}`),
  onRefused: (from: Receiver, spans: number) => counted.push(`${from.receiver} ${from.transport} -${spans}`),
};

function serve(handle: (req: http.IncomingMessage, res: http.ServerResponse) => boolean): Promise<Listener> {
  return listen({
    host: '127.0.0.1',
    port: 0,
    http: (req, res) => {
      if (!handle(req, res))
        res.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' }).end('404 page not found\n');
    },
  });
}

let plain: Listener;
let tenants: Listener;
let browser: Listener;

before(async () => {
  plain = await serve(otlpHttp({ ...common, bodyIdleMsMax: 300 }));
  tenants = await serve(otlpHttp({ ...common, multitenancy: true }));
  const cors = {
    allowedOrigins: ['http://*.d.example', 'http://exact.example'],
    allowedHeaders: ['content-type', 'x-a'],
    maxAgeS: 60,
  };
  browser = await serve(otlpHttp({ ...common, cors }));
});

after(() => Promise.all([plain, tenants, browser].map((listener) => listener.close(0))));

interface Asked {
  listener?: Listener;
  method?: string;
  path?: string;
  headers?: Record<string, string | string[]>;
  body?: Buffer | string;
  /** Send it without a length. */
  chunked?: boolean;
}

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

function ask(asked: Asked): Promise<Answer> {
  const {
    listener = plain,
    method = 'POST',
    path = '/v1/traces',
    headers = {},
    body = GOLDEN,
    chunked = false,
  } = asked;
  return new Promise((resolve, reject) => {
    const length =
      chunked || method === 'GET' || method === 'HEAD' ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const request = http.request(
      { port: listener.port, method, path, headers: { ...length, ...headers } },
      (response) => {
        response.toArray().then((chunks) => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) });
        }, reject);
      },
    );
    request.on('error', reject);
    if (method === 'GET' || method === 'HEAD') request.end();
    else if (chunked) {
      request.write(body.slice(0, 50));
      setImmediate(() => request.end(body.slice(50)));
    } else request.end(body);
  });
}

const proto = (extra: Record<string, string | string[]> = {}) => ({ 'Content-Type': PROTOBUF, ...extra });
const json = (extra: Record<string, string | string[]> = {}) => ({ 'Content-Type': JSON_TYPE, ...extra });

describe('accepted', () => {
  const cases: [string, Asked][] = [
    ['protobuf', { headers: proto() }],
    ['protobuf, chunked', { headers: proto(), chunked: true }],
    ['parameters and case of the type', { headers: { 'Content-Type': 'Application/X-Protobuf; v=1' } }],
    ['a query', { headers: proto(), path: '/v1/traces?x=1' }],
    ['JSON', { headers: json(), body: GOLDEN_JSON }],
    [
      'JSON with charset, chunked',
      { headers: { 'Content-Type': 'application/json; charset=utf-8' }, body: GOLDEN_JSON, chunked: true },
    ],
    ['empty encoding', { headers: proto({ 'Content-Encoding': '' }) }],
    ['gzip', { headers: proto({ 'Content-Encoding': 'gzip' }), body: zlib.gzipSync(GOLDEN) }],
    ['gzip JSON', { headers: json({ 'Content-Encoding': 'gzip' }), body: zlib.gzipSync(GOLDEN_JSON) }],
    ['deflate', { headers: proto({ 'Content-Encoding': 'deflate' }), body: zlib.deflateSync(GOLDEN) }],
    ['zlib', { headers: proto({ 'Content-Encoding': 'zlib' }), body: zlib.deflateSync(GOLDEN) }],
    ['zstd', { headers: proto({ 'Content-Encoding': 'zstd' }), body: zlib.zstdCompressSync(GOLDEN) }],
    ['snappy', { headers: proto({ 'Content-Encoding': 'snappy' }), body: snappy.compressSync(GOLDEN) }],
    ['snappy, framed', { headers: proto({ 'Content-Encoding': 'snappy' }), body: snappyFramed(GOLDEN) }],
    ['x-snappy-framed', { headers: proto({ 'Content-Encoding': 'x-snappy-framed' }), body: snappyFramed(GOLDEN) }],
    ['lz4', { headers: proto({ 'Content-Encoding': 'lz4' }), body: lz4.compressFrameSync(GOLDEN) }],
    [
      'two encodings in two lines',
      { headers: proto({ 'Content-Encoding': ['gzip', 'br'] }), body: zlib.gzipSync(GOLDEN) },
    ],
    ['Expect: 100-continue', { headers: proto({ Expect: '100-continue' }) }],
  ];
  for (const [title, asked] of cases)
    it(title, async () => {
      taken.length = counted.length = 0;
      const { status, headers, body } = await ask(asked);
      const isJson = title.includes('JSON');
      assert.deepEqual([status, headers['content-type']], [200, isJson ? JSON_TYPE : PROTOBUF], body.toString());
      assert.equal(body.toString('latin1'), isJson ? '{"partialSuccess":{}}' : '\n\0');
      assert.equal(taken[0].body.toString('hex'), GOLDEN.toString('hex'));
      assert.equal(taken[0].tenant, 'single-tenant');
      assert.deepEqual(counted, ['otlp/otlp_receiver http +1']);
      assert.equal(budget.usedBytes, 0);
    });

  it('an empty body of protobuf', async () => {
    assert.equal((await ask({ headers: proto(), body: '' })).status, 200);
  });

  it('a body of many chunks', async () => {
    taken.length = 0;
    const body = Buffer.concat(Array(20_000).fill(GOLDEN));
    assert.equal((await ask({ headers: proto(), body })).status, 200);
    assert.equal((await ask({ headers: proto(), body, chunked: true })).status, 200);
    for (const request of taken) assert.ok(request.body.equals(body));
    assert.equal(budget.usedBytes, 0);
  });

  it('over HTTP/2', async () => {
    const session = http2.connect(`http://127.0.0.1:${plain.port}`);
    const stream = session.request({ ':method': 'POST', ':path': '/v1/traces', 'content-type': PROTOBUF });
    const status = new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status'])));
    stream.end(GOLDEN);
    assert.equal(await status, 200);
    assert.equal(Buffer.concat(await stream.toArray()).toString('latin1'), '\n\0');
    session.destroy();
  });
});

describe('refused', () => {
  const big = Buffer.alloc(21 << 20);
  const cases: [string, Asked, number, string][] = [
    ['GET', { method: 'GET' }, 405, 'text/plain'],
    ['HEAD', { method: 'HEAD' }, 405, 'text/plain'],
    ['PUT', { method: 'PUT', headers: proto() }, 405, 'text/plain'],
    ['OPTIONS', { method: 'OPTIONS' }, 405, 'text/plain'],
    ['GET with an unknown encoding', { method: 'GET', headers: { 'Content-Encoding': 'br' } }, 400, JSON_TYPE],
    ['application/protobuf', { headers: { 'Content-Type': 'application/protobuf' } }, 415, 'text/plain'],
    ['no type', {}, 415, 'text/plain'],
    [
      'unknown type and encoding',
      { headers: { 'Content-Type': 'text/x', 'Content-Encoding': 'br' } },
      415,
      'text/plain',
    ],
    ['no type and unknown encoding', { headers: { 'Content-Encoding': 'br' } }, 400, JSON_TYPE],
    ...['identity', 'br', 'GZIP', 'gzip, gzip', 'constructor'].map((name): [string, Asked, number, string] => [
      `encoding ${name}`,
      { headers: proto({ 'Content-Encoding': name }) },
      400,
      PROTOBUF,
    ]),
    ...['gzip', 'deflate', 'zlib', 'zstd', 'snappy', 'x-snappy-framed', 'lz4'].flatMap(
      (name): [string, Asked, number, string][] => [
        [`plain under ${name}`, { headers: proto({ 'Content-Encoding': name }) }, 400, PROTOBUF],
        [`empty under ${name}`, { headers: json({ 'Content-Encoding': name }), body: '' }, 400, JSON_TYPE],
      ],
    ),
    [
      'gzip cut short',
      { headers: proto({ 'Content-Encoding': 'gzip' }), body: zlib.gzipSync(GOLDEN).subarray(0, 40) },
      400,
      PROTOBUF,
    ],
    [
      'raw deflate',
      { headers: proto({ 'Content-Encoding': 'deflate' }), body: zlib.deflateRawSync(GOLDEN) },
      400,
      PROTOBUF,
    ],
    [
      'gzip bomb',
      { headers: proto({ 'Content-Encoding': 'gzip' }), body: zlib.gzipSync(Buffer.alloc(30 << 20)) },
      400,
      PROTOBUF,
    ],
    ['21 MiB', { headers: proto(), body: big }, 400, PROTOBUF],
    ['21 MiB, chunked', { headers: json(), body: big, chunked: true }, 400, JSON_TYPE],
    ['truncated varint', { headers: proto(), body: Buffer.of(0x0a, 0xff) }, 400, PROTOBUF],
    ['JSON as protobuf', { headers: proto(), body: GOLDEN_JSON }, 400, PROTOBUF],
    ['protobuf as JSON', { headers: json() }, 400, JSON_TYPE],
    ['empty JSON', { headers: json(), body: '' }, 400, JSON_TYPE],
    ['BOM', { headers: json(), body: '\ufeff{}' }, 400, JSON_TYPE],
    ['/v1/traces/', { path: '/v1/traces/', headers: proto() }, 404, 'text/plain; charset=utf-8'],
    ['/v1/trace', { path: '/v1/trace', headers: proto() }, 404, 'text/plain; charset=utf-8'],
    ['//v1/traces', { path: '//v1/traces', headers: proto() }, 307, 'text/plain'],
  ];
  for (const [title, asked, status, type] of cases)
    it(title, async () => {
      taken.length = counted.length = 0;
      const answer = await ask(asked);
      assert.deepEqual([answer.status, answer.headers['content-type']], [status, type], answer.body.toString());
      if (status === 400 && type === JSON_TYPE) assert.equal(JSON.parse(answer.body.toString()).code, 3);
      if (status === 400 && type === PROTOBUF) assert.deepEqual([...answer.body.subarray(0, 3)], [0x08, 3, 0x12]);
      assert.deepEqual([taken.length, counted.length, budget.usedBytes], [0, 0, 0]);
      assert.equal((await ask({ headers: proto() })).status, 200, 'the next one is served');
    });

  it('encodings that the configuration does not list', async () => {
    const listener = await serve(otlpHttp({ ...common, compressionAlgorithms: ['gzip'] }));
    const zstd = { headers: proto({ 'Content-Encoding': 'zstd' }), body: zlib.zstdCompressSync(GOLDEN) };
    assert.equal((await ask({ listener, ...zstd })).status, 400);
    const gzip = { headers: proto({ 'Content-Encoding': 'gzip' }), body: zlib.gzipSync(GOLDEN) };
    assert.equal((await ask({ listener, ...gzip })).status, 200);
    await listener.close(0);
  });

  const errors: [VivaceError, number, number, string | undefined][] = [
    [new VivaceError('invalid', 'trace ids must be 128 bit, received 0 bits'), 400, 3, undefined],
    [new VivaceError('undecodable', 'no'), 400, 3, undefined],
    [new VivaceError('exhausted', 'RATE_LIMITED: no', { retryAfterMs: 1500 }), 429, 8, '2'],
    [new VivaceError('exhausted', 'RATE_LIMITED: no'), 429, 8, undefined],
    [new VivaceError('unavailable', 'disk'), 503, 14, undefined],
    [new VivaceError('internal', 'bug'), 500, 13, undefined],
  ];
  for (const [error, status, code, retryAfter] of errors)
    it(`what accept says: ${error.code}`, async () => {
      counted.length = 0;
      failure = error;
      const answer = await ask({ headers: json(), body: GOLDEN_JSON });
      failure = undefined;
      assert.deepEqual([answer.status, answer.headers['retry-after']], [status, retryAfter]);
      const { details, ...rest } = JSON.parse(answer.body.toString());
      assert.deepEqual(rest, { code, message: error.message });
      const info = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '1.5s' }];
      assert.deepEqual(details, retryAfter && info);
      assert.deepEqual(counted, error.code === 'undecodable' ? [] : ['otlp/otlp_receiver http -1']);
    });
});

describe('tenants', () => {
  const cases: [string | string[] | undefined, number, string][] = [
    ['a', 200, 'a'],
    ['a:k=v', 200, 'a'],
    ['a|a', 200, 'a'],
    ["Az09!-_.*'()", 200, "Az09!-_.*'()"],
    ['x'.repeat(150), 200, 'x'.repeat(150)],
    [undefined, 503, 'no org id'],
    [['a', 'b'], 503, 'no org id'],
    [['a', 'a'], 503, 'no org id'],
    ['', 400, 'tenant ID is empty'],
    ['..', 400, "tenant ID is '.' or '..'"],
    ['a/b', 400, "unsupported character '/'"],
    ['a|b', 400, 'multiple org IDs present'],
    ['x'.repeat(151), 400, 'tenant ID is too long'],
  ];
  for (const [header, status, text] of cases)
    it(`${JSON.stringify(header)?.slice(0, 30)} → ${status}`, async () => {
      taken.length = counted.length = 0;
      const headers = json(header === undefined ? {} : { 'X-Scope-OrgID': header });
      const answer = await ask({ listener: tenants, headers, body: GOLDEN_JSON });
      assert.equal(answer.status, status);
      if (status === 200) assert.equal(taken[0].tenant, text);
      else assert.ok(JSON.parse(answer.body.toString()).message.includes(text), answer.body.toString());
      assert.deepEqual(counted, [`otlp/otlp_receiver http ${status === 200 ? '+' : '-'}1`]);
    });

  it('does not matter when there are no spans', async () => {
    assert.equal((await ask({ listener: tenants, headers: json(), body: '{}' })).status, 200);
    assert.equal((await ask({ listener: tenants, headers: proto(), body: '' })).status, 200);
  });

  it('comes after decoding', async () => {
    assert.equal((await ask({ listener: tenants, headers: json(), body: '[]' })).status, 400);
    assert.equal((await ask({ listener: tenants, headers: proto(), body: Buffer.of(0x0a, 0xff) })).status, 400);
  });
});

describe('CORS', () => {
  const preflight = (headers: Record<string, string>) =>
    ask({ listener: browser, method: 'OPTIONS', headers, body: '' });
  const allowed = {
    Origin: 'http://x.d.example',
    'Access-Control-Request-Method': 'POST',
    'Access-Control-Request-Headers': 'content-type,x-a',
  };

  it('allows a preflight', async () => {
    const { status, headers } = await preflight(allowed);
    assert.equal(status, 204);
    assert.equal(headers['access-control-allow-origin'], 'http://x.d.example');
    assert.equal(headers['access-control-allow-methods'], 'POST');
    assert.equal(headers['access-control-allow-headers'], 'content-type,x-a');
    assert.equal(headers['access-control-allow-credentials'], 'true');
    assert.equal(headers['access-control-max-age'], '60');
    assert.equal(headers.vary, 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers');
  });

  const refused: Record<string, string>[] = [
    { Origin: 'http://d.example' },
    { 'Access-Control-Request-Method': 'PUT' },
    { 'Access-Control-Request-Headers': 'x-b' },
    { 'Access-Control-Request-Headers': 'x-a,content-type' },
  ];
  for (const change of refused)
    it(`refuses a preflight with ${JSON.stringify(change)}`, async () => {
      const { status, headers } = await preflight({ ...allowed, ...change });
      assert.deepEqual([status, headers['access-control-allow-origin']], [204, undefined]);
    });

  it('marks answers, also to foreign origins', async () => {
    const own = await ask({ listener: browser, headers: proto({ Origin: 'http://exact.example' }) });
    assert.deepEqual(
      [own.status, own.headers['access-control-allow-origin'], own.headers.vary],
      [200, 'http://exact.example', 'Origin'],
    );
    const foreign = await ask({ listener: browser, headers: proto({ Origin: 'http://evil.example' }) });
    assert.deepEqual(
      [foreign.status, foreign.headers['access-control-allow-origin'], foreign.headers.vary],
      [200, undefined, 'Origin'],
    );
  });

  it('OPTIONS that is no preflight is 405', async () => {
    assert.equal((await preflight({ Origin: 'http://x.d.example' })).status, 405);
  });
});

describe('bodies that do not arrive', () => {
  const head = (length: number) =>
    `POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;

  function raw(bytes: string | Buffer): Promise<string> {
    return new Promise((resolve) => {
      const socket = net.connect(plain.port, '127.0.0.1', () => socket.write(bytes));
      let seen = '';
      socket.on('data', (chunk) => (seen += chunk.toString('latin1')));
      socket.on('error', () => {});
      socket.on('close', () => resolve(seen));
    });
  }

  it('silence after the head is given up', async () => {
    assert.match(await raw(head(1000)), /^HTTP\/1.1 503 .*Connection: close/s);
  });

  it('10 GB announced is refused at once', async () => {
    assert.match(await raw(head(10e9)), /^HTTP\/1.1 400 .*"code":3/s);
  });

  it('a bad chunk is 400', async () => {
    const start =
      'POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
    assert.match(await raw(`${start}zz\r\n{}\r\n`), /^HTTP\/1.1 400 /);
  });

  it('clients that leave leave nothing behind', async () => {
    await Promise.all(
      Array.from(
        { length: 200 },
        () =>
          new Promise((resolve) => {
            const socket = net.connect(plain.port, '127.0.0.1', () =>
              socket.write(head(1000) + '{"x', () => socket.destroy()),
            );
            socket.on('close', resolve);
          }),
      ),
    );
    while (plain.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(budget.usedBytes, 0);
  });
});

it('more bodies than the budget holds: all get through, over HTTP/1.1 and gRPC', async () => {
  const small = new BodyBudget(300_000);
  let usedMax = 0;
  const slow: Accept = async (_, body) => {
    usedMax = Math.max(usedMax, small.usedBytes);
    await new Promise((resolve) => setTimeout(resolve, 2));
    return body.length;
  };
  const handle = otlpHttp({ accept: slow, budget: small });
  const listener = await listen({
    host: '127.0.0.1',
    port: 0,
    budget: small,
    http: (req, res) => void handle(req, res),
    grpc: grpcRouter(otlpGrpc({ accept: slow })),
  });
  const body = Buffer.concat(Array(4000).fill(GOLDEN));
  const session = http2.connect(`http://127.0.0.1:${listener.port}`);
  const call = async (): Promise<number> => {
    const stream = session.request({ ':method': 'POST', ':path': OTLP_EXPORT, 'content-type': 'application/grpc' });
    const head = Buffer.alloc(5);
    head.writeUInt32BE(body.length, 1);
    stream.write(head);
    stream.end(body);
    const status = new Promise<number>((resolve) =>
      stream.on('trailers', (trailers) => resolve(Number(trailers['grpc-status']))),
    );
    await stream.toArray();
    return status;
  };
  const http1 = Array.from({ length: 40 }, (_, i) => ask({ listener, headers: proto(), body, chunked: i % 2 === 0 }));
  const grpc = Array.from({ length: 40 }, call);
  for (const { status } of await Promise.all(http1)) assert.equal(status, 200);
  for (const status of await Promise.all(grpc)) assert.equal(status, 0);
  // Each connection may have one chunk more on its way; without the budget it would be 80 bodies.
  assert.ok(usedMax < 300_000 + body.length + 41 * (64 << 10), `${usedMax} bytes at once`);
  assert.deepEqual([small.usedBytes, small.waiting], [0, 0]);
  session.destroy();
  await listener.close(0);
});

describe('official exporters', () => {
  const makers: [string, (url: string) => SpanExporter][] = [
    ['protobuf', (url) => new ProtoExporter({ url })],
    ['JSON', (url) => new JsonExporter({ url })],
  ];
  for (const [name, make] of makers)
    it(name, async () => {
      taken.length = 0;
      const exporter = make(`http://127.0.0.1:${plain.port}/v1/traces`);
      const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
      const span = provider
        .getTracer('lib', '1')
        .startSpan('checkout', { kind: SpanKind.SERVER, attributes: { n: 42, list: [1.5, 2] } });
      span.addEvent('paid', { ok: true });
      span.end();
      await provider.forceFlush();
      await provider.shutdown();
      assert.equal(taken.length, 1);
      const { body } = taken[0];
      assert.equal(countSpans(body), 1);
      assert.ok(body.includes(Buffer.from(span.spanContext().traceId, 'hex')));
      for (const text of ['checkout', 'paid', 'list']) assert.ok(body.includes(text), text);
    });
});

it('of thousands of requests that one connection sends at once no more than a few are in hand, and all are answered', async () => {
  const requests = 5000;
  let begun = 0;
  let accepted = 0;
  let inHandMax = 0;
  const slow: Accept = async (_tenant, body) => {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    accepted++;
    return countSpans(body);
  };
  const handle = otlpHttp({ accept: slow, budget: new BodyBudget(undefined, 64) });
  const listener = await serve((req, res) => {
    inHandMax = Math.max(inHandMax, ++begun - accepted);
    return handle(req, res);
  });
  const socket = net.connect(listener.port, '127.0.0.1');
  const request = `POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: ${PROTOBUF}\r\nContent-Length: ${GOLDEN.length}\r\n\r\n`;
  const sent = Buffer.concat(Array.from({ length: requests }, () => [Buffer.from(request), GOLDEN]).flat());
  socket.write(sent);
  let answers = '';
  let answered = 0;
  for await (const chunk of socket.setEncoding('latin1')) {
    const parts = (answers + chunk).split('HTTP/1.1 200 OK');
    answered += parts.length - 1;
    answers = parts.at(-1)!;
    if (answered === requests) break;
  }
  await listener.close();
  assert.equal(accepted, requests);
  // Those that came in one piece with the last that found a place, and in the next.
  assert.ok(inHandMax < 1200, `${inHandMax} in hand`);
});
