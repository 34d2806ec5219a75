/**
 * Values of one attribute or intrinsic (spec/api.md §5.3, §5.4): from dictionaries and from codes in use where there are any,
 * number by number where there are none; with a filter, from the spans that satisfy it.
 *
 * Status and kind are constants. Ids are listed as the text that a query finds them by; the reference lists their bytes.
 */
import { bytesField, decodeAnyValue, stringField } from '../block/any-value.ts';
import type { Column, Dictionary, Part, Segment, Space, Want } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { IntrinsicName, Reference, StaticValue } from '../traceql/ast.ts';
import { asCondition } from '../traceql/conditions.ts';
import { formatDuration } from '../traceql/duration.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseIdentifier } from '../traceql/parse.ts';
import { printReference } from '../traceql/print.ts';
import type { TagFilter } from '../traceql/tag-filter.ts';
import {
  eachValue,
  hex,
  KINDS,
  lineString,
  messageAttributes,
  rangeOf,
  STATUSES,
  traceHex,
  trimZeros,
} from './gather.ts';
import { moreColumn, moreValue } from './more.ts';
import type { Progress } from './progress.ts';
import { childrenOf, type Matching, matchingRows, messagesInUse, segmentsInRange, tagFilter } from './tags.ts';
import { treeNumbers } from './tree.ts';
import { type FoundTagValue, floatText, TypedValues } from './typed-values.ts';
import { WELL_KNOWN_KEYS } from './well-known-keys.ts';

export interface TagValuesQuery {
  /** A TraceQL identifier, or with `v1` the bare key of an attribute. */
  tag: string;
  v1: boolean;
  /** TraceQL filter; one that cannot be used is none. */
  query?: string;
  startSeconds: number;
  endSeconds: number;
  limit: number;
  maxStaleValues: number;
  /** Bytes of values with their types, 0 for no bound. */
  bytesMax: number;
}

/**
 * The values, in no order. `stop` throws when nobody waits any more.
 * Throws VivaceError 'invalid' for a tag that is no identifier and for a filter with too many alternatives.
 */
export async function findTagValues(
  segments: readonly Segment[],
  request: TagValuesQuery,
  stop: () => void,
  progress?: Progress<{ values: FoundTagValue[] }>,
): Promise<{ values: FoundTagValue[] }> {
  const { reference, constants } = request.v1
    ? bareTag(request.tag)
    : { reference: identified(request.tag), constants: [] };
  const found = new TypedValues(request, request.bytesMax, stop);
  for (const { type, value } of constants) found.add(type, value);
  const filter = tagFilter(request.query);
  const echo = filter && literalOf(filter, reference);
  if (echo !== undefined) {
    found.add(echo.type, echo.value);
    return { values: found.values };
  }
  if (addConstants(reference, found)) return { values: found.values };
  let done = 0;
  for (const segment of segmentsInRange(segments, request)) {
    await progress?.(done++, () => ({ values: found.values }));
    stop();
    if (found.full) break;
    found.nextSegment();
    const matching = filter && (await matchingRows(segment, filter));
    if (matching?.rows.length === 0) continue;
    if (reference.type === 'intrinsic') await addIntrinsic(segment, reference.name, matching, found);
    else await addAttribute(segment, reference, matching, found, stop);
  }
  return { values: found.values };
}

function identified(tag: string): Reference {
  try {
    return parseIdentifier(tag);
  } catch (error) {
    if (error instanceof TraceQLError) throw new VivaceError('invalid', error.message, { cause: error });
    throw error;
  }
}

/** Names that the first version of the API knows beside the keys of attributes of spans and resources. */
function bareTag(tag: string): { reference: Reference; constants: FoundTagValue[] } {
  const intrinsic = (name: IntrinsicName): Reference => ({ type: 'intrinsic', name, offset: 0 });
  const strings = (...values: string[]): FoundTagValue[] => values.map((value) => ({ type: 'string', value }));
  const scope = WELL_KNOWN_KEYS.get(tag) ?? 'none';
  const attribute: Reference = { type: 'attribute', scope, parent: false, name: tag, offset: 0 };
  switch (tag) {
    case 'name':
      return { reference: intrinsic('name'), constants: [] };
    case 'root.name':
    case 'rootName':
      return { reference: intrinsic('rootName'), constants: [] };
    case 'root.service.name':
      return { reference: intrinsic('rootServiceName'), constants: [] };
    case 'status.code':
      return { reference: attribute, constants: strings('0', '1', '2', 'error', 'ok', 'unset') };
    case 'error':
      return { reference: attribute, constants: strings('true') };
    default:
      return { reference: attribute, constants: [] };
  }
}

/** The literal that a filter demands of the tag itself: the reference answers it alone, whether it exists or not. */
function literalOf(filter: TagFilter, reference: Reference): FoundTagValue | undefined {
  const condition = asCondition(filter.expression);
  if (condition?.op !== '=' || printReference(condition.reference) !== printReference(reference)) return undefined;
  return literal(condition.value);
}

function literal(value: StaticValue): FoundTagValue | undefined {
  switch (value.type) {
    case 'int':
      return { type: 'int', value: String(value.value) };
    case 'float':
      return { type: 'float', value: floatText(value.value) };
    case 'duration':
      return { type: 'duration', value: formatDuration(value.ns) };
    case 'status':
    case 'kind':
      return { type: 'keyword', value: value.value };
    case 'string':
      return { type: 'string', value: value.value };
    case 'bool':
      return { type: 'bool', value: String(value.value) };
    case 'nil':
      return undefined;
  }
}

function addConstants(reference: Reference, found: TypedValues): boolean {
  if (reference.type !== 'intrinsic' || (reference.name !== 'status' && reference.name !== 'kind')) return false;
  for (const value of reference.name === 'status' ? STATUSES : KINDS) found.add('keyword', value);
  return true;
}

async function addAttribute(
  segment: Segment,
  reference: Extract<Reference, { type: 'attribute' }>,
  matching: Matching | undefined,
  found: TypedValues,
  stop: () => void,
): Promise<void> {
  const { scope, name } = reference;
  if (scope === 'resource' || scope === 'none') await addMessages(segment, 'resource', name, matching, found);
  if (scope === 'instrumentation') await addMessages(segment, 'scope', name, matching, found);
  if (scope === 'span' || scope === 'none') await addSpace(segment, 'span', name, matching, matching, found, stop);
  if (scope === 'event' || scope === 'link') {
    const children = matching && (await childrenOf(segment, scope, matching));
    if (children?.rows.length !== 0) await addSpace(segment, scope, name, matching, children, found, stop);
  }
}

async function addMessages(
  segment: Segment,
  of: 'resource' | 'scope',
  key: string,
  matching: Matching | undefined,
  found: TypedValues,
): Promise<void> {
  const messages = await messageAttributes(segment, of);
  const values = messages.map((attributes) => attributes.findLast((attribute) => attribute.key === key)?.value);
  if (values.every((value) => value === undefined)) return;
  const used = await messagesInUse(segment, of, matching?.rows, messages.length);
  values.forEach((value, index) => {
    if (value !== undefined && used[index] === 1) found.any(value);
  });
}

/** `rows` bound what is read, `within` are the entries of the columns that count: rows, or events or links. */
async function addSpace(
  segment: Segment,
  space: Space,
  key: string,
  rows: Matching | undefined,
  within: Matching | undefined,
  found: TypedValues,
  stop: () => void,
): Promise<void> {
  const range = rows && rangeOf(rows.rows);
  for (const type of segment.typesOf(space, key)) {
    if (found.full) return;
    stop();
    const column = await segment.column({ of: 'attribute', space, key, type }, range);
    if (column !== undefined) addColumn(column, within?.rows, found);
  }
  const more = await moreColumn(segment, space, range);
  if (more === undefined) return;
  const wanted = Buffer.from(key);
  eachEntry(more, within?.rows, found, (bytes, from, to) => {
    const value = moreValue(bytes.subarray(from, to), wanted);
    if (value !== undefined) found.any(decodeAnyValue(value));
  });
}

/** The values of a column at the rows, or all of them. */
function addColumn(column: Column, rows: Uint32Array | undefined, found: TypedValues): void {
  switch (column.kind) {
    case 'string':
      eachEntry(column, rows, found, (bytes, from, to) => found.string(bytes, from, to));
      break;
    case 'any':
      eachEntry(column, rows, found, (bytes, from, to) => found.any(decodeAnyValue(bytes.subarray(from, to))));
      break;
    case 'int':
      visit(column, rows, found, (part, index) => found.int64(part.words![2 * index], part.words![2 * index + 1]));
      break;
    case 'double':
      visit(column, rows, found, (part, index) => found.double(part.doubles![index]));
      break;
    case 'bool':
      visit(column, rows, found, (part, index) => found.bool(part.bits![index] === 1));
      break;
    default:
      throw new Error(`values of a column of kind ${column.kind} can not be listed`);
  }
}

/** Calls `each` once for each dictionary entry that occurs at the rows. A live dictionary holds the strings of all columns. */
function eachEntry(
  column: Column,
  rows: Uint32Array | undefined,
  found: TypedValues,
  each: (bytes: Uint8Array, from: number, to: number) => void,
): void {
  const { dictionary: own } = column;
  if (rows === undefined && own?.isOfColumn) {
    // All of its strings occur, so no row has to be looked at.
    for (let code = 0; code < own.count && !found.full; code++) each(own.bytes, own.start(code), own.end(code));
    return;
  }
  const known = new Map<Dictionary, Uint8Array>();
  let dictionary: Dictionary | undefined;
  let seen: Uint8Array = new Uint8Array(0);
  visit(column, rows, found, (part, index) => {
    const of = part.dictionary ?? column.dictionary!;
    if (of !== dictionary) {
      dictionary = of;
      seen = known.get(of) ?? new Uint8Array(of.count);
      known.set(of, seen);
    }
    const code = part.codes![index];
    if (seen[code] === 1) return;
    seen[code] = 1;
    each(of.bytes, of.start(code), of.end(code));
  });
}

/** Calls `each` for the values at the rows (all when undefined) until enough are found. */
function visit(
  column: Column,
  rows: Uint32Array | undefined,
  found: TypedValues,
  each: (part: Part, index: number) => void,
): void {
  if (rows !== undefined) {
    eachValue(column, rows, (_slot, part, index) => {
      if (!found.full) each(part, index);
    });
    return;
  }
  for (const part of column.parts) for (let index = 0; index < part.count && !found.full; index++) each(part, index);
}

async function addIntrinsic(
  segment: Segment,
  name: IntrinsicName,
  matching: Matching | undefined,
  found: TypedValues,
): Promise<void> {
  const rows = matching?.rows;
  const range = rows && rangeOf(rows);
  const add = async (want: Want): Promise<void> => {
    const column = await segment.column(want, range);
    if (column !== undefined) addColumn(column, rows, found);
  };
  switch (name) {
    case 'name':
      return add({ of: 'fixed', field: 'name' });
    case 'duration':
      return add({ of: 'fixed', field: 'duration' });
    case 'statusMessage': {
      const column = await segment.column({ of: 'rare', field: 'status_message' }, range);
      let messages = 0;
      if (column !== undefined) {
        addColumn(column, rows, found);
        if (rows === undefined) for (const part of column.parts) messages += part.count;
        else eachValue(column, rows, () => messages++);
      }
      // The others have the empty one.
      if (messages < (rows?.length ?? segment.rows)) found.add('string', '');
      return;
    }
    case 'traceDuration':
    case 'rootName':
    case 'rootServiceName':
    case 'trace:id':
      return addTraces(await segment.lines(), name, rows && (await segment.tracesOfRows(rows)), found);
    case 'span:id':
    case 'span:parentID': {
      const field = name === 'span:id' ? 'span_id' : 'parent_span_id';
      const column = await segment.column({ of: 'fixed', field }, range);
      if (column !== undefined)
        visit(column, rows, found, (part, index) => found.add('string', hex(part.bytes!, 8 * index, 8 * index + 8)));
      return;
    }
    case 'instrumentation:name':
    case 'instrumentation:version': {
      const scopes = await segment.scopes();
      const used = await messagesInUse(segment, 'scope', rows, scopes.length);
      const field = name === 'instrumentation:name' ? 1 : 2;
      scopes.forEach((scope, index) => {
        if (used[index] === 1) found.add('string', stringField(bytesField(scope, 1), field));
      });
      return;
    }
    case 'event:name':
    case 'link:traceID':
    case 'link:spanID':
    case 'event:timeSinceStart':
      return addChildren(segment, name, matching, found);
    case 'nestedSetLeft':
    case 'nestedSetRight':
    case 'nestedSetParent':
    case 'span:childCount': {
      const numbers = (await treeNumbers(segment))[name];
      if (rows === undefined) for (let row = 0; row < numbers.length && !found.full; row++) found.int(numbers[row]);
      else for (let slot = 0; slot < rows.length && !found.full; slot++) found.int(numbers[rows[slot]]);
      return;
    }
    default:
      return;
  }
}

/** What is known of whole traces: of these, ascending or not, or of all. */
function addTraces(
  lines: TraceLines,
  name: 'traceDuration' | 'rootName' | 'rootServiceName' | 'trace:id',
  traces: Uint32Array | undefined,
  found: TypedValues,
): void {
  const count = traces?.length ?? lines.ids.length / 16;
  let last = -1;
  for (let i = 0; i < count && !found.full; i++) {
    const trace = traces === undefined ? i : traces[i];
    if (trace === last) continue;
    last = trace;
    if (name === 'trace:id') found.add('string', trimZeros(traceHex(lines, trace)));
    else if (name === 'rootName') found.add('string', lineString(lines, lines.rootName[trace]) ?? '');
    else if (name === 'rootServiceName') found.add('string', lineString(lines, lines.rootService[trace]) ?? '');
    else addDifference(lines.startLow[trace], lines.startHigh[trace], lines.endLow[trace], lines.endHigh[trace], found);
  }
}

async function addChildren(
  segment: Segment,
  name: 'event:name' | 'event:timeSinceStart' | 'link:traceID' | 'link:spanID',
  matching: Matching | undefined,
  found: TypedValues,
): Promise<void> {
  const range = matching && rangeOf(matching.rows);
  const space = name === 'event:name' || name === 'event:timeSinceStart' ? 'event' : 'link';
  const within = matching && (await childrenOf(segment, space, matching));
  if (within?.rows.length === 0) return;
  if (name === 'event:name') {
    const column = await segment.column({ of: 'child', space, field: 'name' }, range);
    if (column !== undefined) addColumn(column, within?.rows, found);
    return;
  }
  if (name === 'event:timeSinceStart') return addOffsets(segment, within, found);
  const column = await segment.column(
    { of: 'child', space, field: name === 'link:traceID' ? 'trace_id' : 'span_id' },
    range,
  );
  if (column !== undefined)
    eachEntry(column, within?.rows, found, (bytes, from, to) => found.add('string', trimZeros(hex(bytes, from, to))));
}

/** Nanoseconds from the start of a span to its events. */
async function addOffsets(segment: Segment, within: Matching | undefined, found: TypedValues): Promise<void> {
  const children = await segment.childRows('event');
  const times = await segment.column({ of: 'child', space: 'event', field: 'time' });
  const starts = await segment.column({ of: 'fixed', field: 'start' });
  if (children === undefined || times === undefined || starts === undefined) return;
  const startOf = new Int32Array(2 * segment.rows);
  for (const part of starts.parts) startOf.set(part.words!.subarray(0, 2 * part.count), 2 * part.first);
  const addAt = (child: number, part: Part, index: number): void => {
    const row = children.rows[child];
    addDifference(startOf[2 * row], startOf[2 * row + 1], part.words![2 * index], part.words![2 * index + 1], found);
  };
  if (within !== undefined) eachValue(times, within.rows, (slot, part, index) => addAt(within.rows[slot], part, index));
  else
    for (const part of times.parts)
      for (let index = 0; index < part.count && !found.full; index++) addAt(part.first + index, part, index);
}

/** `to` minus `from`, unsigned nanoseconds in two words each. */
function addDifference(fromLow: number, fromHigh: number, toLow: number, toHigh: number, found: TypedValues): void {
  const low = (toLow >>> 0) - (fromLow >>> 0);
  found.int64(low | 0, ((toHigh >>> 0) - (fromHigh >>> 0) - (low < 0 ? 1 : 0)) | 0);
}
