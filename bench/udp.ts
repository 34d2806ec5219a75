/**
 * Whether UDP loses anything. `node bench/udp.ts [spans a second, 60000] [seconds, 20]`
 *
 * A server of its own gets Jaeger's compact datagrams, about thirty spans each, over loopback at a rate; what its sender cannot
 * send in time is not made up for, because a burst is another question. Printed: what was sent, what became of it by the
 * server's own count, the CPU of its threads, and a verdict.
 */
import dgram from 'node:dgram';
import fs from 'node:fs';
import path from 'node:path';
import { isFree, startServer, temporaryFolder, until } from '../tests/process/server.fixture.ts';
import { type Body, freshen, makeProtocolBatches } from './protocol-bodies.ts';
import { rng } from './workload.mjs';

/** The sender may be so late before it leaves out what it missed. */
const LATE_MS_MAX = 20;
const WARM_SECONDS = 5;

const [perSecond, seconds] = [Number(process.argv[2] ?? 60_000), Number(process.argv[3] ?? 20)];
const works: (() => void | Promise<void>)[] = [];
const cleanup = { after: (work: () => void | Promise<void>) => void works.push(work) };
const next = rng(3);
const batches = makeProtocolBatches('jaeger-compact', { seed: 1, nowMs: Date.now() });

try {
  const directory = temporaryFolder(cleanup, 'udp');
  let port = 20_000 + Math.floor(Math.random() * 10_000);
  while (!(await isFree(port))) port++;
  const receivers = `{jaeger: {protocols: {thrift_compact: {endpoint: '127.0.0.1:${port}'}}}}`;
  fs.writeFileSync(path.join(directory, 'vivace.yaml'), `distributor: {receivers: ${receivers}}\n`);
  const server = await startServer(cleanup, { directory, flags: ['-config.file=vivace.yaml'] });
  const socket = dgram.createSocket('udp4');
  cleanup.after(() => void socket.close());
  socket.connect(port, '127.0.0.1');
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  const sent = { datagrams: 0, spans: 0, late: 0 };
  await send(socket, Math.min(WARM_SECONDS, seconds), sent);
  const warm = await settled(server.url, sent.datagrams);
  const cpuBefore = cpuSeconds(server.pid);
  const before = { ...sent };
  await send(socket, seconds, sent);
  const all = await settled(server.url, sent.datagrams);
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  const spans = sent.spans - before.spans;
  const results = Object.fromEntries([...all].map(([name, count]) => [name, count - (warm.get(name) ?? 0)]));
  const lost = (results.lost ?? 0) + (results.queue_full ?? 0);
  const offered = Math.round(spans / seconds);
  console.log(
    JSON.stringify({
      spans_per_s: offered,
      datagrams: sent.datagrams - before.datagrams,
      late: sent.late - before.late,
      results,
      cpu_s_per_million_spans: +((1e6 * cpu) / spans).toFixed(2),
      receive_buffer_max: Number(fs.readFileSync('/proc/sys/net/core/rmem_max', 'utf8')),
    }),
  );
  const kept = offered >= 0.97 * perSecond;
  console.log(
    lost > 0 ? 'FAILS: datagrams were lost' : kept ? 'HOLDS' : `nothing lost, but only ${offered} spans/s were sent`,
  );
} finally {
  for (const work of works.reverse()) await work();
}

async function send(socket: dgram.Socket, lasts: number, sent: { datagrams: number; spans: number; late: number }) {
  const bodies = endlessBodies();
  const began = performance.now();
  let dueMs = began;
  for (;;) {
    const nowMs = performance.now();
    if (nowMs - began >= 1000 * lasts) return;
    if (dueMs - nowMs > 1) {
      await new Promise((resolve) => setTimeout(resolve, dueMs - nowMs));
      continue;
    }
    if (nowMs - dueMs > LATE_MS_MAX) {
      sent.late++;
      dueMs = nowMs;
    }
    const { bytes, spans } = bodies.next().value as Body;
    await new Promise((resolve) => socket.send(bytes, resolve));
    sent.datagrams++;
    sent.spans += spans;
    dueMs += (1000 * spans) / perSecond;
  }
}

function* endlessBodies(): Generator<Body> {
  for (let number = 0; ; number++) {
    const batch = batches[number % batches.length];
    freshen(batch, next);
    yield* batch.bodies;
  }
}

/** Datagrams by what became of them, when the server has told of all. */
async function settled(url: string, datagrams: number): Promise<Map<string, number>> {
  const results = new Map<string, number>();
  await until(
    'the server has told of every datagram',
    async () => {
      const text = await (await fetch(`${url}/metrics`)).text();
      results.clear();
      for (const [, result, count] of text.matchAll(/^vivace_datagrams_total\{.*result="(\w+)".*\} (\S+)$/gm))
        results.set(result, Number(count));
      return [...results.values()].reduce((sum, count) => sum + count, 0) >= datagrams;
    },
    30_000,
  );
  return results;
}

function cpuSeconds(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
