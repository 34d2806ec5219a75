/**
 * Search: runs a query's pipeline on segments, newest first, until enough traces are found, and describes them.
 *
 * A query that finds each span by itself is run on every segment as it is, and the parts of a trace that several segments hold
 * are put together afterwards, for the traces of the answer only. All other queries are run on units that hold whole traces
 * (units.ts).
 */
import type { Segment } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import type { Query, Stage } from '../traceql/ast.ts';
import { type Bits, isEmpty, nextOne, rowsOf } from './bits.ts';
import {
  ANSWER_BYTES_MAX,
  type DescribedSet,
  describeTraces,
  SET_BYTES,
  tooLarge,
  TRACE_BYTES,
  spanIdsAt,
  timesAt,
  type TracePlace,
} from './describe.ts';
import { gather, hex } from './gather.ts';
import { listingsOf, shownValue } from './listed-values.ts';
import { evaluate, isPerSpan, type PipelineContext, selectRows } from './pipeline.ts';
import type { Progress } from './progress.ts';
import type { FoundAttribute, SearchOutcome } from './results.ts';
import { type SetState, tracesWith } from './spansets.ts';
import { traceNumbers, wantedTraces } from './trace-numbers.ts';
import { type Layout, layoutOf, numberOfTrace, positionsOfRows } from './unit.ts';
import { type Joining, unitsOf } from './units.ts';

export interface SearchOptions extends PipelineContext {
  limit: number;
  spansPerSpanSet: number;
  startSeconds: number;
  endSeconds: number;
  progress?: Progress<SearchOutcome>;
  /** ANSWER_BYTES_MAX unless said otherwise. */
  answerBytesMax?: number;
}

/** The traces that match, newest first. Segments come newest first. */
export async function searchTraces(
  segments: readonly Segment[],
  query: Query,
  options: SearchOptions,
  joining: Joining,
): Promise<SearchOutcome> {
  const { pipeline } = query;
  const inRange = segments.filter(
    ({ startSeconds, endSeconds }) => endSeconds >= options.startSeconds && startSeconds <= options.endSeconds,
  );
  const perSpan = isPerSpan(pipeline);
  const found = new Found(options, wantsMostRecent(query));
  const listings = listingsOf(query);
  const waiting = new Set(inRange);
  let inspectedTraces = 0;
  const outcome = async (chosen: Candidate[]): Promise<SearchOutcome> => {
    options.begin?.('describe traces');
    const { spansPerSpanSet, stop, answerBytesMax } = options;
    const traces = await describeTraces(chosen, listings, spansPerSpanSet, joining.repeats, stop, answerBytesMax);
    return { traces, inspectedTraces };
  };
  for await (const unit of unitsOf(inRange, pipeline, joining, options.stop)) {
    options.stop();
    const { segment } = unit;
    waiting.delete(segment);
    const part = perSpan ? await spansOf(segment, pipeline, options) : await evaluate(unit, pipeline, options);
    options.begin?.('choose traces');
    if (part !== undefined) {
      inspectedTraces += part.layout.starts.length - 1;
      await found.add(segment, part);
    }
    const visited = inRange.length - waiting.size;
    await options.progress?.(visited, () => outcome(found.newest()));
    if (found.isEnough([...waiting], perSpan)) break;
    options.begin?.('join traces');
  }
  const chosen = found.newest();
  options.begin?.('look for other parts of traces');
  if (perSpan) {
    const partOf = async (segment: Segment): Promise<SegmentPart | undefined> => {
      options.stop();
      return waiting.has(segment) ? spansOf(segment, pipeline, options) : found.parts.get(segment);
    };
    await addOtherParts(chosen, inRange, partOf, async () => (await joining.splits.find(inRange, options.stop)).ids);
  }
  return outcome(chosen);
}

/** What a segment has to say: sets of positions. */
interface SegmentPart {
  state: SetState;
  layout: Layout;
}

interface Candidate {
  id: string;
  /** Nanoseconds since 1970, roughly: to put traces in order. */
  start: number;
  places: TracePlace[];
  sets: DescribedSet[];
}

function wantsMostRecent({ hints }: Query): boolean {
  return hints.some(({ name, value }) => name === 'most_recent' && value.type === 'bool' && value.value);
}

/** The spans of a query that finds each by itself, as one set a trace; undefined when there are none. */
async function spansOf(
  segment: Segment,
  pipeline: readonly Stage[],
  options: SearchOptions,
): Promise<SegmentPart | undefined> {
  const rows = await selectRows({ segment }, pipeline, options);
  // The order of live segments costs a sort.
  if (isEmpty(rows)) return undefined;
  const layout = await layoutOf(segment);
  return { state: { bits: positionsOfRows(layout, rows), attributes: [] }, layout };
}

/** The newest traces so far, at most as many as can be in the answer, and what the segments said about them. */
class Found {
  readonly parts = new Map<Segment, SegmentPart>();
  readonly #options: SearchOptions;
  readonly #mostRecent: boolean;
  readonly #candidates = new Map<string, Candidate>();
  /** Of the candidates, about. */
  #bytes = 0;

  constructor(options: SearchOptions, mostRecent: boolean) {
    this.#options = options;
    this.#mostRecent = mostRecent;
  }

  async add(segment: Segment, part: SegmentPart): Promise<void> {
    const { state, layout } = part;
    const traces = tracesWith(state.bits, layout);
    if (traces.length === 0) return;
    this.parts.set(segment, part);
    const lines = await segment.lines();
    const startNs = wordsOf(this.#options.startSeconds);
    const endNs = wordsOf(this.#options.endSeconds);
    const starts = new Float64Array(traces.length);
    let inRange = 0;
    for (const trace of traces) {
      const number = numberOfTrace(layout, trace);
      if (isBefore(endNs.high, endNs.low, lines.startHigh[number], lines.startLow[number])) continue;
      if (isBefore(lines.endHigh[number], lines.endLow[number], startNs.high, startNs.low)) continue;
      starts[inRange] = lines.startHigh[number] * 4294967296 + lines.startLow[number];
      traces[inRange++] = trace;
    }
    const sets = setsByTrace(segment, state, layout);
    const newest = newestOf(starts.subarray(0, inRange), this.#options.limit);
    const ids = hexOfTraces(
      lines,
      newest.map((index) => numberOfTrace(layout, traces[index])),
    );
    const { limit, answerBytesMax = ANSWER_BYTES_MAX } = this.#options;
    const bytesBefore = this.#bytes;
    for (let i = 0; i < newest.length; i++) {
      const index = newest[i];
      const trace = numberOfTrace(layout, traces[index]);
      const id = ids.slice(32 * i, 32 * i + 32);
      const known = this.#candidates.get(id);
      if (known === undefined) {
        const candidate: Candidate = {
          id,
          start: starts[index],
          places: [{ segment, trace }],
          sets: sets(traces[index]),
        };
        this.#candidates.set(id, candidate);
        this.#bytes += bytesOf(candidate);
        if (this.#bytes - bytesBefore > answerBytesMax) throw tooLarge(answerBytesMax);
      } else known.start = Math.min(known.start, starts[index]);
    }
    if (this.#candidates.size > 2 * limit || this.#bytes > answerBytesMax) this.#drop();
    if (this.#bytes > answerBytesMax) throw tooLarge(answerBytesMax);
  }

  /** Whether the segments that are left cannot add anything that is wanted. */
  isEnough(left: Segment[], perSpan: boolean): boolean {
    if (this.#candidates.size < this.#options.limit || left.some(({ live }) => live)) return false;
    if (!this.#mostRecent) return true;
    // Joined traces come last and may be of any age.
    if (!perSpan) return false;
    this.#drop();
    const oldest = Math.min(...[...this.#candidates.values()].slice(-1).map(({ start }) => start));
    return left.every(({ endSeconds }) => endSeconds * 1e9 < oldest);
  }

  newest(): Candidate[] {
    this.#drop();
    return [...this.#candidates.values()];
  }

  /** Leaves the newest ones, in order. */
  #drop(): void {
    const sorted = [...this.#candidates.values()].sort((a, b) => b.start - a.start || (a.id < b.id ? -1 : 1));
    this.#candidates.clear();
    this.#bytes = 0;
    for (const candidate of sorted.slice(0, this.#options.limit)) {
      this.#candidates.set(candidate.id, candidate);
      this.#bytes += bytesOf(candidate);
    }
  }
}

function bytesOf({ sets }: Candidate): number {
  return TRACE_BYTES + SET_BYTES * Math.max(0, sets.length - 1);
}

/** The ids of traces, 32 hex digits each. */
function hexOfTraces(lines: TraceLines, traces: readonly number[]): string {
  const ids = Buffer.allocUnsafe(16 * traces.length);
  for (let i = 0; i < traces.length; i++)
    for (let byte = 0; byte < 16; byte++) ids[16 * i + byte] = lines.ids[16 * traces[i] + byte];
  return ids.toString('hex');
}

/** Nanoseconds of whole seconds, as two words. */
function wordsOf(seconds: number): { high: number; low: number } {
  const ns = BigInt(seconds) * 1_000_000_000n;
  return { high: Number(ns >> 32n), low: Number(ns & 0xffffffffn) };
}

function isBefore(high: number, low: number, otherHigh: number, otherLow: number): boolean {
  return high < otherHigh || (high === otherHigh && low < otherLow);
}

/** Indexes of the greatest values, at most so many. */
function newestOf(starts: Float64Array, limit: number): number[] {
  let least = Number.NEGATIVE_INFINITY;
  if (starts.length > limit) least = starts.slice().sort()[starts.length - limit];
  const indexes: number[] = [];
  for (let i = 0; i < starts.length && indexes.length < limit; i++) if (starts[i] > least) indexes.push(i);
  for (let i = 0; i < starts.length && indexes.length < limit; i++) if (starts[i] === least) indexes.push(i);
  return indexes;
}

/** A function that gives the sets of a trace of the layout, their rows ascending. */
function setsByTrace(segment: Segment, state: SetState, layout: Layout): (trace: number) => DescribedSet[] {
  const { bits, groups } = state;
  const { starts } = layout;
  const attributesOf = (set: number): FoundAttribute[] =>
    state.attributes.map((each) => ({ key: each.key, value: shownValue(each.valueOf(set)) }));
  if (groups === undefined)
    return (trace) => [
      {
        rows: [{ segment, rows: rowsAt(layout, positionsWithin(bits, starts[trace], starts[trace + 1])) }],
        attributes: attributesOf(trace),
      },
    ];
  const positions = rowsOf(bits);
  return (trace) => {
    const bySet = new Map<number, number[]>();
    for (let i = lowerBound(positions, starts[trace]); i < positions.length && positions[i] < starts[trace + 1]; i++) {
      const list = bySet.get(groups.setOf[i]);
      if (list === undefined) bySet.set(groups.setOf[i], [positions[i]]);
      else list.push(positions[i]);
    }
    return [...bySet].map(([set, list]) => ({
      rows: [{ segment, rows: rowsAt(layout, list) }],
      attributes: attributesOf(set),
    }));
  };
}

function positionsWithin(bits: Bits, from: number, to: number): number[] {
  const first = nextOne(bits, from);
  if (first < 0 || first >= to) return [];
  // Mostly it is the only one, and an empty array would make room for 17 with the first that is put into it.
  const positions = [first];
  for (let at = nextOne(bits, first + 1); at >= 0 && at < to; at = nextOne(bits, at + 1)) positions.push(at);
  return positions;
}

function rowsAt({ order }: Layout, positions: number[]): number[] {
  return order === undefined ? positions : positions.map((position) => order[position]).sort((a, b) => a - b);
}

function lowerBound(values: Uint32Array, wanted: number): number {
  let from = 0;
  let to = values.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (values[middle] < wanted) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Chosen traces from which on it pays to know which traces are split at all. */
const ASK_EACH_MAX = 256;

/**
 * Adds what other segments have of the chosen traces; a span that several of them have counts once. `partOf` gives what the
 * query finds in a segment.
 */
async function addOtherParts(
  chosen: readonly Candidate[],
  segments: readonly Segment[],
  partOf: (segment: Segment) => Promise<SegmentPart | undefined>,
  splitIds: () => Promise<Uint8Array[]>,
): Promise<void> {
  let candidates = chosen;
  if (chosen.length > ASK_EACH_MAX) {
    const split = new Set((await splitIds()).map((id) => hex(id, 0, 16)));
    candidates = chosen.filter(({ id }) => split.has(id));
  }
  const wanted = wantedTraces(candidates.map(({ id }) => Buffer.from(id, 'hex')));
  const together = new Set<Candidate>();
  for (const segment of segments) {
    const numbers = await traceNumbers(segment, wanted);
    let part: SegmentPart | undefined;
    let traceOfNumber: Map<number, number> | undefined;
    for (let i = 0; i < candidates.length; i++) {
      const { places, sets } = candidates[i];
      if (numbers[i] < 0 || places[0].segment === segment) continue;
      places.push({ segment, trace: numbers[i] });
      part ??= await partOf(segment);
      if (part === undefined) continue;
      const { state, layout } = part;
      if (layout.traces !== undefined)
        traceOfNumber ??= new Map(Array.from(layout.traces, (number, trace) => [number, trace]));
      const trace = traceOfNumber === undefined ? numbers[i] : traceOfNumber.get(numbers[i]);
      if (trace === undefined) continue;
      const positions = positionsWithin(state.bits, layout.starts[trace], layout.starts[trace + 1]);
      if (positions.length === 0) continue;
      sets[0].rows.push({ segment, rows: rowsAt(layout, positions) });
      together.add(candidates[i]);
    }
  }
  for (const { sets } of together) await dropRepeatedSpans(sets[0].rows);
}

async function dropRepeatedSpans(rows: DescribedSet['rows']): Promise<void> {
  const seen = new Set<string>();
  for (const part of rows) {
    const own: string[] = [];
    const identities = await identitiesOf(part.segment, Uint32Array.from(part.rows));
    part.rows = part.rows.filter((_row, i) => {
      own.push(identities[i]);
      return !seen.has(identities[i]);
    });
    for (const identity of own) seen.add(identity);
  }
}

/** Spans of one id, kind and start are one span. */
async function identitiesOf(segment: Segment, rows: Uint32Array): Promise<string[]> {
  const ids = await spanIdsAt(segment, rows);
  const starts = await timesAt(segment, 'start', rows);
  const kinds = await gather(segment, { type: 'intrinsic', name: 'kind', offset: 0 }, rows);
  return Array.from(rows, (_row, i) => {
    const kind = kinds[i] as { value: string };
    return `${ids.slice(16 * i, 16 * i + 16)} ${kind.value} ${starts[i]}`;
  });
}
