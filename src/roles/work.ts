/**
 * One question while a reader thread works on it: its turns among the others, the limits that end it, and the account of
 * what it reads.
 */
import type { BlockRef } from '../block/catalog.ts';
import type { Segment } from '../block/segment.ts';
import type { OnRead } from '../block/read-ahead.ts';
import { type Reads, type Watch, watched } from '../block/watched.ts';
import { formatGoDuration } from '../config/duration.ts';
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';
import type { Explanation, Receipt, SegmentExplanation } from '../serve/queries.ts';
import type { Stage } from '../traceql/ast.ts';
import type { PlanStep } from '../traceql/plan.ts';
import { printStage } from '../traceql/print.ts';
import { ORDINARY_MS, SLICE_MS, type Turns } from './turns.ts';

export interface WorkLimits {
  /** Computing time, without what is spent waiting for turns; 0 for no bound. `timeKey` is the setting to raise. */
  msMax: number;
  timeKey: string;
  /** Bytes read from blocks, and spans of the segments that something is read of; 0 for no bound. */
  bytesMax: number;
  spansMax: number;
}

export interface Asker {
  /** Whether nobody waits for the answer any more. */
  isCancelled(): boolean;
  /** Told once, when the query is no ordinary one any more (turns.ts). */
  onLong?(): void;
}

/** A block that could not be read: the rest of the answer may be had without it. */
export class SegmentFailure extends Error {
  readonly block: string;
  /** It is not there any more: what it held may be in another one. */
  readonly isGone: boolean;
  /** The bucket did not give it. */
  readonly isUnreachable: boolean;
  /** Trying again soon is in vain: what was read is wrong. A disk or a network may do better the next time. */
  readonly isLasting: boolean;

  constructor(block: string, cause: Error) {
    super(messageOf(cause), { cause });
    this.name = 'SegmentFailure';
    this.block = block;
    this.isGone = cause instanceof VivaceError && cause.code === 'not-found';
    this.isUnreachable = cause instanceof VivaceError && cause.code === 'unavailable';
    this.isLasting = cause instanceof VivaceError && !this.isGone && !this.isUnreachable;
  }

  /** What to throw for an error of a block: damage is told apart from limits, cancellation and our own mistakes. */
  static of(block: string, error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    const isDamage = error instanceof VivaceError ? DAMAGE.has(error.code) : 'syscall' in error;
    return isDamage ? new SegmentFailure(block, error) : error;
  }
}

const DAMAGE: ReadonlySet<ErrorCode> = new Set(['internal', 'undecodable', 'not-found', 'unavailable']);

export class Work implements Watch {
  #reads: Reads[] = [];
  readonly #tenant: string;
  readonly #turns: Turns;
  readonly #began: number;
  readonly #limits: WorkLimits;
  readonly #asker: Asker;
  #isLong = false;
  /** Milliseconds of slices that are over, and when the running one began. */
  #usedMs = 0;
  #since = performance.now();
  #bytes = 0;
  #spans = 0;
  readonly #beganMs = performance.now();
  /** Computing time by phase, up to the one that runs. */
  readonly #phases = new Map<Stage | string, number>();
  #phase: Stage | string = 'parse';
  #phaseSinceMs = 0;

  readonly #sliceMs: number;

  constructor(tenant: string, turns: Turns, limits: WorkLimits, asker: Asker, sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs;
    this.#tenant = tenant;
    this.#turns = turns;
    this.#began = turns.begin();
    this.#limits = limits;
    this.#asker = asker;
  }

  /** Computing time so far. */
  get usedMs(): number {
    return this.#usedMs + performance.now() - this.#since;
  }

  /** What follows is another part of the work. */
  readonly begin = (part: Stage | string): void => {
    const { usedMs } = this;
    this.#phases.set(this.#phase, (this.#phases.get(this.#phase) ?? 0) + usedMs - this.#phaseSinceMs);
    this.#phase = part;
    this.#phaseSinceMs = usedMs;
  };

  /** The account of what is read begins anew; time used stays used. */
  restart(): void {
    this.stop();
    this.#reads = [];
    this.#bytes = 0;
    this.#spans = 0;
  }

  /** What was done so far was waiting in vain, not computing. */
  forgive(): void {
    this.#usedMs = 0;
    this.#since = performance.now();
    this.#phaseSinceMs = 0;
  }

  /** The segment under this work's watch. */
  watch(segment: Segment, onRead?: OnRead): Segment {
    const { segment: seen, reads } = watched(segment, this, onRead);
    this.#reads.push(reads);
    return seen;
  }

  /** Throws when nobody waits for the answer any more, or time is up. */
  readonly stop = (): void => this.#check(performance.now());

  turn(): Promise<void> | undefined {
    const nowMs = performance.now();
    this.#check(nowMs);
    const sliceMs = nowMs - this.#since;
    if (sliceMs < this.#sliceMs) return undefined;
    const usedMs = this.#usedMs + sliceMs;
    if (usedMs >= ORDINARY_MS && !this.#isLong) {
      this.#isLong = true;
      this.#asker.onLong?.();
    }
    return this.outside(this.#turns.wait(this.#tenant, this.#began, usedMs));
  }

  #check(nowMs: number): void {
    if (this.#asker.isCancelled()) throw new VivaceError('cancelled', 'the client has gone');
    const { msMax, timeKey } = this.#limits;
    if (msMax > 0 && this.#usedMs + nowMs - this.#since > msMax)
      throw new VivaceError(
        'deadline',
        `context deadline exceeded: the query computed for longer than ${formatGoDuration(msMax)}; narrow its range or raise ${timeKey}`,
      );
  }

  /** Waits for something that is no computing of this query. */
  async outside<V>(promise: Promise<V>): Promise<V> {
    this.#usedMs += performance.now() - this.#since;
    try {
      return await promise;
    } finally {
      this.#since = performance.now();
      this.stop();
    }
  }

  check(reads: Reads): void {
    this.stop();
    if (reads.bytesChecked === undefined) this.#spans += reads.segment.rows;
    this.#bytes += reads.bytes - (reads.bytesChecked ?? 0);
    reads.bytesChecked = reads.bytes;
    const { bytesMax, spansMax } = this.#limits;
    if (bytesMax > 0 && this.#bytes > bytesMax) throw tooMuch(`reads more than ${bytesMax} bytes`, 'query_bytes_max');
    if (spansMax > 0 && this.#spans > spansMax)
      throw tooMuch(`looks at more than ${spansMax} spans`, 'query_spans_max');
  }

  failed({ segment }: Reads, error: unknown): unknown {
    return segment.live ? error : SegmentFailure.of(segment.block ?? segment.name, error);
  }

  /** What was read of the wanted blocks, as far as the work has come. */
  receipt(wanted: BlockRef[], missing: Map<string, string>, liveUntilMs: number | undefined): Receipt {
    const blocks = this.#reads.filter(({ segment }) => !segment.live);
    const read = blocks.filter(({ touched }) => touched);
    const sizeOf = (sum: number, { meta }: BlockRef): number => sum + meta.size;
    const wantedBytes = wanted.reduce(sizeOf, 0);
    const lost = wanted.filter(({ id }) => missing.has(id));
    const readBytes = read.reduce((sum, { segment }) => sum + segment.bytes, 0);
    const readBlocks = new Set(read.map(({ segment }) => segment.block)).size;
    // Blocks in quarantine are in no list, and are wanted all the same. Blocks that were not even opened, because they cannot
    // hold the trace, count among the pruned.
    const unlisted = missing.size - lost.length;
    return {
      blocks: { wanted: wanted.length + unlisted, read: readBlocks, pruned: wanted.length - readBlocks - lost.length },
      bytes: {
        wanted: wantedBytes,
        read: blocks.reduce((sum, { bytes }) => sum + bytes, 0),
        pruned: wantedBytes - readBytes - lost.reduce(sizeOf, 0),
      },
      ...(liveUntilMs !== undefined && { liveUntilMs }),
      missing: [...missing].map(([id, why]) => ({ what: `block ${id}`, why })),
    };
  }

  /** What was done, after the last phase. */
  explanation(plan: PlanStep[], known: number, wanted: BlockRef[], missing: Map<string, string>): Explanation {
    this.begin('');
    const { usedMs } = this;
    const segments = this.#reads.map(segmentExplanation);
    for (const [name, why] of missing) {
      // Nothing is known of one that is in quarantine.
      const meta = wanted.find(({ id }) => id === name)?.meta;
      const none = { rows: meta?.vivace.spans ?? 0, bytes: meta?.size ?? 0, bytesRead: 0, columns: [] };
      segments.push({ name, kind: 'block', state: 'missing', why, ...none });
    }
    return {
      tenant: this.#tenant,
      plan,
      computedMs: usedMs,
      waitedMs: performance.now() - this.#beganMs - usedMs,
      phases: [...this.#phases].map(([part, ms]) => ({ name: typeof part === 'string' ? part : printStage(part), ms })),
      blocks: { known, wanted: wanted.length },
      segments,
    };
  }
}

function segmentExplanation({ segment, touched, bytes, columns }: Reads): SegmentExplanation {
  return {
    name: segment.name,
    kind: segment.live ? 'live' : 'block',
    rows: segment.rows,
    bytes: segment.bytes,
    state: touched ? 'read' : 'pruned',
    bytesRead: bytes,
    columns: [...(columns ?? [])].map(([name, { bytes: bytesRead, ms: readMs, ...rest }]) => ({
      name,
      ...rest,
      bytesRead,
      readMs,
    })),
  };
}

function tooMuch(what: string, key: string): VivaceError {
  return new VivaceError('invalid', `cannot run this query: it ${what}; narrow its range or raise vivace.${key}`);
}
