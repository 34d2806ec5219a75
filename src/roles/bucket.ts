/** The main thread's side of the bucket thread, and what reader threads see of it. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { fetchingSource, type RemoteSource } from '../block/source.ts';
import type { ByTenant } from '../compact/retention.ts';
import { isShared, readShared, type SharedChunks } from '../store/range-cache.ts';
import { VivaceError } from '../runtime/errors.ts';
import type {
  BucketAnswer,
  BucketSettings,
  BucketStats,
  FromBucket,
  ReaderAsksBucket,
  ToBucket,
} from './bucket-messages.ts';
import type { DeletionState } from './deletions.ts';
import type { RetentionPreview } from './late-retention.ts';
import type { ToReader } from './reader-thread.ts';
import type { RulesByTenant } from './retention-rules.ts';

export interface BucketEvents {
  onStats(stats: BucketStats): void;
  onLog(level: 'info' | 'warn' | 'error', message: string, fields: Record<string, string | number>): void;
  /** The thread has ended though nobody asked it to. */
  onGone(error: Error): void;
}

export interface BucketSide {
  /** Resolves when the blocks in the bucket are known. */
  listed: Promise<void>;
  /** A port for the writer thread, which hears of blocks that come and go. */
  writerPort(): MessagePort;
  /** How long blocks are kept from now on, and the windows of time whose blocks are merged. */
  retain(retentions: ByTenant, windows: ByTenant, rules: RulesByTenant): void;
  /** What rules of retention come to, with the blocks as they are: those of the tenant, or these. */
  previewRetention(tenant: string, rules: string[]): Promise<RetentionPreview>;
  /** Has a block looked through that could not be read. */
  suspect(tenant: string, block: string): void;
  /** Hides a trace in all processes that share the bucket, and has it erased. Resolves when it stays hidden whatever happens. */
  deleteTrace(tenant: string, trace: string): Promise<DeletionState>;
  /** What became of deleted traces that are not forgotten: of one, or of all of a tenant. */
  deletedTraces(tenant: string, trace?: string): Promise<DeletionState[]>;
  /** Lets a reader thread ask for ranges. */
  connect(reader: Worker): void;
  /** Uploads what is only on this machine, for at most so long, and ends the thread; whether nothing is left. */
  close(msMax: number, done: { isCut: boolean; removeLog: boolean }): Promise<boolean>;
}

/** Starts the bucket thread. */
export function startBucket(settings: BucketSettings, events: BucketEvents): BucketSide {
  const worker = new Worker(new URL('./bucket-thread.ts', import.meta.url), { workerData: settings });
  let closing = false;
  let onClosed: ((left: number) => void) | undefined;
  const asked = new Map<number, PromiseWithResolvers<unknown>>();
  let next = 1;
  const post = (message: ToBucket, transfer: MessagePort[] = []): void => worker.postMessage(message, transfer);
  const listed = new Promise<void>((resolve) => {
    worker.on('message', (message: FromBucket) => {
      switch (message.type) {
        case 'failed':
          events.onGone(new Error(message.message));
          break;
        case 'listed':
          resolve();
          break;
        case 'log':
          events.onLog(message.level, message.message, message.fields);
          break;
        case 'stats':
          events.onStats(message.stats);
          break;
        case 'answer': {
          const { id, value, error } = message;
          const waiting = asked.get(id);
          asked.delete(id);
          if (error === undefined) waiting?.resolve(value);
          else waiting?.reject(new VivaceError(error.code, error.message, { retryAfterMs: error.retryAfterMs }));
          break;
        }
        case 'closed':
          onClosed?.(message.left);
      }
    });
  });
  worker.on('error', (error) => events.onGone(error as Error));
  worker.on('exit', () => {
    onClosed?.(1);
    for (const { reject } of asked.values()) reject(new VivaceError('unavailable', 'the bucket thread has ended'));
    asked.clear();
    if (!closing) events.onGone(new Error('the bucket thread has ended'));
  });
  const port = (type: 'writer' | 'reader'): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    post({ type, port: port1 }, [port1]);
    return port2;
  };
  const ask = <A>(question: (id: number) => ToBucket): Promise<A> => {
    const waiting = Promise.withResolvers<unknown>();
    asked.set(next, waiting);
    post(question(next++));
    return waiting.promise as Promise<A>;
  };
  return {
    listed,
    suspect: (tenant, block) => post({ type: 'suspect', tenant, block }),
    deleteTrace: async (tenant, trace) =>
      (await ask<DeletionState[]>((id) => ({ type: 'delete', id, tenant, trace })))[0],
    deletedTraces: (tenant, trace) =>
      ask((id) => ({ type: 'deletions', id, tenant, ...(trace !== undefined && { trace }) })),
    writerPort: () => port('writer'),
    retain: (retentions, windows, rules) => post({ type: 'lifetimes', retentions, windows, rules }),
    previewRetention: (tenant, rules) => ask((id) => ({ type: 'preview', id, tenant, rules })),
    connect(reader) {
      const asks = port('reader');
      const hello: ToReader = { type: 'bucket', port: asks };
      reader.postMessage(hello, [asks]);
    },
    async close(msMax, done) {
      closing = true;
      const left = await new Promise<number>((resolve) => {
        onClosed = resolve;
        post({ type: 'close', msMax, ...done });
      });
      await worker.terminate();
      return left === 0;
    },
  };
}

/** What a reader thread has of the bucket. */
export interface RemoteBlocks {
  open: RemoteSource;
  /** Those of the blocks that may hold the trace, whatever they are. */
  holding(blocks: string[], traceId: Uint8Array): Promise<Set<string>>;
}

/** Asks the bucket thread at the other end of the port. */
export function remoteBlocks(port: MessagePort): RemoteBlocks {
  const waiting = new Map<number, (answer: BucketAnswer) => void>();
  let next = 1;
  port.on('message', (answer: BucketAnswer) => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  const ask = (question: (id: number) => ReaderAsksBucket): Promise<BucketAnswer> =>
    new Promise((resolve) => {
      const id = next++;
      waiting.set(id, resolve);
      port.postMessage(question(id));
    });
  return {
    open(ref) {
      const { tenant, id: block } = ref;
      const shared = new Map<string, SharedChunks>();
      return fetchingSource(
        ref,
        async (name, range, size) => {
          const kept = shared.get(name);
          const bytes = kept && readShared(kept, range.offset, range.length);
          if (bytes !== undefined) return bytes;
          const answer = await ask((id) => ({ type: 'range', id, tenant, block, name, size, ...range }));
          if ('bytes' in answer) {
            if (answer.shared !== undefined) shared.set(name, answer.shared);
            return answer.bytes;
          }
          if ('code' in answer) throw new VivaceError(answer.code, answer.message);
          throw new Error('a range was asked for and no bytes came');
        },
        (name, range, size) => {
          const kept = shared.get(name);
          if (kept !== undefined && isShared(kept, range.offset, range.length)) return;
          const soon: ReaderAsksBucket = { type: 'warm', tenant, block, name, size, ...range };
          port.postMessage(soon);
        },
      );
    },
    async holding(blocks, traceId) {
      const answer = await ask((id) => ({ type: 'holding', id, blocks, traceId }));
      return new Set('blocks' in answer ? answer.blocks : blocks);
    },
  };
}
