/**
 * Kills the server with SIGKILL again and again, at random moments of receiving, cutting, starting and taking over, and
 * checks after every restart that each acknowledged span is there exactly once.
 *
 *   start ─▶ load (HTTP, gRPC, flushes, reads) ─▶ kill -9 ─▶ [start ─▶ kill -9 before ready]* ─▶ start ─▶ check ─▶ load …
 *
 * A request whose answer never came may be stored or not, but whole, and it must not change its mind later. At the end of
 * an episode the server stops in order; then every span is in a block, and the blocks together hold each once, which is
 * counted from their metas because an answer leaves copies out.
 *
 *   node tests/process/crash.ts --times 1000 [--seed 1]
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { becomesReady, type Cleanup, freePorts, type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { type Batch, call, EXPORT, makeBatch, post, type Random, random, spansOf } from './spans.fixture.ts';

export interface CrashOptions {
  times: number;
  seed: number;
  /** Takes a line about the progress. */
  tell: (line: string) => void;
}

export interface CrashReport {
  kills: number;
  acknowledgedSpans: number;
  /** Requests without an answer, and how many of them were stored. */
  unanswered: number;
  unansweredStored: number;
  blocks: number;
  replays: number;
}

/**
 * A part of the log goes when all tenants' spans in it are in blocks: with two of them, spans often are in both, and
 * whoever reads the log back has to know which.
 */
const TENANTS = ['left', 'right'];
/** Kills of one data folder; then a fresh one, so that a long run does not only measure a store full of small blocks. */
const EPISODE_KILLS = 50;
const LOAD_MS_MAX = 700;
const SENDERS = 3;
const CHECKERS = 6;
/** Older traces that are looked at after every kill; all of them are at the end of the episode. */
const SAMPLE = 60;

/** Throws an AssertionError that names what was lost or doubled. */
export async function crash(options: CrashOptions): Promise<CrashReport> {
  const total: CrashReport = {
    kills: 0,
    acknowledgedSpans: 0,
    unanswered: 0,
    unansweredStored: 0,
    blocks: 0,
    replays: 0,
  };
  for (let episode = 0; total.kills < options.times; episode++) {
    const cleanups: (() => void | Promise<void>)[] = [];
    try {
      const times = Math.min(EPISODE_KILLS, options.times - total.kills);
      const report = await runEpisode(
        { after: (work) => cleanups.push(work) },
        { ...options, times, seed: options.seed + episode },
      );
      for (const key of Object.keys(total) as (keyof CrashReport)[]) total[key] += report[key];
      options.tell(`${total.kills} of ${options.times} kills: ${JSON.stringify(report)}`);
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  }
  return total;
}

/** What must be there; traces by `tenant/id`. */
interface Ledger {
  acknowledged: Map<string, Set<string>>;
  /** Requests that were cut off, until the next look decides. */
  open: Request[];
  touched: Set<string>;
  report: CrashReport;
}

interface Request {
  tenant: string;
  batch: Batch;
}

async function runEpisode(t: Cleanup, options: CrashOptions): Promise<CrashReport> {
  const next = random(options.seed);
  const directory = temporaryFolder(t, 'crash');
  const ports = await freePorts();
  const ledger: Ledger = {
    acknowledged: new Map(),
    open: [],
    touched: new Set(),
    report: { kills: 0, acknowledgedSpans: 0, unanswered: 0, unansweredStored: 0, blocks: 0, replays: 0 },
  };
  const { report } = ledger;
  const start = (): Promise<Server> =>
    startServer(t, {
      directory,
      ports,
      wait: false,
      // Small enough that segments fill, cut and rotate several times a second.
      flags: ['--multitenancy-enabled=true', '--vivace.live-bytes=2097152', '--vivace.log-segment-bytes=1048576'],
    });

  let server = await start();
  await becomesReady(server);
  while (report.kills < options.times) {
    await loadAndKill(server, next, ledger);
    report.kills++;
    while (report.kills < options.times && next() < 0.25) {
      // The one that is killed here was replaying, or cutting what it had replayed.
      server = await start();
      await new Promise((resolve) => setTimeout(resolve, 50 + next() * 700));
      await server.kill();
      assertCalm(server);
      report.kills++;
    }
    server = await start();
    await becomesReady(server);
    if (server.stderr().includes('read back from the log')) report.replays++;
    const sample = [...ledger.acknowledged.keys()].filter(() => next() < SAMPLE / ledger.acknowledged.size);
    await check(server, ledger, new Set([...ledger.touched, ...sample]));
    ledger.touched.clear();
  }
  await check(server, ledger, new Set(ledger.acknowledged.keys()));
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
  assertCalm(server);
  for (const spans of ledger.acknowledged.values()) report.acknowledgedSpans += spans.size;
  const stored = blocksOf(path.join(directory, 'data/blocks'));
  report.blocks = stored.length;
  assert.equal(
    stored.reduce((sum, { spans }) => sum + spans, 0),
    report.acknowledgedSpans,
    'spans in all blocks together',
  );
  // A socket without a log, of a process that was killed that early, is left alone for a minute.
  const left = fs.readdirSync(path.join(directory, 'data/wal')).filter((name) => !name.endsWith('.sock'));
  assert.deepEqual(left, [], 'logs left behind');
  return report;
}

/** Senders work until the server is killed under them. */
async function loadAndKill(server: Server, next: Random, ledger: Ledger): Promise<void> {
  const agent = new http.Agent({ keepAlive: true });
  const session = http2.connect(`http://127.0.0.1:${server.ports.grpc}`);
  session.on('error', () => {});
  let killed = false;
  const failures: unknown[] = [];
  const work = Promise.all([
    ...Array.from({ length: SENDERS }, (_, index) => sender(index)),
    // Nobody waits for a flush whose process is gone.
    (async () => {
      while (!killed) {
        await new Promise((resolve) => setTimeout(resolve, 50 + next() * 400));
        const of = next() < 0.5 ? '' : `?tenant=${TENANTS[0]}`;
        if (next() < 0.3) await post(`${server.url}/flush${of}`, '', {}, agent).catch(() => {});
      }
    })(),
  ]);
  await new Promise((resolve) => setTimeout(resolve, 20 + next() * LOAD_MS_MAX));
  killed = true;
  await server.kill();
  await work;
  session.destroy();
  agent.destroy();
  if (failures.length > 0) throw failures[0];
  assertCalm(server);

  async function sender(index: number): Promise<void> {
    while (!killed) {
      const tenant = TENANTS[next() < 0.7 ? 0 : 1];
      const batch = makeBatch(next, {
        traces: next() < 0.3 ? someTraces(next, ledger, tenant) : 1 + Math.floor(next() * 6),
        spansPerTrace: 1 + Math.floor(next() * 24),
        textBytes: Math.floor(next() * next() * 600),
      });
      const headers = { 'x-scope-orgid': tenant };
      for (const trace of batch.traces.keys()) ledger.touched.add(`${tenant}/${trace}`);
      try {
        const status =
          index === 0
            ? (await call(session, batch.body, EXPORT, headers)).status
            : (await post(server.otlpUrl, batch.body, headers, agent)).status;
        if (status === (index === 0 ? 0 : 200)) acknowledge(ledger, { tenant, batch });
        // A refused request is not stored: nothing of it is expected, and what is there all the same is found by the check.
        else assert.ok(index === 0 ? status === 8 || status === 14 : status === 429 || status === 503, `${status}`);
      } catch (error) {
        if (error instanceof assert.AssertionError) failures.push(error);
        ledger.open.push({ tenant, batch });
        ledger.report.unanswered++;
        if (!killed) failures.push(error);
        return;
      }
      // What is acknowledged can be read at once, also while it is being cut.
      if (next() < 0.1)
        for (const [trace, spans] of batch.traces) {
          const found = await spansOf(server.url, trace, { tenant, agent }).catch(() => undefined);
          if (found === undefined || killed) return;
          try {
            assert.deepEqual(
              spans.filter((span) => !found.includes(span)),
              [],
              `spans of trace ${trace} missing right after their acknowledgement`,
            );
          } catch (error) {
            failures.push(error);
          }
        }
    }
  }
}

/** Traces that get more spans. */
function someTraces(next: Random, ledger: Ledger, tenant: string): string[] | number {
  const known = [...ledger.acknowledged.keys()].filter((key) => key.startsWith(`${tenant}/`));
  if (known.length === 0) return 2;
  return [...new Set([1, 2].map(() => known[Math.floor(next() * known.length)].slice(tenant.length + 1)))];
}

function acknowledge(ledger: Ledger, { tenant, batch }: Request): void {
  for (const [trace, spans] of batch.traces) {
    const known = ledger.acknowledged.get(`${tenant}/${trace}`) ?? new Set();
    for (const span of spans) known.add(span);
    ledger.acknowledged.set(`${tenant}/${trace}`, known);
  }
}

async function check(server: Server, ledger: Ledger, traces: Set<string>): Promise<void> {
  const found = new Map<string, string[]>();
  const agent = new http.Agent({ keepAlive: true });
  const queue = [...traces];
  await Promise.all(
    Array.from({ length: CHECKERS }, async () => {
      for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
        const [tenant, trace] = key.split('/');
        found.set(key, await spansOf(server.url, trace, { tenant, agent }));
      }
    }),
  );
  agent.destroy();
  for (const request of ledger.open) {
    const { tenant, batch } = request;
    const expected = [...batch.traces.values()].flat();
    const present = new Set([...batch.traces.keys()].flatMap((trace) => found.get(`${tenant}/${trace}`)!));
    const stored = expected.filter((span) => present.has(span));
    if (stored.length === 0) continue;
    assert.equal(stored.length, expected.length, 'spans of a request without an answer: all or nothing');
    acknowledge(ledger, request);
    ledger.report.unansweredStored++;
  }
  ledger.open = [];
  for (const [trace, spans] of found)
    assert.deepEqual(spans.sort(), [...(ledger.acknowledged.get(trace) ?? [])].sort(), `spans of trace ${trace}`);
}

/** No error was logged; of the log only a torn tail may be missing. */
function assertCalm(server: Server): void {
  const alarms = server
    .stderr()
    .split('\n')
    .filter((line) => /level=error/.test(line) || (/damaged/.test(line) && !/torn tail/.test(line)));
  assert.deepEqual(alarms, []);
}

function blocksOf(directory: string): { spans: number }[] {
  return fs
    .globSync(path.join(directory, '*', '*', 'meta.json'))
    .map((file) => (JSON.parse(fs.readFileSync(file, 'utf8')) as { vivace: { spans: number } }).vivace);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { times: { type: 'string', default: '50' }, seed: { type: 'string' } } });
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}`);
  const report = await crash({ times: Number(values.times), seed, tell: console.log });
  console.log(`every acknowledged span is there once: ${JSON.stringify(report)}`);
}
