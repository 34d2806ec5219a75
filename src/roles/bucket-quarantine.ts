/**
 * Blocks of a bucket that somebody could not read, as the bucket thread looks through them, one after the other: a damaged one
 * leaves the answers of this process at once, and those of all when the tenant's lease can be had.
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { BucketList } from '../block/bucket-list.ts';
import type { BlockMeta } from '../block/meta.ts';
import type { Leases } from '../compact/bucket-lease.ts';
import { finishPlan } from '../compact/bucket-merge.ts';
import { quarantineInBucket, verifyInBucket } from '../compact/quarantine-in-bucket.ts';
import { messageOf } from '../runtime/errors.ts';
import type { Bucket } from '../store/bucket.ts';
import { underLease } from './under-lease.ts';

export interface BucketQuarantineOptions {
  /** Of this alone: who has a lease for something else does not have it for this. */
  leases: Leases;
  signal: AbortSignal;
  /** What this process keeps of the block was damaged, not the block. */
  onSound: (tenant: string, block: string) => void;
  onQuarantined: (tenant: string, block: string, problems: string[]) => void;
  onProblem: (message: string) => void;
}

/** Blocks that were found sound are not looked at again for so long. */
const SOUND_MS = 10 * 60_000;
const RETRY_MS = 1000;
const RETRY_MS_MAX = 60_000;

export class BucketQuarantine {
  readonly #bucket: Bucket;
  readonly #list: BucketList;
  readonly #options: BucketQuarantineOptions;
  /** When a block was last looked at. */
  readonly #inspected = new Map<string, number>();
  #last: Promise<void> = Promise.resolve();

  constructor(bucket: Bucket, list: BucketList, options: BucketQuarantineOptions) {
    this.#bucket = bucket;
    this.#list = list;
    this.#options = options;
  }

  /** Somebody could not read this block. */
  suspect(tenant: string, block: string): void {
    const nowMs = performance.now();
    for (const [id, ms] of this.#inspected) if (nowMs - ms >= SOUND_MS) this.#inspected.delete(id);
    if (this.#inspected.has(block) || !this.#list.tenants.get(tenant)?.live.has(block)) return;
    this.#inspected.set(block, nowMs);
    this.#last = this.#last.then(() => this.#inspect(tenant, block));
  }

  async #inspect(tenant: string, block: string): Promise<void> {
    const { signal, onSound, onProblem } = this.#options;
    const meta = this.#list.tenants.get(tenant)?.live.get(block);
    if (meta === undefined || signal.aborted) return;
    try {
      const problems = await verifyInBucket(this.#bucket, meta, setImmediate);
      if (problems.length === 0) return onSound(tenant, block);
      this.#list.condemn(tenant, block);
      // Others are looked at meanwhile.
      void this.#quarantine(tenant, meta, problems);
    } catch (error) {
      // It is looked at again when it is met again.
      this.#inspected.delete(block);
      if (!signal.aborted) onProblem(`cannot inspect block ${block} of tenant ${tenant}: ${messageOf(error)}`);
    }
  }

  /** Tries until it is done, or the block has gone. Never rejects. */
  async #quarantine(tenant: string, meta: BlockMeta, problems: string[]): Promise<void> {
    const { signal, onProblem, onQuarantined } = this.#options;
    for (let pauseMs = RETRY_MS; !signal.aborted; pauseMs = Math.min(RETRY_MS_MAX, 2 * pauseMs)) {
      try {
        const isDone = await this.#attempt(tenant, meta);
        if (isDone) return onQuarantined(tenant, meta.blockID, problems);
      } catch (error) {
        if (!signal.aborted)
          onProblem(`cannot put block ${meta.blockID} of tenant ${tenant} into quarantine: ${messageOf(error)}`);
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  /** false: somebody else has the lease. */
  async #attempt(tenant: string, meta: BlockMeta): Promise<boolean> {
    const { leases, signal } = this.#options;
    const isDone = await underLease(leases, tenant, signal, async (lease, either) => {
      await finishPlan(this.#bucket, this.#list, lease, tenant, either);
      await quarantineInBucket(this.#bucket, lease, meta, either);
      await this.#list.refresh(tenant, either);
      return true;
    });
    return isDone === true;
  }
}
