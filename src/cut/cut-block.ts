/** Turns one sealed live segment into a block in the local folder. */
import { randomUUID } from 'node:crypto';
import type { LocalBlockRef } from '../block/catalog.ts';
import { rfc3339Seconds } from '../block/meta.ts';
import type { BlockFacts, BlockSink } from '../block/sink.ts';
import { NO_TRACE_IDS, type TraceIds } from '../block/trace-ids.ts';
import { writeBlockFolder } from '../block/write-folder.ts';
import { writeTable } from '../block/write-table.ts';
import type { BlockMemory } from '../block/write.ts';
import type { LiveSnapshot } from './layout.ts';
import { type Arrays, OWN_ARRAYS } from '../runtime/arena.ts';
import { reached } from '../runtime/reached.ts';
import { LiveView } from './live-view.ts';
import { orderRows, orderWithout, type RowOrder } from './order.ts';
import { tableOf } from './table.ts';

export interface CutOptions {
  blocksDirectory: string;
  pageRows: number;
  createdBy: string;
  /** Used until the block is written. */
  memory?: BlockMemory;
  fsync: 'always' | 'never';
  log: { instance: string; sequence: number };
  /** Now. */
  cutMs: number;
  /** Traces that are not to be in the block. */
  without?: TraceIds;
  /** Called with those of them that would have been, before anything is written. */
  onLeftOut?: (ids: string[]) => Promise<void>;
  /** Gives the thread to others; called every few milliseconds of work. */
  pause: () => Promise<void>;
}

/** Writes the block; resolves with it once it is durable and visible. The snapshot must have rows. */
export async function cutBlock(snapshot: LiveSnapshot, options: CutOptions): Promise<LocalBlockRef> {
  return (await cutSome(snapshot, options))!;
}

/** The same; undefined when no trace of the snapshot is to be in a block. */
export async function cutSome(snapshot: LiveSnapshot, options: CutOptions): Promise<LocalBlockRef | undefined> {
  const { cutMs, log, without = NO_TRACE_IDS, onLeftOut, ...folder } = options;
  const { arrays = OWN_ARRAYS } = options.memory ?? {};
  const { order, leftOut } = orderIn(arrays, snapshot, without);
  if (leftOut.length > 0) await onLeftOut?.(leftOut);
  if (order.rows.length === 0) return undefined;
  const write = async (sink: BlockSink): Promise<BlockFacts> => {
    const view = new LiveView(snapshot, arrays);
    await options.pause();
    const table = tableOf(view, order, leftOut.length > 0);
    await options.pause();
    return writeTable(table, sink, options);
  };
  return writeBlockFolder(write, {
    ...folder,
    id: randomUUID(),
    tenant: snapshot.tenant,
    reached: (point) => reached(`cut ${point}`),
    compactionLevel: 0,
    more: { log, cut: rfc3339Seconds(cutMs / 1000) },
  });
}

/** The order in arrays of its own; what it takes to find it is given back. */
function orderIn(arrays: Arrays, snapshot: LiveSnapshot, without: TraceIds): { order: RowOrder; leftOut: string[] } {
  const rows = arrays.uint32(snapshot.rows);
  const parents = arrays.int32(snapshot.rows);
  const traces = arrays.uint32(snapshot.traces);
  const starts = arrays.uint32(snapshot.traces + 1);
  return arrays.scoped(() => {
    const view = new LiveView(snapshot, arrays);
    const { order, leftOut } = orderWithout(orderRows(view), view, without);
    rows.set(order.rows);
    parents.set(order.parents);
    traces.set(order.traces);
    starts.set(order.starts);
    const kept = {
      rows: rows.subarray(0, order.rows.length),
      parents: parents.subarray(0, order.parents.length),
      traces: traces.subarray(0, order.traces.length),
      starts: starts.subarray(0, order.starts.length),
    };
    return { order: kept, leftOut };
  });
}
