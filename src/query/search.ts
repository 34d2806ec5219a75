/**
 * Search: evaluates a query on segments, newest first, until enough traces are found, and describes the traces. A trace of
 * which several segments hold spans is one trace in the answer.
 *
 *   segments ─▶ rows of each filter ─▶ traces (in time?) ─▶ enough? ─▶ other fragments of these traces ─▶ describe
 */
import type { Segment } from '../block/segment.ts';
import { findTrace, type TraceLines } from '../block/traces-file.ts';
import { xxhash64 } from '../parquet/xxhash64.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Query, SpansetExpr, StaticValue } from '../traceql/ast.ts';
import { listedName, type Read as QueryRead, readsOfPipeline } from '../traceql/conditions.ts';
import { formatDuration } from '../traceql/duration.ts';
import { applyBinary } from '../traceql/values.ts';
import { rowsOf } from './bits.ts';
import { filterRows } from './filter.ts';
import { eachValue, gather, lineString, type Read, traceEnd, traceHex, traceStart } from './gather.ts';
import type { Progress } from './progress.ts';
import type { FoundAttribute, FoundSpan, FoundTraceSummary, SearchOutcome } from './results.ts';

export interface SearchOptions {
  limit: number;
  spansPerSpanSet: number;
  startSeconds: number;
  endSeconds: number;
  /** Throws when the client has gone or time is up. */
  stop: () => void;
  progress?: Progress<SearchOutcome>;
}

/** Rows that a filter of the query found in one segment, by trace. */
interface Fragment {
  segment: Segment;
  trace: number;
  /** Rows of each filter (leaf) of the query, ascending. */
  leaves: (Uint32Array | undefined)[];
}

interface Candidate {
  id: string;
  idBytes: Uint8Array;
  start: bigint;
  fragments: Fragment[];
}

/** The traces that match, newest first. Segments come newest first. */
export async function searchTraces(
  segments: readonly Segment[],
  query: Query,
  options: SearchOptions,
): Promise<SearchOutcome> {
  const expression = spansetOf(query);
  const filters = filtersOf(expression);
  const single = filters.length === 1;
  const candidates = new Map<string, Candidate>();
  const visited = new Set<Segment>();
  let inspectedTraces = 0;
  const soFar = async (): Promise<SearchOutcome> => {
    const chosen = choose(candidates, expression, filters, options);
    return { traces: await describe([...visited], query, expression, filters, options, chosen), inspectedTraces };
  };
  for (const segment of segments) {
    options.stop();
    if (segment.endSeconds < options.startSeconds || segment.startSeconds > options.endSeconds) continue;
    visited.add(segment);
    inspectedTraces += await collect(segment, filters, options, candidates);
    await options.progress?.(visited.size, soFar);
    // Segments are in order of time: what comes later is older. Queries of several spansets need all their parts.
    if (single && candidates.size >= options.limit && !segments.some((other) => other.live && !visited.has(other)))
      break;
  }
  const chosen = choose(candidates, expression, filters, options);
  await completeFragments(segments, visited, filters, options, chosen);
  const traces = await describe(segments, query, expression, filters, options, chosen);
  return { traces, inspectedTraces };
}

/** The newest candidates that match, as many as are wanted. */
function choose(
  candidates: Map<string, Candidate>,
  expression: SpansetExpr,
  filters: Filter[],
  options: SearchOptions,
): Candidate[] {
  let chosen = [...candidates.values()];
  if (filters.length > 1) chosen = chosen.filter((candidate) => isMatch(expression, filters, candidate));
  chosen.sort((a, b) => (a.start < b.start ? 1 : a.start > b.start ? -1 : a.id < b.id ? -1 : 1));
  chosen.length = Math.min(chosen.length, options.limit);
  return chosen;
}

/** The first stage's spanset expression; a query that begins otherwise starts from everything. */
function spansetOf(query: Query): SpansetExpr {
  const first = query.pipeline[0];
  const rest = query.pipeline.slice(1);
  if (rest.some((stage) => stage.type !== 'select') || (first.type !== 'spanset' && first.type !== 'select'))
    throw new VivaceError('unsupported', 'cannot run this query: only filters and select() can be searched for so far');
  return first.type === 'spanset'
    ? first.expression
    : { type: 'filter', expression: { type: 'static', value: { type: 'bool', value: true }, offset: 0 }, offset: 0 };
}

type Filter = Extract<SpansetExpr, { type: 'filter' }>;

function filtersOf(expression: SpansetExpr): Filter[] {
  const filters: Filter[] = [];
  const waiting: SpansetExpr[] = [expression];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.type === 'filter') filters.push(next);
    else if (next.type === 'spansetBinary' && (next.op === '&&' || next.op === '||'))
      waiting.push(next.right, next.left);
    else
      throw new VivaceError(
        'unsupported',
        'cannot run this query: structural operators can not be searched for so far',
      );
  }
  return filters;
}

/** Adds the segment's matching traces to the candidates; returns how many traces were looked at. */
async function collect(
  segment: Segment,
  filters: Filter[],
  options: SearchOptions,
  candidates: Map<string, Candidate>,
): Promise<number> {
  const found = new Map<number, (Uint32Array | undefined)[]>();
  for (let leaf = 0; leaf < filters.length; leaf++) {
    const rows = rowsOf(await filterRows(segment, filters[leaf].expression));
    options.stop();
    if (rows.length === 0) continue;
    for (const [trace, of] of groupByTrace(rows, await segment.tracesOfRows(rows))) {
      const leaves = found.get(trace) ?? new Array(filters.length).fill(undefined);
      leaves[leaf] = of;
      found.set(trace, leaves);
    }
  }
  if (found.size === 0) return 0;
  const lines = await segment.lines();
  for (const [trace, leaves] of newestFirst(lines, found, options)) {
    const id = traceHex(lines, trace);
    const known = candidates.get(id);
    const start = traceStart(lines, trace);
    if (known === undefined)
      candidates.set(id, {
        id,
        idBytes: lines.ids.slice(16 * trace, 16 * trace + 16),
        start,
        fragments: [{ segment, trace, leaves }],
      });
    else {
      known.fragments.push({ segment, trace, leaves });
      if (start < known.start) known.start = start;
    }
  }
  return lines.ids.length / 16;
}

function groupByTrace(rows: Uint32Array, traces: Uint32Array): Map<number, Uint32Array> {
  const groups = new Map<number, Uint32Array>();
  let ascending = true;
  for (let i = 1; i < traces.length && ascending; i++) ascending = traces[i] >= traces[i - 1];
  if (ascending) {
    for (let from = 0; from < rows.length; ) {
      let to = from + 1;
      while (to < rows.length && traces[to] === traces[from]) to++;
      groups.set(traces[from], rows.subarray(from, to));
      from = to;
    }
    return groups;
  }
  const lists = new Map<number, number[]>();
  for (let i = 0; i < rows.length; i++) {
    const list = lists.get(traces[i]);
    if (list === undefined) lists.set(traces[i], [rows[i]]);
    else list.push(rows[i]);
  }
  for (const [trace, list] of lists) groups.set(trace, Uint32Array.from(list));
  return groups;
}

/** The traces that overlap the range, newest first, at most as many as can be in the answer. */
function newestFirst<V>(lines: TraceLines, found: Map<number, V>, options: SearchOptions): [number, V][] {
  const startNs = BigInt(options.startSeconds) * 1_000_000_000n;
  const endNs = BigInt(options.endSeconds) * 1_000_000_000n;
  const keyed: { trace: number; value: V; start: number }[] = [];
  for (const [trace, value] of found) {
    if (traceStart(lines, trace) > endNs || traceEnd(lines, trace) < startNs) continue;
    keyed.push({ trace, value, start: lines.startHigh[trace] * 4294967296 + lines.startLow[trace] });
  }
  keyed.sort((a, b) => b.start - a.start);
  return keyed.slice(0, options.limit).map(({ trace, value }) => [trace, value]);
}

/** Whether the combination of spansets is not empty for the trace. */
function isMatch(expression: SpansetExpr, filters: Filter[], candidate: Candidate): boolean {
  const holds = (each: SpansetExpr): boolean => {
    if (each.type === 'filter') {
      const leaf = filters.indexOf(each);
      return candidate.fragments.some((fragment) => fragment.leaves[leaf] !== undefined);
    }
    if (each.type !== 'spansetBinary') return false;
    return each.op === '&&' ? holds(each.left) && holds(each.right) : holds(each.left) || holds(each.right);
  };
  return holds(expression);
}

/** Segments that were not looked at may hold matching spans of the chosen traces. */
async function completeFragments(
  segments: readonly Segment[],
  visited: Set<Segment>,
  filters: Filter[],
  options: SearchOptions,
  chosen: Candidate[],
): Promise<void> {
  for (const segment of segments) {
    if (visited.has(segment)) continue;
    options.stop();
    const here: { candidate: Candidate; trace: number }[] = [];
    for (const candidate of chosen) {
      if (!(await segment.mayHold(candidate.idBytes))) continue;
      const trace = await numberOf(segment, candidate.idBytes);
      if (trace >= 0) here.push({ candidate, trace });
    }
    if (here.length === 0) continue;
    for (let leaf = 0; leaf < filters.length; leaf++) {
      const rows = rowsOf(await filterRows(segment, filters[leaf].expression));
      const groups = groupByTrace(rows, await segment.tracesOfRows(rows));
      for (const { candidate, trace } of here) {
        const found = groups.get(trace);
        if (found === undefined) continue;
        let fragment = candidate.fragments.find((each) => each.segment === segment);
        if (fragment === undefined) {
          fragment = { segment, trace, leaves: new Array(filters.length).fill(undefined) };
          candidate.fragments.push(fragment);
        }
        fragment.leaves[leaf] = found;
      }
    }
  }
}

export async function numberOf(segment: Segment, id: Uint8Array): Promise<number> {
  return segment.traceNumber === undefined ? findTrace((await segment.lines()).ids, id) : segment.traceNumber(id);
}

async function describe(
  segments: readonly Segment[],
  query: Query,
  expression: SpansetExpr,
  filters: Filter[],
  options: SearchOptions,
  chosen: Candidate[],
): Promise<FoundTraceSummary[]> {
  const reads = readsOfPipeline(query.pipeline);
  const summaries = new Map<string, FoundTraceSummary>();
  for (const candidate of chosen) summaries.set(candidate.id, emptySummary(candidate.id));
  await addTraceLines(segments, chosen, summaries);
  options.stop();
  // Listed rows of all chosen traces, segment by segment, so that each column is read once and in order.
  const listed = new Map<Segment, { row: number; summary: FoundTraceSummary }[]>();
  for (const candidate of chosen) {
    const summary = summaries.get(candidate.id)!;
    const spanSet = summary.spanSets![0];
    let left = options.spansPerSpanSet;
    for (const fragment of candidate.fragments) {
      const rows = rowsOfSpanset(expression, filters, candidate, fragment);
      spanSet.matched += rows.length;
      for (let i = 0; i < rows.length && left > 0; i++, left--) {
        const list = listed.get(fragment.segment);
        if (list === undefined) listed.set(fragment.segment, [{ row: rows[i], summary }]);
        else list.push({ row: rows[i], summary });
      }
    }
  }
  for (const [segment, rows] of listed) {
    options.stop();
    await addSpans(segment, reads, rows);
  }
  return chosen.map((candidate) => summaries.get(candidate.id)!);
}

function emptySummary(id: string): FoundTraceSummary {
  return {
    traceId: id,
    startUnixNano: 0n,
    durationMs: 0,
    spanSets: [{ spans: [], matched: 0 }],
    serviceStats: new Map(),
  };
}

/**
 * Time, root and (where the summary wants them) services of each trace, over all segments that hold a part of it. Returns the
 * end of each trace.
 */
export async function addTraceLines(
  segments: readonly Segment[],
  chosen: readonly { id: string; idBytes: Uint8Array; fragments: { segment: Segment; trace: number }[] }[],
  summaries: Map<string, FoundTraceSummary>,
): Promise<Map<string, bigint>> {
  const ends = new Map<string, bigint>();
  // One hash a trace serves the filters of all blocks: there may be thousands of traces and of blocks.
  const hashes = chosen.map(({ idBytes }) => {
    const hash = new Int32Array(2);
    xxhash64(idBytes, 0, 16, hash);
    return hash;
  });
  for (const segment of segments) {
    let lines: TraceLines | undefined;
    const mayHold = await segment.mayHoldHash?.();
    for (let i = 0; i < chosen.length; i++) {
      const candidate = chosen[i];
      let trace = -1;
      for (const fragment of candidate.fragments) if (fragment.segment === segment) trace = fragment.trace;
      if (trace < 0) {
        if (mayHold !== undefined && !mayHold(hashes[i])) continue;
        trace = await numberOf(segment, candidate.idBytes);
      }
      if (trace < 0) continue;
      lines ??= await segment.lines();
      addLine(lines, trace, summaries.get(candidate.id)!, ends);
    }
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

/** The fragment's rows in the combination of spansets: && and || both unite, once && is known to hold. */
function rowsOfSpanset(
  expression: SpansetExpr,
  filters: Filter[],
  candidate: Candidate,
  fragment: Fragment,
): Uint32Array {
  if (expression.type === 'filter') return fragment.leaves[0] ?? new Uint32Array(0);
  const rows = new Set<number>();
  const add = (each: SpansetExpr): void => {
    if (each.type === 'filter') for (const row of fragment.leaves[filters.indexOf(each)] ?? []) rows.add(row);
    else if (each.type === 'spansetBinary') {
      if (each.op === '&&' && !(isMatch(each.left, filters, candidate) && isMatch(each.right, filters, candidate)))
        return;
      add(each.left);
      add(each.right);
    }
  };
  add(expression);
  return Uint32Array.from(rows).sort();
}

/** Adds the listed spans of one segment to their traces' span sets. */
async function addSpans(
  segment: Segment,
  reads: QueryRead[],
  listed: { row: number; summary: FoundTraceSummary }[],
): Promise<void> {
  listed.sort((a, b) => a.row - b.row);
  const rows = Uint32Array.from(listed, ({ row }) => row);
  const ids = await gather(segment, { type: 'intrinsic', name: 'span:id', offset: 0 }, rows);
  const durations = await gather(segment, { type: 'intrinsic', name: 'duration', offset: 0 }, rows);
  const starts = await startsOf(segment, rows);
  const wantsName = reads.some((read) => read.reference.type === 'intrinsic' && read.reference.name === 'name');
  const names = wantsName ? await gather(segment, { type: 'intrinsic', name: 'name', offset: 0 }, rows) : undefined;
  const values: { key: string; read: QueryRead; of: Read[] }[] = [];
  for (const read of reads)
    if (read.listed)
      values.push({ key: listedName(read.reference), read, of: await gather(segment, read.reference, rows) });
  listed.forEach(({ summary }, slot) => {
    const span: FoundSpan = {
      spanId: textOf(ids[slot]),
      startUnixNano: starts[slot],
      durationNs: nsOf(durations[slot]),
      attributes: [],
    };
    if (names !== undefined) span.name = textOf(names[slot]);
    for (const { key, read, of } of values) {
      const attribute = listedValue(key, read, of[slot]);
      if (attribute !== undefined && !span.attributes.some((each) => each.key === key)) span.attributes.push(attribute);
    }
    summary.spanSets![0].spans.push(span);
  });
}

async function startsOf(segment: Segment, rows: Uint32Array): Promise<bigint[]> {
  const column = await segment.column(
    { of: 'fixed', field: 'start' },
    { from: rows[0], to: rows[rows.length - 1] + 1 },
    { rows },
  );
  const starts: bigint[] = [];
  eachValue(column!, rows, (slot, part, i) => {
    starts[slot] = (BigInt(part.words![2 * i + 1] >>> 0) << 32n) | BigInt(part.words![2 * i] >>> 0);
  });
  return starts;
}

/** A value is listed when it is read for itself or satisfies one of the conditions on it; of an array, the elements that do. */
function listedValue(key: string, read: QueryRead, value: Read): FoundAttribute | undefined {
  if (value === undefined) return undefined;
  const holds = (each: StaticValue): boolean =>
    read.untyped ||
    read.conditions.some((condition) => {
      if (!sameType(each, condition.value) && read.reference.type === 'attribute') return false;
      const result = applyBinary(condition.op, each, condition.value);
      return result?.type === 'bool' && result.value;
    });
  if (!Array.isArray(value)) return holds(value) ? { key, value: shown(value) } : undefined;
  const kept = value.filter(holds);
  if (kept.length === 0) return undefined;
  const child =
    read.reference.type === 'intrinsic' || read.reference.scope === 'event' || read.reference.scope === 'link';
  // Of several events or links the last one is shown.
  if (child) return { key, value: shown(kept[kept.length - 1]) };
  return { key, value: kept.length === 1 ? shown(kept[0]) : { type: 'array', values: kept.map(shown) } };
}

function sameType(value: StaticValue, literal: StaticValue): boolean {
  return value.type === literal.type;
}

function shown(value: StaticValue): FoundAttribute['value'] {
  switch (value.type) {
    case 'int':
      return { type: 'int', value: value.value };
    case 'float':
      return { type: 'double', value: value.value };
    case 'bool':
      return { type: 'bool', value: value.value };
    case 'duration':
      return { type: 'string', value: formatDuration(value.ns) };
    case 'nil':
      return { type: 'string', value: 'nil' };
    default:
      return { type: 'string', value: value.value };
  }
}

function textOf(value: Read): string {
  return value !== undefined && !Array.isArray(value) && value.type === 'string' ? value.value : '';
}

function nsOf(value: Read): bigint {
  return value !== undefined && !Array.isArray(value) && value.type === 'duration' ? value.ns : 0n;
}
