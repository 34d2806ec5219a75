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
 *
 * A block that another one replaces (`vivace.replaces`) is not in the list from the moment on in which that one is; both
 * changes are told as one. A listing is no picture of one moment: it may have passed the new block's place before that came,
 * and see the old ones marked as merged. Hence they are marked `listMsMax` after the new one came, and what a listing that took
 * longer than that does not find is believed when the next one does not find it either.
 */
import { type Bucket, isNotFound, isPrecondition, type ListedObject } from '../store/bucket.ts';
import { eachOf } from '../runtime/each-of.ts';
import { messageOf } from '../runtime/errors.ts';
import { type BlockMeta, parseMeta, readMeta } from './meta.ts';
import {
  BLOCK_ID,
  COMPACTED_META_FILE,
  DAMAGED_META_FILE,
  FILTERS_FILE,
  LEASE_FILE,
  META_FILE,
  objectKey,
  META_BYTES_MAX,
} from './objects.ts';
import {
  INDEX_FILE,
  INDEX_FILE_PROTOBUF,
  readTenantIndex,
  renderTenantIndex,
  type TenantIndex,
} from './tenant-index.ts';
import { renderProtobufIndex } from './tenant-index-protobuf.ts';

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
  /** Blocks that were merged keep their meta.json for longer than this after the new one has its own. */
  listMsMax: number;
  now: () => number;
  random: () => number;
  wait: (ms: number) => Promise<void>;
  /** Collects garbage: called after every few hundred metas that were read. */
  collect?: () => void;
  /** Done before a tenant is looked at in each poll, which fails with it. */
  beforeTenant?: (tenant: string, signal?: AbortSignal) => Promise<void>;
  onChange: (tenant: string, added: BlockMeta[], removed: string[]) => void;
  /** All blocks of the tenant that are in no list because they are damaged; told before they leave the list, and after they come back. */
  onDamaged?: (tenant: string, blocks: ReadonlyMap<string, DamagedObject>) => void;
  onProblem: (tenant: string, kind: 'poll' | 'index', text: string) => void;
}

/** A block in quarantine: its meta, if that can be read, and when it was found damaged. */
export interface DamagedObject {
  meta: BlockMeta | undefined;
  ms: number;
}

export interface TenantState {
  live: Map<string, BlockMeta>;
  /** Blocks that have their meta.json still, though their spans are in a block that is in the list. */
  replaced: Map<string, BlockMeta>;
  /** Metas of merged blocks, and when they were merged; undefined when the meta was not read. */
  compacted: Map<string, { meta: BlockMeta | undefined; ms: number }>;
  damaged: ReadonlyMap<string, DamagedObject>;
  /** Blocks in formats that we cannot read. */
  foreign: Set<string>;
  /** What was there before that moment and is not in the list has gone. */
  asOfMs: number;
  /** The list is from an index: what came since that was made is not in it. */
  isFromIndex: boolean;
  /** What a long listing did not find. */
  missed: Set<string>;
  /** Whether the last poll wrote the index, and how old the index was. */
  built: boolean;
  indexAgeMs: number;
}

/** Ids by the meta that stands there. */
interface Listing {
  live: Set<string>;
  /** And since when. */
  compacted: Map<string, number>;
  damaged: Map<string, number>;
}

/**
 * Clocks of builders may be so far behind ours, and listings so far behind what is there, or a poll if that is less: what came
 * since is not missed.
 */
const LAG_MS_MAX = 5 * 60_000;
/** Reading so many metas leaves as much garbage as may be there. */
const COLLECTED_METAS = 250;
/** A tenant with fewer blocks is listed in one go: it is a page or two. */
const SHARDED_BLOCKS_MIN = 500;

export class BucketList {
  readonly tenants = new Map<string, TenantState>();
  readonly #bucket: Bucket;
  readonly #options: BucketListOptions;
  /** When this process uploaded a block, as long as a listing or an index may not have it. */
  readonly #uploaded = new Map<string, number>();
  /** Blocks that this process has found damaged, and whose meta.json may still be there. */
  readonly #condemned = new Set<string>();
  /** Listings of a tenant that are under way: an older one must not undo what a newer one found. */
  readonly #turns = new Map<string, Promise<void>>();
  #metasRead = 0;
  /** The same as `asOfMs` of a tenant, of those that have nothing in the bucket. */
  #asOfMs = 0;

  constructor(bucket: Bucket, options: BucketListOptions) {
    this.#bucket = bucket;
    this.#options = options;
  }

  get #lagMs(): number {
    return Math.min(LAG_MS_MAX, this.#options.pollMs);
  }

  /** A block that was just put into the bucket. */
  add(tenant: string, meta: BlockMeta): void {
    this.#uploaded.set(meta.blockID, this.#options.now());
    const state = this.#of(tenant);
    if (state.live.has(meta.blockID) || state.replaced.has(meta.blockID)) return;
    this.#change(tenant, state, [meta], []);
  }

  /** A block was just taken out of the list, because it was merged into another one or is too old. */
  markCompacted(tenant: string, id: string, ms: number): void {
    const state = this.#of(tenant);
    const meta = state.live.get(id) ?? state.replaced.get(id);
    state.compacted.set(id, { meta, ms });
    this.#uploaded.delete(id);
    this.#change(tenant, state, [], [id]);
  }

  /** Nothing is left of a block that was merged or too old. */
  forgetCompacted(tenant: string, id: string): void {
    this.tenants.get(tenant)?.compacted.delete(id);
  }

  /** A block was found damaged: it is not read any more, whatever its meta says. */
  condemn(tenant: string, id: string): void {
    const state = this.#of(tenant);
    const meta = state.live.get(id);
    if (meta === undefined) return;
    this.#condemned.add(id);
    this.#update(tenant, state, [], [id], new Map([...state.damaged, [id, { meta, ms: this.#options.now() }]]));
  }

  /** Nothing is left of a damaged block. */
  forgetDamaged(tenant: string, id: string): void {
    const state = this.#of(tenant);
    const damaged = new Map(state.damaged);
    if (damaged.delete(id)) this.#update(tenant, state, [], [], damaged);
  }

  /** Lists a tenant now, without a look at its index: what is in the bucket when this is called is in the list afterwards. */
  async refresh(tenant: string, signal?: AbortSignal): Promise<void> {
    await this.#inTurn(tenant, () => this.#list(tenant, this.#of(tenant), this.#options.now(), signal));
  }

  /**
   * Writes the indexes of tenants that have blocks of this process which are in no index: before the process ends, since
   * another one that writes indexes may not come soon.
   */
  async publish(signal?: AbortSignal): Promise<void> {
    if (!this.#options.builder) return;
    for (const [tenant, state] of this.tenants)
      if ([...state.live.keys()].some((id) => this.#uploaded.has(id)))
        await this.#inTurn(tenant, () => this.#pollTenant(tenant, signal, true));
  }

  /** Rejects when the bucket cannot be asked at all, or for more tenants than are tolerated. */
  async poll(signal?: AbortSignal): Promise<void> {
    const { tenantConcurrency, errorsTolerated, tenantsTolerated, onProblem } = this.#options;
    const asOfMs = this.#options.now() - this.#lagMs;
    const names = (await this.#bucket.folders('', { signal })).filter((name) => !name.includes('~'));
    let failed = 0;
    let failure: unknown;
    await eachOf(names, Math.max(1, tenantConcurrency), async (tenant) => {
      await this.#options.wait(this.#options.random() * this.#options.jitterMs);
      for (let attempt = 0; ; attempt++) {
        try {
          await this.#options.beforeTenant?.(tenant, signal);
          await this.#inTurn(tenant, () => this.#pollTenant(tenant, signal));
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
    const present = new Set(names);
    for (const [tenant, state] of this.tenants) {
      if (present.has(tenant)) continue;
      state.asOfMs = asOfMs;
      this.#change(tenant, state, [], this.#missed(state, new Set(), asOfMs));
      if (state.live.size + state.replaced.size === 0) this.tenants.delete(tenant);
    }
    this.#asOfMs = asOfMs;
    if (failed > tenantsTolerated) throw failure;
  }

  /** Whether the list has a block that was put into the bucket then; undefined: the list is too old to say. */
  has(tenant: string, id: string, uploadedMs: number): boolean | undefined {
    const state = this.tenants.get(tenant);
    if (state?.live.has(id)) return true;
    return uploadedMs < (state?.asOfMs ?? this.#asOfMs) ? false : undefined;
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
    // Blocks never change: what an old index says of them is as good as what they say themselves.
    await this.#list(tenant, state, beganMs, signal, index?.live);
    if (builder) await this.#writeIndex(tenant, state, read?.version, beganMs, signal);
    state.indexAgeMs = builder ? 0 : ageMs;
  }

  async #takeIndex(
    tenant: string,
    state: TenantState,
    index: TenantIndex,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const indexed = new Set(index.live.map(({ blockID }) => blockID));
    // It is in quarantine, or gone.
    for (const id of state.damaged.keys()) if (!indexed.has(id) || index.damaged?.has(id)) this.#condemned.delete(id);
    const known = index.bare.filter((id) => knows(state, id));
    const metas = [
      ...index.live.filter(({ blockID }) => !this.#condemned.has(blockID)),
      ...(await this.#metas(
        tenant,
        index.bare.filter((id) => !knows(state, id)),
        signal,
      )),
    ];
    const present = new Set([...known, ...metas.map(({ blockID }) => blockID)]);
    const compactedMs = index.createdMs;
    state.foreign = new Set(index.foreign);
    state.compacted = new Map(
      index.compacted.map((id) => [
        id,
        state.compacted.get(id) ?? { meta: state.live.get(id) ?? state.replaced.get(id), ms: compactedMs },
      ]),
    );
    state.isFromIndex = true;
    state.asOfMs = index.createdMs - this.#lagMs;
    const damaged = new Map(index.damaged ?? state.damaged);
    for (const [id, object] of state.damaged) if (this.#condemned.has(id)) damaged.set(id, object);
    const missed = this.#missed(state, present, state.asOfMs);
    const gone = [...damaged.keys()].filter((id) => !missed.includes(id) && knows(state, id));
    this.#update(tenant, state, metas, [...missed, ...gone], damaged);
  }

  async #list(
    tenant: string,
    state: TenantState,
    beganMs: number,
    signal: AbortSignal | undefined,
    indexed: BlockMeta[] = [],
  ): Promise<void> {
    const found = await this.#listed(tenant, state.live.size + state.replaced.size + state.compacted.size, signal);
    const isLong = this.#options.now() - beganMs > this.#options.listMsMax;
    for (const id of state.foreign) if (!found.live.has(id)) state.foreign.delete(id);
    const unknown = new Set(
      [...found.live].filter((id) => !knows(state, id) && !state.foreign.has(id) && !found.compacted.has(id)),
    );
    const damaged = await this.#damaged(tenant, state, found, signal);
    for (const id of damaged.keys()) {
      found.live.delete(id);
      unknown.delete(id);
    }
    const metas = indexed.filter(({ blockID }) => unknown.delete(blockID));
    metas.push(...(await this.#metas(tenant, [...unknown], signal, (id) => state.foreign.add(id))));
    for (const id of found.compacted.keys()) found.live.delete(id);
    const compacted: TenantState['compacted'] = new Map();
    for (const [id, ms] of found.compacted)
      compacted.set(id, {
        meta: state.compacted.get(id)?.meta ?? state.live.get(id) ?? state.replaced.get(id),
        ms,
      });
    state.compacted = compacted;
    state.asOfMs = beganMs - this.#lagMs;
    state.isFromIndex = false;
    const missed = this.#missed(state, found.live, state.asOfMs);
    const gone = isLong ? missed.filter((id) => state.missed.has(id)) : missed;
    state.missed = new Set(isLong ? missed : []);
    const replaced = [...damaged.keys()].filter((id) => !gone.includes(id) && knows(state, id));
    this.#update(tenant, state, metas, [...gone, ...replaced], damaged);
  }

  /** The blocks in quarantine: those that the listing says, and those that this process is about to put there. */
  async #damaged(
    tenant: string,
    state: TenantState,
    { live, compacted, damaged }: Listing,
    signal: AbortSignal | undefined,
  ): Promise<Map<string, DamagedObject>> {
    const all = new Map<string, DamagedObject>();
    for (const [id, ms] of damaged) {
      if (compacted.has(id)) continue;
      this.#condemned.delete(id);
      const known = state.damaged.get(id)?.meta ?? state.live.get(id) ?? state.replaced.get(id);
      all.set(id, { meta: known ?? (await this.#damagedMeta(tenant, id, signal)), ms });
    }
    for (const id of this.#condemned) {
      const known = state.damaged.get(id);
      if (known === undefined) continue;
      if (live.has(id)) all.set(id, known);
      else this.#condemned.delete(id);
    }
    return all;
  }

  async #damagedMeta(tenant: string, id: string, signal: AbortSignal | undefined): Promise<BlockMeta | undefined> {
    try {
      const key = objectKey(tenant, id, DAMAGED_META_FILE);
      const { bytes } = await this.#bucket.get(key, { bytesMax: META_BYTES_MAX, signal });
      return parseMeta(Buffer.from(bytes).toString());
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #listed(tenant: string, blocksExpected: number, signal: AbortSignal | undefined): Promise<Listing> {
    const live = new Set<string>();
    const compacted = new Map<string, number>();
    const damaged = new Map<string, number>();
    const take = ({ key, modifiedMs }: ListedObject): void => {
      const [id, name] = key.slice(tenant.length + 1).split('/');
      if (!BLOCK_ID.test(id)) return;
      if (name === META_FILE) live.add(id);
      else if (name === COMPACTED_META_FILE) compacted.set(id, modifiedMs);
      else if (name === DAMAGED_META_FILE) damaged.set(id, modifiedMs);
    };
    const shards = blocksExpected < SHARDED_BLOCKS_MIN ? 1 : Math.max(1, this.#options.listConcurrency);
    await eachOf(shardsOf(tenant, shards), shards, async (range) => {
      for await (const object of this.#bucket.list(`${tenant}/`, { ...range, signal })) take(object);
    });
    return { live, compacted, damaged };
  }

  /** A block whose meta has gone meanwhile is left out. */
  async #metas(
    tenant: string,
    ids: string[],
    signal: AbortSignal | undefined,
    onForeign: (id: string) => void = () => {},
  ): Promise<BlockMeta[]> {
    const metas: BlockMeta[] = [];
    const read = async (id: string): Promise<void> => {
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
      if (++this.#metasRead % COLLECTED_METAS === 0) this.#options.collect?.();
    };
    await eachOf(ids, Math.max(1, this.#options.concurrency), read);
    return metas;
  }

  /** The same with the damaged blocks: at no moment one of them is neither in the list nor told of. */
  #update(
    tenant: string,
    state: TenantState,
    metas: BlockMeta[],
    gone: string[],
    damaged: ReadonlyMap<string, DamagedObject>,
  ): void {
    const before = state.damaged;
    state.damaged = damaged;
    const { onDamaged } = this.#options;
    if ([...damaged.keys()].some((id) => !before.has(id))) onDamaged?.(tenant, new Map([...before, ...damaged]));
    this.#change(tenant, state, metas, gone);
    if ([...before.keys()].some((id) => !damaged.has(id))) onDamaged?.(tenant, damaged);
  }

  /** Takes these into the state, and those out of it; tells what this changes in the list. */
  #change(tenant: string, state: TenantState, metas: BlockMeta[], gone: string[]): void {
    const before = state.live;
    const all = new Map([...before, ...state.replaced]);
    for (const id of gone) all.delete(id);
    for (const meta of metas) if (!all.has(meta.blockID)) all.set(meta.blockID, meta);
    const hidden = new Set<string>();
    for (const { vivace } of all.values()) for (const id of vivace.replaces ?? []) hidden.add(id);
    state.live = new Map();
    state.replaced = new Map();
    for (const [id, meta] of all) (hidden.has(id) ? state.replaced : state.live).set(id, meta);
    const added = [...state.live.values()].filter(({ blockID }) => !before.has(blockID));
    const removed = [...before.keys()].filter((id) => !state.live.has(id));
    if (added.length > 0 || removed.length > 0) this.#options.onChange(tenant, added, removed);
  }

  /**
   * Known blocks that are not present any more; what was uploaded since need not be, though it may have been before: our own
   * listing can be ahead of the index that somebody else writes.
   */
  #missed(state: TenantState, present: Set<string>, asOfMs: number): string[] {
    return [...state.live.keys(), ...state.replaced.keys()].filter((id) => {
      const uploadedMs = this.#uploaded.get(id);
      if (uploadedMs !== undefined && uploadedMs >= asOfMs) return false;
      this.#uploaded.delete(id);
      return !present.has(id);
    });
  }

  async #inTurn(tenant: string, work: () => Promise<void>): Promise<void> {
    const before = this.#turns.get(tenant) ?? Promise.resolve();
    const own = before.catch(() => {}).then(work);
    this.#turns.set(tenant, own);
    try {
      await own;
    } finally {
      if (this.#turns.get(tenant) === own) this.#turns.delete(tenant);
    }
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
      const metas = [...state.live.values(), ...state.replaced.values()];
      if (metas.length + state.compacted.size + state.foreign.size + state.damaged.size === 0) {
        // The index last: as long as it is there, the next poll knows what to do.
        if (version !== undefined)
          for (const each of [LEASE_FILE, FILTERS_FILE, INDEX_FILE_PROTOBUF, INDEX_FILE])
            await this.#bucket.delete(`${tenant}/${each}`, { signal });
      } else if (state.foreign.size === 0) {
        const compacted = [...state.compacted.values()].flatMap(({ meta, ms }) =>
          meta === undefined ? [] : [[meta, ms] as const],
        );
        // In Tempo's order; of two who write at the same time the second object tells who was first.
        const protobuf = renderProtobufIndex(createdMs, metas, compacted);
        await this.#bucket.put(`${tenant}/${INDEX_FILE_PROTOBUF}`, protobuf, { signal });
        await this.#bucket.put(key, renderTenantIndex(createdMs, metas, compacted, state.damaged), {
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
      state = {
        live: new Map(),
        replaced: new Map(),
        compacted: new Map(),
        damaged: new Map(),
        foreign: new Set(),
        asOfMs: 0,
        isFromIndex: false,
        missed: new Set(),
        built: false,
        indexAgeMs: 0,
      };
      this.tenants.set(tenant, state);
    }
    return state;
  }
}

function knows({ live, replaced }: TenantState, id: string): boolean {
  return live.has(id) || replaced.has(id);
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
