/**
 * Which traces lie in more than one of some segments. Blocks never change, so what their sorted ids have in common is found
 * once for a set of blocks, by merging; of a live segment only traces that came since the last time are looked up.
 */
import type { Segment } from '../block/segment.ts';
import { findTrace } from '../block/traces-file.ts';
import { xxhash64 } from '../parquet/xxhash64.ts';

export interface SplitTraces {
  /** Bytes of the id of each split trace. */
  ids: Uint8Array[];
  /** Where they are: an entry for each segment that was given. */
  places: SplitPlaces[];
}

/** Parallel: the number that a trace has in the segment, and which of the split traces it is. */
export interface SplitPlaces {
  numbers: number[];
  splits: number[];
}

/** Ids of blocks that are compared at a time, 16 bytes each; of more, the newest. */
const IDS_MAX = 16_000_000;
/** Sets of blocks, and pairs of a live segment and a block, whose common traces are remembered. */
const SETS_KEPT = 8;
const PAIRS_KEPT = 4096;
const STOP_EVERY = 1 << 16;

/** What is asked of a segment here. */
export type HoldsTraces = Pick<Segment, 'name' | 'live' | 'traceIds' | 'mayHoldHash'>;

/** What one thread remembers between queries. */
export class SplitTraceCache {
  readonly #blocks = new Map<string, SplitTraces>();
  readonly #pairs = new Map<string, Pair>();

  /** Segments come newest first. */
  async find(segments: readonly HoldsTraces[], stop: () => void): Promise<SplitTraces> {
    const blocks = segments.filter(({ live }) => !live);
    const known = await this.#ofBlocks(blocks, stop);
    return blocks.length === segments.length ? known : this.#withLive(segments, known, stop);
  }

  /** Only those of which a part lies in a live segment. */
  ofLive(segments: readonly HoldsTraces[], stop: () => void): Promise<SplitTraces> {
    const blocks = segments.filter(({ live }) => !live);
    return this.#withLive(segments, { ids: [], places: blocks.map(() => ({ numbers: [], splits: [] })) }, stop);
  }

  async #withLive(segments: readonly HoldsTraces[], known: SplitTraces, stop: () => void): Promise<SplitTraces> {
    const blocks = segments.filter(({ live }) => !live);
    const lives = segments.filter(({ live }) => live);
    const split: SplitTraces = {
      ids: [...known.ids],
      places: segments.map((segment) => {
        const at = blocks.indexOf(segment);
        return at < 0
          ? { numbers: [], splits: [] }
          : { numbers: [...known.places[at].numbers], splits: [...known.places[at].splits] };
      }),
    };
    const adding = new Adding(split);
    for (const live of lives) {
      const ids = await live.traceIds();
      for (const block of blocks) {
        stop();
        const pair = await this.#ofPair(live, ids, block);
        for (let i = 0; i < pair.liveNumbers.length; i++) {
          // The live segment may have more traces by now than when another query looked.
          if (16 * pair.liveNumbers[i] >= ids.length) continue;
          const at = 16 * pair.liveNumbers[i];
          adding.add(ids.subarray(at, at + 16), segments.indexOf(live), pair.liveNumbers[i]);
          adding.add(ids.subarray(at, at + 16), segments.indexOf(block), pair.blockNumbers[i]);
        }
      }
    }
    await addLivePairs(segments, lives, adding, stop);
    return split;
  }

  async #ofBlocks(blocks: readonly HoldsTraces[], stop: () => void): Promise<SplitTraces> {
    const key = blocks.map(({ name }) => name).join();
    let known = this.#blocks.get(key);
    if (known === undefined) known = await tracesOfSeveral(blocks, stop);
    keep(this.#blocks, key, known, SETS_KEPT);
    return known;
  }

  async #ofPair(live: HoldsTraces, ids: Uint8Array, block: HoldsTraces): Promise<Pair> {
    const key = `${live.name} ${block.name}`;
    const pair = this.#pairs.get(key) ?? { checked: 0, liveNumbers: [], blockNumbers: [] };
    keep(this.#pairs, key, pair, PAIRS_KEPT);
    const traces = ids.length / 16;
    if (pair.checked >= traces) return pair;
    const mayHold = await block.mayHoldHash?.();
    const blockIds = await block.traceIds();
    const hash = new Int32Array(2);
    for (; pair.checked < traces; pair.checked++) {
      const id = ids.subarray(16 * pair.checked, 16 * pair.checked + 16);
      xxhash64(id, 0, 16, hash);
      if (mayHold !== undefined && !mayHold(hash)) continue;
      const number = findTrace(blockIds, id);
      if (number < 0) continue;
      pair.liveNumbers.push(pair.checked);
      pair.blockNumbers.push(number);
    }
    return pair;
  }
}

interface Pair {
  /** Traces of the live segment that were looked up. */
  checked: number;
  liveNumbers: number[];
  blockNumbers: number[];
}

/** Puts traces into a `SplitTraces`, once however often they are found. */
class Adding {
  readonly #split: SplitTraces;
  readonly #indexes = new Map<string, number>();
  readonly #there = new Set<string>();

  constructor(split: SplitTraces) {
    this.#split = split;
    split.ids.forEach((id, index) => {
      this.#indexes.set(textOf(id), index);
    });
    split.places.forEach(({ splits }, segment) => {
      for (const index of splits) this.#there.add(`${segment} ${index}`);
    });
  }

  add(id: Uint8Array, segment: number, number: number): void {
    const text = textOf(id);
    let index = this.#indexes.get(text);
    if (index === undefined) {
      index = this.#split.ids.length;
      this.#indexes.set(text, index);
      this.#split.ids.push(id.slice());
    }
    const place = `${segment} ${index}`;
    if (this.#there.has(place)) return;
    this.#there.add(place);
    this.#split.places[segment].numbers.push(number);
    this.#split.places[segment].splits.push(index);
  }
}

async function addLivePairs(
  segments: readonly HoldsTraces[],
  lives: readonly HoldsTraces[],
  adding: Adding,
  stop: () => void,
): Promise<void> {
  if (lives.length < 2) return;
  const first = new Map<string, { segment: number; number: number }>();
  for (const live of lives) {
    const segment = segments.indexOf(live);
    const ids = await live.traceIds();
    stop();
    for (let number = 0; 16 * number < ids.length; number++) {
      const id = ids.subarray(16 * number, 16 * number + 16);
      const text = textOf(id);
      const before = first.get(text);
      if (before === undefined) first.set(text, { segment, number });
      else {
        adding.add(id, before.segment, before.number);
        adding.add(id, segment, number);
      }
    }
  }
}

/** The traces that several blocks have: merges their sorted ids with a heap of one cursor a block. */
export async function tracesOfSeveral(blocks: readonly HoldsTraces[], stop: () => void): Promise<SplitTraces> {
  const split: SplitTraces = { ids: [], places: blocks.map(() => ({ numbers: [], splits: [] })) };
  if (blocks.length < 2) return split;
  if (blocks.length === 2) return tracesOfTwo(blocks, split);
  const lists: Uint8Array[] = [];
  let total = 0;
  for (const block of blocks) {
    stop();
    const ids = await block.traceIds();
    total += ids.length / 16;
    if (total > IDS_MAX) break;
    lists.push(ids);
  }
  const cursors = new Uint32Array(lists.length);
  // The first six bytes at each cursor as a number; the others decide only where these are equal.
  const keys = Float64Array.from(lists, (ids) => keyOf(ids, 0));
  const isBefore = (a: number, b: number): boolean =>
    keys[a] < keys[b] || (keys[a] === keys[b] && compareIds(lists[a], 16 * cursors[a], lists[b], 16 * cursors[b]) < 0);
  const heap = Array.from(lists.keys()).filter((list) => lists[list].length > 0);
  const sink = (at: number): void => {
    const list = heap[at];
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], list)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = list;
  };
  for (let at = (heap.length >>> 1) - 1; at >= 0; at--) sink(at);
  let previous = -1;
  let previousKey = -1;
  let previousAt = 0;
  let isSplit = false;
  for (let step = 0; heap.length > 0; step++) {
    if (step % STOP_EVERY === 0) stop();
    const list = heap[0];
    const at = cursors[list];
    if (keys[list] === previousKey && compareIds(lists[previous], 16 * previousAt, lists[list], 16 * at) === 0) {
      if (!isSplit) {
        split.ids.push(lists[list].slice(16 * at, 16 * at + 16));
        put(split, previous, previousAt);
      }
      put(split, list, at);
      isSplit = true;
    } else isSplit = false;
    previous = list;
    previousAt = at;
    previousKey = keys[list];
    if (16 * ++cursors[list] < lists[list].length) keys[list] = keyOf(lists[list], 16 * cursors[list]);
    else {
      const last = heap.pop()!;
      if (heap.length === 0) break;
      heap[0] = last;
    }
    sink(0);
  }
  return split;
}

/** Two lists need no heap: they are walked side by side. */
async function tracesOfTwo(blocks: readonly HoldsTraces[], split: SplitTraces): Promise<SplitTraces> {
  const [a, b] = [await blocks[0].traceIds(), await blocks[1].traceIds()];
  const [keysA, keysB] = [keysOf(a), keysOf(b)];
  for (let i = 0, k = 0; i < keysA.length && k < keysB.length; ) {
    let order = keysA[i] - keysB[k];
    if (order === 0) order = compareIds(a, 16 * i, b, 16 * k);
    if (order < 0) i++;
    else if (order > 0) k++;
    else {
      split.ids.push(a.slice(16 * i, 16 * i + 16));
      put(split, 0, i++);
      put(split, 1, k++);
    }
  }
  return split;
}

function keysOf(ids: Uint8Array): Float64Array {
  const keys = new Float64Array(ids.length / 16);
  const view = new DataView(ids.buffer, ids.byteOffset, ids.byteLength);
  for (let i = 0; i < keys.length; i++) keys[i] = view.getUint32(16 * i) * 65536 + view.getUint16(16 * i + 4);
  return keys;
}

function keyOf(ids: Uint8Array, at: number): number {
  if (at + 16 > ids.length) return -1;
  const high = (ids[at] << 16) | (ids[at + 1] << 8) | ids[at + 2];
  return high * 16777216 + ((ids[at + 3] << 16) | (ids[at + 4] << 8) | ids[at + 5]);
}

function put(split: SplitTraces, list: number, number: number): void {
  split.places[list].numbers.push(number);
  split.places[list].splits.push(split.ids.length - 1);
}

function compareIds(a: Uint8Array, atA: number, b: Uint8Array, atB: number): number {
  for (let i = 0; i < 16; i++) {
    const difference = a[atA + i] - b[atB + i];
    if (difference !== 0) return difference;
  }
  return 0;
}

function textOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, 16).toString('latin1');
}

/** Sets an entry as the newest one and drops the oldest beyond a number. */
function keep<V>(map: Map<string, V>, key: string, value: V, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > max) map.delete(map.keys().next().value!);
}
