/**
 * Retention in a bucket: the same two steps as in a folder. A step that was interrupted, or that two processes do at once,
 * ends in the same state when it is done again. Blocks in formats that are not ours are left to their owner.
 */
import type { BucketList } from '../block/bucket-list.ts';
import { parseMeta } from '../block/meta.ts';
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
}

/** One pass over what the list knows. Never rejects: what failed is in the answer and tried again by the next pass. */
export async function retainBucket(
  bucket: Bucket,
  list: BucketList,
  options: BucketRetentionOptions,
): Promise<RetentionDone> {
  const { signal, nowMs } = options;
  const done = nothingDone();
  const began = performance.now();
  const work: (() => Promise<void>)[] = [];
  const attempt = (what: string, step: () => Promise<void>): void => {
    work.push(async () => {
      if (signal?.aborted) return;
      await step().catch((error: unknown) => done.errors.push(`cannot ${what}: ${messageOf(error)}`));
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
          for (const name of [DATA_FILE, TRACES_FILE, META_FILE, DAMAGED_META_FILE])
            await bucket.delete(objectKey(tenant, id, name), { signal });
          list.forgetDamaged(tenant, id);
          done.deleted++;
        });
    for (const [id, { meta, ms }] of compacted)
      if (ms < nowMs - options.compactedMs)
        attempt(`remove block ${id} of tenant ${tenant}`, async () => {
          const key = objectKey(tenant, id, COMPACTED_META_FILE);
          if (meta === undefined && !(await isOurs(bucket, key, signal))) return;
          await clearInBucket(bucket, list, tenant, id, options);
          done.deleted++;
        });
  }
  await eachOf(work, Math.max(1, options.concurrency), (step) => step());
  done.seconds = (performance.now() - began) / 1000;
  return done;
}

/** Removes what is left of a block that is in no list. Its meta goes last: as long as that is there, it can be done again. */
export async function clearInBucket(
  bucket: Bucket,
  list: BucketList,
  tenant: string,
  id: string,
  { signal, reached }: Pick<BucketRetentionOptions, 'signal' | 'reached'>,
): Promise<void> {
  for (const name of [DATA_FILE, TRACES_FILE, META_FILE]) await bucket.delete(objectKey(tenant, id, name), { signal });
  reached?.('cleared');
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

async function isOurs(bucket: Bucket, key: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const { bytes } = await bucket.get(key, { bytesMax: META_BYTES_MAX, signal });
    return parseMeta(Buffer.from(bytes).toString()) !== undefined;
  } catch (error) {
    if (isNotFound(error)) return true;
    throw error;
  }
}
