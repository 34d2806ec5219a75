/** `by(expression)`: divides each set by a value. Spans without one are a group of their own, called nil. */
import { VivaceError } from '../runtime/errors.ts';
import type { FieldExpr, StaticValue } from '../traceql/ast.ts';
import { printField } from '../traceql/print.ts';
import { rowsOf } from './bits.ts';
import { valuesAt } from './compute.ts';
import type { Read } from './gather.ts';
import { listedRows, type SetAttribute, type SetState, setCount } from './spansets.ts';
import type { Layout, Unit } from './unit.ts';

/** Sets that a segment may be divided into: each costs some 200 bytes while the query runs. */
const SETS_MAX = 1_000_000;
/** Rows whose values are held at a time. */
const CHUNK_ROWS = 32 * 1024;

export async function grouped(
  unit: Unit,
  layout: Layout,
  state: SetState,
  expression: FieldExpr,
  stop: () => void,
): Promise<SetState> {
  const key = `by(${printField(expression)})`;
  const { rows, sets } = listedRows(state, layout, unit);
  const division = new Division(setCount(state, layout));
  const divided = new Uint32Array(rows.length);
  for (let from = 0; from < rows.length; from += CHUNK_ROWS) {
    stop();
    const to = Math.min(rows.length, from + CHUNK_ROWS);
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
  const traceOf = state.groups?.traceOf;
  const { numbers, before, values } = division.inOrder();
  const setOf = inPositions(layout, unit, state, rows, divided);
  for (let i = 0; i < setOf.length; i++) setOf[i] = numbers[setOf[i]];
  const own: SetAttribute = { key, valueOf: (set) => values[set] };
  return {
    bits: state.bits,
    groups: { setOf, traceOf: before.map((set) => (traceOf === undefined ? set : traceOf[set])) },
    attributes: [
      ...state.attributes.map((each) => ({ key: each.key, valueOf: (set: number) => each.valueOf(before[set]) })),
      own,
    ],
  };
}

/** The groups that sets fall into, numbered as they come. */
class Division {
  count = 0;
  /** By set: the groups that it has, as numbers by the text of their value. */
  readonly #groups: (Map<string, number> | undefined)[];
  readonly #before: number[] = [];
  readonly #values: (StaticValue | StaticValue[])[] = [];

  constructor(sets: number) {
    this.#groups = new Array(sets).fill(undefined);
  }

  of(set: number, value: Read): number {
    let groups = this.#groups[set];
    if (groups === undefined) groups = this.#groups[set] = new Map();
    const text = textOf(value);
    let group = groups.get(text);
    if (group === undefined) {
      group = this.count++;
      groups.set(text, group);
      this.#before.push(set);
      this.#values.push(value ?? { type: 'nil' });
    }
    return group;
  }

  /** Numbers by which groups of a set follow each other; for each of those, the set that it was part of and its value. */
  inOrder(): { numbers: Uint32Array; before: Uint32Array; values: (StaticValue | StaticValue[])[] } {
    const numbers = new Uint32Array(this.count);
    const before = new Uint32Array(this.count);
    const values: (StaticValue | StaticValue[])[] = new Array(this.count);
    let next = 0;
    for (const groups of this.#groups)
      for (const group of groups?.values() ?? []) {
        before[next] = this.#before[group];
        values[next] = this.#values[group];
        numbers[group] = next++;
      }
    return { numbers, before, values };
  }
}

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
