/** Reads that take too long altogether, however often a client asks again meanwhile, are given up as `unavailable`. */
import { VivaceError } from '../runtime/errors.ts';
import { type Bucket, bucketError, type CallOptions } from './bucket.ts';

export function withDeadline(bucket: Bucket, msMax: number): Bucket {
  const inTime = async <A>(
    key: string,
    outer: CallOptions['signal'],
    read: (signal: AbortSignal) => Promise<A>,
  ): Promise<A> => {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), msMax);
    try {
      return await read(outer === undefined ? late.signal : AbortSignal.any([outer, late.signal]));
    } catch (error) {
      if (!late.signal.aborted || !(error instanceof VivaceError) || error.code !== 'cancelled') throw error;
      const reason = `nothing came for ${msMax} ms; look after the server and the way to it`;
      throw bucketError('unavailable', `read ${key}`, bucket.name, reason);
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    ...bucket,
    get: (key, call) => inTime(key, call.signal, (signal) => bucket.get(key, { ...call, signal })),
    range: (key, offset, length, call) =>
      inTime(key, call?.signal, (signal) => bucket.range(key, offset, length, { ...call, signal })),
  };
}
