import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type net from 'node:net';
import { it } from 'node:test';
import { Http2Buffers } from './http2-buffers.ts';

type Serve = (stream: ServerHttp2Stream, buffers: Http2Buffers, path: string) => void;

/** A server whose sessions each have their buffers, and a client of it. */
async function using(serve: Serve, body: (client: ClientHttp2Session) => Promise<void>): Promise<void> {
  const server = http2.createServer();
  server.on('session', (session) => {
    const buffers = new Http2Buffers();
    session.on('stream', (stream, headers) => serve(stream, buffers, headers[':path']!));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = http2.connect(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  try {
    await body(client);
  } finally {
    client.destroy();
    server.close();
  }
}

/** Bytes that tell where they belong. */
function bytesOf(seed: number, length: number): Buffer {
  return Buffer.from(Uint32Array.from({ length: length / 4 }, (_, i) => seed * 0x1000000 + i).buffer);
}

async function send(client: ClientHttp2Session, path: string, body: Buffer): Promise<Buffer> {
  const stream = client.request({ ':method': 'POST', ':path': path });
  stream.end(body);
  return Buffer.concat(await stream.toArray());
}

/** Copies what it is sent, and sends it back. */
function echo(stream: ServerHttp2Stream, buffers: Http2Buffers, seen = new Set<ArrayBufferLike>()): void {
  const copies: Buffer[] = [];
  buffers.add(stream);
  stream.on('data', (piece: Buffer) => {
    seen.add(piece.buffer);
    copies.push(Buffer.from(piece));
    buffers.copied(piece);
  });
  stream.on('end', () => stream.end(Buffer.concat(copies)));
}

it('gives back what it has read, but for the newest', async () => {
  const seen = new Set<ArrayBufferLike>();
  await using(
    (stream, buffers) => echo(stream, buffers, seen),
    async (client) => {
      const bodies = [1, 2, 3, 4].map((seed) => bytesOf(seed, 1 << 20));
      const echoed = await Promise.all(bodies.map((body) => send(client, '/', body)));
      for (const [i, body] of bodies.entries()) assert.ok(echoed[i].equals(body), `body ${i}`);
      const large = [...seen].slice(0, -1).filter(({ byteLength }) => byteLength >= 4096);
      assert.ok(large.length < seen.size / 2, `${large.length} of ${seen.size} are left to the garbage collector`);
    },
  );
});

/** Sends two bodies in turns, so that pieces of both arrive in one read; the second is not ended until `until` resolves. */
async function sendBoth(client: ClientHttp2Session, paths: string[], bodies: Buffer[], until?: () => Promise<void>) {
  const streams = paths.map((path) => client.request({ ':method': 'POST', ':path': path }));
  const answers = streams.map((stream) => stream.toArray().then(Buffer.concat));
  for (let at = 0; at < bodies[0].length; at += 8192) {
    const written = streams.map(
      (stream, i) => new Promise((done) => stream.write(bodies[i].subarray(at, at + 8192), done)),
    );
    await Promise.all(written);
  }
  streams[0].end();
  const first = await answers[0];
  await until?.();
  streams[1].end();
  return [first, await answers[1]];
}

it('leaves alone what waits in a stream that is paused, or has no reader yet', async () => {
  const waiting: ServerHttp2Stream[] = [];
  await using(
    (stream, buffers, path) => {
      if (path === '/echo') return echo(stream, buffers);
      buffers.add(stream);
      waiting.push(stream);
      stream.read(0);
    },
    async (client) => {
      // Less than the window of a stream.
      const bodies = [bytesOf(7, 48 << 10), bytesOf(8, 48 << 10)];
      const echoed = await sendBoth(client, ['/echo', '/wait'], bodies, async () => {
        const [stream] = waiting;
        while (stream.readableLength < bodies[1].length) await new Promise((resolve) => setImmediate(resolve));
        void stream.toArray().then((pieces: Buffer[]) => stream.end(Buffer.concat(pieces)));
      });
      for (const [i, body] of bodies.entries()) assert.ok(echoed[i].equals(body), `body ${i}`);
    },
  );
});

it('gives nothing back once somebody reads who may keep what he gets', async () => {
  await using(
    (stream, buffers, path) => {
      if (path === '/echo') return echo(stream, buffers);
      buffers.share();
      void stream.toArray().then((pieces: Buffer[]) => stream.end(Buffer.concat(pieces)));
    },
    async (client) => {
      const bodies = [bytesOf(7, 256 << 10), bytesOf(8, 256 << 10)];
      const echoed = await sendBoth(client, ['/echo', '/keep'], bodies);
      for (const [i, body] of bodies.entries()) assert.ok(echoed[i].equals(body), `body ${i}`);
    },
  );
});
