/**
 * Spans that several segments have (same trace, id, kind and start: they were sent again), so that whoever counts spans one by
 * one counts each once, where it is oldest:
 *
 *   live      ▒▒▒▒▒▒▒▒░░      ░ rows that an older segment has, too
 *   block 1   ▒▒▒▒▒▒▒░▒▒      segments come newest first
 *   block 2   ▒▒▒▒▒▒▒▒▒▒
 *
 * The start belongs to what makes two spans the same, so only segments whose starts overlap are compared: of blocks their trace
 * ids, and of traces that both have the spans. What two blocks have in common never changes and is remembered; of a live
 * segment only rows that came since the last time are looked at.
 */
import type { Segment } from '../block/segment.ts';
import { findTrace } from '../block/traces-file.ts';
import { xxhash64 } from '../parquet/xxhash64.ts';
import { type Bits, isEmpty, noBits, unite } from './bits.ts';
import { eachValue } from './gather.ts';
import { type SplitTraces, tracesOfSeveral } from './split-traces.ts';

/** Pairs of blocks beyond this many that are not known yet are not looked at one by one but all blocks together. */
const PAIRS_AT_ONCE = 200;
const PAIRS_KEPT = 8192;
const SETS_KEPT = 8;
/** Bytes of rows that are remembered. */
const REMEMBERED_BYTES_MAX = 16 * 1024 * 1024;
/** Spans of traces in several blocks that are compared at a time, some 32 bytes each. */
const SPANS_AT_ONCE = 200_000;
const STOP_EVERY = 1 << 16;

/** Rows of each segment that count elsewhere; undefined for none. */
export type RepeatedSpans = (Bits | undefined)[];

/** What one thread remembers between queries. */
export class RepeatedSpanCache {
  readonly #pairs = new Remembered(PAIRS_KEPT);
  readonly #sets = new Remembered(SETS_KEPT);
  readonly #live = new Map<string, LivePair>();

  /** Segments come newest first. What one segment has twice is not looked for (`Segment.repeatedRows`). */
  async find(segments: readonly Segment[], stop: () => void): Promise<RepeatedSpans> {
    const repeated: RepeatedSpans = new Array(segments.length).fill(undefined);
    if (segments.length < 2) return repeated;
    const blocks = segments.filter(({ live }) => !live);
    const ofBlocks = await this.#ofBlocks(blocks, stop);
    for (let i = 0; i < segments.length; i++) {
      const segment = segments[i];
      if (segment.live) repeated[i] = await this.#ofLive(segment, segments.slice(i + 1), stop);
      else repeated[i] = ofBlocks[blocks.indexOf(segment)];
    }
    return repeated;
  }

  async #ofBlocks(blocks: readonly Segment[], stop: () => void): Promise<RepeatedSpans> {
    const names = blocks.map(({ name }) => name);
    const key = names.join();
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const pairs = overlapping(blocks);
    const unknown = pairs.filter(([a, b]) => this.#pairs.get(`${names[a]} ${names[b]}`) === undefined);
    let repeated: RepeatedSpans = names.map(() => undefined);
    if (unknown.length > PAIRS_AT_ONCE) repeated = await repeatedAmong(blocks, stop);
    else {
      for (const [a, b] of unknown) {
        stop();
        const [rows] = await repeatedAmong([blocks[a], blocks[b]], stop);
        this.#pairs.set(`${names[a]} ${names[b]}`, [rows]);
      }
      for (const [a, b] of pairs) {
        // It may have been pushed out by the ones after it.
        const [rows] =
          this.#pairs.get(`${names[a]} ${names[b]}`) ?? (await repeatedAmong([blocks[a], blocks[b]], stop));
        if (rows !== undefined) repeated[a] = unite(repeated[a] ?? noBits(blocks[a].rows), rows);
      }
    }
    this.#sets.set(key, repeated);
    return repeated;
  }

  /** Rows of a live segment that one of the older segments has. */
  async #ofLive(live: Segment, older: readonly Segment[], stop: () => void): Promise<Bits | undefined> {
    const bits = noBits(live.rows);
    // Most segments were compared with the same rows, and lie before all new ones.
    const newStarts = new Map<number, { min: number; max: number }>();
    for (const other of older) {
      const pair = other.live ? { checked: 0, found: [] } : this.#livePair(`${live.name} ${other.name}`);
      if (pair.checked < live.rows) {
        const theirs = other.live ? await liveStarts(other, 0) : startsOf(other);
        const own = newStarts.get(pair.checked) ?? (await liveStarts(live, pair.checked));
        newStarts.set(pair.checked, own);
        if (own.min <= theirs.max && own.max >= theirs.min) await checkNewRows(live, other, theirs, pair, stop);
        // Another query may have seen more of the segment meanwhile.
        pair.checked = Math.max(pair.checked, live.rows);
      }
      for (const row of pair.found) if (row < live.rows) bits[row >>> 5] |= 1 << (row & 31);
    }
    return isEmpty(bits) ? undefined : bits;
  }

  #livePair(key: string): LivePair {
    const pair = this.#live.get(key) ?? { checked: 0, found: [] };
    this.#live.delete(key);
    this.#live.set(key, pair);
    if (this.#live.size > PAIRS_KEPT) this.#live.delete(this.#live.keys().next().value!);
    return pair;
  }
}

/** Pairs of blocks, the newer one first, that may have a span in common. */
function overlapping(blocks: readonly Segment[]): [newer: number, older: number][] {
  const bounds = blocks.map(startsOf);
  const byMin = Array.from(blocks.keys()).sort((a, b) => bounds[a].min - bounds[b].min);
  const pairs: [number, number][] = [];
  for (let i = 0; i < byMin.length; i++)
    for (let k = i + 1; k < byMin.length && bounds[byMin[k]].min <= bounds[byMin[i]].max; k++)
      if (mayShareTraces(blocks[byMin[i]], blocks[byMin[k]]))
        pairs.push([Math.min(byMin[i], byMin[k]), Math.max(byMin[i], byMin[k])]);
  return pairs;
}

/** Those whose ids lie apart share none; row groups of one block only the trace at their edge, when it is vast and was merged. */
function mayShareTraces(a: Segment, b: Segment): boolean {
  const [one, other] = [a.traceRange?.(), b.traceRange?.()];
  return (
    one === undefined ||
    other === undefined ||
    (Buffer.compare(one.first, other.last) <= 0 && Buffer.compare(other.first, one.last) <= 0)
  );
}

/** Nanoseconds since 1970, rounded alike on both ends. */
function startsOf(segment: Segment): { min: number; max: number } {
  const bounds = segment.startBounds?.(false);
  if (bounds === undefined) return { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY };
  return { min: timeOf(bounds.minLow, bounds.minHigh), max: timeOf(bounds.maxLow, bounds.maxHigh) };
}

function timeOf(low: number, high: number): number {
  return (high >>> 0) * 4294967296 + (low >>> 0);
}

// ---- blocks --------------------------------------------------------------------------------------------------------

/** Rows of each block, newest first, that an older one of them has. */
async function repeatedAmong(blocks: readonly Segment[], stop: () => void): Promise<RepeatedSpans> {
  const repeated: RepeatedSpans = blocks.map(() => undefined);
  const { ids, places } = await tracesOfSeveral(blocks, stop);
  if (ids.length === 0) return repeated;
  const firstRows: Uint32Array[] = [];
  const spans = new Uint32Array(ids.length);
  for (let b = 0; b < blocks.length; b++) {
    const { numbers, splits } = places[b];
    const { firstRow } = numbers.length === 0 ? { firstRow: new Uint32Array(0) } : await blocks[b].lines();
    firstRows.push(firstRow);
    for (let k = 0; k < numbers.length; k++) spans[splits[k]] += firstRow[numbers[k] + 1] - firstRow[numbers[k]];
  }
  // Ids ascend, and so do the rows of a run of them in each block.
  for (let from = 0, to = 0; from < ids.length; from = to) {
    stop();
    for (let sum = 0; to < ids.length && (to === from || sum + spans[to] <= SPANS_AT_ONCE); to++) sum += spans[to];
    const seen = new SpanTable();
    // The oldest first.
    for (let b = blocks.length - 1; b >= 0; b--) {
      const slice = rowsOfSplits(places[b], firstRows[b], from, to);
      if (slice.rows.length === 0) continue;
      const again = await seen.add(blocks[b], slice.rows, slice.traces);
      for (const row of again) {
        const bits = (repeated[b] ??= noBits(blocks[b].rows));
        bits[row >>> 5] |= 1 << (row & 31);
      }
    }
  }
  return repeated;
}

/** The rows, ascending, of the split traces [from, to) in one block, and the split trace of each. */
function rowsOfSplits(
  { numbers, splits }: SplitTraces['places'][number],
  firstRow: Uint32Array,
  from: number,
  to: number,
): { rows: Uint32Array; traces: Uint32Array } {
  const rows: number[] = [];
  const traces: number[] = [];
  for (let k = 0; k < numbers.length; k++) {
    if (splits[k] < from || splits[k] >= to) continue;
    for (let row = firstRow[numbers[k]]; row < firstRow[numbers[k] + 1]; row++) {
      rows.push(row);
      traces.push(splits[k]);
    }
  }
  return { rows: Uint32Array.from(rows), traces: Uint32Array.from(traces) };
}

/** Spans of some segments, by what makes them the same. Kind and start are read only where ids are equal. */
class SpanTable {
  /** Number of an entry + 1, or 0. */
  #slots = new Int32Array(64);
  #count = 0;
  readonly #parts: TablePart[] = [];

  /** Adds rows of a segment and returns those that were there from another one. */
  async add(segment: Segment, rows: Uint32Array, traces: Uint32Array): Promise<number[]> {
    const ids = await spanIdWords(segment, rows);
    const own = { segment, first: this.#count, rows, traces, ids };
    const pairs: { slot: number; part: TablePart; index: number }[] = [];
    this.#reserve(this.#count + rows.length);
    const mask = this.#slots.length - 1;
    for (let i = 0; i < rows.length; i++) {
      let slot = hashOf(ids[2 * i], ids[2 * i + 1], traces[i]) & mask;
      for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
        const entry = this.#slots[slot] - 1;
        // What one segment has twice stands for two spans.
        if (entry >= own.first) continue;
        const part = this.#parts.findLast(({ first }) => first <= entry)!;
        const index = entry - part.first;
        if (
          part.traces[index] === traces[i] &&
          part.ids[2 * index] === ids[2 * i] &&
          part.ids[2 * index + 1] === ids[2 * i + 1]
        )
          pairs.push({ slot: i, part, index });
      }
      this.#slots[slot] = this.#count + i + 1;
    }
    this.#parts.push(own);
    this.#count += rows.length;
    return this.#same(own, pairs);
  }

  async #same(own: TablePart, pairs: { slot: number; part: TablePart; index: number }[]): Promise<number[]> {
    if (pairs.length === 0) return [];
    const mine = await identitiesAt(
      own.segment,
      own.rows,
      pairs.map(({ slot }) => slot),
    );
    const again = new Set<number>();
    for (const part of new Set(pairs.map((pair) => pair.part))) {
      const of = pairs.filter((pair) => pair.part === part);
      const theirs = await identitiesAt(
        part.segment,
        part.rows,
        of.map(({ index }) => index),
      );
      for (const { slot, index } of of) if (mine.get(slot) === theirs.get(index)) again.add(own.rows[slot]);
    }
    return [...again];
  }

  #reserve(count: number): void {
    let size = this.#slots.length;
    while (size < 2 * count) size *= 2;
    if (size === this.#slots.length) return;
    this.#slots = new Int32Array(size);
    for (const { first, traces, ids } of this.#parts)
      for (let i = 0; i < traces.length; i++) {
        let slot = hashOf(ids[2 * i], ids[2 * i + 1], traces[i]) & (size - 1);
        while (this.#slots[slot] !== 0) slot = (slot + 1) & (size - 1);
        this.#slots[slot] = first + i + 1;
      }
  }
}

/** The rows of one segment in a table: the first entry, and of each row its trace and id. */
interface TablePart {
  segment: Segment;
  first: number;
  rows: Uint32Array;
  traces: Uint32Array;
  ids: Int32Array;
}

function hashOf(low: number, high: number, trace: number): number {
  const hash = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b) ^ Math.imul(trace, 0xc2b2ae35);
  return hash ^ (hash >>> 15);
}

/** Two words for each of the ascending rows. */
async function spanIdWords(segment: Segment, rows: Uint32Array): Promise<Int32Array> {
  const words = new Int32Array(2 * rows.length);
  const bytes = new Uint8Array(words.buffer);
  const column = await segment.column({ of: 'fixed', field: 'span_id' }, undefined, { rows });
  eachValue(column!, rows, (slot, part, i) => {
    for (let byte = 0; byte < 8; byte++) bytes[8 * slot + byte] = part.bytes![8 * i + byte];
  });
  return words;
}

/** Kind and start of `rows` at these places, by place. */
async function identitiesAt(segment: Segment, rows: Uint32Array, places: number[]): Promise<Map<number, string>> {
  const sorted = [...new Set(places)].sort((a, b) => a - b);
  const wanted = Uint32Array.from(sorted, (place) => rows[place]);
  const texts = new Array<string>(sorted.length).fill('');
  const starts = await segment.column({ of: 'fixed', field: 'start' }, undefined, { rows: wanted });
  eachValue(starts!, wanted, (slot, part, i) => {
    texts[slot] = `${part.words![2 * i]} ${part.words![2 * i + 1]}`;
  });
  const kinds = await segment.column({ of: 'fixed', field: 'kind' }, undefined, { rows: wanted });
  eachValue(kinds!, wanted, (slot, part, i) => {
    texts[slot] += ` ${part.ints![i]}`;
  });
  return new Map(sorted.map((place, slot) => [place, texts[slot]]));
}

// ---- live segments -------------------------------------------------------------------------------------------------

interface LivePair {
  /** Rows of the live segment that were compared. */
  checked: number;
  found: number[];
}

/** Compares rows that came since the last time with an older segment. */
async function checkNewRows(
  live: Segment,
  other: Segment,
  bounds: { min: number; max: number },
  pair: LivePair,
  stop: () => void,
): Promise<void> {
  stop();
  const starts = await live.column({ of: 'fixed', field: 'start' });
  const near: number[] = [];
  for (const part of starts!.parts) {
    const words = part.words!;
    for (let i = Math.max(0, pair.checked - part.first); i < part.count; i++) {
      const time = timeOf(words[2 * i], words[2 * i + 1]);
      if (time >= bounds.min && time <= bounds.max) near.push(part.first + i);
    }
  }
  if (near.length > 0) pair.found.push(...(await alsoIn(live, Uint32Array.from(near), other, stop)));
}

/** The earliest and latest start of the rows from a number on. */
async function liveStarts(live: Segment, from: number): Promise<{ min: number; max: number }> {
  const starts = await live.column({ of: 'fixed', field: 'start' });
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { first, words, count } of starts!.parts)
    for (let i = Math.max(0, from - first); i < count; i++) {
      const time = timeOf(words![2 * i], words![2 * i + 1]);
      if (time < min) min = time;
      if (time > max) max = time;
    }
  return { min, max };
}

/** Which of the rows of a live segment an older segment has. */
async function alsoIn(live: Segment, rows: Uint32Array, other: Segment, stop: () => void): Promise<number[]> {
  const traceOf = await live.tracesOfRows(rows);
  const numbers = await numbersIn(other, live, new Set(traceOf), stop);
  if (numbers.size === 0) return [];
  const shared = Array.from(rows.keys()).filter((i) => numbers.has(traceOf[i]));
  const others = await rowsOfTraces(other, new Set(numbers.values()));
  const table = new SpanTable();
  await table.add(other, others.rows, others.traces);
  return table.add(
    live,
    Uint32Array.from(shared, (i) => rows[i]),
    Uint32Array.from(shared, (i) => numbers.get(traceOf[i])!),
  );
}

/** The numbers that traces of a live segment have in another segment, of those that are there. */
async function numbersIn(
  other: Segment,
  live: Segment,
  traces: ReadonlySet<number>,
  stop: () => void,
): Promise<Map<number, number>> {
  const ids = await live.traceIds();
  const others = await other.traceIds();
  const idOf = (trace: number): Uint8Array => ids.subarray(16 * trace, 16 * trace + 16);
  const numbers = new Map<number, number>();
  if (!other.live) {
    const mayHold = await other.mayHoldHash?.();
    const hash = new Int32Array(2);
    for (const trace of traces) {
      xxhash64(idOf(trace), 0, 16, hash);
      const number = mayHold === undefined || mayHold(hash) ? findTrace(others, idOf(trace)) : -1;
      if (number >= 0) numbers.set(trace, number);
    }
    return numbers;
  }
  // Ids of live segments are in no order: those that are looked for are put into a table.
  const wanted = new Map<number, number[]>();
  const view = new DataView(others.buffer, others.byteOffset, others.byteLength);
  for (const trace of traces) {
    const word = new DataView(ids.buffer, ids.byteOffset + 16 * trace).getUint32(12);
    wanted.set(word, [...(wanted.get(word) ?? []), trace]);
  }
  for (let number = 0; 16 * number < others.length; number++) {
    if (number % STOP_EVERY === 0) stop();
    for (const trace of wanted.get(view.getUint32(16 * number + 12)) ?? [])
      if (Buffer.compare(idOf(trace), others.subarray(16 * number, 16 * number + 16)) === 0) numbers.set(trace, number);
  }
  return numbers;
}

/** The rows of these traces, ascending, and the trace of each. */
async function rowsOfTraces(
  segment: Segment,
  wanted: ReadonlySet<number>,
): Promise<{ rows: Uint32Array; traces: Uint32Array }> {
  const rows: number[] = [];
  const traces: number[] = [];
  const add = (row: number, trace: number): void => {
    rows.push(row);
    traces.push(trace);
  };
  if (segment.live) {
    const traceOf = await segment.tracesOfRows(Uint32Array.from({ length: segment.rows }, (_, row) => row));
    for (let row = 0; row < traceOf.length; row++) if (wanted.has(traceOf[row])) add(row, traceOf[row]);
  } else {
    const { firstRow } = await segment.lines();
    for (const trace of [...wanted].sort((a, b) => a - b))
      for (let row = firstRow[trace]; row < firstRow[trace + 1]; row++) add(row, trace);
  }
  return { rows: Uint32Array.from(rows), traces: Uint32Array.from(traces) };
}

/** The newest entries, up to a number of them and of bytes. */
class Remembered {
  readonly #countMax: number;
  readonly #entries = new Map<string, RepeatedSpans>();
  #bytes = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get(key: string): RepeatedSpans | undefined {
    const known = this.#entries.get(key);
    if (known === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, known);
    return known;
  }

  set(key: string, value: RepeatedSpans): void {
    this.#entries.set(key, value);
    this.#bytes += bytesOf(value);
    for (const [oldest, dropped] of this.#entries) {
      if (oldest === key || (this.#entries.size <= this.#countMax && this.#bytes <= REMEMBERED_BYTES_MAX)) break;
      this.#entries.delete(oldest);
      this.#bytes -= bytesOf(dropped);
    }
  }
}

function bytesOf(repeated: RepeatedSpans): number {
  return repeated.reduce((sum, bits) => sum + (bits?.byteLength ?? 0), 0);
}
