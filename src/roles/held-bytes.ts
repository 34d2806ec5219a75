/** Bytes that threads hold for queries, in memory of all threads: each tells its own, and whoever lets queries begin adds them up. */
export class HeldBytes {
  /** What another thread makes its own `HeldBytes` of. */
  readonly shared: SharedArrayBuffer;
  readonly #kib: Int32Array;

  /** `from` is how many threads there are, the first being number 0, or what another thread shares. */
  constructor(from: number | SharedArrayBuffer) {
    this.shared = typeof from === 'number' ? new SharedArrayBuffer(from * Int32Array.BYTES_PER_ELEMENT) : from;
    this.#kib = new Int32Array(this.shared);
  }

  tell(thread: number, bytes: number): void {
    Atomics.store(this.#kib, thread, bytes >>> 10);
  }

  get sum(): number {
    let kib = 0;
    for (let thread = 0; thread < this.#kib.length; thread++) kib += Atomics.load(this.#kib, thread);
    return kib * 1024;
  }
}
