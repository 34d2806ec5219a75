/** Turns one sealed live segment into a block in the local folder. */
import { randomUUID } from 'node:crypto';
import type { LocalBlockRef } from '../block/catalog.ts';
import { rfc3339Seconds } from '../block/meta.ts';
import type { BlockFacts, BlockSink } from '../block/sink.ts';
import { writeBlockFolder } from '../block/write-folder.ts';
import { writeTable } from '../block/write-table.ts';
import type { LiveSnapshot } from './layout.ts';
import { LiveView } from './live-view.ts';
import { orderRows } from './order.ts';
import { tableOf } from './table.ts';

export interface CutOptions {
  blocksDirectory: string;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  log: { instance: string; sequence: number };
  /** Now. */
  cutMs: number;
  /** Gives the thread to others; called every few milliseconds of work. */
  pause: () => Promise<void>;
}

/** Writes the block; resolves with it once it is durable and visible. The snapshot must have rows. */
export async function cutBlock(snapshot: LiveSnapshot, options: CutOptions): Promise<LocalBlockRef> {
  const { cutMs, log, ...folder } = options;
  const write = async (sink: BlockSink): Promise<BlockFacts> => {
    const view = new LiveView(snapshot);
    const order = orderRows(view);
    await options.pause();
    const table = tableOf(view, order);
    await options.pause();
    return writeTable(table, sink, options);
  };
  return writeBlockFolder(write, {
    ...folder,
    id: randomUUID(),
    tenant: snapshot.tenant,
    compactionLevel: 0,
    more: { log, cut: rfc3339Seconds(cutMs / 1000) },
  });
}
