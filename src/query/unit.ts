/**
 * What a pipeline is run on: a segment, less the traces that are looked at elsewhere, in the order of the tree. In that order
 * a trace is a run of positions and a subtree is a run within it:
 *
 *   position   0  1  2  3  4 │ 5  6  7 │ 8 …        starts = [0, 5, 8, …]
 *              └── trace 0 ──┘ └ trace 1 ┘
 *
 * In a block the position is the row. A live segment has its rows as they came; `order` says which one is at a position.
 */
import type { Segment } from '../block/segment.ts';
import type { FieldExpr } from '../traceql/ast.ts';
import { type Bits, noBits } from './bits.ts';

export interface Unit {
  segment: Segment;
  /** One byte a trace of `segment.lines()`: 1 = another unit holds the whole of it. */
  excluded?: Uint8Array;
  /** Is told where the filters of the first stage hold, in excluded traces too. */
  record?: (filter: FieldExpr, positions: Bits, layout: Layout) => void;
}

/** The order of the tree of a segment. */
export interface Layout {
  positions: number;
  /** The row at each position; undefined = the same number. */
  order?: Uint32Array;
  /** First position of each trace, and the end. */
  starts: Uint32Array;
  /** Number of each trace in `segment.lines()`; undefined = they count up. */
  traces?: Uint32Array;
}

export async function layoutOf(segment: Segment): Promise<Layout> {
  // Rows of blocks are in this order; the column of parents need not be read for it.
  if (!segment.live) return { positions: segment.rows, starts: (await segment.lines()).firstRow };
  const { order, starts, traces } = await segment.tree();
  return { positions: starts[starts.length - 1], starts, ...(order && { order }), ...(traces && { traces }) };
}

/** The number in `segment.lines()` of a trace of the layout. */
export function numberOfTrace(layout: Layout, trace: number): number {
  return layout.traces === undefined ? trace : layout.traces[trace];
}

/** Positions of all spans but those of excluded traces. */
export function allPositions(unit: Unit, layout: Layout): Bits {
  const bits = noBits(layout.positions);
  fill(bits, 0, layout.positions);
  const { excluded } = unit;
  if (excluded === undefined) return bits;
  for (let trace = 0; trace + 1 < layout.starts.length; trace++)
    if (excluded[numberOfTrace(layout, trace)] === 1) clear(bits, layout.starts[trace], layout.starts[trace + 1]);
  return bits;
}

export function positionsOfRows(layout: Layout, rows: Bits): Bits {
  const { order } = layout;
  if (order === undefined) return rows;
  const bits = noBits(layout.positions);
  for (let at = 0; at < order.length; at++) {
    const row = order[at];
    bits[at >>> 5] |= ((rows[row >>> 5] >>> (row & 31)) & 1) << (at & 31);
  }
  return bits;
}

export function rowsOfPositions(layout: Layout, positions: Bits, rowCount: number): Bits {
  const { order } = layout;
  if (order === undefined) return positions;
  const bits = noBits(rowCount);
  for (let at = 0; at < order.length; at++)
    if (((positions[at >>> 5] >>> (at & 31)) & 1) === 1) bits[order[at] >>> 5] |= 1 << (order[at] & 31);
  return bits;
}

/** How many of the bits [from, to) are set; there is at least one bit. */
export function countIn(bits: Bits, from: number, to: number): number {
  const first = from >>> 5;
  const last = (to - 1) >>> 5;
  const head = -1 << (from & 31);
  const tail = -1 >>> (31 - ((to - 1) & 31));
  if (first === last) return ones(bits[first] & head & tail);
  let count = ones(bits[first] & head) + ones(bits[last] & tail);
  for (let word = first + 1; word < last; word++) count += ones(bits[word]);
  return count;
}

/** Whether one of the bits [from, to) is set; there is at least one bit. */
export function anyIn(bits: Bits, from: number, to: number): boolean {
  const first = from >>> 5;
  const last = (to - 1) >>> 5;
  const head = -1 << (from & 31);
  const tail = -1 >>> (31 - ((to - 1) & 31));
  if (first === last) return (bits[first] & head & tail) !== 0;
  if ((bits[first] & head) !== 0 || (bits[last] & tail) !== 0) return true;
  for (let word = first + 1; word < last; word++) if (bits[word] !== 0) return true;
  return false;
}

export function clear(bits: Bits, from: number, to: number): void {
  for (let word = from >>> 5; word << 5 < to; word++) bits[word] &= ~maskWithin(word, from, to);
}

export function fill(bits: Bits, from: number, to: number): void {
  for (let word = from >>> 5; word << 5 < to; word++) bits[word] |= maskWithin(word, from, to);
}

/** Of the 32 bits of a word, those in [from, to). */
function maskWithin(word: number, from: number, to: number): number {
  const first = word << 5;
  let mask = -1;
  if (first < from) mask &= -1 << (from - first);
  if (first + 32 > to) mask &= -1 >>> (first + 32 - to);
  return mask;
}

function ones(word: number): number {
  let value = word - ((word >>> 1) & 0x55555555);
  value = (value & 0x33333333) + ((value >>> 2) & 0x33333333);
  return Math.imul((value + (value >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
