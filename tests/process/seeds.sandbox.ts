/** Runs inside sandbox.fixture.ts: what the documents in tests/golden/seeds say, at the paths and ports that they name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import { afterEach, describe, it } from 'node:test';
import * as grpcJs from '@grpc/grpc-js';
import { environment, isFree, killAll, ROOT, run, until, type Watched, watch } from './server.fixture.ts';
import { ask, assertSpans, type Batch, call, EXPORT, makeBatch, post, random, search } from './spans.fixture.ts';

const RUNBOOK = fs.readFileSync(path.join(ROOT, 'tests/golden/seeds/000-tcp-gateway.md'), 'utf8');
const PORT = '5000';
const PLATFORM = { PORT, TEMPO_HTTP_PORT: '4318', TEMPO_GRPC_PORT: '4317' };
const WEB = `http://127.0.0.1:${PORT}`;
const HTTP = 'http://127.0.0.1:4318';
const DATA = '/tmp/tempo-data';
const next = random(4);

afterEach(killAll);

describe('runbook of the TCP gateway', () => {
  fs.mkdirSync('/app/bin', { recursive: true });
  fs.mkdirSync('/app/config', { recursive: true });
  fs.symlinkSync('/app/vivace/bin/tempo', '/app/bin/tempo');
  fs.writeFileSync('/app/config/tempo.yaml', fenced('## Fichier de Configuration (tempo.yaml)'));
  for (const heading of RUNBOOK.matchAll(/^### \d\. (bin\/\S+)/gm))
    fs.writeFileSync(`/app/${heading[1]}`, fenced(heading[0]), { mode: 0o755 });
  const processes = new Map(
    fenced('## Fichier Procfile')
      .trim()
      .split('\n')
      .map((line) => line.split(': ') as [string, string]),
  );
  const start = (type: string, ...wrap: string[]): Watched => {
    const [file, ...args] = [...wrap, processes.get(type)!];
    return watch(file, args, { ...environment(), ...PLATFORM }, '/app');
  };

  it('web: starts on nothing, answers on $PORT alone, and ends by SIGTERM', async () => {
    assert.deepEqual([...processes.keys()], ['web', 'http-receiver', 'grpc-receiver']);
    assert.ok(!fs.existsSync(DATA));
    const web = start('web');
    await ready(WEB, web);
    assert.equal(fs.readlinkSync(`/proc/${web.child.pid}/exe`), process.execPath, 'the shell has handed over');
    assert.equal((await ask(`${WEB}/api/echo`)).body.toString(), 'echo');
    assert.equal((await ask(`${WEB}/`)).status, 200);
    assert.equal((await ask(`${WEB}/api/traces/00000000000000000000000000000001`)).status, 404);
    assert.deepEqual(await search(WEB, {}), []);
    assert.deepEqual(listening(), ['*:9095', `0.0.0.0:${PORT}`]);
    for (const folder of ['blocks', 'wal']) assert.equal(fs.statSync(`${DATA}/${folder}`).mode & 0o777, 0o700);
    assert.match((await ask(`${WEB}/status/config`)).body.toString(), /block_retention: 24h/);
    await stops(web);
    assert.match(web.stderr(), /pool_max_idle_streams/);
  });

  it('http-receiver: one listener on 4318 takes spans and answers queries', async () => {
    const receiver = start('http-receiver');
    await ready(HTTP, receiver);
    assert.deepEqual(listening(), ['0.0.0.0:4317', '0.0.0.0:4318']);
    const batch = makeBatch(next);
    assert.equal((await post(`${HTTP}/v1/traces`, batch.body)).status, 200);
    await assertSpans(HTTP, batch.traces);
    assert.equal((await ask(`${HTTP}/api/echo`)).body.toString(), 'echo');
    assert.equal((await ask(`${HTTP}/metrics`)).status, 200);
    assert.match(receiver.stderr(), /expand-env/);
    await stops(receiver);
    await assertGone(batch);
  });

  it('grpc-receiver: Export on 4317, no listener of the API', async () => {
    const receiver = start('grpc-receiver');
    await until('4317 answers', () => exports(makeBatch(next, { traces: 1 })), 30_000, receiver.stderr);
    assert.deepEqual(listening(), ['0.0.0.0:4317', '0.0.0.0:4318']);
    assert.ok(await isFree(Number(PORT)));
    assert.ok(await isFree(3200));
    // The ids of an OTLP/JSON file as grpcurl sends them: their digits read as base64.
    const trace = '5b8efff798038103d269b633813fc60c';
    const json = makeBatch(next, { traces: [trace], spansPerTrace: 1 });
    const [span] = json.traces.get(trace)!;
    const body = misread(json.body, trace, span);
    assert.equal((await overGrpc((session) => call(session, body))).status, 0);
    await assertSpans(HTTP, json.traces);
    await stops(receiver);
  });

  it('the curl line', async () => {
    const receiver = start('http-receiver');
    await ready(HTTP, receiver);
    const line = /```bash\n(curl -X POST .*?)```/s.exec(RUNBOOK)![1];
    const span = {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      name: 'curl',
      kind: 2,
      startTimeUnixNano: `${Date.now()}000000`,
      endTimeUnixNano: `${Date.now()}500000`,
    };
    const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'by-hand' } }] };
    fs.mkdirSync('/tmp/here');
    fs.writeFileSync(
      '/tmp/here/trace.json',
      JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] }, null, 2),
    );
    const answer = await run('bash', ['-ec', line], { cwd: '/tmp/here' });
    assert.equal(answer.stdout, '{"partialSuccess":{}}', answer.stderr);
    await assertSpans(HTTP, [[span.traceId, [span.spanId]]]);
    await stops(receiver);
  });

  it('three containers over one folder: what two of them take, the third finds, before and after they stop', async () => {
    const web = start('web');
    const http = start('http-receiver');
    // A container has ports of its own.
    const grpc = start('grpc-receiver', 'unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$0"');
    await ready(WEB, web);
    await ready(HTTP, http);
    fs.writeFileSync('/tmp/request', frame(makeBatch(next, { traces: 1 }).body));
    await until('4317 answers', async () => (await curlGrpc(grpc.child.pid!)) === '0', 30_000, grpc.stderr);
    const [left, right] = [makeBatch(next, { service: 'left' }), makeBatch(next, { service: 'right' })];
    // One trace with spans from both.
    const [shared] = left.traces.keys();
    const more = makeBatch(next, { traces: [shared], service: 'right' });
    left.traces.get(shared)!.push(...more.traces.get(shared)!);
    assert.equal((await post(`${HTTP}/v1/traces`, left.body)).status, 200);
    for (const { body } of [right, more]) {
      fs.writeFileSync('/tmp/request', frame(body));
      assert.equal(await curlGrpc(grpc.child.pid!), '0');
    }
    const allFound = async (): Promise<void> => {
      await assertSpans(WEB, left.traces);
      await assertSpans(WEB, right.traces);
      const q = '{ resource.service.name = "right" }';
      assert.deepEqual((await search(WEB, { q })).sort(), [...right.traces.keys(), shared].sort());
    };
    await allFound();
    // Each of the receivers sees the other's, too.
    await assertSpans(HTTP, right.traces);
    await stops(http);
    await allFound();
    await stops(grpc);
    await allFound();
    assert.deepEqual(fs.readdirSync(`${DATA}/wal`), []);
    await stops(web);
    const again = start('web');
    await ready(WEB, again);
    await allFound();
    await stops(again);
  });

  for (const order of [
    ['web', 'http-receiver', 'grpc-receiver'],
    ['grpc-receiver', 'http-receiver', 'web'],
  ])
    it(`three processes on one host, started as ${order.join(', ')}`, async () => {
      const started = new Map<string, Watched>();
      for (const type of order) {
        const one = start(type);
        started.set(type, one);
        await until(`${type} has started`, () => /Tempo started/.test(one.stderr()), 30_000, one.stderr);
      }
      assert.deepEqual(listening().sort(), ['*:9095', '0.0.0.0:4317', '0.0.0.0:4318', `0.0.0.0:${PORT}`]);
      const both = async (): Promise<void> => {
        const [overHttp, overGrpcNow] = [makeBatch(next), makeBatch(next)];
        assert.equal((await post(`${HTTP}/v1/traces`, overHttp.body)).status, 200);
        assert.ok(await exports(overGrpcNow));
        await assertSpans(HTTP, overHttp.traces);
        await assertSpans(WEB, overHttp.traces);
        await assertSpans(WEB, overGrpcNow.traces);
      };
      await both();
      const [holder, waiting] = order.filter((type) => type !== 'web');
      assert.match(started.get(waiting)!.stderr(), /held by another process on the same data/);
      // Who held the ports goes, and the other takes them over.
      await stops(started.get(holder)!);
      await until('the ports are taken over', () => listening().filter((at) => /:431[78]$/.test(at)).length === 2);
      await both();
      for (const [type, process] of started) if (type !== holder) await stops(process);
    });

  it('a folder that is gone is made again', async () => {
    fs.rmSync(DATA, { recursive: true });
    const receiver = start('http-receiver');
    await ready(HTTP, receiver);
    assert.equal((await post(`${HTTP}/v1/traces`, makeBatch(next).body)).status, 200);
    await stops(receiver);
  });
});

describe('deployment of one process', () => {
  const API = 'http://127.0.0.1:3200';

  it('takes spans, and health checks and reflection on the same port; the file is a symlink', async (t) => {
    // As a ConfigMap is mounted.
    fs.mkdirSync('/conf/..2026_01_01');
    fs.copyFileSync(path.join(ROOT, 'tests/golden/config/deployment.yaml'), '/conf/..2026_01_01/tempo.yaml');
    fs.symlinkSync('..2026_01_01', '/conf/..data');
    fs.symlinkSync('..data/tempo.yaml', '/conf/tempo.yaml');
    const tempo = watch('/app/vivace/bin/tempo', ['-config.file=/conf/tempo.yaml'], environment(), '/');
    await ready(API, tempo);
    assert.deepEqual(listening(), ['*:3200', '*:4317', '0.0.0.0:4318']);
    const config = (await ask(`${API}/status/config`)).body.toString();
    assert.match(config, /max_block_duration: 5m/);
    assert.match(config, /block_retention: 1h/);

    const client = new grpcJs.Client('127.0.0.1:4317', grpcJs.credentials.createInsecure());
    t.after(() => client.close());
    const same = (bytes: Buffer): Buffer => bytes;
    const health = await new Promise<Buffer>((resolve, reject) => {
      client.makeUnaryRequest('/grpc.health.v1.Health/Check', same, same, Buffer.alloc(0), (error, answer) =>
        error === null ? resolve(answer!) : reject(error),
      );
    });
    assert.equal(health.toString('hex'), '0801', 'SERVING');
    const reflection = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
    const listed = await new Promise<Buffer>((resolve, reject) => {
      const stream = client.makeBidiStreamRequest(reflection, same, same);
      stream.on('data', resolve).on('error', reject);
      // list_services: ""
      stream.write(Buffer.from('3a00', 'hex'));
      stream.end();
    }).catch((error: Error) => error);
    assert.ok(listed instanceof Buffer, String(listed));
    assert.match(listed.toString('latin1'), /opentelemetry\.proto\.collector\.trace\.v1\.TraceService/);
    assert.match(listed.toString('latin1'), /grpc\.health\.v1\.Health/);

    const [first, second] = [makeBatch(next), makeBatch(next)];
    assert.ok(await exports(first));
    assert.equal((await post(`${HTTP}/v1/traces`, second.body)).status, 200);
    for (const { traces } of [first, second]) await assertSpans(API, traces);
    assert.ok((await search(API, {})).length > 0);
    assert.equal((await ask(`${API}/api/traces/00000000000000000000000000000001`)).status, 404);
    assert.ok(fs.readdirSync('/var/tempo/wal').length > 0);
    await stops(tempo);
    assert.equal(fs.globSync('/var/tempo/traces/single-tenant/*/meta.json').length, 1);
    assert.deepEqual(fs.readdirSync('/var/tempo/wal'), []);
  });
});

/** The first fenced block under a heading. */
function fenced(heading: string): string {
  const from = RUNBOOK.indexOf(heading);
  assert.ok(from >= 0, heading);
  return /```\w*\n(.*?)```/s.exec(RUNBOOK.slice(from))![1];
}

async function ready(url: string, started: Watched): Promise<void> {
  let over = false;
  started.exited.then(() => {
    over = true;
  });
  await until(
    `${url}/ready`,
    async () => {
      assert.ok(!over, started.stderr());
      return fetch(`${url}/ready`).then(
        async (answer) => answer.status === 200 && (await answer.text()) === 'ready\n',
        () => false,
      );
    },
    30_000,
    started.stderr,
  );
}

/** SIGTERM reaches the process, which ends in order. */
async function stops(started: Watched): Promise<void> {
  started.child.kill('SIGTERM');
  assert.deepEqual(await started.exited, { code: 0, signal: null }, started.stderr());
}

/** What ss says, in order. */
function listening(): string[] {
  return execFileSync('ss', ['-ltnH'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/)[3])
    .sort();
}

async function overGrpc<T>(work: (session: http2.ClientHttp2Session) => Promise<T>): Promise<T> {
  const session = http2.connect('http://127.0.0.1:4317');
  session.on('error', () => {});
  try {
    return await work(session);
  } finally {
    session.destroy();
  }
}

/** Whether Export on 4317 takes the batch. */
function exports(batch: Batch): Promise<boolean> {
  return overGrpc((session) => call(session, batch.body)).then(
    ({ status }) => status === 0,
    () => false,
  );
}

function frame(body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Sends /tmp/request from within the network of a process; the gRPC status, or '' without any. */
async function curlGrpc(pid: number): Promise<string> {
  const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const curl = ['curl', '-s', '--http2-prior-knowledge', ...headers, '--data-binary', '@/tmp/request', '-D', '-'];
  const { stdout } = await run('nsenter', [
    ...['-t', String(pid), '-n'],
    ...[...curl, '-o', '/dev/null', `http://127.0.0.1:4317${EXPORT}`],
  ]);
  return /^grpc-status: (\d+)/m.exec(stdout)?.[1] ?? '';
}

/** The request with a trace id and a span id as a JSON reader by protobuf's rules takes their digits. */
function misread(body: Uint8Array, trace: string, span: string): Buffer {
  const bytes = Buffer.from(body);
  const end = bytes.indexOf(Buffer.from(span, 'hex')) + 8;
  const ids = Buffer.concat([
    Buffer.from([0x0a, 24]),
    Buffer.from(trace, 'base64'),
    Buffer.from([0x12, 12]),
    Buffer.from(span, 'base64'),
  ]);
  // The rest of the span, and new lengths around it.
  const rest = bytes.subarray(end);
  const message = Buffer.concat([ids, rest]);
  const wrap = (field: number, inner: Buffer): Buffer => {
    const head = [(field << 3) | 2];
    for (let length = inner.length; ; length >>>= 7) {
      head.push(length > 127 ? (length & 127) | 128 : length);
      if (length <= 127) break;
    }
    return Buffer.concat([Buffer.from(head), inner]);
  };
  return wrap(1, wrap(2, wrap(2, message)));
}

async function assertGone(batch: Batch): Promise<void> {
  // Its log is gone, its spans are in blocks.
  assert.deepEqual(fs.readdirSync(`${DATA}/wal`), []);
  assert.ok(fs.globSync(`${DATA}/blocks/single-tenant/*/meta.json`).length > 0, [...batch.traces.keys()].join(' '));
}
