/**
 * Which spans a tenant's limits let in: by the bytes and the number of spans of their trace, and by how many traces are live.
 * A trace is live when a span of it came within the last `traceIdleMs`. For each trace there is the second of its last span,
 * for each second how many traces had their last span in it:
 *
 *   #last[trace]   17 19 18 19          live = sum of #ended over the last seconds
 *   #ended[second % window]   … 1 1 2   a second that falls out of the window takes its traces with it
 *
 * All of it is of one live segment: with the next one traces begin anew. Nothing is looked at where no limit is set.
 */
export interface AppendLimits {
  /** Longer attribute keys and string values are cut at a code point; 0 = never. */
  attributeBytesMax: number;
  /** Spans of a trace beyond this many bytes of the live segment are discarded; 0 = never. */
  traceBytesMax: number;
  /** Spans of a trace beyond this many in the live segment are discarded; 0 = never. */
  traceSpansMax?: number;
  /** Spans of further traces are discarded while so many are live; 0 = never. */
  liveTracesMax?: number;
  /** When a trace without a new span stops being live. Default 5 s. */
  traceIdleMs?: number;
}

export const TAKEN = 0;
export const TRACE_TOO_LARGE = 1;
export const TRACE_TOO_LONG = 2;
export const LIVE_TRACES_EXCEEDED = 3;
export type Verdict = typeof TAKEN | typeof TRACE_TOO_LARGE | typeof TRACE_TOO_LONG | typeof LIVE_TRACES_EXCEEDED;

export class TraceLimits {
  readonly #bytesMax: number;
  readonly #spansMax: number;
  readonly #liveMax: number;
  #bytes = new Float64Array(1024);
  #spans = new Uint32Array(0);
  /** Second of the last span and 1, so that 0 is a trace that nothing was taken of. */
  #last = new Uint32Array(0);
  readonly #ended: Uint32Array;
  readonly #window: number;
  #second = 0;
  #live = 0;

  constructor(limits: AppendLimits) {
    this.#bytesMax = limits.traceBytesMax;
    this.#spansMax = limits.traceSpansMax ?? 0;
    this.#liveMax = limits.liveTracesMax ?? 0;
    this.#window = Math.max(1, Math.ceil((limits.traceIdleMs ?? 5000) / 1000)) + 1;
    this.#ended = new Uint32Array(this.#liveMax > 0 ? this.#window : 0);
  }

  get live(): number {
    return this.#live;
  }

  /** The time that the next spans come at. */
  advance(nowMs: number): void {
    if (this.#liveMax <= 0) return;
    const second = Math.floor(nowMs / 1000);
    if (second <= this.#second) return;
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

  /** Whether a span of so many bytes is taken. One that is not still counts towards the size of its trace, as in Tempo. */
  admit(trace: number, spanBytes: number): Verdict {
    if (this.#liveMax > 0 && !this.#admitTrace(trace)) return LIVE_TRACES_EXCEEDED;
    if (this.#bytesMax > 0) {
      if (trace >= this.#bytes.length) this.#bytes = wider(this.#bytes, trace, (length) => new Float64Array(length));
      this.#bytes[trace] += spanBytes;
      if (this.#bytes[trace] > this.#bytesMax) return TRACE_TOO_LARGE;
    }
    if (this.#spansMax > 0) {
      if (trace >= this.#spans.length) this.#spans = wider(this.#spans, trace, (length) => new Uint32Array(length));
      if (this.#spans[trace] >= this.#spansMax) return TRACE_TOO_LONG;
      this.#spans[trace]++;
    }
    return TAKEN;
  }

  /** Forgets the traces from this number on: they are no longer in the segment. */
  forget(firstTrace: number): void {
    for (let trace = firstTrace; trace < this.#last.length; trace++) {
      const second = this.#last[trace] - 1;
      if (second < 0 || this.#second - second >= this.#window) continue;
      this.#ended[second % this.#window]--;
      this.#live--;
    }
    this.#bytes.fill(0, firstTrace);
    this.#spans.fill(0, firstTrace);
    this.#last.fill(0, firstTrace);
  }

  #admitTrace(trace: number): boolean {
    if (trace >= this.#last.length) this.#last = wider(this.#last, trace, (length) => new Uint32Array(length));
    const last = this.#last[trace] - 1;
    const second = this.#second;
    if (last === second) return true;
    if (last >= 0 && second - last < this.#window) this.#ended[last % this.#window]--;
    else if (this.#live >= this.#liveMax) return false;
    else this.#live++;
    this.#ended[second % this.#window]++;
    this.#last[trace] = second + 1;
    return true;
  }
}

export function sameLimits(a: AppendLimits, b: AppendLimits): boolean {
  return (
    a.attributeBytesMax === b.attributeBytesMax &&
    a.traceBytesMax === b.traceBytesMax &&
    a.traceSpansMax === b.traceSpansMax &&
    a.liveTracesMax === b.liveTracesMax &&
    a.traceIdleMs === b.traceIdleMs
  );
}

function wider<A extends Float64Array | Uint32Array>(array: A, index: number, make: (length: number) => A): A {
  const copy = make(Math.max(1024, 2 * array.length, index + 1));
  copy.set(array);
  return copy;
}
