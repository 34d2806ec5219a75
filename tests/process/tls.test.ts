import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BasicTracerProvider, SimpleSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import { type Authority, makeAuthority, type Pair } from './certificates.fixture.ts';
import { freePorts, type Ports, run, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { EXPORT, makeBatch, random } from './spans.fixture.ts';

const suite = { after };
const directory = temporaryFolder(suite, 'tls');
const next = random(21);
let authority: Authority;
let other: Authority;
let client: Pair;
let stranger: Pair;
let ports: Ports;
let server: Server;

before(async () => {
  authority = makeAuthority(directory);
  other = makeAuthority(directory, 'other-authority');
  authority.sign('first', 'api');
  const receiver = authority.sign('receiver');
  client = authority.sign('client');
  stranger = other.sign('stranger');
  ports = await freePorts();
  const file = path.join(directory, 'vivace.yaml');
  fs.writeFileSync(
    file,
    `
server:
  tls_min_version: VersionTLS13
  http_tls_config: { cert_file: api.crt, key_file: api.key, client_ca_file: authority.crt, client_auth_type: VerifyClientCertIfGiven }
distributor:
  receivers:
    otlp:
      protocols:
        http:
          endpoint: 127.0.0.1:${ports.http}
          tls: { cert_file: ${receiver.cert}, key_file: ${receiver.key}, max_version: "1.2", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384] }
        grpc:
          endpoint: 127.0.0.1:${ports.grpc}
          tls: { cert_file: ${receiver.cert}, key_file: ${receiver.key}, client_ca_file: ${authority.cert} }
`,
  );
  server = await startServer(suite, { directory, ports, wait: false, flags: [`-config.file=${file}`] });
  await until(
    'the API answers over TLS',
    async () => (await curl('/ready')).stdout === 'ready\n',
    30_000,
    server.stderr,
  );
});

describe('HTTP over TLS', () => {
  it('is served with ALPN, as HTTP/1.1 and as HTTP/2', async () => {
    for (const [flag, version] of [
      ['--http1.1', '1.1'],
      ['--http2', '2'],
    ]) {
      const answer = await curl('/api/echo', flag, '-w', ' %{http_version}');
      assert.equal(answer.stdout, `echo ${version}`, answer.stderr);
    }
  });

  it('is nothing else: a plain request gets 400, an older version and a strange client no connection', async () => {
    const plain = await run('curl', ['-sS', '-w', ' %{http_code}', `http://127.0.0.1:${ports.api}/ready`]);
    assert.equal(plain.stdout, 'Client sent an HTTP request to an HTTPS server.\n 400');
    await refused(ports.api, { maxVersion: 'TLSv1.2' });
    const strange = await curl('/ready', '--cert', stranger.cert, '--key', stranger.key);
    assert.notEqual(strange.code, 0, strange.stdout);
    const known = await curl('/ready', '--cert', client.cert, '--key', client.key);
    assert.equal(known.stdout, 'ready\n', known.stderr);
    await closedAfter(ports.api, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  });

  it('keeps to versions and cipher suites of a receiver', async () => {
    const socket = await connected(ports.http, {});
    assert.equal(socket.getProtocol(), 'TLSv1.2');
    assert.equal(socket.getCipher().name, 'ECDHE-ECDSA-AES256-GCM-SHA384');
    socket.destroy();
    await refused(ports.http, { minVersion: 'TLSv1.3' });
    await refused(ports.http, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' });
  });

  it('takes spans of an exporter', async () => {
    const exporter = new ProtoExporter({
      url: `https://localhost:${ports.http}/v1/traces`,
      httpAgentOptions: { ca: fs.readFileSync(authority.cert) } as never,
    });
    await assertFound(await exported(exporter));
  });
});

describe('gRPC over TLS', () => {
  it('asks for a certificate of the client', async () => {
    const ca = fs.readFileSync(authority.cert);
    const of = ({ cert, key }: Pair) => grpc.credentials.createSsl(ca, fs.readFileSync(key), fs.readFileSync(cert));
    assert.equal(await send(of(client)), grpc.status.OK);
    assert.equal(await send(grpc.credentials.createSsl(ca)), grpc.status.UNAVAILABLE);
    assert.equal(await send(of(stranger)), grpc.status.UNAVAILABLE);
    assert.equal(await send(grpc.credentials.createInsecure()), grpc.status.UNAVAILABLE);
  });

  it('takes spans of an exporter', async () => {
    const [ca, key, cert] = [authority.cert, client.key, client.cert].map((file) => fs.readFileSync(file));
    const exporter = new GrpcExporter({
      url: `https://localhost:${ports.grpc}`,
      credentials: grpc.credentials.createSsl(ca, key, cert),
    });
    await assertFound(await exported(exporter));
  });

  it('is not spoken without ALPN', async () => {
    const { cert, key } = client;
    const socket = await connected(ports.grpc, { cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
    await new Promise((resolve) => socket.resume().on('close', resolve));
  });
});

describe('certificates', () => {
  it('are read again while the process runs; a pair that does not fit changes nothing', async () => {
    assert.equal(await subject(), 'first');
    const old = {
      cert: fs.readFileSync(path.join(directory, 'api.crt')),
      key: fs.readFileSync(path.join(directory, 'api.key')),
    };
    const renewed = authority.sign('second');
    fs.copyFileSync(renewed.cert, path.join(directory, 'api.crt'));
    await until(
      'the log tells',
      () => server.stderr().includes('cannot use the new certificates of server.http_tls_config'),
      20_000,
    );
    assert.equal(await subject(), 'first');
    fs.copyFileSync(renewed.key, path.join(directory, 'api.key'));
    await until('the new certificate is used', async () => (await subject()) === 'second', 20_000);
    assert.ok(!server.stderr().includes('PRIVATE KEY'));
    assert.ok(!old.key.equals(fs.readFileSync(path.join(directory, 'api.key'))));
  });
});

function curl(route: string, ...flags: string[]) {
  return run('curl', ['-sS', '--cacert', authority.cert, ...flags, `https://localhost:${ports.api}${route}`]);
}

function connected(port: number, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const ca = fs.readFileSync(authority.cert);
    const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...options });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

async function refused(port: number, options: tls.ConnectionOptions): Promise<void> {
  await assert.rejects(connected(port, options), /alert|ECONNRESET|disconnected|handshake/i);
}

function closedAfter(port: number, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('close', () => resolve());
    socket.on('error', reject);
    socket.resume();
  });
}

async function subject(): Promise<string> {
  const socket = await connected(ports.api, {});
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return name as string;
}

function send(credentials: grpc.ChannelCredentials): Promise<grpc.status> {
  const caller = new grpc.Client(`localhost:${ports.grpc}`, credentials);
  const body = Buffer.from(makeBatch(next).body);
  const plain = (bytes: Buffer) => bytes;
  return new Promise((resolve) =>
    caller.makeUnaryRequest(EXPORT, plain, plain, body, { deadline: Date.now() + 10_000 }, (error) => {
      caller.close();
      resolve(error === null ? grpc.status.OK : error.code);
    }),
  );
}

async function exported(exporter: SpanExporter): Promise<string> {
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const span = provider.getTracer('tls').startSpan('over tls');
  span.end();
  await provider.forceFlush();
  await provider.shutdown();
  return span.spanContext().traceId;
}

async function assertFound(trace: string): Promise<void> {
  const answer = await curl(`/api/traces/${trace}`);
  assert.match(answer.stdout, /over tls/);
}
