/**
 * The filters of trace ids of many blocks that are far away, so that a trace is looked for only where it may be. They are
 * read in the background when a block becomes known, as many as fit; a block without one may hold any trace.
 */
import { type BloomFilter, mayContainHash } from '../parquet/bloom.ts';
import { type Hash64, xxhash64 } from '../parquet/xxhash64.ts';
import type { BlockRef } from './catalog.ts';

/** Of one row group. */
export interface TraceFilter {
  /** The least and the greatest id. */
  first: Uint8Array;
  last: Uint8Array;
  bloom: BloomFilter;
}

export interface TraceFiltersOptions {
  bytesMax: number;
  /** Blocks read at a time. */
  concurrency: number;
  /** The filters of a block's row groups; undefined when it has none. */
  read: (ref: BlockRef) => Promise<TraceFilter[] | undefined>;
}

export class TraceFilters {
  readonly #options: TraceFiltersOptions;
  readonly #filters = new Map<string, TraceFilter[]>();
  readonly #waiting = new Map<string, BlockRef>();
  #running = 0;
  #bytes = 0;
  #idle: (() => void)[] = [];

  constructor(options: TraceFiltersOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(refs: BlockRef[]): void {
    for (const ref of refs) if (!this.#filters.has(ref.id)) this.#waiting.set(ref.id, ref);
    this.#go();
  }

  remove(ids: string[]): void {
    for (const id of ids) {
      this.#waiting.delete(id);
      this.#bytes -= bytesOf(this.#filters.get(id) ?? []);
      this.#filters.delete(id);
    }
    this.#go();
  }

  /** Those of the blocks that may hold the trace. */
  holding(ids: string[], traceId: Uint8Array): string[] {
    const hash: Hash64 = new Int32Array(2);
    xxhash64(traceId, 0, traceId.length, hash);
    return ids.filter((id) => {
      const filters = this.#filters.get(id);
      return (
        filters?.some(({ first, last, bloom }) => isBetween(traceId, first, last) && mayContainHash(bloom, hash)) ??
        true
      );
    });
  }

  /** Resolves when nothing is to be read any more. */
  async settled(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #go(): void {
    while (
      this.#running < this.#options.concurrency &&
      this.#waiting.size > 0 &&
      this.#bytes < this.#options.bytesMax
    ) {
      const [[id, ref]] = this.#waiting;
      this.#waiting.delete(id);
      this.#running++;
      this.#options
        .read(ref)
        .then((filters) => {
          if (filters === undefined || this.#bytes + bytesOf(filters) > this.#options.bytesMax) return;
          this.#filters.set(id, filters);
          this.#bytes += bytesOf(filters);
        })
        // Without it the block is asked itself; whatever is wrong is seen and told there.
        .catch(() => {})
        .finally(() => {
          this.#running--;
          this.#go();
        });
    }
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function bytesOf(filters: readonly TraceFilter[]): number {
  return filters.reduce((sum, { bloom }) => sum + bloom.words.byteLength, 0);
}

function isBetween(id: Uint8Array, first: Uint8Array, last: Uint8Array): boolean {
  return Buffer.compare(first, id) <= 0 && Buffer.compare(id, last) <= 0;
}
