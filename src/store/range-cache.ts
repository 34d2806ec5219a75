/**
 * Parts of large objects that were read, kept in a file without a name: the system keeps in memory what is used most, and the
 * file is gone with the process, however it ends.
 *
 * ```
 *  object  ├── chunk 0 ──┼── chunk 1 ──┼── chunk 2 ──┼─┤        chunks of CHUNK_BYTES, the last one shorter
 *                 │             └─────────┐
 *  file    ├── slot 0 ──┼── slot 1 ──┼── slot 2 ──┤             least recently used slots are used again
 * ```
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
  /** Reads of the object itself. */
  read: (key: string, offset: number, length: number) => Promise<Uint8Array<ArrayBuffer>>;
}

export class RangeCache {
  readonly #read: RangeCacheOptions['read'];
  readonly #file: number | undefined;
  readonly #slotsMax: number;
  /** Slot and length of each chunk that is kept, least recently used first. */
  readonly #chunks = new Map<string, { slot: number; length: number }>();
  /** Slots below the number in use that hold nothing. */
  readonly #free: number[] = [];
  readonly #pending = new Map<string, Promise<Uint8Array>>();

  constructor({ directory, bytesMax, read }: RangeCacheOptions) {
    this.#read = read;
    this.#slotsMax = Math.floor(bytesMax / CHUNK_BYTES);
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
    if (this.#file === undefined) return this.#read(key, offset, length);
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
    if (this.#file !== undefined) this.range(key, size, offset, length).catch(() => {});
  }

  /** The chunks of a run, with one request. */
  #fetch(key: string, size: number, from: number, to: number): Promise<Uint8Array>[] {
    const at = from * CHUNK_BYTES;
    const run = this.#read(key, at, Math.min(to * CHUNK_BYTES, size) - at);
    return Array.from({ length: to - from }, (_, i) => {
      const name = `${key} ${from + i}`;
      const part = run.then((bytes) => bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
      this.#pending.set(name, part);
      part
        .then((bytes) => this.#keep(name, bytes))
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
      this.#free.push(chunk.slot);
      return undefined;
    }
    this.#chunks.set(name, chunk);
    return bytes;
  }

  /** Throws when the disk is full; then the chunk is just not kept. */
  #keep(name: string, bytes: Uint8Array): void {
    if (this.#chunks.has(name)) return;
    let slot = this.#free.pop() ?? this.#chunks.size;
    if (slot >= this.#slotsMax) {
      const [[oldest, used]] = this.#chunks;
      this.#chunks.delete(oldest);
      slot = used.slot;
    }
    try {
      if (fs.writeSync(this.#file!, bytes, 0, bytes.length, slot * CHUNK_BYTES) !== bytes.length)
        throw new Error('the disk is full');
      this.#chunks.set(name, { slot, length: bytes.length });
    } catch (error) {
      this.#free.push(slot);
      throw error;
    }
  }

  close(): void {
    if (this.#file !== undefined) fs.closeSync(this.#file);
  }
}
