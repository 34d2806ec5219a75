/**
 * Memory of what node:http2 reads from one connection, given back as soon as it has been copied out.
 *
 *   a read of the socket (≤ 64 KiB)   [ frame │ DATA of stream 1 │ DATA of stream 3 │ … ]   one ArrayBuffer
 *                                             └─ piece ────────┘ └─ piece ────────┘        slices of it
 *
 * Left to the garbage collector, these buffers make it collect the whole heap all the time, because memory outside the heap
 * counts: 35 collections a million spans instead of one, a fifth of the CPU of the whole server. A buffer is done with when a
 * later one is seen (until then node may still parse it) and no stream has pieces waiting that its reader has not seen yet.
 */
import type { ServerHttp2Stream } from 'node:http2';

/** Smaller ones are left to the garbage collector. */
const GIVEN_BACK_BYTES_MIN = 4096;

/** The buffers of one session. */
export class Http2Buffers {
  readonly #streams = new Set<ServerHttp2Stream>();
  #shared = false;
  /** Weak, so that a connection that rests holds nothing. */
  #newest: WeakRef<ArrayBufferLike> | undefined;
  #done: ArrayBuffer[] = [];

  /** A stream of the session whose reader reports all its pieces to `copied`, or throws them away. */
  add(stream: ServerHttp2Stream): void {
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
  }

  /** Somebody else reads a stream of the session, and may keep pieces: from now on nothing is given back. */
  share(): void {
    this.#shared = true;
    this.#done = [];
  }

  /** Nobody needs this piece any more. Its bytes may be gone as soon as the caller returns to the event loop. */
  copied(piece: Uint8Array): void {
    const { buffer } = piece;
    const last = this.#newest?.deref();
    if (last === buffer || this.#shared) return;
    this.#newest = new WeakRef(buffer);
    if (!(last instanceof ArrayBuffer) || last.byteLength < GIVEN_BACK_BYTES_MIN) return;
    // One tick later, because until then there may be streams in the session that nobody was told of; no more, so that the
    // next read gets this memory, which is mapped and in the cache.
    if (this.#done.push(last) === 1) process.nextTick(this.#giveBack);
  }

  readonly #giveBack = (): void => {
    const done = this.#done;
    this.#done = [];
    for (const stream of this.#streams) if (stream.readableLength > 0) return;
    for (const buffer of done) buffer.transfer(0);
  };
}
