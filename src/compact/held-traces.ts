/** Whether a block holds traces that are asked for by id: through its filter, then in its list. */
import type { OpenBlock } from '../block/open.ts';
import { findTrace } from '../block/traces-file.ts';
import type { TraceIds } from '../block/trace-ids.ts';

/** Those of the traces that are in the block. */
export async function heldTraces(block: OpenBlock, { ids }: TraceIds): Promise<string[]> {
  const held = new Set<string>();
  for (const group of block.rowGroups)
    for (const id of ids) {
      const bytes = Buffer.from(id, 'hex');
      if ((await group.mayHold(bytes)) && findTrace((await group.lines()).ids, bytes) >= 0) held.add(id);
    }
  return [...held];
}
