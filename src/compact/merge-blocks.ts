/**
 * Blocks of a folder into one that takes their place:
 *
 * ```
 *  read and write `.<id>` ─▶ rename to `<id>`: its meta names those it replaces ─▶ their meta.json ─▶ meta.compacted.json
 *        │ interrupted: nothing has happened   │ from here on lists have the new block and not the old ones
 * ```
 * Whoever is interrupted before the last step leaves blocks that no list has (BlockCatalog) and `finishMerges` marks.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { BlockCatalog, LocalBlockRef } from '../block/catalog.ts';
import { META_FILE } from '../block/objects.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import { writeBlockFolder } from '../block/write-folder.ts';
import { markCompacted } from './mark.ts';
import { byCut, keepsAny, MERGE_CACHE_BYTES, type Merged, mergedMeta, mergeInto, type MergeOptions } from './merge.ts';

export interface FolderMergeOptions extends MergeOptions {
  blocksDirectory: string;
  fsync: 'always' | 'never';
  nowMs: number;
  /** Throws when somebody else merges in this folder now. */
  checkLock: () => Promise<void>;
  /** Tests end the process there. */
  reached?: (point: MergePoint) => void;
}

export const MERGE_POINTS = ['written', 'listed', 'marked'] as const;
export type MergePoint = (typeof MERGE_POINTS)[number];

export interface MergeDone {
  block: LocalBlockRef;
  level: number;
  inputs: number;
  traces: number;
  spans: number;
  bytes: number;
  /** Traces that were in several blocks, and spans that were there more than once. */
  combined: number;
  duplicates: number;
  /** Traces that were left out. */
  dropped: number;
}

/** No trace of the blocks is to stay: see `retireBlocks`. */
export class NothingStays extends Error {}

/** Rejects with TooLarge when the blocks must stay as they are, and with NothingStays. */
export async function mergeBlocks(inputs: readonly LocalBlockRef[], options: FolderMergeOptions): Promise<MergeDone> {
  const refs = byCut(inputs);
  const meta = mergedMeta(refs, options.pageRows);
  const tenantDirectory = path.join(options.blocksDirectory, meta.tenant);
  const caches = createBlockCaches(MERGE_CACHE_BYTES);
  const opened: OpenBlock[] = [];
  let merged: Merged;
  try {
    for (const ref of refs) opened.push(await OpenBlock.open(ref, caches));
    if (options.drops !== undefined && !(await keepsAny(opened, options.drops))) throw new NothingStays();
    await fs.promises.rm(path.join(tenantDirectory, `.${meta.id}`), { recursive: true, force: true });
    const block = await writeBlockFolder(async (sink) => (merged = await mergeInto(sink, opened, options)), {
      ...meta,
      blocksDirectory: options.blocksDirectory,
      fsync: options.fsync,
      async beforeRename() {
        options.reached?.('written');
        await options.checkLock();
        // A block that has gone meanwhile, because it was too old or merged by somebody else, must not come back.
        for (const { directory } of refs) await fs.promises.access(path.join(directory, META_FILE));
        await markReplaced(refs, options);
      },
    });
    options.reached?.('listed');
    for (const { directory } of refs) await markCompacted(directory, options.nowMs);
    options.reached?.('marked');
    const { dataBytes, tracesBytes, traces, spans, combined, duplicates, dropped } = merged!;
    const counts = { traces, spans, bytes: dataBytes + tracesBytes, combined, duplicates, dropped };
    return { block, level: meta.compactionLevel, inputs: refs.length, ...counts };
  } finally {
    for (const block of opened) block.close();
  }
}

/** Takes blocks out of every list of which nothing is to stay. */
export async function retireBlocks(
  refs: readonly LocalBlockRef[],
  options: Pick<FolderMergeOptions, 'blocksDirectory' | 'nowMs' | 'checkLock'>,
): Promise<void> {
  await options.checkLock();
  await markReplaced(refs, options);
  for (const { directory } of refs) await markCompacted(directory, options.nowMs);
}

/** What blocks replace is hidden by their metas: it goes before them. */
async function markReplaced(
  refs: readonly LocalBlockRef[],
  { blocksDirectory, nowMs }: Pick<FolderMergeOptions, 'blocksDirectory' | 'nowMs'>,
): Promise<void> {
  for (const { tenant, meta } of refs)
    for (const replaced of meta.vivace.replaces ?? [])
      await markCompacted(path.join(blocksDirectory, tenant, replaced), nowMs);
}

/** Marks the blocks that merged ones replace and that an interrupted merge has left; says how many. */
export async function finishMerges(catalog: BlockCatalog, nowMs: number): Promise<number> {
  let finished = 0;
  for (const tenant of catalog.tenants())
    for (const { meta } of catalog.blocks(tenant))
      for (const id of meta.vivace.replaces ?? []) {
        const directory = path.join(catalog.root, tenant, id);
        if (!fs.existsSync(path.join(directory, META_FILE))) continue;
        await markCompacted(directory, nowMs);
        finished++;
      }
  return finished;
}
