/**
 * A whole trace as OTLP bytes. Resources and scopes are copied as they came; spans are put together from the pages that hold
 * their rows. Fragments of the trace from several segments become one, and a span that several of them hold comes once.
 */
import type { Column, ColumnOptions, RowRange, Segment, Space } from '../block/segment.ts';
import { findTrace } from '../block/traces-file.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import { eachValue } from './gather.ts';
import { traceNumbers, wantedTraces } from './trace-numbers.ts';
import { layoutOf } from './unit.ts';

export interface FoundTrace {
  /** TracesData: repeated field 1, ResourceSpans, each with one ScopeSpans. */
  bytes: Uint8Array;
  spans: number;
  /** Whether spans were left out because of the limit. */
  partial: boolean;
}

/** Collects the trace with this id; undefined when no segment has a span of it. `bytesMax` 0 = no limit. */
export async function collectTrace(
  segments: readonly Segment[],
  id: Uint8Array,
  bytesMax: number,
  stop: () => void,
): Promise<FoundTrace | undefined> {
  const batches = new Map<string, Batch>();
  const seen = new Set<string>();
  let spans = 0;
  let bytes = 0;
  let partial = false;
  let fragments = 0;
  for (const segment of segments) {
    stop();
    const rows = await rowsOfTrace(segment, id);
    if (rows === undefined) continue;
    fragments++;
    const fragment = await readFragment(segment, rows);
    const own: string[] = [];
    for (let slot = 0; slot < rows.length; slot++) {
      if ((slot & 4095) === 4095) stop();
      // Within a segment the same span was already left out when it came twice.
      const identity = fragment.identity(slot);
      if (fragments > 1 && seen.has(identity)) continue;
      own.push(identity);
      if (bytesMax > 0 && bytes > bytesMax) {
        partial = true;
        break;
      }
      const span = fragment.encode(slot, id);
      addToBatch(batches, fragment, slot, span);
      bytes += span.length + 6;
      spans++;
    }
    for (const identity of own) seen.add(identity);
  }
  if (spans === 0) return undefined;
  return { bytes: assemble([...batches.values()]), spans, partial };
}

/**
 * All spans of some traces as TracesData, each span once: what a segment that joins them is made of. Rows are read segment by
 * segment, for all traces together.
 */
export async function collectTraces(
  segments: readonly Segment[],
  ids: readonly Uint8Array[],
  stop: () => void,
): Promise<Uint8Array> {
  const batches = new Map<string, Batch>();
  const seen = new Set<string>();
  for (const segment of segments) {
    stop();
    const { rows, idOfRow } = await rowsOfTraces(segment, ids);
    if (rows.length === 0) continue;
    const fragment = await readFragment(segment, rows);
    const own: string[] = [];
    for (let slot = 0; slot < rows.length; slot++) {
      if ((slot & 4095) === 4095) stop();
      const identity = `${idOfRow[slot]} ${fragment.identity(slot)}`;
      if (seen.has(identity)) continue;
      own.push(identity);
      addToBatch(batches, fragment, slot, fragment.encode(slot, ids[idOfRow[slot]]));
    }
    for (const identity of own) seen.add(identity);
  }
  return assemble([...batches.values()]);
}

/** Ascending rows of the traces in a segment, and the place of each row's trace among the ids. */
async function rowsOfTraces(
  segment: Segment,
  ids: readonly Uint8Array[],
): Promise<{ rows: Uint32Array; idOfRow: Uint32Array }> {
  const numbers = await traceNumbers(segment, wantedTraces(ids));
  const { starts, traces, order } = await layoutOf(segment);
  const idOfTrace = new Map<number, number>();
  numbers.forEach((number, index) => {
    if (number >= 0) idOfTrace.set(number, index);
  });
  const found: { row: number; id: number }[] = [];
  for (let trace = 0; trace + 1 < starts.length && idOfTrace.size > 0; trace++) {
    const id = idOfTrace.get(traces === undefined ? trace : traces[trace]);
    if (id === undefined) continue;
    for (let at = starts[trace]; at < starts[trace + 1]; at++)
      found.push({ row: order === undefined ? at : order[at], id });
  }
  found.sort((a, b) => a.row - b.row);
  return {
    rows: Uint32Array.from(found, ({ row }) => row),
    idOfRow: Uint32Array.from(found, ({ id }) => id),
  };
}

interface Batch {
  resource: Uint8Array;
  scope: Uint8Array;
  spans: Uint8Array[];
  bytes: number;
  start: number;
}

function addToBatch(batches: Map<string, Batch>, fragment: Fragment, slot: number, span: Uint8Array): void {
  const key = fragment.batchKey(slot);
  let batch = batches.get(key);
  if (batch === undefined) {
    const [resource, scope] = [fragment.resource(slot), fragment.scope(slot)];
    batch = { resource, scope, spans: [], bytes: 0, start: fragment.start(slot) };
    batches.set(key, batch);
  }
  batch.spans.push(span);
  batch.bytes += span.length + 6;
}

async function rowsOfTrace(segment: Segment, id: Uint8Array): Promise<Uint32Array | undefined> {
  if (!(await segment.mayHold(id))) return undefined;
  const trace =
    segment.traceNumber === undefined ? findTrace((await segment.lines()).ids, id) : segment.traceNumber(id);
  if (trace < 0) return undefined;
  const rows = await segment.rowsOfTrace(trace);
  return rows.length === 0 ? undefined : rows;
}

/** ResourceSpans by first start; the spans of each in the order in which they were found. */
function assemble(batches: Batch[]): Uint8Array {
  batches.sort((a, b) => a.start - b.start);
  const writer = new ProtoWriter(
    batches.reduce((sum, batch) => sum + batch.bytes + batch.resource.length + batch.scope.length + 32, 64),
  );
  for (const batch of batches) {
    const resourceSpans = writer.begin(tagOf(1, WIRE_BYTES), 2);
    writer.raw(batch.resource);
    const scopeSpans = writer.begin(tagOf(2, WIRE_BYTES), 2);
    writer.raw(batch.scope);
    for (const span of batch.spans) writer.bytesField(tagOf(2, WIRE_BYTES), span);
    writer.end(scopeSpans, 2);
    writer.end(resourceSpans, 2);
  }
  return writer.finish();
}

/** The values of one column at the rows of a fragment, by slot; copied out, since pages are decoded into shared arrays. */
interface Slots {
  kind: Column['kind'];
  /** 1 where the slot has a value. */
  has: Uint8Array;
  strings: Uint8Array[];
  codes: Uint32Array;
  words: Int32Array;
  doubles: Int32Array;
  bits: Uint8Array;
  ints: Int32Array;
  bytes: Uint8Array;
}

/** Reads the values of the ascending rows (or children); `place` says which slot each belongs to. */
function slotsOf(column: Column | undefined, rows: Uint32Array, place: (index: number) => number): Slots | undefined {
  if (column === undefined) return undefined;
  const count = rows.length;
  const { kind } = column;
  const slots: Slots = {
    kind,
    has: new Uint8Array(count),
    strings: [],
    codes: kind === 'string' ? new Uint32Array(count) : NO_CODES,
    words: kind === 'int' ? new Int32Array(2 * count) : NO_WORDS,
    doubles: kind === 'double' ? new Int32Array(2 * count) : NO_WORDS,
    bits: kind === 'bool' ? new Uint8Array(count) : NO_BYTES,
    ints: kind === 'int32' ? new Int32Array(count) : NO_WORDS,
    bytes: kind === 'fixed' ? new Uint8Array(8 * count) : NO_BYTES,
  };
  let any = false;
  eachValue(column, rows, (index, part, at) => {
    const slot = place(index);
    slots.has[slot] = 1;
    any = true;
    switch (kind) {
      case 'string':
      case 'any': {
        const code = part.codes![at];
        if (kind === 'string') slots.codes[slot] = code;
        const dictionary = part.dictionary ?? column.dictionary!;
        const text = dictionary.bytes.subarray(dictionary.start(code), dictionary.end(code));
        slots.strings[slot] = part.dictionary === undefined ? text : text.slice();
        break;
      }
      case 'int':
        slots.words[2 * slot] = part.words![2 * at];
        slots.words[2 * slot + 1] = part.words![2 * at + 1];
        break;
      case 'double': {
        // The bits, so that every NaN comes back as it was.
        const bits = new Int32Array(part.doubles!.buffer, part.doubles!.byteOffset + 8 * at, 2);
        slots.doubles[2 * slot] = bits[0];
        slots.doubles[2 * slot + 1] = bits[1];
        break;
      }
      case 'bool':
        slots.bits[slot] = part.bits![at];
        break;
      case 'int32':
        slots.ints[slot] = part.ints![at];
        break;
      case 'fixed':
        for (let i = 0; i < 8; i++) slots.bytes[8 * slot + i] = part.bytes![8 * at + i];
    }
  });
  return any ? slots : undefined;
}

const NO_CODES = new Uint32Array(0);
const NO_WORDS = new Int32Array(0);
const NO_BYTES = new Uint8Array(0);

interface AttributeSlots extends Slots {
  /** KeyValue key field: tag, length, key. */
  keyField: Uint8Array;
}

interface Fragment {
  identity(slot: number): string;
  batchKey(slot: number): string;
  resource(slot: number): Uint8Array;
  scope(slot: number): Uint8Array;
  start(slot: number): number;
  encode(slot: number, traceId: Uint8Array): Uint8Array;
}

async function readFragment(segment: Segment, rows: Uint32Array): Promise<Fragment> {
  // Depth-first order is not ascending in live segments, and columns are read in ascending order.
  const order = Uint32Array.from(rows).sort();
  const slotOf = new Map<number, number>();
  rows.forEach((row, slot) => {
    slotOf.set(row, slot);
  });
  const range: RowRange = { from: order[0], to: order[order.length - 1] + 1 };
  await segment.prepare?.(range);
  const slots = (column: Column | undefined): Slots | undefined =>
    slotsOf(column, order, (index) => slotOf.get(order[index])!);
  const options = { rows: order };
  const fixed = async (field: Parameters<typeof wantFixed>[0]): Promise<Slots | undefined> =>
    slots(await segment.column(wantFixed(field), range, options));
  const rare = async (field: Parameters<typeof wantRare>[0]): Promise<Slots | undefined> =>
    slots(await segment.column(wantRare(field), range, options));
  const spanId = (await fixed('span_id'))!;
  const parentId = await fixed('parent_span_id');
  const name = (await fixed('name'))!;
  const kind = (await fixed('kind'))!;
  const start = (await fixed('start'))!;
  const duration = (await fixed('duration'))!;
  const status = (await fixed('status'))!;
  const resource = slots(await segment.column({ of: 'resource' }, range, options))!;
  const scope = slots(await segment.column({ of: 'scope' }, range, options))!;
  const message = await rare('status_message');
  const state = await rare('trace_state');
  const flags = await rare('flags');
  const droppedAttributes = await rare('dropped_attributes');
  const droppedEvents = await rare('dropped_events');
  const droppedLinks = await rare('dropped_links');
  const more = await rare('more');
  const resources = await segment.resources();
  const scopes = await segment.scopes();
  const attributes: AttributeSlots[] = [];
  for await (const { key, column } of attributeColumns(segment, 'span', range, options)) {
    const found = slots(column);
    if (found !== undefined) attributes.push({ ...found, keyField: keyField(key) });
  }
  const events = await readChildren(segment, 'event', rows, range);
  const links = await readChildren(segment, 'link', rows, range);
  const writer = new ProtoWriter(1024);

  return {
    identity: (slot) => `${hex8(spanId, slot)} ${int32Of(kind, slot)} ${wordsOf(start, slot).join()}`,
    batchKey: (slot) =>
      Buffer.concat([resources[codeOf(resource, slot)], SEPARATOR, scopes[codeOf(scope, slot)]]).toString('latin1'),
    resource: (slot) => resources[codeOf(resource, slot)],
    scope: (slot) => scopes[codeOf(scope, slot)],
    start: (slot) => {
      const [low, high] = wordsOf(start, slot);
      return (high >>> 0) * 4294967296 + (low >>> 0);
    },
    encode(slot, traceId) {
      writer.length = 0;
      writer.bytesField(tagOf(1, WIRE_BYTES), traceId);
      writer.bytesField(tagOf(2, WIRE_BYTES), bytes8(spanId, slot));
      if (state?.has[slot] === 1) writer.bytesField(tagOf(3, WIRE_BYTES), stringOf(state, slot));
      if (parentId?.has[slot] === 1) writer.bytesField(tagOf(4, WIRE_BYTES), bytes8(parentId, slot));
      const spanName = stringOf(name, slot);
      if (spanName.length > 0) writer.bytesField(tagOf(5, WIRE_BYTES), spanName);
      putInt32(writer, tagOf(6, WIRE_VARINT), int32Of(kind, slot));
      const [startLow, startHigh] = wordsOf(start, slot);
      const [durationLow, durationHigh] = wordsOf(duration, slot);
      const endLow = (startLow >>> 0) + (durationLow >>> 0);
      putFixed64(writer, tagOf(7, WIRE_FIXED64), startLow, startHigh);
      putFixed64(
        writer,
        tagOf(8, WIRE_FIXED64),
        endLow | 0,
        (startHigh + durationHigh + (endLow > 0xffffffff ? 1 : 0)) | 0,
      );
      for (const attribute of attributes)
        if (attribute.has[slot] === 1) putAttribute(writer, tagOf(9, WIRE_BYTES), attribute, slot);
      if (more?.has[slot] === 1) writer.raw(stringOf(more, slot));
      putUint32(writer, tagOf(10, WIRE_VARINT), droppedAttributes, slot);
      events?.encode(writer, slot);
      putUint32(writer, tagOf(12, WIRE_VARINT), droppedEvents, slot);
      links?.encode(writer, slot);
      putUint32(writer, tagOf(14, WIRE_VARINT), droppedLinks, slot);
      // The status is always there, as clients of Tempo expect.
      const mark = writer.begin(tagOf(15, WIRE_BYTES));
      if (message?.has[slot] === 1) writer.bytesField(tagOf(2, WIRE_BYTES), stringOf(message, slot));
      putInt32(writer, tagOf(3, WIRE_VARINT), int32Of(status, slot));
      writer.end(mark);
      if (flags?.has[slot] === 1) {
        writer.varint(tagOf(16, WIRE_FIXED32));
        writer.fixed32(wordsOf(flags, slot)[0] >>> 0);
      }
      return writer.bytes.slice(0, writer.length);
    },
  };
}

const SEPARATOR = Buffer.from([0xff, 0xff, 0xff, 0xff]);

interface Children {
  encode(writer: ProtoWriter, slot: number): void;
}

/** The events or links of the rows, ready to be written row by row. */
async function readChildren(
  segment: Segment,
  space: 'event' | 'link',
  rows: Uint32Array,
  range: RowRange,
): Promise<Children | undefined> {
  const children = await segment.childRows(space, range);
  if (children === undefined) return undefined;
  const slotOf = new Map<number, number>();
  rows.forEach((row, slot) => {
    slotOf.set(row, slot);
  });
  const numbers: number[] = [];
  const ofSlot = new Map<number, number[]>();
  for (let i = 0; i < children.rows.length; i++) {
    const slot = slotOf.get(children.rows[i]);
    if (slot === undefined) continue;
    const list = ofSlot.get(slot);
    if (list === undefined) ofSlot.set(slot, [numbers.length]);
    else list.push(numbers.length);
    numbers.push(children.first + i);
  }
  if (numbers.length === 0) return undefined;
  const wanted = Uint32Array.from(numbers);
  const slots = async (want: Parameters<Segment['column']>[0]): Promise<Slots | undefined> =>
    slotsOf(await segment.column(want, range), wanted, (index) => index);
  const field = (
    name: Extract<Parameters<Segment['column']>[0], { of: 'child' }>['field'],
  ): Promise<Slots | undefined> => slots({ of: 'child', space, field: name });
  const attributes: AttributeSlots[] = [];
  const childRange = { from: numbers[0], to: numbers[numbers.length - 1] + 1 };
  for await (const { key, column } of attributeColumns(segment, space, range, {}, childRange)) {
    const found = slotsOf(column, wanted, (index) => index);
    if (found !== undefined) attributes.push({ ...found, keyField: keyField(key) });
  }
  const more = await field('more');
  const dropped = await field('dropped');
  const putAttributes = (writer: ProtoWriter, tag: number, child: number): void => {
    for (const attribute of attributes) if (attribute.has[child] === 1) putAttribute(writer, tag, attribute, child);
    if (more?.has[child] === 1) writer.raw(stringOf(more, child));
  };
  if (space === 'event') {
    const time = (await field('time'))!;
    const name = (await field('name'))!;
    return {
      encode(writer, slot) {
        for (const child of ofSlot.get(slot) ?? []) {
          const mark = writer.begin(tagOf(11, WIRE_BYTES), 2);
          const [low, high] = wordsOf(time, child);
          putFixed64(writer, tagOf(1, WIRE_FIXED64), low, high);
          const text = stringOf(name, child);
          if (text.length > 0) writer.bytesField(tagOf(2, WIRE_BYTES), text);
          putAttributes(writer, tagOf(3, WIRE_BYTES), child);
          putUint32(writer, tagOf(4, WIRE_VARINT), dropped, child);
          writer.end(mark, 2);
        }
      },
    };
  }
  const traceId = (await field('trace_id'))!;
  const spanId = (await field('span_id'))!;
  const state = (await field('trace_state'))!;
  const flags = await field('flags');
  return {
    encode(writer, slot) {
      for (const child of ofSlot.get(slot) ?? []) {
        const mark = writer.begin(tagOf(13, WIRE_BYTES), 2);
        const trace = stringOf(traceId, child);
        if (trace.some((byte) => byte !== 0)) writer.bytesField(tagOf(1, WIRE_BYTES), trace);
        const span = stringOf(spanId, child);
        if (span.some((byte) => byte !== 0)) writer.bytesField(tagOf(2, WIRE_BYTES), span);
        const text = stringOf(state, child);
        if (text.length > 0) writer.bytesField(tagOf(3, WIRE_BYTES), text);
        putAttributes(writer, tagOf(4, WIRE_BYTES), child);
        putUint32(writer, tagOf(5, WIRE_VARINT), dropped, child);
        if (flags?.has[child] === 1 && wordsOf(flags, child)[0] !== 0) {
          writer.varint(tagOf(6, WIRE_FIXED32));
          writer.fixed32(wordsOf(flags, child)[0] >>> 0);
        }
        writer.end(mark, 2);
      }
    },
  };
}

/** The attribute columns that rows of the range may have values in; `own` is the range of the space's own numbers. */
async function* attributeColumns(
  segment: Segment,
  space: Space,
  range: RowRange,
  options: ColumnOptions,
  own = range,
): AsyncGenerator<{ key: string; column: Column }> {
  if (segment.attributesOf !== undefined) {
    yield* segment.attributesOf(space, own);
    return;
  }
  for (const key of segment.keys(space))
    for (const type of segment.typesOf(space, key)) {
      const column = await segment.column({ of: 'attribute', space, key, type }, range, options);
      if (column !== undefined) yield { key, column };
    }
}

/** KeyValue{key, AnyValue{one member}} as it would have come from an exporter. */
function putAttribute(writer: ProtoWriter, tag: number, slots: AttributeSlots, slot: number): void {
  const keyValue = writer.begin(tag);
  writer.raw(slots.keyField);
  const value = writer.begin(tagOf(2, WIRE_BYTES));
  switch (slots.kind) {
    case 'string':
      writer.bytesField(tagOf(1, WIRE_BYTES), slots.strings[slot]);
      break;
    case 'any':
      writer.raw(slots.strings[slot]);
      break;
    case 'bool':
      writer.varint(tagOf(2, WIRE_VARINT));
      writer.varint(slots.bits[slot]);
      break;
    case 'int':
      writer.varint(tagOf(3, WIRE_VARINT));
      writer.varint64(slots.words[2 * slot] >>> 0, slots.words[2 * slot + 1] >>> 0);
      break;
    case 'double':
      writer.varint(tagOf(4, WIRE_FIXED64));
      writer.fixed32(slots.doubles[2 * slot] >>> 0);
      writer.fixed32(slots.doubles[2 * slot + 1] >>> 0);
  }
  writer.end(value);
  writer.end(keyValue);
}

function putFixed64(writer: ProtoWriter, tag: number, low: number, high: number): void {
  if ((low | high) === 0) return;
  writer.varint(tag);
  writer.fixed32(low >>> 0);
  writer.fixed32(high >>> 0);
}

function putInt32(writer: ProtoWriter, tag: number, value: number): void {
  if (value === 0) return;
  writer.varint(tag);
  writer.varint64(value >>> 0, value < 0 ? 0xffffffff : 0);
}

function putUint32(writer: ProtoWriter, tag: number, slots: Slots | undefined, slot: number): void {
  if (slots?.has[slot] !== 1) return;
  const [low] = wordsOf(slots, slot);
  if (low === 0) return;
  writer.varint(tag);
  writer.varint64(low >>> 0, 0);
}

function wordsOf(slots: Slots, slot: number): [number, number] {
  return [slots.words[2 * slot], slots.words[2 * slot + 1]];
}

function int32Of(slots: Slots, slot: number): number {
  return slots.ints[slot];
}

function codeOf(slots: Slots, slot: number): number {
  return slots.codes[slot];
}

function stringOf(slots: Slots, slot: number): Uint8Array {
  return slots.strings[slot];
}

function bytes8(slots: Slots, slot: number): Uint8Array {
  return slots.bytes.subarray(8 * slot, 8 * slot + 8);
}

function hex8(slots: Slots, slot: number): string {
  return Buffer.from(slots.bytes.buffer, slots.bytes.byteOffset + 8 * slot, 8).toString('latin1');
}

function keyField(key: string): Uint8Array {
  const writer = new ProtoWriter(key.length * 3 + 16);
  writer.stringField(tagOf(1, WIRE_BYTES), key);
  return writer.finish();
}

function wantFixed(
  field: Extract<Parameters<Segment['column']>[0], { of: 'fixed' }>['field'],
): Parameters<Segment['column']>[0] {
  return { of: 'fixed', field };
}

function wantRare(
  field: Extract<Parameters<Segment['column']>[0], { of: 'rare' }>['field'],
): Parameters<Segment['column']>[0] {
  return { of: 'rare', field };
}
