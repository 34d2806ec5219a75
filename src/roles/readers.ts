/** The main thread's side of the reader threads: questions with numbers, answers as promises. */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { VivaceError } from '../runtime/errors.ts';
import type {
  Listener,
  MetricsAnswer,
  MetricsPartialAnswer,
  Queries,
  SearchAnswer,
  TagNamesAnswer,
  TagValuesAnswer,
  TraceAnswer,
} from '../serve/queries.ts';
import type { Admission, Place } from './admission.ts';
import type { QuestionCount } from './question-count.ts';
import type { FromReader, Question, ReaderSettings, ToReader } from './reader-thread.ts';
import type { PartsAnswer, PartsRequest } from './split-parts.ts';

const SLOTS = 4096;
/**
 * Of a reader's young generation: what a query makes lives until it is answered, and a smaller one, as bin/vivace sets it for all
 * threads, would copy it again and again (a search for 3,400 spans collects 8 times instead of 40).
 */
const READER_SEMI_SPACE_MB = 4;
const SEMI_SPACE_MB = 2;
/**
 * What a reader's heap may never come near. With a bound below 2 GB, V8 lets garbage grow to half of what lives, and not to three times
 * that, before it collects: 35 to 45 MB less after wide queries, at the same CPU time.
 */
const READER_OLD_SPACE_MB = 768;

export interface ReaderEvents {
  /** A thread has ended though nobody asked it to. */
  onGone(error: Error): void;
  /** A block cannot be read; told again only after a while. */
  onDamage(block: string, tenant: string, message: string): void;
  /** An answer was given without blocks that the bucket did not give. */
  onPartial(op: string, tenant: string): void;
}

/** What a process answers to others on its folder beside what it answers to clients. */
export interface ProcessQueries extends Queries {
  parts(request: PartsRequest, signal: AbortSignal): Promise<PartsAnswer>;
}

/** Starts reader threads on demand, up to `count`, and spreads queries over them: each goes to the one with the fewest. */
export function startReaders(
  count: number,
  settings: Omit<ReaderSettings, 'cancelled' | 'lastAsked' | 'number'>,
  connect: (reader: Worker) => void,
  admission: Admission,
  questions: QuestionCount,
  { onGone, onDamage, onPartial }: ReaderEvents,
): { queries: ProcessQueries; close(): Promise<void> } {
  const cancelled = new SharedArrayBuffer(4 * SLOTS);
  const flags = new Int32Array(cancelled);
  const readers: { worker: Worker; busy: number }[] = [];
  const waiting = new Map<
    number,
    {
      resolve: (answer: unknown) => void;
      reject: (error: Error) => void;
      place: Place;
      listener: Listener<unknown> | undefined;
    }
  >();
  const lastAsked = new Int32Array(new SharedArrayBuffer(4));
  let next = 1;
  let nextSlot = 0;
  let closing = false;

  const start = (): { worker: Worker; busy: number } => {
    // The flag of the program overrules limits of workers, so it is another one while the thread comes up.
    setFlagsFromString(`--max-semi-space-size=${READER_SEMI_SPACE_MB}`);
    const worker = new Worker(new URL('./reader-thread.ts', import.meta.url), {
      workerData: {
        ...settings,
        cancelled,
        lastAsked: lastAsked.buffer,
        number: readers.length + 1,
      } satisfies ReaderSettings,
      resourceLimits: { maxOldGenerationSizeMb: READER_OLD_SPACE_MB },
    });
    worker.once('online', () => setFlagsFromString(`--max-semi-space-size=${SEMI_SPACE_MB}`));
    worker.on('message', (message: FromReader) => {
      if (message.type === 'started') return;
      if (message.type === 'damage') return onDamage(message.block, message.tenant, message.message);
      if (message.type === 'partial') return onPartial(message.op, message.tenant);
      const asked = waiting.get(message.id);
      if (message.type === 'long') return asked?.place.becameLong();
      if (message.type === 'progress') return asked?.listener?.onProgress?.(message.answer);
      waiting.delete(message.id);
      if (message.type === 'error')
        return asked?.reject(new VivaceError(message.code, message.message, { cause: message.stack }));
      asked?.listener?.onReceipt?.(message.receipt);
      if (message.explanation !== undefined) asked?.listener?.onExplanation?.(message.explanation);
      asked?.resolve(message.answer);
    });
    worker.on('error', (error) => onGone(error as Error));
    worker.on('exit', () => {
      if (!closing) onGone(new Error('a reader thread has ended'));
    });
    connect(worker);
    const reader = { worker, busy: 0 };
    readers.push(reader);
    return reader;
  };

  const ask = async (question: Question, signal: AbortSignal, listener?: Listener<never>): Promise<unknown> => {
    questions.add(1);
    try {
      return await admitted(question, signal, listener);
    } finally {
      questions.add(-1);
    }
  };

  const admitted = async (question: Question, signal: AbortSignal, listener?: Listener<never>): Promise<unknown> => {
    const id = next++;
    Atomics.store(lastAsked, 0, id);
    const place = await admission.enter(question.request.tenant, signal);
    // None is started before it is wanted: an idle one takes 15 MiB, starting it 0.2 s of the first query.
    let reader =
      readers.length === 0 ? start() : readers.reduce((least, each) => (each.busy < least.busy ? each : least));
    if (reader.busy > 0 && readers.length < count) reader = start();
    const slot = nextSlot++ % SLOTS;
    Atomics.store(flags, slot, 0);
    const cancel = (): void => {
      Atomics.store(flags, slot, 1);
    };
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    reader.busy++;
    try {
      return await new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject, place, listener: listener as Listener<unknown> | undefined });
        const progress = listener?.onProgress !== undefined;
        const explain = listener?.onExplanation !== undefined;
        const message: ToReader = { type: 'ask', id, slot, question, progress, explain };
        reader.worker.postMessage(message);
      });
    } finally {
      reader.busy--;
      place.leave();
      signal.removeEventListener('abort', cancel);
    }
  };

  return {
    queries: {
      trace: (request, signal, listener) =>
        ask({ op: 'trace', request }, signal, listener) as Promise<TraceAnswer | undefined>,
      search: (request, signal, listener) => ask({ op: 'search', request }, signal, listener) as Promise<SearchAnswer>,
      searchBody: (request, form, signal, listener) =>
        ask({ op: 'search', request, form }, signal, listener) as Promise<Uint8Array>,
      tagNames: (request, signal, listener) =>
        ask({ op: 'tagNames', request }, signal, listener) as Promise<TagNamesAnswer>,
      tagValues: (request, signal, listener) =>
        ask({ op: 'tagValues', request }, signal, listener) as Promise<TagValuesAnswer>,
      metrics: (request, signal, listener) =>
        ask({ op: 'metrics', request }, signal, listener) as Promise<MetricsAnswer>,
      metricsBody: (request, form, signal, listener) =>
        ask({ op: 'metrics', request, form }, signal, listener) as Promise<Uint8Array>,
      metricsPartial: (request, signal, listener) =>
        ask({ op: 'metrics', request, form: 'partial' }, signal, listener) as Promise<MetricsPartialAnswer>,
      parts: (request, signal) => ask({ op: 'parts', request }, signal) as Promise<PartsAnswer>,
    },
    async close() {
      closing = true;
      await Promise.all(readers.map(({ worker }) => worker.terminate()));
    },
  };
}
