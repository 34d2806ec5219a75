/**
 * What everybody does who writes blocks of a bucket again, under the tenant's lease: fetches them into a scratch folder, has a
 * thread make one of several (or of one, without some traces), and puts that in their place.
 *
 * Blocks that were replaced are marked later, when no listing that is under way can miss what replaces them; and what has
 * replaced others is left alone until everybody has listed it, so that nobody who has seen its predecessors misses what became
 * of them.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { BucketList, TenantState } from '../block/bucket-list.ts';
import { type BlockRef, type LocalBlockRef, readBlockRef } from '../block/catalog.ts';
import type { BlockMeta } from '../block/meta.ts';
import type { BucketLease } from '../compact/bucket-lease.ts';
import { type BucketMergePoint, fetchBlock, putMerged } from '../compact/bucket-merge.ts';
import { markInBucket } from '../compact/bucket-retention.ts';
import type { Bucket } from '../store/bucket.ts';
import type { Compactor } from './compactor.ts';
import type { CompactorWork, FromCompactor, MergedBlock } from './compactor-thread.ts';

export interface BucketWork {
  bucket: Bucket;
  list: BucketList;
  compactor: Compactor;
  /** What blocks are written with. */
  work: Pick<CompactorWork, 'pageRows' | 'createdBy' | 'questions'>;
  /** Holds the scratch folders. */
  walDirectory: string;
  /** Blocks of this machine, which need not be fetched. */
  blocksDirectory: string;
  pollMs: number;
}

export interface RewriteOptions {
  lease: BucketLease;
  signal: AbortSignal;
  rowGroups: CompactorWork['rowGroups'];
  /** Traces of the tenant that are left out. */
  deleted: readonly string[];
  reached: (point: BucketMergePoint) => void;
  /** What was made of them is in the bucket. */
  onMerged: (merged: MergedBlock, meta: BlockMeta) => void;
  onLeft: (left: Extract<FromCompactor, { type: 'left' }>) => void;
  /** No trace of these blocks is to stay. They do. */
  onEmptied?: (ids: string[]) => void;
}

const FETCHES_AT_ONCE = 4;
/** Nothing is fetched onto a disk that would have less than this left. */
const SPACE_BYTES_MIN = 64 * 1024 * 1024;
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

/** After so long everybody has listed what is there now. */
export function settledMs(pollMs: number): number {
  return SETTLED_POLLS * pollMs;
}

/** Replaces each group of blocks of one tenant by one block. Rejects with the first failure; what was put by then stays. */
export async function rewriteInBucket(
  { bucket, list, compactor, work, walDirectory, blocksDirectory }: BucketWork,
  groups: BlockRef[][],
  options: RewriteOptions,
): Promise<void> {
  const { signal, lease, reached } = options;
  await checkSpace(walDirectory, groups);
  const scratch = fs.mkdtempSync(path.join(walDirectory, SCRATCH));
  try {
    const fetched: LocalBlockRef[][] = [];
    for (const refs of groups) {
      const own: LocalBlockRef[] = [];
      for (let from = 0; from < refs.length; from += FETCHES_AT_ONCE)
        own.push(
          ...(await Promise.all(
            refs
              .slice(from, from + FETCHES_AT_ONCE)
              .map((ref) => fetchBlock(bucket, ref, { scratch, local: blocksDirectory }, signal)),
          )),
        );
      fetched.push(own);
    }
    reached('fetched');
    const { tenant } = groups[0][0];
    const { rowGroups, deleted } = options;
    const own = { merges: fetched, rowGroups, blocksDirectory: scratch, fsync: 'never' } as const;
    const all = { ...work, ...own, deleted: new Map([[tenant, deleted]]) };
    await inThread(compactor, all, options, async (merged) => {
      const directory = path.join(scratch, tenant, merged.id);
      const ref = readBlockRef(directory, tenant);
      if (typeof ref !== 'object') throw new Error(`there is no merged block in ${directory}`);
      options.onMerged(merged, await putMerged(bucket, list, lease, ref, { signal, reached }));
      fs.rmSync(directory, { recursive: true, force: true });
    });
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** Has a thread merge the blocks of a scratch folder; rejects with the first failure. */
async function inThread(
  compactor: Compactor,
  work: CompactorWork,
  { signal, onLeft, onEmptied }: RewriteOptions,
  onMerged: (merged: MergedBlock) => Promise<void>,
): Promise<void> {
  const stop = (): void => void compactor.stop();
  signal.addEventListener('abort', stop);
  let failure: unknown;
  let last: Promise<void> = Promise.resolve();
  const note = (message: FromCompactor): void => {
    if (message.type === 'left') onLeft(message);
    if (message.type === 'emptied') onEmptied?.(message.ids);
    if (message.type !== 'merged') return;
    last = last
      .then(() => onMerged(message.merged))
      .catch((error: unknown) => {
        failure ??= error;
        stop();
      });
  };
  try {
    await compactor.run(work, note);
  } catch (error) {
    failure ??= error;
  }
  await last;
  signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  if (failure !== undefined) throw failure;
}

/** When a process saw blocks first that have replaced others. */
export class ReplacingBlocks {
  readonly #list: BucketList;
  readonly #pollMs: number;
  readonly #seen = new Map<string, number>();

  constructor(list: BucketList, pollMs: number) {
    this.#list = list;
    this.#pollMs = pollMs;
  }

  /** Notes which there are, and forgets what there is no more. */
  look(): void {
    const nowMs = performance.now();
    const listed = new Set<string>();
    for (const { live } of this.#list.tenants.values())
      for (const [id, { vivace }] of live) {
        if (vivace.replaces === undefined) continue;
        listed.add(id);
        if (!this.#seen.has(id)) this.#seen.set(id, nowMs);
      }
    for (const id of this.#seen.keys()) if (!listed.has(id)) this.#seen.delete(id);
  }

  /** Whether the block may be replaced: everybody has listed it, and what it replaces is marked (it is hidden by its meta). */
  isSettled({ blockID, vivace }: BlockMeta, { replaced }: TenantState): boolean {
    const seenMs = this.#seen.get(blockID);
    if (vivace.replaces === undefined) return true;
    return (
      seenMs !== undefined &&
      performance.now() - seenMs >= settledMs(this.#pollMs) &&
      !vivace.replaces.some((id) => replaced.has(id))
    );
  }

  /** Takes the tenant's blocks whose spans are in others out of lists for good. */
  async markReplaced(bucket: Bucket, tenant: string, signal: AbortSignal, reached: () => void): Promise<void> {
    const { live, replaced } = this.#list.tenants.get(tenant)!;
    if (replaced.size === 0) return;
    for (const [id, { vivace }] of live) {
      const seenMs = this.#seen.get(id);
      if (seenMs === undefined || performance.now() - seenMs < markAfterMs(this.#pollMs)) continue;
      for (const old of vivace.replaces ?? []) {
        if (!replaced.has(old)) continue;
        await markInBucket(bucket, tenant, old, { signal });
        this.#list.markCompacted(tenant, old, Date.now());
        reached();
      }
    }
  }
}

async function checkSpace(directory: string, groups: BlockRef[][]): Promise<void> {
  const { bavail, bsize } = await fs.promises.statfs(directory);
  const wanted = SPACE_BYTES_MIN + 2 * bytesOf(groups.flat());
  if (bavail * bsize < wanted) throw new Error(`the disk of ${directory} has less than ${wanted} bytes left`);
}

export function bytesOf(refs: BlockRef[]): number {
  return refs.reduce((sum, { meta }) => sum + meta.size + meta.vivace.tracesBytes, 0);
}

/** Removes what processes have left that were killed. */
export function removeOldScratch(walDirectory: string): void {
  for (const name of fs.readdirSync(walDirectory)) {
    if (!name.startsWith(SCRATCH)) continue;
    const folder = path.join(walDirectory, name);
    const { mtimeMs } = fs.statSync(folder, { throwIfNoEntry: false }) ?? { mtimeMs: Number.POSITIVE_INFINITY };
    if (Date.now() - mtimeMs > SCRATCH_MS_MAX) fs.rmSync(folder, { recursive: true, force: true });
  }
}
