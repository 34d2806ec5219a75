/**
 * Reads that take long are asked a second time, beside the first: of two answers of a store the faster one is seldom slow.
 * Whoever comes first wins; the others are aborted.
 */
import type { Bucket, CallOptions } from './bucket.ts';

export interface HedgeOptions {
  afterMs: number;
  /** Most requests for one read, the first included. */
  upTo: number;
  onHedge: () => void;
}

export function hedged(bucket: Bucket, options: HedgeOptions): Bucket {
  if (options.afterMs <= 0 || options.upTo <= 1) return bucket;
  return {
    ...bucket,
    get: (key, call) => race(options, call.signal, (signal) => bucket.get(key, { ...call, signal })),
    range: (key, offset, length, call) =>
      race(options, call?.signal, (signal) => bucket.range(key, offset, length, { ...call, signal })),
  };
}

/** The first success; the first failure when all that were begun have failed: the bucket has tried often enough. */
function race<A>(
  { afterMs, upTo, onHedge }: HedgeOptions,
  outer: CallOptions['signal'],
  ask: (signal: AbortSignal) => Promise<A>,
): Promise<A> {
  const done = new AbortController();
  const signal = outer === undefined ? done.signal : AbortSignal.any([outer, done.signal]);
  return new Promise<A>((resolve, reject) => {
    let begun = 0;
    let running = 0;
    let failure: unknown;
    let timer: NodeJS.Timeout | undefined;
    const begin = (): void => {
      clearTimeout(timer);
      if (begun > 0) onHedge();
      begun++;
      running++;
      ask(signal).then(
        (answer) => {
          clearTimeout(timer);
          resolve(answer);
          done.abort();
        },
        (error: unknown) => {
          failure ??= error;
          running--;
          if (running > 0) return;
          clearTimeout(timer);
          reject(failure);
        },
      );
      if (begun < upTo) timer = setTimeout(begin, afterMs);
    };
    begin();
  });
}
