/**
 * How the cost of a question grows with the data. `node bench/growth.ts [--spans 250000,1000000,4000000] [--runs 10]`
 *
 * For each number of spans a server of its own is loaded and everything cut into blocks; then the questions of bench/query.mjs are
 * asked. What a question costs is CPU time of the whole server (of threads that go on), since waiting depends on who else is on
 * the machine: the median of the runs, after two that are not counted. Linux only.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { type Server, startServer, temporaryFolder } from '../tests/process/server.fixture.ts';
import { questions } from './questions.mjs';

const { values } = parseArgs({
  options: { spans: { type: 'string', default: '250000,1000000,4000000' }, runs: { type: 'string', default: '10' } },
});
const sizes = values.spans.split(',').map(Number);
const runs = Number(values.runs);

/** What a question cost. */
interface Cost {
  cpuMs: number;
  bytesRead: number;
}

const costs: Map<string, Cost>[] = [];
for (const spans of sizes) costs.push(await costsOver(spans));
console.log(
  `| question | ${sizes.map((spans) => `${spans / 1e6} M: CPU ms, MB read`).join(' | ')} | CPU, last to first |`,
);
console.log(`|---|${sizes.map(() => '---|').join('')}---|`);
for (const name of costs[0].keys()) {
  const row = costs.map((of) => of.get(name)!);
  const shown = row.map(({ cpuMs, bytesRead }) => `${cpuMs.toFixed(1)}, ${(bytesRead / 1e6).toFixed(2)}`);
  console.log(`| ${name} | ${shown.join(' | ')} | ${(row[row.length - 1].cpuMs / row[0].cpuMs).toFixed(1)} |`);
}

async function costsOver(spans: number): Promise<Map<string, Cost>> {
  const works: (() => void | Promise<void>)[] = [];
  const cleanup = { after: (work: () => void | Promise<void>) => void works.push(work) };
  try {
    const directory = temporaryFolder(cleanup, 'growth');
    fs.writeFileSync(path.join(directory, 'vivace.yaml'), 'compactor: {disabled: true}\n');
    const server = await startServer(cleanup, { directory, flags: ['-config.file=vivace.yaml'] });
    const load = path.join(import.meta.dirname, 'load.mjs');
    const end = Math.floor(Date.now() / 1000) + 3600;
    await promisify(execFile)(process.execPath, [
      load,
      '--url',
      server.otlpUrl,
      '--spans',
      `${spans}`,
      '--batches',
      '64',
    ]);
    await fetch(`${server.url}/flush`, { method: 'POST' });
    const found = new Map<string, Cost>();
    for (const [name, question] of questions(end - 7200, end)) found.set(name, await costOf(server, question));
    return found;
  } finally {
    for (const work of works.reverse()) await work();
  }
}

async function costOf(server: Server, question: string): Promise<Cost> {
  const cpu: number[] = [];
  let bytesRead = 0;
  for (let run = -2; run < runs; run++) {
    const before = cpuOf(server.pid);
    const response = await fetch(server.url + question);
    const text = await response.text();
    if (!response.ok) throw new Error(`${question}: ${response.status} ${text}`);
    if (run >= 0) cpu.push(cpuOf(server.pid) - before);
    bytesRead = Number((JSON.parse(text) as { metrics?: { inspectedBytes?: string } }).metrics?.inspectedBytes ?? 0);
  }
  return { cpuMs: cpu.sort((a, b) => a - b)[runs >> 1], bytesRead };
}

/** Milliseconds that the threads of a process have computed. */
function cpuOf(pid: number): number {
  let ns = 0;
  for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
    try {
      ns += Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      // The thread has ended.
    }
  }
  return ns / 1e6;
}
