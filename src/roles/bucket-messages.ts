/** What the bucket thread is told, and what it, the main thread, the writer thread and the reader threads say to one another. */
import type { MessagePort } from 'node:worker_threads';
import type { Holding } from '../block/data-folders.ts';
import type { BlockMeta } from '../block/meta.ts';
import type { ByTenant, RetentionDone } from '../compact/retention.ts';
import type { ErrorCode } from '../runtime/errors.ts';
import type { BucketDone } from '../runtime/storage-metrics.ts';
import type { StorageSettings } from '../store/open.ts';
import type { SharedChunks } from '../store/range-cache.ts';
import type { CacheSettings } from '../store/remote-cache.ts';
import type { BucketWork } from './bucket-rewrite.ts';
import type { CompactionDone, CompactionSettings } from './compaction.ts';
import type { DeletionsDone } from './deletions.ts';
import type { LateRetentionDone } from './late-retention.ts';
import type { RetentionSettings } from './lifetime-settings.ts';
import type { LogQuestion } from './log-objects.ts';
import type { RulesByTenant } from './retention-rules.ts';

export interface BucketSettings {
  storage: StorageSettings;
  /** A bucket that says nothing for so long is not waited for. */
  silentMs: number;
  hedge: { afterMs: number; upTo: number };
  /** Name of this process's log; undefined: it uploads nothing. */
  instance: string | undefined;
  walDirectory: string;
  blocksDirectory: string;
  /** How long an uploaded block stays in its folder. */
  keepMs: number;
  /** How often the folder is looked through. */
  checkMs: number;
  uploadsAtOnce: number;
  cacheBytes: number;
  filterBytes: number;
  /** Of other machines, asked before the bucket. */
  caches: CacheSettings[];
  /** undefined: this process deletes no old blocks. */
  retention: RetentionSettings | undefined;
  /** What blocks are written with that are written again. */
  work: BucketWork['work'];
  /** undefined: this process looks for no traces that were kept long enough. */
  rules: RulesByTenant | undefined;
  rulesCycleMs: number;
  /** undefined: this process merges no blocks. */
  compaction: CompactionSettings | undefined;
  /** How long a trace stays hidden of which nothing is left. */
  deletedKeptMs: number;
  /** Who merges blocks of a tenant and does not renew that for so long is believed to be dead. */
  leaseMs: number;
  poll: {
    periodMs: number;
    concurrency: number;
    tenantConcurrency: number;
    listConcurrency: number;
    jitterMs: number;
    builder: boolean;
    staleIndexMs: number;
    fallback: boolean;
    errorsTolerated: number;
    tenantsTolerated: number;
  };
}

export type ToBucket =
  | { type: 'writer'; port: MessagePort }
  | { type: 'reader'; port: MessagePort }
  | { type: 'lifetimes'; retentions: ByTenant; windows: ByTenant; rules: RulesByTenant }
  /** Somebody could not read this block. */
  | { type: 'suspect'; tenant: string; block: string }
  | { type: 'delete'; id: number; tenant: string; trace: string }
  /** Asks what became of deleted traces: of all of the tenant without `trace`. */
  | { type: 'deletions'; id: number; tenant: string; trace?: string }
  /** What rules come to: the tenant's, or these. */
  | { type: 'preview'; id: number; tenant: string; rules: string[] }
  /** Upload what is left until then, and end; whether all that was taken is in blocks. */
  | { type: 'close'; msMax: number; isCut: boolean; removeLog: boolean };

export type FromBucket =
  | { type: 'failed'; message: string }
  /** The first poll has succeeded. */
  | { type: 'listed' }
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string; fields: Record<string, string | number> }
  | { type: 'stats'; stats: BucketStats }
  /** To a question of that number. */
  | { type: 'answer'; id: number; value?: unknown; error?: ToldError }
  /** Blocks that are still only on this machine. */
  | { type: 'closed'; left: number };

export interface ToldError {
  code: ErrorCode;
  message: string;
  retryAfterMs?: number;
}

/** Since the last message. */
export interface BucketStats extends BucketDone {
  /** Blocks that were put into quarantine, by tenant. */
  quarantined: Map<string, number>;
  retention: RetentionDone[];
  compaction: CompactionDone | undefined;
  deletions: DeletionsDone | undefined;
  lateRetention: LateRetentionDone | undefined;
  /** Deleted traces of which something may be left. */
  pendingDeletions: Map<string, number>;
}

/** What changed in the bucket; `known` is the answer when the writer thread has taken it in. */
export interface ChangedBlocks {
  id: number;
  tenant: string;
  added: BlockMeta[];
  removed: string[];
  /** What was there before that moment and is not in the list has gone. */
  asOfMs: number;
}
/** The deleted traces of a tenant, as the bucket had them at `readMs`; `known` is the answer when all of them are hidden. */
export interface HiddenTraces {
  type: 'hide';
  id: number;
  tenant: string;
  traces: { id: string; deletedMs: number }[];
  readMs: number;
}
/** All damaged blocks of a tenant; `known` is the answer likewise. */
export interface DamagedBlocks {
  type: 'damaged';
  id: number;
  tenant: string;
  blocks: { id: string; meta: BlockMeta | undefined }[];
}
export type FromWriterToBucket =
  | { type: 'known'; id: number; error?: string }
  /** What the folder may hold of a tenant's deleted traces. */
  | { type: 'holdings'; tenant: string; holdings: Record<string, Holding> }
  | { type: 'cut' }
  | LogQuestion;

/** What a reader thread asks over its port: a range of a file, now or soon, or which of these blocks may hold the trace. */
export type ReaderAsksBucket =
  | RangeAsked
  | (Omit<RangeAsked, 'type' | 'id'> & { type: 'warm' })
  | { type: 'holding'; id: number; blocks: string[]; traceId: Uint8Array };
export interface RangeAsked {
  type: 'range';
  id: number;
  tenant: string;
  block: string;
  name: string;
  /** Bytes of the whole file. */
  size: number;
  offset: number;
  length: number;
}
export type BucketAnswer =
  /** With what the reader thread can read without asking, from now on. */
  | { id: number; bytes: Uint8Array<ArrayBuffer>; shared: SharedChunks | undefined }
  | { id: number; blocks: string[] }
  | { id: number; code: ErrorCode; message: string };
