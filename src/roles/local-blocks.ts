/**
 * The blocks of this machine on their way to the bucket: uploaded as soon as they are cut, kept in their folder for a while
 * after, because the newest are asked for most, then removed.
 *
 * ```
 *  cut ─▶ folder ─▶ uploaded (file `flushed`) ─▶ keepMs later, when whoever lists blocks knows it in the bucket ─▶ removed
 * ```
 * Each process uploads the blocks of its own log, and those of logs whose process is dead.
 */
import fs from 'node:fs';
import path from 'node:path';
import { flushedMsOf, type LocalBlockRef, readBlockRef } from '../block/catalog.ts';
import type { BlockMeta } from '../block/meta.ts';
import { BLOCK_ID, SENT_FILE } from '../block/objects.ts';
import { type UploadPoint, uploadBlock } from '../block/upload.ts';
import type { Bucket } from '../store/bucket.ts';

export interface LocalBlocksOptions {
  directory: string;
  /** Whether this process is to upload a block of that log. */
  mine: (instance: string | undefined) => Promise<boolean>;
  keepMs: number;
  /** Blocks uploaded at a time. */
  concurrency: number;
  now: () => number;
  reached: (point: UploadPoint | 'removed') => void;
  /** The block is in the bucket; resolves when whoever lists blocks knows it. */
  onUploaded: (tenant: string, meta: BlockMeta) => Promise<void>;
  /** Whether a block that was put into the bucket then is there; undefined: that is not known yet. */
  isThere: (tenant: string, id: string, uploadedMs: number) => boolean | undefined;
  onFailed: (block: LocalBlockRef, error: unknown) => void;
}

export class LocalBlocks {
  readonly #options: LocalBlocksOptions;
  readonly #bucket: Bucket;
  /** Blocks of which it is known that the bucket has them, and since when. */
  readonly #flushed = new Map<string, number>();
  /** Uploads that failed or were begun by a process before this one. */
  readonly #begun = new Set<string>();
  #first = true;
  #running: Promise<number> | undefined;

  constructor(bucket: Bucket, options: LocalBlocksOptions) {
    this.#bucket = bucket;
    this.#options = options;
  }

  /** Uploads what is not in the bucket and removes what has been there for long; resolves with the number of failures. */
  async work(signal?: AbortSignal): Promise<number> {
    while (this.#running !== undefined) await this.#running;
    this.#running = this.#work(signal);
    try {
      return await this.#running;
    } finally {
      this.#running = undefined;
    }
  }

  /**
   * Ends uploads of which others may have seen the end already: to be called before the first list of the bucket is made
   * known, which may have their spans in other blocks.
   */
  async settle(signal?: AbortSignal): Promise<void> {
    for (const block of localBlocks(this.#options.directory)) {
      const isSent = fs.existsSync(path.join(block.directory, SENT_FILE));
      if (!isSent || flushedMsOf(block.directory) < Number.POSITIVE_INFINITY) continue;
      if (!(await this.#options.mine(block.meta.vivace.log?.instance))) continue;
      const { reached, now } = this.#options;
      await uploadBlock(this.#bucket, block, { signal, again: true, reached, now: () => new Date(now()) });
    }
  }

  async #work(signal: AbortSignal | undefined): Promise<number> {
    const { keepMs, now, concurrency, mine, isThere } = this.#options;
    const waiting: LocalBlockRef[] = [];
    for (const block of localBlocks(this.#options.directory)) {
      const flushedMs = this.#flushed.get(block.id) ?? flushedMsOf(block.directory);
      if (flushedMs === Number.POSITIVE_INFINITY) {
        if (await mine(block.meta.vivace.log?.instance)) waiting.push(block);
        continue;
      }
      if (!this.#flushed.has(block.id)) {
        const there = isThere(block.tenant, block.id, flushedMs);
        // It was merged into another one, or is too old: the list of blocks does not have it any more.
        if (there === false) this.remove(block);
        if (there !== true) continue;
        this.#flushed.set(block.id, flushedMs);
      }
      if (now() - flushedMs >= keepMs) this.remove(block);
    }
    if (this.#first) for (const { id } of waiting) this.#begun.add(id);
    this.#first = false;
    // Oldest first: they are missed by others for longest.
    waiting.sort((a, b) => a.endSeconds - b.endSeconds);
    let failures = 0;
    const worker = async (): Promise<void> => {
      for (let block = waiting.shift(); block !== undefined && !signal?.aborted; block = waiting.shift())
        if (!(await this.#upload(block, signal))) {
          failures++;
          return;
        }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return failures;
  }

  async #upload(block: LocalBlockRef, signal: AbortSignal | undefined): Promise<boolean> {
    const { reached, now, onUploaded, onFailed } = this.#options;
    try {
      const again = this.#begun.has(block.id);
      this.#begun.add(block.id);
      await uploadBlock(this.#bucket, block, { signal, again, reached, now: () => new Date(now()) });
      this.#begun.delete(block.id);
      await onUploaded(block.tenant, block.meta);
      this.#flushed.set(block.id, now());
      return true;
    } catch (error) {
      // Removed by somebody who shares the folder.
      if (!fs.existsSync(block.directory)) return true;
      onFailed(block, error);
      return false;
    }
  }

  /** Takes a block out of its folder, at once and as a whole for whoever looks. */
  remove(block: { tenant: string; id: string }): void {
    const folder = path.join(this.#options.directory, block.tenant);
    const gone = path.join(folder, `.${block.id}.gone`);
    try {
      fs.renameSync(path.join(folder, block.id), gone);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    this.#options.reached('removed');
    fs.rmSync(gone, { recursive: true, force: true });
    this.#flushed.delete(block.id);
  }
}

function localBlocks(directory: string): LocalBlockRef[] {
  const blocks: LocalBlockRef[] = [];
  for (const tenant of fs.readdirSync(directory, { withFileTypes: true })) {
    if (!tenant.isDirectory() || tenant.name.startsWith('.')) continue;
    for (const id of fs.readdirSync(path.join(directory, tenant.name))) {
      if (!BLOCK_ID.test(id)) continue;
      const ref = readBlockRef(path.join(directory, tenant.name, id), tenant.name);
      if (typeof ref === 'object') blocks.push(ref);
    }
  }
  return blocks;
}
