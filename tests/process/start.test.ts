import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { freePorts, later, ROOT, run, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, assertSpans, type Batch, call, EXPORT, makeBatch, post, random, search } from './spans.fixture.ts';

const next = random(5);
const GOLDEN = path.join(ROOT, 'tests/golden/config');

describe('flags and exit codes', () => {
  const cases: [string, number, stdout: RegExp, stderr: RegExp][] = [
    ['-version', 0, /^tempo, version \d+\.\d+\.\d+ \(branch: \S+, revision: \S+\)\n$/, /^$/],
    ['--version', 0, /^tempo, version /, /^$/],
    ['-help', 0, /^$/, /^Usage of tempo:\n.*-config\.file string/s],
    ['-nope', 2, /^$/, /^flag provided but not defined: -nope\nUsage of tempo:/],
    [
      '-server.http-listen-prt=1',
      2,
      /^$/,
      /^flag .*: -server\.http-listen-prt \(did you mean -server\.http-listen-port/,
    ],
    ['-server.http-listen-port=many', 2, /^$/, /^invalid value "many" for flag -server\.http-listen-port/],
    ['-config.file', 2, /^$/, /^flag needs an argument: -config\.file\n/],
    ['-config.file=FOLDER/none.yaml', 1, /^$/, /open \S+none\.yaml: no such file or directory\n$/],
    ['-config.file=FOLDER', 1, /^$/, /is a directory\n$/],
    [
      '-config.file=FOLDER/misspelt.yaml',
      1,
      /^$/,
      /line 2: field http_listen_prt .*\(column 3: did you mean http_listen_port/,
    ],
    ['-config.file=FOLDER/type.yaml', 1, /^$/, /line 2: cannot unmarshal !!str `many` into int \(column 21\)\n$/],
    ['-config.file=FOLDER/tab.yaml', 1, /^$/, /tab\.yaml: yaml: line 2: .*\(column 1\)\n$/],
    ['-config.verify -config.file=GOLDEN/deployment.yaml', 0, /^$/, /^$/],
    ['-config.verify=true -config.file=GOLDEN/tcp-gateway.yaml', 1, /^$/, /CONFIGURATION WARNINGS/],
    ['-config.verify -config.file=FOLDER/misspelt.yaml', 1, /^$/, /line 2: field http_listen_prt/],
    ['-storage.trace.backend=tape', 1, /^$/, /tape/],
    ['-health -health.url=http://127.0.0.1:1/ready', 1, /^Tempo is not healthy\n$/, /^$/],
  ];
  for (const [line, code, stdout, stderr] of cases)
    it(`${line} ends with ${code}`, async (t) => {
      const folder = temporaryFolder(t);
      fs.writeFileSync(path.join(folder, 'misspelt.yaml'), 'server:\n  http_listen_prt: 1\n');
      fs.writeFileSync(path.join(folder, 'type.yaml'), 'server:\n  http_listen_port: many\n');
      fs.writeFileSync(path.join(folder, 'tab.yaml'), 'server:\n\thttp_listen_port: 1\n');
      const args = line.split(' ').map((word) => word.replace('FOLDER', folder).replace('GOLDEN', GOLDEN));
      const ended = await run(path.join(ROOT, 'bin/tempo'), args, { cwd: folder });
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stdout, stdout);
      assert.match(ended.stderr, stderr);
      assert.ok(!fs.existsSync(path.join(folder, 'data')), 'nothing was started');
    });
});

describe('start', () => {
  it('with nothing but a port: data under ./data, addresses and lines to try on stdout', async (t) => {
    const directory = temporaryFolder(t);
    const ports = await freePorts();
    const server = await startServer(t, { directory, ports, env: { VIVACE_DATA: '', PORT: '1' } });
    assert.deepEqual(fs.readdirSync(path.join(directory, 'data')).sort(), ['blocks', 'wal']);
    await until('the greeting is there', () => server.stdout().includes('/api/search'));
    const span = await run('sh', [
      '-ec',
      server
        .stdout()
        .split('\n')
        .find((line) => line.includes('/v1/traces -H'))!,
    ]);
    assert.equal(span.stdout, '{"partialSuccess":{}}', span.stderr);
    assert.deepEqual(await search(server.url, { q: '{ resource.service.name = "first" }' }), [
      '5b8efff798038103d269b633813fc60c',
    ]);
    const health = await run(path.join(ROOT, 'bin/vivace'), ['-health', `-health.url=${server.url}/ready`]);
    assert.deepEqual([health.code, health.stdout], [0, 'Tempo is healthy\n']);
    for (const url of [server.url, server.otlpUrl.replace('/v1/traces', '')])
      for (const page of ['/ready', '/metrics', '/api/echo']) assert.equal((await ask(`${url}${page}`)).status, 200);
  });

  it('PORT is the port of the API', async (t) => {
    const { api, http, grpc, internalGrpc } = await freePorts();
    const directory = temporaryFolder(t);
    const args = ['--server.http-listen-address=127.0.0.1', `--server.grpc-listen-port=${internalGrpc}`];
    const env = { PORT: String(api), TEMPO_HTTP_PORT: String(http), TEMPO_GRPC_PORT: String(grpc) };
    const ended = run(path.join(ROOT, 'bin/vivace'), args, { cwd: directory, env });
    await until('PORT answers', () =>
      fetch(`http://127.0.0.1:${api}/ready`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    await ask(`http://127.0.0.1:${api}/shutdown`);
    assert.equal((await ended).code, 0);
  });

  for (const taken of ['api', 'http', 'grpc'] as const)
    it(`a stranger on the ${taken} port: exit 1, says which and why`, async (t) => {
      const directory = temporaryFolder(t);
      const ports = await freePorts();
      const stranger = net.createServer();
      stranger.listen(ports[taken], taken === 'api' ? '127.0.0.1' : '0.0.0.0');
      await once(stranger, 'listening');
      later(t, () => void stranger.close());
      const server = await startServer(t, { directory, ports, wait: false });
      assert.deepEqual(await server.exited, { code: 1, signal: null });
      assert.match(server.stderr(), new RegExp(`cannot listen on \\S+:${ports[taken]}: the address is in use; stop`));
      assert.doesNotMatch(server.stdout(), /ready/);
    });

  it('a folder that cannot be used: exit 1, says which and what to do', async (t) => {
    const directory = temporaryFolder(t);
    fs.writeFileSync(path.join(directory, 'data'), 'a file');
    const server = await startServer(t, { directory, wait: false });
    assert.deepEqual(await server.exited, { code: 1, signal: null });
    assert.match(server.stderr(), /cannot use the directory \S+\/data\/wal: .*make it writable or name another one/);
  });

  it('a second process on the same folder and the same ports of the API is refused, and the first goes on', async (t) => {
    const directory = temporaryFolder(t);
    const first = await startServer(t, { directory });
    const second = await startServer(t, { directory, ports: first.ports, wait: false });
    assert.deepEqual(await second.exited, { code: 1, signal: null });
    const batch = makeBatch(next);
    assert.equal((await post(first.otlpUrl, batch.body)).status, 200);
    await assertSpans(first.url, batch.traces);
  });
});

describe('stop', () => {
  it('SIGTERM: answers what is in flight, cuts, leaves no log, ends with 0', async (t) => {
    const directory = temporaryFolder(t);
    const server = await startServer(t, { directory });
    const acknowledged: Batch[] = [];
    // Some that come and go all the time …
    const agent = new http.Agent({ keepAlive: true });
    later(t, () => agent.destroy());
    const senders = Array.from({ length: 4 }, async () => {
      for (;;) {
        const batch = makeBatch(next);
        const answer = await post(server.otlpUrl, batch.body, {}, agent).catch(() => undefined);
        if (answer?.status !== 200) return;
        acknowledged.push(batch);
      }
    });
    await until('spans are acknowledged', () => acknowledged.length > 50);
    // … and two that are half way when the signal comes.
    const overHttp = await halfWayOverHttp(server.otlpUrl, makeBatch(next));
    const overGrpc = await halfWayOverGrpc(server.ports.grpc, makeBatch(next));
    const exited = server.stop();
    await until('no new connections', () => refusesConnections(server.ports.http));
    assert.equal(await overHttp.finish(), 200);
    assert.equal(await overGrpc.finish(), 0);
    acknowledged.push(overHttp.batch, overGrpc.batch);
    assert.deepEqual(await exited, { code: 0, signal: null }, server.stderr());
    await Promise.all(senders);
    assert.deepEqual(fs.readdirSync(path.join(directory, 'data/wal')), []);
    assert.ok(fs.globSync(path.join(directory, 'data/blocks/single-tenant/*/meta.json')).length > 0);
    const again = await startServer(t, { directory });
    assert.doesNotMatch(again.stderr(), /read back from the log/);
    for (const { traces } of acknowledged) await assertSpans(again.url, traces);
  });

  it('in the shutdown delay /ready says that it stops, and spans are still taken', async (t) => {
    const directory = temporaryFolder(t);
    // Longer than any machine takes for what is asked in it.
    const server = await startServer(t, { directory, flags: ['--shutdown-delay=1h'] });
    assert.equal((await ask(`${server.url}/ready`)).body.toString(), 'ready\n');
    void server.stop();
    await until('/ready answers 503', async () => (await ask(`${server.url}/ready`)).status === 503);
    assert.match((await ask(`${server.url}/ready`)).body.toString(), /^Application is stopping/);
    assert.equal((await ask(`${server.url}/metrics`)).status, 200);
    const batch = makeBatch(next);
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    await assertSpans(server.url, batch.traces);
    await server.kill();
    const again = await startServer(t, { directory, flags: ['--shutdown-delay=100ms'] });
    await assertSpans(again.url, batch.traces);
    assert.deepEqual(await again.stop(), { code: 0, signal: null }, again.stderr());
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    it(`${signal} with nothing to do ends with 0`, async (t) => {
      const server = await startServer(t, { directory: temporaryFolder(t) });
      assert.deepEqual(await server.stop(signal), { code: 0, signal: null }, server.stderr());
    });

  it('a signal while it starts ends it in order, and nothing is lost', async (t) => {
    const directory = temporaryFolder(t);
    const server = await startServer(t, { directory });
    const batch = makeBatch(next);
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    await server.kill();
    for (let attempt = 0; attempt < 5; attempt++) {
      const short = await startServer(t, { directory, wait: false });
      await until('the process has begun', () => fs.readdirSync(path.join(directory, 'data/wal')).length > 1);
      await new Promise((resolve) => setTimeout(resolve, 60 * attempt));
      const { code, signal } = await short.stop();
      // Before the program is there to hear it, the signal simply ends the process.
      assert.ok(code === 0 || signal === 'SIGTERM', short.stderr());
    }
    const again = await startServer(t, { directory });
    await assertSpans(again.url, batch.traces);
  });

  it('/shutdown acknowledges and stops in order', async (t) => {
    const directory = temporaryFolder(t);
    const server = await startServer(t, { directory });
    const batch = makeBatch(next);
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    const answer = await ask(`${server.url}/shutdown`, { method: 'POST' });
    assert.deepEqual([answer.status, answer.body.toString().trim()], [200, 'shutdown job acknowledged']);
    assert.deepEqual(await server.exited, { code: 0, signal: null }, server.stderr());
    assert.deepEqual(fs.readdirSync(path.join(directory, 'data/wal')), []);
  });
});

it('/flush puts everything into blocks before it answers', async (t) => {
  const directory = temporaryFolder(t);
  const server = await startServer(t, { directory });
  const batch = makeBatch(next);
  assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
  const blocks = (): string[] => fs.globSync(path.join(directory, 'data/blocks/single-tenant/*/meta.json'));
  assert.deepEqual(blocks(), []);
  assert.equal((await ask(`${server.url}/flush`, { method: 'POST' })).status, 204);
  assert.equal(blocks().length, 1);
  await assertSpans(server.url, batch.traces);
  // Nothing to do is no failure, and makes no empty block.
  assert.equal((await ask(`${server.url}/flush?tenant=single-tenant`)).status, 204);
  assert.equal((await ask(`${server.url}/flush?tenant=nobody`)).status, 404);
  assert.equal(blocks().length, 1);
  await server.kill();
  const again = await startServer(t, { directory });
  assert.doesNotMatch(again.stderr(), /read back from the log/);
  await assertSpans(again.url, batch.traces);
});

interface HalfWay {
  batch: Batch;
  /** Sends the rest; resolves with the status. */
  finish(): Promise<number>;
}

async function halfWayOverHttp(url: string, batch: Batch): Promise<HalfWay> {
  const headers = {
    'Content-Type': 'application/x-protobuf',
    'Content-Length': batch.body.length,
    Expect: '100-continue',
  };
  const request = http.request(url, { method: 'POST', headers });
  request.flushHeaders();
  // The server has read the head.
  await once(request, 'continue');
  request.write(batch.body.subarray(0, 100));
  return {
    batch,
    async finish() {
      request.end(batch.body.subarray(100));
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      response.resume();
      return response.statusCode!;
    },
  };
}

async function halfWayOverGrpc(port: number, batch: Batch): Promise<HalfWay> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  // The session has worked before.
  assert.equal((await call(session, Buffer.alloc(0))).status, 0);
  const stream = session.request({
    ':method': 'POST',
    ':path': EXPORT,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(batch.body.length, 1);
  stream.write(Buffer.concat([head, batch.body.subarray(0, 100)]));
  // A ping that comes back has been overtaken by nothing.
  await new Promise<void>((resolve, reject) => {
    session.ping((error) => (error === null ? resolve() : reject(error)));
  });
  return {
    batch,
    async finish() {
      stream.end(batch.body.subarray(100));
      stream.resume();
      const [trailers] = (await once(stream, 'trailers')) as [http2.IncomingHttpHeaders];
      return Number(trailers['grpc-status']);
    },
  };
}

function refusesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}
