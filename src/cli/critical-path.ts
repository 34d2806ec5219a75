/**
 * The critical path: which span the trace was waiting for, at each instant. One walks back from the end of a span:
 *
 *   parent   ├────────────────────────────────────┤
 *   a             ├────────┤
 *   b                  ├──────────┤
 *   path     ░░░░░a░░░░bbbbbbbbbbbb░░░░░░░░░░░░░░░     (░ the parent itself)
 *
 * The child that ended last is what the parent waited for; before that child began, again the one that had ended last by then.
 * Time that no child explains belongs to the parent. A child that outlives its parent a little counts up to the parent's end;
 * one that runs mostly after it, as the consumer of a message, is what a span further up waited for, or the trace itself.
 */
import type { TraceSpan } from './trace-spans.ts';
import type { TraceTree } from './trace-tree.ts';

export interface CriticalPath {
  /** Stretches of each span on the path, nanoseconds from the start of the trace, latest first; undefined for none. */
  stretches: ([from: number, to: number][] | undefined)[];
  /** Their sum for each span. */
  selfNs: Float64Array;
  totalNs: number;
}

/** A span being walked back through. */
interface Walk {
  span: number;
  /** Nothing before this is looked at. */
  fromNs: number;
  /** What is later is explained. */
  atNs: number;
  /** By end, latest first. */
  children: number[];
  next: number;
  /** Whether a child was taken: the first one may outlive its parent. */
  taken: boolean;
}

export function criticalPath(spans: readonly TraceSpan[], tree: TraceTree): CriticalPath {
  const stretches: ([number, number][] | undefined)[] = new Array(spans.length).fill(undefined);
  const selfNs = new Float64Array(spans.length);
  let totalNs = 0;
  const own = (span: number, from: number, to: number): void => {
    if (to <= from) return;
    (stretches[span] ??= []).push([from, to]);
    selfNs[span] += to - from;
    totalNs += to - from;
  };
  const latestFirst = (list: readonly number[]): number[] =>
    list.toSorted((a, b) => spans[b].endNs - spans[a].endNs || spans[a].startNs - spans[b].startNs);
  const { children, tops } = waitedFor(spans, tree);
  // Several tops are one after the other on the path, as if they had a parent that does nothing itself.
  const walks: Walk[] = [
    {
      span: -1,
      fromNs: 0,
      atNs: Number.POSITIVE_INFINITY,
      children: latestFirst(tops),
      next: 0,
      taken: false,
    },
  ];
  for (let walk = walks.at(-1); walk !== undefined; walk = walks.at(-1)) {
    let child = -1;
    while (walk.next < walk.children.length && child < 0) {
      const candidate = walk.children[walk.next++];
      const { startNs, endNs } = spans[candidate];
      const clipped = !walk.taken || walk.span < 0;
      if (startNs < walk.atNs && endNs > walk.fromNs && (endNs <= walk.atNs || clipped)) child = candidate;
    }
    if (child < 0 || walk.atNs <= walk.fromNs) {
      if (walk.span >= 0) own(walk.span, walk.fromNs, walk.atNs);
      walks.pop();
      continue;
    }
    const toNs = Math.min(spans[child].endNs, walk.atNs);
    const fromNs = Math.max(spans[child].startNs, walk.fromNs);
    if (walk.span >= 0) own(walk.span, toNs, walk.atNs);
    walk.atNs = fromNs;
    walk.taken = true;
    walks.push({
      span: child,
      fromNs,
      atNs: toNs,
      children: latestFirst(children[child]),
      next: 0,
      taken: false,
    });
  }
  return { stretches, selfNs, totalNs };
}

/** Ancestors that are looked at for one that ends late enough. */
const CLIMB_MAX = 64;

/** The spans that each span, or the trace as a whole, may have waited for. */
function waitedFor(spans: readonly TraceSpan[], tree: TraceTree): { children: number[][]; tops: number[] } {
  const children: number[][] = spans.map(() => []);
  const tops: number[] = [];
  for (const span of tree.order) {
    const { startNs, endNs } = spans[span];
    let above = tree.parents[span];
    for (let climbed = 0; above >= 0 && 2 * (endNs - spans[above].endNs) > endNs - startNs; climbed++)
      above = climbed < CLIMB_MAX ? tree.parents[above] : -1;
    (above < 0 ? tops : children[above]).push(span);
  }
  return { children, tops };
}
