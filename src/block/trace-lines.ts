/** The lines of the file `traces`, of a table whose rows are in a block's order. */
import { inRuns } from '../runtime/runs.ts';
import { attributesOf, bytesField, utf8 } from './any-value.ts';
import type { SpanTable, Strings } from './table.ts';
import { emptyLines, numbering, type TraceLines } from './traces-file.ts';

/** What lines of traces are made of. */
export type LinedTable = Pick<
  SpanTable,
  'traceIds' | 'traceStarts' | 'starts' | 'ends' | 'parents' | 'resourceOf' | 'resources' | 'statuses' | 'names'
>;

/** One line a trace: time, root, and spans and errors by service. */
export function traceLines(table: LinedTable): TraceLines {
  const traces = table.traceIds.length / 16;
  const lines = emptyLines(table.traceIds, table.traceStarts);
  const number = numbering(lines.strings);
  const used = usedOf(table.resourceOf, table.resources.length);
  const serviceOf = Uint32Array.from(table.resources, (resource, index) =>
    used[index] === 1 ? number(serviceName(resource)) : 0,
  );
  const tally: Tally = {
    spans: new Uint32Array(lines.strings.length + 1),
    errors: new Uint32Array(lines.strings.length + 1),
    seen: new Uint32Array(lines.strings.length + 1),
    services: 0,
    root: -1,
  };
  const roots = new Int32Array(traces);
  const stats = new Stats(traces);
  inRuns(traces, putLines, table, serviceOf, lines, tally, roots, stats);
  const names = new Uint32Array(table.names.strings.count);
  inRuns(traces, putRoots, table, serviceOf, lines, roots, names, number);
  lines.statService = stats.service.slice(0, stats.count);
  lines.statSpans = stats.spans.slice(0, stats.count);
  lines.statErrors = stats.errors.slice(0, stats.count);
  return lines;
}

function putLines(
  from: number,
  to: number,
  table: LinedTable,
  serviceOf: Uint32Array,
  lines: TraceLines,
  tally: Tally,
  roots: Int32Array,
  stats: Stats,
): void {
  for (let trace = from; trace < to; trace++) {
    traceLine(table, serviceOf, trace, lines, tally);
    roots[trace] = tally.root;
    stats.take(tally);
    lines.firstStat[trace + 1] = stats.count;
  }
}

/** `names`: the number of the text of each code, 0 for one that has none yet. */
function putRoots(
  from: number,
  to: number,
  { names: { codes, strings }, resourceOf }: LinedTable,
  serviceOf: Uint32Array,
  lines: TraceLines,
  roots: Int32Array,
  names: Uint32Array,
  number: (text: string) => number,
): void {
  for (let trace = from; trace < to; trace++) {
    const root = roots[trace];
    if (root < 0) continue;
    lines.rootService[trace] = serviceOf[resourceOf[root]];
    const code = codes[root];
    if (names[code] === 0) names[code] = number(textOf(strings, code));
    lines.rootName[trace] = names[code];
  }
}

/** Spans and errors by service, of one trace after the other. */
class Stats {
  service: Uint32Array;
  spans: Uint32Array;
  errors: Uint32Array;
  count = 0;

  constructor(traces: number) {
    const capacity = Math.max(64, 4 * traces);
    this.service = new Uint32Array(capacity);
    this.spans = new Uint32Array(capacity);
    this.errors = new Uint32Array(capacity);
  }

  /** Adds those of a trace, and sets the tally back. */
  take({ seen, spans, errors, services }: Tally): void {
    if (this.count + services > this.service.length) this.#grow(2 * (this.count + services));
    for (let i = 0; i < services; i++) {
      const service = seen[i];
      this.service[this.count] = service;
      this.spans[this.count] = spans[service];
      this.errors[this.count++] = errors[service];
      spans[service] = 0;
      errors[service] = 0;
    }
  }

  #grow(capacity: number): void {
    this.service = widen(this.service, capacity);
    this.spans = widen(this.spans, capacity);
    this.errors = widen(this.errors, capacity);
  }
}

/** What one trace comes to: spans and errors by service, which services there are, and the row of its root or -1. */
interface Tally {
  spans: Uint32Array;
  errors: Uint32Array;
  seen: Uint32Array;
  services: number;
  root: number;
}

/** Times of one trace into its line, the rest into the tally. */
function traceLine(table: LinedTable, serviceOf: Uint32Array, trace: number, lines: TraceLines, tally: Tally): void {
  const { starts, ends, parents, resourceOf, statuses } = table;
  const { spans, errors, seen } = tally;
  let services = 0;
  let low = 0xffffffff;
  let high = 0xffffffff;
  let endLow = 0;
  let endHigh = 0;
  let root = -1;
  const endRow = table.traceStarts[trace + 1];
  for (let row = table.traceStarts[trace]; row < endRow; row++) {
    const startLow = starts[2 * row] >>> 0;
    const startHigh = starts[2 * row + 1] >>> 0;
    if (startHigh < high || (startHigh === high && startLow < low)) {
      low = startLow;
      high = startHigh;
    }
    const rowEndLow = ends[2 * row] >>> 0;
    const rowEndHigh = ends[2 * row + 1] >>> 0;
    if (rowEndHigh > endHigh || (rowEndHigh === endHigh && rowEndLow > endLow)) {
      endLow = rowEndLow;
      endHigh = rowEndHigh;
    }
    if (parents[row] === 0) root = row;
    const service = serviceOf[resourceOf[row]];
    if (spans[service]++ === 0) seen[services++] = service;
    if (statuses[row] === 2) errors[service]++;
  }
  lines.startLow[trace] = low;
  lines.startHigh[trace] = high;
  lines.endLow[trace] = endLow;
  lines.endHigh[trace] = endHigh;
  tally.services = services;
  tally.root = root;
}

/** The service name of a resource (as a ResourceSpans message); '' when it has none. */
export function serviceName(resource: Uint8Array): string {
  for (const { key, value } of attributesOf(bytesField(resource, 1), 1))
    if (key === 'service.name' && value.type === 'string') return value.value;
  return '';
}

function textOf(strings: Strings, code: number): string {
  const { bytes, starts, ends } = strings;
  return utf8(bytes.subarray(starts[code], ends[code]));
}

function widen(values: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(length);
  wider.set(values);
  return wider;
}

export function secondsOf(lines: TraceLines): { startSeconds: number; endSeconds: number } {
  const bounds = Float64Array.of(Number.POSITIVE_INFINITY, 0);
  inRuns(lines.startLow.length, widenBounds, lines, bounds);
  return { startSeconds: Math.floor(bounds[0] / 1e9), endSeconds: Math.ceil(bounds[1] / 1e9) };
}

function widenBounds(from: number, to: number, lines: TraceLines, bounds: Float64Array): void {
  for (let trace = from; trace < to; trace++) {
    bounds[0] = Math.min(bounds[0], lines.startHigh[trace] * 4294967296 + lines.startLow[trace]);
    bounds[1] = Math.max(bounds[1], lines.endHigh[trace] * 4294967296 + lines.endLow[trace]);
  }
}

/** Which of `total` are named by a row: 1. */
export function usedOf(of: Uint32Array, total: number): Uint8Array {
  const used = new Uint8Array(total);
  inRuns(of.length, mark, of, used);
  return used;
}

function mark(from: number, to: number, of: Uint32Array, used: Uint8Array): void {
  for (let row = from; row < to; row++) used[of[row]] = 1;
}
