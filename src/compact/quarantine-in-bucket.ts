/**
 * Takes a damaged block of a bucket out of every list, under the tenant's lease: `meta.json` becomes `meta.damaged.json`. Where it
 * had taken the place of others which are still there, those come back: at first, while its meta still hides them, so that an
 * end in between leaves what can be done again.
 */
import type { BlockMeta } from '../block/meta.ts';
import {
  COMPACTED_META_FILE,
  DAMAGED_META_FILE,
  DATA_FILE,
  META_FILE,
  objectKey,
  TRACES_FILE,
  META_BYTES_MAX,
} from '../block/objects.ts';
import { bucketFiles } from '../block/stored-blocks.ts';
import { verifyBlock } from '../block/verify.ts';
import { type Bucket, isNotFound } from '../store/bucket.ts';
import type { BucketLease } from './bucket-lease.ts';

/** What is wrong with a block, as the bucket has it. Rejects when the bucket does not give it. */
export async function verifyInBucket(
  bucket: Bucket,
  { tenantID, blockID, ...meta }: BlockMeta,
  pause: () => Promise<void>,
): Promise<string[]> {
  const files = bucketFiles(bucket, tenantID, blockID);
  let failure: unknown;
  const problems = await verifyBlock(
    { tenantID, blockID, ...meta },
    {
      ...files,
      // What cannot be had is not damaged.
      read: (name, offset, length) =>
        files.read(name, offset, length).catch((error: unknown) => {
          failure ??= error;
          throw error;
        }),
    },
    pause,
  );
  if (failure !== undefined) throw failure;
  return problems;
}

/** Whether the block was still there. */
export async function quarantineInBucket(
  bucket: Bucket,
  lease: BucketLease,
  { tenantID, blockID, vivace }: BlockMeta,
  signal: AbortSignal,
): Promise<boolean> {
  const bytes = await metaBytes(bucket, objectKey(tenantID, blockID, META_FILE), signal);
  if (bytes === undefined) return false;
  for (const id of vivace.replaces ?? []) await restore(bucket, tenantID, id, signal);
  lease.check();
  await bucket.put(objectKey(tenantID, blockID, DAMAGED_META_FILE), bytes, { signal });
  await bucket.delete(objectKey(tenantID, blockID, META_FILE), { signal });
  return true;
}

/** A block that was replaced is one again, if its files are there. */
async function restore(bucket: Bucket, tenant: string, id: string, signal: AbortSignal): Promise<void> {
  const folder = objectKey(tenant, id, '');
  const names = new Set<string>();
  for await (const { key } of bucket.list(folder, { signal })) names.add(key.slice(folder.length));
  if (![DATA_FILE, TRACES_FILE, COMPACTED_META_FILE].every((name) => names.has(name))) return;
  const bytes = await metaBytes(bucket, objectKey(tenant, id, COMPACTED_META_FILE), signal);
  if (bytes === undefined) return;
  await bucket.put(objectKey(tenant, id, META_FILE), bytes, { signal });
  await bucket.delete(objectKey(tenant, id, COMPACTED_META_FILE), { signal });
}

async function metaBytes(bucket: Bucket, key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return (await bucket.get(key, { bytesMax: META_BYTES_MAX, signal })).bytes;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
