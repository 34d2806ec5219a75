/**
 * Many tenants that send little each. `node bench/tenants.ts [tenants] [seconds] [requests a second] [traces a request] [flags of the server …]`
 *
 * A server of its own gets requests of one trace of about ten spans (or of several) from one tenant after the other, over connections that are kept, without
 * waiting for answers; when answers are late, no more than a second's requests are under way. Every ten seconds it says
 * what the server takes and holds, in the end the percentiles of the acknowledgements, CPU by thread, and a verdict. At ten spans a
 * second and tenant, as many requests a second as there are tenants.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { type Server, startServer, temporaryFolder } from '../tests/process/server.fixture.ts';
import { type Batch, freshen, makeBatches, rng } from './workload.mjs';

const CONNECTIONS = 16;
const REPORT_MS = 10_000;
const TICK_MS = 20;
const RSS_MIB_MAX = 512;

const [tenants, seconds, perSecond, traces] = [10_000, 120, 10_000, 1].map((otherwise, i) =>
  Number(process.argv[2 + i] ?? otherwise),
);
const flags = process.argv.slice(6);
const works: (() => void | Promise<void>)[] = [];
const cleanup = { after: (work: () => void | Promise<void>) => void works.push(work) };
const random = rng(11);
const pool = makeBatches({ seed: 1, batches: 256, tracesPerBatch: traces }).filter(
  ({ spans }) => spans > 5 * traces && spans < 16 * traces,
);
const count = { sent: 0, spans: 0, answered: 0, refused: 0 };
const latencies = new Float64Array(perSecond * seconds + 1);

try {
  const directory = temporaryFolder(cleanup, 'tenants');
  fs.writeFileSync(path.join(directory, 'vivace.yaml'), 'multitenancy_enabled: true\n');
  const server = await startServer(cleanup, { directory, flags: ['-config.file=vivace.yaml', ...flags] });
  await send(server);
} finally {
  for (const work of works.reverse()) await work();
}

async function send(server: Server): Promise<void> {
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => connect(server)));
  const began = performance.now();
  let next = 0;
  let reported = began;
  let before = usage(server.pid);
  for (let now = began; now - began < 1000 * seconds; now = performance.now()) {
    const due = Math.min(perSecond, ((now - began) / 1000) * perSecond - next);
    for (let i = 0; i < due && count.sent - count.answered < perSecond; i++, next++) {
      const tenant = next % tenants;
      connections[tenant % CONNECTIONS](`t${tenant}`, pool[next % pool.length]);
    }
    // What could not be sent in time is not made up for.
    next = Math.max(next, Math.floor(((now - began) / 1000) * perSecond) - perSecond);
    if (now - reported >= REPORT_MS) {
      reported = now;
      const after = usage(server.pid);
      report(server, now - began, after.cpuSeconds - before.cpuSeconds, after);
      before = after;
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  const tookMs = performance.now() - began;
  const waits = performance.now();
  while (count.answered < count.sent && performance.now() - waits < 10_000) await new Promise((r) => setTimeout(r, 10));
  const all = latencies.subarray(0, count.answered).sort();
  const at = (part: number): number => +(all[Math.min(all.length - 1, Math.floor(all.length * part))] ?? 0).toFixed(1);
  const { cpuSeconds, peakMiB } = usage(server.pid);
  console.log(
    JSON.stringify({
      tenants,
      spans_per_s: Math.round((1000 * count.spans) / tookMs),
      refused: count.refused,
      ack_ms: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
      cpu_s_per_million_spans: +((1e6 * cpuSeconds) / count.spans).toFixed(2),
      by_thread: cpuByThread(server.pid, count.spans / 1e6),
      rss_peak_mib: peakMiB,
    }),
  );
  const faults: string[] = [];
  if (peakMiB > RSS_MIB_MAX) faults.push(`${peakMiB} MiB, wanted at most ${RSS_MIB_MAX}`);
  if (count.refused > 0) faults.push(`${count.refused} requests refused`);
  if (count.sent < 0.97 * perSecond * seconds)
    faults.push(`${Math.round((1000 * count.sent) / tookMs)} requests a second of ${perSecond}`);
  console.log(faults.length === 0 ? 'HOLDS' : `FAILS: ${faults.join('; ')}`);
}

function report(server: Server, ms: number, cpuSeconds: number, { rssMiB }: { rssMiB: number }): void {
  const blocks = path.join(server.dataDirectory, 'blocks');
  let made = 0;
  for (const tenant of fs.existsSync(blocks) ? fs.readdirSync(blocks) : [])
    made += fs.readdirSync(path.join(blocks, tenant)).length;
  const { sent, answered, refused, spans } = count;
  console.log(
    JSON.stringify({
      s: Math.round(ms / 1000),
      rss_mib: rssMiB,
      cpu_s: +cpuSeconds.toFixed(1),
      spans,
      waiting: sent - answered,
      refused,
      blocks: made,
    }),
  );
}

/** A connection as a function that sends a request. Answers come in the order of requests. */
async function connect(server: Server): Promise<(tenant: string, batch: Batch) => void> {
  const url = new URL(server.otlpUrl);
  const socket = net.connect(Number(url.port), url.hostname);
  cleanup.after(() => void socket.destroy());
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  const sentMs: number[] = [];
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (data) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
    for (;;) {
      const head = rest.indexOf('\r\n\r\n');
      if (head < 0) return;
      const text = rest.toString('latin1', 0, head).toLowerCase();
      const length = Number(/\ncontent-length: (\d+)/.exec(text)?.[1] ?? 0);
      if (rest.length < head + 4 + length) return;
      rest = rest.subarray(head + 4 + length);
      latencies[count.answered++] = performance.now() - sentMs.shift()!;
      if (!text.startsWith('http/1.1 200')) count.refused++;
    }
  });
  return (tenant, batch) => {
    freshen(batch, random, BigInt(Date.now()) * 1_000_000n);
    const head = `POST ${url.pathname} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nX-Scope-OrgID: ${tenant}\r\nContent-Length: ${batch.body.length}\r\n\r\n`;
    sentMs.push(performance.now());
    socket.cork();
    socket.write(head, 'latin1');
    socket.write(Buffer.from(batch.body));
    process.nextTick(() => socket.uncork());
    count.sent++;
    count.spans += batch.spans;
  };
}

/** What Linux says of a process. */
function usage(pid: number): { cpuSeconds: number; rssMiB: number; peakMiB: number } {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
  const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
  const mib = (name: string): number =>
    Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024);
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100, rssMiB: mib('VmRSS'), peakMiB: mib('VmHWM') };
}

/** CPU seconds of threads by their names, a million spans: `WorkerThread` is mostly the writer, `V8Worker` what compiles and collects. */
function cpuByThread(pid: number, millions: number): Record<string, number> {
  const seconds: Record<string, number> = {};
  for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
    const stat = fs.readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    seconds[name] = (seconds[name] ?? 0) + (Number(fields[11]) + Number(fields[12])) / 100;
  }
  return Object.fromEntries(Object.entries(seconds).map(([name, used]) => [name, +(used / millions).toFixed(2)]));
}
