/**
 * Depth-first order of a trace whose spans come from several blocks, as a cut makes it: roots first, then spans whose parent is
 * not here, each followed by its children by start; spans whose parents form a ring come last, as ones without a parent.
 */
import type { SourceSpans } from './merge-order.ts';

export interface TraceTree {
  rows: Uint32Array;
  parents: Int32Array;
  /** Spans that were left out. */
  duplicates: number;
}

const ROOT = -2;
const ORPHAN = -1;

/** `ranges`: the rows of the trace in each block. */
export function traceTree(spans: SourceSpans, ranges: readonly { from: number; to: number }[]): TraceTree {
  const { spanIds, parentIds, starts } = spans;
  const { kept, duplicates } = distinct(spans, ranges);
  const count = kept.length;
  const firstOf = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const key = hashOf(spanIds, kept[i]);
    const same = firstOf.get(key);
    if (same === undefined) firstOf.set(key, [i]);
    else same.push(i);
  }
  const parent = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const at = 2 * kept[i];
    if ((parentIds[at] | parentIds[at + 1]) === 0) {
      parent[i] = ROOT;
      continue;
    }
    const found = firstOf
      .get(hashOf(parentIds, kept[i]))
      ?.find((each) => spanIds[2 * kept[each]] === parentIds[at] && spanIds[2 * kept[each] + 1] === parentIds[at + 1]);
    parent[i] = found === undefined || found === i ? ORPHAN : found;
  }
  const byStart = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => {
    const high = (starts[2 * kept[a] + 1] >>> 0) - (starts[2 * kept[b] + 1] >>> 0);
    return high || (starts[2 * kept[a]] >>> 0) - (starts[2 * kept[b]] >>> 0) || a - b;
  });
  // Latest first, each put in front of its siblings: the lists end up by start.
  const firstChild = new Int32Array(count).fill(-1);
  const nextSibling = new Int32Array(count);
  let firstRoot = -1;
  let firstOrphan = -1;
  for (let k = count - 1; k >= 0; k--) {
    const i = byStart[k];
    if (parent[i] === ROOT) {
      nextSibling[i] = firstRoot;
      firstRoot = i;
    } else if (parent[i] === ORPHAN) {
      nextSibling[i] = firstOrphan;
      firstOrphan = i;
    } else {
      nextSibling[i] = firstChild[parent[i]];
      firstChild[parent[i]] = i;
    }
  }
  const rows = new Uint32Array(count);
  const parents = new Int32Array(count);
  const position = new Int32Array(count).fill(-1);
  const stack = new Int32Array(count);
  let filled = 0;
  const walk = (first: number, ofTop: number): void => {
    let depth = 0;
    for (let i = first; i >= 0 || depth > 0; ) {
      if (i < 0) {
        i = stack[--depth];
        continue;
      }
      position[i] = filled;
      parents[filled] = parent[i] < 0 ? ofTop : filled - position[parent[i]];
      rows[filled++] = kept[i];
      stack[depth++] = nextSibling[i];
      i = firstChild[i];
    }
  };
  walk(firstRoot, 0);
  walk(firstOrphan, -1);
  for (const i of byStart)
    if (position[i] < 0) {
      parents[filled] = -1;
      rows[filled++] = kept[i];
    }
  return { rows, parents, duplicates };
}

/** The rows without those of spans that an earlier block has, too. Within a block all stay, as a cut has left them. */
function distinct(
  { spanIds, starts, kinds }: SourceSpans,
  ranges: readonly { from: number; to: number }[],
): { kept: number[]; duplicates: number } {
  const kept: number[] = [];
  const earlier = new Map<number, number[]>();
  let duplicates = 0;
  const isSame = (a: number, b: number): boolean =>
    spanIds[2 * a] === spanIds[2 * b] &&
    spanIds[2 * a + 1] === spanIds[2 * b + 1] &&
    starts[2 * a] === starts[2 * b] &&
    starts[2 * a + 1] === starts[2 * b + 1] &&
    kinds[a] === kinds[b];
  for (const { from, to } of ranges) {
    const first = kept.length;
    for (let row = from; row < to; row++)
      if (earlier.get(hashOf(spanIds, row))?.some((other) => isSame(other, row))) duplicates++;
      else kept.push(row);
    for (let i = first; i < kept.length; i++) {
      const key = hashOf(spanIds, kept[i]);
      const same = earlier.get(key);
      if (same === undefined) earlier.set(key, [kept[i]]);
      else same.push(kept[i]);
    }
  }
  return { kept, duplicates };
}

function hashOf(ids: Int32Array, row: number): number {
  return Math.imul(ids[2 * row], 0x9e3779b1) ^ Math.imul(ids[2 * row + 1], 0x85ebca6b);
}
