/**
 * Which blocks of a tenant are merged next. Blocks are put into groups by the window of time in which they end; for a day also
 * by how often they were merged, so that no span is written again for every block that comes (level by level). Of each
 * group neighbours by size go together, the smallest first.
 */
import type { BlockRef } from '../block/catalog.ts';

export interface ChooseOptions {
  windowMs: number;
  nowMs: number;
  inputsMin: number;
  inputsMax: number;
  /** Blocks merged so often are left; 0: however often. */
  levelMax: number;
  /** Of a merged block. */
  tracesMax: number;
  bytesMax: number;
}

const ACTIVE_MS = 24 * 3_600_000;

export function chooseMerges<Ref extends BlockRef>(blocks: readonly Ref[], options: ChooseOptions): Ref[][] {
  const { windowMs, nowMs, levelMax } = options;
  const current = Math.floor(nowMs / windowMs);
  const groups = new Map<string, { isCurrent: boolean; blocks: Ref[] }>();
  for (const block of blocks) {
    const { compactionLevel } = block.meta;
    if (levelMax > 0 && compactionLevel >= levelMax) continue;
    const window = Math.floor((1000 * block.endSeconds) / windowMs);
    const isActive = (current - window) * windowMs < ACTIVE_MS;
    const key = isActive ? `${window} ${compactionLevel}` : String(window);
    const group = groups.get(key) ?? { isCurrent: window >= current, blocks: [] };
    group.blocks.push(block);
    groups.set(key, group);
  }
  const merges: Ref[][] = [];
  for (const group of groups.values()) {
    group.blocks.sort((a, b) => a.meta.totalObjects - b.meta.totalObjects || (a.id < b.id ? -1 : 1));
    for (let from = 0; from < group.blocks.length; ) {
      const count = fitting(group.blocks, from, options);
      // While blocks are still coming it is waited for as many as go together.
      const isFull = count === options.inputsMax || from + count < group.blocks.length;
      if (count >= Math.max(2, options.inputsMin) && (isFull || !group.isCurrent))
        merges.push(group.blocks.slice(from, from + count));
      from += Math.max(1, count);
    }
  }
  return merges;
}

/** How many blocks from there on go into one. */
function fitting(blocks: readonly BlockRef[], from: number, options: ChooseOptions): number {
  let [traces, bytes] = [0, 0];
  let count = 0;
  while (count < options.inputsMax && from + count < blocks.length) {
    const { meta } = blocks[from + count];
    traces += meta.totalObjects;
    bytes += meta.size;
    if (traces > options.tracesMax || bytes > options.bytesMax) break;
    count++;
  }
  return count;
}
