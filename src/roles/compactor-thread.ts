/**
 * The compactor thread: merges the blocks that the writer thread has chosen, and ends. It gives way to everybody else: it works
 * half of the time at most, and at a low priority where the system has one for threads.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { LocalBlockRef } from '../block/catalog.ts';
import { FolderLock } from '../compact/folder-lock.ts';
import { mergeBlocks } from '../compact/merge-blocks.ts';
import { TooLarge } from '../compact/merged-table.ts';
import { messageOf } from '../runtime/errors.ts';
import { reached } from '../runtime/reached.ts';

export interface CompactorWork {
  merges: LocalBlockRef[][];
  blocksDirectory: string;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
}

export type FromCompactor =
  | { type: 'merged'; tenant: string; merged: MergedBlock }
  /** These blocks stay as they are: `failed` ones are tried again later. */
  | { type: 'left'; tenant: string; ids: string[]; failed: boolean; message: string };

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

const LOCK_FILE = '.compacting';
const LEASE_MS = 60_000;
const NICE = 10;
/** Work goes on so long before others are let in. */
const SLICE_MS = 4;
/** Nothing is merged on a disk that has less than this. */
const SPACE_BYTES_MIN = 64 * 1024 * 1024;
const COLUMNS_MAX = 512;
const CHILDREN_MAX = 1_000_000;

const work = workerData as CompactorWork;
let since = performance.now();

await run();

async function run(): Promise<void> {
  const lock = await FolderLock.take(path.join(work.blocksDirectory, LOCK_FILE), LEASE_MS);
  // Another process is at it; what it leaves is chosen again.
  if (lock === undefined) return;
  try {
    lowerPriority();
    for (const refs of work.merges) await merge(refs, lock);
  } finally {
    await lock.release();
  }
}

async function merge(refs: LocalBlockRef[], lock: FolderLock): Promise<void> {
  const began = performance.now();
  try {
    await checkSpace(refs);
    const { block, ...done } = await mergeBlocks(refs, {
      ...work,
      nowMs: Date.now(),
      bounds: { columnsMax: COLUMNS_MAX, childrenMax: CHILDREN_MAX },
      pause,
      checkLock: () => lock.check(),
      reached: (point) => reached(`compaction ${point}`),
    });
    const seconds = (performance.now() - began) / 1000;
    send({ type: 'merged', tenant: refs[0].tenant, merged: { id: block.id, ...done, seconds } });
  } catch (error) {
    const reason = `cannot merge ${refs.length} blocks of tenant ${refs[0].tenant}: ${messageOf(error)}`;
    const ids = refs.map(({ id }) => id);
    send({ type: 'left', tenant: refs[0].tenant, ids, failed: !(error instanceof TooLarge), message: reason });
  }
}

/** The old blocks stay for a while beside the new one, and the log needs space more than we do. */
async function checkSpace(refs: LocalBlockRef[]): Promise<void> {
  const { bavail, bsize } = await fs.promises.statfs(work.blocksDirectory);
  const wanted = SPACE_BYTES_MIN + 2 * refs.reduce((sum, { meta }) => sum + meta.size + meta.vivace.tracesBytes, 0);
  if (bavail * bsize < wanted) throw new Error(`the disk has less than ${wanted} bytes left`);
}

/** As long as there was work, there is none. */
async function pause(): Promise<void> {
  const worked = performance.now() - since;
  if (worked < SLICE_MS) return;
  await sleep(worked);
  since = performance.now();
}

function lowerPriority(): void {
  try {
    const thread = Number(path.basename(fs.readlinkSync('/proc/thread-self')));
    os.setPriority(thread, NICE);
  } catch {
    // Elsewhere than on Linux threads have no priority of their own.
  }
}

function send(message: FromCompactor): void {
  parentPort!.postMessage(message);
}
