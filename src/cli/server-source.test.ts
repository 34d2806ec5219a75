import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { makeAuthority } from '../../tests/process/certificates.fixture.ts';
import { encodeRequest } from '../query/segments.fixture.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';
import { baseOf, type ServerOptions, serverSource } from './server-source.ts';
import { spansOf } from './trace.fixture.ts';

const TRACE = encodeRequest(spansOf('shop GET / 0-10'));

/** A source of a server that answers by this function. */
async function sourceOf(
  t: TestContext,
  answer: (request: http.IncomingMessage, response: http.ServerResponse) => void,
  options: Partial<ServerOptions> = {},
): Promise<ReturnType<typeof serverSource>> {
  const server = http.createServer(answer);
  t.after(() => server.close());
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const endpoint = `${options.endpoint ?? ''}127.0.0.1:${(server.address() as AddressInfo).port}`;
  return serverSource({
    secure: false,
    pathPrefix: '',
    tenant: undefined,
    headers: {},
    verifyTls: true,
    ...options,
    endpoint,
  });
}

function traceResponse(status: number, message: string): Uint8Array {
  const out = new ProtoWriter();
  out.bytesField(tagOf(1, WIRE_BYTES), TRACE);
  if (status > 0) out.varintField(tagOf(3, WIRE_VARINT), status);
  if (message !== '') out.stringField(tagOf(4, WIRE_BYTES), message);
  return out.finish();
}

describe('a server as a source', () => {
  it('is asked with tenant, headers, credentials and prefix, and may compress', async (t) => {
    let asked: http.IncomingMessage | undefined;
    const source = await sourceOf(
      t,
      (request, response) => {
        asked = request;
        response
          .writeHead(200, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' })
          .end(gzipSync('{"traces":[]}'));
      },
      { endpoint: 'http://user:p%40ss@', pathPrefix: '/tempo/', tenant: 'a|b', headers: { 'X-Token': '1' } },
    );
    assert.equal(await source.ask('tag-values', new URLSearchParams({ q: '{ }' }), 'span."a/b"'), '{"traces":[]}');
    assert.equal(asked?.url, '/tempo/api/v2/search/tag/span.%22a%2Fb%22/values?q=%7B+%7D');
    assert.equal(asked?.headers['x-scope-orgid'], 'a|b');
    assert.equal(asked?.headers['x-token'], '1');
    assert.equal(asked?.headers.authorization, `Basic ${Buffer.from('user:p@ss').toString('base64')}`);
  });

  const refusals: [status: number, body: string, message: RegExp][] = [
    [400, 'invalid TraceQL query: x', /answered 400: invalid TraceQL query: x$/],
    [401, 'no org id', /answered 401: no org id; name the tenant with --org-id/],
    [404, '404 page not found', /answered 404: .*--path-prefix/],
    [500, '', /answered 500: \(nothing\)$/],
    [200, '<html>', /answered no JSON; is this the address of a Tempo API\?/],
  ];
  for (const [status, body, message] of refusals)
    it(`${status} ${body}`, async (t) => {
      const source = await sourceOf(t, (_request, response) => void response.writeHead(status).end(body));
      await assert.rejects(source.ask('search', new URLSearchParams()), message);
    });

  it('whole traces, parts, and none', async (t) => {
    const bodies: [Uint8Array, { bytes: Uint8Array; partial?: string } | undefined][] = [
      [traceResponse(0, ''), { bytes: TRACE }],
      [traceResponse(1, 'too large'), { bytes: TRACE, partial: 'too large' }],
      [Buffer.from([0x0a, 0x00, 0x12, 0x00]), undefined],
      [new Uint8Array(), undefined],
    ];
    for (const [body, expected] of bodies) {
      const source = await sourceOf(t, (_request, response) => {
        response.writeHead(200, { 'Content-Type': 'application/protobuf' }).end(body);
      });
      const found = await source.trace('1', new URLSearchParams());
      assert.deepEqual(found && { ...found, bytes: Uint8Array.from(found.bytes) }, expected);
    }
  });

  it('a trace from a server that knows only the first version of the route', async (t) => {
    const source = await sourceOf(t, (request, response) => {
      if (request.url === '/api/traces/1')
        response.writeHead(200, { 'Content-Type': 'application/protobuf' }).end(TRACE);
      else if (request.url?.startsWith('/api/traces/')) response.writeHead(404).end();
      else response.writeHead(404).end('404 page not found\n');
    });
    assert.deepEqual(Uint8Array.from((await source.trace('1', new URLSearchParams()))!.bytes), TRACE);
    assert.equal(await source.trace('2', new URLSearchParams()), undefined);
  });

  it('a page for people is no trace', async (t) => {
    const source = await sourceOf(t, (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>');
    });
    await assert.rejects(source.trace('1', new URLSearchParams()), /answered no protobuf for a trace/);
  });

  it('an answer that is cut off', async (t) => {
    const source = await sourceOf(t, (_request, response) => {
      response.writeHead(200, { 'Content-Length': 100 }).write('{"traces"');
      setImmediate(() => response.destroy());
    });
    await assert.rejects(source.ask('search', new URLSearchParams()), /^VivaceError: cannot reach http:\/\/127/);
  });

  it('what the server could not look at', async (t) => {
    const missing: string[] = [];
    const source = await sourceOf(
      t,
      (_request, response) => {
        response.setHeader('X-Vivace-Receipt', 'complete=?0, blocks=2, missing=("block 6f: its checksum differs" "b")');
        response.end('{}');
      },
      { onMissing: (what) => missing.push(what) },
    );
    await source.ask('search', new URLSearchParams());
    assert.deepEqual(missing, ['"block 6f: its checksum differs" "b"']);
  });

  it('TLS: an unknown authority, none at all, and a server without', async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-cli-tls-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const pair = makeAuthority(folder).sign('tempo');
    const secure = https.createServer(
      { cert: fs.readFileSync(pair.cert), key: fs.readFileSync(pair.key) },
      (_request, response) => void response.end('{}'),
    );
    const plain = http.createServer((_request, response) => void response.end('{}'));
    const ask = async (server: http.Server, more: Partial<ServerOptions>): Promise<string> => {
      const endpoint = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const options = { endpoint, secure: true, pathPrefix: '', tenant: undefined, headers: {}, verifyTls: true };
      return serverSource({ ...options, ...more }).ask('search', new URLSearchParams());
    };
    for (const server of [secure, plain]) {
      t.after(() => server.close());
      await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    }
    assert.equal(await ask(secure, { verifyTls: false }), '{}');
    await assert.rejects(
      ask(secure, {}),
      /name the authority in NODE_EXTRA_CA_CERTS, or do without: --insecure-skip-verify/,
    );
    await assert.rejects(ask(secure, { secure: false }), /a server that speaks TLS wants --secure/);
    await assert.rejects(ask(plain, {}), /it does not speak TLS; leave out --secure, or write http:/);
  });

  it('addresses', () => {
    const base = (endpoint: string, secure = false, pathPrefix = ''): string =>
      baseOf({ endpoint, secure, pathPrefix }).base;
    assert.equal(base('tempo:3200'), 'http://tempo:3200');
    assert.equal(base('tempo:3200', true), 'https://tempo:3200');
    assert.equal(base('https://tempo/'), 'https://tempo');
    assert.equal(base('http://tempo:80/a/', false, 'b'), 'http://tempo/a/b');
    assert.throws(() => base('http://a b'), /http:\/\/a b is no address; write host:port/);
  });
});
