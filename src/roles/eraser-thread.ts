/**
 * The eraser thread: writes blocks of a folder again without traces that are to be gone, and ends. Blocks that are on their way to a
 * bucket it only looks into: there they are written again.
 */
import path from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { BlockCatalog } from '../block/catalog.ts';
import { TraceIds } from '../block/trace-ids.ts';
import { type Erased, eraseInFolder } from '../compact/erase-folder.ts';
import { FolderLock, LOCK_FILE } from '../compact/folder-lock.ts';
import { reached } from '../runtime/reached.ts';
import { checkSpace, type FolderWork, LEASE_MS, lowerPriority, pauses, REWRITE_BOUNDS } from './background.ts';

export interface EraserWork extends FolderWork {
  tenants: { tenant: string; ids: string[]; deletedMs: number }[];
  isOnTheWay: boolean;
}

export type FromEraser = { type: 'erased'; tenant: string; ids: string[]; erased: Erased };

const work = workerData as EraserWork;
const lock = await FolderLock.take(path.join(work.blocksDirectory, LOCK_FILE), LEASE_MS);
// Whoever merges lets us in when it is done: then this is begun again.
if (lock !== undefined) {
  try {
    lowerPriority();
    const catalog = new BlockCatalog(work.blocksDirectory);
    for (const { tenant, ids, deletedMs } of work.tenants) {
      const erased = await eraseInFolder(catalog, tenant, new TraceIds(ids), {
        ...work,
        deletedMs,
        isOnTheWay: work.isOnTheWay,
        nowMs: Date.now(),
        bounds: REWRITE_BOUNDS,
        pause: pauses(work.questions),
        checkLock: () => lock.check(),
        checkSpace: (refs) => checkSpace(work.blocksDirectory, refs),
        reached: (point) => reached(`erasing ${point}`),
      });
      const message: FromEraser = { type: 'erased', tenant, ids, erased };
      parentPort!.postMessage(message);
    }
  } finally {
    await lock.release();
  }
}
