/** The spans that a metrics query counts: those of all spansets that its pipeline ends with. */
import type { FieldExpr, Stage } from '../traceql/ast.ts';
import { type Bits, isEmpty } from './bits.ts';
import { filterRows } from './filter.ts';
import { selectRows } from './pipeline.ts';
import type { Unit } from './unit.ts';

/** Rows of the unit's segment, undefined for all of them. */
export async function selectedRows(unit: Unit, stages: readonly Stage[], stop: () => void): Promise<Bits | undefined> {
  const filters = filtersAlone(stages);
  if (filters === undefined || unit.excluded !== undefined) return selectRows(unit, stages, { stop });
  let rows: Bits | undefined;
  for (const filter of filters) {
    if (filter.type === 'static' && filter.value.type === 'bool' && filter.value.value) continue;
    rows = await filterRows(unit.segment, filter, rows);
    if (isEmpty(rows)) return rows;
  }
  return rows;
}

/** The filters of a pipeline in which nothing else decides about spans: groups do not when nothing is asked of them. */
function filtersAlone(stages: readonly Stage[]): FieldExpr[] | undefined {
  const filters: FieldExpr[] = [];
  for (const stage of stages) {
    if (stage.type === 'by' || stage.type === 'coalesce' || stage.type === 'select') continue;
    if (stage.type !== 'spanset' || stage.expression.type !== 'filter') return undefined;
    filters.push(stage.expression.expression);
  }
  return filters;
}
