/**
 * The columns of a merged block: those of all its blocks, in the order of docs/formats/block.md, and where each block has them.
 */
import type { OpenBlock } from '../block/open.ts';
import { type ColumnUse, FIXED_COLUMNS } from '../block/schema.ts';

/** The blocks cannot be merged within bounds of memory; they stay as they are. */
export class TooLarge extends Error {}

export interface MergedColumn {
  use: ColumnUse;
  /** The number of the column in each block's file; undefined where it has none. */
  indexes: (number | undefined)[];
  /** Lists of events and links: of the column that every list of that kind is as long as. */
  levelsOf?: (number | undefined)[];
  /** Of `more`: attributes that get no column of their own. */
  overflow?: MergedColumn[];
}

const SPACES: readonly ColumnUse['s'][] = ['rare', 'span', 'resource', 'scope', 'event', 'link'];
/** Of the rare fields, and of the fields of events and links; attributes come before `more`. */
const FIELDS: readonly string[] = [
  ...['status_message', 'trace_state', 'flags', 'dropped_attributes', 'dropped_events', 'dropped_links'],
];
/** Resource columns are for other programs only: the resources themselves are in a column of their own. */
const RESOURCE_COLUMNS_MAX = 128;

/** Of attributes of a space the `columnsMax` with the most values get columns. */
export function mergedSchema(blocks: readonly OpenBlock[], columnsMax: number): MergedColumn[] {
  const columns = new Map<string, MergedColumn>();
  blocks.forEach(({ uses }, block) => {
    uses.forEach((use, index) => {
      const key = keyOf(use);
      let column = columns.get(key);
      if (column === undefined) {
        column = { use, indexes: blocks.map(() => undefined) };
        columns.set(key, column);
      }
      column.indexes[block] = FIXED_COLUMNS.length + index;
    });
  });
  for (const space of ['span', 'event', 'link'] as const) addOverflow(columns, blocks, space, columnsMax);
  for (const column of [...columns.values()].flatMap((column) => [column, ...(column.overflow ?? [])])) {
    const { s } = column.use;
    if (s !== 'event' && s !== 'link') continue;
    const base: ColumnUse = { s, k: s === 'event' ? 'time' : 'flags', t: 'int', f: true };
    column.levelsOf = columns.get(keyOf(base))?.indexes;
  }
  const ordered = [...columns.values()].sort((a, b) => placeOf(a.use) - placeOf(b.use));
  let resources = 0;
  return ordered.filter(({ use }) => use.s !== 'resource' || resources++ < RESOURCE_COLUMNS_MAX);
}

/** Takes the attributes of a space for which there is no column to its `more`. */
function addOverflow(
  columns: Map<string, MergedColumn>,
  blocks: readonly OpenBlock[],
  space: 'span' | 'event' | 'link',
  columnsMax: number,
): void {
  const own = [...columns.values()].filter(({ use }) => use.s === space && use.f === undefined);
  if (own.length <= columnsMax) return;
  const values = new Map(own.map((column) => [column, valuesOf(column, blocks)]));
  const overflow = own.sort((a, b) => values.get(b)! - values.get(a)!).slice(columnsMax);
  for (const { use } of overflow) columns.delete(keyOf(use));
  const use: ColumnUse =
    space === 'span' ? { s: 'rare', k: 'more', t: 'any' } : { s: space, k: 'more', t: 'any', f: true };
  const more = columns.get(keyOf(use)) ?? { use, indexes: blocks.map(() => undefined) };
  columns.set(keyOf(use), { ...more, overflow });
}

function valuesOf({ indexes }: MergedColumn, blocks: readonly OpenBlock[]): number {
  return indexes.reduce<number>((sum, index, block) => {
    if (index === undefined) return sum;
    return sum + blocks[block].rowGroups.reduce((values, group) => values + group.valuesOf(index), 0);
  }, 0);
}

function keyOf({ s, k, t, f }: ColumnUse): string {
  return `${s} ${f === true} ${t} ${k}`;
}

/** Columns that are alike keep the order in which the blocks have them. */
function placeOf({ s, k, f }: ColumnUse): number {
  const space = 100 * SPACES.indexOf(s);
  if (k === 'more' && (f === true || s === 'rare')) return space + 99;
  if (s === 'rare') return space + FIELDS.indexOf(k);
  return space + (f === true ? 0 : 50);
}
