/**
 * A column as it is stored in the slices of a planned row group, one slice after the other: the levels of its entries here, its values
 * wherever the caller puts them. An entry is a row, or an element of a list; where a block has no such column, its rows have none.
 *
 * ```
 *  slice 0: GET - PUT      slice 1: (no column, 2 rows)     slice 2: - GET      (- is null)
 *  definition: 1 0 1 0 0 0 1       values: GET PUT GET
 * ```
 */
import type { StoredColumn } from '../block/row-group.ts';
import type { Values } from '../parquet/column.ts';
import type { DecodedPage } from '../parquet/read.ts';
import type { Arrays } from '../runtime/arena.ts';
import type { Slice } from './row-group-plan.ts';

/** The column of a slice; undefined where its block has none. */
export type StoredSlice = StoredColumn | undefined;

/** The column in all slices. */
export interface SourceColumn {
  slices: readonly Slice[];
  stored: readonly StoredSlice[];
  /** Rows of all slices. */
  rows: number;
  /** Whether entries are elements of lists. */
  isList: boolean;
  /** Columns of lists of the same lengths, for slices whose block does not have this one: their lists are of nulls. */
  levelsOf?: readonly StoredSlice[];
}

export interface SourceLevels {
  /** The level of a value: 1, in lists 3. */
  levelMax: number;
  entries: number;
  values: number;
  /** Of each entry; undefined: each is a value and there are no lists of several. */
  definition: Uint8Array | undefined;
  /** Of each entry, 0 begins a row; undefined: each does. */
  repetition: Uint8Array | undefined;
}

/**
 * Takes the values [from, to) of a page; `at` is the number of the first of them among those of all slices. False: what comes of
 * it is of no use, the rest need not be read.
 */
export type TakeValues = (
  page: DecodedPage,
  from: number,
  to: number,
  at: number,
  dictionary: Values | undefined,
) => boolean;

/** How many entries there are at most: one a row, and those that lists of several have in the whole row group. */
export function entriesMax({ slices, stored, rows, isList, levelsOf }: SourceColumn): number {
  if (!isList) return rows;
  return slices.reduce((sum, { group }, index) => {
    const column = stored[index] ?? levelsOf?.[index];
    return sum + (column === undefined ? 0 : Math.max(0, column.chunk.numValues - group.rows));
  }, rows);
}

/** undefined when `take` wants no more. */
export function readLevels(column: SourceColumn, arrays: Arrays, take: TakeValues): SourceLevels | undefined {
  const { slices, stored, isList, levelsOf } = column;
  const levelMax = isList ? 3 : 1;
  const most = entriesMax(column);
  const definition = arrays.uint8(most);
  let repetition: Uint8Array | undefined;
  let entries = 0;
  let values = 0;
  for (let index = 0; index < slices.length; index++) {
    const slice = slices[index];
    const own = stored[index];
    const shape = own ?? levelsOf?.[index];
    if (shape === undefined) {
      entries += slice.to - slice.from;
      continue;
    }
    for (const { first, page } of shape.pages) {
      const rowFrom = Math.max(slice.from - first, 0);
      const rowTo = Math.min(slice.to - first, page.rows);
      const from = rowFrom === 0 ? 0 : entryOf(page, rowFrom);
      const to = rowTo === page.rows ? page.entries : entryOf(page, rowTo);
      const valueFrom = from === 0 ? 0 : countValues(page, levelMax, 0, from);
      const valueTo = to === page.entries ? page.count : valueFrom + countValues(page, levelMax, from, to);
      if (page.definition === undefined) definition.fill(levelMax, entries, entries + to - from);
      else definition.set(page.definition.subarray(from, to), entries);
      if (page.repetition !== undefined) {
        repetition ??= arrays.uint8(most);
        repetition.set(page.repetition.subarray(from, to), entries);
      }
      if (own === undefined) nullValues(definition, entries, entries + to - from);
      else if (valueTo > valueFrom) {
        if (!take(page, valueFrom, valueTo, values, own.dictionary)) return undefined;
        values += valueTo - valueFrom;
      }
      entries += to - from;
    }
  }
  const isDense = values === entries && repetition === undefined;
  return {
    ...{ levelMax, entries, values },
    definition: isDense ? undefined : definition.subarray(0, entries),
    repetition: repetition?.subarray(0, entries),
  };
}

/** The first entry of each row, and the end, of levels with lists of several elements. */
export function rowStarts({ entries, repetition }: SourceLevels, starts: Uint32Array): void {
  let row = 0;
  for (let entry = 0; entry < entries; entry++) if (repetition![entry] === 0) starts[row++] = entry;
  starts[row] = entries;
}

/** The first entry of a row of the page. */
function entryOf({ repetition, entries }: DecodedPage, row: number): number {
  if (repetition === undefined) return row;
  let left = row + 1;
  for (let entry = 0; entry < entries; entry++) if (repetition[entry] === 0 && --left === 0) return entry;
  return entries;
}

function countValues({ definition }: DecodedPage, level: number, from: number, to: number): number {
  if (definition === undefined) return to - from;
  let count = 0;
  for (let entry = from; entry < to; entry++) count += ((definition[entry] ^ level) - 1) >>> 31;
  return count;
}

/** Elements of lists that another column has. */
function nullValues(definition: Uint8Array, from: number, to: number): void {
  for (let entry = from; entry < to; entry++) if (definition[entry] === 3) definition[entry] = 2;
}
