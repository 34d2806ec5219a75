/**
 * A trace as text: a line a span, its place in the tree on the left, its time on the right.
 *
 *   service  span                     0       200ms     400ms     time  critical
 *   shop     GET /checkout            ██━━━━━━━━━━━━━━━━━━━━━━   400ms      40ms
 *   stock    ├╴ reserve                 ████████                 150ms     150ms
 *
 * A thick stretch is the critical path: what the trace was waiting for (critical-path.ts). Pure: lines out, nothing printed.
 */
import { type CriticalPath, criticalPath } from './critical-path.ts';
import type { Glyphs } from './glyphs.ts';
import type { Paint } from './paint.ts';
import { type ShownSpan, shownSpans } from './shown-spans.ts';
import { clean, cut, fit, fitRight, widthOf } from './text.ts';
import type { Trace, TraceSpan } from './trace-spans.ts';
import { type TraceTree, treeOf } from './trace-tree.ts';
import { counted, durationText, timeText } from './units.ts';

export interface WaterfallOptions {
  /** Columns of the terminal; fewer than 60 are drawn as 60. */
  width: number;
  /** Spans shown at most; 0 shows all. */
  spansMax: number;
  glyphs: Glyphs;
  paint: Paint;
}

const WIDTH_MIN = 60;
const TIME_COLUMNS = 7;
/** From here on there is room to say each span's part of the critical path in numbers. */
const CRITICAL_WIDTH_MIN = 100;
const SERVICES_MAX = 12;
const ERRORS_MAX = 10;

/** What all parts of the picture share. */
interface Picture extends WaterfallOptions {
  trace: Trace;
  tree: TraceTree;
  path: CriticalPath;
  /** Number of each service, by first appearance. */
  services: Map<string, number>;
  serviceColumns: number;
  labelColumns: number;
  barColumns: number;
  withCritical: boolean;
}

export function waterfall(trace: Trace, options: WaterfallOptions): string[] {
  const picture = layOut(trace, options);
  const { tops, hiddenTops } = shownSpans(trace.spans, picture.tree, picture.path, options.spansMax);
  const lines = [...titleLines(picture), '', axisLine(picture)];
  let missing: string | undefined;
  for (const top of tops) {
    const { parentId } = trace.spans[top.span];
    if (parentId !== '' && picture.tree.orphans.has(parentId) && parentId !== missing)
      lines.push(orphanLine(picture, parentId));
    missing = parentId;
    spanLines(picture, top, lines);
  }
  if (hiddenTops.spans > 0) lines.push(hiddenLine(picture, '', hiddenTops));
  lines.push('', ...serviceLines(picture), ...errorLines(picture));
  return lines;
}

function layOut(trace: Trace, options: WaterfallOptions): Picture {
  const width = Math.max(WIDTH_MIN, options.width);
  const tree = treeOf(trace.spans);
  const services = new Map<string, number>();
  for (const span of tree.order) {
    const { service } = trace.spans[span];
    if (!services.has(service)) services.set(service, services.size);
  }
  const withCritical = width >= CRITICAL_WIDTH_MIN;
  const longest = Math.max(7, ...Array.from(services.keys(), (service) => widthOf(clean(service))));
  const serviceColumns = Math.min(longest, Math.max(10, Math.floor(width * 0.13)));
  const labelColumns = Math.floor(width * (width < 120 ? 0.33 : 0.3));
  const fixed = serviceColumns + 1 + labelColumns + 1 + 1 + TIME_COLUMNS + (withCritical ? 1 + 8 : 0);
  return {
    ...options,
    width,
    trace,
    tree,
    path: criticalPath(trace.spans, tree),
    services,
    serviceColumns,
    labelColumns,
    barColumns: width - fixed,
    withCritical,
  };
}

function titleLines({ trace, tree, path, paint, services, glyphs, width }: Picture): string[] {
  const errors = trace.spans.filter((span) => span.status === 2).length;
  const roots = tree.tops.filter((top) => trace.spans[top].parentId === '').length;
  const orphans = [...tree.orphans.values()].reduce((sum, list) => sum + list.length, 0);
  const facts = [
    counted(trace.spans.length, 'span'),
    counted(services.size, 'service'),
    `depth ${tree.depthMax + 1}`,
    ...(roots === 1 ? [] : [roots === 0 ? 'no root' : counted(roots, 'root')]),
    ...(orphans > 0 ? [counted(orphans, 'orphan')] : []),
    `critical path ${durationText(path.totalNs)}`,
    errors > 0 ? paint.style('error', `${glyphs.error} ${counted(errors, 'error')}`) : 'no errors',
  ];
  const title = [
    paint.style('bold', `Trace ${trace.id}`),
    `${timeText(Number(trace.startUnixNano / 1_000_000n))} UTC`,
    paint.style('bold', durationText(trace.durationNs)),
  ];
  return [...wrapped(title, width), ...wrapped(facts, width)];
}

/** The items with gaps between them, on as many lines as they need. */
function wrapped(items: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const item of items) {
    const joined = `${lines.at(-1)}  ${item}`;
    if (lines.length > 0 && widthOf(joined) <= width) lines[lines.length - 1] = joined;
    else lines.push(item);
  }
  return lines;
}

/** Titles of the columns, and times above the bars: as many as fit. */
function axisLine(picture: Picture): string {
  const { trace, barColumns, serviceColumns, labelColumns, paint, withCritical, glyphs } = picture;
  const parts = Math.max(1, Math.min(8, Math.floor(barColumns / 11)));
  let axis = '';
  for (let part = 0; part < parts; part++) {
    const at = Math.floor((part * barColumns) / parts);
    const mark = part === 0 ? '0' : durationText((trace.durationNs * part) / parts);
    axis = `${axis.padEnd(at)}${glyphs.tick}${mark}`;
  }
  const head = `${fit('service', serviceColumns)} ${fit('span', labelColumns)} ${fit(axis, barColumns)}`;
  return paint.style('dim', `${head} ${fitRight('time', TIME_COLUMNS)}${withCritical ? ' critical' : ''}`);
}

function orphanLine({ serviceColumns, paint, glyphs }: Picture, parentId: string): string {
  const text = `${glyphs.skipped} parent ${clean(parentId)} is not in the trace`;
  return `${' '.repeat(serviceColumns)} ${paint.style('warning', text)}`;
}

/** The span, what is shown below it, and how much is not: depth first, without recursion. */
function spanLines(picture: Picture, top: ShownSpan, lines: string[]): void {
  const { glyphs } = picture;
  type Step = { shown: ShownSpan; own: string; below: string } | { hidden: ShownSpan['hidden']; own: string };
  const waiting: Step[] = [{ shown: top, own: '', below: '' }];
  for (let step = waiting.pop(); step !== undefined; step = waiting.pop()) {
    if ('hidden' in step) {
      lines.push(hiddenLine(picture, step.own, step.hidden));
      continue;
    }
    const { shown, own, below } = step;
    lines.push(spanLine(picture, shown, own));
    const { children, hidden } = shown;
    if (hidden.spans > 0) waiting.push({ hidden, own: below + glyphs.last });
    for (let i = children.length - 1; i >= 0; i--) {
      const last = i === children.length - 1 && hidden.spans === 0;
      waiting.push({
        shown: children[i],
        own: below + (last ? glyphs.last : glyphs.branch),
        below: below + (last ? glyphs.blank : glyphs.pass),
      });
    }
  }
}

function spanLine(picture: Picture, { span: index, skipped }: ShownSpan, prefix: string): string {
  const { trace, path, paint, glyphs, services, serviceColumns, labelColumns } = picture;
  const span = trace.spans[index];
  const service = services.get(span.service)!;
  const failed = span.status === 2;
  const gap = skipped > 0 ? `${glyphs.skipped}${skipped} ` : '';
  const tree = indent(picture, prefix);
  const mark = failed ? `${glyphs.error} ` : '';
  const room = labelColumns - widthOf(tree) - widthOf(gap) - widthOf(mark);
  const name = fit(clean(span.name) || '(no name)', room, glyphs.ellipsis);
  const label =
    paint.style('dim', tree) +
    paint.style('warning', gap) +
    (failed ? paint.style('error', mark + name) : prefix === '' ? paint.style('bold', name) : name);
  const time = fitRight(durationText(span.endNs - span.startNs), TIME_COLUMNS);
  const critical = path.selfNs[index] > 0 ? durationText(path.selfNs[index]) : '';
  return (
    `${paint.service(service, fit(clean(span.service), serviceColumns, glyphs.ellipsis))} ${label} ${bar(picture, span, index, service)} ` +
    (picture.withCritical ? `${time} ${paint.style('bold', fitRight(critical, 8))}` : time)
  ).trimEnd();
}

/** The tree's lines left of a name. Very deep ones keep their last levels, behind the number of levels that are left out. */
function indent({ glyphs, labelColumns }: Picture, prefix: string): string {
  const room = Math.floor(labelColumns * 0.5);
  if (prefix.length <= room) return prefix;
  const kept = prefix.slice(-2 * Math.floor((room - 6) / 2));
  return `${glyphs.skipped}${(prefix.length - kept.length) / 2} ${kept}`;
}

/** The span's time as a line, thick where it is on the critical path. */
function bar(
  { trace, path, barColumns, glyphs, paint }: Picture,
  span: TraceSpan,
  index: number,
  service: number,
): string {
  const total = trace.durationNs;
  const column = (ns: number): number => (total === 0 ? 0 : Math.min(barColumns, (ns / total) * barColumns));
  const from = Math.min(barColumns - 1, Math.round(column(span.startNs)));
  const to = Math.max(from + 1, Math.min(barColumns, Math.round(column(span.endNs))));
  const cells: string[] = new Array(to - from).fill(glyphs.span);
  const short = column(span.endNs) - column(span.startNs) < 0.5;
  if (short) cells.fill(glyphs.instant);
  for (const [start, end] of path.stretches[index] ?? []) {
    // A stretch shorter than half a column is left to the spans that fill it.
    const first = Math.round(column(start));
    const last = Math.round(column(end));
    for (let at = Math.max(first, from); at < Math.min(last, to); at++) cells[at - from] = glyphs.critical;
  }
  const drawn = cells.join('');
  const painted = span.status === 2 ? paint.style('error', drawn) : paint.service(service, drawn);
  return `${' '.repeat(from)}${painted}${' '.repeat(barColumns - to)}`;
}

function hiddenLine(picture: Picture, prefix: string, { spans, errors, longestNs }: ShownSpan['hidden']): string {
  const { serviceColumns, paint, glyphs } = picture;
  const wrong = errors > 0 ? `, ${counted(errors, 'error')}` : '';
  const text = `${glyphs.ellipsis} ${counted(spans, 'more span')}${wrong}, at most ${durationText(longestNs)} each`;
  return `${' '.repeat(serviceColumns)} ${paint.style('dim', indent(picture, prefix))}${paint.style(errors > 0 ? 'error' : 'dim', text)}`;
}

/** Who took part, and for how much of the critical path each stands. */
function serviceLines(picture: Picture): string[] {
  const { trace, path, services, serviceColumns, paint, glyphs } = picture;
  const found = Array.from(services, ([name, number]) => ({ name, number, spans: 0, errors: 0, criticalNs: 0 }));
  trace.spans.forEach((span, index) => {
    const of = found[services.get(span.service)!];
    of.spans++;
    if (span.status === 2) of.errors++;
    of.criticalNs += path.selfNs[index];
  });
  found.sort((a, b) => b.criticalNs - a.criticalNs || b.spans - a.spans || a.number - b.number);
  const shareColumns = Math.min(20, picture.width - serviceColumns - 32);
  const head = `${fit('service', serviceColumns)} ${fitRight('spans', 7)} ${fitRight('errors', 7)} ${fitRight('critical', 9)}`;
  const lines = [paint.style('dim', head)];
  for (const { name, number, spans, errors, criticalNs } of found.slice(0, SERVICES_MAX)) {
    const share = path.totalNs === 0 ? 0 : criticalNs / path.totalNs;
    const filled = Math.round(share * shareColumns);
    const failed = fitRight(errors === 0 ? '' : String(errors), 7);
    lines.push(
      (
        `${paint.service(number, fit(clean(name), serviceColumns, glyphs.ellipsis))} ${fitRight(String(spans), 7)} ` +
        `${errors === 0 ? failed : paint.style('error', failed)} ${fitRight(criticalNs === 0 ? '' : durationText(criticalNs), 9)} ` +
        `${fitRight(criticalNs === 0 ? '' : `${Math.round(100 * share)}%`, 4)} ${paint.service(number, glyphs.barFull.repeat(filled))}`
      ).trimEnd(),
    );
  }
  if (found.length > SERVICES_MAX)
    lines.push(paint.style('dim', `${glyphs.ellipsis} ${counted(found.length - SERVICES_MAX, 'more service')}`));
  return lines;
}

function errorLines({ trace, tree, paint, glyphs, width, services }: Picture): string[] {
  const failed = tree.order.filter((span) => trace.spans[span].status === 2);
  if (failed.length === 0) return [];
  const lines = ['', paint.style('dim', 'errors')];
  for (const index of failed.slice(0, ERRORS_MAX)) {
    const span = trace.spans[index];
    const why = [...new Set([span.statusMessage, ...span.exceptions].filter((text) => text !== ''))].join('; ');
    const service = clean(span.service);
    const rest = ` ${clean(span.name)}${why === '' ? '' : `: ${clean(why)}`}`;
    const room = width - 2 - widthOf(service);
    lines.push(
      `${paint.style('error', glyphs.error)} ${paint.service(services.get(span.service)!, service)}${cut(rest, room, glyphs.ellipsis)}`,
    );
  }
  if (failed.length > ERRORS_MAX)
    lines.push(paint.style('dim', `${glyphs.ellipsis} ${counted(failed.length - ERRORS_MAX, 'more error')}`));
  return lines;
}
