/** Which columns of a row group's file hold what is wanted, and of what kind they are. */
import type { ChunkMetadata } from '../parquet/footer.ts';
import {
  COLUMN_DURATION,
  COLUMN_KIND,
  COLUMN_NAME,
  COLUMN_PARENT,
  COLUMN_PARENT_ID,
  COLUMN_RESOURCE,
  COLUMN_SCOPE,
  COLUMN_SPAN_ID,
  COLUMN_START,
  COLUMN_STATUS,
  COLUMN_TRACE_ID,
  type ColumnUse,
  type ElementType,
  elementType,
  FIXED_COLUMNS,
} from './schema.ts';
import type { AttributeType, ColumnKind, FixedField, Space, Want } from './segment.ts';

const FIXED_INDEX: Record<FixedField, number> = {
  span_id: COLUMN_SPAN_ID,
  parent_span_id: COLUMN_PARENT_ID,
  parent_distance: COLUMN_PARENT,
  name: COLUMN_NAME,
  kind: COLUMN_KIND,
  start: COLUMN_START,
  duration: COLUMN_DURATION,
  status: COLUMN_STATUS,
};

export class RowGroupColumns {
  readonly #uses: readonly ColumnUse[];
  readonly #byUse = new Map<string, number>();
  /** Columns of lists, by the name that their values have as one column of any values. */
  readonly #arrays = new Map<string, number[]>();
  readonly #types = new Map<string, AttributeType[]>();

  /** `uses` says what the columns behind the fixed ones are. */
  constructor(uses: readonly ColumnUse[], columns: readonly ChunkMetadata[]) {
    this.#uses = uses;
    uses.forEach((use, index) => {
      const column = index + FIXED_COLUMNS.length;
      const isArray = elementType(use.t) !== undefined;
      // In this row group nothing has a value in it. An empty list counts as a null.
      if (!isArray && columns[column].statistics?.nullCount === columns[column].numValues) return;
      const asAny = useKey({ ...use, t: 'any' });
      if (isArray) this.#arrays.set(asAny, [...(this.#arrays.get(asAny) ?? []), column]);
      else this.#byUse.set(useKey(use), column);
      if (use.s === 'rare' || use.s === 'resource' || use.s === 'scope' || use.f) return;
      const key = `${use.s} ${use.k}`;
      const type = isArray ? 'any' : (use.t as AttributeType);
      const types = this.#types.get(key);
      if (types === undefined) this.#types.set(key, [type]);
      else if (!types.includes(type)) types.push(type);
    });
  }

  typesOf(space: Space, key: string): AttributeType[] {
    return this.#types.get(`${space} ${key}`) ?? [];
  }

  keys(space: Space): string[] {
    const keys: string[] = [];
    for (const key of this.#types.keys()) if (key.startsWith(`${space} `)) keys.push(key.slice(space.length + 1));
    return keys;
  }

  /** None where there is no value: several, or one of lists, where arrays of a key have columns of their own. */
  indexesOf(want: Want): number[] {
    const index = this.#indexOf(want);
    const own = index === undefined ? [] : [index];
    const arrays = want.of === 'attribute' ? this.#arrays.get(`${want.space} ${want.key} ${want.type}`) : undefined;
    return arrays === undefined ? own : [...own, ...arrays];
  }

  #indexOf(want: Want): number | undefined {
    switch (want.of) {
      case 'fixed':
        return FIXED_INDEX[want.field];
      case 'resource':
        return COLUMN_RESOURCE;
      case 'scope':
        return COLUMN_SCOPE;
      case 'rare':
        return this.#byUse.get(`rare ${want.field} f`);
      case 'child':
        return this.#byUse.get(`${want.space} ${want.field} f`);
      case 'attribute':
        return this.#byUse.get(`${want.space} ${want.key} ${want.type}`);
    }
  }

  /** The column of events or links that has an element for each of them. */
  childIndex(space: 'event' | 'link'): number | undefined {
    return this.#byUse.get(`${space} ${space === 'event' ? 'time' : 'flags'} f`);
  }

  /** Of a column of events or links. */
  childSpaceOf(index: number): 'event' | 'link' {
    return this.#uses[index - FIXED_COLUMNS.length].s as 'event' | 'link';
  }

  /** Of a column of arrays; undefined of the others. */
  elementOf(index: number): ElementType | undefined {
    return index < FIXED_COLUMNS.length ? undefined : elementType(this.#uses[index - FIXED_COLUMNS.length].t);
  }

  kindOf(index: number): ColumnKind {
    if (index >= FIXED_COLUMNS.length) return this.#uses[index - FIXED_COLUMNS.length].t as ColumnKind;
    if (index === COLUMN_NAME || index === COLUMN_RESOURCE || index === COLUMN_SCOPE) return 'string';
    if (index === COLUMN_START || index === COLUMN_DURATION) return 'int';
    if (index === COLUMN_SPAN_ID || index === COLUMN_PARENT_ID || index === COLUMN_TRACE_ID) return 'fixed';
    return 'int32';
  }
}

function useKey(use: ColumnUse): string {
  return use.s === 'rare' || use.f ? `${use.s} ${use.k} f` : `${use.s} ${use.k} ${use.t}`;
}
