/**
 * Which spans of a large trace are shown: tops first, then what the trace waited for, then errors, then the longest. What is
 * left out is told by its nearest shown ancestor, so that nothing vanishes silently and the list stays short however deep or
 * wide the trace is.
 */
import type { CriticalPath } from './critical-path.ts';
import type { TraceSpan } from './trace-spans.ts';
import type { TraceTree } from './trace-tree.ts';

export interface ShownSpan {
  span: number;
  /** Levels between this one and the shown span above it that are not shown. */
  skipped: number;
  children: ShownSpan[];
  /** What is not shown below this one and above the next shown one. */
  hidden: { spans: number; errors: number; longestNs: number };
}

/** The shown tops, in order; `hiddenTops` are those that had no place. `max` 0 shows every span. */
export function shownSpans(
  spans: readonly TraceSpan[],
  tree: TraceTree,
  path: CriticalPath,
  max: number,
): { tops: ShownSpan[]; hiddenTops: ShownSpan['hidden'] } {
  const chosen = choose(spans, tree, path, max);
  const shown = new Map<number, ShownSpan>();
  const tops: ShownSpan[] = [];
  const hiddenTops = { spans: 0, errors: 0, longestNs: 0 };
  // By span: the shown one that it is, or that it is below.
  const nearest = new Int32Array(spans.length).fill(-1);
  for (const span of tree.order) {
    const parent = tree.parents[span];
    const above = parent < 0 ? -1 : nearest[parent];
    if (chosen[span] === 0) {
      nearest[span] = above;
      const hidden = above < 0 ? hiddenTops : shown.get(above)!.hidden;
      hidden.spans++;
      if (spans[span].status === 2) hidden.errors++;
      hidden.longestNs = Math.max(hidden.longestNs, spans[span].endNs - spans[span].startNs);
      continue;
    }
    const skipped = tree.depths[span] - (above < 0 ? 0 : tree.depths[above] + 1);
    const made: ShownSpan = { span, skipped, children: [], hidden: { spans: 0, errors: 0, longestNs: 0 } };
    nearest[span] = span;
    shown.set(span, made);
    if (above < 0) tops.push(made);
    else shown.get(above)!.children.push(made);
  }
  return { tops, hiddenTops };
}

function choose(spans: readonly TraceSpan[], tree: TraceTree, path: CriticalPath, max: number): Uint8Array {
  const chosen = new Uint8Array(spans.length);
  if (max === 0 || spans.length <= max) return chosen.fill(1);
  const length = (span: number): number => spans[span].endNs - spans[span].startNs;
  const rank = (span: number): number =>
    tree.parents[span] < 0 ? 0 : path.selfNs[span] > 0 ? 1 : spans[span].status === 2 ? 2 : 3;
  const ranked = tree.order.toSorted(
    (a, b) => rank(a) - rank(b) || path.selfNs[b] - path.selfNs[a] || length(b) - length(a),
  );
  // A kind of span does not take every place: tops leave half, the critical path and errors leave a quarter of what is left.
  const shares = [max / 2, (max * 3) / 4, (max * 7) / 8, max];
  let taken = 0;
  for (const span of ranked) {
    if (taken >= shares[rank(span)]) continue;
    chosen[span] = 1;
    taken++;
  }
  for (const span of ranked) {
    if (taken >= max) break;
    if (chosen[span] === 1) continue;
    chosen[span] = 1;
    taken++;
  }
  return chosen;
}
