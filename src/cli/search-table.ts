/** The JSON of `/api/search` as a table: a line a trace, and on demand the spans that matched. */
import { anyText, type ApiValue } from './api-value.ts';
import { terminalTable } from './table.ts';
import type { Terminal } from './terminal.ts';
import { clean } from './text.ts';
import { bytesText, counted, durationText, timeText } from './units.ts';

interface SearchBody {
  traces?: FoundTrace[];
  metrics?: {
    inspectedTraces?: number;
    inspectedBytes?: string;
    totalBlocks?: number;
    completedJobs?: number;
    totalJobs?: number;
  };
}

interface FoundTrace {
  traceID: string;
  rootServiceName?: string;
  rootTraceName?: string;
  startTimeUnixNano?: string;
  durationMs?: number;
  spanSet?: SpanSet;
  spanSets?: SpanSet[];
  serviceStats?: Record<string, { spanCount?: number; errorCount?: number }>;
}

interface SpanSet {
  spans?: FoundSpan[];
  matched?: number;
  attributes?: ApiAttribute[];
}

interface FoundSpan {
  spanID: string;
  name?: string;
  startTimeUnixNano?: string;
  durationNanos?: string;
  attributes?: ApiAttribute[];
}

interface ApiAttribute {
  key: string;
  value: ApiValue;
}

export interface SearchTableOptions {
  /** List the spans of each trace that the answer holds. */
  spans: boolean;
}

const DATE_WIDTH_MIN = 110;

/** Lines for standard output; none when nothing was found. `summary` is for standard error. */
export function searchLines(
  text: string,
  { spans }: SearchTableOptions,
  { tableWidth, paint, glyphs }: Pick<Terminal, 'tableWidth' | 'paint' | 'glyphs'>,
): { lines: string[]; traces: number; summary: string } {
  const body = JSON.parse(text) as SearchBody;
  const traces = body.traces ?? [];
  const withGroups = traces.some((trace) => setsOf(trace).some((set) => (set.attributes ?? []).length > 0));
  const right = { align: 'right' as const };
  const columns = [
    { title: 'trace id' },
    { title: 'start (UTC)', dropRank: 1 },
    { title: 'duration', ...right },
    { title: 'spans', ...right, dropRank: 3 },
    { title: 'errors', ...right, dropRank: 2 },
    { title: 'matched', ...right, dropRank: 4 },
    { title: 'service', shrinkTo: 10 },
    { title: 'name', shrinkTo: 12 },
    ...(withGroups ? [{ title: 'set', shrinkTo: 24 }] : []),
  ];
  // Where there is no room for the date, traces are mostly of today.
  const timeFrom = tableWidth < DATE_WIDTH_MIN ? 5 : 0;
  const timeTo = tableWidth < DATE_WIDTH_MIN ? 19 : undefined;
  const rows: string[][] = [];
  const below = new Map<number, string[]>();
  for (const trace of traces) {
    const sets = setsOf(trace);
    for (const [index, set] of sets.entries()) {
      const row = index === 0 ? traceCells(trace, paint, (time) => time.slice(timeFrom, timeTo)) : ['', '', '', '', ''];
      const matched = set.matched === undefined ? '' : String(set.matched);
      const names =
        index === 0
          ? [paint.style('bold', clean(trace.rootServiceName ?? '')), clean(trace.rootTraceName ?? '')]
          : ['', ''];
      rows.push([...row, matched, ...names, ...(withGroups ? [setText(set.attributes)] : [])]);
      if (spans)
        below.set(
          rows.length - 1,
          (set.spans ?? []).map((span) => spanText(span)),
        );
    }
  }
  const table = terminalTable(columns, rows, { tableWidth, paint, glyphs });
  const lines = traces.length === 0 ? [] : [table[0]];
  if (traces.length > 0)
    for (let i = 0; i < rows.length; i++) {
      lines.push(table[i + 1]);
      const list = below.get(i) ?? [];
      list.forEach((span, at) => {
        lines.push(`  ${paint.style('dim', at === list.length - 1 ? glyphs.last : glyphs.branch)} ${span}`);
      });
    }
  return { lines, traces: traces.length, summary: summaryOf(traces.length, body.metrics) };
}

function setsOf(trace: FoundTrace): SpanSet[] {
  const sets = trace.spanSets ?? (trace.spanSet === undefined ? [] : [trace.spanSet]);
  return sets.length === 0 ? [{}] : sets;
}

function traceCells(trace: FoundTrace, paint: Terminal['paint'], shortened: (time: string) => string): string[] {
  const stats = Object.values(trace.serviceStats ?? {});
  const spans = stats.reduce((sum, each) => sum + (each.spanCount ?? 0), 0);
  const errors = stats.reduce((sum, each) => sum + (each.errorCount ?? 0), 0);
  return [
    trace.traceID,
    shortened(timeText(Number(BigInt(trace.startTimeUnixNano ?? '0') / 1_000_000n))),
    trace.durationMs === undefined ? '<1ms' : durationText(trace.durationMs * 1e6),
    spans === 0 ? '' : String(spans),
    errors === 0 ? '' : paint.style('error', String(errors)),
  ];
}

function spanText(span: FoundSpan): string {
  const duration = durationText(Number(span.durationNanos ?? '0'));
  return [span.spanID, duration.padStart(6), clean(span.name ?? ''), attributesText(span.attributes)]
    .filter((part) => part !== '')
    .join('  ');
}

function attributesText(attributes: ApiAttribute[] = []): string {
  return attributes.map(({ key, value }) => `${clean(key)}=${clean(anyText(value))}`).join(' ');
}

/** Of `by()` the value says enough: `catalog count()=2`. */
function setText(attributes: ApiAttribute[] = []): string {
  return attributes
    .map(({ key, value }) => `${key.startsWith('by(') ? '' : `${clean(key)}=`}${clean(anyText(value))}`)
    .join(' ');
}

function summaryOf(traces: number, metrics: SearchBody['metrics'] = {}): string {
  const read = Number(metrics.inspectedBytes ?? 0);
  const parts = [
    ...(traces > 0 ? [counted(traces, 'trace')] : []),
    ...(metrics.inspectedTraces ? [`${counted(metrics.inspectedTraces, 'trace')} looked at`] : []),
    ...(metrics.totalBlocks ? [counted(metrics.totalBlocks, 'block')] : []),
    ...(read > 0 ? [`${bytesText(read)} read`] : []),
    ...(metrics.completedJobs !== metrics.totalJobs
      ? [`${metrics.completedJobs ?? 0} of ${metrics.totalJobs} jobs done`]
      : []),
  ];
  return parts.join(', ');
}
