/**
 * Sends the workload of `load.mjs` in another protocol, or as OTLP for comparison, and reports throughput, the server's CPU
 * per million spans by thread and, over UDP, what was lost:
 *
 *   node bench/load-protocols.ts --protocol jaeger-grpc --port 14250 [--spans 300000] [--warm 100000] [--concurrency 4]
 *       [--pid N] [--rate SPANS_PER_S] [--api http://127.0.0.1:3200]
 *
 * Protocols: otlp, otlp-json, jaeger-grpc, jaeger-thrift, jaeger-compact (UDP), jaeger-binary (UDP), zipkin-proto,
 * zipkin-json, opencensus (protocol-bodies.ts). `--warm`: spans sent before the measuring begins, so that the server has
 * compiled its code.
 */
import dgram from 'node:dgram';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { parseArgs } from 'node:util';
import { freshen, makeProtocolBatches, type Protocol } from './protocol-bodies.ts';
import { rng } from './workload.mjs';

const { values: o } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'jaeger-grpc' },
    port: { type: 'string' },
    spans: { type: 'string', default: '300000' },
    concurrency: { type: 'string', default: '4' },
    pid: { type: 'string' },
    rate: { type: 'string' },
    api: { type: 'string' },
    warm: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
  },
});

const next = rng(Number(o.seed) * 31 + (Date.now() & 0xffff));
const protocol = o.protocol as Protocol;
const isUdp = protocol === 'jaeger-compact' || protocol === 'jaeger-binary';
const port = Number(
  o.port ??
    (
      {
        'jaeger-grpc': 14250,
        'jaeger-thrift': 14268,
        'jaeger-compact': 6831,
        'jaeger-binary': 6832,
        otlp: 4318,
        'otlp-json': 4318,
        opencensus: 55678,
      } as Partial<Record<Protocol, number>>
    )[protocol] ??
    9411,
);
const batches = makeProtocolBatches(protocol, { seed: Number(o.seed), nowMs: Date.now() });
let session: http2.ClientHttp2Session | undefined;
let agent: http.Agent | undefined;
let sent = 0;
let began = 0;
let target = 0;
let errors: Record<string, number> = {};
await send(Number(o.warm));
await settle();
const receivedBefore = await receivedSpans();
const cpuBefore = cpuSeconds();
const wall = await send(Number(o.spans));
await settle();
const received = (await receivedSpans()) - receivedBefore;
const cpu = Object.fromEntries(
  Object.entries(cpuSeconds())
    .map(([thread, seconds]): [string, number] => [thread, ((seconds - (cpuBefore[thread] ?? 0)) / sent) * 1e6])
    .filter(([, seconds]) => seconds >= 0.02)
    .map(([thread, seconds]) => [thread, +seconds.toFixed(2)]),
);
const all = batches.flatMap(({ bodies }) => bodies);
const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0);
console.log(
  JSON.stringify({
    protocol,
    spans: sent,
    bytes_per_span: Math.round(sum(all.map(({ bytes }) => bytes.length)) / sum(all.map(({ spans }) => spans))),
    spans_per_request: Math.round(sum(all.map(({ spans }) => spans)) / all.length),
    wall_s: +wall.toFixed(2),
    spans_per_s: Math.round(sent / wall),
    ...(o.pid && {
      cpu_s_per_mspan: +sum(Object.values(cpu)).toFixed(2),
      by_thread: cpu,
      peak_mb: Math.round(peakMb()),
    }),
    ...(o.api && { received, lost: sent - received }),
    errors,
  }),
);
process.exit(0);

/** Sends so many spans; returns how many seconds that took. */
async function send(spans: number): Promise<number> {
  sent = 0;
  errors = {};
  target = spans;
  began = performance.now();
  if (spans > 0) await (isUdp ? sendDatagrams() : sendRequests());
  return (performance.now() - began) / 1000;
}

/** As many at once as `--concurrency`. */
async function sendRequests(): Promise<void> {
  const bodies = bodiesToSend();
  const sender = async (): Promise<void> => {
    for (const body of bodies) {
      const status = await post(body);
      if (status !== 'ok') errors[status] = (errors[status] ?? 0) + 1;
      await pace();
    }
  };
  await Promise.all(Array.from({ length: Number(o.concurrency) }, sender));
}

async function sendDatagrams(): Promise<void> {
  const socket = dgram.createSocket('udp4');
  socket.connect(port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  for (const body of bodiesToSend()) {
    await new Promise((resolve) => socket.send(body, resolve));
    await pace();
  }
}

/** Copies of bodies, batch by batch, until enough were sent. */
function* bodiesToSend(): Generator<Buffer> {
  for (let number = 0; sent < target; number++) {
    const batch = batches[number % batches.length];
    freshen(batch, next);
    for (const { bytes, spans } of batch.bodies) {
      if (sent >= target) return;
      sent += spans;
      yield Buffer.from(bytes);
    }
  }
}

async function pace(): Promise<void> {
  if (!o.rate) return;
  const wait = began + (sent / Number(o.rate)) * 1000 - performance.now();
  if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
}

function post(body: Buffer): Promise<string> {
  if (protocol === 'jaeger-grpc' || protocol === 'opencensus') {
    session ??= http2.connect(`http://127.0.0.1:${port}`);
    const path =
      protocol === 'jaeger-grpc'
        ? '/jaeger.api_v2.CollectorService/PostSpans'
        : '/opencensus.proto.agent.trace.v1.TraceService/Export';
    return new Promise((resolve, reject) => {
      const stream = session!.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      let status: unknown;
      stream.on('response', (head) => (status ??= head['grpc-status']));
      stream.on('trailers', (trailers) => (status = trailers['grpc-status']));
      stream.on('error', reject);
      stream.on('close', () => resolve(status === '0' ? 'ok' : `grpc ${status}`));
      stream.resume();
      const head = Buffer.alloc(5);
      head.writeUInt32BE(body.length, 1);
      stream.write(head);
      stream.end(body);
    });
  }
  agent ??= new http.Agent({ keepAlive: true, maxSockets: Number(o.concurrency) });
  const [path, type] = (
    {
      'jaeger-thrift': ['/api/traces', 'application/x-thrift'],
      'zipkin-proto': ['/api/v2/spans', 'application/x-protobuf'],
      'zipkin-json': ['/api/v2/spans', 'application/json'],
      otlp: ['/v1/traces', 'application/x-protobuf'],
      'otlp-json': ['/v1/traces', 'application/json'],
    } as Partial<Record<Protocol, string[]>>
  )[protocol] ?? ['/', ''];
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: '127.0.0.1',
        port,
        path,
        method: 'POST',
        agent,
        headers: { 'Content-Type': type, 'Content-Length': body.length },
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve((response.statusCode ?? 0) < 300 ? 'ok' : `http ${response.statusCode}`));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** Datagrams may still be on their way when the last is sent: until the count stands still. */
async function settle(): Promise<void> {
  if (!o.api) return;
  for (let last = -1, now = await receivedSpans(); now !== last; now = await receivedSpans()) {
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 2500));
  }
}

async function receivedSpans(): Promise<number> {
  if (!o.api) return 0;
  const metrics = await (await fetch(`${o.api}/metrics`)).text();
  let sum = 0;
  for (const [, value] of metrics.matchAll(/^tempo_receiver_accepted_spans\{[^}]*\} (\S+)/gm)) sum += Number(value);
  return sum;
}

/**
 * CPU seconds by thread: `worker 1` is the writer, those after it the other threads in the order of their start, `V8` what
 * compiles and collects, `gone` threads that have ended.
 */
function cpuSeconds(): Record<string, number> {
  if (!o.pid) return {};
  const task = `/proc/${o.pid}/task`;
  const seconds: Record<string, number> = {};
  const add = (name: string, more: number): void => {
    seconds[name] = (seconds[name] ?? 0) + more;
  };
  let workers = 0;
  let known = 0;
  for (const id of fs.readdirSync(task).sort((a, b) => Number(a) - Number(b))) {
    const name = fs.readFileSync(`${task}/${id}/comm`, 'utf8').trim();
    const used = cpuOf(`${task}/${id}/stat`);
    known += used;
    if (name === 'MainThread' || name === 'node') add('main', used);
    else if (name === 'WorkerThread') add(`worker ${++workers}`, used);
    else add(name === 'V8Worker' ? 'V8' : 'files', used);
  }
  add('gone', cpuOf(`/proc/${o.pid}/stat`) - known);
  return seconds;
}

function cpuOf(stat: string): number {
  const fields = fs.readFileSync(stat, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function peakMb(): number {
  return Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${o.pid}/status`, 'utf8'))?.[1]) / 1024;
}
