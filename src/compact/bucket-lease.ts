/**
 * Lets one process at a time merge the blocks that a tenant has in a bucket: the object `<tenant>/compaction.json`, which is
 * only ever replaced by conditional puts (docs/formats/bucket.md).
 *
 * ```
 *  absent ──take──▶ owner A, beat 1 ──▶ owner A, beat 2 ──▶ … ──release──▶ owner '' ──take──▶ owner B, beat n
 *                        └── the same version seen for leaseMs: the owner is dead or cut off ──take──┘
 * ```
 * No clock is compared with another one: whoever waits measures by itself how long the object has not changed. An owner that
 * was only slow finds out, since what it decides (`commit`) is written into this object, too: that put fails.
 */
import { type BlockMeta, checkedMeta } from '../block/meta.ts';
import { LEASE_FILE } from '../block/objects.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { type Bucket, isNotFound, isPrecondition } from '../store/bucket.ts';

export interface LeasePlan {
  /** Id of the block that is being written: what there is of it without a commit is rubbish. */
  writing?: string;
  /** This block takes the place of those that it replaces, whether or not its meta is there yet. */
  commit?: BlockMeta;
}

interface LeaseContent extends LeasePlan {
  /** '' when nobody has it. */
  owner: string;
  /** Makes each content differ from the one before. */
  beat: number;
}

export interface LeasesOptions {
  owner: string;
  leaseMs: number;
  /** Milliseconds that only go forward. */
  nowMs: () => number;
}

const LEASE_BYTES_MAX = 1 << 20;
const RENEWALS_PER_LEASE = 4;

/** The leases of one process. */
export class Leases {
  readonly #bucket: Bucket;
  readonly #options: LeasesOptions;
  /** By tenant: the version that somebody else's lease had, and since when. */
  readonly #seen = new Map<string, { version: string; sinceMs: number }>();
  /** By tenant: the version that we left. */
  readonly #left = new Map<string, string>();

  constructor(bucket: Bucket, options: LeasesOptions) {
    this.#bucket = bucket;
    this.#options = options;
  }

  /** undefined: somebody else has it. */
  async take(tenant: string, signal?: AbortSignal): Promise<BucketLease | undefined> {
    const { owner, leaseMs, nowMs } = this.#options;
    const key = `${tenant}/${LEASE_FILE}`;
    const found = await readLease(this.#bucket, key, signal);
    const isFree = found === undefined || found.content.owner === '' || found.content.owner === owner;
    if (!isFree) {
      const seen = this.#seen.get(tenant);
      if (seen?.version !== found.version) {
        this.#seen.set(tenant, { version: found.version, sinceMs: nowMs() });
        return undefined;
      }
      if (nowMs() - seen.sinceMs < leaseMs) return undefined;
    }
    const { writing, commit, beat } = found?.content ?? { beat: 0 };
    const lease = new BucketLease(this.#bucket, key, {
      ...this.#options,
      version: found?.version,
      content: { owner, beat, writing, commit },
      isSequel: found !== undefined && this.#left.get(tenant) === found.version,
      onReleased: (version) => this.#left.set(tenant, version),
    });
    this.#seen.delete(tenant);
    this.#left.delete(tenant);
    return (await lease.begin(signal)) ? lease : undefined;
  }
}

export class BucketLease {
  /** Nobody else has had the lease since this process had it. */
  readonly isSequel: boolean;
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #leaseMs: number;
  readonly #nowMs: () => number;
  readonly #onReleased: (version: string) => void;
  readonly #lost = new AbortController();
  #content: LeaseContent;
  #version: string | undefined;
  #renewedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  /** Puts are done one after the other. */
  #last: Promise<void> = Promise.resolve();

  constructor(
    bucket: Bucket,
    key: string,
    options: LeasesOptions & {
      version: string | undefined;
      content: LeaseContent;
      isSequel: boolean;
      onReleased: (version: string) => void;
    },
  ) {
    this.#bucket = bucket;
    this.#key = key;
    this.#leaseMs = options.leaseMs;
    this.#nowMs = options.nowMs;
    this.#onReleased = options.onReleased;
    this.#content = options.content;
    this.#version = options.version;
    this.isSequel = options.isSequel;
  }

  /** What is planned: at first, what the one before left. */
  get plan(): LeasePlan {
    return this.#content;
  }

  /** Aborted when somebody else has taken the lease. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether the lease could be taken. */
  async begin(signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#put(this.#content, signal);
    } catch (error) {
      if (isPrecondition(error)) return false;
      throw error;
    }
    this.#timer = setInterval(() => {
      this.write({}).catch(() => {
        if (this.#nowMs() - this.#renewedMs > this.#leaseMs) this.#lost.abort();
      });
    }, this.#leaseMs / RENEWALS_PER_LEASE);
    this.#timer.unref();
    return true;
  }

  /** Renews the lease, with another plan; what is not named stays. Rejects when it is not ours any more. */
  async write(change: LeasePlan, signal?: AbortSignal): Promise<void> {
    const own = this.#last
      .catch(() => {})
      .then(() => {
        if (this.#lost.signal.aborted) throw new Error(`another process has taken ${this.#key}`);
        return this.#put({ ...this.#content, ...change }, signal);
      });
    this.#last = own;
    await own;
  }

  /** Throws unless the lease was renewed within its time. */
  check(): void {
    if (this.#lost.signal.aborted || this.#nowMs() - this.#renewedMs > this.#leaseMs)
      throw new Error(`another process may have taken ${this.#key}`);
  }

  /** Lets others have it, at once. */
  async release(signal?: AbortSignal): Promise<void> {
    clearInterval(this.#timer);
    await this.#last.catch(() => {});
    if (this.#lost.signal.aborted) return;
    try {
      await this.#put({ ...this.#content, owner: '' }, signal);
      this.#onReleased(this.#version!);
    } catch (error) {
      // Whoever waits for it gets it later.
      if (!isPrecondition(error)) throw error;
    } finally {
      this.#lost.abort();
    }
  }

  async #put(wanted: LeaseContent, signal: AbortSignal | undefined): Promise<void> {
    const content = { ...wanted, beat: this.#content.beat + 1 };
    const bytes = Buffer.from(JSON.stringify(content));
    const beganMs = this.#nowMs();
    try {
      const only = this.#version === undefined ? 'absent' : { version: this.#version };
      this.#version = await this.#bucket.put(this.#key, bytes, { only, signal });
    } catch (error) {
      // The answer to a put that succeeded may have been lost: what is there says whether it did.
      const found = await readLease(this.#bucket, this.#key, signal).catch(() => undefined);
      if (found === undefined || found.text !== bytes.toString()) {
        if (isPrecondition(error)) this.#lost.abort();
        throw error;
      }
      this.#version = found.version;
    }
    this.#content = content;
    this.#renewedMs = beganMs;
  }
}

async function readLease(
  bucket: Bucket,
  key: string,
  signal: AbortSignal | undefined,
): Promise<{ version: string; content: LeaseContent; text: string } | undefined> {
  try {
    const { bytes, version } = await bucket.get(key, { bytesMax: LEASE_BYTES_MAX, signal });
    const text = Buffer.from(bytes).toString();
    return { version, content: parseLease(text, key, bucket.name), text };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function parseLease(text: string, key: string, bucket: string): LeaseContent {
  try {
    const { owner, beat, writing, commit } = JSON.parse(text) as LeaseContent;
    if (typeof owner !== 'string' || typeof beat !== 'number') throw new Error('it names no owner');
    if (commit !== undefined && typeof checkedMeta(commit) === 'string')
      throw new Error('its commit is no block of ours');
    return { owner, beat, writing, commit };
  } catch (error) {
    throw new VivaceError(
      'internal',
      `cannot read ${key} of ${bucket}: ${messageOf(error)}; delete it when no process merges blocks`,
      { cause: error },
    );
  }
}
