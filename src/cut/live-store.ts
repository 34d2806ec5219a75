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
 */
import { randomBytes } from 'node:crypto';
import type { LocalBlockRef } from '../block/catalog.ts';
import type { TraceIds } from '../block/trace-ids.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { Appender, type Appended } from './append.ts';
import { createPageScratch } from '../parquet/write.ts';
import { Arena } from '../runtime/arena.ts';
import { LiveColumns, type Mark } from './columns.ts';
import { cutSome } from './cut-block.ts';
import type { LiveSnapshot } from './layout.ts';
import { LiveView } from './live-view.ts';
import type { AppendLimits } from './trace-limits.ts';

/** What the live store needs of a log; LocalLog is one, and a replayed log that only waits to be cut is another. */
export interface LiveLog {
  readonly hasPending: boolean;
  /** Number of the file that what was added goes to, or an earlier one. */
  readonly file: number;
  add(tenant: string, body: Uint8Array): number;
  addCut(tenant: string, sequence: number): void;
  commit(): Promise<void>;
  discardPending(): void;
  rotate(): void;
  release(sequence: number): Promise<void>;
}

export interface LiveStoreOptions {
  log: LiveLog;
  /** Name of the log in the metas of blocks. */
  instance: string;
  blocksDirectory: string;
  /** Bytes of live columns of all tenants together, those that are being cut included. */
  liveBytes: number;
  maxBlockDurationMs: number;
  maxBlockBytes: number;
  traceIdleMs: number;
  traceLiveMs: number;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  /** The same object as long as they are the same. */
  limits: (tenant: string) => AppendLimits;
  now: () => number;
  /** A number that no other segment of the process has. */
  nextSegment: () => number;
  /** Traces that are not to be in blocks. */
  deleted: (tenant: string) => TraceIds;
  /** Spans of them were received and are left out of a block; the log has them, up to the file. */
  onLeftOut: (tenant: string, ids: string[], log: { instance: string; file: number }) => Promise<void>;
  /** A block is durable and listed before its segment is forgotten. */
  onBlock: (block: LocalBlockRef, cutMs: number) => void;
  onCutFailed: (error: Error) => void;
  /** One call a request that was appended. */
  onAppended: (tenant: string, appended: Appended, bytes: number) => void;
}

interface Segment {
  id: number;
  tenant: string;
  columns: LiveColumns;
  appender: Appender;
  durable: Mark;
  firstSequence: number;
  lastSequence: number;
  firstMs: number;
  lastMs: number;
  /** Queries that hold a snapshot. */
  leases: number;
}

interface Waiting {
  tenant: string;
  body: Uint8Array;
  reply: (error: VivaceError | undefined, spans: number, body: Uint8Array) => void;
}

interface Unanswered extends Waiting {
  spans: number;
  appended: Appended;
}

/** Segments that may wait for their cut before new requests have to wait too. */
const SEALED_MAX = 1;
/** Waiting requests beyond this many bytes are refused. */
const QUEUE_BYTES_MAX = 48 * 1024 * 1024;
/** Memory of segments that were cut waits this long for new ones. */
const SPARE_MS = 10_000;
/** Kept from one cut to the next. */
const CUT_BYTES_KEPT = 8 * 1024 * 1024;
const CUT_RETRY_MS = [250, 1000, 5000];

export class LiveStore {
  readonly #options: LiveStoreOptions;
  readonly #seed = randomBytes(4).readInt32LE();
  readonly #open = new Map<string, Segment>();
  #sealed: Segment[] = [];
  #spare: LiveColumns[] = [];
  readonly #arena = new Arena(CUT_BYTES_KEPT);
  #pages = createPageScratch();
  /** When a segment was last begun. */
  #begunMs = 0;
  #queue: Waiting[] = [];
  #queueBytes = 0;
  #unanswered: Unanswered[] = [];
  #dirty = new Set<Segment>();
  #committing: Promise<void> | undefined;
  #cutting: Promise<void> | undefined;
  #nextLease = 1;
  readonly #leases = new Map<number, Segment[]>();
  #closed = false;

  constructor(options: LiveStoreOptions) {
    this.#options = options;
  }

  /** Bytes of all live columns. */
  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#open.values()) bytes += segment.columns.bytes;
    for (const segment of this.#sealed) bytes += segment.columns.bytes;
    return bytes;
  }

  get traces(): Map<string, number> {
    const traces = new Map<string, number>();
    for (const segment of [...this.#sealed, ...this.#open.values()])
      traces.set(segment.tenant, (traces.get(segment.tenant) ?? 0) + segment.durable.traces);
    return traces;
  }

  /** Bytes that cutting everything in memory may need on disk. */
  get blockBytesExpected(): number {
    return Math.ceil(this.bytes / 2) + 65536;
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
  lease(tenant: string): { lease: number; segments: LiveSnapshot[] } {
    const segments = this.#sealed.filter((segment) => segment.tenant === tenant);
    const open = this.#open.get(tenant);
    if (open !== undefined) segments.push(open);
    const lease = this.#nextLease++;
    for (const segment of segments) segment.leases++;
    this.#leases.set(lease, segments);
    return {
      lease,
      segments: segments
        .filter((segment) => segment.durable.rows > 0)
        .map((segment) => segment.columns.snapshot(segment.id, tenant, segment.durable)),
    };
  }

  release(lease: number): void {
    const segments = this.#leases.get(lease);
    if (segments === undefined) return;
    this.#leases.delete(lease);
    for (const segment of segments) {
      segment.leases--;
      if (segment.leases === 0 && !this.#sealed.includes(segment) && this.#open.get(segment.tenant) !== segment)
        this.#recycle(segment.columns);
    }
  }

  /** Seals segments that are old or too many bytes; to be called every second or so. */
  tick(): void {
    const now = this.#options.now();
    for (const segment of [...this.#open.values()]) {
      if (segment.columns.rows.count === 0) continue;
      const age = now - segment.firstMs;
      // Past its time a segment waits for a quiet moment, so that fewer traces are cut in two, but not for ever.
      const quiet = now - segment.lastMs >= this.#options.traceIdleMs;
      if (
        age >= this.#options.maxBlockDurationMs &&
        (quiet || age >= this.#options.maxBlockDurationMs + this.#options.traceLiveMs)
      )
        this.#seal(segment);
    }
    if (now - this.#begunMs > SPARE_MS) this.#rest();
    this.#boundBytes();
    this.#pump();
  }

  /** Cuts everything (of one tenant) to blocks; resolves when it is in blocks. */
  async flush(tenant?: string): Promise<void> {
    await this.#settled();
    for (const segment of [...this.#open.values()])
      if ((tenant === undefined || segment.tenant === tenant) && segment.columns.rows.count > 0) this.#seal(segment);
    while (this.#sealed.length > 0 && this.#cutting !== undefined) await this.#cutting;
    await this.#settled();
  }

  /** Where what is added now is logged: in this file or an earlier one. */
  get logFiles(): { instance: string; file: number } {
    return { instance: this.#options.instance, file: this.#options.log.file };
  }

  /** Which of the traces are in memory. */
  holds(tenant: string, ids: TraceIds): string[] {
    const found = new Set<string>();
    for (const segment of [...this.#sealed, ...this.#open.values()]) {
      if (segment.tenant !== tenant) continue;
      const words = new LiveView(segment.columns.snapshot(segment.id, tenant, segment.durable)).traceWords();
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
    await this.#settled();
    this.#options.log.rotate();
    this.#options.log.addCut(tenant, 0);
    this.#commit();
    await this.#settled();
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
    return this.#sealed.length === 0;
  }

  /** Appends during replay: no log, no reply. Waits when memory is full. */
  async replay(tenant: string, body: Uint8Array, sequence: number): Promise<Appended> {
    for (;;) {
      const segment = this.#segmentFor(tenant, body.length);
      if (segment !== undefined) {
        const appended = this.#append(segment, body);
        segment.lastSequence = sequence;
        if (segment.firstSequence === 0) segment.firstSequence = sequence;
        segment.durable = segment.columns.mark();
        return appended;
      }
      await this.#cutting;
    }
  }

  #pump(): void {
    let began = this.#queue.length > 0;
    while (this.#queue.length > 0) {
      const next = this.#queue[0];
      const segment = this.#segmentFor(next.tenant, next.body.length);
      if (segment === undefined) break;
      this.#queue.shift();
      this.#queueBytes -= next.body.length;
      try {
        const appended = this.#append(segment, next.body);
        if (appended.spans === appended.discarded) {
          this.#options.onAppended(next.tenant, appended, next.body.length);
          next.reply(undefined, appended.spans, next.body);
          continue;
        }
        const sequence = this.#options.log.add(next.tenant, next.body);
        if (segment.firstSequence === 0) segment.firstSequence = sequence;
        segment.lastSequence = sequence;
        this.#unanswered.push({ ...next, spans: appended.spans, appended });
        this.#dirty.add(segment);
        began = true;
      } catch (error) {
        next.reply(
          error instanceof VivaceError
            ? error
            : new VivaceError('internal', `cannot take the request: ${messageOf(error)}`, { cause: error }),
          0,
          next.body,
        );
      }
    }
    if (began) this.#commit();
  }

  #append(segment: Segment, body: Uint8Array): Appended {
    const mark = segment.columns.mark();
    const now = this.#options.now();
    try {
      segment.appender.limit(this.#options.limits(segment.tenant));
      const appended = segment.appender.append(body, now);
      if (appended.spans === appended.discarded && appended.spans > 0) {
        segment.columns.takeBack(mark);
        // The number of a trace that is gone goes to another one, which has a limit of its own.
        segment.appender.reset(mark.traces);
      }
      if (mark.rows === 0) segment.firstMs = now;
      segment.lastMs = now;
      return appended;
    } catch (error) {
      segment.columns.takeBack(mark);
      segment.appender.reset(mark.traces);
      throw error;
    }
  }

  /** The segment that takes the next request; undefined when it has to wait for a cut. */
  #segmentFor(tenant: string, bodyBytes: number): Segment | undefined {
    const open = this.#open.get(tenant);
    const sealBytes = this.#sealBytes();
    if (open !== undefined) {
      const bytes = open.columns.bytes + bodyBytes / 2;
      const full = open.columns.rows.count > 0 && bytes > Math.min(sealBytes, this.#options.maxBlockBytes);
      if (!full && this.bytes + bodyBytes / 2 <= this.#options.liveBytes) return open;
      if (this.#sealed.length >= SEALED_MAX) return undefined;
      // Of many tenants none may be full while all of them together are.
      const sealed = full ? open : this.#largest();
      if (sealed === undefined) return open;
      this.#seal(sealed);
      if (sealed !== open) return open;
    } else this.#boundBytes();
    if (this.bytes + bodyBytes / 2 > this.#options.liveBytes && this.#sealed.length > 0) return undefined;
    const columns = this.#spare.pop() ?? new LiveColumns(this.#options.liveBytes, this.#seed);
    const now = this.#options.now();
    this.#begunMs = now;
    const segment: Segment = {
      id: this.#options.nextSegment(),
      tenant,
      columns,
      appender: new Appender(columns, this.#options.limits(tenant)),
      durable: columns.mark(),
      firstSequence: 0,
      lastSequence: 0,
      firstMs: now,
      lastMs: now,
      leases: 0,
    };
    this.#open.set(tenant, segment);
    return segment;
  }

  /** One segment may take three eighths of the budget, so that one can fill while another is cut. */
  #sealBytes(): number {
    return (this.#options.liveBytes * 3) / 8;
  }

  /** Seals the largest segments while the open ones together are over their share. */
  #boundBytes(): void {
    let bytes = 0;
    for (const segment of this.#open.values()) bytes += segment.columns.bytes;
    while (bytes > this.#options.liveBytes / 2 && this.#open.size > 1) {
      const largest = this.#largest();
      if (largest === undefined) return;
      bytes -= largest.columns.bytes;
      this.#seal(largest);
    }
  }

  /** The open segment with the most bytes among those that have rows. */
  #largest(): Segment | undefined {
    let largest: Segment | undefined;
    for (const segment of this.#open.values())
      if (segment.columns.rows.count > 0 && (largest === undefined || segment.columns.bytes > largest.columns.bytes))
        largest = segment;
    return largest;
  }

  #seal(segment: Segment): void {
    this.#open.delete(segment.tenant);
    this.#sealed.push(segment);
    this.#options.log.rotate();
    this.#cutting ??= this.#cutAll();
  }

  #commit(): void {
    this.#committing ??= this.#commitAll();
  }

  async #commitAll(): Promise<void> {
    // Requests that arrive in the same turn share the first commit.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#options.log.hasPending) {
      const batch = this.#unanswered;
      this.#unanswered = [];
      const marks: [Segment, Mark][] = [];
      for (const segment of this.#dirty) marks.push([segment, segment.columns.mark()]);
      this.#dirty.clear();
      try {
        await this.#options.log.commit();
      } catch (error) {
        this.#takeBackAll(error as VivaceError, batch, marks);
        break;
      }
      for (const [segment, mark] of marks) segment.durable = mark;
      for (const request of batch) {
        this.#options.onAppended(request.tenant, request.appended, request.body.length);
        request.reply(undefined, request.spans, request.body);
      }
    }
    this.#committing = undefined;
    if (this.#options.log.hasPending) this.#commit();
  }

  /** The log could not be written: nothing that is not on disk may stay in memory, nor be answered. */
  #takeBackAll(error: VivaceError, batch: Unanswered[], marks: [Segment, Mark][]): void {
    const refused = [...batch, ...this.#unanswered];
    this.#unanswered = [];
    this.#options.log.discardPending();
    for (const segment of new Set([...marks.map(([segment]) => segment), ...this.#dirty])) {
      segment.columns.takeBack(segment.durable);
      segment.appender.reset(segment.durable.traces);
    }
    this.#dirty.clear();
    for (const request of refused) request.reply(error, 0, request.body);
  }

  async #settled(): Promise<void> {
    while (this.#committing !== undefined) await this.#committing;
  }

  async #cutAll(): Promise<void> {
    for (let failures = 0; this.#sealed.length > 0; ) {
      const segment = this.#sealed[0];
      await this.#settled();
      if (segment.durable.rows > 0) {
        const began = this.#options.now();
        try {
          const { tenant } = segment;
          const block = await cutSome(segment.columns.snapshot(segment.id, segment.tenant, segment.durable), {
            blocksDirectory: this.#options.blocksDirectory,
            pageRows: this.#options.pageRows,
            createdBy: this.#options.createdBy,
            fsync: this.#options.fsync,
            log: { instance: this.#options.instance, sequence: segment.lastSequence },
            cutMs: began,
            memory: { arrays: this.#arena, pages: this.#pages },
            without: this.#options.deleted(tenant),
            onLeftOut: (ids) => this.#options.onLeftOut(tenant, ids, this.logFiles),
            pause: () => new Promise((resolve) => setImmediate(resolve)),
          });
          if (block !== undefined) this.#options.onBlock(block, this.#options.now() - began);
          failures = 0;
        } catch (error) {
          this.#options.onCutFailed(error as Error);
          if (this.#closed && failures >= 2) break;
          await new Promise((resolve) => setTimeout(resolve, CUT_RETRY_MS[Math.min(failures++, 2)]));
          continue;
        } finally {
          this.#arena.reset();
        }
        this.#options.log.addCut(segment.tenant, segment.lastSequence);
        this.#commit();
      }
      this.#sealed.shift();
      if (segment.leases === 0) this.#recycle(segment.columns);
      await this.#settled();
      await this.#releaseLog();
      this.#pump();
    }
    this.#cutting = undefined;
  }

  /** Deletes log segments that hold nothing but what is in blocks. */
  async #releaseLog(): Promise<void> {
    let first = Number.POSITIVE_INFINITY;
    for (const segment of [...this.#sealed, ...this.#open.values()])
      if (segment.firstSequence > 0) first = Math.min(first, segment.firstSequence);
    await this.#options.log.release(first - 1);
  }

  /** Gives back what only a steady stream of spans is worth keeping. */
  #rest(): void {
    this.#spare = [];
    if (this.#cutting !== undefined) return;
    this.#arena.release();
    this.#pages = createPageScratch();
  }

  #recycle(columns: LiveColumns): void {
    columns.reset();
    if (this.#spare.length < 2) this.#spare.push(columns);
  }
}
