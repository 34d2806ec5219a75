/**
 * Requests on their way from the main thread to the writer thread. Those that arrive in one turn of the loop go in one message,
 * the small ones together in one buffer: a message and a buffer that changes hands cost more than a request of ten spans.
 */

/** Consecutive requests, the first of which has the number `first`. */
export interface Pushes {
  type: 'push';
  first: number;
  tenants: string[];
  lengths: number[];
  /** The bodies below `SMALL_BYTES`, one after the other. */
  small: Uint8Array<ArrayBuffer>;
  /** The others, each alone. */
  large: Uint8Array<ArrayBuffer>[];
}

const SMALL_BYTES = 16 << 10;
/** So much does not wait for more. */
const GATHERED_BYTES_MAX = 256 << 10;

/** The main thread's side. */
export class PushGatherer {
  readonly #post: (pushes: Pushes, transfer: ArrayBuffer[]) => void;
  #next = 1;
  #tenants: string[] = [];
  #bodies: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  #isScheduled = false;
  readonly #flushLater = (): void => {
    this.#isScheduled = false;
    this.flush();
  };

  constructor(post: (pushes: Pushes, transfer: ArrayBuffer[]) => void) {
    this.#post = post;
  }

  /** Sends a request, soon; returns its number. The body's memory is taken. */
  push(tenant: string, body: Uint8Array<ArrayBuffer>): number {
    this.#tenants.push(tenant);
    this.#bodies.push(body);
    this.#bytes += body.length;
    const id = this.#next++;
    if (this.#bytes >= GATHERED_BYTES_MAX) this.flush();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      // After all sockets that have something to be read have been read.
      setImmediate(this.#flushLater);
    }
    return id;
  }

  /** Sends what is gathered now: before any other message that must not come before it. */
  flush(): void {
    const tenants = this.#tenants;
    const bodies = this.#bodies;
    if (bodies.length === 0) return;
    this.#tenants = [];
    this.#bodies = [];
    this.#bytes = 0;
    const lengths = bodies.map(({ length }) => length);
    const small = new Uint8Array(lengths.reduce((sum, length) => sum + (length < SMALL_BYTES ? length : 0), 0));
    const large: Uint8Array<ArrayBuffer>[] = [];
    let at = 0;
    for (const body of bodies) {
      if (body.length >= SMALL_BYTES) large.push(body);
      else {
        small.set(body, at);
        at += body.length;
        // As garbage they would stay until much has gathered: 23 MB, and twice the CPU.
        if (body.length === body.buffer.byteLength) body.buffer.transfer(0);
      }
    }
    const first = this.#next - bodies.length;
    const transfer = [small.buffer, ...large.map(({ buffer }) => buffer)];
    this.#post({ type: 'push', first, tenants, lengths, small, large }, transfer);
  }
}

/**
 * The writer's side: calls `each` for every request, in order; `done` is to be called once, when its body is not wanted any more. The
 * memory of bodies is given back then, not when the garbage collector comes round.
 */
export function eachPush(
  { first, tenants, lengths, small, large }: Pushes,
  each: (id: number, tenant: string, body: Uint8Array, done: () => void) => void,
): void {
  let waiting = tenants.length - large.length;
  const smallDone = (): void => {
    if (--waiting === 0) small.buffer.transfer(0);
  };
  let at = 0;
  let larges = 0;
  for (let i = 0; i < tenants.length; i++) {
    if (lengths[i] < SMALL_BYTES) {
      each(first + i, tenants[i], small.subarray(at, at + lengths[i]), smallDone);
      at += lengths[i];
    } else {
      const body = large[larges++];
      each(first + i, tenants[i], body, () => void body.buffer.transfer(0));
    }
  }
}
