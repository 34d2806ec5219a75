/**
 * Compaction in a bucket, as the bucket thread runs it. In every cycle it goes through the tenants whose blocks want merging:
 *
 * ```
 *  choose ─▶ lease ─▶ end what its last owner began ─▶ list anew, choose again ─▶ fetch into a scratch folder
 *         ─▶ compactor thread: one block of several ─▶ putMerged ─▶ … ─▶ release
 * ```
 * Blocks that were replaced are marked later, when no listing that is under way can miss what replaces them; and a merged block
 * is left alone until everybody has listed it, so that nobody who has seen its predecessors misses what became of them.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BucketList } from '../block/bucket-list.ts';
import { type BlockRef, blockRef, type LocalBlockRef, readBlockRef } from '../block/catalog.ts';
import { type BucketLease, Leases } from '../compact/bucket-lease.ts';
import { type BucketMergePoint, fetchBlock, finishPlan, putMerged } from '../compact/bucket-merge.ts';
import { markInBucket } from '../compact/bucket-retention.ts';
import { chooseMerges } from '../compact/choose.ts';
import { type ByTenant, ofTenant } from '../compact/retention.ts';
import { messageOf } from '../runtime/errors.ts';
import type { Bucket } from '../store/bucket.ts';
import type { CompactionDone, CompactionSettings } from './compaction.ts';
import type { CompactorWork, FromCompactor, MergedBlock } from './compactor-thread.ts';

export interface BucketCompactionOptions {
  settings: CompactionSettings;
  work: Pick<CompactorWork, 'pageRows' | 'createdBy'>;
  /** Holds the scratch folders. */
  walDirectory: string;
  /** Blocks of this machine, which need not be fetched. */
  blocksDirectory: string;
  pollMs: number;
  reached: (point: BucketMergePoint | 'marked') => void;
}

/** Blocks that could not be merged are left alone for so long, and for so many cycles when the bucket was at fault. */
const FAILED_MS = 10 * 60_000;
const RETRY_CYCLES = 2;
const RELEASE_MS_MAX = 5000;
/** A thread that merges is started for so many merges at most: what they are made of is in the scratch folder at once. */
const MERGES_AT_ONCE = 4;
const FETCHES_AT_ONCE = 4;
/** Of a scratch folder: the blocks that are merged and what is made of them. Larger blocks are not merged in a bucket. */
const SCRATCH_BYTES_MAX = 4 * 1024 ** 3;
/** Nothing is fetched onto a disk that would have less than this left. */
const SPACE_BYTES_MIN = 64 * 1024 * 1024;
const LEASE_MS_MIN = 2000;
const LEASE_MS_MAX = 60_000;
const MARK_MS_MIN = 1000;
const MARK_MS_MAX = 60_000;
/** Everybody has listed a block after so many polls: the index is a poll old, whoever reads it does so once a poll. */
const SETTLED_POLLS = 3;
const SCRATCH = '.merging-';
const SCRATCH_MS_MAX = 3_600_000;

/** How long the blocks that a new one replaces stay as they are: no listing may take longer. */
export function markAfterMs(pollMs: number): number {
  return Math.min(MARK_MS_MAX, Math.max(MARK_MS_MIN, pollMs));
}

export class BucketCompaction {
  windows: ByTenant;
  readonly #bucket: Bucket;
  readonly #list: BucketList;
  readonly #options: BucketCompactionOptions;
  readonly #leases: Leases;
  /** Blocks that stay as they are, and until when. */
  readonly #left = new Map<string, number>();
  /** When this process saw merged blocks first. */
  readonly #seen = new Map<string, number>();
  #done: CompactionDone = { merged: [], errors: [], outstanding: new Map() };

  constructor(bucket: Bucket, list: BucketList, options: BucketCompactionOptions) {
    this.#bucket = bucket;
    this.#list = list;
    this.#options = options;
    this.windows = options.settings.windows;
    this.#leases = new Leases(bucket, {
      owner: randomUUID(),
      leaseMs: Math.min(LEASE_MS_MAX, Math.max(LEASE_MS_MIN, 2 * options.settings.cycleMs)),
      nowMs: () => performance.now(),
    });
    removeOldScratch(options.walDirectory);
  }

  /** What was done since the last call. */
  take(): CompactionDone {
    const done = this.#done;
    this.#done = { merged: [], errors: [], outstanding: done.outstanding };
    return done;
  }

  /** One look at all tenants. Never rejects. */
  async cycle(signal: AbortSignal): Promise<void> {
    this.#look();
    const outstanding = new Map<string, number>();
    const wanting: string[] = [];
    for (const tenant of this.#list.tenants.keys()) {
      await this.#attempt(tenant, () => this.#markReplaced(tenant, signal));
      const blocks = this.#choose(tenant).reduce((sum, refs) => sum + refs.length, 0);
      outstanding.set(tenant, blocks);
      if (blocks > 0) wanting.push(tenant);
    }
    this.#done.outstanding = outstanding;
    // Several processes that look at the same time do not all want the same tenant first.
    for (const tenant of shuffled(wanting)) {
      if (signal.aborted) return;
      await this.#attempt(tenant, () => this.#merge(tenant, signal));
    }
  }

  async #attempt(tenant: string, work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) =>
      this.#done.errors.push(`cannot merge blocks of tenant ${tenant} in the bucket: ${messageOf(error)}`),
    );
  }

  /** Notes which blocks there are, and forgets what there is no more. */
  #look(): void {
    const nowMs = performance.now();
    const listed = new Set<string>();
    for (const { live } of this.#list.tenants.values())
      for (const [id, { compactionLevel }] of live) {
        listed.add(id);
        if (compactionLevel > 0 && !this.#seen.has(id)) this.#seen.set(id, nowMs);
      }
    for (const id of this.#seen.keys()) if (!listed.has(id)) this.#seen.delete(id);
    for (const [id, untilMs] of this.#left) if (untilMs <= nowMs || !listed.has(id)) this.#left.delete(id);
  }

  #choose(tenant: string): BlockRef[][] {
    const windowMs = ofTenant(this.windows, tenant);
    const state = this.#list.tenants.get(tenant);
    if (windowMs === 0 || state === undefined) return [];
    const nowMs = performance.now();
    const free = [...state.live.values()].filter(({ blockID, vivace }) => {
      if ((this.#left.get(blockID) ?? 0) > nowMs) return false;
      const seenMs = this.#seen.get(blockID);
      // What it replaces is hidden by its meta.
      return (
        (seenMs === undefined || nowMs - seenMs >= SETTLED_POLLS * this.#options.pollMs) &&
        !vivace.replaces?.some((id) => state.replaced.has(id))
      );
    });
    const refs = free.map((meta) => blockRef(meta, tenant, undefined));
    const { choose } = this.#options.settings;
    const bytesMax = Math.min(choose.bytesMax, SCRATCH_BYTES_MAX / 2);
    return chooseMerges(refs, { ...choose, bytesMax, windowMs, nowMs: Date.now() });
  }

  /** Takes the blocks whose spans are in merged ones out of lists for good. */
  async #markReplaced(tenant: string, signal: AbortSignal): Promise<void> {
    const { live, replaced } = this.#list.tenants.get(tenant)!;
    if (replaced.size === 0 || ofTenant(this.windows, tenant) === 0) return;
    for (const [id, { vivace }] of live) {
      const seenMs = this.#seen.get(id);
      if (seenMs === undefined || performance.now() - seenMs < markAfterMs(this.#options.pollMs)) continue;
      for (const old of vivace.replaces ?? []) {
        if (!replaced.has(old)) continue;
        await markInBucket(this.#bucket, tenant, old, { signal });
        this.#list.markCompacted(tenant, old, Date.now());
        this.#options.reached('marked');
      }
    }
  }

  async #merge(tenant: string, signal: AbortSignal): Promise<void> {
    const lease = await this.#leases.take(tenant, signal);
    if (lease === undefined) return;
    const either = AbortSignal.any([signal, lease.lost]);
    try {
      await finishPlan(this.#bucket, this.#list, lease, tenant, either);
      // Who had the lease may have merged what is still in our list.
      if (!lease.isSequel || this.#list.tenants.get(tenant)?.isFromIndex !== false)
        await this.#list.refresh(tenant, either);
      this.#look();
      const untilMs = performance.now() + this.#options.settings.tenantMs;
      while (!either.aborted && performance.now() < untilMs) {
        const merges = batchOf(this.#choose(tenant));
        if (merges.length === 0) break;
        await this.#mergeBatch(tenant, merges, lease, either);
        this.#look();
      }
    } finally {
      if (!lease.lost.aborted) await lease.release(AbortSignal.timeout(RELEASE_MS_MAX));
    }
  }

  async #mergeBatch(tenant: string, merges: BlockRef[][], lease: BucketLease, signal: AbortSignal): Promise<void> {
    const { walDirectory, blocksDirectory, reached } = this.#options;
    const untilMs = performance.now() + RETRY_CYCLES * this.#options.settings.cycleMs;
    for (const { id } of merges.flat()) this.#left.set(id, untilMs);
    await checkSpace(walDirectory, merges);
    const scratch = fs.mkdtempSync(path.join(walDirectory, SCRATCH));
    try {
      const fetched: LocalBlockRef[][] = [];
      for (const refs of merges) {
        const own: LocalBlockRef[] = [];
        for (let from = 0; from < refs.length; from += FETCHES_AT_ONCE)
          own.push(
            ...(await Promise.all(
              refs
                .slice(from, from + FETCHES_AT_ONCE)
                .map((ref) => fetchBlock(this.#bucket, ref, { scratch, local: blocksDirectory }, signal)),
            )),
          );
        fetched.push(own);
      }
      reached('fetched');
      await this.#compact(fetched, scratch, signal, async (merged) => {
        const directory = path.join(scratch, tenant, merged.id);
        const ref = readBlockRef(directory, tenant);
        if (typeof ref !== 'object') throw new Error(`there is no merged block in ${directory}`);
        await putMerged(this.#bucket, this.#list, lease, ref, { signal, reached });
        this.#done.merged.push(merged);
        fs.rmSync(directory, { recursive: true, force: true });
      });
    } finally {
      fs.rmSync(scratch, { recursive: true, force: true });
    }
  }

  /** Has a thread merge the blocks of a scratch folder; rejects with the first failure. */
  async #compact(
    merges: LocalBlockRef[][],
    scratch: string,
    signal: AbortSignal,
    onMerged: (merged: MergedBlock) => Promise<void>,
  ): Promise<void> {
    const { work, settings } = this.#options;
    const own = { merges, rowGroups: settings.rowGroups, blocksDirectory: scratch, fsync: 'never' } as const;
    const workerData: CompactorWork = { ...work, ...own };
    const worker = new Worker(new URL('./compactor-thread.ts', import.meta.url), { workerData });
    const stop = (): void => void worker.terminate();
    signal.addEventListener('abort', stop);
    let failure: unknown;
    let last: Promise<void> = Promise.resolve();
    worker.on('message', (message: FromCompactor) => {
      if (message.type === 'gone') return;
      if (message.type === 'left') {
        const untilMs = message.failed ? performance.now() + FAILED_MS : Number.POSITIVE_INFINITY;
        for (const id of message.ids) this.#left.set(id, untilMs);
        if (message.failed) this.#done.errors.push(message.message);
        return;
      }
      last = last
        .then(() => onMerged(message.merged))
        .catch((error: unknown) => {
          failure ??= error;
          stop();
        });
    });
    worker.on('error', (error) => {
      failure ??= error;
    });
    await new Promise((resolve) => worker.on('exit', resolve));
    await last;
    signal.removeEventListener('abort', stop);
    signal.throwIfAborted();
    if (failure !== undefined) throw failure;
  }
}

/** The first merges, as many as are done at a time. */
function batchOf(merges: BlockRef[][]): BlockRef[][] {
  let bytes = 0;
  const end = merges.findIndex((refs, i) => {
    bytes += bytesOf(refs);
    return i === MERGES_AT_ONCE || (i > 0 && bytes > SCRATCH_BYTES_MAX / 2);
  });
  return end < 0 ? merges : merges.slice(0, end);
}

async function checkSpace(directory: string, merges: BlockRef[][]): Promise<void> {
  const { bavail, bsize } = await fs.promises.statfs(directory);
  const wanted = SPACE_BYTES_MIN + 2 * bytesOf(merges.flat());
  if (bavail * bsize < wanted) throw new Error(`the disk of ${directory} has less than ${wanted} bytes left`);
}

function bytesOf(refs: BlockRef[]): number {
  return refs.reduce((sum, { meta }) => sum + meta.size + meta.vivace.tracesBytes, 0);
}

function shuffled<T>(items: T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** What processes have left that were killed. */
function removeOldScratch(walDirectory: string): void {
  for (const name of fs.readdirSync(walDirectory)) {
    if (!name.startsWith(SCRATCH)) continue;
    const folder = path.join(walDirectory, name);
    const { mtimeMs } = fs.statSync(folder, { throwIfNoEntry: false }) ?? { mtimeMs: Number.POSITIVE_INFINITY };
    if (Date.now() - mtimeMs > SCRATCH_MS_MAX) fs.rmSync(folder, { recursive: true, force: true });
  }
}
