/** The columns of a merge that leaves traces out: of what only those have, not even the name stays. */
import type { OpenBlock } from '../block/open.ts';
import { elementType } from '../block/schema.ts';
import { OWN_ARRAYS } from '../runtime/arena.ts';
import { mergeOrderOfPieces } from './merge-order.ts';
import type { MergedColumn } from './merged-schema.ts';
import { type Drops, type PlannedRowGroup, type RowGroupBounds, RowGroupPlanner } from './row-group-plan.ts';
import { readFlat, readLists } from './stored-rows.ts';
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
  const read = isList
    ? readLists(plan.slices, stored, [], plan.rows, OWN_ARRAYS)
    : readFlat(plan.slices, stored, plan.rows, OWN_ARRAYS);
  const starts = read.lists?.starts;
  for (const row of mergeOrderOfPieces(plan)) {
    const end = starts === undefined ? row + 1 : starts[row + 1];
    for (let entry = starts === undefined ? row : starts[row]; entry < end; entry++)
      if (isArray ? read.lists!.levels[entry] > 0 : read.numbers[entry] !== 0) return true;
  }
  return false;
}
