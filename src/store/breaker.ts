/**
 * Reads of a bucket that cannot be reached fail at once for a while, instead of each waiting its time in vain: a question about
 * many blocks is then answered from what can be read. Afterwards one read tries whether it can be reached again, and the others
 * do not wait for that.
 */
import type { VivaceError } from '../runtime/errors.ts';
import { type Bucket, isUnavailable } from './bucket.ts';

export interface BreakerOptions {
  /** So many reads fail, one after the other, before others do without being tried; for so long. */
  failuresMax: number;
  pauseMs: number;
  nowMs: () => number;
  onPause: (error: VivaceError) => void;
}

export function withBreaker(bucket: Bucket, { failuresMax, pauseMs, nowMs, onPause }: BreakerOptions): Bucket {
  let failures = 0;
  let trying = false;
  let last: VivaceError | undefined;
  let untilMs = Number.NEGATIVE_INFINITY;
  const tried = async <A>(read: () => Promise<A>): Promise<A> => {
    const isTrial = failures >= failuresMax;
    if (last !== undefined && (nowMs() < untilMs || (isTrial && trying))) throw last;
    if (isTrial) trying = true;
    try {
      const answer = await read();
      failures = 0;
      return answer;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      last = error;
      if (++failures >= failuresMax) {
        if (nowMs() >= untilMs) onPause(error);
        untilMs = nowMs() + pauseMs;
      }
      throw error;
    } finally {
      if (isTrial) trying = false;
    }
  };
  return {
    ...bucket,
    get: (key, options) => tried(() => bucket.get(key, options)),
    range: (key, offset, length, options) => tried(() => bucket.range(key, offset, length, options)),
  };
}
