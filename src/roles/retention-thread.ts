/**
 * The retention thread: finds the traces of blocks that no rule keeps any longer, and ends. Blocks of a folder it writes again
 * without them; of those of a bucket, which it reads through the bucket thread, it only says which they are.
 */
import path from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { BlockRef, LocalBlockRef } from '../block/catalog.ts';
import { type BlockCaches, createBlockCaches, OpenBlock } from '../block/open.ts';
import { FolderLock, LOCK_FILE } from '../compact/folder-lock.ts';
import { mergeBlocks, NothingStays, retireBlocks } from '../compact/merge-blocks.ts';
import type { Drops } from '../compact/row-group-plan.ts';
import { ageMs } from '../compact/retention.ts';
import { joinedSegment } from '../cut/joined-segment.ts';
import { type KeepRule, type KeptTraces, keptTraces } from '../query/kept-traces.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { reached } from '../runtime/reached.ts';
import { checkSpace, type FolderWork, LEASE_MS, lowerPriority, pauses, REWRITE_BOUNDS } from './background.ts';
import { remoteBlocks } from './bucket.ts';
import { parseRule, type TenantRules } from './retention-rules.ts';

export interface RetentionQuestion {
  rules: TenantRules;
  /** Blocks that are looked at, and all of the tenant, which may have parts of the same traces. */
  due: BlockRef[];
  all: BlockRef[];
  nowMs: number;
  /** Nothing is changed. */
  dryRun: boolean;
}

export interface RetentionWork extends RetentionQuestion {
  /** Of the bucket thread, or where the blocks are. */
  from: { port: MessagePort } | FolderWork;
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
  | { type: 'looked'; block: string; rewritten?: string | null; counts: RuleCounts[]; gone?: string[] }
  | { type: 'failed'; block: string; message: string }
  /** Another one is there in the place of one of the blocks that had to be read: nothing can be said. */
  | { type: 'replaced'; block: string; by: string }
  | { type: 'busy' };

const CACHE_BYTES = 16 * 1024 * 1024;

/** A block has gone since it was listed: its spans are in another one, or too old. */
class Replaced extends Error {}

const work = workerData as RetentionWork;
const rules = work.rules.texts.map(parseRule);
const { from } = work;
const pause = pauses('port' in from ? undefined : from.questions);
const remote = 'port' in from ? remoteBlocks(from.port).open : undefined;
if (work.dryRun || 'port' in from) {
  if (!work.dryRun) lowerPriority();
  await lookAtAll();
  if ('port' in from) from.port.close();
} else {
  const lock = await FolderLock.take(path.join(from.blocksDirectory, LOCK_FILE), LEASE_MS);
  if (lock === undefined) send({ type: 'busy' });
  else
    try {
      lowerPriority();
      await lookAtAll({ lock, folder: from });
    } finally {
      await lock.release();
    }
}

interface Rewriting {
  lock: FolderLock;
  folder: FolderWork;
}

async function lookAtAll(rewriting?: Rewriting): Promise<void> {
  for (const ref of work.due)
    try {
      await look(ref, rewriting);
    } catch (error) {
      if (error instanceof Replaced) send({ type: 'replaced', block: ref.id, by: error.message });
      else send({ type: 'failed', block: ref.id, message: messageOf(error) });
    }
}

async function look(ref: BlockRef, rewriting: Rewriting | undefined): Promise<void> {
  const overlapping = work.all.filter(
    (other) => other.id !== ref.id && other.startSeconds <= ref.endSeconds && other.endSeconds >= ref.startSeconds,
  );
  const caches: BlockCaches = { ...createBlockCaches(CACHE_BYTES), ...(remote && { remote }) };
  const opened: OpenBlock[] = [];
  let kept: KeptTraces;
  try {
    for (const each of [ref, ...overlapping]) opened.push(await open(each, caches));
    const [own, ...others] = opened.map((block) => ({
      segments: block.rowGroups,
      ageMs: ageMs(block.ref.meta, work.nowMs),
    }));
    kept = await keptTraces(own, others, rules, joinedSegment, pause);
  } finally {
    for (const block of opened) block.close();
  }
  const { counts, gone } = counted(kept, ref, rules);
  if (rewriting === undefined || gone.size === 0) {
    const ids = work.dryRun ? [] : [...gone].map((id) => Buffer.from(id, 'latin1').toString('hex'));
    return send({ type: 'looked', block: ref.id, counts, ...(ids.length > 0 && { gone: ids }) });
  }
  const { lock, folder } = rewriting;
  const local = ref as LocalBlockRef;
  await checkSpace(folder.blocksDirectory, [local]);
  const drops: Drops = (ids, at) => gone.has(Buffer.from(ids.buffer, ids.byteOffset + at, 16).toString('latin1'));
  const options = {
    ...folder,
    ...{ nowMs: Date.now(), bounds: REWRITE_BOUNDS, pause, drops, checkLock: () => lock.check() },
    reached: (point: string) => reached(`rules ${point}`),
  };
  try {
    const { block } = await mergeBlocks([local], options);
    send({ type: 'looked', block: ref.id, rewritten: block.id, counts });
  } catch (error) {
    if (!(error instanceof NothingStays)) throw error;
    await retireBlocks([local], options);
    send({ type: 'looked', block: ref.id, rewritten: null, counts });
  }
}

async function open(ref: BlockRef, caches: BlockCaches): Promise<OpenBlock> {
  try {
    return await OpenBlock.open(ref, caches);
  } catch (error) {
    if (error instanceof VivaceError && error.code === 'not-found') throw new Replaced(ref.id);
    throw error;
  }
}

/** What each rule comes to, and the ids of the traces that are to go. */
function counted(
  { ids, rules: ruleOf, agesMs, spans }: KeptTraces,
  { meta }: BlockRef,
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
