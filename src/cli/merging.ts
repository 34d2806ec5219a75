/**
 * Merges and rewrites blocks where they are stored, as a server would: in a folder under its lock, in a bucket under the
 * tenant's lease, so that a running server and this program never work on the same blocks.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { BlockRef, LocalBlockRef } from '../block/catalog.ts';
import { COMPACTED_META_FILE, META_FILE, objectKey } from '../block/objects.ts';
import { bucketBlocks, folderBlocks } from '../block/stored-blocks.ts';
import { type BucketLease, Leases } from '../compact/bucket-lease.ts';
import { fetchBlock, finishPlan, putMerged } from '../compact/bucket-merge.ts';
import { FolderLock, LOCK_FILE } from '../compact/folder-lock.ts';
import { mergeBlocks, NothingStays, retireBlocks } from '../compact/merge-blocks.ts';
import type { Drops } from '../compact/row-group-plan.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { DataFolder } from './data-folder.ts';

export interface Rewritten {
  traces: number;
  spans: number;
  bytes: number;
  dropped: number;
}

export interface Merging {
  /** Makes one block of these, without the traces that are to be dropped; undefined: nothing of them stays. Rejects with TooLarge. */
  merge(refs: readonly BlockRef[], drops?: Drops): Promise<Rewritten | undefined>;
  end(): Promise<void>;
}

const LEASE_MS = 60_000;
/** A server that merges has the lock for some seconds at a time. */
const LOCK_TRIES = 60;
const LOCK_WAIT_MS = 1000;
/** Row groups as large as a server's rewriting makes them. */
export const BOUNDS = { columnsMax: Number.POSITIVE_INFINITY, rowsMax: 65_536, bytesMax: 16 << 20 };

export interface MergingOptions {
  createdBy: string;
  /** Listings of a bucket that began so long ago may not have come to an end: until then a new block stands beside the old ones. */
  settleMs: number;
}

export function beginMerging(folder: DataFolder, tenant: string, options: MergingOptions): Promise<Merging> {
  return folder.bucket === undefined ? inFolder(folder.name, options) : inBucket(folder, tenant, options);
}

export function settleOption(command: Command): Command {
  return command.option('--settle <duration>', 'in a bucket: how long a listing of others may take', '1m');
}

async function inFolder(root: string, { createdBy }: MergingOptions): Promise<Merging> {
  const lock = await patiently(() => FolderLock.take(path.join(root, LOCK_FILE), LEASE_MS), root);
  return {
    async merge(refs, drops) {
      const options = { ...optionsOf(refs, createdBy, drops), blocksDirectory: root, checkLock: () => lock.check() };
      try {
        const { traces, spans, bytes, dropped } = await mergeBlocks(refs as LocalBlockRef[], options);
        return { traces, spans, bytes, dropped };
      } catch (error) {
        if (!(error instanceof NothingStays)) throw error;
        await retireBlocks(refs as LocalBlockRef[], options);
        // Servers look into a folder only when it comes or goes.
        for (const { tenant, id } of refs) await folderBlocks(root).remove(tenant, id);
        return undefined;
      }
    },
    end: () => lock.release(),
  };
}

async function inBucket(
  { bucket: stored, name }: DataFolder,
  tenant: string,
  { createdBy, settleMs }: MergingOptions,
): Promise<Merging> {
  const { bucket, list } = stored!;
  const leases = new Leases(bucket, { owner: randomUUID(), leaseMs: LEASE_MS, nowMs: () => performance.now() });
  const lease: BucketLease = await patiently(() => leases.take(tenant), `${name}, tenant ${tenant}`);
  await finishPlan(bucket, list, lease, tenant, lease.lost);
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-cli-'));
  const blocks = bucketBlocks(bucket);
  /** What a block replaces is hidden by its meta: it has to go before that block can be replaced itself. */
  const settle = async ({ id, meta }: BlockRef): Promise<void> => {
    const { replaces = [] } = meta.vivace;
    if (replaces.length === 0) return;
    for await (const { key, modifiedMs } of bucket.list(objectKey(tenant, id, META_FILE)))
      if (key.endsWith(META_FILE)) await sleep(Math.max(0, modifiedMs + settleMs - Date.now()));
    lease.check();
    for (const each of replaces) await blocks.rename(tenant, each, META_FILE, COMPACTED_META_FILE);
  };
  return {
    async merge(refs, drops) {
      for (const ref of refs) await settle(ref);
      try {
        const fetched: LocalBlockRef[] = [];
        for (const ref of refs) fetched.push(await fetchBlock(bucket, ref, { scratch, local: scratch }, lease.lost));
        const options = {
          ...optionsOf(refs, createdBy, drops),
          blocksDirectory: scratch,
          checkLock: async () => lease.check(),
        };
        const { block, traces, spans, bytes, dropped } = await mergeBlocks(fetched, options);
        await putMerged(bucket, list, lease, block, { signal: lease.lost });
        return { traces, spans, bytes, dropped };
      } catch (error) {
        if (!(error instanceof NothingStays)) throw error;
        lease.check();
        for (const { id } of refs) await blocks.rename(tenant, id, META_FILE, COMPACTED_META_FILE);
        return undefined;
      } finally {
        for (const name of fs.readdirSync(scratch)) fs.rmSync(path.join(scratch, name), { recursive: true });
      }
    },
    async end() {
      fs.rmSync(scratch, { recursive: true, force: true });
      if (!lease.lost.aborted) await lease.release(AbortSignal.timeout(10_000));
    },
  };
}

function optionsOf(refs: readonly BlockRef[], createdBy: string, drops: Drops | undefined) {
  return {
    pageRows: refs[0].meta.vivace.pageRows,
    createdBy,
    fsync: 'always' as const,
    nowMs: Date.now(),
    bounds: BOUNDS,
    ...(drops && { drops }),
    pause: () => setImmediate(),
  };
}

async function patiently<Lock>(take: () => Promise<Lock | undefined>, what: string): Promise<Lock> {
  for (let attempt = 0; attempt < LOCK_TRIES; attempt++) {
    const lock = await take();
    if (lock !== undefined) return lock;
    await sleep(LOCK_WAIT_MS);
  }
  throw new VivaceError('unavailable', `cannot merge blocks of ${what}: a server has been merging there for a minute`);
}
