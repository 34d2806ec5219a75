/**
 * `count() > 20`, `avg(duration) > 500ms`: one number a set, and the sets for which it holds. Counting needs no column; the
 * others read values of the spans of sets that are still there.
 *
 * Sums of whole numbers are kept as two doubles, high and low words apart, which are exact for two million values a set.
 */
import type { Column, Part, Segment } from '../block/segment.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Aggregate, FieldExpr, ScalarFilter, StaticValue } from '../traceql/ast.ts';
import { printScalar } from '../traceql/print.ts';
import { applyBinary, isNumeric } from '../traceql/values.ts';
import { valuesAt } from './compute.ts';
import { eachValue, type Read } from './gather.ts';
import { moreColumn } from './more.ts';
import { keptSets, listedRows, type SetState, setCount } from './spansets.ts';
import { countIn, type Layout, type Unit } from './unit.ts';

/** Rows whose values are held at a time. */
const CHUNK_ROWS = 32 * 1024;

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
  const values = await aggregated(unit, layout, state, left, stop);
  const sets = setCount(state, layout);
  const keep = new Uint8Array(sets);
  for (let set = 0; set < sets; set++) {
    const value = values(set);
    if (value === undefined) continue;
    const result = applyBinary(op, value, right.value);
    if (result?.type === 'bool' && result.value) keep[set] = 1;
  }
  const kept = keptSets(state, layout, keep);
  const key = printScalar(left);
  const others = state.attributes.filter((attribute) => attribute.key !== key);
  return { ...kept, attributes: [...others, { key, valueOf: (set) => values(set)! }] };
}

/** The number of each set; undefined for a set without any. */
type SetValues = (set: number) => StaticValue | undefined;

async function aggregated(
  unit: Unit,
  layout: Layout,
  state: SetState,
  { name, argument }: Aggregate,
  stop: () => void,
): Promise<SetValues> {
  if (argument === undefined) return counted(layout, state);
  const { rows, sets } = listedRows(state, layout, unit);
  const columns = await numberColumn(unit.segment, argument, rows);
  if (columns !== undefined) {
    const totals = new WordTotals(setCount(state, layout));
    if (name === 'min' || name === 'max') totals.addExtremes(columns.column, rows, sets, name);
    else totals.addSums(columns.column, rows, sets);
    return (set) => totals.value(set, name, columns.type);
  }
  const totals = new ValueTotals(name);
  for (let from = 0; from < rows.length; from += CHUNK_ROWS) {
    stop();
    const values = await valuesAt(unit.segment, argument, rows.subarray(from, from + CHUNK_ROWS));
    for (let i = 0; i < values.length; i++) totals.add(sets[from + i], values[i]);
  }
  return (set) => totals.value(set);
}

function counted(layout: Layout, state: SetState): SetValues {
  const counts = new Uint32Array(setCount(state, layout));
  if (state.groups === undefined) {
    const { starts } = layout;
    for (let trace = 0; trace < counts.length; trace++)
      counts[trace] = countIn(state.bits, starts[trace], starts[trace + 1]);
  } else for (const set of state.groups.setOf) counts[set]++;
  return (set) => (counts[set] === 0 ? undefined : { type: 'int', value: BigInt(counts[set]) });
}

/** The one column of 64-bit numbers that the argument reads, where it is one. */
async function numberColumn(
  segment: Segment,
  argument: FieldExpr,
  rows: Uint32Array,
): Promise<{ column: Column; type: 'int' | 'duration' } | undefined> {
  if (rows.length === 0) return undefined;
  const range = { from: rows[0], to: rows[rows.length - 1] + 1 };
  if (argument.type === 'intrinsic' && argument.name === 'duration') {
    const column = await segment.column({ of: 'fixed', field: 'duration' }, range, { rows });
    return column && { column, type: 'duration' };
  }
  if (argument.type !== 'attribute' || argument.scope !== 'span' || argument.parent) return undefined;
  const types = segment.typesOf('span', argument.name);
  if (types.length !== 1 || types[0] !== 'int' || (await moreColumn(segment, 'span', range)) !== undefined)
    return undefined;
  const want = { of: 'attribute', space: 'span', key: argument.name, type: 'int' } as const;
  const column = await segment.column(want, range, { rows });
  return column && { column, type: 'int' };
}

/** Totals of whole numbers, a set each. */
class WordTotals {
  readonly #counts: Uint32Array;
  readonly #high: Float64Array;
  readonly #low: Float64Array;

  constructor(sets: number) {
    this.#counts = new Uint32Array(sets);
    this.#high = new Float64Array(sets);
    this.#low = new Float64Array(sets);
  }

  addSums(column: Column, rows: Uint32Array, sets: Uint32Array): void {
    const [counts, high, low] = [this.#counts, this.#high, this.#low];
    eachValue(column, rows, (slot: number, part: Part, index: number) => {
      const set = sets[slot];
      counts[set]++;
      high[set] += part.words![2 * index + 1];
      low[set] += part.words![2 * index] >>> 0;
    });
  }

  addExtremes(column: Column, rows: Uint32Array, sets: Uint32Array, name: 'min' | 'max'): void {
    const [counts, high, low] = [this.#counts, this.#high, this.#low];
    const sign = name === 'min' ? -1 : 1;
    eachValue(column, rows, (slot: number, part: Part, index: number) => {
      const set = sets[slot];
      const valueHigh = part.words![2 * index + 1];
      const valueLow = part.words![2 * index] >>> 0;
      const difference = valueHigh - high[set] || valueLow - low[set];
      if (counts[set]++ > 0 && sign * difference <= 0) return;
      high[set] = valueHigh;
      low[set] = valueLow;
    });
  }

  value(set: number, name: Aggregate['name'], type: 'int' | 'duration'): StaticValue | undefined {
    const count = this.#counts[set];
    if (count === 0) return undefined;
    const sum = this.#high[set] * 4294967296 + this.#low[set];
    if (name === 'avg' && type === 'int') return { type: 'float', value: sum / count };
    const exact = Number.isSafeInteger(sum)
      ? BigInt(sum)
      : BigInt.asIntN(64, (BigInt(this.#high[set]) << 32n) + BigInt(this.#low[set]));
    if (type === 'int') return { type, value: exact };
    return { type, ns: name === 'avg' ? exact / BigInt(count) : exact };
  }
}

/** Totals of whatever values there are; what is no number is left out. */
class ValueTotals {
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
