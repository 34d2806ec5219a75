/**
 * Traces that somebody wants gone from a bucket, as the bucket thread sees to it:
 *
 * ```
 *  asked ─▶ <tenant>/deleted-traces.json ─▶ every process, at its poll: hidden, noted in its folder (deletions.ts)
 *                                             └─▶ vivace~folders/<folder>: neither log nor memory nor folder holds it
 *        under the lease: blocks written again ─▶ old ones deleted, when nobody has an old list ─▶ erased ─▶ forgotten
 * ```
 * It is erased when a look at everything in the bucket, begun after all folders had said so, has found nothing. Whoever ends
 * in between leaves what the next look goes on with: nothing but what is in the bucket is known.
 */
import { type BucketDeletions, changeBucketDeletions, readBucketDeletions } from '../block/bucket-deleted-traces.ts';
import { type DataFolder, type Holding, readFolders, removeFolder, writeFolder } from '../block/data-folders.ts';
import { TraceIds } from '../block/trace-ids.ts';
import type { BucketLease, Leases } from '../compact/bucket-lease.ts';
import { type BucketMergePoint, finishPlan } from '../compact/bucket-merge.ts';
import { type ForgetParts, markInBucket } from '../compact/bucket-retention.ts';
import { heldInBucket } from '../compact/held-in-bucket.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { REWRITE_BOUNDS } from './background.ts';
import { type BucketWork, ReplacingBlocks, rewriteInBucket, settledMs } from './bucket-rewrite.ts';
import { DELETED_MAX, type DeletionState, type DeletionsDone, nothingDone, PENDING_MAX } from './deletions.ts';
import { underLease } from './under-lease.ts';

export interface BucketDeletionsOptions {
  /** Name of the folder of this process; undefined: it takes no spans. */
  folder: string | undefined;
  /** How long an erased trace stays hidden, and a folder is waited for that is not heard of. */
  keepMs: number;
  /** undefined: this process leaves writing blocks again to others. */
  leases: Leases | undefined;
  /** Hides the traces in this process, and no others; resolves when it does. `readMs`: what was there then is in them. */
  hide: (tenant: string, traces: { id: string; deletedMs: number }[], readMs: number) => Promise<void>;
  /** Those of the blocks that may hold the trace. */
  holding: (blocks: string[], traceId: Uint8Array) => string[];
  forgetParts: ForgetParts;
  reached: (point: BucketMergePoint | 'emptied' | 'marked') => void;
  onProblem: (message: string) => void;
}

interface TenantDeletions {
  traces: BucketDeletions;
  /** What `hide` was told. */
  told: string;
  /** What was looked for, and when to look again. */
  looked: Set<string>;
  dueMs: number;
}

/** A folder says this often that it is there. */
const HEARD_MS = 3_600_000;
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 15_000;
/** What stands in the bucket of what a look found in the way. */
const WAITS_MAX = 20;

export class BucketDeletionsWork {
  readonly #work: BucketWork;
  readonly #options: BucketDeletionsOptions;
  readonly #replacing: ReplacingBlocks;
  readonly #tenants = new Map<string, TenantDeletions>();
  /** What the folder of this process may hold. */
  readonly #holdings = new Map<string, Record<string, Holding>>();
  #said = { text: '', ms: Number.NEGATIVE_INFINITY };
  /** Reads and changes of a tenant's object are done one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #done = nothingDone();

  constructor(work: BucketWork, options: BucketDeletionsOptions) {
    this.#work = work;
    this.#options = options;
    this.#replacing = new ReplacingBlocks(work.list, work.pollMs);
  }

  /** Looks which traces of a tenant are deleted: before its blocks are listed. */
  async poll(tenant: string, signal?: AbortSignal): Promise<void> {
    await this.#inTurn(tenant, async () => {
      const readMs = Date.now();
      const { traces } = await readBucketDeletions(this.#work.bucket, tenant, signal);
      await this.#know(tenant, traces, readMs);
    });
  }

  /** The traces of a tenant that nobody may see. */
  deleted(tenant: string): string[] {
    return [...(this.#tenants.get(tenant)?.traces.keys() ?? [])];
  }

  /** Those of which something may be left, by tenant. */
  get pending(): Map<string, number> {
    const pending = new Map<string, number>();
    for (const [tenant, { traces }] of this.#tenants) {
      const count = [...traces.values()].filter(({ erasedMs }) => erasedMs === undefined).length;
      if (count > 0) pending.set(tenant, count);
    }
    return pending;
  }

  /** Resolves when the trace stays out of every answer of this process, and soon of all others, whatever happens. */
  async delete(tenant: string, id: string, signal: AbortSignal): Promise<DeletionState> {
    await this.#inTurn(tenant, async () => {
      const readMs = Date.now();
      let isNew = false;
      const traces = await changeBucketDeletions(
        this.#work.bucket,
        tenant,
        (known) => {
          isNew = !known.has(id);
          if (isNew && known.size >= DELETED_MAX)
            throw new VivaceError(
              'exhausted',
              `cannot delete trace ${id}: tenant ${tenant} has ${DELETED_MAX} deleted traces that are not forgotten yet; shorten vivace.deleted_traces_kept`,
              { retryAfterMs: 60_000 },
            );
          if (isNew) known.set(id, { deletedMs: readMs });
          return isNew;
        },
        signal,
      );
      if (isNew) this.#done.asked++;
      await this.#know(tenant, traces, readMs);
    });
    return stateOf(id, this.#tenants.get(tenant)!.traces.get(id)!);
  }

  /** As the bucket has it: of one trace, or of all that are not forgotten, the newest first. */
  async states(tenant: string, id: string | undefined, signal: AbortSignal): Promise<DeletionState[]> {
    await this.poll(tenant, signal);
    const traces = this.#tenants.get(tenant)?.traces ?? new Map();
    return [...traces]
      .filter(([each]) => id === undefined || each === id)
      .map(([each, deletion]) => stateOf(each, deletion))
      .sort((a, b) => b.deletedMs - a.deletedMs);
  }

  /** What the folder of this process holds of a tenant's deleted traces. */
  setHoldings(tenant: string, holdings: Record<string, Holding>): void {
    const before = this.#holdings.get(tenant);
    this.#holdings.set(tenant, holdings);
    const known = this.#tenants.get(tenant)?.traces;
    const late = Object.keys(holdings).filter(
      (id) => holdings[id] === 'holds' && (before?.[id] === 'clear' || known?.get(id)?.erasedMs !== undefined),
    );
    if (late.length > 0) void this.#noteLate(tenant, late);
    void this.say().catch((error: unknown) => this.#options.onProblem(messageOf(error)));
  }

  async #noteLate(tenant: string, ids: string[]): Promise<void> {
    const lateMs = Date.now();
    try {
      await this.#change(tenant, (traces) => {
        const late = ids.filter((id) => traces.has(id));
        for (const id of late) traces.set(id, { deletedMs: traces.get(id)!.deletedMs, lateMs });
        return late.length > 0;
      });
    } catch (error) {
      this.#options.onProblem(`cannot note that spans of deleted traces have come: ${messageOf(error)}`);
      // What is told next is news again.
      this.#holdings.delete(tenant);
    }
  }

  /** Tells the others what the folder of this process holds, if that is news. */
  async say(signal?: AbortSignal): Promise<void> {
    const { folder } = this.#options;
    if (folder === undefined) return;
    await this.#inTurn('', async () => {
      const holdings: Record<string, Record<string, Holding>> = {};
      for (const [tenant, own] of this.#holdings) {
        const pending = Object.entries(own).filter(
          ([id]) => this.#tenants.get(tenant)?.traces.get(id)?.erasedMs === undefined,
        );
        if (pending.length > 0) holdings[tenant] = Object.fromEntries(pending);
      }
      const text = JSON.stringify(holdings);
      if (text === this.#said.text && Date.now() - this.#said.ms < HEARD_MS) return;
      await writeFolder(this.#work.bucket, folder, holdings, signal);
      this.#said = { text, ms: Date.now() };
    });
  }

  /** Nothing is left in the folder of this process that is not in the bucket. */
  async leave(signal: AbortSignal): Promise<void> {
    const { folder } = this.#options;
    if (folder !== undefined) await removeFolder(this.#work.bucket, folder, signal);
  }

  /** Writes blocks again that hold deleted traces, where that is due. Never rejects. */
  async cycle(signal: AbortSignal): Promise<void> {
    this.#replacing.look();
    for (const [tenant, { traces, looked, dueMs }] of this.#tenants) {
      if (signal.aborted) return;
      try {
        await this.#forgetOld(tenant, signal);
        const pending = [...traces].filter(([, { erasedMs }]) => erasedMs === undefined);
        if (pending.length === 0) continue;
        if (performance.now() < dueMs && pending.every(([id]) => looked.has(id))) continue;
        pending.sort(([, a], [, b]) => a.deletedMs - b.deletedMs);
        await this.#look(
          tenant,
          pending.slice(0, PENDING_MAX).map(([id]) => id),
          signal,
        );
      } catch (error) {
        if (signal.aborted) return;
        this.#later(tenant, []);
        this.#options.onProblem(`cannot erase deleted traces of tenant ${tenant}, trying again: ${messageOf(error)}`);
      }
    }
  }

  /** What was done since the last call. */
  take(): DeletionsDone {
    const done = this.#done;
    this.#done = nothingDone();
    return done;
  }

  async #look(tenant: string, ids: string[], signal: AbortSignal): Promise<void> {
    const looked = await underLease(this.#options.leases!, tenant, signal, async (lease, either) => {
      const { bucket, list } = this.#work;
      // What folders said before the look began is what counts.
      const folders = await this.#folders(either);
      await finishPlan(bucket, list, lease, tenant, either);
      await list.refresh(tenant, either);
      this.#replacing.look();
      if (list.tenants.has(tenant))
        await this.#replacing.markReplaced(bucket, tenant, either, () => this.#options.reached('marked'));
      const left = await this.#erase(tenant, ids, lease, either);
      await this.#conclude(tenant, ids, folders, left, either);
      return ids;
    });
    this.#later(tenant, looked ?? []);
  }

  /** Resolves with why something may be left; empty: there is nothing. */
  async #erase(tenant: string, ids: string[], lease: BucketLease, signal: AbortSignal): Promise<string[]> {
    const { bucket, list, pollMs } = this.#work;
    const { traces } = this.#tenants.get(tenant)!;
    const { refs, left } = await heldInBucket(bucket, list, tenant, new TraceIds(ids), {
      holding: this.#options.holding,
      forgetParts: this.#options.forgetParts,
      deletedMs: Math.max(...ids.flatMap((id) => traces.get(id) ?? []).map((each) => each.lateMs ?? each.deletedMs)),
      settledMs: settledMs(pollMs),
      nowMs: Date.now(),
      signal,
    });
    for (const ref of refs) {
      const state = list.tenants.get(tenant)!;
      if (!this.#replacing.isSettled(ref.meta, state)) {
        left.push(`block ${ref.id} holds it: it is new, and others may not have listed it yet`);
        continue;
      }
      const failures: string[] = [];
      let emptied = false;
      await rewriteInBucket(this.#work, [[ref]], {
        ...{ lease, signal, rowGroups: REWRITE_BOUNDS, deleted: this.deleted(tenant), reached: this.#options.reached },
        onMerged: ({ spans }) => {
          this.#done.spansErased += ref.meta.vivace.spans - spans;
        },
        onLeft: ({ message }) => failures.push(message),
        onEmptied: () => {
          emptied = true;
        },
      });
      if (failures.length > 0) {
        left.push(`block ${ref.id} holds it: ${failures.join('; ')}`);
        continue;
      }
      if (emptied) {
        lease.check();
        await markInBucket(bucket, tenant, ref.id, { signal });
        list.markCompacted(tenant, ref.id, Date.now());
        this.#done.spansErased += ref.meta.vivace.spans;
        this.#options.reached('emptied');
      }
      this.#done.blocksRewritten++;
      left.push(`block ${ref.id} was written again without it, and is still there for those who have an old list`);
    }
    return left;
  }

  async #conclude(
    tenant: string,
    ids: string[],
    folders: DataFolder[],
    left: string[],
    signal: AbortSignal,
  ): Promise<void> {
    let erased = 0;
    await this.#change(
      tenant,
      (traces) => {
        let isChanged = false;
        erased = 0;
        for (const id of ids) {
          const deletion = traces.get(id);
          if (deletion === undefined || deletion.erasedMs !== undefined) continue;
          const waitsFor = [
            ...left,
            ...folders
              .filter(({ holdings }) => holdings[tenant]?.[id] !== 'clear')
              .map(
                (folder) =>
                  `folder ${folder.id} of ${folder.host}, heard of ${new Date(folder.modifiedMs).toISOString()}`,
              ),
          ].slice(0, WAITS_MAX);
          if (waitsFor.length === 0) {
            traces.set(id, { deletedMs: deletion.deletedMs, erasedMs: Date.now() });
            erased++;
          } else if (waitsFor.join() === deletion.waitsFor?.join()) continue;
          else traces.set(id, { ...deletion, waitsFor });
          isChanged = true;
        }
        return isChanged;
      },
      signal,
    );
    this.#done.erased += erased;
  }

  /** Those that may come back; what was not heard of for long is believed to be gone, as its disk is. */
  async #folders(signal: AbortSignal): Promise<DataFolder[]> {
    const agedMs = Math.max(this.#options.keepMs, 2 * HEARD_MS);
    const folders: DataFolder[] = [];
    for (const folder of await readFolders(this.#work.bucket, signal)) {
      if (Date.now() - folder.modifiedMs < agedMs) folders.push(folder);
      else await removeFolder(this.#work.bucket, folder.id, signal);
    }
    return folders;
  }

  #later(tenant: string, looked: string[]): void {
    const known = this.#tenants.get(tenant);
    if (known === undefined) return;
    known.looked = new Set([...known.looked, ...looked].filter((id) => known.traces.has(id)));
    known.dueMs = performance.now() + Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, this.#work.pollMs));
  }

  async #forgetOld(tenant: string, signal: AbortSignal): Promise<void> {
    const beforeMs = Date.now() - this.#options.keepMs;
    const isOld = ({ erasedMs }: { erasedMs?: number }): boolean => erasedMs !== undefined && erasedMs < beforeMs;
    if (![...this.#tenants.get(tenant)!.traces.values()].some(isOld)) return;
    await this.#change(
      tenant,
      (traces) => {
        const size = traces.size;
        for (const [id, deletion] of traces) if (isOld(deletion)) traces.delete(id);
        return traces.size < size;
      },
      signal,
    );
  }

  async #change(tenant: string, change: (traces: BucketDeletions) => boolean, signal?: AbortSignal): Promise<void> {
    await this.#inTurn(tenant, async () => {
      const readMs = Date.now();
      await this.#know(tenant, await changeBucketDeletions(this.#work.bucket, tenant, change, signal), readMs);
    });
  }

  async #know(tenant: string, traces: BucketDeletions, readMs: number): Promise<void> {
    const known = this.#tenants.get(tenant);
    const ids = [...traces.keys()].sort().join();
    if (known?.told !== ids)
      await this.#options.hide(
        tenant,
        [...traces].map(([id, { deletedMs }]) => ({ id, deletedMs })),
        readMs,
      );
    this.#tenants.set(tenant, { traces, told: ids, looked: known?.looked ?? new Set(), dueMs: known?.dueMs ?? 0 });
  }

  async #inTurn<T>(tenant: string, work: () => Promise<T>): Promise<T> {
    const own = (this.#turns.get(tenant) ?? Promise.resolve()).catch(() => {}).then(work);
    this.#turns.set(tenant, own);
    try {
      return await own;
    } finally {
      if (this.#turns.get(tenant) === own) this.#turns.delete(tenant);
    }
  }
}

function stateOf(
  traceId: string,
  { deletedMs, erasedMs, waitsFor = ['blocks'] }: { deletedMs: number; erasedMs?: number; waitsFor?: string[] },
): DeletionState {
  return erasedMs === undefined
    ? { traceId, state: 'erasing', deletedMs, waitsFor }
    : { traceId, state: 'erased', deletedMs, erasedMs, waitsFor: [] };
}
