/**
 * One run of a server up to a named point, where it is killed or its disk becomes full; then it goes on or starts again.
 * Afterwards every acknowledged span is there once, and nothing is left that `fsck` does not see.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type S3Server, s3Flags } from '../contract/s3-server.fixture.ts';
import {
  type Cleanup,
  later,
  lockLapses,
  type Server,
  type StartOptions,
  startServer,
  temporaryFolder,
  until,
} from '../process/server.fixture.ts';
import { ask, makeBatch, post, type Random, random, spansOf } from '../process/spans.fixture.ts';
import { fsck, storageOf } from '../process/fsck.fixture.ts';
import type { Point } from './points.ts';

export interface AtPoint extends Point {
  fault: 'kill' | 'full';
  /** fsck --repair runs between the end and the next start. */
  repairs: boolean;
  seed: number;
}

/** Tenants: blocks or traces of the first one are too old at once where that is wanted, those of the other are kept. */
const BRIEF = 'brief';
const KEPT = 'kept';
const OF_BRIEF = { 'X-Scope-OrgID': BRIEF };
const DISK_BYTES = 160 << 20;

type Sent = Map<string, { tenant: string; spans: string[] }>;
interface Ledger {
  sent: Sent;
  /** Requests without an answer. */
  open: Sent;
  /** Traces that are to be gone: since that was answered, and those of which it was not. */
  deleted: Set<string>;
  doubtful: Set<string>;
  /** Traces of which others are in the same block. */
  erasable: string[];
}

/** Throws an AssertionError that names what was lost, doubled or left over. */
export async function atPoint(t: Cleanup, point: AtPoint, s3: S3Server | undefined): Promise<void> {
  const next = random(point.seed);
  const hold = path.join(temporaryFolder(t, 'hold'), 'held');
  const directory = point.fault === 'full' ? smallDisk(t) : temporaryFolder(t, 'faults');
  const options: StartOptions = { directory, flags: [...flagsOf(point, directory), ...storageFlags(t, point, s3)] };
  const env: Record<string, string> =
    point.fault === 'kill' ? { VIVACE_KILL_AT: point.name } : { VIVACE_HOLD_AT: point.name, VIVACE_HOLD_FILE: hold };
  const first = await startServer(t, { ...options, env });
  const ledger: Ledger = { sent: new Map(), open: new Map(), deleted: new Set(), doubtful: new Set(), erasable: [] };
  const { sent } = ledger;
  let gone = false;
  void first.exited.then(() => {
    gone = true;
  });
  let there = false;
  const isThere = (): boolean => {
    // The file goes when the process is to go on.
    there ||= gone || fs.existsSync(hold);
    return there;
  };
  // What is asked for may not be answered any more.
  const loading = load(first, next, ledger, point, isThere);
  if (point.fault === 'kill') {
    await until(`it has reached "${point.name}"`, () => gone, 60_000, first.stderr);
    assert.equal((await first.exited).signal, 'SIGKILL', first.stderr());
    await loading;
    lockLapses(first);
    // As if ten had: a cut that was interrupted by the way may hold what is to be erased, and is somebody's work until then.
    for (const name of fs.globSync('blocks/*/.*{,/*}', { cwd: first.dataDirectory }))
      fs.utimesSync(path.join(first.dataDirectory, name), 1, 1);
  } else {
    await until(`it has reached "${point.name}"`, isThere, 60_000, first.stderr);
    assert.ok(!gone, first.stderr());
    const stranger = path.join(directory, 'stranger');
    fillUp(stranger);
    fs.rmSync(hold);
    await loading;
    // It goes on, and answers what it can.
    await until('it answers', async () => (await ask(`${first.url}/ready`)).status === 200);
    if (point.work === 'erase') await erase(first, ledger);
    await complete(first, ledger);
    fs.rmSync(stranger);
    await until('it takes spans again', () => send(first, next, ledger, KEPT));
    if (point.work === 'erase')
      await until('it deletes again', async () => (await erase(first, ledger)) && ledger.doubtful.size === 0);
    await complete(first, ledger);
    await erased(first, ledger);
    await first.kill();
  }
  // Of an upload that is not finished it may say so: that is for its machine to finish.
  if (point.repairs) await fsck('--repair', '--min-age=0s', ...storageOf(options));
  const second = await startServer(t, options);
  // It has decided what becomes of them.
  for (const [trace, each] of ledger.open) {
    const here = (await spansOf(second.url, trace, { tenant: each.tenant })).sort();
    if (here.length === 0) continue;
    assert.deepEqual(here, [...each.spans].sort());
    sent.set(trace, each);
  }
  await complete(second, ledger);
  await until('it takes spans', () => send(second, next, ledger, KEPT));
  await ask(`${second.url}/flush`, { method: 'POST' });
  await complete(second, ledger);
  await erased(second, ledger);
  assert.deepEqual(await second.stop(), { code: 0, signal: null }, second.stderr());
  // What was left is named, and gone when it is told to go.
  const repaired = await fsck('--repair', '--remove-uploads', '--min-age=0s', ...storageOf(options));
  assert.equal(repaired.left, 0, JSON.stringify(repaired.findings));
  const { code, findings, tenants } = await fsck('--min-age=0s', ...storageOf(options));
  assert.deepEqual([code, findings], [0, []]);
  const kept = [...sent.values()].filter(({ tenant }) => tenant === KEPT).flatMap(({ spans }) => spans).length;
  // What the bucket has may still be in the folder, too.
  const stored = tenants
    .filter(({ where, tenant }) => tenant === KEPT && (point.storage === 'folder' || !where.startsWith(directory)))
    .reduce((sum, { spans }) => sum + spans, 0);
  assert.equal(stored, kept, 'spans in blocks');
  const third = await startServer(t, { ...options, ...(point.storage === 's3' && { target: 'querier' }) });
  await complete(third, ledger);
}

/** Traces of the tenant BRIEF go, whole. */
function losesTraces({ work }: Point): boolean {
  return work === 'expire' || work === 'rules';
}

async function load(server: Server, next: Random, ledger: Ledger, point: Point, isThere: () => boolean): Promise<void> {
  const rounds = point.work === 'merge' ? 12 : 40;
  for (let round = 0; round < rounds && !isThere(); round++) {
    await send(server, next, ledger, KEPT).catch(() => {});
    if (losesTraces(point)) await send(server, next, ledger, BRIEF).catch(() => {});
    if (point.work === 'erase') await send(server, next, ledger, BRIEF).catch(() => {});
    const flush = ask(`${server.url}/flush`, { method: 'POST' }).catch(() => {});
    await Promise.race([flush, until('the point', isThere, 10_000).catch(() => {})]);
    if (point.work === 'erase')
      await Promise.race([flush.then(() => erase(server, ledger)), until('the point', isThere, 10_000)]).catch(
        () => {},
      );
    if (losesTraces(point)) await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Wants a trace of BRIEF gone, again if it was not answered; says whether that was taken. */
async function erase(server: Server, { deleted, doubtful, erasable }: Ledger): Promise<boolean> {
  const trace = erasable.find((id) => !deleted.has(id) && (doubtful.size === 0 || doubtful.has(id)));
  if (trace === undefined) return true;
  doubtful.add(trace);
  const { status, body } = await ask(`${server.url}/api/traces/${trace}`, { method: 'DELETE', headers: OF_BRIEF });
  if (status !== 202 && status !== 200) {
    assert.match(`${status} ${body}`, /^(?:429|503|507) .*disk is full/);
    return false;
  }
  doubtful.delete(trace);
  deleted.add(trace);
  return true;
}

/** Whatever has happened, no byte of them is left some time. */
async function erased(server: Server, { deleted }: Ledger): Promise<void> {
  // The log goes when what others have sent since is in blocks, too.
  if (deleted.size > 0) await ask(`${server.url}/flush`, { method: 'POST' });
  for (const trace of deleted) {
    let said = '';
    await until(
      `trace ${trace} is erased`,
      async () => {
        said = (await ask(`${server.url}/api/deleted-traces/${trace}`, { headers: OF_BRIEF })).body.toString();
        return /"state":"erased"/.test(said);
      },
      60_000,
      () => `${said}\n${server.stderr()}`,
    );
  }
}

/** Whether it was taken; what is refused, or not answered, need not be there. */
async function send(server: Server, next: Random, { sent, open, erasable }: Ledger, tenant: string): Promise<boolean> {
  const batch = makeBatch(next, { traces: 2, spansPerTrace: 4 });
  const answer = await post(server.otlpUrl, batch.body, { 'x-scope-orgid': tenant }).catch(() => undefined);
  if (answer === undefined) {
    // Without an answer it may be stored or not.
    for (const [trace, spans] of batch.traces) open.set(trace, { tenant, spans });
    return false;
  }
  const { status } = answer;
  if (status === 200) for (const [trace, spans] of batch.traces) sent.set(trace, { tenant, spans });
  else assert.ok(status === 429 || status === 503, `${status}`);
  if (status === 200 && tenant === BRIEF) erasable.push(batch.traces.keys().next().value!);
  return status === 200;
}

/** Every span once; those that may be too old or deleted need not be there. */
async function complete(server: Server, { sent, deleted }: Ledger): Promise<void> {
  for (const [trace, { tenant, spans }] of sent) {
    let here: string[] = [];
    if (deleted.has(trace)) {
      assert.deepEqual(await spansOf(server.url, trace, { tenant }), [], `trace ${trace} is deleted`);
      continue;
    }
    const isWhole = async (): Promise<boolean> => {
      here = (await spansOf(server.url, trace, { tenant })).sort();
      return JSON.stringify(here) === wanted;
    };
    const wanted = JSON.stringify([...spans].sort());
    if (tenant === KEPT)
      await until(`trace ${trace} is whole`, isWhole, 20_000, () => `${wanted}, not [${here}]\n${server.stderr()}`);
    else {
      const whole = await isWhole();
      assert.ok(here.length === 0 || whole, `trace ${trace}: ${here}`);
    }
  }
}

function flagsOf(point: Point, directory: string): string[] {
  const flags = [
    '--multitenancy.enabled=true',
    '--storage.trace.blocklist-poll=200ms',
    '--compactor.compaction.compaction-cycle=100ms',
    '--backend-scheduler.provider.compaction.max-input-blocks=4',
    '--vivace.compaction-lease=2s',
  ];
  if (point.work === 'cut') flags.push('--compactor.disabled=true');
  // Merging would do the same by the way.
  if (point.work === 'erase') flags.push('--vivace.delete-traces=always', '--compactor.compaction.compaction-cycle=1h');
  // Others learn by polling what was merged; until then they need the old blocks.
  flags.push(`--compactor.compaction.compacted-block-retention=${point.storage === 's3' ? '3s' : '1ms'}`);
  if (losesTraces(point)) {
    const overrides = path.join(directory, 'overrides.yaml');
    fs.mkdirSync(directory, { recursive: true });
    const limits =
      point.work === 'expire'
        ? { [KEPT]: { compaction: { block_retention: '1h', compaction_disabled: false } } }
        : { [BRIEF]: { compaction: { retention_rules: ['1h 50% { }', '0s { }'] } } };
    fs.writeFileSync(overrides, JSON.stringify({ overrides: limits }));
    flags.push(`--config.per-user-override-config=${overrides}`);
    if (point.work === 'expire') flags.push('--compactor.compaction.block-retention=1s');
  }
  return flags;
}

let buckets = 0;
function storageFlags(t: Cleanup, { storage }: Point, s3: S3Server | undefined): string[] {
  if (storage === 'folder') return [];
  assert.ok(s3 !== undefined);
  const bucket = `faults-${process.pid}-${++buckets}`;
  const folder = path.join(s3.root, 'buckets', bucket);
  fs.mkdirSync(folder);
  later(t, () => fs.rmSync(folder, { recursive: true, force: true }));
  return [
    ...s3Flags(s3, bucket),
    '--live-store.flush-check-period=100ms',
    '--live-store.complete-block-timeout=100ms',
    '--vivace.compaction-lease=2s',
    '--querier.frontend-worker.frontend-address=127.0.0.1:1',
  ];
}

export const noDisk =
  process.env.VIVACE_SKIP_TMPFS === '1' ? 'VIVACE_SKIP_TMPFS=1: a full disk is not tested in this run' : false;

function smallDisk(t: Cleanup): string {
  const directory = temporaryFolder(t, 'disk');
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', directory], { stdio: 'pipe' });
  later(t, () => void execFileSync('umount', ['-l', directory]));
  return directory;
}

function fillUp(file: string): void {
  const handle = fs.openSync(file, 'w');
  try {
    for (const bytes of [1 << 20, 4096])
      try {
        for (;;) fs.writeSync(handle, Buffer.alloc(bytes));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
  } finally {
    fs.closeSync(handle);
  }
}
