/** What the main thread, the writer thread and the reader threads say to one another. */
import type { MessagePort } from 'node:worker_threads';
import type { BlockRef, DamagedBlock } from '../block/catalog.ts';
import type { ByTenant, RetentionDone } from '../compact/retention.ts';
import type { LogPlace } from '../block/meta.ts';
import type { LiveSnapshot } from '../cut/layout.ts';
import type { PackSnapshot } from '../cut/packs.ts';
import type { AppendLimits } from '../cut/trace-limits.ts';
import type { ErrorCode } from '../runtime/errors.ts';
import type { CompactionDone, CompactionSettings } from './compaction.ts';
import type { DeletionsDone, DeletionState } from './deletions.ts';
import type { LateRetentionDone, RetentionPreview } from './late-retention.ts';
import type { Pushes } from './pushes.ts';
import type { CountsByTenant } from './received-counts.ts';
import type { RulesByTenant } from './retention-rules.ts';
import type { RetentionSettings } from './lifetime-settings.ts';

export interface WriterSettings {
  /** undefined: this process takes no spans and only lists blocks. */
  instance: string | undefined;
  walDirectory: string;
  blocksDirectory: string;
  liveBytes: number;
  logBytes: number;
  logSegmentBytes: number;
  maxBlockDurationMs: number;
  maxBlockBytes: number;
  traceIdleMs: number;
  traceLiveMs: number;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  /** Of a `QuestionCount`. */
  questions: SharedArrayBuffer;
  /** Of `HeldBytes`, in which this thread has the number 0. */
  held: SharedArrayBuffer;
  /** Where a request must be before it is answered. */
  ack: 'local' | 'storage';
  limits: LimitTable;
  blocklistPollMs: number;
  /** undefined: this process deletes no old blocks in the folder. */
  retention: RetentionSettings | undefined;
  /** undefined: this process merges no blocks. */
  compaction: CompactionSettings | undefined;
  /** undefined: this process looks for no traces that were kept long enough. */
  rules: RulesByTenant | undefined;
  rulesCycleMs: number;
  /** Whether blocks in the folder are written again without deleted traces: never where they go to a bucket. */
  erases: boolean;
  isOnTheWay: boolean;
  /** How long a trace stays hidden of which nothing is left. */
  deletedKeptMs: number;
}

/** Limits of tenants that have their own, and of all others. */
export interface LimitTable {
  base: AppendLimits;
  own: ReadonlyMap<string, AppendLimits>;
}

export type ToWriter =
  | { type: 'limits'; limits: LimitTable }
  | { type: 'lifetimes'; retentions: ByTenant; windows: ByTenant; rules: RulesByTenant }
  /** What rules come to: the tenant's, or these. */
  | { type: 'preview'; id: number; tenant: string; rules: string[] }
  | Pushes
  | { type: 'reader'; port: MessagePort }
  | { type: 'bucket'; port: MessagePort }
  /** Somebody could not read this block. */
  | { type: 'suspect'; tenant: string; block: string }
  | { type: 'flush'; id: number; tenant: string | undefined }
  | { type: 'delete'; id: number; tenant: string; trace: string }
  /** Asks what became of deleted traces: of all of the tenant without `trace`. */
  | { type: 'deletions'; id: number; tenant: string; trace?: string }
  | { type: 'close'; id: number };

export type FromWriter =
  | { type: 'ready'; replayedSpans: number; damage: string[] }
  | { type: 'failed'; message: string }
  | { type: 'pushed'; answers: PushAnswer[] }
  | { type: 'done'; id: number; ok: boolean }
  | { type: 'deletions'; id: number; states: DeletionState[]; error?: PushAnswer['error'] }
  | { type: 'preview'; id: number; preview?: RetentionPreview; error?: PushAnswer['error'] }
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string; fields: Record<string, string | number> }
  | { type: 'stats'; stats: WriterStats };

export interface PushAnswer {
  id: number;
  spans: number;
  error?: { code: ErrorCode; message: string; retryAfterMs?: number };
}

/** Counters since the last message (by tenant where it says so), and gauges. */
export interface WriterStats {
  /** undefined: later. */
  received: CountsByTenant | undefined;
  /** undefined: as they were. */
  liveTraces: Map<string, number> | undefined;
  liveBytes: number;
  logBytes: number;
  logSegments: number;
  blocks: Map<string, number> | undefined;
  /** Blocks of the folder that answers lack, by tenant. */
  damagedBlocks: Map<string, number>;
  /** Blocks that were put into quarantine, by tenant. */
  quarantined: Map<string, number>;
  cuts: { ms: number; bytes: number }[];
  failedCuts: number;
  retention: RetentionDone[];
  compaction: CompactionDone | undefined;
  deletions: DeletionsDone | undefined;
  lateRetention: LateRetentionDone | undefined;
  /** Deleted traces of which something may be left. */
  pendingDeletions: Map<string, number>;
}

/** What a reader thread asks over its port, and the answers. */
export type ReaderAsks =
  | { type: 'lease'; id: number; tenant: string; knownVersion: number; liveOnly?: boolean }
  | { type: 'release'; lease: number }
  | { type: 'forgot'; id: number };
export type ToReaderPort = LeaseAnswer | { type: 'forget'; id: number; blocks: string[] };
export interface LeaseAnswer {
  type: 'lease';
  id: number;
  lease: number;
  /** What was acknowledged before is in it. */
  takenMs: number;
  segments: LiveSnapshot[];
  packs: PackSnapshot[];
  /** The first record of each log that is not in a block, or was not when the lease was taken. */
  from: LogPlace[];
  version: number;
  /** undefined when the reader's version is current. */
  blocks: BlockRef[] | undefined;
  /** Ids of traces that are not to be seen; undefined likewise. */
  deleted: readonly string[] | undefined;
  /** Comes with `blocks`. */
  damaged: DamagedBlock[];
}
