/**
 * Nested-set numbers of the spans of a segment (spec/traceql.md §4.3): a root has parent -1, spans that hang on no root have
 * 0 everywhere. They follow from the depth-first order and the distance to the parent alone.
 */
import type { Segment } from '../block/segment.ts';

export interface TreeNumbers {
  nestedSetLeft: Int32Array;
  nestedSetRight: Int32Array;
  nestedSetParent: Int32Array;
  'span:childCount': Int32Array;
}

const known = new WeakMap<Segment, Promise<TreeNumbers>>();

/** Numbers by row of the segment. */
export function treeNumbers(segment: Segment): Promise<TreeNumbers> {
  let numbers = known.get(segment);
  if (numbers === undefined) {
    numbers = number(segment);
    known.set(segment, numbers);
  }
  return numbers;
}

async function number(segment: Segment): Promise<TreeNumbers> {
  const { order, parents, starts } = await segment.tree();
  const left = new Int32Array(segment.rows);
  const right = new Int32Array(segment.rows);
  const parent = new Int32Array(segment.rows);
  const children = new Int32Array(segment.rows);
  const rowAt = (position: number): number => (order === undefined ? position : order[position]);
  const open: number[] = [];
  for (let trace = 0; trace + 1 < starts.length; trace++) {
    let counter = 1;
    open.length = 0;
    const closeTo = (ancestor: number): void => {
      while (open.length > 0 && open[open.length - 1] !== ancestor) right[rowAt(open.pop()!)] = counter++;
    };
    for (let position = starts[trace]; position < starts[trace + 1]; position++) {
      const row = rowAt(position);
      const distance = parents[position];
      if (distance > 0) {
        const up = rowAt(position - distance);
        children[up]++;
        if (left[up] === 0) continue;
        closeTo(position - distance);
        parent[row] = left[up];
      } else {
        closeTo(-1);
        if (distance < 0) continue;
        parent[row] = -1;
      }
      left[row] = counter++;
      open.push(position);
    }
    closeTo(-1);
  }
  return { nestedSetLeft: left, nestedSetRight: right, nestedSetParent: parent, 'span:childCount': children };
}
