/** The main thread's side of the writer thread: requests with numbers, answers as promises. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { ByTenant } from '../compact/retention.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { DeletionState } from './deletions.ts';
import { PushGatherer } from './pushes.ts';
import type { RetentionPreview } from './late-retention.ts';
import type { RulesByTenant } from './retention-rules.ts';
import type { ToReader } from './reader-thread.ts';
import type { FromWriter, LimitTable, ToWriter, WriterSettings, WriterStats } from './writer-messages.ts';

export interface WriterEvents {
  onStats(stats: WriterStats): void;
  onLog(level: 'info' | 'warn' | 'error', message: string, fields: Record<string, string | number>): void;
  /** The thread has ended though nobody asked it to: the process cannot go on. */
  onGone(error: Error): void;
}

export interface Writer {
  /** Resolves when the log is replayed. */
  ready: Promise<{ replayedSpans: number; damage: string[] }>;
  /** Resolves with the number of spans when the request is durable. The body's memory is taken. */
  push(tenant: string, body: Uint8Array<ArrayBuffer>): Promise<number>;
  flush(tenant: string | undefined): Promise<void>;
  /** Other limits, for all requests that follow. */
  limit(limits: LimitTable): void;
  /** How long blocks in the folder are kept, and which of them are merged, from now on. */
  retain(retentions: ByTenant, windows: ByTenant, rules: RulesByTenant): void;
  /** What rules of retention come to, with the blocks as they are: those of the tenant, or these. */
  previewRetention(tenant: string, rules: string[]): Promise<RetentionPreview>;
  /** Has a block looked through that could not be read. */
  suspect(tenant: string, block: string): void;
  /** Hides a trace, and has it erased. Resolves when it stays hidden whatever happens. */
  deleteTrace(tenant: string, trace: string): Promise<DeletionState>;
  /** What became of deleted traces that are not forgotten: of one, or of all of a tenant. */
  deletedTraces(tenant: string, trace?: string): Promise<DeletionState[]>;
  /** Cuts everything and ends the thread; whether all is in blocks. */
  close(): Promise<boolean>;
  connect(reader: Worker): void;
  /** Hears of blocks in the bucket over this port. */
  connectBucket(port: MessagePort): void;
}

/** Starts the writer thread. */
export function startWriter(settings: WriterSettings, events: WriterEvents): Writer {
  const worker = new Worker(new URL('./writer-thread.ts', import.meta.url), { workerData: settings });
  const pushes = new Map<number, { resolve: (spans: number) => void; reject: (error: VivaceError) => void }>();
  const others = new Map<number, (ok: boolean) => void>();
  const questions = new Map<number, { resolve: (answer: unknown) => void; reject: (error: VivaceError) => void }>();
  let next = 1;
  let closing = false;
  let gone = false;
  let isReady = false;
  const gatherer = new PushGatherer((message, transfer) => worker.postMessage(message, transfer));
  const post = (message: ToWriter, transfer: MessagePort[] = []): void => {
    gatherer.flush();
    worker.postMessage(message, transfer);
  };
  const ready = new Promise<{ replayedSpans: number; damage: string[] }>((resolve, reject) => {
    worker.on('message', (message: FromWriter) => {
      switch (message.type) {
        case 'ready':
          isReady = true;
          resolve(message);
          break;
        case 'failed':
          // Before it is ready, who waits for that hears of it.
          if (isReady) events.onGone(new Error(message.message));
          reject(new VivaceError('internal', message.message));
          break;
        case 'pushed':
          for (const { id, spans, error } of message.answers) {
            const push = pushes.get(id)!;
            pushes.delete(id);
            if (error === undefined) push.resolve(spans);
            else push.reject(new VivaceError(error.code, error.message, { retryAfterMs: error.retryAfterMs }));
          }
          break;
        case 'done':
          others.get(message.id)?.(message.ok);
          others.delete(message.id);
          break;
        case 'deletions':
        case 'preview': {
          const waiting = questions.get(message.id);
          questions.delete(message.id);
          const { error } = message;
          if (error === undefined) waiting?.resolve(message.type === 'preview' ? message.preview : message.states);
          else waiting?.reject(new VivaceError(error.code, error.message, { retryAfterMs: error.retryAfterMs }));
          break;
        }
        case 'log':
          events.onLog(message.level, message.message, message.fields);
          break;
        case 'stats':
          events.onStats(message.stats);
      }
    });
    worker.on('error', (error) => {
      reject(error);
      events.onGone(error as Error);
    });
    worker.on('exit', () => {
      // Nobody waits for a thread that is not there any more.
      gone = true;
      for (const { reject } of [...pushes.values(), ...questions.values()])
        reject(new VivaceError('unavailable', 'the writer thread has ended'));
      questions.clear();
      for (const done of others.values()) done(false);
      pushes.clear();
      others.clear();
      if (!closing) events.onGone(new Error('the writer thread has ended'));
    });
  });
  ready.catch(() => {});
  const call = (message: (id: number) => ToWriter): Promise<boolean> =>
    new Promise((resolve) => {
      if (gone) return resolve(false);
      const id = next++;
      others.set(id, resolve);
      post(message(id));
    });
  const asked = <A>(message: (id: number) => ToWriter): Promise<A> =>
    new Promise((resolve, reject) => {
      if (gone) return reject(new VivaceError('unavailable', 'the writer thread has ended'));
      const id = next++;
      questions.set(id, { resolve: resolve as (answer: unknown) => void, reject });
      post(message(id));
    });
  return {
    ready,
    deleteTrace: async (tenant, trace) =>
      (await asked<DeletionState[]>((id) => ({ type: 'delete', id, tenant, trace })))[0],
    deletedTraces: (tenant, trace) =>
      asked<DeletionState[]>((id) => ({ type: 'deletions', id, tenant, ...(trace !== undefined && { trace }) })),
    push: (tenant, body) =>
      new Promise((resolve, reject) => {
        if (gone) return reject(new VivaceError('unavailable', 'the writer thread has ended'));
        pushes.set(gatherer.push(tenant, body), { resolve, reject });
      }),
    async flush(tenant) {
      if (!(await call((id) => ({ type: 'flush', id, tenant }))))
        throw new VivaceError('not-found', `cannot flush tenant ${tenant}: nothing of it is known`);
    },
    limit: (limits) => post({ type: 'limits', limits }),
    retain: (retentions, windows, rules) => post({ type: 'lifetimes', retentions, windows, rules }),
    previewRetention: (tenant, rules) => asked<RetentionPreview>((id) => ({ type: 'preview', id, tenant, rules })),
    suspect: (tenant, block) => post({ type: 'suspect', tenant, block }),
    async close() {
      const ok = await call((id) => ({ type: 'close', id }));
      closing = true;
      await worker.terminate();
      return ok;
    },
    connect(reader) {
      const { port1, port2 } = new MessageChannel();
      post({ type: 'reader', port: port1 }, [port1]);
      const hello: ToReader = { type: 'port', port: port2 };
      reader.postMessage(hello, [port2]);
    },
    connectBucket(port) {
      post({ type: 'bucket', port }, [port]);
    },
  };
}
