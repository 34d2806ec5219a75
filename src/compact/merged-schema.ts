/**
 * The columns of a merged block: those of all its blocks, in the order of docs/formats/block.md, and where each block has them.
 */
import type { OpenBlock } from '../block/open.ts';
import { type ColumnUse, FIXED_COLUMNS } from '../block/schema.ts';

/** The blocks cannot be merged within the bounds; they stay as they are. */
export class TooLarge extends Error {}

export interface MergedColumn {
  use: ColumnUse;
  /** The number of the column in each block's file; undefined where it has none. */
  indexes: (number | undefined)[];
  /** Lists of events and links: of the column that every list of that kind is as long as. */
  levelsOf?: (number | undefined)[];
}

const SPACES: readonly ColumnUse['s'][] = ['rare', 'span', 'resource', 'scope', 'event', 'link'];
/** Of the rare fields, and of the fields of events and links; attributes come before `more`. */
const FIELDS: readonly string[] = [
  ...['status_message', 'trace_state', 'flags', 'dropped_attributes', 'dropped_events', 'dropped_links'],
];
/** Resource columns are for other programs only: the resources themselves are in a column of their own. */
const RESOURCE_COLUMNS_MAX = 128;

/** Rejects with TooLarge when a space has more attributes than `columnsMax`. */
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
  for (const column of columns.values()) {
    const { s } = column.use;
    if (s !== 'event' && s !== 'link') continue;
    const base: ColumnUse = { s, k: s === 'event' ? 'time' : 'flags', t: 'int', f: true };
    column.levelsOf = columns.get(keyOf(base))?.indexes;
  }
  const ordered = [...columns.values()].sort((a, b) => placeOf(a.use) - placeOf(b.use));
  for (const space of ['span', 'event', 'link']) {
    const count = ordered.filter(({ use }) => use.s === space && use.f === undefined).length;
    if (count > columnsMax) throw new TooLarge(`they have ${count} attributes of ${space}s`);
  }
  let resources = 0;
  return ordered.filter(({ use }) => use.s !== 'resource' || resources++ < RESOURCE_COLUMNS_MAX);
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
