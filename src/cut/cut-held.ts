/** Makes blocks of what the store holds, and owns the memory that cuts use again. */
import type { BlockMemory } from '../block/write.ts';
import { createPageScratch } from '../parquet/write.ts';
import { Arena } from '../runtime/arena.ts';
import { Appender } from './append.ts';
import { LiveColumns } from './columns.ts';
import { cutSome } from './cut-block.ts';
import type { CutSlices } from './cut-slices.ts';
import type { Open } from './held.ts';
import type { LiveSnapshot } from './layout.ts';
import type { LiveStoreOptions } from './live-store-options.ts';
import type { Packs } from './packs.ts';

/** Kept from one cut to the next. */
const CUT_BYTES_KEPT = 8 * 1024 * 1024;
/** Columns of what was packed: far more than a pack may hold. */
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024;

export class HeldCutter {
  readonly #options: LiveStoreOptions;
  readonly #packs: Packs;
  readonly #pause: () => Promise<void>;
  readonly #seed: number;
  readonly #arena = new Arena(CUT_BYTES_KEPT);
  #pages = createPageScratch();
  /** Columns for packed requests that are not in use. */
  #unpacking: LiveColumns[] = [];

  constructor(options: LiveStoreOptions, packs: Packs, slices: CutSlices, seed: number) {
    this.#options = options;
    this.#packs = packs;
    this.#pause = slices.pause;
    this.#seed = seed;
  }

  /** Resolves when the block is durable and listed. One at a time of those that have columns. */
  async cut(held: Open, logFiles: { instance: string; file: number }): Promise<void> {
    const began = this.#options.now();
    if (held.columns !== undefined) {
      const memory = { arrays: this.#arena, pages: this.#pages };
      await this.#cut(held, held.columns.snapshot(held.id, held.tenant, held.durable), began, logFiles, memory);
      return;
    }
    const columns = this.#unpacking.pop() ?? new LiveColumns(UNPACKED_BYTES_MAX, this.#seed);
    try {
      const { attributeBytesMax } = this.#options.limits(held.tenant);
      const appender = new Appender(columns, { attributeBytesMax, traceBytesMax: 0 });
      await this.#packs.read(held.pack, (body) => appender.append(body), this.#pause);
      await this.#cut(held, columns.snapshot(held.id, held.tenant), began, logFiles);
    } finally {
      columns.reset();
      this.#unpacking.push(columns);
    }
  }

  /** What cuts have taken may be used again. */
  reset(): void {
    this.#arena.reset();
  }

  /** Gives back what only a steady stream of spans is worth keeping; not while something is cut. */
  rest(): void {
    this.#arena.release();
    this.#pages = createPageScratch();
    this.#unpacking = [];
  }

  async #cut(
    held: Open,
    snapshot: LiveSnapshot,
    began: number,
    logFiles: { instance: string; file: number },
    memory?: BlockMemory,
  ): Promise<void> {
    const { tenant } = held;
    const block = await cutSome(snapshot, {
      blocksDirectory: this.#options.blocksDirectory,
      pageRows: this.#options.pageRows,
      createdBy: this.#options.createdBy,
      fsync: this.#options.fsync,
      log: { instance: this.#options.instance, sequence: held.lastSequence },
      cutMs: began,
      ...(memory && { memory }),
      without: this.#options.deleted(tenant),
      onLeftOut: async (ids) => {
        await this.#options.onLeftOut(tenant, ids, logFiles);
        if (held.columns === undefined) held.hasDeleted = true;
      },
      pause: this.#pause,
    });
    if (block !== undefined) this.#options.onBlock(block, this.#options.now() - began);
  }
}
