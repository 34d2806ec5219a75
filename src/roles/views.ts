/**
 * What there was at a moment, for every question that was asked before it: counts of the live segments, under a lease of the
 * writer thread, and the list of blocks. Questions that waited for their turn share one, and with it what has been made of the
 * live segments:
 *
 *   asked     1  2  3  4     5  6        7
 *   views            ╰ of 1 to 4 ╯  ╰ of 5 to 7
 *
 * so that a crowd of them neither puts the same spans in order again and again nor keeps memory of many moments from being used again.
 * A question never gets a view that is older than itself: what was acknowledged before it was asked is there.
 */
import type { BlockRef, DamagedBlock } from '../block/catalog.ts';
import type { LogPlace } from '../block/meta.ts';
import type { Segment } from '../block/segment.ts';
import type { LiveSnapshot } from '../cut/layout.ts';
import { LiveSegment } from '../cut/live-segment.ts';
import { packedSegment } from '../cut/packed-segment.ts';
import { RepeatedRowsCache } from '../cut/repeated-rows.ts';
import { type WantedTraces, wantedTraces } from '../query/trace-numbers.ts';
import { VivaceError } from '../runtime/errors.ts';
import { SegmentFailure } from './work.ts';
import type { LeaseAnswer } from './writer-messages.ts';

export interface View {
  readonly takenMs: number;
  readonly blocks: readonly BlockRef[];
  /** Deleted traces. */
  readonly hidden: WantedTraces;
  readonly damaged: readonly DamagedBlock[];
  readonly from: LogPlace[];
  /** Newest first, for one query. Rejects with a `SegmentFailure` when some of it is in a block by now. */
  live(): Promise<readonly Segment[]>;
}

export interface ViewsOptions {
  /** Asks the writer thread; the list of blocks is left out of the answer when it is of the known version. */
  lease(tenant: string, knownVersion: number): Promise<LeaseAnswer>;
  release(lease: number): void;
  /** The number of the question that was asked last, of all. */
  lastAsked(): number;
}

interface KnownBlocks {
  version: number;
  blocks: readonly BlockRef[];
  hidden: WantedTraces;
  damaged: readonly DamagedBlock[];
}

interface Taken {
  /** It is of every question up to this number. */
  lastAsked: number;
  users: number;
  view: Promise<Held>;
}

interface Held extends View {
  lease: number;
  snapshots: Map<LiveSnapshot, LiveSegment>;
}

const BLOCK_LISTS_KEPT = 256;

export class Views {
  readonly #options: ViewsOptions;
  /** Of those tenants that asked last. */
  readonly #lists = new Map<string, KnownBlocks>();
  readonly #newest = new Map<string, Taken>();
  readonly #taken = new Map<View, Taken>();
  readonly #repeated = new RepeatedRowsCache();

  constructor(options: ViewsOptions) {
    this.#options = options;
  }

  /** A view for the question with this number; to be given back. */
  async take(tenant: string, question: number): Promise<View> {
    let taken = this.#newest.get(tenant);
    // Numbers begin anew after 2^31.
    if (taken === undefined || ((taken.lastAsked - question) | 0) < 0) {
      const lastAsked = this.#options.lastAsked();
      taken = { lastAsked, users: 0, view: this.#view(tenant) };
      this.#newest.set(tenant, taken);
    }
    taken.users++;
    try {
      const view = await taken.view;
      this.#taken.set(view, taken);
      return view;
    } catch (error) {
      if (this.#newest.get(tenant) === taken) this.#newest.delete(tenant);
      throw error;
    }
  }

  give(tenant: string, view: View): void {
    const taken = this.#taken.get(view)!;
    if (--taken.users > 0) return;
    this.#taken.delete(view);
    if (this.#newest.get(tenant) === taken) this.#newest.delete(tenant);
    this.#options.release((view as Held).lease);
  }

  /** Who comes next gets a new one: something of what there was has gone. */
  renew(tenant: string): void {
    this.#newest.delete(tenant);
  }

  renewAll(): void {
    this.#newest.clear();
  }

  async #view(tenant: string): Promise<Held> {
    const known = this.#lists.get(tenant);
    const lease = await this.#options.lease(tenant, known?.version ?? 0);
    const list: KnownBlocks = {
      version: lease.version,
      blocks: lease.blocks ?? known!.blocks,
      hidden: lease.deleted === undefined ? known!.hidden : wantedTraces(lease.deleted.map(bytesOfId)),
      damaged: lease.blocks === undefined ? known!.damaged : lease.damaged,
    };
    this.#lists.delete(tenant);
    this.#lists.set(tenant, list);
    if (this.#lists.size > BLOCK_LISTS_KEPT) this.#lists.delete(this.#lists.keys().next().value!);
    const snapshots = new Map(lease.segments.map((snapshot) => [snapshot, this.#segment(snapshot)]));
    const { blocks, hidden, damaged } = list;
    let packed: Promise<Segment[]> | undefined;
    return {
      ...{ takenMs: lease.takenMs, lease: lease.lease, from: lease.from, snapshots, blocks, hidden, damaged },
      async live() {
        const live = [...snapshots.values()].map((segment) => segment.again());
        return [...live, ...(await (packed ??= packedSegments(lease)))].reverse();
      },
    };
  }

  /** One that is full does not change any more, and what was made of it for an earlier view holds. */
  #segment(snapshot: LiveSnapshot): LiveSegment {
    for (const view of this.#taken.keys())
      for (const [other, segment] of (view as Held).snapshots) if (isSame(snapshot, other)) return segment;
    return new LiveSegment(snapshot, this.#repeated.of(snapshot.id));
  }
}

/** What has no columns. */
async function packedSegments({ packs }: LeaseAnswer): Promise<Segment[]> {
  const packed: Segment[] = [];
  for (const pack of packs) {
    try {
      packed.push(await packedSegment(pack));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      // It was cut since the lease was taken: the next one has its block.
      const why = 'its requests are in a block by now';
      throw new SegmentFailure(`pack-${pack.id}`, new VivaceError('not-found', why, { cause: error }));
    }
  }
  return packed;
}

function isSame(a: LiveSnapshot, b: LiveSnapshot): boolean {
  return a.id === b.id && a.rows === b.rows && a.requests === b.requests && a.tenant === b.tenant;
}

function bytesOfId(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex');
}
