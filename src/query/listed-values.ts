/**
 * What a search result lists of a span (spec/api.md §4.3): values that the query reads for themselves, and those that satisfy
 * one of its conditions on them, whichever filter found the span. `.x` lists what both the span and its resource have.
 */
import type { Segment } from '../block/segment.ts';
import type { Query, Reference, SpansetExpr, Stage, StaticValue } from '../traceql/ast.ts';
import { listedName, type Read as QueryRead, readsOfQuery } from '../traceql/conditions.ts';
import { formatDuration } from '../traceql/duration.ts';
import { printReference } from '../traceql/print.ts';
import { applyBinary } from '../traceql/values.ts';
import { gather, gatherChildren, isOfChildren, type Read } from './gather.ts';
import type { FoundAttribute, FoundValue } from './results.ts';

/** Something that may be listed. */
export interface Listing extends Pick<QueryRead, 'reference' | 'conditions' | 'untyped'> {
  key: string;
}

export interface Listings {
  attributes: Listing[];
  /** The name has a place of its own; undefined when the query does not speak of it. */
  name: Listing | undefined;
}

export function listingsOf(query: Query): Listings {
  const listings = new Map<string, Listing>();
  let name: Listing | undefined;
  const structural = hasStructural(query.pipeline);
  for (const { reference, conditions, untyped, listed } of readsOfQuery(query)) {
    const key = listedName(reference);
    if (reference.type === 'intrinsic' && reference.name === 'name') name = { key, reference, conditions, untyped };
    if (!listed) continue;
    // Structural operators read the numbers of the tree whatever they are.
    const isTree = reference.type === 'intrinsic' && reference.name.startsWith('nestedSet');
    for (const each of placesOf(reference)) {
      const place = printReference(each);
      const known = listings.get(place);
      listings.set(place, {
        key,
        reference: each,
        conditions: [...(known?.conditions ?? []), ...conditions],
        untyped: untyped || known?.untyped === true || (isTree && structural),
      });
    }
  }
  return { attributes: [...listings.values()], name };
}

/** What is listed of each of the ascending rows. */
export async function listedValues(
  segment: Segment,
  listing: Listing,
  rows: Uint32Array,
): Promise<(FoundAttribute | undefined)[]> {
  const { key, reference } = listing;
  const shown = (read: Read): FoundAttribute | undefined => {
    const kept = keptOf(listing, read);
    return kept === undefined ? undefined : { key, value: shownValue(kept) };
  };
  if (!isOfChildren(reference)) return (await gather(segment, reference, rows)).map(shown);
  // Of several events or links the last one is shown.
  const none = listing.untyped ? withoutChildren(reference) : undefined;
  return (await gatherChildren(segment, reference, rows)).map((reads) => {
    const last = reads.findLast((read) => keptOf(listing, read) !== undefined);
    return shown(last ?? none);
  });
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

/** Whether spans are compared with their relatives. */
function hasStructural(stages: readonly Stage[]): boolean {
  const waiting: SpansetExpr[] = [];
  const add = (of: readonly Stage[]): void => {
    for (const stage of of) if (stage.type === 'spanset') waiting.push(stage.expression);
  };
  add(stages);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.type === 'pipeline') add(next.stages);
    else if (next.type === 'spansetBinary') {
      if (next.op !== '&&' && next.op !== '||') return true;
      waiting.push(next.left, next.right);
    }
  }
  return false;
}

function placesOf(reference: Reference): Reference[] {
  if (reference.type !== 'attribute' || reference.scope !== 'none') return [reference];
  return [
    { ...reference, scope: 'span' },
    { ...reference, scope: 'resource' },
  ];
}

/** A value that is to be listed; of an array, the elements. */
function keptOf({ reference, conditions, untyped }: Listing, value: Read): Read {
  if (untyped || value === undefined) return value;
  const holds = (each: StaticValue): boolean =>
    conditions.some((condition) => {
      if (reference.type === 'attribute' && each.type !== condition.value.type) return false;
      const result = applyBinary(condition.op, each, condition.value);
      return result?.type === 'bool' && result.value;
    });
  if (!Array.isArray(value)) return holds(value) ? value : undefined;
  const kept = value.filter(holds);
  return kept.length <= 1 ? kept[0] : kept;
}

/** What a span without any events is listed with. */
function withoutChildren(reference: Reference): Read {
  if (reference.name === 'event:name') return { type: 'string', value: '' };
  if (reference.name === 'event:timeSinceStart') return { type: 'duration', ns: 0n };
  return undefined;
}
