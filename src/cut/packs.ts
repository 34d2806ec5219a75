/**
 * Requests of tenants that have few spans, as the bytes that came. The columns of a tenant cost a hundred kilobytes for its
 * first span, so where there is no memory for those of every tenant, the others' requests are kept as they are: in pages of
 * one pool, and when that is nearly full, compressed in files. Whoever wants the spans (a query, a cut) reads the requests
 * and has columns for as long as it works.
 *
 * ```
 *  pack of a tenant   [file, offset, stored, raw] …   chunks in files, oldest first; each a zstd frame
 *                     chunk on its way to a file      pages of the pool
 *                     chunk                           pages of the pool
 *  chunk              [length u32][request] [length u32][request] …
 * ```
 * The files say nothing that the log does not say: they are never synced and of no use to another process.
 */
import fs from 'node:fs';
import path from 'node:path';
import { messageOf } from '../runtime/errors.ts';
import { decompress } from '../parquet/compress.ts';
import { compressZstd } from '../parquet/page-zstd.ts';

const PAGE_BYTES = 2048;
const SLAB_PAGES = 512;
/** Milliseconds of work after which the thread is let go. */
const SLICE_MS = 4;
/** A write takes chunks of together about this many bytes. */
const WRITE_BYTES = 1024 * 1024;
const FILE_BYTES = 64 * 1024 * 1024;
/** Half the time of level 1, and a fifth more bytes, which are read once and never synced. */
const ZSTD_LEVEL = -3;
const RETRY_MS = 1000;
/** A trace that was noted within so many is not noted again. */
const NOTED_AGAIN = 16;

/** Of the many packs that have nothing in files. */
const NO_PLACES = new Uint32Array(0);

interface Chunk {
  pages: number[];
  bytes: number;
}

/** The requests of one tenant. */
export class Pack {
  /** Bytes of all requests, with their lengths. */
  bytes = 0;
  chunk: Chunk = { pages: [], bytes: 0 };
  /** On its way to a file. */
  leaving: Chunk | undefined;
  /** Four words a chunk in a file: file, offset, bytes there, bytes when decompressed. */
  places: Uint32Array = NO_PLACES;
  placed = 0;
  dropped = false;
  /** Last words of trace ids, some more than once. */
  #ends = new Uint32Array(4);
  #endCount = 0;

  /** A trace of which a request has spans, by the last word of its id. */
  note(end: number): void {
    const count = this.#endCount;
    for (let i = count - 1; i >= 0 && i >= count - NOTED_AGAIN; i--) if (this.#ends[i] === end) return;
    if (count === this.#ends.length) {
      const wider = new Uint32Array(2 * count);
      wider.set(this.#ends);
      this.#ends = wider;
    }
    this.#ends[this.#endCount++] = end;
  }

  mayHold(end: number): boolean {
    return this.#ends.subarray(0, this.#endCount).includes(end);
  }
}

/** What a reader thread needs to read a pack. */
export interface PackSnapshot {
  id: number;
  tenant: string;
  directory: string;
  places: Uint32Array;
  /** The chunks in memory, as one. */
  rest: Uint8Array;
  attributeBytesMax: number;
}

interface PackFile {
  number: number;
  handle: fs.promises.FileHandle;
  bytes: number;
  /** Chunks that are still wanted. */
  chunks: number;
}

export interface PacksOptions {
  /** Where the files go. */
  directory: string;
  /** Memory for all packs; one request may go beyond it. */
  bytesMax: number;
  /** There is memory again. */
  onRoom: () => void;
  onFailed: (error: Error) => void;
}

export class Packs {
  readonly #directory: string;
  readonly #bytesMax: number;
  readonly #onRoom: () => void;
  readonly #onFailed: (error: Error) => void;
  readonly #packs = new Set<Pack>();
  readonly #lengthBytes = new Uint8Array(4);
  readonly #length = new DataView(this.#lengthBytes.buffer);
  /** A chunk that is being compressed, and frames that are being written. */
  #raw = new Uint8Array(0);
  #out = new Uint8Array(0);
  #slabs: Uint8Array[] = [];
  #free: number[] = [];
  #pages = 0;
  readonly #files = new Map<number, PackFile>();
  #current: PackFile | undefined;
  #nextFile = 1;
  #leaving: Promise<void> | undefined;
  #reserved = 0;

  constructor(options: PacksOptions) {
    this.#directory = options.directory;
    this.#bytesMax = options.bytesMax;
    this.#onRoom = options.onRoom;
    this.#onFailed = options.onFailed;
  }

  /** Bytes of memory in use. */
  get bytes(): number {
    return (this.#pages - this.#free.length) * PAGE_BYTES + this.#reserved;
  }

  get fileBytes(): number {
    let bytes = 0;
    for (const file of this.#files.values()) bytes += file.bytes;
    return bytes;
  }

  create(): Pack {
    const pack = new Pack();
    this.#packs.add(pack);
    return pack;
  }

  /** Sets memory aside for a request that will be added or not; false when there is none. */
  reserve(requestBytes: number): boolean {
    const pages = pagesOf(requestBytes);
    if (this.bytes + pages > this.#bytesMax && this.bytes > 0) {
      this.#makeRoom();
      return false;
    }
    this.#reserved += pages;
    return true;
  }

  unreserve(requestBytes: number): void {
    this.#reserved -= pagesOf(requestBytes);
  }

  /** Copies a request to the end of the pack. */
  add(pack: Pack, body: Uint8Array): void {
    this.#length.setUint32(0, body.length, true);
    this.#append(pack.chunk, this.#lengthBytes);
    this.#append(pack.chunk, body);
    pack.bytes += 4 + body.length;
    if (this.bytes > 0.75 * this.#bytesMax) this.#makeRoom();
  }

  /** The pack is not wanted any more. */
  drop(pack: Pack): void {
    this.#packs.delete(pack);
    pack.dropped = true;
    this.#give(pack.chunk);
    // What is on its way is given back when it has arrived.
    for (let at = 0; at < 4 * pack.placed; at += 4) this.#forget(pack.places[at]);
  }

  /** Overwrites what the pack has in files: its bytes are to be nowhere. */
  async erase(pack: Pack): Promise<void> {
    for (let at = 0; at < 4 * pack.placed; at += 4) {
      const [file, offset, stored] = pack.places.subarray(at, at + 3);
      await this.#files.get(file)!.handle.write(new Uint8Array(stored), 0, stored, offset);
    }
  }

  /** What there is of the pack now, for another thread. */
  snapshot(pack: Pack): Pick<PackSnapshot, 'directory' | 'places' | 'rest'> {
    const chunks = pack.leaving === undefined ? [pack.chunk] : [pack.leaving, pack.chunk];
    const rest = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.bytes, 0));
    let at = 0;
    for (const chunk of chunks) {
      this.#copy(chunk, rest.subarray(at));
      at += chunk.bytes;
    }
    return { directory: this.#directory, places: pack.places.slice(0, 4 * pack.placed), rest };
  }

  /** Reads the requests of a pack that nothing is added to any more, in order. */
  async read(pack: Pack, each: (body: Uint8Array) => void, pause: () => Promise<void>): Promise<void> {
    while (pack.leaving !== undefined) await this.#leaving;
    const frames = Array.from({ length: pack.placed }, async (_, i) => {
      const [file, offset, stored] = pack.places.subarray(4 * i, 4 * i + 3);
      const bytes = new Uint8Array(stored);
      await this.#files.get(file)!.handle.read(bytes, 0, stored, offset);
      return bytes;
    });
    let began = performance.now();
    for (const [i, frame] of (await Promise.all(frames)).entries()) {
      eachRequest(decompress('zstd', frame, pack.places[4 * i + 3]), each);
      if (performance.now() - began < SLICE_MS) continue;
      await pause();
      began = performance.now();
    }
    const rest = new Uint8Array(pack.chunk.bytes);
    this.#copy(pack.chunk, rest);
    eachRequest(rest, each);
  }

  /** Removes the files; for when no pack is wanted any more. */
  async close(): Promise<void> {
    await this.#leaving;
    await Promise.all([...this.#files.values()].map((file) => this.#remove(file)));
    this.#current = undefined;
  }

  #append(chunk: Chunk, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const inPage = chunk.bytes % PAGE_BYTES;
      if (inPage === 0) chunk.pages.push(this.#page());
      const part = Math.min(PAGE_BYTES - inPage, bytes.length - at);
      const page = chunk.pages[chunk.pages.length - 1];
      const to = (page % SLAB_PAGES) * PAGE_BYTES + inPage;
      this.#slabs[Math.floor(page / SLAB_PAGES)].set(bytes.subarray(at, at + part), to);
      chunk.bytes += part;
      at += part;
    }
  }

  #copy(chunk: Chunk, into: Uint8Array): void {
    for (let i = 0; i < chunk.pages.length; i++) {
      const page = chunk.pages[i];
      const from = (page % SLAB_PAGES) * PAGE_BYTES;
      const bytes = Math.min(PAGE_BYTES, chunk.bytes - i * PAGE_BYTES);
      into.set(this.#slabs[Math.floor(page / SLAB_PAGES)].subarray(from, from + bytes), i * PAGE_BYTES);
    }
  }

  #page(): number {
    const page = this.#free.pop();
    if (page !== undefined) return page;
    this.#slabs.push(new Uint8Array(SLAB_PAGES * PAGE_BYTES));
    for (let i = SLAB_PAGES - 1; i >= 0; i--) this.#free.push(this.#pages + i);
    this.#pages += SLAB_PAGES;
    return this.#free.pop()!;
  }

  #give(chunk: Chunk): void {
    for (const page of chunk.pages) this.#free.push(page);
    if (this.#free.length === this.#pages) {
      this.#slabs = [];
      this.#free = [];
      this.#pages = 0;
      if (this.#leaving === undefined) this.#out = new Uint8Array(0);
    }
  }

  /** Brings large chunks to files until half of the memory is free. */
  #makeRoom(): void {
    this.#leaving ??= this.#leave().catch(async (error: unknown) => {
      this.#onFailed(new Error(`cannot write requests to ${this.#directory}: ${messageOf(error)}`, { cause: error }));
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      this.#leaving = undefined;
    });
  }

  async #leave(): Promise<void> {
    // What adds to the pool now is done first.
    await new Promise((resolve) => setImmediate(resolve));
    const all = this.#largerFirst();
    let next = 0;
    while (next < all.length && this.bytes > this.#bytesMax / 2) {
      const packs: Pack[] = [];
      const stored: number[] = [];
      const raws: number[] = [];
      let bytes = 0;
      const began = performance.now();
      for (; next < all.length && bytes < WRITE_BYTES && performance.now() - began < SLICE_MS; next++) {
        const pack = all[next];
        if (pack.dropped || pack.chunk.bytes === 0) continue;
        if (this.#raw.length < pack.chunk.bytes) this.#raw = new Uint8Array(2 * pack.chunk.bytes);
        const raw = this.#raw.subarray(0, pack.chunk.bytes);
        this.#copy(pack.chunk, raw);
        const frame = compressZstd(raw, ZSTD_LEVEL);
        this.#out = withRoom(this.#out, bytes, frame.length);
        this.#out.set(frame, bytes);
        pack.leaving = pack.chunk;
        pack.chunk = { pages: [], bytes: 0 };
        packs.push(pack);
        stored.push(frame.length);
        raws.push(raw.length);
        bytes += frame.length;
      }
      if (packs.length === 0) continue;
      try {
        await this.#write(packs, stored, raws, bytes);
      } catch (error) {
        for (const pack of packs) this.#stay(pack);
        throw error;
      }
      this.#onRoom();
    }
    this.#leaving = undefined;
  }

  /** Packs with something in memory: those with more than most first, which are as good as sorted ones and take less time. */
  #largerFirst(): Pack[] {
    let bytes = 0;
    let count = 0;
    for (const { chunk } of this.#packs) {
      bytes += chunk.bytes;
      if (chunk.bytes > 0) count++;
    }
    const larger: Pack[] = [];
    const others: Pack[] = [];
    for (const pack of this.#packs)
      if (pack.chunk.bytes > 0) (pack.chunk.bytes * count > bytes ? larger : others).push(pack);
    for (const pack of others) larger.push(pack);
    return larger;
  }

  /** Writes what is in `#out`: of each pack a frame of so many bytes. */
  async #write(packs: Pack[], stored: number[], raws: number[], bytes: number): Promise<void> {
    if (this.#current === undefined || this.#current.bytes > FILE_BYTES) await this.#nextPackFile();
    const file = this.#current!;
    for (let at = 0; at < bytes; )
      at += (await file.handle.write(this.#out, at, bytes - at, file.bytes + at)).bytesWritten;
    for (let i = 0; i < packs.length; i++) {
      const pack = packs[i];
      this.#give(pack.leaving!);
      pack.leaving = undefined;
      file.chunks++;
      if (pack.dropped) this.#forget(file.number);
      else place(pack, file.number, file.bytes, stored[i], raws[i]);
      file.bytes += stored[i];
    }
  }

  /** What could not be written stays in memory, before what came meanwhile. */
  #stay(pack: Pack): void {
    const { leaving, chunk } = pack;
    if (leaving === undefined) return;
    pack.leaving = undefined;
    if (pack.dropped) {
      this.#give(leaving);
      return;
    }
    const later = new Uint8Array(chunk.bytes);
    this.#copy(chunk, later);
    this.#give(chunk);
    pack.chunk = leaving;
    this.#append(leaving, later);
  }

  async #nextPackFile(): Promise<void> {
    const number = this.#nextFile++;
    const handle = await fs.promises.open(packFile(this.#directory, number), 'w+', 0o600);
    const before = this.#current;
    this.#current = { number, handle, bytes: 0, chunks: 0 };
    this.#files.set(number, this.#current);
    if (before?.chunks === 0) await this.#remove(before);
  }

  #forget(number: number): void {
    const file = this.#files.get(number);
    if (file === undefined) return;
    file.chunks--;
    if (file.chunks === 0 && file !== this.#current) this.#remove(file).catch(this.#onFailed);
  }

  async #remove(file: PackFile): Promise<void> {
    this.#files.delete(file.number);
    await file.handle.close();
    await fs.promises.rm(packFile(this.#directory, file.number), { force: true });
  }
}

/** The requests of a snapshot, in order. Errors are the system's: ENOENT when the pack is not wanted any more. */
export async function readPack(snapshot: PackSnapshot, each: (body: Uint8Array) => void): Promise<void> {
  const { directory, places, rest } = snapshot;
  let file: fs.promises.FileHandle | undefined;
  let number = 0;
  try {
    for (let at = 0; at < places.length; at += 4) {
      const [wanted, offset, stored, raw] = places.subarray(at, at + 4);
      if (wanted !== number) {
        await file?.close();
        file = undefined;
        file = await fs.promises.open(packFile(directory, wanted), 'r');
        number = wanted;
      }
      const bytes = new Uint8Array(stored);
      await file!.read(bytes, 0, stored, offset);
      eachRequest(decompress('zstd', bytes, raw), each);
    }
  } finally {
    await file?.close();
  }
  eachRequest(rest, each);
}

/** The array, or a larger one that begins with the same `used` bytes, with room for more. */
function withRoom(bytes: Uint8Array<ArrayBuffer>, used: number, more: number): Uint8Array<ArrayBuffer> {
  if (used + more <= bytes.length) return bytes;
  const wider = new Uint8Array(Math.max(WRITE_BYTES, 2 * (used + more)));
  wider.set(bytes.subarray(0, used));
  return wider;
}

/** Bytes of the pages that a request takes at most. */
function pagesOf(requestBytes: number): number {
  return Math.ceil((4 + requestBytes) / PAGE_BYTES) * PAGE_BYTES;
}

function place(pack: Pack, ...words: [file: number, offset: number, stored: number, raw: number]): void {
  const at = 4 * pack.placed;
  if (at === pack.places.length) {
    const wider = new Uint32Array(at + 4 * Math.max(4, pack.placed >>> 1));
    wider.set(pack.places);
    pack.places = wider;
  }
  pack.places.set(words, at);
  pack.placed++;
}

function eachRequest(chunk: Uint8Array, each: (body: Uint8Array) => void): void {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  for (let at = 0; at < chunk.length; ) {
    const length = view.getUint32(at, true);
    each(chunk.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
}

function packFile(directory: string, number: number): string {
  return path.join(directory, `${String(number).padStart(8, '0')}.pack`);
}
