/** Reads single values out of columns: for what a result shows, and for expressions that are more than one comparison. */
import {
  type AnyValue,
  type Attribute,
  attributesOf,
  bytesField,
  decodeAnyValue,
  int64,
  stringField,
  utf8,
} from '../block/any-value.ts';
import type { Column, Part, RowRange, Segment } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import type { IntrinsicName, KindName, Reference, StaticValue, StatusName } from '../traceql/ast.ts';
import { moreColumn, moreValue } from './more.ts';
import { treeNumbers } from './tree.ts';

/** nil, one value, or the values of an array or of several events. */
export type Read = undefined | StaticValue | StaticValue[];

export const KINDS: readonly KindName[] = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
export const STATUSES: readonly StatusName[] = ['unset', 'ok', 'error'];
const KIND_VALUES = KINDS.map((value): StaticValue => ({ type: 'kind', value }));
const STATUS_VALUES = STATUSES.map((value): StaticValue => ({ type: 'status', value }));

/**
 * What `reference` reads at each of the ascending rows. Values of events and links are lists, one a child that has it.
 */
export async function gather(segment: Segment, reference: Reference, rows: Uint32Array): Promise<Read[]> {
  const out: Read[] = new Array(rows.length).fill(undefined);
  if (rows.length === 0) return out;
  if (isOfChildren(reference))
    return (await gatherChildren(segment, reference, rows)).map((reads) =>
      reads.length <= 1 ? reads[0] : (reads.flat() as StaticValue[]),
    );
  if (reference.type === 'intrinsic') {
    await gatherIntrinsic(segment, reference.name, rows, out);
    return out;
  }
  const { scope, name } = reference;
  if (reference.parent) return out;
  if (scope === 'resource' || scope === 'none') await gatherMessages(segment, 'resource', name, rows, out);
  if (scope === 'instrumentation') await gatherMessages(segment, 'scope', name, rows, out);
  if (scope === 'span' || scope === 'none') await gatherSpan(segment, name, rows, out);
  return out;
}

/** What a reference to events or links reads at each of the ascending rows: a value for each child that has one, in order. */
export async function gatherChildren(segment: Segment, reference: Reference, rows: Uint32Array): Promise<Read[][]> {
  const out: Read[][] = Array.from(rows, () => []);
  if (rows.length === 0) return out;
  const add = (slot: number, value: Read): void => {
    if (value !== undefined) out[slot].push(value);
  };
  if (reference.type === 'intrinsic') await childIntrinsics(segment, reference.name, rows, add);
  else if (!reference.parent) await childAttributes(segment, childSpace(reference), reference.name, rows, add);
  return out;
}

/** Whether it is read from events or links, of which a span may have several. */
export function isOfChildren(reference: Reference): boolean {
  if (reference.type === 'attribute') return reference.scope === 'event' || reference.scope === 'link';
  return reference.name.startsWith('event:') || reference.name.startsWith('link:');
}

/** What a reference to children is read from. */
export function childSpace(reference: Reference): 'event' | 'link' {
  const scope = reference.type === 'attribute' ? reference.scope : reference.name;
  return scope.startsWith('event') ? 'event' : 'link';
}

/** Index of each row's value within its part, or -1; `each` is called for rows that have one. */
export function eachValue(
  column: Column,
  rows: Uint32Array,
  each: (slot: number, part: Part, index: number) => void,
): void {
  let slot = 0;
  for (const part of column.parts) {
    const end = part.first + part.rows;
    while (slot < rows.length && rows[slot] < part.first) slot++;
    if (slot === rows.length) return;
    if (part.at !== undefined) {
      // Both ascend. Mostly the next one is it; but the column may be much longer than the rows, so it is searched.
      let from = 0;
      for (; slot < rows.length && rows[slot] < end; slot++) {
        if (from < part.count && part.at[from] < rows[slot]) from++;
        if (from < part.count && part.at[from] < rows[slot])
          from = lowerBound(part.at, from + 1, part.count, rows[slot]);
        // A row may be asked for twice, and may have several values.
        for (let i = from; i < part.count && part.at[i] === rows[slot]; i++) each(slot, part, i);
      }
    } else if (part.present !== undefined) {
      const present = part.present;
      let index = 0;
      let row = part.first;
      for (; slot < rows.length && rows[slot] < end; slot++) {
        index += countOnes(present, row - part.first, rows[slot] - part.first);
        row = rows[slot];
        if (present[row - part.first] === 1) each(slot, part, index);
      }
    } else for (; slot < rows.length && rows[slot] < end; slot++) each(slot, part, rows[slot] - part.first);
  }
}

/** How many of present[from, to) are 1; four at a time, since each is a byte. */
export function countOnes(present: Uint8Array, from: number, to: number): number {
  let count = 0;
  while (from < to && ((present.byteOffset + from) & 3) !== 0) count += present[from++];
  const words = (to - from) >>> 2;
  if (words > 4) {
    const view = new Uint32Array(present.buffer, present.byteOffset + from, words);
    let sum = 0;
    for (let i = 0; i < words; i++) {
      sum += view[i];
      // Each byte of the sum counts one of four; they are added up before one can overflow.
      if ((i & 127) === 127) {
        count += (sum & 0xff) + ((sum >>> 8) & 0xff) + ((sum >>> 16) & 0xff) + (sum >>> 24);
        sum = 0;
      }
    }
    count += (sum & 0xff) + ((sum >>> 8) & 0xff) + ((sum >>> 16) & 0xff) + (sum >>> 24);
    from += 4 * words;
  }
  while (from < to) count += present[from++];
  return count;
}

/** `readValue` for many rows of one column: strings of its dictionary are made once, and are the same object each time. */
export function valueReader(column: Column): (part: Part, index: number) => Read {
  const { dictionary, kind } = column;
  if (dictionary === undefined || (kind !== 'string' && kind !== 'any'))
    return (part, index) => readValue(column, part, index);
  const known = new Map<number, Read>();
  return (part, index) => {
    if (part.dictionary !== undefined) return readValue(column, part, index);
    const code = part.codes![index];
    let value = known.get(code);
    if (value === undefined) known.set(code, (value = readValue(column, part, index)));
    return value;
  };
}

/** A value of a part as TraceQL sees it; kvlists, bytes and uneven arrays are nil. */
export function readValue(column: Column, part: Part, index: number): Read {
  switch (column.kind) {
    case 'string':
      return { type: 'string', value: utf8(stringAt(column, part, index)) };
    case 'any':
      return readAny(decodeAnyValue(stringAt(column, part, index)));
    case 'int':
      return { type: 'int', value: int64(part.words![2 * index], part.words![2 * index + 1]) };
    case 'double':
      return { type: 'float', value: part.doubles![index] };
    case 'bool':
      return { type: 'bool', value: part.bits![index] === 1 };
    case 'int32':
      return { type: 'int', value: BigInt(part.ints![index]) };
    case 'fixed':
      return undefined;
  }
}

/** The bytes of a value of a string or any column. */
export function stringAt(column: Column, part: Part, index: number): Uint8Array {
  const dictionary = part.dictionary ?? column.dictionary!;
  const code = part.codes![index];
  return dictionary.bytes.subarray(dictionary.start(code), dictionary.end(code));
}

export function readAny(value: AnyValue): Read {
  switch (value.type) {
    case 'string':
      return { type: 'string', value: value.value };
    case 'int':
      return { type: 'int', value: value.value };
    case 'double':
      return { type: 'float', value: value.value };
    case 'bool':
      return { type: 'bool', value: value.value };
    case 'array': {
      const values: StaticValue[] = [];
      for (const element of value.values) {
        // Not even an array of one is a value within an array.
        const read = element.type === 'array' ? undefined : readAny(element);
        if (read === undefined || Array.isArray(read) || (values.length > 0 && values[0].type !== read.type))
          return undefined;
        values.push(read);
      }
      return values.length === 0 ? undefined : values.length === 1 ? values[0] : values;
    }
    default:
      return undefined;
  }
}

export function rangeOf(rows: Uint32Array): RowRange {
  return { from: rows[0], to: rows[rows.length - 1] + 1 };
}

/**
 * The attribute of a resource or scope; every resource has a service name that is a text, if only an empty one
 * (spec/traceql.md §4.2).
 */
export function attributeNamed(attributes: Attribute[], of: 'resource' | 'scope', key: string): Attribute | undefined {
  const found = attributes.findLast((attribute) => attribute.key === key);
  const isService = of === 'resource' && key === 'service.name';
  return isService && found?.value.type !== 'string' ? NO_SERVICE : found;
}

const NO_SERVICE: Attribute = { key: 'service.name', value: { type: 'string', value: '' } };

/** Attributes of each resource or scope of a segment, decoded once. */
export async function messageAttributes(segment: Segment, of: 'resource' | 'scope'): Promise<Attribute[][]> {
  const messages = of === 'resource' ? await segment.resources() : await segment.scopes();
  let known = decoded.get(messages);
  if (known === undefined) {
    known = messages.map((message) => attributesOf(bytesField(message, 1), of === 'resource' ? 1 : 3));
    decoded.set(messages, known);
  }
  return known;
}

const decoded = new WeakMap<Uint8Array[], Attribute[][]>();

export function hex(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('hex');
}

export function trimZeros(id: string): string {
  return id.replace(/^0+/, '');
}

/** The text of a line's string number; undefined for 0. */
export function lineString(lines: TraceLines, number: number): string | undefined {
  return number === 0 ? undefined : lines.strings[number - 1];
}

export function traceHex(lines: TraceLines, trace: number): string {
  return hex(lines.ids, 16 * trace, 16 * trace + 16);
}

export function traceStart(lines: TraceLines, trace: number): bigint {
  return (BigInt(lines.startHigh[trace]) << 32n) | BigInt(lines.startLow[trace]);
}

export function traceEnd(lines: TraceLines, trace: number): bigint {
  return (BigInt(lines.endHigh[trace]) << 32n) | BigInt(lines.endLow[trace]);
}

async function gatherSpan(segment: Segment, name: string, rows: Uint32Array, out: Read[]): Promise<void> {
  // First what has no column, so that a column's value wins.
  const more = await moreColumn(segment, 'span', rangeOf(rows));
  if (more !== undefined) {
    const key = Buffer.from(name);
    eachValue(more, rows, (slot, part, index) => {
      const value = moreValue(stringAt(more, part, index), key);
      if (value !== undefined) out[slot] = readAny(decodeAnyValue(value));
    });
  }
  for (const type of segment.typesOf('span', name)) {
    const column = await segment.column({ of: 'attribute', space: 'span', key: name, type }, rangeOf(rows), { rows });
    if (column === undefined) continue;
    const read = valueReader(column);
    eachValue(column, rows, (slot, part, index) => {
      out[slot] = read(part, index);
    });
  }
}

async function gatherMessages(
  segment: Segment,
  of: 'resource' | 'scope',
  name: string,
  rows: Uint32Array,
  out: Read[],
): Promise<void> {
  const values = (await messageAttributes(segment, of)).map((attributes) => {
    const found = attributeNamed(attributes, of, name);
    return found === undefined ? undefined : readAny(found.value);
  });
  if (values.every((value) => value === undefined)) return;
  const column = await segment.column({ of }, rangeOf(rows), { rows });
  eachValue(column!, rows, (slot, part, index) => {
    out[slot] = values[part.codes![index]];
  });
}

async function childAttributes(
  segment: Segment,
  space: 'event' | 'link',
  name: string,
  rows: Uint32Array,
  add: (slot: number, value: Read) => void,
): Promise<void> {
  const more = await moreColumn(segment, space, rangeOf(rows));
  const withColumn = more && new Set<number>();
  for (const type of segment.typesOf(space, name))
    await childValues(
      segment,
      space,
      { of: 'attribute', space, key: name, type },
      rows,
      (slot, column, part, index, child) => {
        withColumn?.add(child);
        add(slot, readValue(column, part, index));
      },
    );
  if (withColumn === undefined) return;
  const key = Buffer.from(name);
  await childValues(segment, space, { of: 'child', space, field: 'more' }, rows, (slot, column, part, index, child) => {
    const value = withColumn.has(child) ? undefined : moreValue(stringAt(column, part, index), key);
    if (value !== undefined) add(slot, readAny(decodeAnyValue(value)));
  });
}

/** Calls `each` for the values that the children of the rows have in a column. */
async function childValues(
  segment: Segment,
  space: 'event' | 'link',
  want: Parameters<Segment['column']>[0],
  rows: Uint32Array,
  each: (slot: number, column: Column, part: Part, index: number, child: number) => void,
): Promise<void> {
  const range = rangeOf(rows);
  const column = await segment.column(want, range);
  if (column === undefined) return;
  const children = await segment.childRows(space, range);
  if (children === undefined) return;
  const wanted: number[] = [];
  const slots: number[] = [];
  let slot = 0;
  for (let child = 0; child < children.rows.length; child++) {
    while (slot < rows.length && rows[slot] < children.rows[child]) slot++;
    if (slot === rows.length) break;
    if (rows[slot] === children.rows[child]) {
      wanted.push(children.first + child);
      slots.push(slot);
    }
  }
  eachValue(column, Uint32Array.from(wanted), (index, part, at) => each(slots[index], column, part, at, wanted[index]));
}

async function gatherIntrinsic(
  segment: Segment,
  name: Extract<Reference, { type: 'intrinsic' }>['name'],
  rows: Uint32Array,
  out: Read[],
): Promise<void> {
  const range = rangeOf(rows);
  const fixed = async (
    field: 'name' | 'duration' | 'start' | 'kind' | 'status' | 'span_id' | 'parent_span_id',
    readerOf: (column: Column) => (part: Part, index: number) => Read,
  ): Promise<void> => {
    const column = await segment.column({ of: 'fixed', field }, range, { rows });
    if (column === undefined) return;
    const read = readerOf(column);
    eachValue(column, rows, (slot, part, index) => {
      out[slot] = read(part, index);
    });
  };
  switch (name) {
    case 'name':
      return fixed('name', valueReader);
    case 'duration':
      return fixed('duration', () => (part, i) => ({
        type: 'duration',
        ns: BigInt.asUintN(64, int64(part.words![2 * i], part.words![2 * i + 1])),
      }));
    case 'kind':
      return fixed('kind', () => (part, i) => KIND_VALUES[part.ints![i]] ?? KIND_VALUES[0]);
    case 'status':
      return fixed('status', () => (part, i) => STATUS_VALUES[part.ints![i]] ?? STATUS_VALUES[0]);
    case 'span:id':
      return fixed('span_id', () => (part, i) => ({ type: 'string', value: hex(part.bytes!, 8 * i, 8 * i + 8) }));
    case 'span:parentID':
      out.fill({ type: 'string', value: '0000000000000000' });
      return fixed('parent_span_id', () => (part, i) => ({
        type: 'string',
        value: hex(part.bytes!, 8 * i, 8 * i + 8),
      }));
    case 'statusMessage': {
      out.fill({ type: 'string', value: '' });
      const column = await segment.column({ of: 'rare', field: 'status_message' }, range, { rows });
      if (column !== undefined)
        eachValue(column, rows, (slot, part, index) => {
          out[slot] = readValue(column, part, index);
        });
      return;
    }
    case 'trace:id':
    case 'traceDuration':
    case 'rootName':
    case 'rootServiceName': {
      const lines = await segment.lines();
      const traces = await segment.tracesOfRows(rows);
      for (let slot = 0; slot < rows.length; slot++) out[slot] = traceIntrinsic(lines, traces[slot], name);
      return;
    }
    case 'instrumentation:name':
    case 'instrumentation:version': {
      const field = name === 'instrumentation:name' ? 1 : 2;
      const texts = (await segment.scopes()).map((scope) => stringField(bytesField(scope, 1), field));
      const column = await segment.column({ of: 'scope' }, range, { rows });
      eachValue(column!, rows, (slot, part, index) => {
        out[slot] = { type: 'string', value: texts[part.codes![index]] };
      });
      return;
    }
    case 'nestedSetLeft':
    case 'nestedSetRight':
    case 'nestedSetParent':
    case 'span:childCount': {
      const tree = await treeNumbers(segment);
      const numbers = tree[name];
      for (let slot = 0; slot < rows.length; slot++) out[slot] = { type: 'int', value: BigInt(numbers[rows[slot]]) };
      return;
    }
    default:
      return;
  }
}

async function childIntrinsics(
  segment: Segment,
  name: IntrinsicName,
  rows: Uint32Array,
  add: (slot: number, value: Read) => void,
): Promise<void> {
  switch (name) {
    case 'event:name': {
      const want = { of: 'child', space: 'event', field: 'name' } as const;
      return childValues(segment, 'event', want, rows, (slot, column, part, i) =>
        add(slot, readValue(column, part, i)),
      );
    }
    case 'event:timeSinceStart': {
      const starts = await segment.column({ of: 'fixed', field: 'start' }, rangeOf(rows), { rows });
      const startOf: bigint[] = [];
      eachValue(starts!, rows, (slot, part, i) => {
        startOf[slot] = int64(part.words![2 * i], part.words![2 * i + 1]);
      });
      const want = { of: 'child', space: 'event', field: 'time' } as const;
      return childValues(segment, 'event', want, rows, (slot, _column, part, i) =>
        add(slot, { type: 'duration', ns: int64(part.words![2 * i], part.words![2 * i + 1]) - startOf[slot] }),
      );
    }
    case 'link:traceID':
    case 'link:spanID': {
      const want = { of: 'child', space: 'link', field: name === 'link:traceID' ? 'trace_id' : 'span_id' } as const;
      return childValues(segment, 'link', want, rows, (slot, column, part, i) => {
        const dictionary = part.dictionary ?? column.dictionary!;
        const code = part.codes![i];
        const id = hex(dictionary.bytes, dictionary.start(code), dictionary.end(code));
        add(slot, { type: 'string', value: name === 'link:traceID' ? trimZeros(id) : id });
      });
    }
  }
}

export function traceIntrinsic(
  lines: TraceLines,
  trace: number,
  name: 'trace:id' | 'traceDuration' | 'rootName' | 'rootServiceName',
): StaticValue {
  switch (name) {
    case 'trace:id':
      return { type: 'string', value: trimZeros(traceHex(lines, trace)) };
    case 'traceDuration':
      return { type: 'duration', ns: BigInt.asUintN(64, traceEnd(lines, trace) - traceStart(lines, trace)) };
    case 'rootName':
      return { type: 'string', value: lineString(lines, lines.rootName[trace]) ?? '' };
    case 'rootServiceName':
      return { type: 'string', value: lineString(lines, lines.rootService[trace]) ?? '' };
  }
}

function lowerBound(values: Uint32Array, from: number, to: number, wanted: number): number {
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (values[middle] < wanted) from = middle + 1;
    else to = middle;
  }
  return from;
}
