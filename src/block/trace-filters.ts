/**
 * The filters of trace ids of many blocks that are far away, so that a trace is looked for only where it may be. They are
 * read in the background when a block becomes known, as many as fit; a block without one may hold any trace. Those of many
 * blocks of a tenant are looked for in one object first, which somebody has made of them (filter-pack.ts).
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
  /** Filters of blocks of a tenant that are in one object. */
  readPack: (tenant: string) => Promise<ReadonlyMap<string, TraceFilter[]>>;
}

/** For fewer blocks the object is not worth a request, nor is it written for fewer new ones. */
const PACKED_MIN = 8;
/** It is written anew when so many of its blocks are new. */
const NEW_SHARE = 0.1;

export class TraceFilters {
  readonly #options: TraceFiltersOptions;
  readonly #filters = new Map<string, TraceFilter[]>();
  readonly #waiting = new Map<string, BlockRef>();
  /** By tenant: the blocks whose filters are in its object. */
  readonly #packed = new Map<string, Set<string>>();
  #running = 0;
  #bytes = 0;
  #idle: (() => void)[] = [];

  constructor(options: TraceFiltersOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Blocks of one tenant. */
  add(refs: BlockRef[]): void {
    const unknown = refs.filter(({ id }) => !this.#filters.has(id));
    for (const ref of unknown) this.#waiting.set(ref.id, ref);
    if (unknown.length >= PACKED_MIN) this.#unpack(unknown[0].tenant);
    else this.#go();
  }

  /** What the tenant's object should hold now; undefined when it is good as it is. `ids`: all blocks of the tenant. */
  packOf(tenant: string, ids: Iterable<string>): Map<string, TraceFilter[]> | undefined {
    const packed = this.#packed.get(tenant);
    const pack = new Map<string, TraceFilter[]>();
    let fresh = 0;
    for (const id of ids) {
      const filters = this.#filters.get(id);
      if (filters === undefined) continue;
      pack.set(id, filters);
      if (!packed?.has(id)) fresh++;
    }
    return fresh >= Math.max(PACKED_MIN, NEW_SHARE * pack.size) ? pack : undefined;
  }

  /** The tenant's object holds the filters of these blocks. */
  setPacked(tenant: string, ids: Iterable<string>): void {
    this.#packed.set(tenant, new Set(ids));
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

  #unpack(tenant: string): void {
    this.#running++;
    this.#options
      .readPack(tenant)
      .then((pack) => {
        this.setPacked(tenant, pack.keys());
        for (const [id, filters] of pack) if (this.#waiting.delete(id)) this.#keep(id, filters);
      })
      // Without it each block is asked itself.
      .catch(() => {})
      .finally(() => {
        this.#running--;
        this.#go();
      });
  }

  #keep(id: string, filters: TraceFilter[]): void {
    if (this.#bytes + bytesOf(filters) > this.#options.bytesMax) return;
    this.#filters.set(id, filters);
    this.#bytes += bytesOf(filters);
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
          if (filters !== undefined) this.#keep(id, filters);
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
