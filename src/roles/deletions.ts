/**
 * Traces that somebody wants gone, as the writer thread sees to it:
 *
 * ```
 *  asked ─▶ noted in the folder: hidden ─▶ cut without it ─▶ its log files gone ─▶ blocks written again ─▶ erased ─▶ forgotten
 *                                             every process: its own log            one of them             24 h later
 * ```
 * What is noted is in files that all processes of the folder read (block/deleted-traces.ts), so each does its part whoever was
 * asked, and after an end at any point the next one goes on. It is erased when a look at everything, begun after the last
 * log file that may have held it was gone, has found nothing. Spans that come later are hidden and go the same way.
 */
import { Worker } from 'node:worker_threads';
import type { BlockCatalog } from '../block/catalog.ts';
import type { Holding } from '../block/data-folders.ts';
import {
  type DeletedTrace,
  forgetDeleted,
  listDeleted,
  noteErased,
  noteLate,
  readAllDeleted,
  readDeleted,
  writeDeleted,
} from '../block/deleted-traces.ts';
import { TraceIds } from '../block/trace-ids.ts';
import type { LiveStore } from '../cut/live-store.ts';
import { latestFiles, type LogFiles, type LogThere, logsThere, logsWith } from '../log/files.ts';
import { isDiskFull, messageOf, VivaceError } from '../runtime/errors.ts';
import type { FolderWork } from './background.ts';
import type { EraserWork, FromEraser } from './eraser-thread.ts';

/** What whoever asks is told of a trace. */
export interface DeletionState {
  traceId: string;
  state: 'erasing' | 'erased';
  deletedMs: number;
  erasedMs?: number;
  /** What may still hold it. */
  waitsFor: string[];
}

export interface DeletionOptions {
  walDirectory: string;
  /** How long an erased trace stays hidden. */
  keepMs: number;
  /** Looks at blocks, and writes them again; undefined: this process leaves that to another one. */
  work: FolderWork | undefined;
  /** The folder's blocks are on their way to a bucket, where they are written again: here they are only waited for. */
  isOnTheWay: boolean;
  /** Between two looks that found something in the way. */
  blockedRetryMs: number;
  stores: () => readonly LiveStore[];
  /** Resolves when nobody in this process keeps anything of the blocks. */
  forget: (blocks: string[]) => Promise<void>;
  onProblem: (message: string) => void;
}

export interface DeletionsDone {
  asked: number;
  erased: number;
  blocksRewritten: number;
  spansErased: number;
}

/** A tenant may have so many deleted traces. */
export const DELETED_MAX = 10_000;
/** So many of a tenant are looked after at a time, the oldest first. */
export const PENDING_MAX = 100;
/** Spans that come later do not have blocks cut for them. */
const FLUSHED_MS = 60_000;
const FORGET_EVERY_MS = 60_000;
/** After a look that found something in the way, or that somebody else was at it. */
const RETRY_MS = 1000;
/** What is not in the bucket is forgotten here only if it is older than this: who reads the bucket may be late. */
const FORGOTTEN_MS_MIN = 60_000;

export class Deletions {
  readonly #catalog: BlockCatalog;
  readonly #options: DeletionOptions;
  /** Pending traces by `<tenant>/<id>`. */
  readonly #looks = new Map<string, Look>();
  /** Those of them that are known to be here. */
  readonly #held = new Set<string>();
  #worker: Worker | undefined;
  #ticking: Promise<void> | undefined;
  #forgotMs = 0;
  #done = nothingDone();

  constructor(catalog: BlockCatalog, options: DeletionOptions) {
    this.#catalog = catalog;
    this.#options = options;
  }

  /** Resolves when the trace is in no answer any more, whatever happens to the process. Rejects with `exhausted`. */
  async delete(tenant: string, id: string): Promise<DeletionState> {
    const folder = this.#catalog.deletedFolder(tenant);
    if (readDeleted(folder, id) === undefined) {
      if (this.#catalog.deleted(tenant).ids.length >= DELETED_MAX)
        throw new VivaceError(
          'exhausted',
          `cannot delete trace ${id}: tenant ${tenant} has ${DELETED_MAX} deleted traces that are not forgotten yet; shorten vivace.deleted_traces_kept`,
          { retryAfterMs: 60_000 },
        );
      const deletedMs = Date.now();
      try {
        // Hidden first: from then on whoever cuts leaves it out, or notes that its log holds it.
        await writeDeleted(folder, { id, deletedMs, logs: undefined, erasedMs: undefined });
        this.#catalog.refreshDeleted(tenant);
        await writeDeleted(folder, { id, deletedMs, logs: this.#logs(), erasedMs: undefined });
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        const text = `cannot delete trace ${id}: the disk is full, and it could not be noted in ${folder}; free some space`;
        throw new VivaceError('exhausted', text, { cause: error, retryAfterMs: 5000 });
      }
      this.#done.asked++;
    }
    this.#tickSoon();
    return this.state(tenant, id)!;
  }

  /** Hides the traces that the bucket says are deleted, and no others; what was there at `readMs` is in them. */
  async mirror(tenant: string, traces: readonly { id: string; deletedMs: number }[], readMs: number): Promise<void> {
    const folder = this.#catalog.deletedFolder(tenant);
    const hidden = new Set(listDeleted(folder).hidden);
    const fresh = traces.filter(({ id }) => !hidden.has(id));
    for (const each of fresh) await writeDeleted(folder, { ...each, logs: undefined, erasedMs: undefined });
    this.#catalog.refreshDeleted(tenant);
    for (const each of fresh) await writeDeleted(folder, { ...each, logs: this.#logs(), erasedMs: undefined });
    for (const { id } of traces) hidden.delete(id);
    const keptMs = Math.max(this.#options.keepMs, FORGOTTEN_MS_MIN);
    for (const { id, deletedMs } of readAllDeleted(folder, [...hidden]))
      if (deletedMs + keptMs < readMs) await forgetDeleted(folder, id);
    this.#catalog.refreshDeleted(tenant);
    if (fresh.length > 0) this.#tickSoon();
  }

  /** What this folder may hold of a tenant's deleted traces: in a log, in memory or in a block. */
  holdings(tenant: string): Record<string, Holding> {
    const pending = new Set(this.#catalog.pendingDeletions(tenant));
    return Object.fromEntries(
      this.#catalog.deleted(tenant).ids.map((id) => {
        if (!pending.has(id)) return [id, 'clear'];
        return [id, this.#held.has(`${tenant}/${id}`) ? 'holds' : 'unsure'];
      }),
    );
  }

  /** undefined: nobody has asked for it, or it is forgotten. */
  state(tenant: string, id: string): DeletionState | undefined {
    const deleted = readDeleted(this.#catalog.deletedFolder(tenant), id);
    if (deleted === undefined) return undefined;
    const { deletedMs, erasedMs } = deleted;
    if (erasedMs !== undefined) return { traceId: id, state: 'erased', deletedMs, erasedMs, waitsFor: [] };
    const there = logsThere(this.#options.walDirectory);
    const logs = logsWith(there, deleted.logs ?? latestFiles(there));
    const look = this.#looks.get(`${tenant}/${id}`);
    const blocks = look?.left.length ? look.left : ['blocks'];
    return {
      ...{ traceId: id, state: 'erasing', deletedMs },
      waitsFor: [...logs.map((instance) => `log ${instance}`), ...blocks],
    };
  }

  /** All that are not forgotten, the newest first. */
  list(tenant: string): DeletionState[] {
    this.#catalog.refreshDeleted(tenant);
    return this.#catalog
      .deleted(tenant)
      .ids.flatMap((id) => this.state(tenant, id) ?? [])
      .sort((a, b) => b.deletedMs - a.deletedMs);
  }

  /** Spans of the traces were in memory, and are in no block: the log has them. */
  async noteLate(tenant: string, ids: string[], log: LogFiles): Promise<void> {
    for (const id of ids) {
      this.#held.add(`${tenant}/${id}`);
      await noteLate(this.#catalog.deletedFolder(tenant), id, log);
    }
  }

  /** To be called every second or so. */
  tick(): void {
    this.#ticking ??= this.#tick()
      .catch((error: unknown) =>
        this.#options.onProblem(`cannot erase deleted traces, trying again: ${messageOf(error)}`),
      )
      .finally(() => {
        this.#ticking = undefined;
      });
  }

  /** What was done since the last call. */
  take(): DeletionsDone {
    const done = this.#done;
    this.#done = nothingDone();
    return done;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    await this.#ticking;
  }

  #tickSoon(): void {
    setImmediate(() => this.tick());
  }

  /** Whatever log file there is. */
  #logs(): LogFiles[] {
    const own = this.#options.stores().map(({ logFiles }) => logFiles);
    return [...latestFiles(logsThere(this.#options.walDirectory)), ...own];
  }

  async #tick(): Promise<void> {
    const nowMs = Date.now();
    if (!this.#options.isOnTheWay && nowMs - this.#forgotMs > FORGET_EVERY_MS) {
      this.#forgotMs = nowMs;
      for (const tenant of this.#catalog.tenants()) await this.#forgetOld(tenant, nowMs);
    }
    const due: EraserWork['tenants'] = [];
    for (const tenant of this.#catalog.tenants()) {
      const ids = this.#catalog.pendingDeletions(tenant);
      if (ids.length === 0) continue;
      const pending = readAllDeleted(this.#catalog.deletedFolder(tenant), ids)
        .sort((a, b) => a.deletedMs - b.deletedMs)
        .slice(0, PENDING_MAX);
      await this.#empty(tenant, pending, nowMs);
      const there = logsThere(this.#options.walDirectory);
      const ready = pending.filter((deleted) => this.#isDue(tenant, deleted, there, nowMs));
      if (ready.length > 0)
        due.push({
          tenant,
          ids: ready.map(({ id }) => id),
          deletedMs: Math.max(...ready.map((each) => each.deletedMs)),
        });
    }
    if (due.length > 0 && this.#options.work !== undefined && this.#worker === undefined) this.#look(due);
  }

  /** Gets the traces out of memory and out of the log of this process. */
  async #empty(tenant: string, pending: DeletedTrace[], nowMs: number): Promise<void> {
    const isNew = new TraceIds(pending.filter(({ deletedMs }) => nowMs - deletedMs < FLUSHED_MS).map(({ id }) => id));
    for (const store of this.#options.stores()) {
      // What is cut notes for itself that the log has held it.
      if (isNew.ids.length > 0 && store.holds(tenant, isNew).length > 0) void store.flush(tenant);
      const own = store.logFiles;
      const isHeld = pending.some(({ logs = [] }) =>
        logs.some(({ instance, file }) => instance === own.instance && file >= own.file),
      );
      if (isHeld) await store.renewLog(tenant);
    }
  }

  #isDue(tenant: string, deleted: DeletedTrace, there: LogThere[], nowMs: number): boolean {
    const key = `${tenant}/${deleted.id}`;
    const look = this.#looks.get(key) ?? { left: [], isFirst: true, isOutOfLogs: false, dueMs: 0 };
    this.#looks.set(key, look);
    const isHeld = this.#options.stores().some((store) => store.holds(tenant, new TraceIds([deleted.id])).length > 0);
    if (isHeld) this.#held.add(key);
    look.isOutOfLogs = !isHeld && deleted.logs !== undefined && logsWith(there, deleted.logs).length === 0;
    // The first look is for those who wait; the one that counts comes when no log holds it any more.
    return nowMs >= look.dueMs && (look.isFirst || look.isOutOfLogs);
  }

  #look(tenants: EraserWork['tenants']): void {
    const outOfLogs = new Set<string>();
    for (const { tenant, ids } of tenants)
      for (const id of ids) {
        const look = this.#looks.get(`${tenant}/${id}`)!;
        look.dueMs = Date.now() + RETRY_MS;
        if (look.isOutOfLogs) outOfLogs.add(`${tenant}/${id}`);
      }
    const worker = new Worker(new URL('./eraser-thread.ts', import.meta.url), {
      workerData: {
        ...this.#options.work!,
        tenants,
        isOnTheWay: this.#options.isOnTheWay,
      } satisfies EraserWork,
    });
    this.#worker = worker;
    const ends: Promise<void>[] = [];
    worker.on('message', (message: FromEraser) => ends.push(this.#looked(message, outOfLogs)));
    worker.on('error', (error) => this.#options.onProblem(`cannot erase deleted traces: ${messageOf(error)}`));
    worker.on('exit', () => {
      void Promise.all(ends)
        .catch((error: unknown) => this.#options.onProblem(`cannot erase deleted traces: ${messageOf(error)}`))
        .then(() => {
          this.#worker = undefined;
        });
    });
  }

  async #looked({ tenant, ids, erased }: FromEraser, outOfLogs: ReadonlySet<string>): Promise<void> {
    const folder = this.#catalog.deletedFolder(tenant);
    this.#catalog.refresh();
    this.#done.blocksRewritten += erased.rewritten;
    this.#done.spansErased += erased.spans;
    if (erased.blocks.length > 0) await this.#options.forget(erased.blocks);
    for (const id of ids) {
      const look = this.#looks.get(`${tenant}/${id}`);
      const deleted = readDeleted(folder, id);
      if (look === undefined || deleted === undefined) continue;
      look.isFirst = false;
      look.left = erased.left;
      if (erased.left.length > 0) look.dueMs = Date.now() + this.#options.blockedRetryMs;
      const isFound = erased.found.includes(id);
      if (isFound) this.#held.add(`${tenant}/${id}`);
      // Who cut it without knowing may have more of it in the log.
      if (deleted.logs === undefined || (isFound && !this.#options.isOnTheWay))
        await writeDeleted(folder, { ...deleted, logs: this.#logs() });
      else if (erased.left.length === 0 && outOfLogs.has(`${tenant}/${id}`)) {
        await noteErased(folder, deleted, Date.now());
        this.#looks.delete(`${tenant}/${id}`);
        this.#held.delete(`${tenant}/${id}`);
        this.#done.erased++;
      }
    }
    this.#catalog.refreshDeleted(tenant);
    this.#tickSoon();
  }

  async #forgetOld(tenant: string, nowMs: number): Promise<void> {
    const { ids } = this.#catalog.deleted(tenant);
    if (ids.length === 0) return;
    const folder = this.#catalog.deletedFolder(tenant);
    for (const { id, erasedMs } of readAllDeleted(folder, ids)) {
      if (erasedMs === undefined || erasedMs >= nowMs - this.#options.keepMs) continue;
      await forgetDeleted(folder, id);
      this.#catalog.refreshDeleted(tenant);
    }
  }
}

interface Look {
  /** What was in the way of the last one. */
  left: string[];
  isFirst: boolean;
  /** Neither a log nor memory held it when the next one began. */
  isOutOfLogs: boolean;
  dueMs: number;
}

export function nothingDone(): DeletionsDone {
  return { asked: 0, erased: 0, blocksRewritten: 0, spansErased: 0 };
}
