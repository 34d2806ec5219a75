/** Reads the body of an answer into one array, within a limit and without waiting for ever. */
import type { Readable } from 'node:stream';
import type { VivaceError } from '../runtime/errors.ts';

export type BodyLimits = {
  /** Longest time without a byte. */
  silentMs: number;
} & (
  | { /** Exactly so many bytes. */ length: number }
  | { /** At most so many bytes. */ bytesMax: number; tooLarge: () => VivaceError }
);

/** Rejects when the body breaks off, stalls, is not as long as it should be, or the signal is aborted. */
export function readBody(body: Readable, limits: BodyLimits, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const whole = 'length' in limits ? new Uint8Array(limits.length) : undefined;
    const chunks: Uint8Array[] = [];
    let length = 0;
    const stop = (error: Error): void => {
      clearTimeout(timer);
      body.destroy();
      reject(error);
    };
    const timer = setTimeout(() => stop(new Error(`nothing came for ${limits.silentMs} ms`)), limits.silentMs);
    const aborted = (): void => stop(signal!.reason as Error);
    if (signal?.aborted) return aborted();
    signal?.addEventListener('abort', aborted, { once: true });
    body.on('data', (chunk: Uint8Array) => {
      timer.refresh();
      length += chunk.length;
      if (whole !== undefined) {
        if (length <= whole.length) whole.set(chunk, length - chunk.length);
        else stop(new Error(`more than the ${whole.length} bytes came that were asked for`));
      } else if ('bytesMax' in limits && length > limits.bytesMax) stop(limits.tooLarge());
      else chunks.push(chunk);
    });
    body.on('error', stop);
    body.on('close', () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      reject(new Error('the answer broke off'));
    });
    body.on('end', () => {
      if (whole !== undefined && length !== whole.length)
        return stop(new Error(`${length} of ${whole.length} bytes came`));
      resolve(whole ?? new Uint8Array(Buffer.concat(chunks)));
    });
  });
}
