/**
 * Retention in a bucket: the same two steps as in a folder. A step that was interrupted, or that two processes do at once,
 * ends in the same state when it is done again. Blocks in formats that are not ours are left to their owner.
 */
import type { BucketList } from '../block/bucket-list.ts';
import { type BlockMeta, parseMeta } from '../block/meta.ts';
import {
  COMPACTED_META_FILE,
  DAMAGED_META_FILE,
  DATA_FILE,
  META_FILE,
  objectKey,
  TRACES_FILE,
  META_BYTES_MAX,
} from '../block/objects.ts';
import { messageOf } from '../runtime/errors.ts';
import { eachOf } from '../runtime/each-of.ts';
import { type Bucket, isNotFound } from '../store/bucket.ts';
import { isExpired, nothingDone, type RetentionDone, type ByTenant, ofTenant } from './retention.ts';

export interface BucketRetentionOptions {
  retentions: ByTenant;
  compactedMs: number;
  /** Blocks worked on at a time. */
  concurrency: number;
  nowMs: number;
  signal?: AbortSignal;
  /** Tests end the process there. */
  reached?: (point: 'copied' | 'marked' | 'cleared') => void;
  forgetParts: ForgetParts;
}

/** Deletes what caches that processes share keep of a block's files; rejects when there may be some left. */
export type ForgetParts = (objects: { key: string; size: number }[]) => Promise<void>;

/** A cache that could not be asked for so long has lost what it had, or is not wanted any more. */
const CACHE_WAIT_MS = 24 * 3_600_000;

/** One pass over what the list knows. Never rejects: what failed is in the answer and tried again by the next pass. */
export async function retainBucket(
  bucket: Bucket,
  list: BucketList,
  options: BucketRetentionOptions,
): Promise<RetentionDone> {
  const { signal, nowMs } = options;
  const done = nothingDone();
  const began = performance.now();
  const { forgetParts, cacheFailure } = untilFailure(options.forgetParts);
  const work: (() => Promise<void>)[] = [];
  const attempt = (what: string, step: () => Promise<void>): void => {
    work.push(async () => {
      if (signal?.aborted) return;
      await step().catch((error: unknown) => {
        if (error !== cacheFailure()) done.errors.push(`cannot ${what}: ${messageOf(error)}`);
      });
    });
  };
  for (const [tenant, { live, replaced, compacted, damaged }] of list.tenants) {
    const retentionMs = ofTenant(options.retentions, tenant);
    // Those that are replaced first, as they must not come back when what replaces them has gone.
    for (const id of [...replaced.keys(), ...live.keys()]) {
      if (!isExpired((replaced.get(id) ?? live.get(id))!, nowMs, retentionMs)) continue;
      attempt(`mark block ${id} of tenant ${tenant} as too old`, async () => {
        await markInBucket(bucket, tenant, id, options);
        list.markCompacted(tenant, id, nowMs);
        done.marked++;
      });
    }
    // What its meta says of its age may be wrong; how long it has been damaged says enough.
    for (const [id, { ms }] of damaged)
      if (ms < nowMs - retentionMs)
        attempt(`remove the damaged block ${id} of tenant ${tenant}`, async () => {
          const files: { key: string; size: number }[] = [];
          for await (const { key, bytes } of bucket.list(objectKey(tenant, id, ''), { signal }))
            files.push({ key, size: bytes });
          await forgetParts(files);
          for (const name of [DATA_FILE, TRACES_FILE, META_FILE, DAMAGED_META_FILE])
            await bucket.delete(objectKey(tenant, id, name), { signal });
          list.forgetDamaged(tenant, id);
          done.deleted++;
        });
    for (const [id, { meta, ms }] of compacted)
      if (ms < nowMs - options.compactedMs)
        attempt(`remove block ${id} of tenant ${tenant}`, async () => {
          const own = meta ?? (await readCompacted(bucket, tenant, id, signal));
          if (own === undefined) return;
          const isWaitedFor = nowMs - ms < options.compactedMs + CACHE_WAIT_MS;
          const forget = isWaitedFor ? forgetParts : async () => {};
          await clearInBucket(bucket, list, tenant, id, own, { ...options, forgetParts: forget });
          done.deleted++;
        });
  }
  await eachOf(work, Math.max(1, options.concurrency), (step) => step());
  if (cacheFailure() !== undefined)
    done.errors.push(`cannot remove parts of blocks that have gone from caches: ${messageOf(cacheFailure())}`);
  done.seconds = (performance.now() - began) / 1000;
  return done;
}

/** Of a cache that fails it is said once a pass, and it is not asked for every block. */
function untilFailure(forget: ForgetParts): { forgetParts: ForgetParts; cacheFailure: () => unknown } {
  let failure: unknown;
  return {
    cacheFailure: () => failure,
    async forgetParts(objects) {
      if (failure === undefined)
        await forget(objects).catch((error: unknown) => {
          failure ??= error;
        });
      if (failure !== undefined) throw failure;
    },
  };
}

/**
 * Removes what is left of a block that is in no list, also from caches. Its meta goes last: as long as that is there, it can be done
 * again. `meta`: 'gone' when somebody else has removed even that.
 */
export async function clearInBucket(
  bucket: Bucket,
  list: BucketList,
  tenant: string,
  id: string,
  meta: BlockMeta | 'gone',
  { signal, reached, forgetParts }: Pick<BucketRetentionOptions, 'signal' | 'reached' | 'forgetParts'>,
): Promise<void> {
  for (const name of [DATA_FILE, TRACES_FILE, META_FILE]) await bucket.delete(objectKey(tenant, id, name), { signal });
  reached?.('cleared');
  if (meta !== 'gone')
    await forgetParts([
      { key: objectKey(tenant, id, DATA_FILE), size: meta.size },
      { key: objectKey(tenant, id, TRACES_FILE), size: meta.vivace.tracesBytes },
    ]);
  await bucket.delete(objectKey(tenant, id, COMPACTED_META_FILE), { signal });
  list.forgetCompacted(tenant, id);
}

/** Takes a block out of every list that is made from now on. While both metas are there, it counts as merged. */
export async function markInBucket(
  bucket: Bucket,
  tenant: string,
  id: string,
  { signal, reached }: Pick<BucketRetentionOptions, 'signal' | 'reached'>,
): Promise<void> {
  const key = objectKey(tenant, id, META_FILE);
  try {
    const { bytes } = await bucket.get(key, { bytesMax: META_BYTES_MAX, signal });
    await bucket.put(objectKey(tenant, id, COMPACTED_META_FILE), bytes, { signal });
    reached?.('copied');
    await bucket.delete(key, { signal });
    reached?.('marked');
  } catch (error) {
    // Somebody else has done so.
    if (!isNotFound(error)) throw error;
  }
}

/** The meta of a block that is in no list any more; undefined: it is not one of ours. */
export async function readCompacted(
  bucket: Bucket,
  tenant: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<BlockMeta | 'gone' | undefined> {
  try {
    const key = objectKey(tenant, id, COMPACTED_META_FILE);
    const { bytes } = await bucket.get(key, { bytesMax: META_BYTES_MAX, signal });
    return parseMeta(Buffer.from(bytes).toString());
  } catch (error) {
    if (isNotFound(error)) return 'gone';
    throw error;
  }
}
