import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import zlib from 'node:zlib';
import * as grpcJs from '@grpc/grpc-js';
import { VivaceError } from '../runtime/errors.ts';
import { BodyBudget } from './body.ts';
import { type GrpcCall, type GrpcService, grpcRouter } from './grpc.ts';
import { type Listener, listen } from './listener.ts';
import { snappyFramed, unsnappyFramed } from './snappy.ts';

const BIG = 'a'.repeat(2000);

const service: GrpcService = {
  '/test.Echo/Echo': { kind: 'unary', handle: async (message) => message },
  '/test.Echo/Big': { kind: 'unary', handle: async () => Buffer.from(BIG) },
  '/test.Echo/Small': { kind: 'unary', maxRequestBytes: 10, handle: async (message) => message },
  '/test.Echo/Exhausted': {
    kind: 'unary',
    handle: async () => {
      throw new VivaceError('exhausted', 'RATE_LIMITED: 100% of naïve bursts', { retryAfterMs: 5000 });
    },
  },
  '/test.Echo/Hang': { kind: 'unary', handle: (_, call) => aborted(call) },
  '/test.Echo/Count': {
    kind: 'server-stream',
    async *handle(message) {
      for (let i = 0; i < message[0]; i++) yield Buffer.alloc(100_000, i);
    },
  },
  '/test.Echo/Fails': {
    kind: 'server-stream',
    // biome-ignore lint/correctness/useYield: it fails first
    async *handle() {
      throw new VivaceError('invalid', 'no');
    },
  },
  '/test.Echo/FailsLater': {
    kind: 'server-stream',
    async *handle() {
      yield Buffer.alloc(100_000);
      throw new VivaceError('invalid', 'later');
    },
  },
  '/test.Echo/TalkOnce': {
    kind: 'bidi',
    async *handle(messages) {
      for await (const message of messages) {
        yield message;
        if (message.length > 3) throw new VivaceError('invalid', 'too long');
        return;
      }
    },
  },
  '/test.Echo/Talk': {
    kind: 'bidi',
    async *handle(messages) {
      for await (const message of messages) yield Buffer.concat([Buffer.from('re: '), message]);
    },
  },
};

const abortedCalls: string[] = [];
let whenAborted: (() => void) | undefined;

function aborted(call: GrpcCall): Promise<never> {
  return new Promise((_, reject) => {
    call.signal.addEventListener('abort', () => {
      abortedCalls.push(String(call.signal.reason));
      whenAborted?.();
      reject(call.signal.reason);
    });
  });
}

let listener: Listener;
let session: http2.ClientHttp2Session;
const budget = new BodyBudget();

before(async () => {
  listener = await listen({ host: '127.0.0.1', port: 0, grpc: grpcRouter(service), budget });
  session = http2.connect(`http://127.0.0.1:${listener.port}`);
});

after(async () => {
  session.destroy();
  await listener.close(0);
});

interface Answer {
  http: number;
  grpc: string;
  message: string;
  details: string;
  encoding: string;
  body: Buffer;
}

/** One raw request: the bytes of `parts` as DATA, exactly so. */
function send(path: string, parts: Uint8Array[], headers: http2.OutgoingHttpHeaders = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers };
    for (const [name, value] of Object.entries(all)) if (value === undefined) delete all[name as keyof typeof all];
    const stream = session.request(all, { endStream: parts.length === 0 });
    let seen: http2.IncomingHttpHeaders = {};
    const body: Buffer[] = [];
    stream.on('response', (response) => (seen = { ...seen, ...response }));
    stream.on('trailers', (trailers) => (seen = { ...seen, ...trailers }));
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    stream.on('error', reject);
    stream.on('close', () =>
      resolve({
        http: Number(seen[':status']),
        grpc: String(seen['grpc-status']),
        message: decodeURIComponent(String(seen['grpc-message'] ?? '')),
        details: String(seen['grpc-status-details-bin'] ?? ''),
        encoding: String(seen['grpc-encoding'] ?? ''),
        body: Buffer.concat(body),
      }),
    );
    if (parts.length === 0) return;
    for (const part of parts.slice(0, -1)) stream.write(part);
    stream.end(parts.at(-1));
  });
}

function frame(message: Uint8Array, flag = 0, announced = message.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(announced, 1);
  return Buffer.concat([head, message]);
}

describe('gRPC framing', () => {
  const hello = Buffer.from('hello');
  const cases: [string, Uint8Array[], http2.OutgoingHttpHeaders, number, string][] = [
    ['one message', [frame(hello)], {}, 200, '0'],
    ['byte by byte', [...frame(hello)].map((byte) => Buffer.of(byte)), {}, 200, '0'],
    ['empty message', [frame(Buffer.alloc(0))], {}, 200, '0'],
    ['second message is ignored', [frame(hello), frame(Buffer.alloc(9))], {}, 200, '0'],
    ['application/grpc+json', [frame(hello)], { 'content-type': 'application/grpc+json' }, 200, '0'],
    ['application/grpc;charset', [frame(hello)], { 'content-type': 'application/grpc;charset=utf-8' }, 200, '0'],
    ['no message', [], {}, 200, '2'],
    ['prefix of 3 bytes', [Buffer.of(0, 0, 0)], {}, 200, '2'],
    ['256 announced, 3 sent', [frame(Buffer.alloc(3), 0, 256)], {}, 200, '2'],
    ['4 GiB announced', [frame(Buffer.alloc(3), 0, 0xffffffff)], {}, 200, '8'],
    ['4 MiB + 1', [frame(Buffer.alloc((4 << 20) + 1))], {}, 200, '8'],
    ['exactly 4 MiB', [frame(Buffer.alloc(4 << 20))], {}, 200, '0'],
    ['flag 1 without encoding', [frame(hello, 1)], {}, 200, '13'],
    ['flag 1 with identity', [frame(hello, 1)], { 'grpc-encoding': 'identity' }, 200, '13'],
    ['flag 2', [frame(hello, 2)], {}, 200, '13'],
    ['br', [frame(hello, 1)], { 'grpc-encoding': 'br' }, 200, '12'],
    ['deflate', [frame(zlib.deflateSync(hello), 1)], { 'grpc-encoding': 'deflate' }, 200, '12'],
    ['constructor as encoding', [frame(hello, 1)], { 'grpc-encoding': 'constructor' }, 200, '12'],
    ['corrupt gzip', [frame(hello, 1)], { 'grpc-encoding': 'gzip' }, 200, '13'],
    ['gzip bomb', [frame(zlib.gzipSync(Buffer.alloc(30 << 20)), 1)], { 'grpc-encoding': 'gzip' }, 200, '8'],
    ['zstd bomb', [frame(zlib.zstdCompressSync(Buffer.alloc(30 << 20)), 1)], { 'grpc-encoding': 'zstd' }, 200, '8'],
    ['content-type json', [frame(hello)], { 'content-type': 'application/json' }, 415, '3'],
    ['content-type grpc-web', [frame(hello)], { 'content-type': 'application/grpc-web+proto' }, 415, '3'],
    ['no content-type', [frame(hello)], { 'content-type': undefined }, 415, '3'],
    ['GET', [], { ':method': 'GET' }, 405, '13'],
    ['timeout abc', [frame(hello)], { 'grpc-timeout': 'abc' }, 400, '13'],
    ['timeout of 9 digits', [frame(hello)], { 'grpc-timeout': '123456789m' }, 400, '13'],
    ['timeout of an hour', [frame(hello)], { 'grpc-timeout': '1H' }, 200, '0'],
    ['timeout beyond 31 bits of ms', [frame(hello)], { 'grpc-timeout': '99999999H' }, 200, '0'],
  ];
  for (const [title, parts, headers, http, grpc] of cases)
    it(title, async () => {
      const answer = await send('/test.Echo/Echo', parts, headers);
      assert.deepEqual([answer.http, answer.grpc], [http, grpc], answer.message);
      assert.equal(answer.details, '');
    });

  for (const path of ['/test.Echo/None', '/none.Service/Echo', '/', '/constructor'])
    it(`unknown method ${path}`, async () => {
      const answer = await send(path, [frame(hello)]);
      assert.deepEqual([answer.http, answer.grpc], [200, '12']);
    });

  it('answers with what it was sent', async () => {
    assert.deepEqual((await send('/test.Echo/Echo', [frame(hello)])).body, frame(hello));
  });

  it('keeps a bound of its own per method', async () => {
    assert.equal((await send('/test.Echo/Small', [frame(Buffer.alloc(10))])).grpc, '0');
    assert.equal((await send('/test.Echo/Small', [frame(Buffer.alloc(11))])).grpc, '8');
  });

  it('holds no bytes of bodies afterwards', async () => {
    await send('/test.Echo/Echo', [frame(hello)]);
    assert.equal(budget.usedBytes, 0);
  });
});

describe('gRPC compression', () => {
  const pairs: [string, (bytes: Buffer) => Buffer, (bytes: Buffer) => Uint8Array][] = [
    ['gzip', zlib.gzipSync, zlib.gunzipSync],
    ['zstd', zlib.zstdCompressSync, zlib.zstdDecompressSync],
    ['snappy', snappyFramed, (bytes) => unsnappyFramed(bytes, 1 << 20)],
  ];
  for (const [name, compress, decompress] of pairs)
    it(`${name} in both directions, and plain under its name`, async () => {
      const text = Buffer.from('the same text '.repeat(20_000));
      const echoed = await send('/test.Echo/Echo', [frame(compress(text), 1)], { 'grpc-encoding': name });
      assert.deepEqual([echoed.grpc, echoed.encoding, echoed.body[0]], ['0', name, 1]);
      assert.deepEqual(Buffer.from(decompress(echoed.body.subarray(5))), text);
      const plain = await send('/test.Echo/Echo', [frame(Buffer.from('x'))], { 'grpc-encoding': name });
      assert.equal(plain.grpc, '0');
    });
});

describe('gRPC errors', () => {
  it('carries the message and RetryInfo', async () => {
    const answer = await send('/test.Echo/Exhausted', [frame(Buffer.alloc(1))]);
    assert.deepEqual([answer.http, answer.grpc], [200, '8']);
    assert.equal(answer.message, 'RATE_LIMITED: 100% of naïve bursts');
    const details = Buffer.from(answer.details, 'base64').toString('latin1');
    assert.ok(details.startsWith('\b\b\x12'), 'code 8 and a message');
    assert.ok(details.includes('type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x05'), 'five seconds');
  });

  it('a passed deadline is 4 and aborts the handler', async () => {
    const answer = await send('/test.Echo/Hang', [frame(Buffer.alloc(1))], { 'grpc-timeout': '1n' });
    assert.equal(answer.grpc, '4');
  });

  it('a cancelled call aborts the handler', async () => {
    const count = abortedCalls.length;
    const seen = new Promise<void>((resolve) => (whenAborted = resolve));
    const headers = { ':method': 'POST', ':path': '/test.Echo/Hang', 'content-type': 'application/grpc' };
    const stream = session.request(headers);
    stream.on('error', () => {});
    stream.write(frame(Buffer.alloc(1)), () => setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 20));
    await seen;
    assert.equal(abortedCalls.length, count + 1);
  });
});

describe('gRPC from @grpc/grpc-js', () => {
  const identity = (bytes: Buffer) => bytes;
  const types = {
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
  const Client = grpcJs.makeGenericClientConstructor(
    {
      Echo: { path: '/test.Echo/Echo', requestStream: false, responseStream: false, ...types },
      Small: { path: '/test.Echo/Small', requestStream: false, responseStream: false, ...types },
      Count: { path: '/test.Echo/Count', requestStream: false, responseStream: true, ...types },
      Fails: { path: '/test.Echo/Fails', requestStream: false, responseStream: true, ...types },
      FailsLater: { path: '/test.Echo/FailsLater', requestStream: false, responseStream: true, ...types },
      TalkOnce: { path: '/test.Echo/TalkOnce', requestStream: true, responseStream: true, ...types },
      Talk: { path: '/test.Echo/Talk', requestStream: true, responseStream: true, ...types },
    },
    'Echo',
  );
  let client: InstanceType<typeof Client>;
  before(() => {
    client = new Client(`127.0.0.1:${listener.port}`, grpcJs.credentials.createInsecure(), {
      'grpc.default_compression_algorithm': grpcJs.compressionAlgorithms.gzip,
    });
  });
  after(() => client.close());

  it('unary, gzip by default', async () => {
    const text = Buffer.from('some text '.repeat(10_000));
    const answer = await new Promise((resolve, reject) =>
      client['Echo'](text, (error: Error | null, value: Buffer) => (error ? reject(error) : resolve(value))),
    );
    assert.deepEqual(answer, text);
  });

  it('sees the refusal of a message while still sending it', async () => {
    const huge = Buffer.from(Array.from({ length: 3 << 20 }, () => Math.random() * 256));
    const error = await new Promise<grpcJs.ServiceError>((resolve) => client['Small'](huge, resolve));
    assert.equal(error.code, grpcJs.status.RESOURCE_EXHAUSTED);
  });

  it('server stream, slower than it is read', async () => {
    const sizes: number[] = [];
    for await (const message of client['Count'](Buffer.of(100))) sizes.push((message as Buffer).length);
    assert.deepEqual(sizes, Array(100).fill(100_000));
  });

  it('server stream that fails', async () => {
    await assert.rejects(client['Fails'](Buffer.of(1)).toArray(), {
      code: grpcJs.status.INVALID_ARGUMENT,
      details: 'no',
    });
  });

  it('server stream that fails after a message', async () => {
    const call = client['FailsLater'](Buffer.of(1));
    let messages = 0;
    call.on('data', () => messages++);
    const error = await new Promise<grpcJs.ServiceError>((resolve) => call.on('error', resolve));
    assert.deepEqual([error.code, error.details, messages], [grpcJs.status.INVALID_ARGUMENT, 'later', 1]);
  });

  for (const [text, code] of [
    ['abc', grpcJs.status.OK],
    ['abcd', grpcJs.status.INVALID_ARGUMENT],
  ] as const)
    it(`bidi that the server ends with ${code} while the client would go on`, async () => {
      const call = client['TalkOnce']();
      for (let i = 0; i < 10; i++) call.write(Buffer.from(text));
      call.on('data', () => {});
      call.on('error', () => {});
      const status = await new Promise<grpcJs.StatusObject>((resolve) => call.on('status', resolve));
      assert.equal(status.code, code);
      assert.equal(budget.usedBytes, 0);
    });

  it('bidi', async () => {
    const call = client['Talk']();
    const answers: string[] = [];
    for (let i = 0; i < 20; i++) call.write(Buffer.from(String(i)));
    call.end();
    for await (const message of call) answers.push(String(message));
    assert.deepEqual(
      answers,
      Array.from({ length: 20 }, (_, i) => `re: ${i}`),
    );
  });
});
