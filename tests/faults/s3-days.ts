/**
 * S3 on bad days: whole processes before a real server, with a proxy between them, that receive, upload, merge and answer. What
 * is acknowledged on such a day is found on it, and every span is there once when it is over; `fsck` finds nothing, and memory has
 * stayed within what is promised. The short form has a few rounds; `npm run faults` more, and real stalls of half a minute.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { type Fault, type FaultProxy, faultProxy } from '../contract/fault-proxy.fixture.ts';
import { laggingLists } from '../contract/lagging-lists.fixture.ts';
import { type S3Server, s3Flags, s3Program, startS3Server } from '../contract/s3-server.fixture.ts';
import {
  becomesReady,
  type Cleanup,
  type Server,
  type StartOptions,
  startServer,
  temporaryFolder,
  until,
} from '../process/server.fixture.ts';
import { ask, makeBatch, post, type Random, random, spansOf } from '../process/spans.fixture.ts';
import { SEED } from '../property.ts';
import { fsck, storageOf } from '../process/fsck.fixture.ts';

const LONG = Number(process.env.VIVACE_FAULTS ?? 0);
const ROUNDS = 4 * Math.max(1, LONG);
const MEMORY_BYTES_MAX = 256 << 20;
const TEAM = { accessKey: 'team', secretKey: 'of the team, and long enough' };

interface Day {
  name: string;
  flags?: string[];
  /** From the start on, since a proxy that makes listings must know all that was stored. */
  lists?: true;
  /** The bucket is not there when the processes start. */
  missing?: true;
  /** Blocks that only the bucket has may be missing from answers. */
  away?: true;
  begin(world: World): void;
  end(world: World): void;
  /** What the process says of it: it names the thing and the cure. */
  told?: RegExp;
}

interface World {
  t: Cleanup;
  proxy: FaultProxy;
  next: Random;
  /** Spans by trace that were acknowledged. */
  sent: Map<string, string[]>;
  folder: string;
}

const mixed: Fault[] = ['slow-down', 'error', 'reset', 'lost-answer', 'truncate', 'stall-body'];
const POLL_MS = 300;
/** Listings may lag less than they are apart (src/block/bucket-list.ts). */
const LAGGING_POLL_MS = 1000;
const LAG_MS = 800;

/** Flags that make a day short. */
const PACE = [
  '--live-store.flush-check-period=100ms',
  '--live-store.complete-block-timeout=200ms',
  '--querier.frontend-worker.frontend-address=127.0.0.1:1',
  '--compactor.compaction.compaction-cycle=100ms',
  '--backend-scheduler.provider.compaction.max-input-blocks=4',
  '--vivace.compaction-lease=2s',
  '--vivace.compaction-lease=2s',
  '--compactor.compaction.compacted-block-retention=3s',
];

const DAYS: Day[] = [
  {
    name: 'a third of all requests fails',
    flags: ['--vivace.bucket-timeout=1s'],
    begin({ proxy, next }) {
      proxy.decide = () => (next() < 1 / 3 ? mixed[Math.floor(next() * mixed.length)] : 'none');
    },
    end: calm,
  },
  {
    name: 'requests stall for longer than they are waited for, and are done all the same',
    flags: LONG > 0 ? ['--compactor.compaction.compacted-block-retention=1m'] : ['--vivace.bucket-timeout=1s'],
    begin({ proxy, next }) {
      proxy.pauseMs = LONG > 0 ? 30_000 : 2000;
      proxy.decide = () => (next() < (LONG > 0 ? 1 / 12 : 1 / 6) ? 'pause' : 'none');
    },
    end: calm,
  },
  {
    name: 'nothing comes from the bucket',
    flags: ['--vivace.bucket-timeout=1s', '--storage.trace.s3.retry-max-attempts=2'],
    away: true,
    begin({ proxy }) {
      proxy.decide = () => 'stall';
    },
    end: calm,
    told: /cannot list the objects of S3 bucket day-\d+: nothing came for 1000 ms; .* raise vivace\.bucket_timeout/,
  },
  {
    name: 'answers name wrong ETags',
    begin({ proxy, next }) {
      proxy.decide = () => (next() < 1 / 2 ? 'wrong-etag' : 'none');
    },
    end: calm,
  },
  {
    name: 'listings lag behind puts and deletions',
    lists: true,
    begin() {},
    end({ proxy }) {
      proxy.lists = undefined;
    },
  },
  {
    name: 'credentials are revoked and restored',
    away: true,
    begin: () => (s3 as S3Server).admit({}),
    end: admitTeam,
    told: /access denied \(.*\); check storage\.trace\.s3\.access_key/,
  },
  {
    name: 'the bucket is made after the start',
    missing: true,
    away: true,
    begin() {},
    end: ({ folder }) => void fs.mkdirSync(folder),
    told: /the bucket does not exist; make it, or correct storage\.trace\.s3\.bucket/,
  },
];

const file: Cleanup = { after: (work) => after(work) };
const program = await s3Program();
const skip = 'missing' in program ? program.missing : undefined;
const s3 = 'file' in program ? await startS3Server(file, program.file, []) : undefined;

/** The tests of all days; spans are safe in the log on the disk, or in the bucket. */
export function testDays(ack: 'local' | 'storage'): void {
  describe(`S3 on bad days, spans are safe in ${ack === 'local' ? 'the log' : 'the bucket'}`, { skip }, () => {
    for (const day of DAYS) test(day.name, (t) => outlast(t, day, ack));
  });
}

let buckets = 0;

async function outlast(t: Cleanup, day: Day, ack: 'local' | 'storage'): Promise<void> {
  const bucket = `day-${++buckets}`;
  const proxy = await faultProxy(t, (s3 as S3Server).endpoint);
  const folder = path.join((s3 as S3Server).root, 'buckets', bucket);
  const world: World = { t, proxy, folder, next: random(SEED + buckets), sent: new Map() };
  admitTeam();
  if (day.missing === undefined) fs.mkdirSync(folder);
  if (day.lists) proxy.lists = laggingLists(LAG_MS, world.next);
  const through = { ...TEAM, endpoint: proxy.endpoint };
  const flags = [
    ...s3Flags(s3 as S3Server, bucket, through),
    ...PACE,
    `--ingester.ack=${ack}`,
    `--storage.trace.blocklist-poll=${day.lists ? LAGGING_POLL_MS : POLL_MS}ms`,
    ...(day.flags ?? []),
  ];
  const options: StartOptions = { directory: temporaryFolder(t, 'day'), flags };
  const readerOptions = { directory: temporaryFolder(t, 'reader'), flags, target: 'querier', wait: false };
  // Without a bucket there is nothing that spans could be safe in.
  const takes = day.missing === undefined || ack === 'local';
  let writer = await startServer(t, { ...options, wait: takes });
  const reader = await startServer(t, readerOptions);

  if (day.missing === undefined) {
    await becomesReady(reader);
    for (let round = 0; round < 2; round++) await load(writer, world);
    await until('all is in the bucket', () => localBlocks(options).length === 0, 60_000, writer.stderr);
  }
  const before = new Map(world.sent);
  await day.begin(world);
  for (let round = 0; round < ROUNDS && takes; round++) {
    await load(writer, world);
    const [trace, spans] = [...world.sent].at(-1) ?? [];
    // What is safe is found at once.
    if (trace !== undefined && !before.has(trace)) await found(writer, trace, spans as string[]);
  }
  if (ack === 'local') assert.equal(world.sent.size - before.size, 2 * ROUNDS, 'everything is taken, whatever the day');
  if (!day.away) for (const server of [writer, reader]) await complete(server, world.sent);
  if (day.told !== undefined) {
    const { told } = day;
    for (const server of [writer, reader])
      await until(`it says ${told}`, () => told.test(server.stderr()), 60_000, server.stderr);
    if (!takes) await until('it is not ready', () => isReady(writer, 503), 60_000, writer.stderr);
    const counted = /tempodb_blocklist_poll_errors_total\{.*\} [1-9]/;
    await until('a metric has counted it', async () =>
      counted.test((await ask(`${writer.url}/metrics`)).body.toString()),
    );
    // What the log has is there for the next process, on the same bad day.
    if (ack === 'local') {
      await writer.kill();
      writer = await startServer(t, options);
      for (const [trace, spans] of world.sent) if (!before.has(trace)) await found(writer, trace, spans);
    }
  }
  await day.end(world);

  for (const server of [writer, reader]) await becomesReady(server);
  const enough = world.sent.size + 8;
  await until(
    'spans are taken again',
    async () => {
      await load(writer, world);
      return world.sent.size >= enough;
    },
    60_000,
    writer.stderr,
  );
  await until('all is in the bucket', () => localBlocks(options).length === 0, 120_000, writer.stderr);
  await until('blocks are merged', () => isMerged(folder), 60_000, writer.stderr);
  await until('what was late has come', () => proxy.paused === 0, 60_000);
  for (const server of [writer, reader]) await complete(server, world.sent);
  for (const { pid, url } of [writer, reader])
    assert.ok(peakBytes(pid) <= MEMORY_BYTES_MAX, `${url} had ${peakBytes(pid)} bytes of memory`);
  assert.deepEqual(await writer.stop(), { code: 0, signal: null }, writer.stderr());
  await complete(reader, world.sent);
  await reader.stop();

  const direct: StartOptions = { ...options, flags: s3Flags(s3 as S3Server, bucket) };
  const repaired = await fsck('--repair', '--remove-uploads', '--min-age=0s', ...storageOf(direct));
  assert.equal(repaired.left, 0, JSON.stringify(repaired.findings));
  const { code, findings, tenants } = await fsck('--min-age=0s', ...storageOf(direct));
  assert.deepEqual([code, findings], [0, []]);
  const stored = tenants.filter(({ where }) => where.startsWith('S3')).reduce((sum, { spans }) => sum + spans, 0);
  assert.equal(stored, [...world.sent.values()].flat().length, 'spans in blocks');
  assert.deepEqual(fs.globSync('vivace~log/*/*', { cwd: folder }), [], 'logs left');
}

/** Two requests, which become a block; what is refused is not there. */
async function load(server: Server, { next, sent }: World): Promise<void> {
  for (let request = 0; request < 2; request++) {
    const batch = makeBatch(next, { traces: 1, spansPerTrace: 4 });
    const { status, body } = await post(server.otlpUrl, batch.body);
    assert.ok(status === 200 || status === 503, `${status} ${body}`);
    if (status === 200) for (const [trace, spans] of batch.traces) sent.set(trace, spans);
  }
  await ask(`${server.url}/flush`, { method: 'POST' });
}

async function complete(server: Server, sent: World['sent']): Promise<void> {
  for (const [trace, spans] of sent) await found(server, trace, spans);
}

/** Every span once, as soon as blocks of others are listed. */
async function found(server: Server, trace: string, spans: string[]): Promise<void> {
  const wanted = JSON.stringify([...spans].sort());
  let here: string[] = [];
  await until(
    `${server.url} has trace ${trace}`,
    async () => {
      const { status } = await ask(`${server.url}/api/traces/${trace}`);
      here = status === 503 ? [] : (await spansOf(server.url, trace)).sort();
      assert.ok(here.length <= spans.length, `spans of trace ${trace}: ${here}`);
      return JSON.stringify(here) === wanted;
    },
    60_000,
    () => `${here}\n${server.stderr()}`,
  );
}

async function isReady(server: Server, status: number): Promise<boolean> {
  return ask(`${server.url}/ready`).then(
    (answer) => answer.status === status,
    () => false,
  );
}

function calm({ proxy }: World): void {
  proxy.decide = () => 'none';
}

function admitTeam(): void {
  (s3 as S3Server).admit({ [TEAM.accessKey]: TEAM.secretKey });
}

function localBlocks({ directory }: StartOptions): string[] {
  return fs.globSync('data/wal/blocks/*/*', { cwd: directory });
}

/** Some block is made of others. */
function isMerged(folder: string): boolean {
  return fs.globSync('*/*/meta.json', { cwd: folder }).some((meta) => {
    try {
      return (
        (JSON.parse(fs.readFileSync(path.join(folder, meta), 'utf8')) as { compactionLevel: number }).compactionLevel >
        0
      );
    } catch {
      return false;
    }
  });
}

/** The most memory that the process has had. */
function peakBytes(pid: number): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return 1024 * Number(kib);
}
