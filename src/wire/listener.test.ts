import assert from 'node:assert/strict';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { it } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { type GrpcService, grpcRouter } from './grpc.ts';
import { type Listener, type ListenOptions, listen } from './listener.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

const echo: GrpcService = { '/test.Echo/Echo': { kind: 'unary', handle: async (message) => message } };

/** The type of every frame in what a server sent. */
function frameTypes(bytes: Buffer): number[] {
  const types: number[] = [];
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) types.push(bytes[at + 3]);
  return types;
}

function answerPath(req: http.IncomingMessage, res: http.ServerResponse): void {
  res.end(`${req.httpVersion} ${req.method} ${req.url}`);
}

async function using(options: Partial<ListenOptions>, body: (listener: Listener) => Promise<void>): Promise<void> {
  const listener = await listen({ host: '127.0.0.1', port: 0, ...options });
  try {
    await body(listener);
  } finally {
    await listener.close(0);
  }
}

/** Writes bytes to a new connection and collects what comes until it is closed. */
function exchange(port: number, ...parts: (string | Buffer)[]): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const seen: Buffer[] = [];
    socket.on('data', (chunk) => seen.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(seen)));
    const next = (): void => {
      const part = parts.shift();
      // Pieces of their own, so that the server sees them one by one.
      if (part !== undefined) socket.write(part, () => setTimeout(next, 10));
    };
    next();
  });
}

function grpcEcho(session: http2.ClientHttp2Session): Promise<string> {
  const stream = session.request({ ':method': 'POST', ':path': '/test.Echo/Echo', 'content-type': 'application/grpc' });
  stream.end(Buffer.from([0, 0, 0, 0, 1, 42]));
  return new Promise((resolve, reject) => {
    let status = 'none';
    stream.on('trailers', (trailers) => (status = String(trailers['grpc-status'])));
    stream.on('data', () => {});
    stream.on('error', reject);
    stream.on('close', () => resolve(status));
  });
}

function h2Get(session: http2.ClientHttp2Session, path: string): Promise<string> {
  const stream = session.request({ ':path': path });
  return stream.toArray().then((chunks) => Buffer.concat(chunks).toString());
}

it('serves HTTP/1.1, HTTP/2 and gRPC on one socket', async () => {
  await using({ http: answerPath, grpc: grpcRouter(echo) }, async ({ port }) => {
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/a`)).text(), '1.1 GET /a');
    const session = http2.connect(`http://127.0.0.1:${port}`);
    assert.equal(await h2Get(session, '/b'), '2.0 GET /b');
    assert.equal(await grpcEcho(session), '0');
    session.destroy();
  });
});

it('decides although the first bytes come one by one, and is not misled by other methods with P', async () => {
  await using({ http: answerPath, grpc: grpcRouter(echo) }, async ({ port }) => {
    const end = 'Host: h\r\nConnection: close\r\n\r\n';
    assert.match((await exchange(port, 'G', 'E', 'T /x HTTP/1.1\r\n', end)).toString(), /1\.1 GET \/x$/);
    assert.match((await exchange(port, 'P', `UT /x HTTP/1.1\r\n${end}`)).toString(), /1\.1 PUT \/x$/);
    assert.match((await exchange(port, 'PR', `OPFIND /x HTTP/1.1\r\n${end}`)).toString(), /1\.1 PROPFIND \/x$/);
    const [p, r, rest] = [PREFACE.subarray(0, 1), PREFACE.subarray(1, 2), PREFACE.subarray(2)];
    const goAway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const answer = await exchange(port, p, r, rest, Buffer.concat([SETTINGS, goAway]));
    assert.equal(answer[3], 4, 'the first frame is SETTINGS');
  });
});

for (const [title, bytes] of [
  ['HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\nHost: h\r\n\r\n')],
  ['TLS hello', Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, ...Array(600).fill(7)])],
  ['preface and junk', Buffer.concat([PREFACE, Buffer.alloc(64, 0xff)])],
] as const)
  it(`${title} on a port for gRPC only is closed, and others are served`, async () => {
    await using({ grpc: grpcRouter(echo) }, async ({ port }) => {
      await exchange(port, bytes);
      const session = http2.connect(`http://127.0.0.1:${port}`);
      assert.equal(await grpcEcho(session), '0');
      session.destroy();
    });
  });

for (const [title, bytes] of [
  ['nothing', ''],
  ['half a preface', 'PR'],
  ['a preface', PREFACE],
  ['half a header block', 'GET / HTTP/1.1\r\nHost:'],
] as const)
  it(`${title} and then silence is closed by the header timeout`, async () => {
    await using({ http: answerPath, grpc: grpcRouter(echo), headerMsMax: 100 }, async ({ port }) => {
      await exchange(port, bytes);
    });
  });

it('refuses hostile header blocks', async () => {
  await using({ http: answerPath }, async ({ port }) => {
    const status = async (text: string) => Number((await exchange(port, text)).toString('latin1').split(' ')[1]);
    assert.equal(await status('GET / HTTP/1.1\r\nConnection: close\r\n\r\n'), 400, 'no Host');
    assert.equal(await status('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n'), 400);
    assert.equal(await status(`GET / HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(2 << 20)}\r\n\r\n`), 431);
    assert.equal(await status('\x16\x03\x01 not http\r\n\r\n'), 400);
  });
});

it('ends an HTTP/2 session that floods pings, with ENHANCE_YOUR_CALM', async () => {
  await using({ grpc: grpcRouter(echo) }, async ({ port }) => {
    const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    const seen = await exchange(port, Buffer.concat([PREFACE, SETTINGS]), Buffer.concat(Array(50).fill(ping)));
    assert.ok(seen.includes('too_many_pings'), 'GOAWAY with its reason');
  });
});

it('ends a session that opens and resets streams without end', async () => {
  await using({ grpc: grpcRouter(echo) }, async ({ port }) => {
    // HEADERS (static table: POST, /, http) and RST_STREAM for ever new streams.
    const flood = Array.from({ length: 5000 }, (_, i) => {
      const bytes = Buffer.from([0, 0, 3, 1, 4, 0, 0, 0, 0, 0x83, 0x84, 0x86, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
      bytes.writeUInt32BE(2 * i + 1, 5);
      bytes.writeUInt32BE(2 * i + 1, 17);
      return bytes;
    });
    const seen = await exchange(port, Buffer.concat([PREFACE, SETTINGS, ...flood]));
    const types = frameTypes(seen);
    assert.equal(types.at(-1), 7, `GOAWAY is the last of ${types}`);
  });
});

it('refuses a header list beyond its bound and goes on', async () => {
  await using({ grpc: grpcRouter(echo) }, async ({ port }) => {
    const session = http2.connect(`http://127.0.0.1:${port}`, { maxSendHeaderBlockLength: 4 << 20 });
    session.on('error', () => {});
    const headers = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`x-${i}`, 'v'.repeat(16 << 10)]));
    const refused = new Promise((resolve) => {
      const stream = session.request({ ':method': 'POST', ':path': '/test.Echo/Echo', ...headers });
      stream.on('error', resolve);
      stream.on('response', resolve);
      stream.on('close', resolve);
    });
    await refused;
    session.destroy();
    const next = http2.connect(`http://127.0.0.1:${port}`);
    assert.equal(await grpcEcho(next), '0');
    next.destroy();
  });
});

it('says that an address is in use', async () => {
  await using({ http: answerPath }, async ({ port }) => {
    await assert.rejects(listen({ host: '127.0.0.1', port, http: answerPath }), (error: unknown) => {
      assert.ok(error instanceof VivaceError);
      assert.equal(
        error.message,
        `cannot listen on 127.0.0.1:${port}: the address is in use; stop the other process or choose another port`,
      );
      return true;
    });
  });
});

it('closes: answers what is in flight, ends idle connections, refuses new ones', async () => {
  let release: (() => void) | undefined;
  const hold = (_: http.IncomingMessage, res: http.ServerResponse): void => {
    release = () => res.end('done');
    arrived();
  };
  let arrived = (): void => {};
  const inFlight = new Promise<void>((resolve) => (arrived = resolve));
  const listener = await listen({ host: '127.0.0.1', port: 0, http: hold, grpc: grpcRouter(echo) });
  const { port } = listener;
  const idle = new Promise((resolve) =>
    net
      .connect(port, '127.0.0.1')
      .on('close', resolve)
      .on('error', () => {}),
  );
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const sessionClosed = new Promise((resolve) => session.on('close', resolve));
  assert.equal(await grpcEcho(session), '0');
  const agent = new http.Agent({ keepAlive: true });
  const answer = new Promise<string>((resolve, reject) => {
    const req = http.get({ port, agent, path: '/' }, (res) => {
      res.toArray().then((chunks) => resolve(Buffer.concat(chunks).toString()), reject);
    });
    req.on('error', reject);
  });
  await inFlight;
  const closed = listener.close(60_000);
  await Promise.all([idle, sessionClosed]);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
  release?.();
  assert.equal(await answer, 'done');
  await closed;
  assert.equal(listener.connections(), 0);
  agent.destroy();
});

it('destroys what is left after the grace period', async () => {
  const listener = await listen({ host: '127.0.0.1', port: 0, http: () => {} });
  const ended = new Promise((resolve) => http.get({ port: listener.port }).on('error', resolve));
  while (listener.connections() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await listener.close(50);
  await ended;
});
