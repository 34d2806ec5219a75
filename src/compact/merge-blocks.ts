/**
 * Blocks of a folder into one that takes their place:
 *
 * ```
 *  read and write `.<id>` ─▶ rename to `<id>`: its meta names those it replaces ─▶ their meta.json ─▶ meta.compacted.json
 *        │ interrupted: nothing has happened   │ from here on lists have the new block and not the old ones
 * ```
 * Whoever is interrupted before the last step leaves blocks that no list has (BlockCatalog) and `finishMerges` marks.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { BlockCatalog, LocalBlockRef } from '../block/catalog.ts';
import { type BlockMeta, logsOf, rfc3339Seconds } from '../block/meta.ts';
import { META_FILE } from '../block/objects.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import { writeBlockFolder } from '../block/write-folder.ts';
import { markCompacted } from './mark.ts';
import { mergedTable, type MergeBounds } from './merged-table.ts';

export interface MergeOptions {
  blocksDirectory: string;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  nowMs: number;
  bounds: MergeBounds;
  pause: () => Promise<void>;
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
}

/** What is decoded of the blocks while they are read. */
const CACHE_BYTES = 8 * 1024 * 1024;

/** Rejects with TooLarge when the blocks must stay as they are. */
export async function mergeBlocks(inputs: readonly LocalBlockRef[], options: MergeOptions): Promise<MergeDone> {
  // Of a span that was sent again the first one stays.
  const refs = [...inputs].sort((a, b) => cutMsOf(a.meta) - cutMsOf(b.meta));
  const { tenant } = refs[0];
  const id = mergedId(refs.map((ref) => ref.id));
  const caches = createBlockCaches(CACHE_BYTES);
  const opened: OpenBlock[] = [];
  let combined = 0;
  let duplicates = 0;
  try {
    for (const ref of refs) opened.push(await OpenBlock.open(ref, caches));
    await fs.promises.rm(path.join(options.blocksDirectory, tenant, `.${id}`), { recursive: true, force: true });
    const makeTable = async () => {
      const { table, order } = await mergedTable(opened, options.bounds, options.pause);
      ({ combined, duplicates } = order);
      return table;
    };
    const level = 1 + Math.max(...refs.map(({ meta }) => meta.compactionLevel));
    const block = await writeBlockFolder(makeTable, {
      ...options,
      id,
      tenant,
      compactionLevel: level,
      more: {
        logs: mergedLogs(refs.map(({ meta }) => meta)),
        cut: rfc3339Seconds(Math.max(...refs.map(({ meta }) => cutMsOf(meta))) / 1000),
        replaces: refs.map((ref) => ref.id),
      },
      async beforeRename() {
        options.reached?.('written');
        await options.checkLock();
        // A block that has gone meanwhile, because it was too old or merged by somebody else, must not come back.
        for (const { directory } of refs) await fs.promises.access(path.join(directory, META_FILE));
        // What they replace is hidden by their metas, which are about to go.
        for (const { meta } of refs)
          for (const replaced of meta.vivace.replaces ?? [])
            await markCompacted(path.join(options.blocksDirectory, tenant, replaced), options.nowMs);
      },
    });
    options.reached?.('listed');
    for (const { directory } of refs) await markCompacted(directory, options.nowMs);
    options.reached?.('marked');
    const { meta } = block;
    const bytes = meta.size + meta.vivace.tracesBytes;
    const { spans } = meta.vivace;
    return { block, level, inputs: refs.length, traces: meta.totalObjects, spans, bytes, combined, duplicates };
  } finally {
    for (const block of opened) block.close();
  }
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

function cutMsOf({ vivace, endTime }: BlockMeta): number {
  return Date.parse(vivace.cut ?? endTime);
}

/** The same blocks make the same one, whoever merges them: it cannot be there twice. */
function mergedId(ids: string[]): string {
  const hex = createHash('sha256')
    .update([...ids].sort().join())
    .digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** How far each log is in the blocks. */
function mergedLogs(metas: BlockMeta[]): { instance: string; sequence: number }[] {
  const sequences = new Map<string, number>();
  for (const meta of metas)
    for (const { instance, sequence } of logsOf(meta))
      sequences.set(instance, Math.max(sequence, sequences.get(instance) ?? 0));
  return [...sequences].map(([instance, sequence]) => ({ instance, sequence }));
}
