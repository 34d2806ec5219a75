/**
 * The log of a process whose disk vanishes with it (`ingester.ack: storage`): a request is answered when an object in the bucket
 * holds it. What arrives within half a second is one object, so that the number of writes does not grow with the load.
 *
 * ```
 *  vivace~log/<instance>/owner          written anew every 15 s while the process lives
 *                        00000001.log   the records of one commit (record.ts), as in a segment of a local log
 *                        00000002.log
 *                        taken          which process replays the log of a dead one
 * ```
 * No tenant can have the name of the folder. An object goes when all its spans are in blocks that the bucket has; that they
 * are in blocks on this machine says nothing here.
 */
import { VivaceError } from '../runtime/errors.ts';
import type { ListedObject, PutOptions, StoredObject } from '../store/bucket.ts';
import { RECORD_SPANS, recordHead } from './record.ts';

/** Folder of the logs in the bucket. */
export const LOG_FOLDER = 'vivace~log';

/** The objects below LOG_FOLDER, by the rest of their keys; functions throw as those of a bucket. */
export interface LogObjects {
  /** Returns the version. The bytes' memory may be taken. */
  put(name: string, bytes: Uint8Array<ArrayBuffer>, only?: PutOptions['only']): Promise<string>;
  get(name: string): Promise<StoredObject>;
  list(prefix: string): Promise<ListedObject[]>;
  delete(name: string): Promise<void>;
}

export interface ObjectLogOptions {
  objects: LogObjects;
  instance: string;
  /** Milliseconds from the beginning of one commit to that of the next. */
  groupMs: number;
  nowMs: () => number;
  /** An object could not be deleted; it is tried again. */
  onProblem: (message: string) => void;
}

interface Written {
  name: string;
  lastSequence: number;
  bytes: number;
}

/** So many waiting bytes do not wait for their time. */
const GROUP_BYTES_MAX = 4 * 1024 * 1024;

export class ObjectLog {
  readonly #options: ObjectLogOptions;
  readonly #uploads = new UploadsAwaited();
  #sequence = 1;
  #number = 1;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #beganMs = Number.NEGATIVE_INFINITY;
  #full: (() => void) | undefined;
  #written: Written[] = [];
  #deletedBytes = 0;
  #deletableTo = 0;
  #deleting: Promise<void> | undefined;

  constructor(options: ObjectLogOptions) {
    this.#options = options;
  }

  /** Bytes in all objects that are still there. */
  get bytes(): number {
    return this.#written.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The same, and bytes of those that were deleted. */
  get writtenBytes(): number {
    return this.bytes + this.#deletedBytes;
  }

  /** Number of the object that what was added goes to. */
  get file(): number {
    return this.#number;
  }

  get segments(): number {
    return this.#written.length;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Queues a request for the next commit; returns its sequence number. `body` must not change until then. */
  add(tenant: string, body: Uint8Array): number {
    const sequence = this.#sequence++;
    const head = recordHead(sequence, RECORD_SPANS, new TextEncoder().encode(tenant), body);
    this.#pending.push(head, body);
    this.#pendingBytes += head.length + body.length;
    if (this.#pendingBytes >= GROUP_BYTES_MAX) this.#full?.();
    return sequence;
  }

  /** Takes no note: a block on this machine may vanish with it. */
  addCut(): void {}

  /** Resolves when the next commit should begin: at once when there was none lately. */
  async gather(): Promise<void> {
    const { groupMs, nowMs } = this.#options;
    await new Promise((resolve) => setImmediate(resolve));
    const waitMs = this.#beganMs + groupMs - nowMs();
    if (waitMs <= 0 || this.#pendingBytes >= GROUP_BYTES_MAX) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#full = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#full = undefined;
  }

  /** Stores all that is queued as one object. One commit at a time. Throws VivaceError 'unavailable'; then the requests must be refused. */
  async commit(): Promise<void> {
    const buffers = this.#pending;
    if (buffers.length === 0) return;
    const bytes = new Uint8Array(this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#beganMs = this.#options.nowMs();
    let at = 0;
    for (const buffer of buffers) {
      bytes.set(buffer, at);
      at += buffer.length;
    }
    const name = `${this.#options.instance}/${String(this.#number++).padStart(8, '0')}.log`;
    // A failed write may have succeeded for all we know: it is deleted in its time like the others.
    this.#written.push({ name, lastSequence: this.#sequence - 1, bytes: at });
    try {
      await this.#options.objects.put(name, bytes, 'absent');
    } catch (error) {
      throw new VivaceError('unavailable', `cannot store spans in the bucket: ${(error as Error).message}`, {
        cause: error,
        retryAfterMs: 1000,
      });
    }
  }

  /** Forgets what is queued; its sequence numbers are not used again. */
  discardPending(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** Every commit is an object of its own. */
  rotate(): void {}

  /** A block was made on this machine; what is in it leaves the log when `uploaded` has named it. */
  blockCut(block: string): void {
    this.#uploads.cut(block);
  }

  /** The bucket has this block. */
  uploaded(block: string): void {
    this.#uploads.uploaded(block);
  }

  /** All records up to `sequence` are in blocks: their objects go when the blocks made so far are in the bucket. */
  async release(sequence: number): Promise<void> {
    // Who has nothing left says infinity: what comes while the blocks are uploaded is not meant.
    const last = Math.min(sequence, this.#sequence - 1);
    void this.#uploads.allOfNow().then(() => {
      this.#deletableTo = Math.max(this.#deletableTo, last);
      this.#deleting ??= this.#deleteOld();
    });
  }

  async #deleteOld(): Promise<void> {
    // Its end must not come before its promise is kept.
    await Promise.resolve();
    try {
      while (this.#written.length > 0 && this.#written[0].lastSequence <= this.#deletableTo) {
        await this.#options.objects.delete(this.#written[0].name);
        this.#deletedBytes += this.#written.shift()!.bytes;
      }
    } catch (error) {
      this.#options.onProblem(
        `cannot delete what is in blocks from the log in the bucket: ${(error as Error).message}`,
      );
    } finally {
      this.#deleting = undefined;
    }
  }
}

/** Blocks that were made on this machine and are not in the bucket yet. */
export class UploadsAwaited {
  readonly #blocks = new Map<string, (() => void)[]>();

  cut(block: string): void {
    this.#blocks.set(block, []);
  }

  uploaded(block: string): void {
    const waiting = this.#blocks.get(block);
    this.#blocks.delete(block);
    for (const resolve of waiting ?? []) resolve();
  }

  /** Resolves when all the blocks that are awaited now are in the bucket. */
  async allOfNow(): Promise<void> {
    await Promise.all(
      [...this.#blocks.values()].map((waiting) => new Promise<void>((resolve) => waiting.push(resolve))),
    );
  }
}
