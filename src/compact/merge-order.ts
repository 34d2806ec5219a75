/**
 * The rows of several blocks in the order of one: traces by id, and within a trace depth first, children by start.
 *
 * A trace that only one block has keeps its rows and its distances to parents as they are. The spans of a trace that several
 * blocks have are put together anew: a span that an earlier block has, too (same id, kind and start), is left out, and
 * parents are looked for among all of them.
 */
import { traceTree } from './trace-tree.ts';

/** What is known of the spans of all blocks, one block after the other. */
export interface SourceSpans {
  /** Two words a row. */
  spanIds: Int32Array;
  /** Two words a row; zeros where there is no parent. */
  parentIds: Int32Array;
  /** Distance upwards; 0 = root, -1 = the parent is not here. */
  parents: Int32Array;
  starts: Int32Array;
  kinds: Int32Array;
}

/** Traces of one block: ascending ids, first rows and the end, the first row of the block among all rows. */
export interface SourceTraces {
  ids: Uint8Array;
  firstRow: Uint32Array;
  base: number;
}

export interface MergedOrder {
  traceIds: Uint8Array;
  traceStarts: Uint32Array;
  /** The source row of each row. */
  rows: Uint32Array;
  parents: Int32Array;
  /** Traces that were in several blocks, and spans that were there more than once. */
  combined: number;
  duplicates: number;
  /** Traces that were left out because they are not wanted any more. */
  dropped: number;
}

/** Says of the trace whose id stands at `ids[at]` that it is not wanted any more. */
export type Drops = (ids: Uint8Array, at: number) => boolean;

export function mergeOrder(blocks: readonly SourceTraces[], spans: SourceSpans, drops?: Drops): MergedOrder {
  const total = spans.kinds.length;
  const rows = new Uint32Array(total);
  const parents = new Int32Array(total);
  const most = blocks.reduce((sum, { ids }) => sum + ids.length / 16, 0);
  const traceIds = new Uint8Array(16 * most);
  const traceStarts = new Uint32Array(most + 1);
  const next = blocks.map(() => 0);
  let traces = 0;
  let filled = 0;
  let combined = 0;
  let duplicates = 0;
  let dropped = 0;
  for (;;) {
    let least = -1;
    let holders: number[] = [];
    blocks.forEach(({ ids }, block) => {
      if (16 * next[block] >= ids.length) return;
      const order = least < 0 ? -1 : compareIds(ids, next[block], blocks[least].ids, next[least]);
      if (order < 0) {
        least = block;
        holders = [block];
      } else if (order === 0) holders.push(block);
    });
    if (least < 0) break;
    const { ids } = blocks[least];
    if (drops?.(ids, 16 * next[least])) {
      dropped++;
      for (const block of holders) next[block]++;
      continue;
    }
    traceIds.set(ids.subarray(16 * next[least], 16 * next[least] + 16), 16 * traces);
    traceStarts[traces++] = filled;
    if (holders.length === 1) {
      const { base, firstRow } = blocks[least];
      for (let row = base + firstRow[next[least]]; row < base + firstRow[next[least] + 1]; row++) {
        rows[filled] = row;
        parents[filled++] = spans.parents[row];
      }
    } else {
      combined++;
      const ranges = holders.map((block) => {
        const { base, firstRow } = blocks[block];
        return { from: base + firstRow[next[block]], to: base + firstRow[next[block] + 1] };
      });
      const tree = traceTree(spans, ranges);
      rows.set(tree.rows, filled);
      parents.set(tree.parents, filled);
      filled += tree.rows.length;
      duplicates += tree.duplicates;
    }
    for (const block of holders) next[block]++;
  }
  traceStarts[traces] = filled;
  return {
    traceIds: traceIds.slice(0, 16 * traces),
    traceStarts: traceStarts.slice(0, traces + 1),
    rows: rows.subarray(0, filled),
    parents: parents.subarray(0, filled),
    combined,
    duplicates,
    dropped,
  };
}

function compareIds(a: Uint8Array, traceA: number, b: Uint8Array, traceB: number): number {
  for (let i = 0; i < 16; i++) {
    const difference = a[16 * traceA + i] - b[16 * traceB + i];
    if (difference !== 0) return difference;
  }
  return 0;
}
