/**
 * Retention in the local folder: takes blocks that are too old out of the list, removes their files later, and removes the
 * oldest blocks at once while the disk is fuller than it may be. Several processes may do this to one folder: whoever
 * comes second finds nothing to do.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { BlockCatalog } from '../block/catalog.ts';
import { BLOCK_ID, COMPACTED_META_FILE, DAMAGED_META_FILE, META_FILE } from '../block/objects.ts';
import { messageOf } from '../runtime/errors.ts';
import { markCompacted } from './mark.ts';
import { isExpired, nothingDone, type RetentionDone, type ByTenant, ofTenant } from './retention.ts';

export interface LocalRetentionOptions {
  retentions: ByTenant;
  /** How long the files of a block stay that is in no list any more. */
  compactedMs: number;
  /** The disk may be so full, in percent; 0: as full as it gets. */
  diskPercentMax: number;
  nowMs: number;
  /** Tests end the process there. */
  reached?: (point: 'marked' | 'removed') => void;
  /** Bytes of the disk and how many of them are taken. */
  disk?: (folder: string) => Promise<DiskUse>;
}

export interface DiskUse {
  bytes: number;
  usedBytes: number;
}

interface Leftover {
  tenant: string;
  id: string;
  sinceMs: number;
}

/** One pass over the catalog's folder. Never rejects: what failed is in the answer and tried again by the next pass. */
export async function retainFolder(catalog: BlockCatalog, options: LocalRetentionOptions): Promise<RetentionDone> {
  const done = nothingDone();
  const began = performance.now();
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      done.errors.push(`cannot ${what}: ${messageOf(error)}`);
    }
  };
  for (const tenant of catalog.tenants()) {
    const retentionMs = ofTenant(options.retentions, tenant);
    for (const block of catalog.blocks(tenant)) {
      if (block.directory === undefined || !isExpired(block.meta, options.nowMs, retentionMs)) continue;
      await attempt(`mark block ${block.id} of tenant ${tenant} as too old`, async () => {
        await markCompacted(block.directory!, options.nowMs);
        catalog.remove(tenant, block.id);
        options.reached?.('marked');
        done.marked++;
      });
    }
  }
  const damaged: Leftover[] = [];
  for (const tenant of catalog.tenants())
    for (const { id } of catalog.damaged(tenant)) {
      const sinceMs = await damagedMs(path.join(catalog.root, tenant, id));
      if (sinceMs !== undefined) damaged.push({ tenant, id, sinceMs });
    }
  const remove = async (tenant: string, id: string): Promise<void> =>
    attempt(`remove block ${id} of tenant ${tenant}`, async () => {
      const folder = path.join(catalog.root, tenant);
      const gone = path.join(folder, `.${id}.gone`);
      // As a whole for whoever looks; those who have its files open keep them until they close them.
      await fs.promises.rename(path.join(folder, id), gone).catch(unlessMissing);
      options.reached?.('removed');
      await fs.promises.rm(gone, { recursive: true, force: true });
      done.deleted++;
    });
  const left: Leftover[] = [];
  await attempt('look for blocks that are in no list', async () => {
    for (const leftover of await leftovers(catalog))
      if (leftover.sinceMs < options.nowMs - options.compactedMs) await remove(leftover.tenant, leftover.id);
      else left.push(leftover);
  });
  // What its meta says of its age may be wrong; how old the file is says enough.
  for (const { tenant, id, sinceMs } of damaged)
    if (sinceMs < options.nowMs - ofTenant(options.retentions, tenant)) await remove(tenant, id);
  if (options.diskPercentMax > 0)
    await attempt('make space on the disk', async () => {
      const deleted = done.deleted;
      await makeSpace(catalog, left, damaged, options, remove);
      done.deletedForSpace = done.deleted - deleted;
    });
  done.seconds = (performance.now() - began) / 1000;
  return done;
}

/** Blocks that are in no list any more go first, then the oldest, damaged ones among them. */
async function makeSpace(
  catalog: BlockCatalog,
  left: Leftover[],
  damaged: Leftover[],
  { diskPercentMax, disk = diskUse }: LocalRetentionOptions,
  remove: (tenant: string, id: string) => Promise<void>,
): Promise<void> {
  const { bytes, usedBytes } = await disk(catalog.root);
  // Counted, not measured: the space of files that somebody reads comes free later.
  let excess = usedBytes - (bytes * diskPercentMax) / 100;
  if (excess <= 0) return;
  for (const { tenant, id } of left.sort((a, b) => a.sinceMs - b.sinceMs)) {
    if (excess <= 0) return;
    excess -= await folderBytes(path.join(catalog.root, tenant, id));
    await remove(tenant, id);
  }
  const blocks = catalog
    .tenants()
    .flatMap((tenant) => catalog.blocks(tenant))
    .map(({ tenant, id, directory, endSeconds }) => ({ tenant, id, directory, sinceMs: 1000 * endSeconds }));
  for (const { tenant, id, sinceMs } of damaged)
    blocks.push({ tenant, id, directory: path.join(catalog.root, tenant, id), sinceMs });
  for (const { tenant, id, directory } of blocks.sort((a, b) => a.sinceMs - b.sinceMs)) {
    if (excess <= 0) return;
    if (directory === undefined) continue;
    excess -= await folderBytes(directory);
    await remove(tenant, id);
    catalog.remove(tenant, id);
  }
}

/** Folders of blocks that are in no list, and since when. */
async function leftovers(catalog: BlockCatalog): Promise<Leftover[]> {
  const { root } = catalog;
  const found: Leftover[] = [];
  for (const tenant of await fs.promises.readdir(root, { withFileTypes: true })) {
    if (!tenant.isDirectory() || tenant.name.startsWith('.')) continue;
    const listed = new Set(catalog.blocks(tenant.name).map(({ id }) => id));
    for (const id of await fs.promises.readdir(path.join(root, tenant.name))) {
      if (!BLOCK_ID.test(id) || listed.has(id)) continue;
      try {
        const { mtimeMs } = await fs.promises.stat(path.join(root, tenant.name, id, COMPACTED_META_FILE));
        found.push({ tenant: tenant.name, id, sinceMs: mtimeMs });
      } catch (error) {
        unlessMissing(error);
      }
    }
  }
  return found;
}

/** When the meta of a damaged block was written; undefined when the block has gone. */
async function damagedMs(directory: string): Promise<number | undefined> {
  for (const name of [DAMAGED_META_FILE, META_FILE]) {
    const found = await fs.promises.stat(path.join(directory, name)).catch(() => undefined);
    if (found !== undefined) return found.mtimeMs;
  }
  return undefined;
}

async function folderBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await fs.promises.readdir(directory).catch(() => []))
    bytes += (await fs.promises.stat(path.join(directory, name)).catch(() => ({ size: 0 }))).size;
  return bytes;
}

/** What the file system says; space that is reserved for others counts as taken. */
async function diskUse(folder: string): Promise<DiskUse> {
  const { blocks, bavail, bsize } = await fs.promises.statfs(folder);
  return { bytes: blocks * bsize, usedBytes: (blocks - bavail) * bsize };
}

function unlessMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
