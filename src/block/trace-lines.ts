/** The lines of the file `traces`, of a table whose rows are in a block's order. */
import { attributesOf, bytesField, utf8 } from './any-value.ts';
import type { SpanTable, Strings } from './table.ts';
import type { TraceLines } from './traces-file.ts';

/** What lines of traces are made of. */
export type LinedTable = Pick<
  SpanTable,
  'traceIds' | 'traceStarts' | 'starts' | 'ends' | 'parents' | 'resourceOf' | 'resources' | 'statuses' | 'names'
>;

/** One line a trace: time, root, and spans and errors by service. */
export function traceLines(table: LinedTable): TraceLines {
  const traces = table.traceIds.length / 16;
  const lines: TraceLines = {
    ids: table.traceIds,
    firstRow: table.traceStarts,
    startLow: new Uint32Array(traces),
    startHigh: new Uint32Array(traces),
    endLow: new Uint32Array(traces),
    endHigh: new Uint32Array(traces),
    rootService: new Uint32Array(traces),
    rootName: new Uint32Array(traces),
    firstStat: new Uint32Array(traces + 1),
    statService: new Uint32Array(0),
    statSpans: new Uint32Array(0),
    statErrors: new Uint32Array(0),
    strings: [],
  };
  const strings = new Map<string, number>();
  const number = (text: string): number => {
    let found = strings.get(text);
    if (found === undefined) {
      found = strings.size + 1;
      strings.set(text, found);
      lines.strings.push(text);
    }
    return found;
  };
  const used = usedOf(table.resourceOf, table.resources.length);
  const serviceOf = Uint32Array.from(table.resources, (resource, index) =>
    used[index] === 1 ? number(serviceName(resource)) : 0,
  );
  const names = new Uint32Array(table.names.strings.count);
  const tally: Tally = {
    spans: new Uint32Array(strings.size + 1),
    errors: new Uint32Array(strings.size + 1),
    seen: new Uint32Array(strings.size + 1),
    services: 0,
    root: -1,
  };
  const { spans, errors, seen } = tally;
  let stats = 0;
  let capacity = Math.max(64, 4 * traces);
  let statService = new Uint32Array(capacity);
  let statSpans = new Uint32Array(capacity);
  let statErrors = new Uint32Array(capacity);
  for (let trace = 0; trace < traces; trace++) {
    traceLine(table, serviceOf, trace, lines, tally);
    const { root, services } = tally;
    if (root >= 0) {
      lines.rootService[trace] = serviceOf[table.resourceOf[root]];
      const code = table.names.codes[root];
      if (names[code] === 0) names[code] = number(textOf(table.names.strings, code));
      lines.rootName[trace] = names[code];
    }
    if (stats + services > capacity) {
      capacity = 2 * (stats + services);
      statService = widen(statService, capacity);
      statSpans = widen(statSpans, capacity);
      statErrors = widen(statErrors, capacity);
    }
    for (let i = 0; i < services; i++) {
      const service = seen[i];
      statService[stats] = service;
      statSpans[stats] = spans[service];
      statErrors[stats++] = errors[service];
      spans[service] = 0;
      errors[service] = 0;
    }
    lines.firstStat[trace + 1] = stats;
  }
  lines.statService = statService.slice(0, stats);
  lines.statSpans = statSpans.slice(0, stats);
  lines.statErrors = statErrors.slice(0, stats);
  return lines;
}

/** What one trace comes to: spans and errors by service, which services there are, and the row of its root or -1. */
interface Tally {
  spans: Uint32Array;
  errors: Uint32Array;
  seen: Uint32Array;
  services: number;
  root: number;
}

/**
 * Times of one trace into its line, the rest into the tally. A function of its own because it is compiled once for good;
 * a loop inside a function that runs once a block was compiled anew for every block (10 ms each).
 */
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
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (let trace = 0; trace < lines.startLow.length; trace++) {
    start = Math.min(start, lines.startHigh[trace] * 4294967296 + lines.startLow[trace]);
    end = Math.max(end, lines.endHigh[trace] * 4294967296 + lines.endLow[trace]);
  }
  return { startSeconds: Math.floor(start / 1e9), endSeconds: Math.ceil(end / 1e9) };
}

/** Which of `total` are named by a row: 1. */
export function usedOf(of: Uint32Array, total: number): Uint8Array {
  const used = new Uint8Array(total);
  for (let row = 0; row < of.length; row++) used[of[row]] = 1;
  return used;
}
