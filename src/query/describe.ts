/** Describes the traces of a search result: times, root and services from the lists of traces, spans from their columns. */
import type { Segment } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import type { Reference } from '../traceql/ast.ts';
import { has } from './bits.ts';
import { VivaceError } from '../runtime/errors.ts';
import { eachValue, gather, lineString, rangeOf, traceEnd, traceStart } from './gather.ts';
import { type Listings, listedValues } from './listed-values.ts';
import type { FoundAttribute, FoundSpan, FoundTraceSummary } from './results.ts';
import type { RepeatedSpanCache } from './repeated-spans.ts';
import { addStats, NO_STATS, plainStats, statsOfLine } from './service-stats.ts';
import { traceNumbers, wantedTraces } from './trace-numbers.ts';

/** A trace in a segment that holds all or a part of it. */
export interface TracePlace {
  segment: Segment;
  /** Its number in `segment.lines()`. */
  trace: number;
}

export interface DescribedTrace {
  /** 32 hex digits. */
  id: string;
  places: TracePlace[];
}

/** A span set of a result: some rows, perhaps of several segments. */
export interface DescribedSet {
  rows: { segment: Segment; rows: number[] }[];
  attributes: FoundAttribute[];
}

/** What an answer may take in memory before it is written: several may be under way in a small container. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** About what a trace, a listed span and an attribute of one take. */
export const TRACE_BYTES = 3000;
/** And a span set, beyond the first of its trace. */
export const SET_BYTES = 800;
const SPAN_BYTES = 300;
const ATTRIBUTE_BYTES = 150;

export function tooLarge(bytesMax: number): VivaceError {
  return new VivaceError(
    'invalid',
    `cannot answer this search: its traces take more than ${bytesMax} bytes of memory; lower limit or spss, or narrow the range`,
  );
}

/** The traces with their span sets, `spansMax` spans of each listed; their places are all there are. Throws what `tooLarge` makes. */
export async function describeTraces(
  chosen: readonly (DescribedTrace & { sets: DescribedSet[] })[],
  listings: Listings,
  spansMax: number,
  repeats: RepeatedSpanCache,
  stop: () => void,
  bytesMax = ANSWER_BYTES_MAX,
): Promise<FoundTraceSummary[]> {
  const summaries = chosen.map(
    ({ id }): FoundTraceSummary => ({
      traceId: id,
      rootServiceName: undefined,
      rootTraceName: undefined,
      startUnixNano: 0n,
      durationMs: 0,
      spanSets: [],
      serviceStats: NO_STATS,
    }),
  );
  await addTraceLines([], chosen, summaries, stop);
  await takeOffRepeated(chosen, summaries, repeats, stop);
  stop();
  // Listed rows of all traces, segment by segment, so that each column is read once and in order.
  const listed = new Map<Segment, ListedRow[]>();
  for (let i = 0; i < chosen.length; i++) {
    if (i % STOP_EVERY === 0) stop();
    summaries[i].spanSets = chosen[i].sets.map(({ rows, attributes }) => {
      let matched = 0;
      for (const { rows: of } of rows) matched += of.length;
      // Of its length at once: arrays that grow make room for 17.
      const spans = new Array<FoundSpan>(Math.min(matched, spansMax));
      let at = 0;
      for (const { segment, rows: of } of rows) {
        let list = listed.get(segment);
        if (list === undefined) listed.set(segment, (list = []));
        for (let k = 0; k < of.length && at < spans.length; k++) list.push({ row: of[k], spans, at: at++ });
      }
      return attributes.length === 0 ? { spans, matched } : { spans, matched, attributes };
    });
  }
  let spans = 0;
  for (const rows of listed.values()) spans += rows.length;
  const bytes = TRACE_BYTES * chosen.length + spans * (SPAN_BYTES + ATTRIBUTE_BYTES * listings.attributes.length);
  if (bytes > bytesMax) throw tooLarge(bytesMax);
  for (const [segment, rows] of listed) {
    stop();
    inOrderOfRows(rows);
    for (let from = 0; from < rows.length; from += SPANS_AT_ONCE)
      await addSpans(segment, listings, rows.slice(from, from + SPANS_AT_ONCE), stop);
  }
  return summaries;
}

/**
 * Time, root and (where the summary wants them) services of each trace, over its places and the other segments that hold a
 * part of it. Summaries are parallel to the traces; so are the ends that it returns.
 */
export async function addTraceLines(
  elsewhere: readonly Segment[],
  chosen: readonly DescribedTrace[],
  summaries: readonly FoundTraceSummary[],
  stop: () => void,
): Promise<BigUint64Array> {
  const ends = new BigUint64Array(chosen.length);
  const known = new Map<Segment, TraceLines>();
  for (let i = 0; i < chosen.length; i++) {
    if (i % STOP_EVERY === 0) stop();
    for (const { segment, trace } of chosen[i].places) {
      let lines = known.get(segment);
      if (lines === undefined) known.set(segment, (lines = await segment.lines()));
      addLine(lines, trace, summaries[i], ends, i);
    }
  }
  const wanted = wantedTraces(elsewhere.length === 0 ? [] : chosen.map(({ id }) => Buffer.from(id, 'hex')));
  for (const segment of elsewhere) {
    const numbers = await traceNumbers(segment, wanted);
    for (let i = 0; i < numbers.length; i++)
      if (numbers[i] >= 0 && !chosen[i].places.some((place) => place.segment === segment))
        addLine(await segment.lines(), numbers[i], summaries[i], ends, i);
  }
  for (let i = 0; i < chosen.length; i++)
    if (chosen[i].places.length > 1) await addRootOfSeveral(chosen[i].places, summaries[i]);
  for (let i = 0; i < summaries.length; i++) {
    const duration = ends[i] - summaries[i].startUnixNano;
    summaries[i].durationMs = duration > 0n ? Number(duration / 1_000_000n) : 0;
  }
  return ends;
}

/** `ends[index]` is the end of the trace so far, 0 before its first line. */
function addLine(
  lines: TraceLines,
  trace: number,
  summary: FoundTraceSummary,
  ends: BigUint64Array,
  index: number,
): void {
  const start = traceStart(lines, trace);
  const end = traceEnd(lines, trace);
  const isFirst = ends[index] === 0n;
  if (isFirst || start < summary.startUnixNano) summary.startUnixNano = start;
  if (isFirst || end > ends[index]) ends[index] = end;
  const service = lineString(lines, lines.rootService[trace]);
  if (lines.rootName[trace] !== 0 || service !== undefined) {
    // A root without a service is shown like an unknown one.
    summary.rootServiceName = service || undefined;
    summary.rootTraceName = lineString(lines, lines.rootName[trace]);
  }
  const { serviceStats } = summary;
  if (serviceStats === undefined) return;
  const alone = serviceStats.size === 0 ? statsOfLine(lines, trace) : undefined;
  summary.serviceStats = alone ?? addStats(serviceStats, lines, trace);
}

/** Of roots in several segments the one that started last names the trace, as within a segment. */
async function addRootOfSeveral(places: readonly TracePlace[], summary: FoundTraceSummary): Promise<void> {
  let latest: { start: bigint; lines: TraceLines; trace: number } | undefined;
  for (const { segment, trace } of places) {
    const lines = await segment.lines();
    if (lines.rootName[trace] === 0 && lines.rootService[trace] === 0) continue;
    const rows = (await segment.rowsOfTrace(trace)).slice().sort();
    const isRoot = new Uint8Array(rows.length).fill(1);
    const parents = await segment.column({ of: 'fixed', field: 'parent_span_id' }, rangeOf(rows), { rows });
    if (parents !== undefined)
      eachValue(parents, rows, (slot) => {
        isRoot[slot] = 0;
      });
    const starts = await timesAt(segment, 'start', rows);
    for (let slot = 0; slot < rows.length; slot++)
      if (isRoot[slot] === 1 && (latest === undefined || starts[slot] > latest.start))
        latest = { start: starts[slot], lines, trace };
  }
  if (latest === undefined) return;
  summary.rootServiceName = lineString(latest.lines, latest.lines.rootService[latest.trace]) || undefined;
  summary.rootTraceName = lineString(latest.lines, latest.lines.rootName[latest.trace]);
}

/** Spans that several places of a trace have were counted in each: leaves one. */
async function takeOffRepeated(
  chosen: readonly DescribedTrace[],
  summaries: readonly FoundTraceSummary[],
  repeats: RepeatedSpanCache,
  stop: () => void,
): Promise<void> {
  const several = chosen.flatMap(({ places }, i) => {
    if (places.length === 1) return [];
    const stats = plainStats(summaries[i].serviceStats!);
    summaries[i].serviceStats = stats;
    return [{ places, stats }];
  });
  if (several.length === 0) return;
  const segments = new Set(several.flatMap(({ places }) => places.map(({ segment }) => segment)));
  const newestFirst = [...segments].sort((a, b) => Number(b.live) - Number(a.live));
  const repeated = await repeats.find(newestFirst, stop);
  for (let s = 0; s < newestFirst.length; s++) {
    const segment = newestFirst[s];
    const bits = repeated[s];
    if (bits === undefined) continue;
    for (const { places, stats } of several) {
      stop();
      const place = places.find((each) => each.segment === segment);
      const rows = place && (await segment.rowsOfTrace(place.trace)).filter((row) => has(bits, row)).sort();
      if (rows === undefined || rows.length === 0) continue;
      const services = await gather(segment, SERVICE_NAME, rows);
      const statuses = await gather(segment, STATUS, rows);
      for (let i = 0; i < rows.length; i++) {
        const service = services[i] as { value?: string } | undefined;
        const name = typeof service?.value === 'string' ? service.value : '';
        const { spanCount, errorCount } = stats.get(name) ?? { spanCount: 0, errorCount: 0 };
        const isError = (statuses[i] as { value: string }).value === 'error';
        if (spanCount > 1) stats.set(name, { spanCount: spanCount - 1, errorCount: errorCount - (isError ? 1 : 0) });
      }
    }
  }
}

const SERVICE_NAME: Reference = {
  type: 'attribute',
  scope: 'resource',
  parent: false,
  name: 'service.name',
  offset: 0,
};
const STATUS: Reference = { type: 'intrinsic', name: 'status', offset: 0 };

/** Traces between two looks. */
const STOP_EVERY = 4096;

interface ListedRow {
  row: number;
  /** The list of the span set that the row belongs to, and its place there. */
  spans: FoundSpan[];
  at: number;
}

/** A limit may ask for millions of spans, which sort faster as numbers. */
function inOrderOfRows(listed: ListedRow[]): void {
  const { length } = listed;
  if (listed.every(({ row }, i) => i === 0 || listed[i - 1].row <= row)) return;
  const keys = Float64Array.from(listed, ({ row }, i) => row * length + i).sort();
  const copy = listed.slice();
  for (let i = 0; i < length; i++) listed[i] = copy[keys[i] % length];
}

/** Spans that are described between two looks whether somebody still waits. */
const SPANS_AT_ONCE = 32_768;

/** Adds listed spans of one segment, in the order of rows, to their sets. */
async function addSpans(segment: Segment, listings: Listings, listed: ListedRow[], stop: () => void): Promise<void> {
  stop();
  const rows = Uint32Array.from(listed, ({ row }) => row);
  const ids = await spanIdsAt(segment, rows);
  const starts = await timesAt(segment, 'start', rows);
  const durations = await timesAt(segment, 'duration', rows);
  const names = listings.name && (await listedValues(segment, listings.name, rows));
  const values: (FoundAttribute | undefined)[][] = [];
  for (const listing of listings.attributes) {
    stop();
    values.push(await listedValues(segment, listing, rows));
  }
  for (let slot = 0; slot < listed.length; slot++) {
    if ((slot & 4095) === 4095) stop();
    // Mostly there is one attribute, and arrays that grow make room for 17.
    const only = values.length === 1 ? values[0][slot] : undefined;
    const span: FoundSpan = {
      spanId: ids.slice(16 * slot, 16 * slot + 16),
      startUnixNano: starts[slot],
      durationNs: durations[slot],
      attributes: only === undefined ? [] : [only],
    };
    const name = names?.[slot]?.value;
    if (name?.type === 'string') span.name = name.value;
    if (values.length > 1) for (const of of values) if (of[slot] !== undefined) span.attributes.push(of[slot]!);
    const { spans, at } = listed[slot];
    spans[at] = span;
  }
}

/** The ids of the spans of ascending rows, 16 hex digits each. */
export async function spanIdsAt(segment: Segment, rows: Uint32Array): Promise<string> {
  const ids = new Uint8Array(8 * rows.length);
  const column = await segment.column({ of: 'fixed', field: 'span_id' }, rangeOf(rows), { rows });
  eachValue(column!, rows, (slot, part, i) => {
    for (let byte = 0; byte < 8; byte++) ids[8 * slot + byte] = part.bytes![8 * i + byte];
  });
  return Buffer.from(ids.buffer).toString('hex');
}

/** Starts (since 1970) or durations of the spans of ascending rows, in nanoseconds. */
export async function timesAt(
  segment: Segment,
  field: 'start' | 'duration',
  rows: Uint32Array,
): Promise<BigUint64Array> {
  const times = new BigUint64Array(rows.length);
  const words = new Int32Array(times.buffer);
  const column = await segment.column({ of: 'fixed', field }, rangeOf(rows), { rows });
  eachValue(column!, rows, (slot, part, i) => {
    words[2 * slot] = part.words![2 * i];
    words[2 * slot + 1] = part.words![2 * i + 1];
  });
  return times;
}
