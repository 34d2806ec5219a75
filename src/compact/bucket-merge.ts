/**
 * How a block that was merged on this machine takes the place of others in a bucket, under the tenant's lease:
 *
 * ```
 *  lease: writing <id> ─▶ data.parquet, traces ─▶ old metas still there? ─▶ lease: commit <meta> ─▶ meta.json ─▶ listed
 *        │ interrupted: whoever has the lease next deletes what there is        │ … next writes this meta.json
 *                                             markAfterMs later: old meta.json ─▶ meta.compacted.json
 * ```
 * The commit decides, and only the owner of the lease can write it; everything after it can be done again by anybody.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { BucketList } from '../block/bucket-list.ts';
import type { BlockRef, LocalBlockRef } from '../block/catalog.ts';
import { type BlockMeta, metaUnder } from '../block/meta.ts';
import {
  COMPACTED_META_FILE,
  DATA_FILE,
  LEASE_FILE,
  META_FILE,
  objectKey,
  TRACES_FILE,
  META_BYTES_MAX,
} from '../block/objects.ts';
import { uploadFiles } from '../block/upload.ts';
import type { Bucket } from '../store/bucket.ts';
import type { BucketLease } from './bucket-lease.ts';

export const BUCKET_MERGE_POINTS = ['fetched', 'writing', 'uploaded', 'committed', 'listed'] as const;
export type BucketMergePoint = (typeof BUCKET_MERGE_POINTS)[number];

export interface BucketMergeOptions {
  signal?: AbortSignal;
  /** Tests end the process there. */
  reached?: (point: BucketMergePoint) => void;
}

const PIECE_BYTES = 4 * 1024 * 1024;

/** Puts a block's files into `<scratch>/<tenant>/<id>`: those of `local`, if it has them, else from the bucket. */
export async function fetchBlock(
  bucket: Bucket,
  ref: BlockRef,
  folders: { scratch: string; local: string },
  signal?: AbortSignal,
): Promise<LocalBlockRef> {
  const { tenant, id, meta } = ref;
  const directory = path.join(folders.scratch, tenant, id);
  await fs.promises.mkdir(directory, { recursive: true, mode: 0o700 });
  const files: [name: string, bytes: number][] = [
    [DATA_FILE, meta.size],
    [TRACES_FILE, meta.vivace.tracesBytes],
  ];
  for (const [name, bytes] of files) {
    const file = path.join(directory, name);
    try {
      await fs.promises.link(path.join(folders.local, tenant, id, name), file);
    } catch {
      await download(bucket, objectKey(tenant, id, name), bytes, file, signal);
    }
  }
  await fs.promises.writeFile(path.join(directory, META_FILE), JSON.stringify(meta));
  return { ...ref, directory };
}

/** Puts a merged block of this machine into the bucket and into the list, in place of those it replaces; says its meta. */
export async function putMerged(
  bucket: Bucket,
  list: BucketList,
  lease: BucketLease,
  merged: LocalBlockRef,
  { signal, reached }: BucketMergeOptions,
): Promise<BlockMeta> {
  const { tenant } = merged;
  // A name of its own: of two attempts the slower one must not write into what the other one has made.
  const meta = metaUnder(randomUUID(), merged.meta);
  const replaced = meta.vivace.replaces ?? [];
  await lease.write({ writing: meta.blockID, commit: undefined }, signal);
  reached?.('writing');
  let isDeciding = false;
  try {
    await uploadFiles(bucket, merged, meta.blockID, { signal, again: false });
    reached?.('uploaded');
    for (const id of replaced) await assertThere(bucket, tenant, id, signal);
    lease.check();
    isDeciding = true;
    await lease.write({ writing: undefined, commit: meta }, signal);
  } catch (error) {
    // A commit without an answer may still arrive, unless somebody else has the lease; the next owner will see.
    const isUndone = !isDeciding || (lease.lost.aborted && (await isUnseen(bucket, meta, signal).catch(() => false)));
    if (isUndone) await removeFiles(bucket, tenant, meta.blockID, signal).catch(() => {});
    throw error;
  }
  reached?.('committed');
  await publish(bucket, list, tenant, meta, signal);
  reached?.('listed');
  return meta;
}

/** Ends what the owner of the lease before this one has begun. */
export async function finishPlan(
  bucket: Bucket,
  list: BucketList,
  lease: BucketLease,
  tenant: string,
  signal?: AbortSignal,
): Promise<void> {
  const { writing, commit } = lease.plan;
  if (commit !== undefined && !(await isListedOrGone(bucket, tenant, commit.blockID, signal)))
    await publish(bucket, list, tenant, commit, signal);
  if (writing !== undefined) await removeFiles(bucket, tenant, writing, signal);
  if (commit !== undefined || writing !== undefined)
    await lease.write({ writing: undefined, commit: undefined }, signal);
}

async function publish(
  bucket: Bucket,
  list: BucketList,
  tenant: string,
  meta: BlockMeta,
  signal: AbortSignal | undefined,
): Promise<void> {
  await bucket.put(objectKey(tenant, meta.blockID, META_FILE), Buffer.from(JSON.stringify(meta)), { signal });
  list.add(tenant, meta);
}

/** A block that has gone meanwhile, because it was too old or deleted, must not come back. */
async function assertThere(bucket: Bucket, tenant: string, id: string, signal: AbortSignal | undefined): Promise<void> {
  await bucket.get(objectKey(tenant, id, META_FILE), { bytesMax: META_BYTES_MAX, signal });
}

async function isListedOrGone(
  bucket: Bucket,
  tenant: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const names = new Set<string>();
  for await (const { key } of bucket.list(objectKey(tenant, id, ''), { signal })) names.add(path.posix.basename(key));
  return names.has(META_FILE) || names.has(COMPACTED_META_FILE) || !names.has(DATA_FILE);
}

/** Whether the commit of a block is neither in the lease's object nor followed by the block's meta. */
async function isUnseen(
  bucket: Bucket,
  { tenantID, blockID }: BlockMeta,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { bytes } = await bucket.get(`${tenantID}/${LEASE_FILE}`, { bytesMax: META_BYTES_MAX, signal });
  if (Buffer.from(bytes).includes(blockID)) return false;
  const metas = bucket.list(objectKey(tenantID, blockID, 'meta'), { signal });
  for await (const { key } of metas) if (key !== '') return false;
  return true;
}

async function removeFiles(bucket: Bucket, tenant: string, id: string, signal: AbortSignal | undefined): Promise<void> {
  for (const name of [DATA_FILE, TRACES_FILE]) await bucket.delete(objectKey(tenant, id, name), { signal });
}

async function download(
  bucket: Bucket,
  key: string,
  bytes: number,
  file: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const handle = await fs.promises.open(file, 'w', 0o600);
  try {
    for (let at = 0; at < bytes; at += PIECE_BYTES) {
      const piece = await bucket.range(key, at, Math.min(PIECE_BYTES, bytes - at), { signal });
      for (let done = 0; done < piece.length; )
        done += (await handle.write(piece, done, piece.length - done, at + done)).bytesWritten;
    }
  } finally {
    await handle.close();
  }
}
