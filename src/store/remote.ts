/** What the buckets of services have in common, whichever client speaks to them: how calls fail, and how objects are read. */
import type { Readable } from 'node:stream';
import { VivaceError } from '../runtime/errors.ts';
import { type BodyLimits, readBody } from './body.ts';
import { type Bucket, type BucketFailure, bucketError, type CallOptions, type StoredObject } from './bucket.ts';

/** Runs `work`; what it throws becomes an error of the bucket, unless it is one. */
export type Call = <A>(action: string, options: CallOptions | undefined, work: () => Promise<A>) => Promise<A>;

/** `codeOf` and `reasonOf` explain the client's errors. */
export function callsOf(
  name: string,
  codeOf: (error: unknown, action: string) => BucketFailure,
  reasonOf: (error: unknown, action: string) => string,
): Call {
  return async (action, options, work) => {
    try {
      options?.signal?.throwIfAborted();
      return await work();
    } catch (error) {
      if (error instanceof VivaceError) throw error;
      throw options?.signal?.aborted
        ? bucketError('cancelled', action, name, 'nobody waits for it')
        : bucketError(codeOf(error, action), action, name, reasonOf(error, action));
    }
  };
}

/** `read`: the object from `offset`, `length` bytes of it or all. `silentMs`: a body that brings nothing for so long is not waited for. */
export function readsOf(
  name: string,
  silentMs: number,
  read: (
    key: string,
    offset: number,
    length: number | undefined,
    limits: BodyLimits,
    options: CallOptions,
  ) => Promise<StoredObject>,
): Pick<Bucket, 'get' | 'range'> {
  return {
    get(key, options) {
      const { bytesMax } = options;
      const tooLarge = () => bucketError('too-large', `read ${key}`, name, `it has more than ${bytesMax} bytes`);
      return read(key, 0, undefined, { bytesMax, tooLarge, silentMs }, options);
    },
    async range(key, offset, length, options = {}) {
      if (length === 0) return new Uint8Array(0);
      return (await read(key, offset, length, { length, silentMs }, options)).bytes;
    },
  };
}

export const BODY_ATTEMPTS = 3;

/** Reads an object, again when the body breaks off although the answer began well: clients ask again only before that. */
export async function readWhole(
  open: () => Promise<{ body: Readable; version: string }>,
  limits: BodyLimits,
  signal: AbortSignal | undefined,
): Promise<StoredObject> {
  for (let attempt = 1; ; attempt++) {
    const { body, version } = await open();
    try {
      return { bytes: await readBody(body, limits, signal), version };
    } catch (error) {
      if (error instanceof VivaceError || signal?.aborted || attempt === BODY_ATTEMPTS) throw error;
    }
  }
}
