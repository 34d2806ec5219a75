/**
 * Spansets between the stages of a pipeline. While each trace has one set, a bit a position says all there is to say; by()
 * divides traces, and from then on every position that is left has the number of its set.
 *
 *   bits     1 1 0 1 │ 0 1 1        by(name)      setOf    0 1 . 0 │ . 2 2
 *            trace 0   trace 1      ────────▶     traceOf  0 0 1
 */
import type { StaticValue } from '../traceql/ast.ts';
import { type Bits, has, intersect, nextOne, noBits, rowsOf } from './bits.ts';
import { fill, type Layout, numberOfTrace, rowsOfPositions, type Unit } from './unit.ts';

/** What a pipeline found in a unit. */
export interface Spansets {
  /** Ascending rows of the segment; each is in one set. */
  rows: Uint32Array;
  /** The set of each row. */
  sets: Uint32Array;
  /** The trace (a number of `segment.lines()`) of each set; sets of a trace follow each other. */
  traceOfSet: Uint32Array;
  /** What by() and aggregates said about sets, as the query has them. */
  attributes: SetAttribute[];
}

export interface SetAttribute {
  /** Print form of the stage: `by(name)`, `count()`. */
  key: string;
  /** `nil` for the group of spans without a value; a list for one of arrays. */
  valueOf(set: number): StaticValue | StaticValue[];
}

/** The sets of a unit after a stage. Nobody writes into what a state holds. */
export interface SetState {
  /** Positions that are in a set. */
  bits: Bits;
  /** Absent: what a trace has in `bits` is one set, and the number of the set is that of the trace in the layout. */
  groups?: Groups;
  attributes: SetAttribute[];
}

/** Numbers of sets whose positions have all been dropped stay unused. */
export interface Groups {
  /** The set of each position of the bits, in order. */
  setOf: Uint32Array;
  /** The trace (of the layout) of each set, ascending. */
  traceOf: Uint32Array;
}

/** The positions that are also in `found`; sets stay what they are. */
export function narrowed(state: SetState, found: Bits): SetState {
  const bits = intersect(found.slice(), state.bits);
  const { groups } = state;
  if (groups === undefined) return { bits, attributes: state.attributes };
  const before = rowsOf(state.bits);
  const setOf = new Uint32Array(before.length);
  let kept = 0;
  for (let i = 0; i < before.length; i++) if (has(bits, before[i])) setOf[kept++] = groups.setOf[i];
  return {
    bits,
    groups: { setOf: setOf.subarray(0, kept), traceOf: groups.traceOf },
    attributes: state.attributes,
  };
}

/** The sets that are flagged, one byte a set. */
export function keptSets(state: SetState, layout: Layout, keep: Uint8Array): SetState {
  const { groups } = state;
  if (groups === undefined) {
    const kept = noBits(layout.positions);
    for (let trace = 0; trace < keep.length; trace++)
      if (keep[trace] === 1) fill(kept, layout.starts[trace], layout.starts[trace + 1]);
    return { ...state, bits: intersect(kept, state.bits) };
  }
  const bits = state.bits.slice();
  const positions = rowsOf(state.bits);
  for (let i = 0; i < positions.length; i++)
    if (keep[groups.setOf[i]] === 0) bits[positions[i] >>> 5] &= ~(1 << (positions[i] & 31));
  return narrowed(state, bits);
}

/** How many numbers of sets there are, used or not. */
export function setCount(state: SetState, layout: Layout): number {
  return state.groups === undefined ? layout.starts.length - 1 : state.groups.traceOf.length;
}

/** The set of each of the state's positions, in order. */
export function setsOfPositions(state: SetState, layout: Layout, positions: Uint32Array): Uint32Array {
  if (state.groups !== undefined) return state.groups.setOf;
  const sets = new Uint32Array(positions.length);
  const { starts } = layout;
  let trace = 0;
  for (let i = 0; i < positions.length; i++) {
    while (starts[trace + 1] <= positions[i]) trace++;
    sets[i] = trace;
  }
  return sets;
}

/** Ascending rows of the state and the set of each. */
export function listedRows(state: SetState, layout: Layout, unit: Unit): { rows: Uint32Array; sets: Uint32Array } {
  const positions = rowsOf(state.bits);
  const sets = setsOfPositions(state, layout, positions);
  if (layout.order === undefined) return { rows: positions, sets };
  const setOfRow = new Uint32Array(unit.segment.rows);
  for (let i = 0; i < positions.length; i++) setOfRow[layout.order[positions[i]]] = sets[i];
  const rows = rowsOf(rowsOfPositions(layout, state.bits, unit.segment.rows));
  return { rows, sets: rows.map((row) => setOfRow[row]) };
}

/** The state as others see it: rows, and sets numbered without gaps. */
export function spansetsOf(state: SetState, layout: Layout, unit: Unit): Spansets {
  const { rows, sets } = listedRows(state, layout, unit);
  const count = setCount(state, layout);
  const used = new Uint8Array(count);
  for (let i = 0; i < sets.length; i++) used[sets[i]] = 1;
  const numbers = new Uint32Array(count);
  const before: number[] = [];
  for (let set = 0; set < count; set++)
    if (used[set] === 1) {
      numbers[set] = before.length;
      before.push(set);
    }
  const traceOf = state.groups?.traceOf;
  return {
    rows,
    sets: sets.map((set) => numbers[set]),
    traceOfSet: Uint32Array.from(before, (set) => numberOfTrace(layout, traceOf === undefined ? set : traceOf[set])),
    attributes: state.attributes.map((each) => ({ key: each.key, valueOf: (set) => each.valueOf(before[set]) })),
  };
}

/** Traces (of the layout) with a position in the bits. */
export function tracesWith(bits: Bits, { starts }: Layout): Uint32Array {
  const found = new Uint32Array(starts.length - 1);
  let count = 0;
  let trace = 0;
  for (let at = nextOne(bits, 0); at >= 0; at = nextOne(bits, starts[trace + 1])) {
    // Far away traces are found by steps that double, and then halve.
    let step = 1;
    while (trace + step < found.length && starts[trace + step] <= at) step *= 2;
    let low = trace + (step >>> 1);
    let high = Math.min(found.length, trace + step);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle + 1] <= at) low = middle + 1;
      else high = middle;
    }
    trace = low;
    found[count++] = trace;
  }
  return found.subarray(0, count);
}

/**
 * The same sets so that no part has two of a trace: the first sets of all traces, the second ones, and so on. Operators that
 * are defined on one set are run on each part.
 */
export function* layersOf(state: SetState): Generator<SetState> {
  const { setOf, traceOf } = state.groups!;
  const ordinals = new Uint32Array(traceOf.length);
  let layers = 0;
  for (let set = 0; set < traceOf.length; set++) {
    ordinals[set] = set > 0 && traceOf[set] === traceOf[set - 1] ? ordinals[set - 1] + 1 : 0;
    layers = Math.max(layers, ordinals[set] + 1);
  }
  const positions = rowsOf(state.bits);
  for (let layer = 0; layer < layers; layer++) {
    const bits = noBits(32 * state.bits.length);
    for (let i = 0; i < positions.length; i++)
      if (ordinals[setOf[i]] === layer) bits[positions[i] >>> 5] |= 1 << (positions[i] & 31);
    yield { bits, attributes: [] };
  }
}
