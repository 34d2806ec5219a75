/**
 * How a thread gives way to everybody else: it works half of the time at most, a quarter while questions wait for their answers, at a low
 * priority where threads have one.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalBlockRef } from '../block/catalog.ts';
import { QuestionCount } from './question-count.ts';

/** What threads that write blocks of a folder again are told of it. */
export interface FolderWork {
  blocksDirectory: string;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  /** Of a `QuestionCount`. */
  questions: SharedArrayBuffer;
}

/** One thread of all processes does so at a time (compact/folder-lock.ts). */
export const LEASE_MS = 60_000;
/** A block that is written again has as many columns as when it was made; its row groups may become smaller. */
export const REWRITE_BOUNDS = { columnsMax: Number.POSITIVE_INFINITY, rowsMax: 65_536, bytesMax: 16 << 20 };
const NICE = 10;
/** Work goes on so long before others are let in. */
const SLICE_MS = 4;
/** Nothing is written again on a disk that has less than this. */
const SPACE_BYTES_MIN = 64 * 1024 * 1024;

/**
 * As long as there was work, there is none, and then up to twice as long again until no question waits: to be awaited every few
 * milliseconds. `questions` is of a `QuestionCount`.
 */
export function pauses(questions?: SharedArrayBuffer): () => Promise<void> {
  const waiting = new QuestionCount(questions);
  let since = performance.now();
  return async () => {
    const worked = performance.now() - since;
    if (worked < SLICE_MS) return;
    await sleep(worked);
    for (let i = 0; i < 2 && waiting.count > 0; i++) await sleep(worked);
    since = performance.now();
  };
}

export function lowerPriority(): void {
  try {
    const thread = Number(path.basename(fs.readlinkSync('/proc/thread-self')));
    os.setPriority(thread, NICE);
  } catch {
    // Elsewhere than on Linux threads have no priority of their own.
  }
}

/** The old blocks stay for a while beside the new one, and the log needs space more than we do. Rejects when there is too little. */
export async function checkSpace(folder: string, refs: readonly LocalBlockRef[]): Promise<void> {
  const { bavail, bsize } = await fs.promises.statfs(folder);
  const wanted = SPACE_BYTES_MIN + 2 * refs.reduce((sum, { meta }) => sum + meta.size + meta.vivace.tracesBytes, 0);
  if (bavail * bsize < wanted) throw new Error(`the disk has less than ${wanted} bytes left`);
}
