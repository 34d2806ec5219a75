/**
 * Compaction in a bucket, as the bucket thread runs it. In every cycle it goes through the tenants whose blocks want merging:
 *
 * ```
 *  choose ─▶ lease ─▶ end what its last owner began ─▶ list anew, choose again
 *         ─▶ fetch, merge, put in their place (bucket-rewrite.ts) ─▶ … ─▶ release
 * ```
 */
import { type BlockRef, blockRef } from '../block/catalog.ts';
import type { BucketLease, Leases } from '../compact/bucket-lease.ts';
import type { BucketMergePoint } from '../compact/bucket-merge.ts';
import { chooseMerges } from '../compact/choose.ts';
import { type ByTenant, ofTenant } from '../compact/retention.ts';
import { messageOf } from '../runtime/errors.ts';
import { type BucketWork, bytesOf, ReplacingBlocks, rewriteInBucket } from './bucket-rewrite.ts';
import type { CompactionDone, CompactionSettings } from './compaction.ts';
import { comeUpToDate, underLease } from './under-lease.ts';

export interface BucketCompactionOptions {
  settings: CompactionSettings;
  leases: Leases;
  /** Traces of a tenant that nobody may see. */
  deleted: (tenant: string) => readonly string[];
  /** A block could not be merged and may be damaged. */
  onSuspect: (tenant: string, block: string) => void;
  reached: (point: BucketMergePoint | 'marked') => void;
}

/** Blocks that could not be merged are left alone for so long, and for so many cycles when the bucket was at fault. */
const FAILED_MS = 10 * 60_000;
const RETRY_CYCLES = 2;
/** A thread that merges is started for so many merges at most: what they are made of is in the scratch folder at once. */
const MERGES_AT_ONCE = 4;
/** Of a scratch folder: the blocks that are merged and what is made of them. Larger blocks are not merged in a bucket. */
const SCRATCH_BYTES_MAX = 4 * 1024 ** 3;

export class BucketCompaction {
  windows: ByTenant;
  readonly #work: BucketWork;
  readonly #options: BucketCompactionOptions;
  readonly #replacing: ReplacingBlocks;
  /** Blocks that stay as they are, and until when. */
  readonly #left = new Map<string, number>();
  #done: CompactionDone = { merged: [], errors: [], outstanding: new Map() };

  constructor(work: BucketWork, options: BucketCompactionOptions) {
    this.#work = work;
    this.#options = options;
    this.#replacing = new ReplacingBlocks(work.list, work.pollMs);
    this.windows = options.settings.windows;
  }

  /** What was done since the last call. */
  take(): CompactionDone {
    const done = this.#done;
    this.#done = { merged: [], errors: [], outstanding: done.outstanding };
    return done;
  }

  /** One look at all tenants. Never rejects. */
  async cycle(signal: AbortSignal): Promise<void> {
    const { bucket, list } = this.#work;
    this.#look();
    const outstanding = new Map<string, number>();
    const wanting: string[] = [];
    for (const tenant of list.tenants.keys()) {
      if (ofTenant(this.windows, tenant) > 0)
        await this.#attempt(tenant, () =>
          this.#replacing.markReplaced(bucket, tenant, signal, () => this.#options.reached('marked')),
        );
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
    this.#replacing.look();
    const nowMs = performance.now();
    const { tenants } = this.#work.list;
    for (const [id, untilMs] of this.#left) {
      const isListed = [...tenants.values()].some(({ live }) => live.has(id));
      if (untilMs <= nowMs || !isListed) this.#left.delete(id);
    }
  }

  #choose(tenant: string): BlockRef[][] {
    const windowMs = ofTenant(this.windows, tenant);
    const state = this.#work.list.tenants.get(tenant);
    if (windowMs === 0 || state === undefined) return [];
    const nowMs = performance.now();
    const free = [...state.live.values()].filter(
      (meta) => (this.#left.get(meta.blockID) ?? 0) <= nowMs && this.#replacing.isSettled(meta, state),
    );
    const refs = free.map((meta) => blockRef(meta, tenant, undefined));
    const { choose } = this.#options.settings;
    const bytesMax = Math.min(choose.bytesMax, SCRATCH_BYTES_MAX / 2);
    return chooseMerges(refs, { ...choose, bytesMax, windowMs, nowMs: Date.now() });
  }

  async #merge(tenant: string, signal: AbortSignal): Promise<void> {
    await underLease(this.#options.leases, tenant, signal, async (lease, either) => {
      await comeUpToDate(this.#work, lease, tenant, either);
      this.#look();
      const untilMs = performance.now() + this.#options.settings.tenantMs;
      while (!either.aborted && performance.now() < untilMs) {
        const merges = batchOf(this.#choose(tenant));
        if (merges.length === 0) break;
        await this.#mergeBatch(tenant, merges, lease, either);
        this.#look();
      }
    });
  }

  async #mergeBatch(tenant: string, merges: BlockRef[][], lease: BucketLease, signal: AbortSignal): Promise<void> {
    const { settings, deleted, reached } = this.#options;
    const untilMs = performance.now() + RETRY_CYCLES * settings.cycleMs;
    for (const { id } of merges.flat()) this.#left.set(id, untilMs);
    await rewriteInBucket(this.#work, merges, {
      ...{ lease, signal, reached, rowGroups: settings.rowGroups, deleted: deleted(tenant) },
      onMerged: (merged) => this.#done.merged.push(merged),
      onLeft: ({ ids, failed, message }) => {
        for (const id of ids) this.#left.set(id, failed ? performance.now() + FAILED_MS : Number.POSITIVE_INFINITY);
        if (!failed) return;
        this.#done.errors.push(message);
        for (const id of ids) this.#options.onSuspect(tenant, id);
      },
    });
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

function shuffled<T>(items: T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
