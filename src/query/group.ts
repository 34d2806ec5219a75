/** `by(expression)`: divides each set by a value. Spans without one are a group of their own, called nil. */
import { VivaceError } from '../runtime/errors.ts';
import type { FieldExpr, StaticValue } from '../traceql/ast.ts';
import { printField } from '../traceql/print.ts';
import { rowsOf } from './bits.ts';
import { rowsAtOnce, valuesAt } from './compute.ts';
import type { Read } from './gather.ts';
import { listedRows, type SetAttribute, type SetState, setCount } from './spansets.ts';
import type { Layout, Unit } from './unit.ts';

/** Sets that a segment may be divided into: each costs some 200 bytes while the query runs. */
const SETS_MAX = 1_000_000;
/** Each by() adds what it says of a set to all results. */
const STAGES_MAX = 64;

export async function grouped(
  unit: Unit,
  layout: Layout,
  state: SetState,
  expression: FieldExpr,
  stop: () => void,
): Promise<SetState> {
  const key = `by(${printField(expression)})`;
  const others = state.attributes.filter((attribute) => attribute.key !== key);
  if (others.length >= STAGES_MAX)
    throw new VivaceError(
      'invalid',
      `cannot group the spans ${key}: a query says at most ${STAGES_MAX} things of a set; leave out some by() and aggregates`,
    );
  const { rows, sets } = listedRows(state, layout, unit);
  const division = new Division(setCount(state, layout));
  const divided = new Uint32Array(rows.length);
  const rowsMax = rowsAtOnce(expression);
  for (let from = 0; from < rows.length; from += rowsMax) {
    stop();
    const to = Math.min(rows.length, from + rowsMax);
    const values = await valuesAt(unit.segment, expression, rows.subarray(from, to));
    for (let i = from; i < to; i++) {
      divided[i] = division.of(sets[i], values[i - from]);
      if (division.count > SETS_MAX)
        throw new VivaceError(
          'too-large',
          `cannot group the spans ${key}: a part of the data has more than ${SETS_MAX} groups. Filter more, ask for less time, or group by something with fewer values`,
        );
    }
  }
  stop();
  const traceOf = state.groups?.traceOf;
  const { numbers, before, values } = division.inOrder();
  const setOf = inPositions(layout, unit, state, rows, divided);
  for (let i = 0; i < setOf.length; i++) setOf[i] = numbers[setOf[i]];
  const own: SetAttribute = { key, valueOf: (set) => values[set] };
  return {
    bits: state.bits,
    groups: { setOf, traceOf: before.map((set) => (traceOf === undefined ? set : traceOf[set])) },
    attributes: [
      ...others.map((each) => ({ key: each.key, valueOf: (set: number) => each.valueOf(before[set]) })),
      own,
    ],
  };
}

/** Groups of a set beyond which they are found by a table instead of one by one. */
const CHAIN_MAX = 8;

/** The groups that sets fall into, numbered as they come. */
class Division {
  count = 0;
  /** Values by number, and the numbers by the text of a value and, where the same object comes again, by itself. */
  readonly #values: (StaticValue | StaticValue[])[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #numberOfObject = new Map<Read, number>();
  /** By set: its latest group, from which the earlier ones hang. */
  readonly #latest: Int32Array;
  /** By group: the one before it in its set, how many there are up to it, its value and its set. */
  readonly #earlier: number[] = [];
  readonly #ordinal: number[] = [];
  readonly #valueOf: number[] = [];
  readonly #setOf: number[] = [];
  readonly #table = new Map<number, number>();

  constructor(sets: number) {
    this.#latest = new Int32Array(sets).fill(-1);
  }

  of(set: number, value: Read): number {
    const number = this.#numberOf(value);
    const latest = this.#latest[set];
    const groups = latest < 0 ? 0 : this.#ordinal[latest] + 1;
    if (groups <= CHAIN_MAX) {
      for (let group = latest; group >= 0; group = this.#earlier[group])
        if (this.#valueOf[group] === number) return group;
    } else {
      const known = this.#table.get(keyOf(set, number));
      if (known !== undefined) return known;
    }
    const group = this.count++;
    this.#latest[set] = group;
    this.#earlier.push(latest);
    this.#ordinal.push(groups);
    this.#valueOf.push(number);
    this.#setOf.push(set);
    if (groups > CHAIN_MAX) this.#table.set(keyOf(set, number), group);
    else if (groups === CHAIN_MAX)
      for (let each = group; each >= 0; each = this.#earlier[each])
        this.#table.set(keyOf(set, this.#valueOf[each]), each);
    return group;
  }

  #numberOf(value: Read): number {
    const known = this.#numberOfObject.get(value);
    if (known !== undefined) return known;
    const text = textOf(value);
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#values.length;
      this.#numbers.set(text, number);
      this.#values.push(value ?? { type: 'nil' });
    }
    if (this.#numberOfObject.size < OBJECTS_MAX) this.#numberOfObject.set(value, number);
    return number;
  }

  /** Numbers by which groups of a set follow each other; for each of those, the set that it was part of and its value. */
  inOrder(): { numbers: Uint32Array; before: Uint32Array; values: (StaticValue | StaticValue[])[] } {
    const numbers = new Uint32Array(this.count);
    const before = new Uint32Array(this.count);
    const values: (StaticValue | StaticValue[])[] = new Array(this.count);
    let next = 0;
    for (const latest of this.#latest) {
      const groups = latest < 0 ? 0 : this.#ordinal[latest] + 1;
      for (let group = latest; group >= 0; group = this.#earlier[group]) {
        const number = next + this.#ordinal[group];
        numbers[group] = number;
        before[number] = this.#setOf[group];
        values[number] = this.#values[this.#valueOf[group]];
      }
      next += groups;
    }
    return { numbers, before, values };
  }
}

function keyOf(set: number, value: number): number {
  return value * 2 ** 26 + set;
}

/** Objects of values that are remembered: those of dictionaries come again, others never do. */
const OBJECTS_MAX = 10_000;

/** What is known by row, in the order of positions. */
function inPositions(layout: Layout, unit: Unit, state: SetState, rows: Uint32Array, ofRows: Uint32Array): Uint32Array {
  const { order } = layout;
  if (order === undefined) return ofRows;
  const byRow = new Uint32Array(unit.segment.rows);
  for (let i = 0; i < rows.length; i++) byRow[rows[i]] = ofRows[i];
  return rowsOf(state.bits).map((position) => byRow[order[position]]);
}

function textOf(value: Read): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) return `[${value.map(textOf).join('\0')}`;
  return `${value.type} ${value.type === 'duration' ? value.ns : value.type === 'nil' ? '' : value.value}`;
}
