/** What a search result lists of a span: the values that the query speaks of (spec/api.md §4.3). */
import type { StaticValue } from '../traceql/ast.ts';
import type { Read as QueryRead } from '../traceql/conditions.ts';
import { formatDuration } from '../traceql/duration.ts';
import { applyBinary } from '../traceql/values.ts';
import { isOfChildren } from './filter.ts';
import type { Read } from './gather.ts';
import type { FoundAttribute, FoundValue } from './results.ts';

/** A value is listed when it is read for itself or satisfies one of the conditions on it; of an array, the elements that do. */
export function listedValue(key: string, read: QueryRead, value: Read): FoundAttribute | undefined {
  if (value === undefined) return undefined;
  const holds = (each: StaticValue): boolean =>
    read.untyped ||
    read.conditions.some((condition) => {
      if (each.type !== condition.value.type && read.reference.type === 'attribute') return false;
      const result = applyBinary(condition.op, each, condition.value);
      return result?.type === 'bool' && result.value;
    });
  if (!Array.isArray(value)) return holds(value) ? { key, value: shownValue(value) } : undefined;
  const kept = value.filter(holds);
  if (kept.length === 0) return undefined;
  // Of several events or links the last one is shown.
  if (isOfChildren(read.reference)) return { key, value: shownValue(kept[kept.length - 1]) };
  return { key, value: shownValue(kept.length === 1 ? kept[0] : kept) };
}

/** Enums and durations are texts, and so is nil. */
export function shownValue(value: StaticValue | StaticValue[]): FoundValue {
  if (Array.isArray(value)) return { type: 'array', values: value.map(shownValue) };
  switch (value.type) {
    case 'int':
      return { type: 'int', value: value.value };
    case 'float':
      return { type: 'double', value: value.value };
    case 'bool':
      return { type: 'bool', value: value.value };
    case 'duration':
      return { type: 'string', value: formatDuration(value.ns) };
    case 'nil':
      return { type: 'string', value: 'nil' };
    default:
      return { type: 'string', value: value.value };
  }
}
