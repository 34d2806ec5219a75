/** Blocks of tests mostly have one row group: it, with what closes its block. */
import type { BlockRef } from './catalog.ts';
import type { OpenBlock } from './open.ts';
import type { RowGroup } from './row-group.ts';

export type OnlyRowGroup = RowGroup & { ref: BlockRef; close(): void };

export function onlyRowGroup(block: OpenBlock): OnlyRowGroup {
  if (block.rowGroups.length !== 1) throw new Error(`the block has ${block.rowGroups.length} row groups`);
  return Object.assign(block.rowGroups[0], { ref: block.ref, close: () => block.close() });
}
