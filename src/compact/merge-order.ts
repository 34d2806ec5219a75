/**
 * The rows of a planned row group in their order: traces by id, and within a trace depth first, children by start.
 *
 * A trace of one piece keeps its rows and its distances to parents as they are. The spans of a trace of several pieces are put
 * together anew: a span that an earlier block has, too (same id, kind and start), is left out, and parents are looked for among
 * all of them.
 */
import type { PlannedRowGroup } from './row-group-plan.ts';
import { traceTree } from './trace-tree.ts';

/** What is known of the spans of all slices, one slice after the other. */
export interface SourceSpans {
  /** Two words a row. */
  spanIds: Int32Array;
  /** Two words a row; zeros where there is no parent. */
  parentIds: Int32Array;
  starts: Int32Array;
  kinds: Int32Array;
}

export interface MergedOrder {
  /** First row of each trace, and the end. */
  traceStarts: Uint32Array;
  /** Of each row, which row of the slices it is. */
  rows: Uint32Array;
  /** Traces of several pieces, and spans that were there more than once. */
  combined: number;
  duplicates: number;
}

/**
 * @param parents distances upwards of the slices' rows (0 = root, -1 = the parent is not here); of traces that are put together the
 *   new ones are put into `newParents`, at their rows
 * @param spans asked for when there is such a trace
 */
export function mergeOrder(
  plan: PlannedRowGroup,
  parents: Int32Array,
  newParents: Int32Array,
  rows: Uint32Array,
  spans: SourceSpans | undefined,
): MergedOrder {
  const { slices, firstPiece, pieceSlice, pieceFrom, pieceTo } = plan;
  const traces = firstPiece.length - 1;
  const traceStarts = new Uint32Array(traces + 1);
  let filled = 0;
  let combined = 0;
  let duplicates = 0;
  for (let trace = 0; trace < traces; trace++) {
    traceStarts[trace] = filled;
    const first = firstPiece[trace];
    if (firstPiece[trace + 1] === first + 1) {
      const { base, from } = slices[pieceSlice[first]];
      const end = pieceTo[first] + base - from;
      for (let row = pieceFrom[first] + base - from; row < end; row++) {
        rows[filled] = row;
        newParents[filled++] = parents[row];
      }
      continue;
    }
    combined++;
    const ranges = [];
    for (let piece = first; piece < firstPiece[trace + 1]; piece++) {
      const { base, from } = slices[pieceSlice[piece]];
      ranges.push({ from: pieceFrom[piece] + base - from, to: pieceTo[piece] + base - from });
    }
    const tree = traceTree(spans!, ranges);
    rows.set(tree.rows, filled);
    newParents.set(tree.parents, filled);
    filled += tree.rows.length;
    duplicates += tree.duplicates;
  }
  traceStarts[traces] = filled;
  return { traceStarts, rows: rows.subarray(0, filled), combined, duplicates };
}

/** The rows of all pieces, as they are. */
export function* mergeOrderOfPieces({ slices, firstPiece, pieceSlice, pieceFrom, pieceTo }: PlannedRowGroup) {
  const pieces = firstPiece[firstPiece.length - 1];
  for (let piece = 0; piece < pieces; piece++) {
    const { base, from } = slices[pieceSlice[piece]];
    for (let row = pieceFrom[piece]; row < pieceTo[piece]; row++) yield row + base - from;
  }
}
