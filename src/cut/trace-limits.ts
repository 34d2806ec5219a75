/**
 * Which spans a tenant's limits let in: by the bytes and the number of spans of their trace, and by how many traces are live.
 * It belongs to the tenant and not to a live segment, so a trace goes on being counted over cuts. A trace is live when a span
 * of it came within the last `traceIdleMs`. What is known of a trace is a slot of an open-addressing table:
 *
 *   slot of 8 words   id id id id │ bytes │ spans │ second of the last span + 1 │ –
 *   #ended[second % window]   … 1 1 2   traces by the second of their last span; one that falls out of the window takes its traces with it
 *
 * Memory is bounded by what is live: when the table is full, traces that are no longer live are forgotten, but for those that
 * have used a sixteenth of a limit, which stay until they have been silent for `traceForgetMs` (in Tempo: until a block is
 * cut without them). For each of those the sender has spent a sixteenth of a limit. Nothing is looked at where no limit is set.
 */
import { randomBytes } from 'node:crypto';
import { hashTrace } from './hash.ts';

export interface AppendLimits {
  /** Longer attribute keys and string values are cut at a code point; 0 = never. */
  attributeBytesMax: number;
  /** Spans of a trace beyond this many bytes are discarded; 0 = never. */
  traceBytesMax: number;
  /** Spans of a trace beyond this many are discarded; 0 = never. */
  traceSpansMax?: number;
  /** Spans of further traces are discarded while so many are live; 0 = never. */
  liveTracesMax?: number;
  /** When a trace without a new span stops being live. Default 5 s. */
  traceIdleMs?: number;
  /** When a trace that has used much of a limit is forgotten. Default 30 min. */
  traceForgetMs?: number;
}

export const TAKEN = 0;
export const TRACE_TOO_LARGE = 1;
export const TRACE_TOO_LONG = 2;
export const LIVE_TRACES_EXCEEDED = 3;
export type Verdict = typeof TAKEN | typeof TRACE_TOO_LARGE | typeof TRACE_TOO_LONG | typeof LIVE_TRACES_EXCEEDED;

const SLOT_WORDS = 8;
const BYTES = 4;
const SPANS = 5;
const LAST = 6;
const SLOTS_MIN = 16;
/** A trace that has used this part of a limit is remembered longer. */
const HEAVY_PART = 16;
const BYTES_MAX = 0xffffffff;

export class TraceLimits {
  readonly limits: AppendLimits;
  readonly #bytesMax: number;
  readonly #spansMax: number;
  readonly #liveMax: number;
  readonly #isOff: boolean;
  /** Nobody can choose ids that collide. */
  readonly #seed = randomBytes(4).readInt32LE();
  #table = new Uint32Array(SLOTS_MIN * SLOT_WORDS);
  #count = 0;
  /** A plain array: a typed one of six takes 300 bytes, and there are ten thousand. */
  readonly #ended: number[];
  readonly #window: number;
  readonly #forgetSeconds: number;
  #second = 0;
  #live = 0;
  /** Slot of the trace that `admit` was asked about last: the hint for its next span. */
  slot = 0;

  constructor(limits: AppendLimits) {
    this.limits = limits;
    this.#bytesMax = limits.traceBytesMax;
    this.#spansMax = limits.traceSpansMax ?? 0;
    this.#liveMax = limits.liveTracesMax ?? 0;
    this.#isOff = this.#bytesMax <= 0 && this.#spansMax <= 0 && this.#liveMax <= 0;
    this.#window = Math.max(1, Math.ceil((limits.traceIdleMs ?? 5000) / 1000)) + 1;
    this.#forgetSeconds = Math.max(this.#window, Math.ceil((limits.traceForgetMs ?? 1_800_000) / 1000));
    this.#ended = new Array<number>(this.#isOff ? 0 : this.#window).fill(0);
  }

  get live(): number {
    return this.#live;
  }

  /** Whether nothing has come for so long that it may be dropped. */
  isIdle(nowMs: number): boolean {
    return Math.floor(nowMs / 1000) - this.#second > this.#forgetSeconds;
  }

  /** Traces that are remembered. */
  get size(): number {
    return this.#count;
  }

  /** The time that the next spans come at. */
  advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second <= this.#second) return;
    if (this.#isOff) {
      this.#second = second;
      return;
    }
    if (second - this.#second >= this.#window) {
      this.#ended.fill(0);
      this.#live = 0;
    } else
      for (let gone = this.#second + 1; gone <= second; gone++) {
        this.#live -= this.#ended[gone % this.#window];
        this.#ended[gone % this.#window] = 0;
      }
    this.#second = second;
  }

  /**
   * Whether a span of so many bytes is taken, of the trace with these (signed) words of its id. One that is not still counts towards
   * the size of its trace, as in Tempo. `hint` may be any number; best is what `slot` was after the trace's last span.
   */
  admit(a: number, b: number, c: number, d: number, spanBytes: number, hint: number): Verdict {
    if (this.#isOff) return TAKEN;
    let table = this.#table;
    let at = hint * SLOT_WORDS;
    if (at < table.length && isTrace(table, at, a, b, c, d)) this.slot = hint;
    else {
      at = this.#find(a, b, c, d);
      table = this.#table;
      this.slot = at / SLOT_WORDS;
    }
    const second = this.#second;
    // A trace that is in the table for the first time has nothing yet, not even an id.
    const last = table[at + LAST] - 1;
    if (last !== second) {
      if (last >= 0 && second - last < this.#window) this.#ended[last % this.#window]--;
      else if (this.#liveMax > 0 && this.#live >= this.#liveMax) return LIVE_TRACES_EXCEEDED;
      else this.#live++;
      this.#ended[second % this.#window]++;
      if (last < 0) {
        table[at] = a;
        table[at + 1] = b;
        table[at + 2] = c;
        table[at + 3] = d;
        this.#count++;
      }
      table[at + LAST] = second + 1;
    }
    if (this.#bytesMax > 0) {
      const bytes = Math.min(BYTES_MAX, table[at + BYTES] + spanBytes);
      table[at + BYTES] = bytes;
      if (bytes > this.#bytesMax) return TRACE_TOO_LARGE;
    }
    if (this.#spansMax > 0) {
      if (table[at + SPANS] >= this.#spansMax) return TRACE_TOO_LONG;
      table[at + SPANS]++;
    }
    return TAKEN;
  }

  /** Forgets all traces. */
  clear(): void {
    this.#table = new Uint32Array(SLOTS_MIN * SLOT_WORDS);
    this.#count = 0;
    this.#ended.fill(0);
    this.#live = 0;
  }

  /** First word of the trace's slot, or of the empty one that it would take. */
  #find(a: number, b: number, c: number, d: number): number {
    if (2 * (this.#count + 1) * SLOT_WORDS > this.#table.length) this.#makeRoom();
    const table = this.#table;
    const mask = table.length / SLOT_WORDS - 1;
    for (let slot = hashTrace(a, b, c, d, this.#seed) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * SLOT_WORDS;
      if (table[at + LAST] === 0) return at;
      if (isTrace(table, at, a, b, c, d)) return at;
    }
  }

  /** Keeps what must be remembered, in a table of which that fills a quarter at most. */
  #makeRoom(): void {
    const old = this.#table;
    const kept: number[] = [];
    for (let at = 0; at < old.length; at += SLOT_WORDS) if (old[at + LAST] > 0 && this.#isKept(at)) kept.push(at);
    let slots = SLOTS_MIN;
    while (slots < 4 * (kept.length + 1)) slots *= 2;
    const table = new Uint32Array(slots * SLOT_WORDS);
    for (const from of kept) {
      let slot = hashTrace(old[from], old[from + 1], old[from + 2], old[from + 3], this.#seed) & (slots - 1);
      while (table[slot * SLOT_WORDS + LAST] !== 0) slot = (slot + 1) & (slots - 1);
      table.set(old.subarray(from, from + SLOT_WORDS), slot * SLOT_WORDS);
    }
    this.#table = table;
    this.#count = kept.length;
  }

  #isKept(at: number): boolean {
    const table = this.#table;
    const silent = this.#second - (table[at + LAST] - 1);
    if (silent < this.#window) return true;
    return (
      silent < this.#forgetSeconds &&
      ((this.#bytesMax > 0 && table[at + BYTES] >= this.#bytesMax / HEAVY_PART) ||
        (this.#spansMax > 0 && table[at + SPANS] >= this.#spansMax / HEAVY_PART))
    );
  }
}

/** An id is never all zeros, so an empty slot is no trace's. */
function isTrace(table: Uint32Array, at: number, a: number, b: number, c: number, d: number): boolean {
  return ((table[at] ^ a) | (table[at + 1] ^ b) | (table[at + 2] ^ c) | (table[at + 3] ^ d)) === 0;
}

export function sameLimits(a: AppendLimits, b: AppendLimits): boolean {
  return (
    a.attributeBytesMax === b.attributeBytesMax &&
    a.traceBytesMax === b.traceBytesMax &&
    a.traceSpansMax === b.traceSpansMax &&
    a.liveTracesMax === b.liveTracesMax &&
    a.traceIdleMs === b.traceIdleMs &&
    a.traceForgetMs === b.traceForgetMs
  );
}
