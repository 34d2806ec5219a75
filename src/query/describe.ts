/** Describes the traces of a search result: times, root and services from the lists of traces, spans from their columns. */
import type { Segment } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import { eachValue, gather, lineString, type Read, rangeOf, traceEnd, traceStart } from './gather.ts';
import { type Listings, listedValues } from './listed-values.ts';
import type { FoundAttribute, FoundSpan, FoundTraceSummary } from './results.ts';
import { traceNumbers } from './trace-numbers.ts';

/** A trace in a segment that holds all or a part of it. */
export interface TracePlace {
  segment: Segment;
  /** Its number in `segment.lines()`. */
  trace: number;
}

export interface DescribedTrace {
  /** 32 hex digits. */
  id: string;
  idBytes: Uint8Array;
  places: TracePlace[];
}

/** A span set of a result: some rows, perhaps of several segments. */
export interface DescribedSet {
  rows: { segment: Segment; rows: Uint32Array }[];
  attributes: FoundAttribute[];
}

/**
 * The traces with their span sets, `spansMax` spans of each listed. `elsewhere` are segments that may hold more of any of the
 * traces than their places say.
 */
export async function describeTraces(
  chosen: readonly (DescribedTrace & { sets: DescribedSet[] })[],
  elsewhere: readonly Segment[],
  listings: Listings,
  spansMax: number,
  stop: () => void,
): Promise<FoundTraceSummary[]> {
  const summaries = new Map<string, FoundTraceSummary>();
  for (const { id } of chosen)
    summaries.set(id, { traceId: id, startUnixNano: 0n, durationMs: 0, spanSets: [], serviceStats: new Map() });
  await addTraceLines(elsewhere, chosen, summaries);
  stop();
  // Listed rows of all traces, segment by segment, so that each column is read once and in order.
  const listed = new Map<Segment, ListedRow[]>();
  for (const { id, sets } of chosen) {
    const { spanSets } = summaries.get(id)!;
    for (const { rows, attributes } of sets) {
      const spans: FoundSpan[] = [];
      let matched = 0;
      for (const { segment, rows: of } of rows) {
        const list = listed.get(segment) ?? [];
        listed.set(segment, list);
        for (let i = 0; i < of.length && matched + i < spansMax; i++) list.push({ row: of[i], spans });
        matched += of.length;
      }
      spanSets!.push(attributes.length === 0 ? { spans, matched } : { spans, matched, attributes });
    }
  }
  for (const [segment, rows] of listed) {
    stop();
    await addSpans(segment, listings, rows);
  }
  return [...summaries.values()];
}

/**
 * Time, root and (where the summary wants them) services of each trace, over its places and the other segments that hold a
 * part of it. Returns the end of each trace.
 */
export async function addTraceLines(
  elsewhere: readonly Segment[],
  chosen: readonly DescribedTrace[],
  summaries: Map<string, FoundTraceSummary>,
): Promise<Map<string, bigint>> {
  const ends = new Map<string, bigint>();
  for (const { id, places } of chosen)
    for (const { segment, trace } of places) addLine(await segment.lines(), trace, summaries.get(id)!, ends);
  const ids = chosen.map(({ idBytes }) => idBytes);
  for (const segment of elsewhere) {
    const numbers = await traceNumbers(segment, ids);
    for (let i = 0; i < numbers.length; i++)
      if (numbers[i] >= 0 && !chosen[i].places.some((place) => place.segment === segment))
        addLine(await segment.lines(), numbers[i], summaries.get(chosen[i].id)!, ends);
  }
  for (const [id, summary] of summaries) {
    const duration = (ends.get(id) ?? summary.startUnixNano) - summary.startUnixNano;
    summary.durationMs = duration > 0n ? Number(duration / 1_000_000n) : 0;
  }
  return ends;
}

function addLine(lines: TraceLines, trace: number, summary: FoundTraceSummary, ends: Map<string, bigint>): void {
  const start = traceStart(lines, trace);
  const end = traceEnd(lines, trace);
  if (!ends.has(summary.traceId) || start < summary.startUnixNano) summary.startUnixNano = start;
  const known = ends.get(summary.traceId);
  if (known === undefined || end > known) ends.set(summary.traceId, end);
  const service = lineString(lines, lines.rootService[trace]);
  if (lines.rootName[trace] !== 0 || service !== undefined) {
    // A root without a service is shown like an unknown one.
    summary.rootServiceName = service || undefined;
    summary.rootTraceName = lineString(lines, lines.rootName[trace]);
  }
  const stats = summary.serviceStats;
  if (stats === undefined) return;
  for (let stat = lines.firstStat[trace]; stat < lines.firstStat[trace + 1]; stat++) {
    const name = lineString(lines, lines.statService[stat]) ?? '';
    const before = stats.get(name);
    if (before === undefined) stats.set(name, { spanCount: lines.statSpans[stat], errorCount: lines.statErrors[stat] });
    else {
      before.spanCount += lines.statSpans[stat];
      before.errorCount += lines.statErrors[stat];
    }
  }
}

interface ListedRow {
  row: number;
  /** The list of the span set that the row belongs to. */
  spans: FoundSpan[];
}

/** Adds the listed spans of one segment to their sets. */
async function addSpans(segment: Segment, listings: Listings, listed: ListedRow[]): Promise<void> {
  if (listed.length === 0) return;
  listed.sort((a, b) => a.row - b.row);
  const rows = Uint32Array.from(listed, ({ row }) => row);
  const ids = await gather(segment, { type: 'intrinsic', name: 'span:id', offset: 0 }, rows);
  const durations = await gather(segment, { type: 'intrinsic', name: 'duration', offset: 0 }, rows);
  const starts = await startsAt(segment, rows);
  const names = listings.name && (await listedValues(segment, listings.name, rows));
  const values: (FoundAttribute | undefined)[][] = [];
  for (const listing of listings.attributes) values.push(await listedValues(segment, listing, rows));
  for (let slot = 0; slot < listed.length; slot++) {
    const span: FoundSpan = {
      spanId: textOf(ids[slot]),
      startUnixNano: starts[slot],
      durationNs: nsOf(durations[slot]),
      attributes: [],
    };
    const name = names?.[slot]?.value;
    if (name?.type === 'string') span.name = name.value;
    for (const of of values) if (of[slot] !== undefined) span.attributes.push(of[slot]!);
    listed[slot].spans.push(span);
  }
}

/** Nanoseconds since 1970 at which the spans of the ascending rows start. */
export async function startsAt(segment: Segment, rows: Uint32Array): Promise<bigint[]> {
  const column = await segment.column({ of: 'fixed', field: 'start' }, rangeOf(rows), { rows });
  const starts: bigint[] = [];
  eachValue(column!, rows, (slot, part, i) => {
    starts[slot] = (BigInt(part.words![2 * i + 1] >>> 0) << 32n) | BigInt(part.words![2 * i] >>> 0);
  });
  return starts;
}

function textOf(value: Read): string {
  return value !== undefined && !Array.isArray(value) && value.type === 'string' ? value.value : '';
}

function nsOf(value: Read): bigint {
  return value !== undefined && !Array.isArray(value) && value.type === 'duration' ? value.ns : 0n;
}
