/**
 * Chooses exemplars: a few spans of the answer by which a reader finds traces. They are spread over time buckets, two a
 * bucket at most, one a trace. Only a handful of rows of a segment is ever considered, and those lie in few pages, so that
 * exemplars cost little beside what is counted.
 */
import type { Segment } from '../block/segment.ts';
import type { Query } from '../traceql/ast.ts';
import { readsOfQuery } from '../traceql/conditions.ts';
import { printReference } from '../traceql/print.ts';
import { applyBinary } from '../traceql/values.ts';
import { eachValue, gather, rangeOf } from './gather.ts';
import type { Intervals } from './metrics-intervals.ts';
import { firstOf, shownStatic, traceIdText } from './metrics-labels.ts';
import type { MetricsLabel, PartialExemplar } from './metrics-results.ts';

/** Rows of a segment that are considered: all up to here, otherwise so many of so many chunks. */
const CONSIDERED_MAX = 128;
const CONSIDERED_CHUNKS = 8;
const BUCKET_MAX = 2;

interface Candidate {
  row: number;
  series: number;
  interval: number;
  value: number;
}

export class ExemplarPicker {
  readonly exemplars: PartialExemplar[] = [];
  readonly #max: number;
  readonly #intervals: Intervals;
  readonly #query: Query;
  readonly #inBucket: Uint8Array;
  readonly #bucketNs: number;
  readonly #traces = new Set<string>();
  #candidates: Candidate[] = [];
  #chunk = 0;
  #chunkEvery = 1;
  #perChunk = 0;

  constructor(query: Query, intervals: Intervals, max: number) {
    this.#query = query;
    this.#intervals = intervals;
    this.#max = max;
    const buckets = Math.max(1, Math.floor(max / 2));
    this.#inBucket = new Uint8Array(buckets);
    this.#bucketNs = (Number(intervals.stepNs) * intervals.count) / buckets;
  }

  /** Whether spans of the segment could still become exemplars; `rows` is how many will be offered at most. */
  begin(segment: Segment, rows: number, chunkRows: number): boolean {
    if (this.exemplars.length >= this.#max || rows === 0) return false;
    const startSeconds = Number(this.#intervals.startNs) / 1e9;
    const first = Math.max(0, Math.floor(((segment.startSeconds - startSeconds) * 1e9) / this.#bucketNs));
    const last = Math.min(
      this.#inBucket.length - 1,
      Math.floor(((segment.endSeconds + 1 - startSeconds) * 1e9) / this.#bucketNs),
    );
    let open = false;
    for (let bucket = first; bucket <= last; bucket++) open ||= this.#inBucket[bucket] < BUCKET_MAX;
    if (!open) return false;
    const chunks = Math.ceil(rows / chunkRows);
    this.#chunk = 0;
    this.#chunkEvery = rows <= CONSIDERED_MAX ? 1 : Math.ceil(chunks / CONSIDERED_CHUNKS);
    this.#perChunk = rows <= CONSIDERED_MAX ? CONSIDERED_MAX : CONSIDERED_MAX / CONSIDERED_CHUNKS;
    this.#candidates = [];
    return true;
  }

  /** After `begin` for all rows of a segment: those of them that alone need to be offered, if no others are. */
  sample(rows: number, chunkRows: number): Uint32Array {
    const sample: number[] = [];
    for (let from = 0; from < rows; from += chunkRows * this.#chunkEvery) {
      const count = Math.min(chunkRows, rows - from);
      const step = Math.max(1, count / this.#perChunk);
      for (let at = 0; at < count && sample.length < CONSIDERED_MAX; at += step) sample.push(from + Math.floor(at));
    }
    this.#chunkEvery = 1;
    this.#perChunk = CONSIDERED_MAX;
    return Uint32Array.from(sample);
  }

  /** Rows of the next chunk with what they count for. */
  offer(
    rows: Uint32Array,
    count: number,
    series: Int32Array,
    intervals: Int32Array,
    values: Float64Array | undefined,
  ): void {
    if (this.#chunk++ % this.#chunkEvery !== 0) return;
    const step = Math.max(1, count / this.#perChunk);
    for (let at = 0; at < count && this.#candidates.length < CONSIDERED_MAX; at += step) {
      const k = Math.floor(at);
      if (series[k] < 0) continue;
      this.#candidates.push({
        row: rows[k],
        series: series[k],
        interval: intervals[k],
        value: values === undefined ? Number.NaN : values[k],
      });
    }
  }

  /** Chooses among what was offered. */
  async end(segment: Segment): Promise<void> {
    const candidates = this.#candidates;
    if (candidates.length === 0) return;
    const rows = Uint32Array.from(candidates, ({ row }) => row);
    const starts = await this.#startsOf(segment, rows);
    const traces = await segment.tracesOfRows(rows);
    const { ids } = await segment.lines();
    const chosen: { candidate: Candidate; startNs: bigint; traceId: string }[] = [];
    for (let i = 0; i < candidates.length && this.exemplars.length + chosen.length < this.#max; i++) {
      const bucket = Math.min(
        this.#inBucket.length - 1,
        Math.floor(Number(starts[i] - this.#intervals.startNs) / this.#bucketNs),
      );
      if (this.#inBucket[bucket] >= BUCKET_MAX) continue;
      const traceId = traceIdText(ids, traces[i]);
      if (this.#traces.has(traceId)) continue;
      this.#traces.add(traceId);
      this.#inBucket[bucket]++;
      chosen.push({ candidate: candidates[i], startNs: starts[i], traceId });
    }
    if (chosen.length === 0) return;
    const labels = await this.#labelsOf(
      segment,
      Uint32Array.from(chosen, ({ candidate }) => candidate.row),
    );
    chosen.forEach(({ candidate, startNs, traceId }, i) => {
      this.exemplars.push({
        series: candidate.series,
        interval: candidate.interval,
        ...(!Number.isNaN(candidate.value) && { value: candidate.value }),
        timestampMs: Number(startNs / 1_000_000n),
        traceId,
        labels: [{ key: 'trace:id', value: { type: 'string', value: traceId } }, ...labels[i]],
      });
    });
  }

  /** Takes in one that another process chose, unless there are enough or its trace is there. */
  merge(exemplar: PartialExemplar, series: number): void {
    if (this.exemplars.length >= this.#max || this.#traces.has(exemplar.traceId)) return;
    this.#traces.add(exemplar.traceId);
    this.exemplars.push({ ...exemplar, series });
  }

  async #startsOf(segment: Segment, rows: Uint32Array): Promise<bigint[]> {
    const starts: bigint[] = new Array(rows.length).fill(0n);
    const column = await segment.column({ of: 'fixed', field: 'start' }, rangeOf(rows), { rows });
    eachValue(column!, rows, (slot, part, i) => {
      starts[slot] = (BigInt(part.words![2 * i + 1] >>> 0) << 32n) | BigInt(part.words![2 * i] >>> 0);
    });
    return starts;
  }

  /** What the query reads of each row; a value that meets none of the conditions on it is not shown. */
  async #labelsOf(segment: Segment, rows: Uint32Array): Promise<MetricsLabel[][]> {
    const labels: MetricsLabel[][] = Array.from(rows, () => []);
    for (const { reference, conditions, untyped } of readsOfQuery(this.#query)) {
      if (reference.type === 'intrinsic' && reference.name === 'trace:id') continue;
      const reads = await gather(segment, reference, rows);
      for (let i = 0; i < rows.length; i++) {
        const read = firstOf(reads[i], reference);
        if (read === undefined || Array.isArray(read)) continue;
        const holds = conditions.some(({ op, value }) => {
          const result = applyBinary(op, read, value);
          return result?.type === 'bool' && result.value;
        });
        const value = untyped || holds ? shownStatic(read) : undefined;
        if (value !== undefined) labels[i].push({ key: printReference(reference), value });
      }
    }
    return labels;
  }
}
