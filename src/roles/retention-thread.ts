/**
 * The retention thread: finds the traces of blocks of a folder that no rule keeps any longer, writes the blocks again without
 * them, and ends; or only says what would go.
 */
import path from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { LocalBlockRef } from '../block/catalog.ts';
import { type BlockCaches, createBlockCaches, OpenBlock } from '../block/open.ts';
import { FolderLock, LOCK_FILE } from '../compact/folder-lock.ts';
import { mergeBlocks, NothingStays, retireBlocks } from '../compact/merge-blocks.ts';
import type { Drops } from '../compact/row-group-plan.ts';
import { ageMs } from '../compact/retention.ts';
import { joinedSegment } from '../cut/joined-segment.ts';
import { type KeepRule, type KeptTraces, keptTraces } from '../query/kept-traces.ts';
import { messageOf } from '../runtime/errors.ts';
import { reached } from '../runtime/reached.ts';
import { checkSpace, type FolderWork, LEASE_MS, lowerPriority, pauses, REWRITE_BOUNDS } from './background.ts';
import { parseRule, type TenantRules } from './retention-rules.ts';

export interface RetentionWork extends FolderWork {
  rules: TenantRules;
  /** Blocks that are looked at, and all of the tenant, which may have parts of the same traces. */
  due: LocalBlockRef[];
  all: LocalBlockRef[];
  nowMs: number;
  /** Nothing is changed. */
  dryRun: boolean;
}

/** What a rule comes to, or for the last one the rest. */
export interface RuleCounts {
  traces: number;
  spans: number;
  bytes: number;
  /** Those of them that are kept no longer. */
  droppedTraces: number;
  droppedSpans: number;
  droppedBytes: number;
}

export type FromRetention =
  /** `rewritten`: the block that took its place; undefined when it stays, null when nothing of it does. */
  | { type: 'looked'; block: string; rewritten?: string | null; counts: RuleCounts[] }
  | { type: 'failed'; block: string; message: string }
  | { type: 'busy' };

const CACHE_BYTES = 16 * 1024 * 1024;

const work = workerData as RetentionWork;
const rules = work.rules.texts.map(parseRule);
const pause = pauses();

if (work.dryRun) await lookAtAll(undefined);
else {
  const lock = await FolderLock.take(path.join(work.blocksDirectory, LOCK_FILE), LEASE_MS);
  if (lock === undefined) send({ type: 'busy' });
  else
    try {
      lowerPriority();
      await lookAtAll(lock);
    } finally {
      await lock.release();
    }
}

async function lookAtAll(lock: FolderLock | undefined): Promise<void> {
  for (const ref of work.due)
    try {
      await look(ref, lock);
    } catch (error) {
      send({ type: 'failed', block: ref.id, message: messageOf(error) });
    }
}

async function look(ref: LocalBlockRef, lock: FolderLock | undefined): Promise<void> {
  const overlapping = work.all.filter(
    (other) => other.id !== ref.id && other.startSeconds <= ref.endSeconds && other.endSeconds >= ref.startSeconds,
  );
  const caches = createBlockCaches(CACHE_BYTES);
  const opened: OpenBlock[] = [];
  let kept: KeptTraces;
  try {
    for (const each of [ref, ...overlapping]) {
      const block = await openedOf(each, caches, each !== ref);
      if (block !== undefined) opened.push(block);
    }
    const [own, ...others] = opened.map((block) => ({
      segments: block.rowGroups,
      ageMs: ageMs(block.ref.meta, work.nowMs),
    }));
    kept = await keptTraces(own, others, rules, joinedSegment, pause);
  } finally {
    for (const block of opened) block.close();
  }
  const { counts, gone } = counted(kept, ref, rules);
  if (lock === undefined || gone.size === 0) return send({ type: 'looked', block: ref.id, counts });
  await checkSpace(work.blocksDirectory, [ref]);
  const drops: Drops = (ids, at) => gone.has(Buffer.from(ids.buffer, ids.byteOffset + at, 16).toString('latin1'));
  const options = {
    ...work,
    ...{ nowMs: Date.now(), bounds: REWRITE_BOUNDS, pause, drops, checkLock: () => lock.check() },
    reached: (point: string) => reached(`rules ${point}`),
  };
  try {
    const { block } = await mergeBlocks([ref], options);
    send({ type: 'looked', block: ref.id, rewritten: block.id, counts });
  } catch (error) {
    if (!(error instanceof NothingStays)) throw error;
    await retireBlocks([ref], options);
    send({ type: 'looked', block: ref.id, rewritten: null, counts });
  }
}

/** undefined for one of the others that has gone meanwhile. */
async function openedOf(ref: LocalBlockRef, caches: BlockCaches, isOther: boolean): Promise<OpenBlock | undefined> {
  try {
    return await OpenBlock.open(ref, caches);
  } catch (error) {
    if (isOther) return undefined;
    throw error;
  }
}

/** What each rule comes to, and the ids of the traces that are to go. */
function counted(
  { ids, rules: ruleOf, agesMs, spans }: KeptTraces,
  { meta }: LocalBlockRef,
  keepRules: readonly KeepRule[],
): { counts: RuleCounts[]; gone: Set<string> } {
  const none = { traces: 0, spans: 0, bytes: 0, droppedTraces: 0, droppedSpans: 0, droppedBytes: 0 };
  const counts = Array.from({ length: keepRules.length + 1 }, () => ({ ...none }));
  const gone = new Set<string>();
  const spanBytes = (meta.size + meta.vivace.tracesBytes) / meta.vivace.spans;
  for (let trace = 0; trace < ruleOf.length; trace++) {
    const rule = ruleOf[trace] < 0 ? keepRules.length : ruleOf[trace];
    const count = counts[rule];
    const bytes = Math.round(spans[trace] * spanBytes);
    count.traces++;
    count.spans += spans[trace];
    count.bytes += bytes;
    if (agesMs[trace] < (keepRules[rule]?.keepMs ?? work.rules.restMs)) continue;
    count.droppedTraces++;
    count.droppedSpans += spans[trace];
    count.droppedBytes += bytes;
    gone.add(Buffer.from(ids.buffer, ids.byteOffset + 16 * trace, 16).toString('latin1'));
  }
  return { counts, gone };
}

function send(message: FromRetention): void {
  parentPort!.postMessage(message);
}
