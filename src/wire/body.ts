/**
 * Reading request bodies within bounds, for HTTP and gRPC alike.
 *
 * A body is copied, chunk by chunk, into one buffer of its own that can be transferred to another thread, unless it came in one
 * piece that is such a buffer. With a known length that buffer is exact from the start (up to a megabyte, then it doubles as
 * bytes really arrive, so that an announced length alone costs nothing).
 *
 * All bodies share a budget of bytes received and not yet let go. When it is spent readers pause, which becomes
 * back pressure in TCP or HTTP/2. One reader at a time may overdraw: without that, many half-read bodies could hold the
 * whole budget while none can finish.
 */
import type { Readable } from 'node:stream';
import { VivaceError } from '../runtime/errors.ts';
import { RequestPlaces } from './request-places.ts';

/** What an announced length may cost before its bytes arrive. */
const FIRST_BYTES_MAX = 1 << 20;
/** A body must bring this much within the idle time, or its end. */
const PROGRESS_BYTES_MIN = 1024;

export const BODY_IDLE_MS_MAX = 60_000;
export const BODY_BYTES_IN_FLIGHT_MAX = 64 << 20;

/** A growing buffer, exact when the length is known. */
export class BodyBuffer {
  #bytes: Buffer<ArrayBuffer>;
  #length = 0;
  readonly #expected: number;

  /** `expected`: the length when it is known, otherwise undefined. */
  constructor(expected: number | undefined) {
    this.#expected = expected ?? Number.MAX_SAFE_INTEGER;
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(expected ?? 16 << 10, FIRST_BYTES_MAX));
  }

  get length(): number {
    return this.#length;
  }

  /** A buffer with the whole of a body, taken over when nothing else lies in its memory. */
  static whole(chunk: Buffer): BodyBuffer {
    const { buffer, length } = chunk;
    const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === length;
    const body = new BodyBuffer(isOwn ? 0 : length);
    if (isOwn) {
      body.#bytes = chunk as Buffer<ArrayBuffer>;
      body.#length = length;
    } else body.append(chunk);
    return body;
  }

  append(chunk: Buffer, start = 0, end = chunk.length): void {
    const need = this.#length + end - start;
    if (need > this.#bytes.length) {
      const size = Math.max(need, Math.min(this.#bytes.length * 2, this.#expected));
      // Moved, so that the smaller one is no garbage (see giveBack).
      this.#bytes = Buffer.from(this.#bytes.buffer.transfer(size));
    }
    chunk.copy(this.#bytes, this.#length, start, end);
    this.#length = need;
  }

  /** The bytes in an ArrayBuffer of exactly their size, owned by the caller. */
  finish(): Uint8Array<ArrayBuffer> {
    const { buffer } = this.#bytes;
    return new Uint8Array(buffer.byteLength === this.#length ? buffer : buffer.transfer(this.#length));
  }
}

/** The same bytes in an ArrayBuffer that holds nothing else; copied only if they do not have one already. */
export function ownedBytes(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.byteLength === bytes.buffer.byteLength) return new Uint8Array(bytes.buffer);
  return new Uint8Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** Somebody whose reading can be stopped and continued. */
export interface Pausable {
  pause(): unknown;
  resume(): unknown;
}

/** Bytes of bodies held at once by a process, and requests; one object is shared by all listeners. */
export class BodyBudget {
  readonly bytesMax: number;
  readonly places: RequestPlaces;
  #used = 0;
  #overdrawer: Pausable | undefined;
  readonly #waiting = new Set<Pausable>();

  constructor(bytesMax: number = BODY_BYTES_IN_FLIGHT_MAX, requestsMax?: number) {
    this.bytesMax = bytesMax;
    this.places = new RequestPlaces(requestsMax);
  }

  get usedBytes(): number {
    return this.#used;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Counts bytes that `reader` received. False: it was paused and will be resumed when there is room. */
  take(reader: Pausable, bytes: number): boolean {
    this.#used += bytes;
    if (this.#used <= this.bytesMax || this.#overdrawer === reader) return true;
    if (this.#overdrawer === undefined) {
      this.#overdrawer = reader;
      return true;
    }
    this.#waiting.add(reader);
    reader.pause();
    return false;
  }

  /** Gives back all that `reader` took, when its body has been dealt with or given up. */
  release(reader: Pausable, bytes: number): void {
    this.#used -= bytes;
    // Whoever has given up or is done must still be drained of what its client sends.
    if (this.#waiting.delete(reader)) reader.resume();
    if (this.#overdrawer === reader) this.#overdrawer = undefined;
    for (const next of this.#waiting) {
      if (this.#used > this.bytesMax) {
        if (this.#overdrawer !== undefined) return;
        this.#overdrawer = next;
      }
      this.#waiting.delete(next);
      next.resume();
    }
  }
}

/**
 * Reads a whole HTTP body. Rejects with VivaceError 'too-large' as soon as the body is known to exceed `bytesMax`,
 * 'cancelled' when the client goes away and 'deadline' when it stalls. The reader keeps its bytes in the budget until
 * the caller calls `budget.release(stream, length)` after success; after a rejection nothing is held.
 */
export function readBody(
  stream: Readable,
  options: { length: number | undefined; bytesMax: number; idleMsMax: number; budget: BodyBudget },
): Promise<Uint8Array<ArrayBuffer>> {
  const { length, bytesMax, budget } = options;
  return new Promise((resolve, reject) => {
    if (length !== undefined && length > bytesMax) return reject(tooLarge(bytesMax));
    let body: BodyBuffer | undefined;
    let unseen = 0;
    let settled = false;
    const timer = setTimeout(() => {
      // A reader that waits for the budget is not idle by its own fault.
      if (stream.isPaused()) timer.refresh();
      else fail(new VivaceError('deadline', 'cannot read request body: the client sent nothing for too long'));
    }, options.idleMsMax);
    timer.unref();
    stream.on('data', (chunk: Buffer) => {
      if (settled) return;
      // Read once: freeing a piece leaves it empty.
      const received = chunk.length;
      if ((body?.length ?? 0) + received > bytesMax) return fail(tooLarge(bytesMax));
      if (body === undefined && received === length) body = BodyBuffer.whole(chunk);
      else {
        body ??= new BodyBuffer(length);
        body.append(chunk);
        giveBack(chunk);
      }
      if ((unseen += received) >= PROGRESS_BYTES_MIN) {
        unseen = 0;
        timer.refresh();
      }
      budget.take(stream, received);
    });
    stream.on('end', () => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      resolve(body === undefined ? new Uint8Array(0) : body.finish());
    });
    stream.on('error', leave);
    stream.on('close', leave);

    /** Every stream closes; an error costs a look at the stack. */
    function leave(): void {
      if (!settled) fail(gone());
    }

    function fail(error: VivaceError): void {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (body !== undefined) budget.release(stream, body.length);
      reject(error);
    }
  });
}

/**
 * Gives the memory of a large piece back at once, if nothing else lies in its buffer; it is empty afterwards. Left to the garbage collector, pieces of 64 KiB at 80 MB/s make it collect
 * the whole heap several times a second, because memory outside the heap counts: 0.6 of 1.6 CPU-seconds of this thread.
 */
export function giveBack(bytes: Uint8Array): void {
  if (bytes.length >= 16384 && bytes.buffer.byteLength === bytes.length && bytes.buffer instanceof ArrayBuffer)
    bytes.buffer.transfer(0);
}

function gone(): VivaceError {
  return new VivaceError('cancelled', 'cannot read request body: the client closed the connection');
}

/** The refusal of a body beyond its bound. */
export function tooLarge(bytesMax: number): VivaceError {
  return new VivaceError(
    'too-large',
    `cannot read request body: body too large, more than ${bytesMax} bytes; send smaller batches`,
  );
}
