/**
 * Names of attributes by scope (spec/api.md §5.2). Without a filter they come from what each segment knows of its columns and
 * from its distinct resources and scopes; with one, a name counts when a span that satisfies the filter has it.
 */
import { attributesOf } from '../block/any-value.ts';
import type { Column, RowRange, Segment, Space } from '../block/segment.ts';
import { VivaceError } from '../runtime/errors.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseTagFilter, type TagFilter } from '../traceql/tag-filter.ts';
import { type Bits, has, noBits, rowsOf } from './bits.ts';
import { byteBudget, Distinct } from './distinct.ts';
import { filterRows } from './filter.ts';
import { eachValue, messageAttributes, rangeOf, stringAt } from './gather.ts';
import { MORE_FIELD, moreColumn } from './more.ts';
import type { Progress } from './progress.ts';

export interface TagNamesQuery {
  /** Empty and `none` ask for every scope; `intrinsic` and `trace` have no attributes. */
  scope: '' | 'none' | 'span' | 'resource' | 'intrinsic' | 'event' | 'link' | 'instrumentation' | 'trace';
  /** TraceQL filter; one that cannot be used is none. */
  query?: string;
  startSeconds: number;
  endSeconds: number;
  /** Names of each scope, 0 for all. */
  limit: number;
  /** Stop a scope after so many names in a row that were known already, 0 for never. */
  maxStaleValues: number;
  /** Bytes of all names together, 0 for no bound. */
  bytesMax: number;
}

const SCOPES = ['span', 'resource', 'event', 'link', 'instrumentation'] as const;
type NamedScope = (typeof SCOPES)[number];

/**
 * The names of each scope that has any, sorted. `stop` throws when nobody waits any more.
 * Throws VivaceError 'invalid' for a filter with too many alternatives.
 */
export async function findTagNames(
  segments: readonly Segment[],
  request: TagNamesQuery,
  stop: () => void,
  progress?: Progress<{ scopes: { name: string; tags: string[] }[] }>,
): Promise<{ scopes: { name: string; tags: string[] }[] }> {
  const everything = request.scope === '' || request.scope === 'none';
  const filter = tagFilter(request.query);
  const budget = byteBudget(request.bytesMax);
  const found = new Map<NamedScope, Distinct>();
  for (const scope of SCOPES)
    if (everything || scope === request.scope) found.set(scope, new Distinct(request, budget));
  if (found.size === 0) return { scopes: [] };
  const soFar = () => {
    const scopes = [...found].map(([name, names]) => ({ name, tags: names.texts.sort() }));
    return { scopes: scopes.filter((scope) => scope.tags.length > 0) };
  };
  let done = 0;
  for (const segment of segmentsInRange(segments, request)) {
    await progress?.(done++, soFar);
    stop();
    const matching = filter && (await matchingRows(segment, filter));
    if (matching?.rows.length === 0) continue;
    for (const [scope, names] of found) {
      if (names.full) continue;
      names.nextSegment();
      await addNames(segment, scope, matching, names, stop);
    }
    if ([...found.values()].every((names) => names.full)) break;
  }
  return soFar();
}

/** The filter of a tag query, or undefined for none. Throws VivaceError 'invalid' for too many alternatives. */
export function tagFilter(query: string | undefined): TagFilter | undefined {
  if (query === undefined) return undefined;
  try {
    return parseTagFilter(query);
  } catch (error) {
    if (error instanceof TraceQLError) throw new VivaceError('invalid', error.message, { cause: error });
    throw error;
  }
}

/** Rows as a set and as a list, ascending. */
export interface Matching {
  bits: Bits;
  rows: Uint32Array;
}

export async function matchingRows(segment: Segment, filter: TagFilter): Promise<Matching> {
  const bits = await filterRows(segment, filter.expression);
  return { bits, rows: rowsOf(bits) };
}

/** The segments that may hold spans of the range, in their order. */
export function segmentsInRange(
  segments: readonly Segment[],
  range: { startSeconds: number; endSeconds: number },
): Segment[] {
  return segments.filter(
    (segment) => segment.endSeconds >= range.startSeconds && segment.startSeconds <= range.endSeconds,
  );
}

/** Events or links of the matching rows, by number. */
export async function childrenOf(segment: Segment, space: 'event' | 'link', matching: Matching): Promise<Matching> {
  const children = await segment.childRows(space);
  const bits = noBits(children?.rows.length ?? 0);
  if (children !== undefined)
    for (let child = 0; child < children.rows.length; child++)
      if (has(matching.bits, children.rows[child])) bits[child >>> 5] |= 1 << (child & 31);
  return { bits, rows: rowsOf(bits) };
}

/** Numbers of the resources or scopes that the rows (undefined: any) have. */
export async function messagesInUse(
  segment: Segment,
  of: 'resource' | 'scope',
  rows: Uint32Array | undefined,
  count: number,
): Promise<Uint8Array> {
  if (rows === undefined) return new Uint8Array(count).fill(1);
  const used = new Uint8Array(count);
  const column = await segment.column({ of }, rangeOf(rows));
  if (column !== undefined)
    eachValue(column, rows, (_slot, part, index) => {
      used[part.codes![index]] = 1;
    });
  return used;
}

async function addNames(
  segment: Segment,
  scope: NamedScope,
  matching: Matching | undefined,
  names: Distinct,
  stop: () => void,
): Promise<void> {
  switch (scope) {
    case 'resource':
    case 'instrumentation': {
      const of = scope === 'resource' ? 'resource' : 'scope';
      const messages = await messageAttributes(segment, of);
      const used = await messagesInUse(segment, of, matching?.rows, messages.length);
      messages.forEach((attributes, index) => {
        if (used[index] === 1) for (const { key } of attributes) names.add(key);
      });
      return;
    }
    case 'span':
      return addColumnNames(segment, 'span', matching, matching && rangeOf(matching.rows), names, stop);
    case 'event':
    case 'link': {
      const children = matching && (await childrenOf(segment, scope, matching));
      if (children?.rows.length === 0) return;
      return addColumnNames(segment, scope, children, matching && rangeOf(matching.rows), names, stop);
    }
  }
}

/** The names of the columns of a space, or of those with a value in the set; and names that have no column. */
async function addColumnNames(
  segment: Segment,
  space: Space,
  within: Matching | undefined,
  range: RowRange | undefined,
  names: Distinct,
  stop: () => void,
): Promise<void> {
  for (const key of ((await segment.keysInUse?.(space)) ?? segment.keys(space)).sort()) {
    if (names.full) return;
    if (within !== undefined) {
      stop();
      if (!(await hasKey(segment, space, key, within.bits, range!))) continue;
    }
    names.add(key);
  }
  const more = await moreColumn(segment, space, range);
  if (more === undefined) return;
  const field = MORE_FIELD[space];
  const add = (message: Uint8Array): void => {
    if (!names.full) for (const { key } of attributesOf(message, field)) names.add(key);
  };
  if (within !== undefined) eachValue(more, within.rows, (_slot, part, index) => add(stringAt(more, part, index)));
  else
    for (const part of more.parts) {
      stop();
      for (let index = 0; index < part.count && !names.full; index++) add(stringAt(more, part, index));
    }
}

/** Rows near the first one that are looked at before the whole range: a few pages answer for most keys. */
const NEAR_ROWS = 4096;

async function hasKey(segment: Segment, space: Space, key: string, within: Bits, range: RowRange): Promise<boolean> {
  const near = { from: range.from, to: Math.min(range.to, range.from + NEAR_ROWS) };
  for (const rows of near.to < range.to ? [near, range] : [range])
    for (const type of segment.typesOf(space, key)) {
      const column = await segment.column({ of: 'attribute', space, key, type }, rows);
      if (column !== undefined && hasValueIn(column, within)) return true;
    }
  return false;
}

function hasValueIn(column: Column, within: Bits): boolean {
  for (const { first, rows, count, present, at } of column.parts) {
    if (at !== undefined) {
      for (let i = 0; i < count; i++) if (has(within, at[i])) return true;
    } else {
      for (let row = 0; row < rows; row++)
        if ((present === undefined || present[row] === 1) && has(within, first + row)) return true;
    }
  }
  return false;
}
