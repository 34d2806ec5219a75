/**
 * The compactor thread: merges the blocks that it is told (roles/compactor.ts). It gives way to everybody else: it works half of the
 * time at most, and at a low priority where the system has one for threads.
 */
import path from 'node:path';
import { parentPort } from 'node:worker_threads';
import type { LocalBlockRef } from '../block/catalog.ts';
import { TraceIds } from '../block/trace-ids.ts';
import { FolderLock, LOCK_FILE } from '../compact/folder-lock.ts';
import { mergeBlocks, NothingStays } from '../compact/merge-blocks.ts';
import { TooLarge } from '../compact/merged-schema.ts';
import type { RowGroupBounds } from '../compact/row-group-plan.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { reached } from '../runtime/reached.ts';
import { checkSpace, type FolderWork, LEASE_MS, lowerPriority, pauses } from './background.ts';

export interface CompactorWork extends FolderWork {
  merges: LocalBlockRef[][];
  rowGroups: RowGroupBounds;
  /** Traces that are left out, by tenant. */
  deleted?: ReadonlyMap<string, readonly string[]>;
}

export type FromCompactor =
  | { type: 'merged'; tenant: string; merged: MergedBlock }
  /** These blocks stay as they are: `failed` ones are tried again later. */
  /** A block went meanwhile, because another process has merged or deleted it: the others are chosen again. */
  | { type: 'gone' }
  /** No trace of them is to stay; whoever erases traces takes them out of lists. */
  | { type: 'emptied'; ids: string[] }
  | { type: 'left'; tenant: string; ids: string[]; failed: boolean; message: string };

/** After all of the others. */
export interface CompactorDone {
  type: 'done';
}

export interface MergedBlock {
  id: string;
  level: number;
  inputs: number;
  traces: number;
  spans: number;
  bytes: number;
  combined: number;
  duplicates: number;
  seconds: number;
}

const COLUMNS_MAX = 512;

lowerPriority();

parentPort!.on('message', async (work: CompactorWork) => {
  await run(work);
  // Arrays of the last row group need not stay while there is nothing to do.
  globalThis.gc?.({ type: 'major', execution: 'sync' });
  parentPort!.postMessage({ type: 'done' } satisfies CompactorDone);
});

async function run(work: CompactorWork): Promise<void> {
  const lock = await FolderLock.take(path.join(work.blocksDirectory, LOCK_FILE), LEASE_MS);
  // Another process is at it; what it leaves is chosen again.
  if (lock === undefined) return;
  try {
    const pause = pauses(work.questions);
    for (const refs of work.merges) await merge(refs, work, lock, pause);
  } finally {
    await lock.release();
  }
}

async function merge(
  refs: LocalBlockRef[],
  work: CompactorWork,
  lock: FolderLock,
  pause: () => Promise<void>,
): Promise<void> {
  const began = performance.now();
  try {
    await checkSpace(work.blocksDirectory, refs);
    const deleted = new TraceIds(work.deleted?.get(refs[0].tenant) ?? []);
    const { block, ...done } = await mergeBlocks(refs, {
      ...work,
      nowMs: Date.now(),
      ...(deleted.ids.length > 0 && { drops: (ids, at) => deleted.has(ids, at) }),
      bounds: { columnsMax: COLUMNS_MAX, ...work.rowGroups },
      pause,
      checkLock: () => lock.check(),
      reached: (point) => reached(`compaction ${point}`),
    });
    const seconds = (performance.now() - began) / 1000;
    send({ type: 'merged', tenant: refs[0].tenant, merged: { id: block.id, ...done, seconds } });
  } catch (error) {
    if (error instanceof NothingStays) return send({ type: 'emptied', ids: refs.map(({ id }) => id) });
    if (isGone(error)) return send({ type: 'gone' });
    const reason = `cannot merge ${refs.length} blocks of tenant ${refs[0].tenant}: ${messageOf(error)}`;
    const ids = refs.map(({ id }) => id);
    send({ type: 'left', tenant: refs[0].tenant, ids, failed: !(error instanceof TooLarge), message: reason });
  }
}

function isGone(error: unknown): boolean {
  return error instanceof VivaceError ? error.code === 'not-found' : (error as NodeJS.ErrnoException).code === 'ENOENT';
}

function send(message: FromCompactor): void {
  parentPort!.postMessage(message);
}
