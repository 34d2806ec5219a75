/**
 * Search by `tags`, the way before TraceQL (spec/api.md §4.4): every pair must hold in the trace. What a pair asks for follows
 * from its key:
 *
 *   well-known keys       a part of the text, anywhere in the trace
 *   http.status_code      an int, anywhere in the trace
 *   status.code           error, ok or (whatever else it says) unset, anywhere in the trace
 *   all others, together  equal strings, all of them in spans of one resource or in that resource
 *
 * Each segment is judged by itself: a trace that is cut in two matches when one of its parts does.
 */
import { decodeAnyValue } from '../block/any-value.ts';
import type { Segment } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import { type Bits, noBits, rowsOf } from './bits.ts';
import { addTraceLines, type TracePlace } from './describe.ts';
import { attributeRows, messageRows } from './condition-rows.ts';
import { eachValue, lineString, messageAttributes, traceHex } from './gather.ts';
import { matchCodes, matchInts, matchStrings } from './match.ts';
import type { Progress } from './progress.ts';
import type { FoundTraceSummary, SearchOutcome } from './results.ts';
import { segmentsInRange } from './tags.ts';
import { attributeTest, stringTest } from './test-value.ts';
import { WELL_KNOWN_KEYS } from './well-known-keys.ts';

export interface TagSearch {
  /** Values by key. None: every trace. */
  tags: ReadonlyMap<string, string>;
  /** Bounds of the trace's duration, both inclusive. */
  minDurationNs?: bigint;
  maxDurationNs?: bigint;
  limit: number;
  startSeconds: number;
  endSeconds: number;
}

interface Candidate {
  id: string;
  /** Nanoseconds since 1970, roughly: to put traces in order. */
  start: number;
  places: TracePlace[];
}

/**
 * The traces that match, newest first, without span sets and services. Segments come newest first; `stop` throws when nobody
 * waits any more.
 */
export async function searchByTags(
  segments: readonly Segment[],
  request: TagSearch,
  stop: () => void,
  progress?: Progress<SearchOutcome>,
): Promise<SearchOutcome> {
  const conditions = conditionsOf(request.tags);
  const candidates = new Map<string, Candidate>();
  let inspectedTraces = 0;
  const visited: Segment[] = [];
  for (const segment of segmentsInRange(segments, request)) {
    stop();
    // Recent data comes first and in no order of time; of blocks, what comes later is older.
    if (!segment.live && candidates.size >= request.limit) break;
    const lines = await segment.lines();
    inspectedTraces += lines.ids.length / 16;
    const wanted = new Uint8Array(lines.ids.length / 16).fill(1);
    for (const condition of conditions) {
      await condition(segment, lines, wanted);
      stop();
    }
    for (const trace of newest(lines, wanted, request)) {
      const id = traceHex(lines, trace);
      const known = candidates.get(id);
      const start = startOf(lines, trace);
      if (known === undefined) {
        candidates.set(id, { id, start, places: [{ segment, trace }] });
      } else {
        known.start = Math.min(known.start, start);
        known.places.push({ segment, trace });
      }
    }
    visited.push(segment);
    await progress?.(visited.length, async () => ({
      traces: await describe(visited, candidates, request, stop),
      inspectedTraces,
    }));
  }
  return { traces: await describe(segments, candidates, request, stop), inspectedTraces };
}

/** The newest of the candidates as their parts in these segments show them. */
async function describe(
  segments: readonly Segment[],
  candidates: Map<string, Candidate>,
  request: TagSearch,
  stop: () => void,
): Promise<FoundTraceSummary[]> {
  const chosen = [...candidates.values()].sort((a, b) => b.start - a.start || (a.id < b.id ? -1 : 1));
  chosen.length = Math.min(chosen.length, request.limit);
  const summaries = chosen.map(({ id }): FoundTraceSummary => ({ traceId: id, startUnixNano: 0n, durationMs: 0 }));
  const ends = await addTraceLines(segments, chosen, summaries, stop);
  return summaries.filter((summary, i) => {
    // With its other parts a trace may be longer than a part of it was.
    const durationNs = ends[i] - summary.startUnixNano;
    return request.maxDurationNs === undefined || durationNs <= request.maxDurationNs;
  });
}

/** Sets the entry of each trace that does not meet the condition to 0. */
type Condition = (segment: Segment, lines: TraceLines, wanted: Uint8Array) => Promise<void>;

const INT64_MAX = 2n ** 63n - 1n;

function conditionsOf(tags: ReadonlyMap<string, string>): Condition[] {
  const conditions: Condition[] = [];
  const others: [string, string][] = [];
  for (const [key, value] of tags) {
    const part = containing(value);
    const place = WELL_KNOWN_KEYS.get(key);
    if (key === 'http.status_code') {
      if (!isInt64(value)) {
        others.push([key, value]);
        continue;
      }
      const test = attributeTest('=', { type: 'int', value: BigInt(value) });
      conditions.push(anywhere((segment, rows) => attributeRows(segment, 'span', key, test, rows)));
    } else if (place === 'resource') {
      conditions.push(anywhere((segment, rows) => messageRows(segment, 'resource', key, { string: part }, rows)));
    } else if (place === 'span') {
      conditions.push(anywhere((segment, rows) => attributeRows(segment, 'span', key, { string: part }, rows)));
    } else if (key === 'name') {
      conditions.push(
        anywhere(async (segment, rows) => {
          const column = await segment.column({ of: 'fixed', field: 'name' });
          if (column !== undefined) matchStrings(column, part, rows);
        }),
      );
    } else if (key === 'root.name') {
      conditions.push(ofRoot((lines, trace) => lineString(lines, lines.rootName[trace]), value));
    } else if (key === 'root.service.name') {
      conditions.push(ofRoot((lines, trace) => lineString(lines, lines.rootService[trace]), value));
    } else if (key === 'status.code') {
      const code = value === 'error' ? 2 : value === 'ok' ? 1 : 0;
      conditions.push(
        anywhere(async (segment, rows) => {
          const column = await segment.column({ of: 'fixed', field: 'status' });
          if (column !== undefined)
            matchInts(column, (status) => (status === 1 || status === 2 ? status : 0) === code, rows);
        }),
      );
    } else others.push([key, value]);
  }
  if (others.length > 0) conditions.push((segment, lines, wanted) => inOneResource(segment, others, lines, wanted));
  return conditions;
}

function isInt64(text: string): boolean {
  if (!/^-?\d{1,19}$/.test(text)) return false;
  const value = BigInt(text);
  return value <= INT64_MAX && value >= -INT64_MAX - 1n;
}

/** Whether a text contains this one; case counts. */
function containing(part: string): (bytes: Uint8Array, from: number, to: number) => boolean {
  const wanted = Buffer.from(part);
  return (bytes, from, to) => Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).includes(wanted);
}

/** Traces with a row that `find` finds. */
function anywhere(find: (segment: Segment, rows: Bits) => Promise<void>): Condition {
  return async (segment, _lines, wanted) => {
    if (!wanted.includes(1)) return;
    const found = noBits(segment.rows);
    await find(segment, found);
    const met = new Uint8Array(wanted.length);
    for (const trace of await segment.tracesOfRows(rowsOf(found))) met[trace] = 1;
    for (let trace = 0; trace < wanted.length; trace++) wanted[trace] &= met[trace];
  };
}

function ofRoot(textOf: (lines: TraceLines, trace: number) => string | undefined, part: string): Condition {
  return async (_segment, lines, wanted) => {
    for (let trace = 0; trace < wanted.length; trace++)
      if (wanted[trace] === 1 && !(textOf(lines, trace) ?? '').includes(part)) wanted[trace] = 0;
  };
}

/** Traces that have a batch (their spans of one resource) where every pair is an attribute of the resource or of a span. */
async function inOneResource(
  segment: Segment,
  pairs: [string, string][],
  lines: TraceLines,
  wanted: Uint8Array,
): Promise<void> {
  if (!wanted.includes(1)) return;
  const traces = lines.ids.length / 16;
  const resources = await resourcesOfRows(segment);
  // A batch is the number resource * traces + trace.
  let batches: Set<number> | undefined;
  const batchesOf = async (rows: Bits): Promise<Set<number>> => {
    const list = rowsOf(rows);
    const of = await segment.tracesOfRows(list);
    const found = new Set<number>();
    for (let i = 0; i < list.length; i++) {
      const batch = resources[list[i]] * traces + of[i];
      if (wanted[of[i]] === 1 && (batches === undefined || batches.has(batch))) found.add(batch);
    }
    return found;
  };
  for (const [key, value] of pairs) {
    const rows = noBits(segment.rows);
    const test = { string: stringTest('=', value) };
    await attributeRows(segment, 'span', key, test, rows);
    await messageRows(segment, 'resource', key, test, rows);
    batches = await batchesOf(rows);
    if (batches.size === 0) break;
  }
  if (batches!.size > 0) {
    const miscounted = await rowsOfRepeatedValues(segment, pairs);
    for (const batch of await batchesOf(miscounted)) batches!.delete(batch);
  }
  const met = new Uint8Array(traces);
  for (const batch of batches!) met[batch % traces] = 1;
  for (let trace = 0; trace < traces; trace++) wanted[trace] &= met[trace];
}

async function resourcesOfRows(segment: Segment): Promise<Uint32Array> {
  const resources = new Uint32Array(segment.rows);
  const column = await segment.column({ of: 'resource' });
  if (column !== undefined)
    eachValue(
      column,
      Uint32Array.from(resources, (_, row) => row),
      (slot, part, index) => {
        resources[slot] = part.codes![index];
      },
    );
  return resources;
}

/**
 * Rows with an array, under one of the keys, that holds several of the values (or one of them several times). The reference
 * counts keys against values in a batch and finds nothing where the counts differ; so do we.
 */
async function rowsOfRepeatedValues(segment: Segment, pairs: [string, string][]): Promise<Bits> {
  const values = new Set(pairs.map(([, value]) => value));
  const repeats = (value: ReturnType<typeof decodeAnyValue>): boolean =>
    value.type === 'array' &&
    value.values.filter((each) => each.type === 'string' && values.has(each.value)).length > 1;
  const rows = noBits(segment.rows);
  const keys = new Set(pairs.map(([key]) => key));
  for (const key of keys) {
    const column = await segment.column({ of: 'attribute', space: 'span', key, type: 'any' });
    if (column !== undefined)
      matchStrings(column, (bytes, from, to) => repeats(decodeAnyValue(bytes.subarray(from, to))), rows);
  }
  const resources = await messageAttributes(segment, 'resource');
  const flags = resources.map((attributes) => attributes.some(({ key, value }) => keys.has(key) && repeats(value)));
  const column = flags.includes(true) ? await segment.column({ of: 'resource' }) : undefined;
  if (column !== undefined) matchCodes(column, Uint8Array.from(flags, Number), rows);
  return rows;
}

/** The wanted traces that overlap the range and last as long as asked, newest first, at most as many as can be in the answer. */
function newest(lines: TraceLines, wanted: Uint8Array, request: TagSearch): number[] {
  const startNs = request.startSeconds * 1e9;
  const endNs = request.endSeconds * 1e9;
  const minNs = Number(request.minDurationNs ?? 0n);
  const maxNs = Number(request.maxDurationNs ?? INT64_MAX);
  const found: number[] = [];
  for (let trace = 0; trace < wanted.length; trace++) {
    if (wanted[trace] === 0 || startOf(lines, trace) > endNs || endOf(lines, trace) < startNs) continue;
    // The difference of the words is exact where that of the times is not.
    const durationNs =
      (lines.endHigh[trace] - lines.startHigh[trace]) * 4294967296 + (lines.endLow[trace] - lines.startLow[trace]);
    if (durationNs >= minNs && durationNs <= maxNs) found.push(trace);
  }
  found.sort((a, b) => startOf(lines, b) - startOf(lines, a));
  return found.slice(0, request.limit);
}

function startOf(lines: TraceLines, trace: number): number {
  return lines.startHigh[trace] * 4294967296 + lines.startLow[trace];
}

function endOf(lines: TraceLines, trace: number): number {
  return lines.endHigh[trace] * 4294967296 + lines.endLow[trace];
}
