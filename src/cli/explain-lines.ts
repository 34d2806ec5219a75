/** The answer of `/api/explain` as text: the plan, where the time went, and what was read of which segment and column. */
import type { ColumnExplanation, Explanation, SegmentExplanation } from '../serve/queries.ts';
import { terminalTable } from './table.ts';
import type { Terminal } from './terminal.ts';
import { clean } from './text.ts';
import { bytesText, counted, countText, durationText } from './units.ts';

type Look = Pick<Terminal, 'tableWidth' | 'paint' | 'glyphs'>;

const BAR_COLUMNS = 20;
const SEGMENTS_MAX = 20;
const COLUMNS_MAX = 20;

export function explainLines(text: string, look: Look): string[] {
  const { explain = [] } = JSON.parse(text) as { explain?: Explanation[] };
  return explain.flatMap((each, index) => [...(index > 0 ? [''] : []), ...oneLines(each, look)]);
}

function oneLines(explanation: Explanation, look: Look): string[] {
  const { tenant, computedMs, waitedMs, blocks, segments } = explanation;
  const { paint } = look;
  const bold = (title: string): string => paint.style('bold', title);
  const outside = blocks.known - blocks.wanted;
  const states = (['read', 'pruned', 'missing'] as const)
    .map((state) => ({ state, count: segments.filter((segment) => segment.state === state).length }))
    .filter(({ count }) => count > 0)
    .map(({ state, count }) => `${countText(count)} ${state}`);
  const head = [
    `tenant ${clean(tenant)}`,
    `${bold(durationText(computedMs * 1e6))} computing`,
    `${durationText(waitedMs * 1e6)} waiting`,
    `${counted(segments.length, 'segment')}${states.length > 0 ? `: ${states.join(', ')}` : ''}`,
    ...(outside > 0 ? [`${counted(outside, 'block')} out of the range of time`] : []),
  ];
  return [
    head.join('  '),
    ...section(bold('plan'), planLines(explanation, look)),
    ...section(bold('time'), timeLines(explanation, look)),
    ...section(bold('segments'), segmentLines(segments, look)),
    ...section(bold('columns, all segments together'), columnLines(segments, look)),
  ];
}

function section(title: string, lines: string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines];
}

function planLines({ plan }: Explanation, { paint, glyphs }: Look): string[] {
  return plan.flatMap(({ stage, reads }, index) => [
    `${String(index + 1).padStart(2)}  ${clean(stage)}`,
    ...reads.map(({ what, conditions, listed }, at) => {
      const mark = at === reads.length - 1 ? glyphs.last : glyphs.branch;
      const wanted = conditions.map((condition) => ` ${condition}`).join(' or');
      return `    ${paint.style('dim', mark)} reads ${clean(what)}${clean(wanted)}${listed ? '' : paint.style('dim', ', not listed')}`;
    }),
  ]);
}

/** Longest first. */
function timeLines({ phases, computedMs }: Explanation, look: Look): string[] {
  const rows = phases
    .toSorted((a, b) => b.ms - a.ms)
    .map(({ name, ms }) => {
      const share = computedMs > 0 ? Math.min(1, ms / computedMs) : 0;
      const bar = look.glyphs.barFull.repeat(Math.round(share * BAR_COLUMNS));
      return [clean(name), msText(ms), `${Math.round(100 * share)}%`, look.paint.service(0, bar)];
    });
  const right = { align: 'right' as const };
  return terminalTable(
    [{ title: 'what', shrinkTo: 20 }, { title: 'time', ...right }, { title: '', ...right }, { title: '' }],
    rows,
    look,
  );
}

/** What was read first, most bytes first. */
function segmentLines(segments: readonly SegmentExplanation[], look: Look): string[] {
  const ranks: Record<SegmentExplanation['state'], number> = { missing: 0, read: 1, pruned: 2 };
  const ordered = segments.toSorted((a, b) => ranks[a.state] - ranks[b.state] || b.bytesRead - a.bytesRead);
  const rows = ordered
    .slice(0, SEGMENTS_MAX)
    .map(({ name, kind, rows, bytes, state, bytesRead, columns }) => [
      state === 'missing' ? look.paint.style('error', state) : state,
      kind,
      clean(name),
      countText(rows),
      bytesText(bytes),
      bytesRead === 0 ? '' : bytesText(bytesRead),
      msText(columns.reduce((sum, { readMs, useMs }) => sum + readMs + useMs, 0)),
    ]);
  if (rows.length === 0) return [];
  const right = { align: 'right' as const };
  const lines = terminalTable(
    [
      { title: 'state' },
      { title: 'kind', dropRank: 1 },
      { title: 'segment', shrinkTo: 12 },
      { title: 'spans', ...right },
      { title: 'size', ...right, dropRank: 2 },
      { title: 'read', ...right },
      { title: 'time', ...right },
    ],
    rows,
    look,
  );
  if (segments.length > SEGMENTS_MAX)
    lines.push(
      look.paint.style('dim', `${look.glyphs.ellipsis} ${counted(segments.length - SEGMENTS_MAX, 'more segment')}`),
    );
  // In full: it is what somebody has to look after.
  for (const { kind, name, why } of segments)
    if (why !== undefined)
      lines.push(`${look.paint.style('error', `${look.glyphs.error} ${kind} ${clean(name)}`)}: ${clean(why)}`);
  return lines;
}

/** Those that took longest first. */
function columnLines(segments: readonly SegmentExplanation[], look: Look): string[] {
  const sums = new Map<string, ColumnExplanation>();
  for (const column of segments.flatMap(({ columns }) => columns)) {
    const sum = sums.get(column.name) ?? {
      name: column.name,
      ...{ pages: 0, pagesAll: 0, values: 0, bytesRead: 0, readMs: 0, useMs: 0 },
    };
    sum.pages += column.pages;
    sum.pagesAll += column.pagesAll;
    sum.values += column.values;
    sum.bytesRead += column.bytesRead;
    sum.readMs += column.readMs;
    sum.useMs += column.useMs;
    sums.set(column.name, sum);
  }
  const ordered = [...sums.values()].sort((a, b) => b.readMs + b.useMs - (a.readMs + a.useMs));
  const rows = ordered
    .slice(0, COLUMNS_MAX)
    .map(({ name, pages, pagesAll, values, bytesRead, readMs, useMs }) => [
      clean(name),
      pages === 0 && pagesAll === 0 ? '' : `${countText(pages)}${pagesAll > 0 ? `/${countText(pagesAll)}` : ''}`,
      values === 0 ? '' : countText(values),
      bytesRead === 0 ? '' : bytesText(bytesRead),
      msText(readMs),
      msText(useMs),
    ]);
  if (rows.length === 0) return [];
  const right = { align: 'right' as const };
  const lines = terminalTable(
    [
      { title: 'column', shrinkTo: 16 },
      { title: 'pages', ...right },
      { title: 'values', ...right },
      { title: 'read', ...right },
      { title: 'reading', ...right },
      { title: 'using', ...right },
    ],
    rows,
    look,
  );
  if (ordered.length > COLUMNS_MAX)
    lines.push(
      look.paint.style('dim', `${look.glyphs.ellipsis} ${counted(ordered.length - COLUMNS_MAX, 'more column')}`),
    );
  return lines;
}

function msText(ms: number): string {
  return ms === 0 ? '' : durationText(ms * 1e6);
}
