/**
 * `count() > 20`, `avg(duration) > 500ms`: one number a set, and the sets for which it holds. Counting needs no column; the
 * others read values of the spans of sets that are still there.
 *
 * Sums of whole numbers are kept as two doubles, high and low words apart, which are exact for two million values a set.
 */
import type { Column } from '../block/segment.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Aggregate, ComparisonOp, FieldExpr, ScalarFilter, StaticValue } from '../traceql/ast.ts';
import { printScalar } from '../traceql/print.ts';
import { applyBinary, isNumeric } from '../traceql/values.ts';
import { type Bits, has, rowsOf } from './bits.ts';
import { isTrue, rowsAtOnce, valuesAt } from './compute.ts';
import { eachValue, rangeOf, type Read } from './gather.ts';
import { moreColumn } from './more.ts';
import { keptSets, listedRows, type SetState, setCount } from './spansets.ts';
import { countIn, type Layout, rowsOfPositions, type Unit } from './unit.ts';

/** The sets for which the comparison holds, with the number as an attribute. */
export async function scalarFiltered(
  unit: Unit,
  layout: Layout,
  state: SetState,
  stage: ScalarFilter,
  stop: () => void,
): Promise<SetState> {
  const { left, right, op } = stage;
  if (left.type !== 'aggregate' || right.type !== 'static')
    throw new VivaceError('invalid', 'scalar filter lhs of type (%v) not yet supported');
  const totals = await aggregated(unit, layout, state, left, stop);
  stop();
  const sets = setCount(state, layout);
  const keep = new Uint8Array(sets);
  const literal = asNumber(right.value);
  for (let set = 0; set < sets; set++) {
    const number = totals.number(set);
    if (number === undefined) continue;
    // Doubles tell whole numbers of this size apart; others are compared as what they are.
    const isExact = Math.abs(number) < Number.MAX_SAFE_INTEGER && Math.abs(literal) < Number.MAX_SAFE_INTEGER;
    if (isExact ? compares(op, number, literal) : isTrue(applyBinary(op, totals.value(set)!, right.value)))
      keep[set] = 1;
  }
  const kept = keptSets(state, layout, keep);
  const key = printScalar(left);
  const others = state.attributes.filter((attribute) => attribute.key !== key);
  return { ...kept, attributes: [...others, { key, valueOf: (set) => totals.value(set)! }] };
}

/** NaN for what is no number. */
function asNumber(value: StaticValue): number {
  if (value.type === 'duration') return Number(value.ns);
  return value.type === 'int' || value.type === 'float' ? Number(value.value) : Number.NaN;
}

function compares(op: ComparisonOp, a: number, b: number): boolean {
  switch (op) {
    case '=':
      return a === b;
    case '!=':
      return a !== b;
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    case '>=':
      return a >= b;
  }
}

/** The total of each set; undefined for a set without any. */
interface Totals {
  /** Nearly the same as `value`, and exactly where it is a whole number below 2^53. */
  number(set: number): number | undefined;
  value(set: number): StaticValue | undefined;
}

async function aggregated(
  unit: Unit,
  layout: Layout,
  state: SetState,
  { name, argument }: Aggregate,
  stop: () => void,
): Promise<Totals> {
  if (argument === undefined) return counted(layout, state);
  const numbers = await numberColumn(unit, layout, state, argument);
  if (numbers !== undefined) {
    const totals = new WordTotals(setCount(state, layout), name, numbers.type);
    const { column } = numbers;
    if (numbers.isDense) totals.addRuns(column, state.bits, layout);
    else {
      const { rows, sets } = listedRows(state, layout, unit);
      eachValue(column, rows, (slot, part, index) => totals.add(sets[slot], part.words!, index));
    }
    return totals;
  }
  const { rows, sets } = listedRows(state, layout, unit);
  const totals = new ValueTotals(name);
  const rowsMax = rowsAtOnce(argument);
  for (let from = 0; from < rows.length; from += rowsMax) {
    stop();
    const values = await valuesAt(unit.segment, argument, rows.subarray(from, from + rowsMax));
    for (let i = 0; i < values.length; i++) totals.add(sets[from + i], values[i]);
  }
  return totals;
}

function counted(layout: Layout, state: SetState): Totals {
  const counts = new Uint32Array(setCount(state, layout));
  if (state.groups === undefined) {
    const { starts } = layout;
    for (let trace = 0; trace < counts.length; trace++)
      counts[trace] = countIn(state.bits, starts[trace], starts[trace + 1]);
  } else for (const set of state.groups.setOf) counts[set]++;
  return {
    number: (set) => counts[set] || undefined,
    value: (set) => (counts[set] === 0 ? undefined : { type: 'int', value: BigInt(counts[set]) }),
  };
}

/**
 * The one column of 64-bit numbers that the argument reads, where it is one. `isDense`: rows are positions, sets are traces
 * and every row has a value, so that traces are runs of the column.
 */
async function numberColumn(
  { segment }: Unit,
  layout: Layout,
  state: SetState,
  argument: FieldExpr,
): Promise<{ column: Column; type: 'int' | 'duration'; isDense: boolean } | undefined> {
  const inOrder = layout.order === undefined && state.groups === undefined;
  const rows = rowsOf(rowsOfPositions(layout, state.bits, segment.rows));
  if (rows.length === 0) return undefined;
  const range = rangeOf(rows);
  if (argument.type === 'intrinsic' && argument.name === 'duration') {
    const column = await segment.column({ of: 'fixed', field: 'duration' }, range, { rows });
    return column && { column, type: 'duration', isDense: inOrder };
  }
  if (argument.type !== 'attribute' || argument.scope !== 'span' || argument.parent) return undefined;
  const types = segment.typesOf('span', argument.name);
  if (types.length !== 1 || types[0] !== 'int' || (await moreColumn(segment, 'span', range)) !== undefined)
    return undefined;
  const want = { of: 'attribute', space: 'span', key: argument.name, type: 'int' } as const;
  const column = await segment.column(want, range, { rows });
  return column && { column, type: 'int', isDense: false };
}

function lowest(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** Totals of whole numbers, a set each. */
class WordTotals implements Totals {
  readonly #name: Aggregate['name'];
  readonly #type: 'int' | 'duration';
  readonly #counts: Uint32Array;
  readonly #high: Float64Array;
  readonly #low: Float64Array;

  constructor(sets: number, name: Aggregate['name'], type: 'int' | 'duration') {
    this.#name = name;
    this.#type = type;
    this.#counts = new Uint32Array(sets);
    this.#high = new Float64Array(sets);
    this.#low = new Float64Array(sets);
  }

  add(set: number, words: Int32Array, index: number): void {
    const high = words[2 * index + 1];
    const low = words[2 * index] >>> 0;
    const count = this.#counts[set]++;
    if (this.#name === 'sum' || this.#name === 'avg') {
      this.#high[set] += high;
      this.#low[set] += low;
      return;
    }
    const difference = high - this.#high[set] || low - this.#low[set];
    if (count > 0 && (this.#name === 'min' ? difference >= 0 : difference <= 0)) return;
    this.#high[set] = high;
    this.#low[set] = low;
  }

  /** The values at the set bits of a column with a value for every row; each trace is a set. */
  addRuns(column: Column, bits: Bits, { starts }: Layout): void {
    let trace = 0;
    for (const { first, rows, count, words, at: some } of column.parts) {
      if (some !== undefined) {
        for (let i = 0; i < count; i++) {
          if (!has(bits, some[i])) continue;
          while (starts[trace + 1] <= some[i]) trace++;
          this.add(trace, words!, i);
        }
        continue;
      }
      const end = first + rows;
      for (let word = first >>> 5; word << 5 < end; word++) {
        let left = bits[word];
        if (first > word << 5) left &= -1 << (first - (word << 5));
        for (; left !== 0; left &= left - 1) {
          const at = 32 * word + lowest(left);
          if (at >= end) break;
          while (starts[trace + 1] <= at) trace++;
          this.add(trace, words!, at - first);
        }
      }
    }
  }

  number(set: number): number | undefined {
    const count = this.#counts[set];
    if (count === 0) return undefined;
    const total = this.#high[set] * 4294967296 + this.#low[set];
    if (this.#name !== 'avg') return total;
    if (this.#type === 'int') return total / count;
    // Truncated, also where the quotient was rounded up to a whole number.
    const average = Math.trunc(total / count);
    return Math.abs(average) * count > Math.abs(total) ? average - Math.sign(average) : average;
  }

  value(set: number): StaticValue | undefined {
    const number = this.number(set);
    if (number === undefined) return undefined;
    if (this.#name === 'avg' && this.#type === 'int') return { type: 'float', value: number };
    const total = this.#high[set] * 4294967296 + this.#low[set];
    let exact = BigInt.asIntN(64, BigInt(number));
    if (!Number.isSafeInteger(total)) {
      exact = BigInt.asIntN(64, (BigInt(this.#high[set]) << 32n) + BigInt(this.#low[set]));
      if (this.#name === 'avg') exact /= BigInt(this.#counts[set]);
    }
    return this.#type === 'int' ? { type: 'int', value: exact } : { type: 'duration', ns: exact };
  }
}

/** Totals of whatever values there are; what is no number is left out. */
class ValueTotals implements Totals {
  readonly #name: Aggregate['name'];
  readonly #totals = new Map<number, { value: StaticValue; count: number }>();

  constructor(name: Aggregate['name']) {
    this.#name = name;
  }

  add(set: number, value: Read): void {
    if (value === undefined || Array.isArray(value) || !isNumeric(value.type)) return;
    const total = this.#totals.get(set);
    if (total === undefined) {
      this.#totals.set(set, { value, count: 1 });
      return;
    }
    total.count++;
    total.value = this.#joined(total.value, value);
  }

  number(set: number): number | undefined {
    const value = this.value(set);
    return value && asNumber(value);
  }

  value(set: number): StaticValue | undefined {
    const total = this.#totals.get(set);
    if (total === undefined || this.#name !== 'avg') return total?.value;
    if (total.value.type === 'duration') return { type: 'duration', ns: total.value.ns / BigInt(total.count) };
    return { type: 'float', value: Number((total.value as { value: bigint | number }).value) / total.count };
  }

  #joined(a: StaticValue, b: StaticValue): StaticValue {
    if (this.#name === 'min' || this.#name === 'max') {
      const smaller = applyBinary('<', a, b);
      const keepsFirst = smaller?.type === 'bool' && smaller.value === (this.#name === 'min');
      return keepsFirst ? a : b;
    }
    if (a.type === 'duration' && b.type === 'duration') return { type: 'duration', ns: BigInt.asIntN(64, a.ns + b.ns) };
    return applyBinary('+', a, b)!;
  }
}
