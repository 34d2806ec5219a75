/**
 * Arrays for one piece of work at a time, out of memory that is given back at its end. What a cut needs (37 MB for 150,000
 * spans) would otherwise be garbage, and for so much the engine collects all of a thread's heap, three times a cut: with its
 * own threads' share a tenth of the CPU of receiving.
 */
export interface Arrays {
  /** `length` zeros. */
  uint8(length: number): Uint8Array<ArrayBuffer>;
  int32(length: number): Int32Array<ArrayBuffer>;
  uint32(length: number): Uint32Array<ArrayBuffer>;
  /** Does some of the work; the arrays that are made meanwhile must not be used afterwards. */
  scoped<T>(work: () => T): T;
}

/** Arrays of their own, for work that does not come again. */
export const OWN_ARRAYS: Arrays = {
  uint8: (length) => new Uint8Array(length),
  int32: (length) => new Int32Array(length),
  uint32: (length) => new Uint32Array(length),
  scoped: (work) => work(),
};

interface Slab {
  buffer: ArrayBuffer;
  /** Bytes from here on were not used yet, and are zeros. */
  clean: number;
}

const SLAB_BYTES = 4 * 1024 * 1024;

/**
 * Hands out slabs from front to back. `reset` takes all arrays back at once: whoever still holds one sees what the next piece
 * of work writes, or nothing.
 */
export class Arena implements Arrays {
  readonly #keptSlabs: number;
  #slabs: Slab[] = [];
  #slab = 0;
  #used = 0;

  /** Up to `keptBytes` are kept from one piece of work to the next. */
  constructor(keptBytes: number) {
    // When a thread detaches its first buffer, all code is thrown away that was compiled for buffers that never are: that must
    // not happen after the first piece of work (130 functions of a merge).
    new ArrayBuffer(1).transfer(0);
    this.#keptSlabs = Math.floor(keptBytes / SLAB_BYTES);
  }

  uint8(length: number): Uint8Array<ArrayBuffer> {
    const { buffer, at, dirty } = this.#take(length);
    const array = new Uint8Array(buffer, at, length);
    return dirty ? array.fill(0) : array;
  }

  int32(length: number): Int32Array<ArrayBuffer> {
    const { buffer, at, dirty } = this.#take(4 * length);
    const array = new Int32Array(buffer, at, length);
    return dirty ? array.fill(0) : array;
  }

  uint32(length: number): Uint32Array<ArrayBuffer> {
    const { buffer, at, dirty } = this.#take(4 * length);
    const array = new Uint32Array(buffer, at, length);
    return dirty ? array.fill(0) : array;
  }

  scoped<T>(work: () => T): T {
    const slab = this.#slab;
    const used = this.#used;
    try {
      return work();
    } finally {
      this.#slab = slab;
      this.#used = used;
    }
  }

  /** Takes all arrays back; `keptBytes` of memory stay. */
  reset(): void {
    this.#free(this.#keptSlabs);
  }

  /** Takes all arrays and all memory back. */
  release(): void {
    this.#free(0);
  }

  #free(kept: number): void {
    for (const { buffer } of this.#slabs.splice(kept)) buffer.transfer(0);
    // A slab of its own size for a large array is not one to keep.
    for (let index = this.#slabs.length - 1; index >= 0; index--)
      if (this.#slabs[index].buffer.byteLength > SLAB_BYTES) this.#slabs.splice(index, 1)[0].buffer.transfer(0);
    this.#slab = this.#used = 0;
  }

  #take(bytes: number): { buffer: ArrayBuffer; at: number; dirty: boolean } {
    const padded = (bytes + 63) & ~63;
    while (this.#slab < this.#slabs.length && this.#used + padded > this.#slabs[this.#slab].buffer.byteLength) {
      this.#slab++;
      this.#used = 0;
    }
    if (this.#slab === this.#slabs.length)
      this.#slabs.push({ buffer: new ArrayBuffer(Math.max(SLAB_BYTES, padded)), clean: 0 });
    const slab = this.#slabs[this.#slab];
    const at = this.#used;
    const dirty = at < slab.clean;
    this.#used = at + padded;
    slab.clean = Math.max(slab.clean, this.#used);
    return { buffer: slab.buffer, at, dirty };
  }
}
