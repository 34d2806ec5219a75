/** Finds traces by id in a segment: through its filter and its sorted ids, or, in live memory, through all ids at once. */
import type { Segment } from '../block/segment.ts';
import { findTrace } from '../block/traces-file.ts';
import { xxhash64 } from '../parquet/xxhash64.ts';

/** More ids than this are looked for with a table of what a live segment has, and not one by one. */
const ONE_BY_ONE_MAX = 4;

/** Ids of 16 bytes that are looked for in many segments. */
export interface WantedTraces {
  ids: readonly Uint8Array[];
  /** Two words an id: its xxHash64, once for the filters of all blocks. */
  hashes: Int32Array;
}

export function wantedTraces(ids: readonly Uint8Array[]): WantedTraces {
  const hashes = new Int32Array(2 * ids.length);
  for (let i = 0; i < ids.length; i++) xxhash64(ids[i], 0, 16, hashes.subarray(2 * i, 2 * i + 2));
  return { ids, hashes };
}

/** The number of each trace in `segment.lines()`, or -1. */
export async function traceNumbers(segment: Segment, { ids, hashes }: WantedTraces): Promise<Int32Array> {
  const numbers = new Int32Array(ids.length).fill(-1);
  if (ids.length === 0) return numbers;
  if (segment.traceNumber !== undefined) {
    if (ids.length <= ONE_BY_ONE_MAX) for (let i = 0; i < ids.length; i++) numbers[i] = segment.traceNumber(ids[i]);
    else {
      const places = new Map<string, number>();
      for (let i = 0; i < ids.length; i++) places.set(textOf(ids[i], 0), i);
      const known = await segment.traceIds();
      for (let number = 0; 16 * number < known.length; number++) {
        const place = places.get(textOf(known, 16 * number));
        if (place !== undefined) numbers[place] = number;
      }
    }
    return numbers;
  }
  const mayHold = await segment.mayHoldHash?.();
  const hash = new Int32Array(2);
  for (let i = 0; i < ids.length; i++) {
    hash[0] = hashes[2 * i];
    hash[1] = hashes[2 * i + 1];
    if (mayHold === undefined || mayHold(hash)) numbers[i] = findTrace(await segment.traceIds(), ids[i]);
  }
  return numbers;
}

function textOf(ids: Uint8Array, at: number): string {
  return Buffer.from(ids.buffer, ids.byteOffset + at, 16).toString('latin1');
}
