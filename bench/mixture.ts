/**
 * Many clients while spans arrive. `node bench/mixture.ts [--spans 3500000] [--clients 16] [--rate 50000] [--seconds 30]
 * [--flag -vivace.cache-bytes=…]…`
 *
 * A server of its own is loaded and everything cut into blocks. Then the clients ask, each again as soon as it has its answer, the
 * questions of bench/query.mjs and traces by their ids in an order drawn by lot, while spans come at a rate. Printed: times of the
 * answers, of all and by question, times of the acknowledgements, the most memory the process had, while it was loaded
 * and while it was asked, CPU of the server and of the clients, and a verdict. Clients take compressed answers as they are, since on machines of
 * their own they would not take the server's cores. Linux only.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { type Server, startServer, temporaryFolder } from '../tests/process/server.fixture.ts';
import { questions } from './questions.mjs';
import { rng } from './workload.mjs';

const { values } = parseArgs({
  options: {
    spans: { type: 'string', default: '3500000' },
    clients: { type: 'string', default: '16' },
    rate: { type: 'string', default: '50000' },
    seconds: { type: 'string', default: '30' },
    flag: { type: 'string', multiple: true, default: [] },
  },
});
const seconds = Number(values.seconds);
/** Questions that go on after the end of the load wait for nothing that is measured. */
const LOAD_LASTS_LONGER_S = 2;
const QUERY_P99_MS_MAX = 1000;
const ACK_P99_MS_MAX = 100;
/** The bound and what `vivace.cache_bytes` is by default. */
const RSS_MIB_MAX = 256 + 16;

const works: (() => void | Promise<void>)[] = [];
const cleanup = { after: (work: () => void | Promise<void>) => void works.push(work) };
try {
  const directory = temporaryFolder(cleanup, 'mixture');
  const server = await startServer(cleanup, { directory, flags: values.flag });
  const ids = path.join(directory, 'ids');
  await send(server, ['--spans', values.spans, '--ids-out', ids]);
  await fetch(`${server.url}/flush`, { method: 'POST' });
  const loadedMiB = memory(server.pid, 'VmHWM');
  // The high-water mark begins anew.
  fs.writeFileSync(`/proc/${server.pid}/clear_refs`, '5');
  const rate = Number(values.rate);
  const sending =
    rate > 0
      ? send(server, ['--rate', `${rate}`, '--spans', `${rate * (seconds + LOAD_LASTS_LONGER_S)}`, '--seed', '2'])
      : undefined;
  const [serverS, clientsS] = [cpuSeconds(server.pid), cpuSeconds('self')];
  const times = await ask(server, fs.readFileSync(ids, 'utf8').trim().split('\n'));
  const askedMiB = memory(server.pid, 'VmHWM');
  const cpu = {
    server_cpu_s: +(cpuSeconds(server.pid) - serverS).toFixed(1),
    clients_cpu_s: +(cpuSeconds('self') - clientsS).toFixed(1),
  };
  const sent = await sending;
  const all = [...times.values()].flat();
  const shown = (list: number[]) => ({ asked: list.length, p50_ms: share(list, 0.5), p99_ms: share(list, 0.99) });
  console.table(Object.fromEntries([...times].map(([name, list]) => [name, shown(list)])));
  console.log(
    JSON.stringify({
      ...shown(all),
      ack: sent,
      peak_mib_loaded: loadedMiB,
      peak_mib_asked: askedMiB,
      rss_mib: memory(server.pid, 'VmRSS'),
      ...cpu,
    }),
  );
  const p99Ms = share(all, 0.99);
  const ackMs = Number(sent?.p99_ms ?? 0);
  const faults: string[] = [];
  if (p99Ms > QUERY_P99_MS_MAX) faults.push(`answers ${p99Ms} ms, wanted ${QUERY_P99_MS_MAX}`);
  if (ackMs > ACK_P99_MS_MAX) faults.push(`acknowledgements ${ackMs} ms, wanted ${ACK_P99_MS_MAX}`);
  if (askedMiB > RSS_MIB_MAX) faults.push(`${askedMiB} MiB, wanted ${RSS_MIB_MAX}`);
  if (sent !== undefined && Number(sent.spans_per_s) < 0.95 * rate)
    faults.push(`${sent.spans_per_s} spans/s of ${rate}`);
  console.log(faults.length === 0 ? 'HOLDS' : `FAILS: ${faults.join('; ')}`);
} finally {
  for (const work of works.reverse()) await work();
}

/** Runs bench/load.mjs; what it saw of the server. */
async function send(server: Server, flags: string[]): Promise<Record<string, unknown>> {
  const load = path.join(import.meta.dirname, 'load.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [
    load,
    '--url',
    server.otlpUrl,
    '--batches',
    '64',
    ...flags,
  ]);
  const { spans_per_s, p50_ms, p99_ms, errors } = JSON.parse(stdout) as Record<string, unknown>;
  return { spans_per_s, p50_ms, p99_ms, errors };
}

/** Milliseconds of the answers, by question. */
async function ask(server: Server, ids: string[]): Promise<Map<string, number[]>> {
  const end = Math.floor(Date.now() / 1000);
  const paths = questions(end - 3600, end + 3600);
  const times = new Map<string, number[]>([
    ['trace-by-id', []],
    ...paths.map(([name]): [string, number[]] => [name, []]),
  ]);
  const endMs = performance.now() + seconds * 1000;
  const agent = new http.Agent({ keepAlive: true });
  const client = async (number: number): Promise<void> => {
    const random = rng(100 + number);
    while (performance.now() < endMs) {
      const drawn = Math.floor(random() * (paths.length + 1));
      const [name, question] =
        drawn < paths.length ? paths[drawn] : ['trace-by-id', `/api/traces/${ids[Math.floor(random() * ids.length)]}`];
      const began = performance.now();
      await get(agent, server.url + question);
      times.get(name)!.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: Number(values.clients) }, (_, number) => client(number)));
  agent.destroy();
  return times;
}

/** Resolves when the whole answer has come; rejects unless it is one. */
function get(agent: http.Agent, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent, headers: { 'Accept-Encoding': 'gzip' } }, (response) => {
      response.on('data', () => {}).on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`${url}: ${response.statusCode}`));
      });
    });
    request.on('error', reject);
  });
}

/** User and system time of a process so far. */
function cpuSeconds(pid: number | 'self'): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function share(list: number[], part: number): number {
  const sorted = [...list].sort((a, b) => a - b);
  return +(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(1);
}

function memory(pid: number, key: string): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)![1]) / 1024);
}
