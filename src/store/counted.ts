/** Tells of every operation on a bucket: for metrics (`tempodb_backend_request_duration_seconds`) and for tests. */
import { VivaceError } from '../runtime/errors.ts';
import type { Bucket } from './bucket.ts';

/** Operations as the HTTP methods that carry them, results as HTTP statuses; a listing is one GET, however many pages. */
export type OnOperation = (operation: 'GET' | 'PUT' | 'POST' | 'DELETE', status: number, seconds: number) => void;

export function counted(bucket: Bucket, onOperation: OnOperation): Bucket {
  const timed = async <A>(
    operation: Parameters<OnOperation>[0],
    status: number,
    work: () => Promise<A>,
  ): Promise<A> => {
    const began = performance.now();
    let told = status;
    try {
      return await work();
    } catch (error) {
      told = statusOf(error);
      throw error;
    } finally {
      onOperation(operation, told, (performance.now() - began) / 1000);
    }
  };
  return {
    name: bucket.name,
    partBytes: bucket.partBytes,
    get: (key, options) => timed('GET', 200, () => bucket.get(key, options)),
    range: (key, offset, length, options) => timed('GET', 206, () => bucket.range(key, offset, length, options)),
    put: (key, bytes, options) => timed('PUT', 200, () => bucket.put(key, bytes, options)),
    multipart: (key, parts, options) => timed('POST', 200, () => bucket.multipart(key, parts, options)),
    async *list(prefix, options) {
      const began = performance.now();
      let status = 200;
      try {
        yield* bucket.list(prefix, options);
      } catch (error) {
        status = statusOf(error);
        throw error;
      } finally {
        onOperation('GET', status, (performance.now() - began) / 1000);
      }
    },
    folders: (prefix, options) => timed('GET', 200, () => bucket.folders(prefix, options)),
    delete: (key, options) => timed('DELETE', 204, () => bucket.delete(key, options)),
    close: () => bucket.close(),
  };
}

function statusOf(error: unknown): number {
  if (!(error instanceof VivaceError)) return 500;
  switch (error.code) {
    case 'not-found':
      return 404;
    case 'precondition':
      return 412;
    case 'cancelled':
      return 499;
    case 'too-large':
      return 413;
    default:
      return 503;
  }
}
