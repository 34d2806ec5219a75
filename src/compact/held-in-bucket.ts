/**
 * What in a bucket may hold traces of a tenant that are to be gone: which listed blocks have to be written again, and what is in
 * the way of saying that no byte is left. Files of blocks that are in no list any more go here, when nobody can have an old list.
 */
import type { BucketList } from '../block/bucket-list.ts';
import { type BlockRef, blockRef } from '../block/catalog.ts';
import type { BlockMeta } from '../block/meta.ts';
import { BLOCK_ID, COMPACTED_META_FILE, DAMAGED_META_FILE, META_FILE, objectKey } from '../block/objects.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import { fetchingSource } from '../block/source.ts';
import type { TraceIds } from '../block/trace-ids.ts';
import { LOG_FOLDER } from '../log/object-log.ts';
import { eachOf } from '../runtime/each-of.ts';
import { messageOf } from '../runtime/errors.ts';
import type { Bucket } from '../store/bucket.ts';
import { clearInBucket, type ForgetParts, readCompacted } from './bucket-retention.ts';
import { heldTraces } from './held-traces.ts';
import { MERGE_CACHE_BYTES } from './merge.ts';

export interface HeldOptions {
  /** Those of the blocks that may hold the trace. */
  holding: (blocks: string[], traceId: Uint8Array) => string[];
  /** What was there before this and is not finished may hold them. */
  deletedMs: number;
  /** After so long nobody has an old list, and everybody knows which traces are deleted. */
  settledMs: number;
  nowMs: number;
  signal: AbortSignal;
  forgetParts: ForgetParts;
}

export interface HeldInBucket {
  /** Listed blocks that hold one. */
  refs: BlockRef[];
  /** Why there may be some left besides. */
  left: string[];
  /** Blocks whose files went. */
  cleared: number;
}

/** Clocks of stores are a little coarse. */
const GRAIN_MS = 2000;
/** Folders of unfinished blocks that nothing was written to for so long have no owner who is just at it. */
const ABANDONED_MS = 10 * 60_000;
const READ_AT_ONCE = 8;

/** To be called under the tenant's lease, when its list is fresh. Never rejects for what is wrong with one block. */
export async function heldInBucket(
  bucket: Bucket,
  list: BucketList,
  tenant: string,
  ids: TraceIds,
  options: HeldOptions,
): Promise<HeldInBucket> {
  const { signal } = options;
  const found: HeldInBucket = { refs: [], left: [], cleared: 0 };
  const state = list.tenants.get(tenant);
  const listed = [...(state?.live.values() ?? []), ...(state?.replaced.values() ?? [])];
  const metas = new Map(listed.map((meta) => [meta.blockID, meta]));
  const known = [...metas.keys()];
  const candidates = new Set(ids.ids.flatMap((id) => options.holding(known, Buffer.from(id, 'hex'))));
  await eachOf([...candidates], READ_AT_ONCE, async (id) => {
    const ref = blockRef(metas.get(id)!, tenant, undefined);
    try {
      if (!(await holdsAny(bucket, ref, ids, signal))) return;
      if (state!.live.has(id)) found.refs.push(ref);
      else found.left.push(`block ${id} is replaced, and is still there for those who have an old list`);
    } catch (error) {
      signal.throwIfAborted();
      found.left.push(`block ${id} may hold it: ${messageOf(error)}`);
    }
  });
  for (const [id, files] of await unlisted(bucket, tenant, metas, signal))
    await look(bucket, list, tenant, id, files, ids, options, found);
  await lookAtLogs(bucket, options, found);
  return found;
}

/** Files of each block that is in no list, and when they were written. */
async function unlisted(
  bucket: Bucket,
  tenant: string,
  metas: ReadonlyMap<string, BlockMeta>,
  signal: AbortSignal,
): Promise<Map<string, Map<string, number>>> {
  const blocks = new Map<string, Map<string, number>>();
  for await (const { key, modifiedMs } of bucket.list(`${tenant}/`, { signal })) {
    const [id, name] = key.slice(tenant.length + 1).split('/');
    if (!BLOCK_ID.test(id) || metas.has(id)) continue;
    const files = blocks.get(id);
    if (files === undefined) blocks.set(id, new Map([[name, modifiedMs]]));
    else files.set(name, modifiedMs);
  }
  return blocks;
}

/** A block that is in no list. */
async function look(
  bucket: Bucket,
  list: BucketList,
  tenant: string,
  id: string,
  files: Map<string, number>,
  ids: TraceIds,
  { nowMs, settledMs, deletedMs, signal, forgetParts }: HeldOptions,
  found: HeldInBucket,
): Promise<void> {
  const compactedMs = files.get(COMPACTED_META_FILE);
  if (compactedMs !== undefined) {
    const meta = await readCompacted(bucket, tenant, id, signal);
    if (meta === 'gone') return;
    if (meta === undefined) {
      found.left.push(`block ${id} may hold it: its ${COMPACTED_META_FILE} is not that of a block of ours; remove it`);
      return;
    }
    // One that cannot be read goes, too: nobody reads it any more.
    if (!(await holdsAny(bucket, blockRef(meta, tenant, undefined), ids, signal).catch(() => !signal.aborted))) return;
    if (nowMs - compactedMs < settledMs) {
      found.left.push(`block ${id} is in no list any more, and is still there for those who have an old one`);
      return;
    }
    try {
      await clearInBucket(bucket, list, tenant, id, meta, { signal, forgetParts });
      found.cleared++;
    } catch (error) {
      signal.throwIfAborted();
      found.left.push(`block ${id} has gone, but perhaps not all of it: ${messageOf(error)}`);
    }
  } else if (files.has(DAMAGED_META_FILE))
    found.left.push(`block ${id} may hold it: it is damaged; repair or remove it`);
  else if (files.has(META_FILE)) {
    const why = list.tenants.get(tenant)?.foreign.has(id)
      ? 'it has a format that is not read; remove it'
      : 'its meta.json is damaged, or has just come';
    found.left.push(`block ${id} may hold it: ${why}`);
  } else {
    const lastMs = Math.max(...files.values());
    const isOld = lastMs <= deletedMs + GRAIN_MS || lastMs < nowMs - ABANDONED_MS;
    if (isOld) found.left.push(`block ${id} may hold it: it was never finished; vivace-cli fsck --repair removes it`);
  }
}

/** Logs of processes whose disk goes with them: what was taken before everybody knew. */
async function lookAtLogs(bucket: Bucket, options: HeldOptions, found: HeldInBucket): Promise<void> {
  const logs = new Set<string>();
  for await (const { key, modifiedMs } of bucket.list(`${LOG_FOLDER}/`, { signal: options.signal }))
    if (key.endsWith('.log') && modifiedMs <= options.deletedMs + options.settledMs) logs.add(key.split('/')[1]);
  for (const instance of logs) found.left.push(`log ${instance} in the bucket`);
}

async function holdsAny(bucket: Bucket, ref: BlockRef, ids: TraceIds, signal: AbortSignal): Promise<boolean> {
  const remote = (of: BlockRef) =>
    fetchingSource(of, (name, { offset, length }) =>
      bucket.range(objectKey(of.tenant, of.id, name), offset, length, { signal }),
    );
  const block = await OpenBlock.open(ref, { ...createBlockCaches(MERGE_CACHE_BYTES), remote });
  try {
    return (await heldTraces(block, ids)).length > 0;
  } finally {
    block.close();
  }
}
