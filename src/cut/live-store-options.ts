/** What the live store is told and what it needs from outside. */
import type { LocalBlockRef } from '../block/catalog.ts';
import type { TraceIds } from '../block/trace-ids.ts';
import type { Appended } from './append.ts';
import type { AppendLimits } from './trace-limits.ts';

/** What the live store needs of a log; LocalLog is one, and a replayed log that only waits to be cut is another. */
export interface LiveLog {
  readonly hasPending: boolean;
  /** Resolves when what has gathered should be committed. */
  gather(): Promise<void>;
  /** Bytes that it holds. */
  readonly bytes: number;
  /** The same, and bytes of what was released: never less than before. */
  readonly writtenBytes: number;
  /** Number of the file that what was added goes to, or an earlier one. */
  readonly file: number;
  add(tenant: string, body: Uint8Array): number;
  addCut(tenant: string, sequence: number): void;
  commit(): Promise<void>;
  discardPending(): void;
  rotate(): void;
  release(sequence: number): Promise<void>;
}

export interface LiveStoreOptions {
  log: LiveLog;
  /** Name of the log in the metas of blocks. */
  instance: string;
  blocksDirectory: string;
  /** Where requests go for whose columns there is no memory: files that mean nothing to another process. */
  packDirectory: string;
  /** Bytes of live columns and packed requests of all tenants together, those that are being cut included. */
  liveBytes: number;
  /** Tenants are cut, those that wait longest first, so that the log stays below three quarters of this; at this length requests wait. */
  logBytesMax: number;
  maxBlockDurationMs: number;
  maxBlockBytes: number;
  traceIdleMs: number;
  traceLiveMs: number;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  /** The same object as long as they are the same. */
  limits: (tenant: string) => AppendLimits;
  now: () => number;
  /** A number that no other segment of the process has. */
  nextSegment: () => number;
  /** Traces that are not to be in blocks. */
  deleted: (tenant: string) => TraceIds;
  /** Spans of them were received and are left out of a block; the log has them, up to the file. */
  onLeftOut: (tenant: string, ids: string[], log: { instance: string; file: number }) => Promise<void>;
  /** A block is durable and listed before its segment is forgotten. */
  onBlock: (block: LocalBlockRef, cutMs: number) => void;
  onCutFailed: (error: Error) => void;
  /** Packed requests could not be written to a file; they stay in memory, and it is tried again. */
  onPackFailed: (error: Error) => void;
  /** One call a request that was appended. */
  onAppended: (tenant: string, appended: Appended, bytes: number) => void;
}
