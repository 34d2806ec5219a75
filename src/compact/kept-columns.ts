/** The columns of a merge that leaves traces out: of what only those have, not even the name stays. */
import type { OpenBlock } from '../block/open.ts';
import { elementType } from '../block/schema.ts';
import { OWN_ARRAYS } from '../runtime/arena.ts';
import { mergeOrderOfPieces } from './merge-order.ts';
import type { MergedColumn } from './merged-schema.ts';
import { type Drops, type PlannedRowGroup, type RowGroupBounds, RowGroupPlanner } from './row-group-plan.ts';
import { readLevels, rowStarts } from './source-levels.ts';
import { storedOf } from './write-row-group.ts';

export async function keptColumns(
  columns: readonly MergedColumn[],
  blocks: readonly OpenBlock[],
  bounds: RowGroupBounds,
  drops: Drops,
): Promise<MergedColumn[]> {
  const kept = new Set(columns.filter(({ use }) => use.f === true || use.s === 'rare' || use.s === 'scope'));
  const planner = new RowGroupPlanner(blocks, bounds, drops);
  for (let plan = await planner.next(); plan !== undefined && kept.size < columns.length; plan = await planner.next())
    for (const column of columns) if (!kept.has(column) && (await hasValues(column, plan))) kept.add(column);
  return columns.filter((column) => kept.has(column));
}

/** Whether one of the rows that stay has a value. An array is one although it is empty. */
async function hasValues({ use, indexes }: MergedColumn, plan: PlannedRowGroup): Promise<boolean> {
  const stored = await storedOf(plan, indexes);
  const isArray = elementType(use.t) !== undefined;
  const isList = isArray || stored.some((column) => column !== undefined && column.chunk.maxRepetition > 0);
  const { slices, rows } = plan;
  const levels = readLevels({ slices, stored, rows, isList }, OWN_ARRAYS, () => true)!;
  const { definition, levelMax } = levels;
  if (definition === undefined) return true;
  const least = isArray ? 1 : levelMax;
  const starts = levels.repetition && new Uint32Array(rows + 1);
  if (starts !== undefined) rowStarts(levels, starts);
  for (const row of mergeOrderOfPieces(plan)) {
    const end = starts === undefined ? row + 1 : starts[row + 1];
    for (let entry = starts === undefined ? row : starts[row]; entry < end; entry++)
      if (definition[entry] >= least) return true;
  }
  return false;
}
