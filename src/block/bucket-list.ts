/**
 * Which blocks a bucket holds, found out by polling.
 *
 * ```
 *  poll ─▶ tenants ─▶ each: index young enough? ──yes──────────────────────────────▶ changes
 *                              └─no─▶ list ─▶ metas of unknown blocks ─▶ write the index ─▶ ┘
 * ```
 * Every process that may build indexes does so when it finds none, or one as old as a poll, so that of many one does the
 * work; the object's version decides between two that do. The others use the index whatever its age, unless
 * `staleIndexMs` says otherwise, and list themselves when there is none.
 *
 * A tenant whose poll fails keeps its list.
 */
import { type Bucket, isNotFound, isPrecondition, type ListedObject } from '../store/bucket.ts';
import { eachOf } from '../runtime/each-of.ts';
import { messageOf } from '../runtime/errors.ts';
import { type BlockMeta, readMeta } from './meta.ts';
import { BLOCK_ID, COMPACTED_META_FILE, META_FILE, objectKey } from './objects.ts';
import { INDEX_FILE, readTenantIndex, renderTenantIndex, type TenantIndex } from './tenant-index.ts';

export interface BucketListOptions {
  /** Metas read at a time. */
  concurrency: number;
  tenantConcurrency: number;
  /** Listings of one tenant at a time. */
  listConcurrency: number;
  /** Longest random wait before a tenant. */
  jitterMs: number;
  /** Writes indexes that are missing or at least `pollMs` old. */
  builder: boolean;
  pollMs: number;
  /** An older index is not used by those that do not build; 0 = any is. */
  staleIndexMs: number;
  /** Lists when the index cannot be used. */
  fallback: boolean;
  errorsTolerated: number;
  tenantsTolerated: number;
  now: () => number;
  random: () => number;
  wait: (ms: number) => Promise<void>;
  onChange: (tenant: string, added: BlockMeta[], removed: string[]) => void;
  onProblem: (tenant: string, kind: 'poll' | 'index', text: string) => void;
}

export interface TenantState {
  live: Map<string, BlockMeta>;
  /** Metas of merged blocks, and when they were merged; undefined when the meta was not read. */
  compacted: Map<string, { meta: BlockMeta | undefined; ms: number }>;
  /** Blocks in formats that we cannot read. */
  foreign: Set<string>;
  /** Whether the last poll wrote the index, and how old the index was. */
  built: boolean;
  indexAgeMs: number;
}

const META_BYTES_MAX = 1 << 20;
/** Clocks of builders may be this far behind ours: what was uploaded since is not missed in their index. */
const SKEW_MS = 5 * 60_000;
/** A tenant with fewer blocks is listed in one go: it is a page or two. */
const SHARDED_BLOCKS_MIN = 500;

export class BucketList {
  readonly tenants = new Map<string, TenantState>();
  readonly #bucket: Bucket;
  readonly #options: BucketListOptions;
  /** When this process uploaded a block, as long as a poll may not know of it. */
  readonly #uploaded = new Map<string, number>();

  constructor(bucket: Bucket, options: BucketListOptions) {
    this.#bucket = bucket;
    this.#options = options;
  }

  /** A block that was just put into the bucket. */
  add(tenant: string, meta: BlockMeta): void {
    this.#uploaded.set(meta.blockID, this.#options.now());
    const state = this.#of(tenant);
    if (state.live.has(meta.blockID)) return;
    state.live.set(meta.blockID, meta);
    this.#options.onChange(tenant, [meta], []);
  }

  /** A block was just taken out of the list, because it was merged into another one or is too old. */
  markCompacted(tenant: string, id: string, ms: number): void {
    const state = this.#of(tenant);
    const meta = state.live.get(id);
    state.compacted.set(id, { meta, ms });
    if (!state.live.delete(id)) return;
    this.#uploaded.delete(id);
    this.#options.onChange(tenant, [], [id]);
  }

  /** Nothing is left of a block that was merged or too old. */
  forgetCompacted(tenant: string, id: string): void {
    this.tenants.get(tenant)?.compacted.delete(id);
  }

  /**
   * Writes the indexes of tenants that have blocks of this process which are in no index: before the process ends, since
   * another one that writes indexes may not come soon.
   */
  async publish(signal?: AbortSignal): Promise<void> {
    if (!this.#options.builder) return;
    for (const [tenant, state] of this.tenants)
      if ([...state.live.keys()].some((id) => this.#uploaded.has(id))) await this.#pollTenant(tenant, signal, true);
  }

  /** Rejects when the bucket cannot be asked at all, or for more tenants than are tolerated. */
  async poll(signal?: AbortSignal): Promise<void> {
    const { tenantConcurrency, errorsTolerated, tenantsTolerated, onProblem } = this.#options;
    const names = await this.#bucket.folders('', { signal });
    let failed = 0;
    let failure: unknown;
    await eachOf(names, Math.max(1, tenantConcurrency), async (tenant) => {
      await this.#options.wait(this.#options.random() * this.#options.jitterMs);
      for (let attempt = 0; ; attempt++) {
        try {
          await this.#pollTenant(tenant, signal);
          return;
        } catch (error) {
          if (signal?.aborted) throw error;
          onProblem(tenant, 'poll', messageOf(error));
          if (attempt < errorsTolerated) continue;
          failed++;
          failure = error;
          return;
        }
      }
    });
    for (const [tenant, { live }] of this.tenants) {
      if (names.includes(tenant)) continue;
      const gone = this.#missed([...live.keys()], new Set(), this.#options.now());
      for (const id of gone) live.delete(id);
      if (gone.length > 0) this.#options.onChange(tenant, [], gone);
      if (live.size === 0) this.tenants.delete(tenant);
    }
    if (failed > tenantsTolerated) throw failure;
  }

  async #pollTenant(tenant: string, signal: AbortSignal | undefined, anew = false): Promise<void> {
    const { builder, pollMs, staleIndexMs, fallback, now, onProblem } = this.#options;
    const read = await readTenantIndex(this.#bucket, tenant, signal);
    if (read !== undefined && 'damage' in read.index) onProblem(tenant, 'index', read.index.damage);
    const index = read === undefined || 'damage' in read.index ? undefined : read.index;
    const ageMs = index === undefined ? Number.POSITIVE_INFINITY : now() - index.createdMs;
    const state = this.#of(tenant);
    // A little less than a poll: the next one of the same process must not find its own index too young.
    const usable = builder ? ageMs < 0.9 * pollMs : staleIndexMs === 0 || ageMs <= staleIndexMs;
    if (index !== undefined && usable && !anew) {
      await this.#takeIndex(tenant, state, index, signal);
      state.built = false;
      state.indexAgeMs = ageMs;
      return;
    }
    if (!builder && !fallback)
      throw new Error(
        `the tenant index ${index === undefined ? 'is missing' : `is ${Math.round(ageMs / 1000)} s old`} and storage.trace.blocklist_poll_fallback is false`,
      );
    const beganMs = now();
    await this.#list(tenant, state, beganMs, signal);
    if (builder) await this.#writeIndex(tenant, state, read?.version, beganMs, signal);
    state.indexAgeMs = builder ? 0 : ageMs;
  }

  async #takeIndex(
    tenant: string,
    state: TenantState,
    index: TenantIndex,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const known = index.bare.filter((id) => state.live.has(id));
    const metas = [
      ...index.live,
      ...(await this.#metas(
        tenant,
        index.bare.filter((id) => !state.live.has(id)),
        signal,
      )),
    ];
    const present = new Set([...known, ...metas.map(({ blockID }) => blockID)]);
    const compactedMs = index.createdMs;
    state.foreign = new Set(index.foreign);
    state.compacted = new Map(
      index.compacted.map((id) => [id, state.compacted.get(id) ?? { meta: state.live.get(id), ms: compactedMs }]),
    );
    this.#change(tenant, state, metas, present, index.createdMs - SKEW_MS);
  }

  async #list(tenant: string, state: TenantState, beganMs: number, signal: AbortSignal | undefined): Promise<void> {
    const found = await this.#listed(tenant, state.live.size + state.compacted.size, signal);
    for (const id of state.foreign) if (!found.live.has(id)) state.foreign.delete(id);
    const unknown = [...found.live].filter(
      (id) => !state.live.has(id) && !state.foreign.has(id) && !found.compacted.has(id),
    );
    const metas = await this.#metas(tenant, unknown, signal, (id) => state.foreign.add(id));
    for (const id of found.compacted.keys()) found.live.delete(id);
    const compacted: TenantState['compacted'] = new Map();
    for (const [id, ms] of found.compacted)
      compacted.set(id, { meta: state.compacted.get(id)?.meta ?? state.live.get(id), ms });
    state.compacted = compacted;
    this.#change(tenant, state, metas, found.live, beganMs);
  }

  /** Ids by the meta that stands there. */
  async #listed(
    tenant: string,
    blocksExpected: number,
    signal: AbortSignal | undefined,
  ): Promise<{ live: Set<string>; compacted: Map<string, number> }> {
    const live = new Set<string>();
    const compacted = new Map<string, number>();
    const take = ({ key, modifiedMs }: ListedObject): void => {
      const [id, name] = key.slice(tenant.length + 1).split('/');
      if (!BLOCK_ID.test(id)) return;
      if (name === META_FILE) live.add(id);
      else if (name === COMPACTED_META_FILE) compacted.set(id, modifiedMs);
    };
    const shards = blocksExpected < SHARDED_BLOCKS_MIN ? 1 : Math.max(1, this.#options.listConcurrency);
    await eachOf(shardsOf(tenant, shards), shards, async (range) => {
      for await (const object of this.#bucket.list(`${tenant}/`, { ...range, signal })) take(object);
    });
    return { live, compacted };
  }

  /** A block whose meta has gone meanwhile is left out. */
  async #metas(
    tenant: string,
    ids: string[],
    signal: AbortSignal | undefined,
    onForeign: (id: string) => void = () => {},
  ): Promise<BlockMeta[]> {
    const metas: BlockMeta[] = [];
    await eachOf(ids, Math.max(1, this.#options.concurrency), async (id) => {
      const key = objectKey(tenant, id, META_FILE);
      try {
        const { bytes } = await this.#bucket.get(key, { bytesMax: META_BYTES_MAX, signal });
        const meta = readMeta(Buffer.from(bytes).toString());
        if (meta === 'foreign') onForeign(id);
        else if (meta === 'damaged') this.#options.onProblem(tenant, 'poll', `${key} is damaged`);
        else metas.push(meta);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    });
    return metas;
  }

  #change(tenant: string, state: TenantState, metas: BlockMeta[], present: Set<string>, asOfMs: number): void {
    const removed = this.#missed([...state.live.keys()], present, asOfMs);
    const added = metas.filter(({ blockID }) => !state.live.has(blockID));
    for (const id of removed) state.live.delete(id);
    for (const meta of added) state.live.set(meta.blockID, meta);
    if (added.length > 0 || removed.length > 0) this.#options.onChange(tenant, added, removed);
  }

  /** Known blocks that are not present any more; what was uploaded since need not be. */
  #missed(known: string[], present: Set<string>, asOfMs: number): string[] {
    return known.filter((id) => {
      const uploadedMs = this.#uploaded.get(id);
      if (present.has(id)) {
        this.#uploaded.delete(id);
        return false;
      }
      return uploadedMs === undefined || uploadedMs < asOfMs;
    });
  }

  async #writeIndex(
    tenant: string,
    state: TenantState,
    version: string | undefined,
    createdMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const key = `${tenant}/${INDEX_FILE}`;
    try {
      if (state.live.size === 0 && state.compacted.size === 0 && state.foreign.size === 0) {
        if (version !== undefined) await this.#bucket.delete(key, { signal });
      } else if (state.foreign.size === 0) {
        const compacted = [...state.compacted.values()].flatMap(({ meta, ms }) =>
          meta === undefined ? [] : [[meta, ms] as const],
        );
        await this.#bucket.put(key, renderTenantIndex(createdMs, state.live.values(), compacted), {
          signal,
          only: version === undefined ? 'absent' : { version },
        });
      }
      state.built = true;
    } catch (error) {
      // Another process has just done the same.
      if (isPrecondition(error)) return;
      this.#options.onProblem(tenant, 'index', messageOf(error));
    }
  }

  #of(tenant: string): TenantState {
    let state = this.tenants.get(tenant);
    if (state === undefined) {
      state = { live: new Map(), compacted: new Map(), foreign: new Set(), built: false, indexAgeMs: 0 };
      this.tenants.set(tenant, state);
    }
    return state;
  }
}

/** Ranges of keys that split the space of block ids evenly. */
export function shardsOf(tenant: string, count: number): { from?: string; to?: string }[] {
  const edges = Array.from({ length: count - 1 }, (_, i) => {
    const id = Math.floor(((i + 1) * 0x1_0000_0000) / count)
      .toString(16)
      .padStart(8, '0');
    return `${tenant}/${id}`;
  });
  return Array.from({ length: count }, (_, i) => ({
    ...(i > 0 && { from: edges[i - 1] }),
    ...(i < count - 1 && { to: edges[i] }),
  }));
}
