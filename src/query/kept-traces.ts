/**
 * How long each trace of a block is to be kept, by rules: the first rule applies that matches the trace and whose share it
 * falls into. A trace is looked at as a whole, with what other blocks have of it, and is as old as its youngest part:
 *
 *   block      ▒▒▒▒░▒▒▒▒▒▒      ░ traces that other blocks have, too, are put together …
 *   others     ▒▒▒▒▒▒▒▒░▒▒
 *   joined     ░                … and looked at here
 */
import type { Segment } from '../block/segment.ts';
import { xxhash64 } from '../parquet/xxhash64.ts';
import type { Stage } from '../traceql/ast.ts';
import { runPipeline } from './pipeline.ts';
import { SplitTraceCache } from './split-traces.ts';
import { collectTraces } from './trace.ts';
import type { Unit } from './unit.ts';

export interface KeepRule {
  /** Of a TraceQL query without metrics. */
  stages: readonly Stage[];
  /** Of the traces that match so many are kept, 0 to 1, chosen by their ids. */
  share: number;
  keepMs: number;
}

/** A block: its row groups, and how long ago its last spans came. */
export interface AgedBlock {
  segments: readonly Segment[];
  ageMs: number;
}

/** Parallel arrays, an entry for each trace of the block. */
export interface KeptTraces {
  /** 16 bytes each. */
  ids: Uint8Array;
  /** Number of the rule that applies, or -1. */
  rules: Int32Array;
  /** Of the youngest part. */
  agesMs: Float64Array;
  /** Spans that the block has of it. */
  spans: Uint32Array;
}

/** Traces that are joined at a time. */
const JOINED_MAX = 2000;

/** `segmentOf` makes a segment of OTLP TracesData; `pause` is awaited between pieces of work. */
export async function keptTraces(
  block: AgedBlock,
  others: readonly AgedBlock[],
  rules: readonly KeepRule[],
  segmentOf: (tracesData: Uint8Array) => Segment,
  pause: () => Promise<void>,
): Promise<KeptTraces> {
  const stop = (): void => {};
  const numbers = new Map<string, number>();
  const ids: Uint8Array[] = [];
  const spans: number[] = [];
  for (const segment of block.segments) {
    const lines = await segment.lines();
    for (let trace = 0; 16 * trace < lines.ids.length; trace++) {
      const id = lines.ids.subarray(16 * trace, 16 * trace + 16);
      let number = numbers.get(textOf(id));
      if (number === undefined) {
        number = ids.push(id) - 1;
        numbers.set(textOf(id), number);
        spans.push(0);
      }
      spans[number] += lines.firstRow[trace + 1] - lines.firstRow[trace];
    }
  }
  const kept: KeptTraces = {
    ids: Buffer.concat(ids),
    rules: new Int32Array(ids.length).fill(-1),
    agesMs: new Float64Array(ids.length).fill(block.ageMs),
    spans: Uint32Array.from(spans),
  };
  const agesMs = [block, ...others].flatMap((each) => each.segments.map(() => each.ageMs));
  const segments = [block, ...others].flatMap((each) => each.segments);
  const split = await new SplitTraceCache().find(segments, stop);
  await pause();
  const splitNumbers = split.ids.map((id) => numbers.get(textOf(id)) ?? -1);
  split.places.forEach(({ splits }, at) => {
    for (const index of splits) {
      const number = splitNumbers[index];
      if (number >= 0) kept.agesMs[number] = Math.min(kept.agesMs[number], agesMs[at]);
    }
  });
  const look = async (unit: Unit): Promise<void> => {
    const { ids: unitIds } = await unit.segment.lines();
    for (const [rule, { stages, share }] of rules.entries()) {
      const { traceOfSet } = await runPipeline(unit, stages, { stop });
      for (const trace of traceOfSet) {
        const id = unitIds.subarray(16 * trace, 16 * trace + 16);
        const number = numbers.get(textOf(id));
        if (number !== undefined && kept.rules[number] < 0 && isInShare(id, share)) kept.rules[number] = rule;
      }
      await pause();
    }
  };
  for (const [at, segment] of block.segments.entries()) {
    const { numbers: elsewhere } = split.places[at];
    if (elsewhere.length === 0) await look({ segment });
    else {
      const excluded = new Uint8Array((await segment.lines()).ids.length / 16);
      for (const trace of elsewhere) excluded[trace] = 1;
      await look({ segment, excluded });
    }
  }
  const joined = split.ids.filter((_, index) => splitNumbers[index] >= 0);
  for (let from = 0; from < joined.length; from += JOINED_MAX)
    await look({ segment: segmentOf(await collectTraces(segments, joined.slice(from, from + JOINED_MAX), stop)) });
  return kept;
}

/** The same for every block and process: by the hash of the id. */
function isInShare(id: Uint8Array, share: number): boolean {
  if (share >= 1) return true;
  const hash = new Int32Array(2);
  xxhash64(id, 0, 16, hash);
  return (hash[1] >>> 0) / 2 ** 32 < share;
}

function textOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, 16).toString('latin1');
}
