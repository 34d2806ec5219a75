/**
 * The durable log of one process: numbered segment files in a folder of its own, written by group commit. While one
 * write to the disk is under way, what arrives meanwhile gathers for the next one, so the cost of a sync is shared by all
 * requests that wait for it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory } from '../runtime/sync-directory.ts';
import { isDiskFull, VivaceError } from '../runtime/errors.ts';
import { RECORD_CUT, RECORD_SPANS, recordHead } from './record.ts';
import { alignedBlocks, SegmentFile } from './segment-file.ts';

export const SEGMENT_MAGIC = new TextEncoder().encode('VIVLOG1\n');

/** Others write to the disk, too. */
const FREE_CHECKED_MS = 1000;

export interface LocalLogOptions {
  /** Folder of this process's segments; made when missing. */
  directory: string;
  fsync: 'always' | 'never';
  /** A segment is closed when it is longer than this. */
  segmentBytesMax: number;
  /** Sequence number of the first record. */
  firstSequence?: number;
  /** Bytes that must stay free on the disk after a write, so that what is in memory can still be cut to blocks. */
  reserveBytes: () => number;
}

interface Segment {
  number: number;
  bytes: number;
  lastSequence: number;
}

export class LocalLog {
  readonly #options: LocalLogOptions;
  #file: SegmentFile | undefined;
  readonly #blocks = alignedBlocks();
  /** Bytes of a segment without records. */
  #headBytes = 0;
  #current: Segment;
  #closed: Segment[] = [];
  #closedBytes = 0;
  #releasedBytes = 0;
  #sequence: number;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #rotate = false;
  #tenants = new Map<string, Uint8Array>();
  #freeBytes = 0;
  #freeCheckedAfterBytes = 0;
  #freeCheckedMs = 0;

  constructor(options: LocalLogOptions) {
    this.#options = options;
    this.#sequence = options.firstSequence ?? 1;
    this.#current = { number: 1, bytes: 0, lastSequence: 0 };
  }

  /** Makes the folder and its first segment. */
  async open(): Promise<void> {
    await fs.promises.mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    await this.#openSegment();
  }

  /** Bytes in all segments that are still there. */
  get bytes(): number {
    return this.#closedBytes + this.#current.bytes;
  }

  /** The same, and bytes of those that were released. */
  get writtenBytes(): number {
    return this.bytes + this.#releasedBytes;
  }

  /** Number of the file that what was added goes to, or an earlier one. */
  get file(): number {
    const isFull = this.#rotate || this.#current.bytes > this.#options.segmentBytesMax;
    return this.#current.number + (isFull ? 1 : 0);
  }

  get segments(): number {
    return this.#closed.length + 1;
  }

  /** Bytes handed over and not yet written. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Queues a request for the next commit; returns its sequence number. `body` must not change until then. */
  add(tenant: string, body: Uint8Array): number {
    return this.#add(RECORD_SPANS, tenant, body);
  }

  /** Queues the note that everything of `tenant` up to `sequence` is in a durable block. */
  addCut(tenant: string, sequence: number): void {
    const body = new Uint8Array(8);
    new DataView(body.buffer).setFloat64(0, sequence, true);
    this.#add(RECORD_CUT, tenant, body);
  }

  /** The next commit begins a new segment. */
  rotate(): void {
    if (this.#current.bytes + this.#pendingBytes > this.#headBytes) this.#rotate = true;
  }

  /** Forgets what is queued; its sequence numbers are not used again. */
  discardPending(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** Requests that arrive in the same turn share a commit. */
  async gather(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /**
   * Writes all that is queued and waits until it is on disk. One commit at a time. Throws VivaceError 'exhausted' when the
   * disk is full and 'unavailable' when it fails otherwise; then nothing of the commit stays in the log.
   */
  async commit(): Promise<void> {
    const buffers = this.#pending;
    const bytes = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (buffers.length === 0) return;
    const last = this.#sequence - 1;
    try {
      await this.#requireRoom(bytes);
      if (this.#rotate || this.#current.bytes > this.#options.segmentBytesMax) await this.#nextSegment();
      await this.#file!.append(buffers);
    } catch (error) {
      await this.#cutTail();
      throw this.#failure(error);
    }
    this.#current.bytes = this.#file!.bytes;
    this.#current.lastSequence = last;
  }

  /** Deletes the closed segments whose records all have sequence numbers up to `sequence`. */
  async release(sequence: number): Promise<void> {
    while (this.#closed.length > 0 && this.#closed[0].lastSequence <= sequence) {
      const segment = this.#closed.shift()!;
      this.#closedBytes -= segment.bytes;
      this.#releasedBytes += segment.bytes;
      await fs.promises.rm(this.#path(segment.number), { force: true });
      this.#freeCheckedAfterBytes = 0;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Closes the log and removes its folder: all that it held is in durable blocks. */
  async destroy(): Promise<void> {
    await this.close();
    await fs.promises.rm(this.#options.directory, { recursive: true, force: true });
  }

  #add(type: number, tenant: string, body: Uint8Array): number {
    let name = this.#tenants.get(tenant);
    if (name === undefined) {
      name = new TextEncoder().encode(tenant);
      if (this.#tenants.size > 100_000) this.#tenants.clear();
      this.#tenants.set(tenant, name);
    }
    const sequence = this.#sequence++;
    const head = recordHead(sequence, type, name, body);
    this.#pending.push(head, body);
    this.#pendingBytes += head.length + body.length;
    return sequence;
  }

  /** Asks the file system how much room there is, but only after a while or 8 MiB, unless room is short. */
  async #requireRoom(bytes: number): Promise<void> {
    const reserve = this.#options.reserveBytes();
    const isShort = this.#freeBytes - bytes < 2 * reserve;
    if (isShort || this.#freeCheckedAfterBytes <= 0 || performance.now() - this.#freeCheckedMs > FREE_CHECKED_MS) {
      const stats = await fs.promises.statfs(this.#options.directory);
      this.#freeBytes = stats.bavail * stats.bsize;
      this.#freeCheckedAfterBytes = 8 * 1024 * 1024;
      this.#freeCheckedMs = performance.now();
    }
    if (this.#freeBytes - bytes < reserve) {
      this.#freeCheckedAfterBytes = 0;
      throw new VivaceError(
        'exhausted',
        `cannot write to the log in ${this.#options.directory}: the disk is full (${this.#freeBytes} bytes free, ${reserve} are kept to cut what is in memory to blocks); make room or shorten the retention`,
        { retryAfterMs: 5000 },
      );
    }
    this.#freeBytes -= bytes;
    this.#freeCheckedAfterBytes -= bytes;
  }

  async #nextSegment(): Promise<void> {
    const previous = this.#current;
    await this.#file?.close();
    this.#file = undefined;
    if (previous.bytes > 0) {
      this.#closed.push(previous);
      this.#closedBytes += previous.bytes;
    }
    this.#current = { number: previous.number + 1, bytes: 0, lastSequence: previous.lastSequence };
    this.#rotate = false;
    await this.#openSegment();
  }

  async #openSegment(): Promise<void> {
    const durable = this.#options.fsync === 'always';
    const file = await SegmentFile.create(this.#path(this.#current.number), durable, this.#blocks);
    try {
      await file.append([SEGMENT_MAGIC]);
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#file = file;
    this.#current.bytes = this.#headBytes = file.bytes;
    if (durable) await syncDirectory(this.#options.directory);
  }

  /** After a failed write: nothing of it may stay before the next record. */
  async #cutTail(): Promise<void> {
    this.#freeCheckedAfterBytes = 0;
    try {
      if (this.#file === undefined) await this.#openSegment();
      else await this.#file.takeBack();
    } catch {
      // The segment is left as it is: what was written of the failed commit is a torn tail or unacknowledged; go on in a new one.
      this.#rotate = true;
    }
  }

  #failure(error: unknown): VivaceError {
    if (error instanceof VivaceError) return error;
    const full = isDiskFull(error);
    return new VivaceError(
      full ? 'exhausted' : 'unavailable',
      `cannot write to the log in ${this.#options.directory}: ${full ? 'the disk is full' : (error as Error).message}`,
      { cause: error, retryAfterMs: full ? 5000 : 1000 },
    );
  }

  #path(number: number): string {
    return path.join(this.#options.directory, `${String(number).padStart(8, '0')}.log`);
  }
}
