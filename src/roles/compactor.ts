/**
 * The compactor thread as who chooses blocks sees it. It is kept between merges: what the engine compiles for a thread takes about
 * as long as merging a million spans, and while spans arrive there are new blocks to merge every minute.
 */
import { Worker } from 'node:worker_threads';
import type { CompactorDone, CompactorWork, FromCompactor } from './compactor-thread.ts';

/** A thread that has merged nothing for so long ends, and its memory with it. */
const IDLE_MS_MAX = 2 * 60_000;
/** Far above what it needs, but below 2 GB the engine collects when garbage is half of what lives, and not three times that. */
const OLD_SPACE_MB = 768;

interface Run {
  onMessage: (message: FromCompactor) => void;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class Compactor {
  #worker: Worker | undefined;
  #run: Run | undefined;
  #idle: NodeJS.Timeout | undefined;

  /** Has the thread merge, and starts it if there is none. One call at a time. Rejects when the thread ends before it is done. */
  async run(work: CompactorWork, onMessage: Run['onMessage']): Promise<void> {
    clearTimeout(this.#idle);
    const worker = (this.#worker ??= this.#start());
    worker.ref();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#run = { onMessage, resolve, reject };
        worker.postMessage(work);
      });
    } finally {
      this.#run = undefined;
    }
    worker.unref();
    this.#idle = setTimeout(() => this.stop(), IDLE_MS_MAX).unref();
  }

  /** Ends the thread; what it is at is given up, and the blocks stay as they are. */
  async stop(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    const run = this.#run;
    this.#worker = undefined;
    await worker?.terminate();
    run?.reject(new Error('the thread that merges was ended'));
  }

  #start(): Worker {
    const worker = new Worker(new URL('./compactor-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: OLD_SPACE_MB },
    });
    const gone = (error: unknown): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#run?.reject(error);
    };
    worker.on('message', (message: FromCompactor | CompactorDone) => {
      if (message.type === 'done') this.#run?.resolve();
      else this.#run?.onMessage(message);
    });
    worker.on('error', gone);
    worker.on('exit', () => gone(new Error('the thread that merges has ended')));
    return worker;
  }
}
