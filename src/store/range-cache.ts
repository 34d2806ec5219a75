/**
 * Parts of large objects that were read, kept in a file without a name: the system keeps in memory what is used most, and the
 * file is gone with the process, however it ends.
 *
 * ```
 *  object  ├── chunk 0 ──┼── chunk 1 ──┼── chunk 2 ──┼─┤        chunks of CHUNK_BYTES, the last one shorter
 *                 │             └─────────┐
 *  file    ├── slot 0 ──┼── slot 1 ──┼── slot 2 ──┤             slots that nobody has used for long are used again
 * ```
 * Other threads of the process read what is kept without asking (`readShared`): they have the file's descriptor, and in shared memory
 * where each chunk of an object stands. A place is taken back there before its slot is used again, so who finds it unchanged
 * after reading has read the chunk.
 * A read takes what is there and asks for the rest in runs of neighbouring chunks. Those who want the same chunk at the same
 * time share one request. Objects must not change.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

export const CHUNK_BYTES = 128 * 1024;

export interface RangeCacheOptions {
  /** Where the file may be; undefined: nothing is kept. */
  directory: string | undefined;
  bytesMax: number;
  /** Reads of the object itself, which has `size` bytes. */
  read: (key: string, offset: number, length: number, size: number) => Promise<Uint8Array<ArrayBuffer>>;
}

/** What other threads need to read what is kept of an object. */
export interface SharedChunks {
  file: number;
  /** Two entries a chunk: its slot + 1, or 0; and how often that was set. */
  places: Int32Array;
  /** 1 for each slot that was read since somebody looked. */
  used: Uint8Array;
}

/** The bytes, in memory of the caller's own; undefined when not all of them are kept. */
export function readShared(
  { file, places, used }: SharedChunks,
  offset: number,
  length: number,
): Uint8Array<ArrayBuffer> | undefined {
  const first = Math.floor(offset / CHUNK_BYTES);
  const end = Math.ceil((offset + length) / CHUNK_BYTES);
  const before = new Int32Array(2 * (end - first));
  for (let i = 0; i < before.length; i++) before[i] = Atomics.load(places, 2 * first + i);
  for (let chunk = first; chunk < end; chunk++) if (before[2 * (chunk - first)] === 0) return undefined;
  const bytes = new Uint8Array(length);
  for (let chunk = first; chunk < end; ) {
    const slot = before[2 * (chunk - first)] - 1;
    const from = Math.max(offset, chunk * CHUNK_BYTES);
    const at = slot * CHUNK_BYTES + from - chunk * CHUNK_BYTES;
    // Chunks that were fetched together often stand together.
    do {
      used[before[2 * (chunk - first)] - 1] = 1;
      chunk++;
    } while (chunk < end && before[2 * (chunk - first)] === before[2 * (chunk - 1 - first)] + 1);
    const count = Math.min(offset + length, chunk * CHUNK_BYTES) - from;
    if (fs.readSync(file, bytes, from - offset, count, at) !== count) return undefined;
  }
  for (let i = 0; i < before.length; i++) if (Atomics.load(places, 2 * first + i) !== before[i]) return undefined;
  return bytes;
}

/** Whether `readShared` would find them. */
export function isShared({ places }: SharedChunks, offset: number, length: number): boolean {
  const end = Math.ceil((offset + length) / CHUNK_BYTES);
  for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk < end; chunk++)
    if (Atomics.load(places, 2 * chunk) === 0) return false;
  return true;
}

interface Kept {
  key: string;
  chunk: number;
  slot: number;
  length: number;
}

/** Objects whose places are told to others, at a time. */
const SHARED_MAX = 4096;

export class RangeCache {
  readonly #read: RangeCacheOptions['read'];
  readonly #file: number | undefined;
  readonly #slotsMax: number;
  /** The chunks that are kept, those that were asked for least recently first. */
  readonly #chunks = new Map<string, Kept>();
  readonly #used: Uint8Array;
  /** By object: where its chunks stand. */
  readonly #places = new Map<string, Int32Array>();
  /** Slots below the number in use that hold nothing. */
  readonly #free: number[] = [];
  readonly #pending = new Map<string, Promise<Uint8Array>>();

  constructor({ directory, bytesMax, read }: RangeCacheOptions) {
    this.#read = read;
    this.#slotsMax = Math.floor(bytesMax / CHUNK_BYTES);
    this.#used = new Uint8Array(new SharedArrayBuffer(this.#slotsMax));
    if (directory === undefined || this.#slotsMax === 0) return;
    const name = path.join(directory, `.bucket-cache-${randomUUID()}`);
    this.#file = fs.openSync(name, 'wx+', 0o600);
    fs.unlinkSync(name);
  }

  get bytes(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  /** Bytes of an object of `size` bytes, the caller's own. */
  async range(key: string, size: number, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#file === undefined) return this.#read(key, offset, length, size);
    const out = new Uint8Array(length);
    const first = Math.floor(offset / CHUNK_BYTES);
    const end = Math.ceil((offset + length) / CHUNK_BYTES);
    const waits: Promise<void>[] = [];
    const put = (chunk: number, bytes: Uint8Array): void => {
      const at = chunk * CHUNK_BYTES - offset;
      out.set(at < 0 ? bytes.subarray(-at, length - at) : bytes.subarray(0, length - at), Math.max(at, 0));
    };
    for (let chunk = first; chunk < end; ) {
      const name = `${key} ${chunk}`;
      const kept = this.#kept(name);
      if (kept !== undefined) put(chunk++, kept);
      else if (this.#pending.has(name)) {
        const own = chunk++;
        waits.push(this.#pending.get(name)!.then((bytes) => put(own, bytes)));
      } else {
        const from = chunk;
        do chunk++;
        while (chunk < end && !this.#chunks.has(`${key} ${chunk}`) && !this.#pending.has(`${key} ${chunk}`));
        this.#fetch(key, size, from, chunk).forEach((part, i) => {
          waits.push(part.then((bytes) => put(from + i, bytes)));
        });
      }
    }
    await Promise.all(waits);
    return out;
  }

  /** Gets what is not kept, for a later read; what fails is found out then. */
  warm(key: string, size: number, offset: number, length: number): void {
    if (this.#file === undefined) return;
    const end = Math.ceil((offset + length) / CHUNK_BYTES);
    const isKept = (chunk: number): boolean => {
      const name = `${key} ${chunk}`;
      return this.#chunks.has(name) || this.#pending.has(name);
    };
    for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk < end; chunk++) {
      const from = chunk;
      while (chunk < end && !isKept(chunk)) chunk++;
      if (chunk > from) for (const part of this.#fetch(key, size, from, chunk)) part.catch(() => {});
    }
  }

  /** Objects whose keys begin so will not be asked for any more. `isWiped`: no byte of them is to stay. */
  forget(prefix: string, isWiped: boolean): void {
    for (const [name, kept] of this.#chunks) {
      if (!kept.key.startsWith(prefix)) continue;
      this.#chunks.delete(name);
      this.#tell(kept, 0);
      if (isWiped) this.#wipe(kept);
      this.#free.push(kept.slot);
    }
    for (const key of [...this.#places.keys()]) if (key.startsWith(prefix)) this.#places.delete(key);
  }

  /** For `readShared`, as long as the object is asked for; undefined when nothing is kept at all. */
  shared(key: string, size: number): SharedChunks | undefined {
    if (this.#file === undefined) return undefined;
    let places = this.#places.get(key);
    if (places === undefined) {
      const chunks = Math.ceil(size / CHUNK_BYTES);
      places = new Int32Array(new SharedArrayBuffer(8 * chunks));
      for (let chunk = 0; chunk < chunks; chunk++) {
        const kept = this.#chunks.get(`${key} ${chunk}`);
        if (kept !== undefined) place(places, chunk, kept.slot + 1);
      }
    }
    this.#places.delete(key);
    this.#places.set(key, places);
    if (this.#places.size > SHARED_MAX) {
      const [[oldest, forgotten]] = this.#places;
      for (let chunk = 0; chunk < forgotten.length / 2; chunk++) place(forgotten, chunk, 0);
      this.#places.delete(oldest);
    }
    return { file: this.#file, places, used: this.#used };
  }

  /** The chunks of a run, with one request. */
  #fetch(key: string, size: number, from: number, to: number): Promise<Uint8Array>[] {
    const at = from * CHUNK_BYTES;
    const run = this.#read(key, at, Math.min(to * CHUNK_BYTES, size) - at, size);
    return Array.from({ length: to - from }, (_, i) => {
      const name = `${key} ${from + i}`;
      const part = run.then((bytes) => bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
      this.#pending.set(name, part);
      part
        .then((bytes) => this.#keep(key, from + i, bytes))
        .catch(() => {})
        .finally(() => this.#pending.delete(name));
      return part;
    });
  }

  #kept(name: string): Uint8Array | undefined {
    const chunk = this.#chunks.get(name);
    if (chunk === undefined) return undefined;
    this.#chunks.delete(name);
    const bytes = new Uint8Array(chunk.length);
    if (fs.readSync(this.#file!, bytes, 0, chunk.length, chunk.slot * CHUNK_BYTES) !== chunk.length) {
      this.#tell(chunk, 0);
      this.#free.push(chunk.slot);
      return undefined;
    }
    this.#chunks.set(name, chunk);
    return bytes;
  }

  /** Throws when the disk is full; then the chunk is just not kept. */
  #keep(key: string, chunk: number, bytes: Uint8Array): void {
    const name = `${key} ${chunk}`;
    if (this.#chunks.has(name)) return;
    const free = this.#free.pop();
    const slot = free ?? (this.#chunks.size < this.#slotsMax ? this.#chunks.size : this.#evict());
    try {
      if (fs.writeSync(this.#file!, bytes, 0, bytes.length, slot * CHUNK_BYTES) !== bytes.length)
        throw new Error('the disk is full');
      const kept = { key, chunk, slot, length: bytes.length };
      this.#chunks.set(name, kept);
      this.#tell(kept, slot + 1);
    } catch (error) {
      this.#free.push(slot);
      throw error;
    }
  }

  /** Frees the slot of a chunk that nobody has asked for or read for long. */
  #evict(): number {
    for (const [name, kept] of this.#chunks) {
      this.#chunks.delete(name);
      if (this.#used[kept.slot] === 0) {
        this.#tell(kept, 0);
        return kept.slot;
      }
      this.#used[kept.slot] = 0;
      this.#chunks.set(name, kept);
    }
    throw new Error('no slot is in use');
  }

  #wipe({ slot, length }: Kept): void {
    try {
      fs.writeSync(this.#file!, new Uint8Array(length), 0, length, slot * CHUNK_BYTES);
    } catch {
      // A full disk lets the slot be what it is until it is used again.
    }
  }

  #tell({ key, chunk }: Kept, slot: number): void {
    const places = this.#places.get(key);
    if (places !== undefined) place(places, chunk, slot);
  }

  close(): void {
    if (this.#file !== undefined) fs.closeSync(this.#file);
  }
}

function place(places: Int32Array, chunk: number, slot: number): void {
  Atomics.store(places, 2 * chunk, slot);
  Atomics.add(places, 2 * chunk + 1, 1);
}
