/**
 * Makes traces of a tenant vanish from the blocks of a folder: blocks in lists that hold one are written again without it;
 * of blocks that are in no list any more, and of what an interrupted process has left, the files go.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type BlockCatalog, blockRef, type LocalBlockRef } from '../block/catalog.ts';
import { parseMeta } from '../block/meta.ts';
import { BLOCK_ID, COMPACTED_META_FILE, DAMAGED_META_FILE, META_FILE } from '../block/objects.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import type { TraceIds } from '../block/trace-ids.ts';
import { messageOf } from '../runtime/errors.ts';
import { heldTraces } from './held-traces.ts';
import { MERGE_CACHE_BYTES } from './merge.ts';
import { finishMerges, type FolderMergeOptions, mergeBlocks, NothingStays, retireBlocks } from './merge-blocks.ts';

export interface EraseOptions extends Omit<FolderMergeOptions, 'drops'> {
  /** What was begun before this and is not finished may hold them. */
  deletedMs: number;
  /** Blocks are on their way to a bucket: they are left as they are. */
  isOnTheWay: boolean;
  /** Throws when the disk has no room for the block a second time. */
  checkSpace: (refs: LocalBlockRef[]) => Promise<void>;
}

export interface Erased {
  /** Traces that were in a block until now. */
  found: string[];
  /** Why there may be some left; empty: there are none. */
  left: string[];
  /** Blocks whose files went. */
  blocks: string[];
  /** Blocks that were written again, and what was left out. */
  rewritten: number;
  traces: number;
  spans: number;
}

/** Folders of unfinished blocks that nothing was written to for so long have no owner. */
const ABANDONED_MS = 10 * 60_000;
/** Clocks of file systems are a little coarse. */
const GRAIN_MS = 2000;

/** Reads the catalog anew. Never rejects for what is wrong with a block: that is in `left`. */
export async function eraseInFolder(
  catalog: BlockCatalog,
  tenant: string,
  ids: TraceIds,
  options: EraseOptions,
): Promise<Erased> {
  const done: Erased = { found: [], left: [], blocks: [], rewritten: 0, traces: 0, spans: 0 };
  const found = new Set<string>();
  catalog.refresh();
  await finishMerges(catalog, options.nowMs);
  for (const ref of catalog.blocks(tenant)) {
    if (ref.directory === undefined) continue;
    try {
      const held = await heldBy(ref, ids);
      for (const id of held) found.add(id);
      if (held.length === 0) continue;
      if (options.isOnTheWay) done.left.push(`block ${ref.id} is on its way to the bucket`);
      else await rewrite(ref as LocalBlockRef, ids, options, done);
    } catch (error) {
      done.left.push(`block ${ref.id} may hold it: ${messageOf(error)}`);
    }
    await options.pause();
  }
  catalog.refresh();
  const listed = new Set(catalog.blocks(tenant).map(({ id }) => id));
  const folder = path.join(catalog.root, tenant);
  for (const name of await fs.promises.readdir(folder)) {
    const directory = path.join(folder, name);
    if (BLOCK_ID.test(name) && !listed.has(name)) {
      const holds = await mayHold(directory, tenant, ids, found);
      if (typeof holds === 'string') done.left.push(`block ${name} may hold it: ${holds}`);
      if (holds !== true) continue;
      const gone = path.join(folder, `.${name}.gone`);
      await fs.promises.rename(directory, gone);
      await fs.promises.rm(gone, { recursive: true, force: true });
      done.blocks.push(name);
    } else if (name.startsWith('.')) {
      const writtenMs = await lastWrittenMs(directory);
      if (writtenMs < options.nowMs - ABANDONED_MS) await fs.promises.rm(directory, { recursive: true, force: true });
      else if (writtenMs <= options.deletedMs + GRAIN_MS) done.left.push(`${name} may hold it: it is not finished`);
    }
  }
  done.found = [...found];
  return done;
}

async function rewrite(ref: LocalBlockRef, ids: TraceIds, options: EraseOptions, done: Erased): Promise<void> {
  await options.checkSpace([ref]);
  const drops = (bytes: Uint8Array, at: number): boolean => ids.has(bytes, at);
  const { spans, totalObjects } = { ...ref.meta, ...ref.meta.vivace };
  try {
    const merged = await mergeBlocks([ref], { ...options, drops });
    done.traces += merged.dropped;
    done.spans += spans - merged.spans;
  } catch (error) {
    if (!(error instanceof NothingStays)) throw error;
    await retireBlocks([ref], options);
    done.traces += totalObjects;
    done.spans += spans;
  }
  done.rewritten++;
}

async function heldBy(ref: { directory: string | undefined } & Parameters<typeof OpenBlock.open>[0], ids: TraceIds) {
  const block = await OpenBlock.open(ref, createBlockCaches(MERGE_CACHE_BYTES));
  try {
    return await heldTraces(block, ids);
  } finally {
    block.close();
  }
}

/** Whether a block that is in no list may go because it holds one of them, or why that cannot be told. */
async function mayHold(
  directory: string,
  tenant: string,
  ids: TraceIds,
  found: Set<string>,
): Promise<boolean | string> {
  const read = (name: string): Promise<string | undefined> =>
    fs.promises.readFile(path.join(directory, name), 'utf8').catch(() => undefined);
  const text = await read(COMPACTED_META_FILE);
  if (text === undefined) {
    if ((await read(DAMAGED_META_FILE)) !== undefined) return 'it is damaged; repair or remove it';
    return (await read(META_FILE)) === undefined ? false : 'its meta.json is not that of a block of ours; remove it';
  }
  const meta = parseMeta(text);
  // Nobody reads it any more.
  if (meta === undefined) return true;
  try {
    const held = await heldBy(blockRef(meta, tenant, directory), ids);
    for (const id of held) found.add(id);
    return held.length > 0;
  } catch {
    return true;
  }
}

async function lastWrittenMs(directory: string): Promise<number> {
  let ms = 0;
  const names = await fs.promises.readdir(directory).catch(() => []);
  for (const each of [directory, ...names.map((name) => path.join(directory, name))])
    ms = Math.max(ms, (await fs.promises.stat(each).catch(() => undefined))?.mtimeMs ?? 0);
  return ms;
}
