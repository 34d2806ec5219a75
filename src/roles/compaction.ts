/** Compaction as the writer thread runs it: chooses blocks in every cycle and has a thread merge them, if there are any. */
import type { BlockCatalog, LocalBlockRef } from '../block/catalog.ts';
import { type ChooseOptions, chooseMerges } from '../compact/choose.ts';
import { finishMerges } from '../compact/merge-blocks.ts';
import { type ByTenant, ofTenant } from '../compact/retention.ts';
import type { RowGroupBounds } from '../compact/row-group-plan.ts';
import { messageOf } from '../runtime/errors.ts';
import type { FolderWork } from './background.ts';
import { Compactor } from './compactor.ts';
import type { FromCompactor, MergedBlock } from './compactor-thread.ts';

export interface CompactionSettings {
  /** Milliseconds, by tenant; 0: its blocks are not merged. */
  windows: ByTenant;
  cycleMs: number;
  /** Time for the blocks of one tenant of a bucket, before others get their turn. */
  tenantMs: number;
  choose: Omit<ChooseOptions, 'windowMs' | 'nowMs'>;
  rowGroups: RowGroupBounds;
  /** No merge begins while the process takes more. */
  rssMax: number;
}

/** Since the last time it was asked for. */
export interface CompactionDone {
  merged: MergedBlock[];
  errors: string[];
  /** Blocks that wait to be merged, by tenant. */
  outstanding: Map<string, number>;
}

/** Blocks that could not be merged are left alone for so long. */
const FAILED_MS = 10 * 60_000;
/** The thread is told of so many merges at a time. */
const MERGES_MAX = 16;

export class Compaction {
  windows: ByTenant;
  readonly #catalog: BlockCatalog;
  readonly #settings: CompactionSettings;
  readonly #work: FolderWork;
  readonly #onSuspect: (tenant: string, block: string) => void;
  /** Blocks that stay as they are, and until when. */
  readonly #left = new Map<string, number>();
  readonly #compactor = new Compactor();
  #isMerging = false;
  #isClosed = false;
  #isFinished = false;
  #done: CompactionDone = { merged: [], errors: [], outstanding: new Map() };

  /** `onSuspect` is told of blocks that could not be merged and may be damaged. */
  constructor(
    catalog: BlockCatalog,
    settings: CompactionSettings,
    work: FolderWork,
    onSuspect: (tenant: string, block: string) => void,
  ) {
    this.#catalog = catalog;
    this.#settings = settings;
    this.#work = work;
    this.#onSuspect = onSuspect;
    this.windows = settings.windows;
  }

  /** Chooses, and starts merging unless that is going on. */
  async cycle(nowMs: number): Promise<void> {
    if (this.#isMerging) return;
    if (!this.#isFinished) {
      await finishMerges(this.#catalog, nowMs);
      this.#isFinished = true;
    }
    const merges = this.#choose(nowMs).slice(0, MERGES_MAX);
    if (merges.length === 0 || process.memoryUsage.rss() > this.#settings.rssMax) return;
    this.#isMerging = true;
    const work = { ...this.#work, merges, rowGroups: this.#settings.rowGroups, deleted: this.#deleted(merges) };
    this.#compactor
      .run(work, (message) => this.#note(message))
      .catch((error: unknown) => {
        this.#isFinished = false;
        if (!this.#isClosed) this.#done.errors.push(`cannot merge blocks: ${messageOf(error)}`);
      })
      .finally(() => {
        this.#isMerging = false;
      });
  }

  #note(message: FromCompactor): void {
    if (message.type === 'merged') this.#done.merged.push(message.merged);
    if (message.type === 'merged' || message.type === 'gone') this.#catalog.refresh();
    if (message.type !== 'left') return;
    const untilMs = message.failed ? Date.now() + FAILED_MS : Number.POSITIVE_INFINITY;
    for (const id of message.ids) this.#left.set(id, untilMs);
    if (message.failed) {
      this.#done.errors.push(message.message);
      for (const id of message.ids) this.#onSuspect(message.tenant, id);
    }
    this.#isFinished = false;
  }

  /** What was done since the last call. */
  take(): CompactionDone {
    const done = this.#done;
    this.#done = { merged: [], errors: [], outstanding: done.outstanding };
    return done;
  }

  /** A merge that is going on is given up; the blocks stay as they are. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#compactor.stop();
  }

  #deleted(merges: LocalBlockRef[][]): Map<string, readonly string[]> {
    const tenants = new Set(merges.map(([{ tenant }]) => tenant));
    return new Map([...tenants].map((tenant) => [tenant, this.#catalog.deleted(tenant).ids]));
  }

  #choose(nowMs: number) {
    const listed = new Set<string>();
    const merges = [];
    this.#done.outstanding = new Map();
    for (const tenant of this.#catalog.tenants()) {
      const blocks = this.#catalog.blocks(tenant);
      for (const { id } of blocks) listed.add(id);
      const windowMs = ofTenant(this.windows, tenant);
      if (windowMs === 0) continue;
      const free = blocks.filter(
        (block): block is LocalBlockRef => block.directory !== undefined && (this.#left.get(block.id) ?? 0) <= nowMs,
      );
      const own = chooseMerges(free, { ...this.#settings.choose, windowMs, nowMs });
      this.#done.outstanding.set(
        tenant,
        own.reduce((sum, refs) => sum + refs.length, 0),
      );
      merges.push(...own);
    }
    for (const [id, untilMs] of this.#left) if (untilMs <= nowMs || !listed.has(id)) this.#left.delete(id);
    return merges;
  }
}
