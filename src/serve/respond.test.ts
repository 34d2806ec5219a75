import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type ApiRequest, type ApiResponse, respond, text } from './respond.ts';

/** Text that shrinks to about a half, and to nothing. */
const hard = (length: number): string => {
  let hex = '';
  for (let i = 0; hex.length < length; i++) hex += createHash('sha256').update(String(i)).digest('hex');
  return hex.slice(0, length);
};
const BODIES = [hard(1025), hard(33 * 1024), hard(700 * 1024), 'a'.repeat(5_000_000), hard(3_000_000)];

async function listening(
  t: TestContext,
  server: http.Server | http2.Http2Server,
  ended: (answering: Promise<void>) => void = () => {},
): Promise<number> {
  server.on('request', (request: ApiRequest, response: ApiResponse) => {
    const gone = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    ended(respond(request, response, text(200, BODIES[Number(request.url!.slice(1))]), gone.signal));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('bodies of every size come whole, compressed, over HTTP/1', async (t) => {
  const port = await listening(t, http.createServer());
  for (const [i, body] of BODIES.entries()) {
    const answer = await fetch(`http://127.0.0.1:${port}/${i}`, { headers: { connection: 'close' } });
    assert.equal(answer.headers.get('content-encoding'), 'gzip');
    assert.ok((await answer.text()) === body, `${body.length} bytes`);
  }
});

test('… and over HTTP/2', async (t) => {
  const port = await listening(t, http2.createServer());
  const client = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => client.close());
  for (const [i, body] of BODIES.entries()) {
    const stream = client.request({ ':path': `/${i}`, 'accept-encoding': 'gzip' });
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece);
    assert.ok(gunzipSync(Buffer.concat(pieces)).toString() === body, `${body.length} bytes`);
  }
});

test('a client that leaves in the middle of a body is no error', async (t) => {
  let answering: Promise<void> | undefined;
  const port = await listening(t, http.createServer(), (promise) => {
    answering = promise;
  });
  const request = http.get({ port, host: '127.0.0.1', path: '/4', headers: { 'accept-encoding': 'gzip' } });
  request.on('error', () => {});
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  await once(answer, 'readable');
  request.destroy();
  await answering;
});
