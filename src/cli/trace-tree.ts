/**
 * Spans as a forest. A span whose parent is not in the trace is an orphan: it stands at the top, under the id that is missing.
 * Spans that are each other's parents in a ring hang from the first of them.
 */
import type { TraceSpan } from './trace-spans.ts';

export interface TraceTree {
  /** Number of the parent span, or -1. */
  parents: Int32Array;
  children: number[][];
  /** Roots, orphans and first spans of rings, by start. */
  tops: number[];
  depths: Int32Array;
  /** Every span, parents before their children, siblings by start. */
  order: number[];
  depthMax: number;
  /** Orphans by the id of the parent that is missing. */
  orphans: Map<string, number[]>;
}

/** `spans` come by start, so children are in order, too. */
export function treeOf(spans: readonly TraceSpan[]): TraceTree {
  const byId = new Map<string, number>();
  spans.forEach((span, index) => {
    if (!byId.has(span.id)) byId.set(span.id, index);
  });
  const parents = new Int32Array(spans.length).fill(-1);
  const children: number[][] = spans.map(() => []);
  const tops: number[] = [];
  const orphans = new Map<string, number[]>();
  spans.forEach((span, index) => {
    const parent = span.parentId === '' ? undefined : byId.get(span.parentId);
    if (parent !== undefined && parent !== index) {
      parents[index] = parent;
      children[parent].push(index);
      return;
    }
    tops.push(index);
    if (span.parentId !== '') orphans.set(span.parentId, [...(orphans.get(span.parentId) ?? []), index]);
  });
  const depths = new Int32Array(spans.length).fill(-1);
  const order: number[] = [];
  const visit = (top: number): void => {
    const waiting = [top];
    depths[top] = 0;
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      order.push(next);
      for (let i = children[next].length - 1; i >= 0; i--) {
        const child = children[next][i];
        depths[child] = depths[next] + 1;
        waiting.push(child);
      }
    }
  };
  for (const top of tops) visit(top);
  for (let index = 0; order.length < spans.length; index++) {
    if (depths[index] >= 0) continue;
    // In a ring, or below one: its first span becomes a top.
    const siblings = children[parents[index]];
    siblings.splice(siblings.indexOf(index), 1);
    parents[index] = -1;
    tops.push(index);
    visit(index);
  }
  let depthMax = 0;
  for (const depth of depths) depthMax = Math.max(depthMax, depth);
  return { parents, children, tops, depths, order, depthMax, orphans };
}
