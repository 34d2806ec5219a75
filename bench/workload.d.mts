/** Types of workload.mjs, which is plain JavaScript so that it runs anywhere. */

/** One ExportTraceServiceRequest and where its ids and times stand. */
export interface Batch {
  body: Buffer;
  spans: number;
  traces: number;
  /** Byte offset of a trace id, and the number of its trace in the batch. */
  ids: [number, number][];
  /** Byte offsets of timestamps. */
  times: number[];
  base: bigint[];
}

/** Pseudo-random numbers in [0, 1), the same for the same seed. */
export function rng(seed: number): () => number;
export function makeBatches(options?: { seed?: number; batches?: number; tracesPerBatch?: number }): Batch[];
/** New trace ids and times in place; returns the ids as hex. */
export function freshen(batch: Batch, random: () => number, nowNs: bigint): string[];
