/**
 * Everything that is received and not yet in blocks, of all tenants: requests are appended to live columns and to the log,
 * answered when the log is on disk, and cut to blocks when a segment is full or old.
 *
 * ```
 *  push ──▶ columns (open segment of the tenant) ──▶ log.add ──▶ commit ──▶ answer, and rows become visible
 *                 │ full, old, flush
 *                 ▼
 *              sealed ──▶ (its rows are durable) ──▶ cutBlock ──▶ segment forgotten, its part of the log released
 * ```
 * A snapshot that a query holds keeps its segment's memory from being reused until it is given back.
 *
 * A tenant has columns as long as there is memory for the columns of all. Beyond that the requests of further tenants are
 * checked in columns that they share, and kept as bytes (packs.ts) until there is enough for a block, or they are old.
 */
import type { LogPlace } from '../block/meta.ts';
import { randomBytes } from 'node:crypto';
import type { TraceIds } from '../block/trace-ids.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { Appender, type Appended } from './append.ts';
import { ColumnLeases } from './column-leases.ts';
import { LiveColumns } from './columns.ts';
import { Commits, type Unanswered } from './commits.ts';
import { reached } from '../runtime/reached.ts';
import type { LiveSnapshot } from './layout.ts';
import { LiveView } from './live-view.ts';
import { HeldCutter } from './cut-held.ts';
import { cutsDueOf, slicesPerTurn } from './cut-pace.ts';
import { CutSlices } from './cut-slices.ts';
import { hasDurable, hasSpans, type Held, type Open, type Packed, type Segment } from './held.ts';
import type { LiveStoreOptions } from './live-store-options.ts';
import { Packs, type PackSnapshot } from './packs.ts';
import { Sealed } from './sealed.ts';
import { type AppendLimits, sameLimits, TraceLimits } from './trace-limits.ts';

/** A request that is not in columns yet. */
type Waiting = Pick<Unanswered, 'tenant' | 'body' | 'reply'>;

/** Segments that may wait for their cut before new requests have to wait too. */
const SEALED_MAX = 1;
/** What the columns of a tenant take at least. */
const SEGMENT_BYTES_MIN = 128 * 1024;
/** A tenant with more packed requests than this gets a block, and columns. */
const PACK_BYTES_MAX = 4 * 1024 * 1024;
/** Columns in which packed requests are checked are emptied when they are this full. */
const CHECKED_BYTES_MAX = 4 * 1024 * 1024;
/** Packed tenants that wait for their cut at once, when it is not for their age. */
const PACKED_SEALED_MAX = 32;
/** And so many are cut at a time, of together no more than `PACK_BYTES_MAX`. */
const PACKED_CUTS_MAX = 16;
/** Waiting requests beyond this many bytes are refused. */
const QUEUE_BYTES_MAX = 48 * 1024 * 1024;
/** Memory of segments that were cut waits this long for new ones. */
const SPARE_MS = 10_000;
const CUT_RETRY_MS = [250, 1000, 5000];

export class LiveStore {
  readonly #options: LiveStoreOptions;
  readonly #seed = randomBytes(4).readInt32LE();
  /** What each tenant is appended to, by when it was begun. */
  readonly #open = new Map<string, Open>();
  /** Those of them that have columns, and the bytes of these. */
  readonly #segments = new Set<Segment>();
  #openBytes = 0;
  readonly #packs: Packs;
  /** Where packed requests are checked, of all tenants. */
  #checking: { columns: LiveColumns; appender: Appender } | undefined;
  /** Tenants that had much when they were cut last. */
  readonly #large = new Set<string>();
  readonly #limits = new Map<string, TraceLimits>();
  readonly #sealed = new Sealed();
  #spare: LiveColumns[] = [];
  readonly #cutter: HeldCutter;
  /** How many are still to be sealed for the length of the log, until the next tick. */
  #cutsDue = 0;
  /** When a segment was last begun. */
  #begunMs = 0;
  #queue: Waiting[] = [];
  #queueBytes = 0;
  readonly #commits: Commits;
  #cutting: Promise<void> | undefined;
  readonly #leases = new ColumnLeases();
  #closed = false;

  constructor(options: LiveStoreOptions) {
    this.#options = options;
    this.#packs = new Packs({
      directory: options.packDirectory,
      bytesMax: options.liveBytes / 4,
      onRoom: () => this.#pump(),
      onFailed: options.onPackFailed,
    });
    const slices = new CutSlices(() => {
      const part = options.log.bytes / options.logBytesMax;
      return slicesPerTurn(this.#cutsDue, this.#open.size, part, PACKED_CUTS_MAX);
    });
    this.#cutter = new HeldCutter(options, this.#packs, slices, this.#seed);
    this.#commits = new Commits(options.log, {
      answered: (request) => this.#answer(request),
      refused: (error, requests, segments) => this.#takeBackAll(error, requests, segments),
    });
  }

  /** Bytes of all live columns and of packed requests. */
  get bytes(): number {
    return this.#openBytes + this.#sealed.columnBytes + this.#packs.bytes;
  }

  get traces(): Map<string, number> {
    const traces = new Map<string, number>();
    const count = (held: Open): void => {
      const more = held.columns === undefined ? held.traces : held.durable.traces;
      traces.set(held.tenant, (traces.get(held.tenant) ?? 0) + more);
    };
    for (const held of this.#sealed) count(held);
    this.#open.forEach(count);
    return traces;
  }

  /** Bytes that cutting everything that waits may need on disk. */
  get blockBytesExpected(): number {
    return Math.ceil(this.bytes / 2 + 3 * this.#packs.fileBytes) + 65536;
  }

  /** Takes a request over; `reply` is called once, when it is durable or refused, and gets the body back. */
  push(tenant: string, body: Uint8Array, reply: Waiting['reply']): void {
    if (this.#closed) {
      reply(
        new VivaceError('unavailable', 'cannot take spans: the process is stopping', { retryAfterMs: 1000 }),
        0,
        body,
      );
      return;
    }
    if (this.#queueBytes > 0 && this.#queueBytes + body.length > QUEUE_BYTES_MAX) {
      reply(
        new VivaceError(
          'exhausted',
          'cannot take spans: blocks are not written as fast as spans arrive; slow down or give the disk more speed',
          { retryAfterMs: 1000 },
        ),
        0,
        body,
      );
      return;
    }
    this.#queue.push({ tenant, body, reply });
    this.#queueBytes += body.length;
    this.#pump();
  }

  /** The live segments of a tenant as they are now; give the lease back with `release`. */
  lease(tenant: string): {
    lease: number;
    segments: LiveSnapshot[];
    packs: PackSnapshot[];
    from: LogPlace | undefined;
  } {
    const all = [...this.#sealed].filter((held) => held.tenant === tenant);
    const open = this.#open.get(tenant);
    if (open !== undefined) all.push(open);
    const segments = all.filter((held) => held.columns !== undefined);
    const { attributeBytesMax } = this.#options.limits(tenant);
    return {
      lease: this.#leases.take(segments.map(({ columns }) => columns)),
      segments: segments
        .filter((segment) => segment.durable.rows > 0)
        .map((segment) => segment.columns.snapshot(segment.id, tenant, segment.durable)),
      packs: all
        .filter((held) => held.columns === undefined)
        .filter(({ pack }) => pack.bytes > 0)
        .map(({ id, pack }) => ({ id, tenant, attributeBytesMax, ...this.#packs.snapshot(pack) })),
      from: this.#firstOf(all),
    };
  }

  #firstOf(held: readonly Held[]): LogPlace | undefined {
    const sequences = held.map(({ firstSequence }) => firstSequence).filter((sequence) => sequence > 0);
    return sequences.length === 0 ? undefined : { instance: this.#options.instance, sequence: Math.min(...sequences) };
  }

  /** Bytes of columns that were cut and that queries still see; not among `bytes`. */
  get leftBytes(): number {
    return this.#leases.leftBytes;
  }

  release(lease: number): void {
    for (const columns of this.#leases.release(lease)) this.#recycle(columns);
  }

  /** Seals what is old or too many bytes; to be called every second or so. */
  tick(): void {
    const now = this.#options.now();
    for (const held of this.#open.values()) {
      if (!hasSpans(held)) continue;
      const age = now - held.firstMs;
      // Past its time a segment waits for a quiet moment, so that fewer traces are cut in two, but not for ever.
      const quiet = now - held.lastMs >= this.#options.traceIdleMs;
      if (
        age >= this.#options.maxBlockDurationMs &&
        (quiet || age >= this.#options.maxBlockDurationMs + this.#options.traceLiveMs)
      )
        this.#seal(held);
    }
    for (const [tenant, limits] of this.#limits) if (limits.isIdle(now)) this.#limits.delete(tenant);
    if (now - this.#begunMs > SPARE_MS) this.#rest();
    this.#boundBytes();
    this.#cutsDue = cutsDueOf(this.#open, this.#options.log.writtenBytes, this.#options.logBytesMax);
    this.#boundLog();
    this.#pump();
  }

  /** Cuts everything (of one tenant) to blocks; resolves when it is in blocks. */
  async flush(tenant?: string): Promise<void> {
    await this.#commits.settled();
    for (const held of [...this.#open.values()])
      if ((tenant === undefined || held.tenant === tenant) && hasSpans(held)) this.#seal(held);
    while (this.#sealed.size > 0 && this.#cutting !== undefined) await this.#cutting;
    await this.#commits.settled();
  }

  /** Where what is added now is logged: in this file or an earlier one. */
  get logFiles(): { instance: string; file: number } {
    return { instance: this.#options.instance, file: this.#options.log.file };
  }

  /** Which of the traces are here; in rare cases one that is not. */
  holds(tenant: string, ids: TraceIds): string[] {
    const found = new Set<string>();
    for (const held of [...this.#sealed, ...this.#open.values()]) {
      if (held.tenant !== tenant) continue;
      if (held.columns === undefined) {
        for (const id of ids.ids) if (held.pack.mayHold(Buffer.from(id, 'hex').readUInt32LE(12))) found.add(id);
        continue;
      }
      const words = new LiveView(held.columns.snapshot(held.id, tenant, held.durable)).traceWords();
      const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
      for (let at = 0; at < bytes.length; at += 16) {
        const id = ids.find(bytes, at);
        if (id !== undefined) found.add(id);
      }
    }
    return [...found];
  }

  /** Begins another file of the log, so that those before it go as soon as what they hold is in blocks. */
  async renewLog(tenant: string): Promise<void> {
    await this.#commits.settled();
    this.#options.log.rotate();
    this.#options.log.addCut(tenant, 0);
    this.#commits.begin();
    await this.#commits.settled();
    await this.#releaseLog();
  }

  /** Takes no more requests, answers those it has and cuts everything. Resolves to whether all of it is in blocks. */
  async close(): Promise<boolean> {
    this.#closed = true;
    await this.flush();
    while (this.#queue.length > 0) {
      this.#pump();
      await this.flush();
    }
    if (this.#sealed.size > 0) return false;
    await this.#packs.close();
    return true;
  }

  /** Appends during replay: no log, no reply. Waits when memory is full. */
  async replay(tenant: string, body: Uint8Array, sequence: number): Promise<Appended> {
    for (;;) {
      const held = this.#heldFor(tenant, body.length);
      if (held === undefined) {
        await (this.#cutting ?? new Promise((resolve) => setImmediate(resolve)));
        continue;
      }
      if (held.columns === undefined) this.#packs.unreserve(body.length);
      const appended = this.#append(held, body);
      held.lastSequence = sequence;
      if (held.firstSequence === 0) held.firstSequence = sequence;
      if (held.columns === undefined) this.#packs.add(held.pack, body);
      else held.durable = held.columns.mark();
      return appended;
    }
  }

  #pump(): void {
    let began = this.#queue.length > 0;
    while (this.#queue.length > 0) {
      const next = this.#queue[0];
      const held = this.#heldFor(next.tenant, next.body.length);
      if (held === undefined) break;
      this.#queue.shift();
      this.#queueBytes -= next.body.length;
      let isLogged = false;
      try {
        const appended = this.#append(held, next.body);
        if (appended.spans === appended.discarded) {
          this.#options.onAppended(next.tenant, appended, next.body.length);
          next.reply(undefined, appended.spans, next.body);
          continue;
        }
        const sequence = this.#options.log.add(next.tenant, next.body);
        isLogged = true;
        if (held.firstSequence === 0) held.firstSequence = sequence;
        held.lastSequence = sequence;
        held.unanswered++;
        this.#commits.add({ ...next, appended, held });
        began = true;
      } catch (error) {
        next.reply(
          error instanceof VivaceError
            ? error
            : new VivaceError('internal', `cannot take the request: ${messageOf(error)}`, { cause: error }),
          0,
          next.body,
        );
      } finally {
        if (!isLogged && held.columns === undefined) this.#packs.unreserve(next.body.length);
      }
    }
    if (began) this.#commits.begin();
  }

  #append(held: Open, body: Uint8Array): Appended {
    const { columns, appender } = held.columns === undefined ? this.#checkingColumns() : held;
    const bytes = columns.bytes;
    const mark = columns.mark();
    const now = this.#options.now();
    try {
      appender.limit(this.#limitsOf(held.tenant));
      const appended = appender.append(body, now);
      if (appended.spans === appended.discarded && appended.spans > 0) columns.takeBack(mark);
      if (held.firstMs === 0) held.firstMs = now;
      held.lastMs = now;
      if (held.columns === undefined) {
        held.traces += appended.traces;
        for (let row = mark.rows; row < columns.rows.count; row++) {
          const trace = columns.u32[columns.rows.fieldAddress(row)];
          held.pack.note(columns.u32[columns.traces.address(trace) + 3]);
        }
      }
      return appended;
    } catch (error) {
      columns.takeBack(mark);
      throw error;
    } finally {
      if (held.columns !== undefined) this.#openBytes += columns.bytes - bytes;
    }
  }

  #checkingColumns(): { columns: LiveColumns; appender: Appender } {
    if (this.#checking === undefined) {
      const columns = new LiveColumns(this.#options.liveBytes, this.#seed);
      this.#checking = { columns, appender: new Appender(columns, UNLIMITED) };
    } else if (this.#checking.columns.bytes > Math.min(CHECKED_BYTES_MAX, this.#options.liveBytes / 4)) {
      this.#checking.columns.reset();
    }
    return this.#checking;
  }

  #limitsOf(tenant: string): TraceLimits {
    const limits = this.#options.limits(tenant);
    let known = this.#limits.get(tenant);
    if (known === undefined || (known.limits !== limits && !sameLimits(known.limits, limits))) {
      // What traces have used of other limits is forgotten.
      known = new TraceLimits(limits);
      this.#limits.set(tenant, known);
    }
    return known;
  }

  /** What takes the next request, with memory set aside when it is packed; undefined when it has to wait. */
  #heldFor(tenant: string, bodyBytes: number): Open | undefined {
    if (this.#options.log.bytes > this.#options.logBytesMax && this.#sealed.size > 0) return undefined;
    let open = this.#open.get(tenant);
    if (open?.columns !== undefined) return this.#roomIn(open, bodyBytes);
    const packBytesMax = this.#packBytesMax();
    if (open !== undefined && open.pack.bytes + bodyBytes > packBytesMax) {
      this.#seal(open);
      open = undefined;
    }
    if (open === undefined) {
      const isLarge = bodyBytes > packBytesMax || this.#large.has(tenant);
      const isRoom = this.#openBytes + SEGMENT_BYTES_MIN <= this.#options.liveBytes / 4;
      if (isLarge || isRoom) return this.#begin(tenant, bodyBytes);
    }
    this.#boundBytes();
    if (this.bytes + bodyBytes > this.#options.liveBytes && this.#sealed.segments > 0) return undefined;
    if (!this.#packs.reserve(bodyBytes)) return undefined;
    if (open !== undefined) return open;
    const packed: Packed = {
      ...this.#newHeld(tenant),
      columns: undefined,
      pack: this.#packs.create(),
      traces: 0,
      hasDeleted: false,
    };
    this.#open.set(tenant, packed);
    return packed;
  }

  #roomIn(open: Segment, bodyBytes: number): Open | undefined {
    const bytes = open.columns.bytes + bodyBytes / 2;
    const full = open.columns.rows.count > 0 && bytes > Math.min(this.#sealBytes(), this.#options.maxBlockBytes);
    if (!full && this.bytes + bodyBytes / 2 <= this.#options.liveBytes) return open;
    if (this.#sealed.segments >= SEALED_MAX) return undefined;
    // Of many tenants none may be full while all of them together are.
    const sealed = full ? open : this.#largest();
    if (sealed === undefined) return open;
    this.#seal(sealed);
    return sealed === open ? this.#heldFor(open.tenant, bodyBytes) : open;
  }

  #begin(tenant: string, bodyBytes: number): Segment | undefined {
    this.#boundBytes();
    if (this.bytes + bodyBytes / 2 > this.#options.liveBytes && this.#sealed.segments > 0) return undefined;
    const columns = this.#spare.pop() ?? new LiveColumns(this.#options.liveBytes, this.#seed);
    const segment: Segment = {
      ...this.#newHeld(tenant),
      columns,
      appender: new Appender(columns, UNLIMITED),
      durable: columns.mark(),
    };
    this.#open.set(tenant, segment);
    this.#segments.add(segment);
    this.#openBytes += columns.bytes;
    return segment;
  }

  #newHeld(tenant: string): Held {
    this.#begunMs = this.#options.now();
    return {
      id: this.#options.nextSegment(),
      tenant,
      firstSequence: 0,
      lastSequence: 0,
      firstMs: 0,
      lastMs: 0,
      unanswered: 0,
      begunAtByte: this.#options.log.writtenBytes,
    };
  }

  /** One segment may take three eighths of the budget, so that one can fill while another is cut. */
  #sealBytes(): number {
    return (this.#options.liveBytes * 3) / 8;
  }

  /** All open segments together. New ones are begun up to a quarter, so that they have room to grow. */
  #openBytesMax(): number {
    const { liveBytes } = this.#options;
    return this.#packs.bytes > 0 ? (liveBytes * 3) / 8 : liveBytes / 2;
  }

  #packBytesMax(): number {
    return Math.min(PACK_BYTES_MAX, this.#options.liveBytes / 8);
  }

  /** Seals the largest segments while what is open is over its share. */
  #boundBytes(): void {
    while (this.#openBytes > this.#openBytesMax() && this.#open.size > 1) {
      const largest = this.#largest();
      if (largest === undefined) return;
      this.#seal(largest);
    }
  }

  /** Seals what the oldest part of the log waits for, a few at a time. */
  #boundLog(): void {
    if (this.#cutsDue === 0) return;
    // They are in the order in which they were begun.
    for (const held of this.#open.values()) {
      if (this.#cutsDue === 0 || this.#sealed.size >= PACKED_SEALED_MAX) return;
      if (!hasSpans(held)) continue;
      this.#cutsDue--;
      this.#seal(held);
    }
    this.#cutsDue = 0;
  }

  /** The open segment with the most bytes among those that have rows. */
  #largest(): Segment | undefined {
    let largest: Segment | undefined;
    for (const segment of this.#segments)
      if (segment.columns.rows.count > 0 && (largest === undefined || segment.columns.bytes > largest.columns.bytes))
        largest = segment;
    return largest;
  }

  #seal(held: Open): void {
    this.#open.delete(held.tenant);
    this.#sealed.add(held);
    if (held.columns !== undefined) {
      this.#segments.delete(held);
      this.#openBytes -= held.columns.bytes;
    }
    // Of many tenants others still wait for the same file; when there are none it can go with what is cut now.
    const isLast = this.#open.size === 0;
    if (isLast || (held.columns !== undefined && this.#open.size < PACKED_SEALED_MAX)) this.#options.log.rotate();
    const { bytes } = held.columns ?? held.pack;
    if (bytes > this.#packBytesMax() / 2) this.#large.add(held.tenant);
    else this.#large.delete(held.tenant);
    this.#cutting ??= this.#cutAll();
  }

  #answer({ held, tenant, body, appended, reply }: Unanswered): void {
    if (held.columns === undefined) {
      this.#packs.unreserve(body.length);
      this.#packs.add(held.pack, body);
    }
    held.unanswered--;
    this.#options.onAppended(tenant, appended, body.length);
    reply(undefined, appended.spans, body);
  }

  #takeBackAll(error: VivaceError, refused: readonly Unanswered[], segments: ReadonlySet<Segment>): void {
    for (const segment of segments) {
      const bytes = segment.columns.bytes;
      segment.columns.takeBack(segment.durable);
      if (this.#segments.has(segment)) this.#openBytes += segment.columns.bytes - bytes;
    }
    for (const { held, tenant, body, reply } of refused) {
      if (held.columns === undefined) this.#packs.unreserve(body.length);
      held.unanswered--;
      // What comes again must not find its trace as large as if it had been taken.
      this.#limits.get(tenant)?.clear();
      reply(error, 0, body);
    }
  }

  async #cutAll(): Promise<void> {
    for (let failures = 0; this.#sealed.size > 0; ) {
      const ends = await Promise.allSettled(
        this.#sealed.next(PACKED_CUTS_MAX, PACK_BYTES_MAX).map((held) => this.#finish(held)),
      );
      this.#cutter.reset();
      const failed = ends.filter((end) => end.status === 'rejected');
      for (const { reason } of failed) this.#options.onCutFailed(reason as Error);
      if (failed.length === 0) failures = 0;
      else {
        if (this.#closed && failures >= 2) break;
        await new Promise((resolve) => setTimeout(resolve, CUT_RETRY_MS[Math.min(failures++, 2)]));
      }
      await this.#releaseLog();
      this.#boundLog();
      reached('cut released');
      this.#pump();
    }
    this.#cutting = undefined;
  }

  /** Makes a block of what is sealed, and forgets it. */
  async #finish(held: Open): Promise<void> {
    while (held.unanswered > 0) await this.#commits.next();
    if (hasDurable(held)) {
      await this.#cutter.cut(held, this.logFiles);
      this.#options.log.addCut(held.tenant, held.lastSequence);
      this.#commits.begin();
      reached('cut noted');
    }
    this.#sealed.delete(held);
    if (held.columns === undefined) {
      if (held.hasDeleted) await this.#packs.erase(held.pack).catch(this.#options.onPackFailed);
      this.#packs.drop(held.pack);
    } else if (this.#leases.leave(held.columns)) this.#recycle(held.columns);
  }

  /** Deletes log segments that hold nothing but what is in blocks. */
  async #releaseLog(): Promise<void> {
    let first = Number.POSITIVE_INFINITY;
    for (const held of this.#sealed) if (held.firstSequence > 0) first = Math.min(first, held.firstSequence);
    for (const held of this.#open.values()) if (held.firstSequence > 0) first = Math.min(first, held.firstSequence);
    await this.#options.log.release(first - 1);
  }

  /** Gives back what only a steady stream of spans is worth keeping. */
  #rest(): void {
    this.#spare = [];
    if (this.#packs.bytes === 0) this.#checking = undefined;
    if (this.#cutting === undefined) this.#cutter.rest();
  }

  #recycle(columns: LiveColumns): void {
    columns.reset();
    if (this.#spare.length < 2) this.#spare.push(columns);
  }
}

const UNLIMITED: AppendLimits = { attributeBytesMax: 0, traceBytesMax: 0 };
