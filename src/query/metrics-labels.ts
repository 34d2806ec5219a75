/**
 * Reads labels of a segment as numbers of their values. A segment's dictionary code is translated once a segment: no string is
 * touched for a row.
 *
 *   row ─▶ code of the column ─▶ number of the value (label-values.ts)
 */
import { bytesField, decodeAnyValue, stringField } from '../block/any-value.ts';
import type { Column, Dictionary, Segment } from '../block/segment.ts';
import type { Reference, StaticValue } from '../traceql/ast.ts';
import { formatDuration } from '../traceql/duration.ts';
import {
  attributeNamed,
  gather,
  KINDS,
  lineString,
  messageAttributes,
  type Read,
  readAny,
  STATUSES,
} from './gather.ts';
import { type LabelValues, LIMITED } from './label-values.ts';
import { CodeCounts } from './metrics-codes.ts';
import { ColumnCursor, openCursor } from './metrics-cursor.ts';
import { moreColumn, moreValue } from './more.ts';
import type { FoundValue } from './results.ts';

/** Not looked up yet. */
const UNKNOWN = -2;
/** The row keeps what it had: there is no such key in it. */
const KEEP = -3;

/** Reads one label of a segment for ascending rows. */
export interface LabelReader {
  /** out[k] becomes the number of the value of rows[k]; waits only where a label is read value by value. */
  fill(rows: Uint32Array, count: number, out: Int32Array): Promise<void> | undefined;
  close(): void;
}

/** A reader of `reference`; `rows` are those that will be asked for, undefined for all. */
export async function openLabel(
  segment: Segment,
  reference: Reference,
  values: LabelValues,
  rows: Uint32Array | undefined,
): Promise<LabelReader> {
  const layers = await layersOf(segment, reference, values, rows);
  if (layers === undefined) return valueByValue(segment, reference, values);
  const start = reference.type === 'intrinsic' ? WITHOUT_COLUMN.get(reference.name) : undefined;
  return {
    fill(rows, count, out) {
      out.fill(start === undefined ? 0 : values.number(start), 0, count);
      for (const layer of layers) layer.fill(rows, count, out);
      return undefined;
    },
    close() {
      for (const layer of layers) layer.cursor.close();
    },
  };
}

const EMPTY: FoundValue = { type: 'string', value: '' };
/** What a span has that has no value in the column. */
const WITHOUT_COLUMN: ReadonlyMap<string, FoundValue> = new Map([
  ['statusMessage', EMPTY],
  ['span:parentID', { type: 'string', value: '0000000000000000' }],
]);

/** A label whose values are entries of one dictionary. */
export interface CodedLabel {
  column: Column;
  /** The number of the value of a code, of the part's own dictionary when it has one. */
  numberOf(code: number, own: Dictionary | undefined): number;
}

/** The label as codes that can be counted by themselves; undefined when it takes more than that to read it. */
export async function openCodes(
  segment: Segment,
  reference: Reference,
  values: LabelValues,
): Promise<CodedLabel | undefined> {
  const ofBytes = (column: Column | undefined): CodedLabel | undefined =>
    column && {
      column,
      numberOf(code, own) {
        const dictionary = own ?? column.dictionary!;
        return values.bytes(dictionary.bytes, dictionary.start(code), dictionary.end(code));
      },
    };
  if (reference.type === 'intrinsic')
    return reference.name === 'name' ? ofBytes(await segment.column({ of: 'fixed', field: 'name' })) : undefined;
  const { scope, name } = reference;
  if (reference.parent) return undefined;
  if (scope === 'span') {
    const types = segment.typesOf('span', name);
    if (types.length !== 1 || types[0] !== 'string' || (await moreColumn(segment, 'span')) !== undefined)
      return undefined;
    return ofBytes(await segment.column({ of: 'attribute', space: 'span', key: name, type: 'string' }));
  }
  if (scope !== 'resource' && scope !== 'instrumentation') return undefined;
  const of = scope === 'resource' ? 'resource' : 'scope';
  const found = await messageValues(segment, of, name);
  const column = await segment.column({ of });
  return column && { column, numberOf: (code) => values.number(found[code]) };
}

/** Of each row of a segment one of a few places; without `of` all rows have place 0. */
export interface Places {
  count: number;
  of?: Uint8Array;
}

/** Calls `visit` with how many rows have each value, by number and place, perhaps more than once for some; returns how many rows have one. */
export function eachCode(
  { column, numberOf }: CodedLabel,
  places: Places,
  stop: () => void,
  visit: (number: number, place: number, count: number) => void,
): number {
  // A live segment's dictionary has the strings of all columns.
  const { dictionary: all } = column;
  const shared = new CodeCounts(places.count, all?.isOfColumn ? all.count : undefined);
  let counted = 0;
  for (const part of column.parts) {
    stop();
    const { codes, count, dictionary } = part;
    counted += count;
    const counts = dictionary === undefined ? shared : new CodeCounts(places.count, dictionary.count);
    if (places.of === undefined) counts.add(codes!, count);
    else counts.addByPlace(part, places.of);
    if (dictionary !== undefined) counts.each((code, place, times) => visit(numberOf(code, dictionary), place, times));
  }
  shared.each((code, place, times) => visit(numberOf(code, undefined), place, times));
  return counted;
}

/** The value that an attribute has in each resource or scope. */
async function messageValues(
  segment: Segment,
  of: 'resource' | 'scope',
  name: string,
): Promise<(FoundValue | undefined)[]> {
  return (await messageAttributes(segment, of)).map((attributes) => {
    const attribute = attributeNamed(attributes, of, name);
    return attribute && labelValue(readAny(attribute.value));
  });
}

/** A value as labels show it: durations and enums as text. */
export function labelValue(value: Read): FoundValue | undefined {
  if (value === undefined || Array.isArray(value)) return undefined;
  return shownStatic(value);
}

export function shownStatic(value: StaticValue): FoundValue | undefined {
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
      return undefined;
    default:
      return { type: 'string', value: value.value };
  }
}

/** One column that says something about a label; a later layer hides an earlier one where it has a value. */
interface Layer {
  cursor: ColumnCursor;
  fill(rows: Uint32Array, count: number, out: Int32Array): void;
}

/** undefined when the label has to be read value by value. */
async function layersOf(
  segment: Segment,
  reference: Reference,
  values: LabelValues,
  rows: Uint32Array | undefined,
): Promise<Layer[] | undefined> {
  const layers: Layer[] = [];
  const add = (layer: Layer | undefined): void => {
    if (layer !== undefined) layers.push(layer);
  };
  if (reference.type === 'intrinsic') {
    switch (reference.name) {
      case 'name':
        return [stringLayer((await openCursor(segment, { of: 'fixed', field: 'name' }, rows))!, asText)];
      case 'kind':
        return [enumLayer((await openCursor(segment, { of: 'fixed', field: 'kind' }, rows))!, values, KINDS)];
      case 'status':
        return [enumLayer((await openCursor(segment, { of: 'fixed', field: 'status' }, rows))!, values, STATUSES)];
      case 'statusMessage': {
        const cursor = await openCursor(segment, { of: 'rare', field: 'status_message' }, rows);
        add(cursor && stringLayer(cursor, asText));
        return layers;
      }
      case 'span:id':
      case 'span:parentID': {
        const field = reference.name === 'span:id' ? 'span_id' : 'parent_span_id';
        const cursor = await openCursor(segment, { of: 'fixed', field }, rows);
        add(cursor && idLayer(cursor, values));
        return layers;
      }
      case 'instrumentation:name':
      case 'instrumentation:version': {
        const field = reference.name === 'instrumentation:name' ? 1 : 2;
        const texts = (await segment.scopes()).map(
          (scope): FoundValue => ({ type: 'string', value: stringField(bytesField(scope, 1), field) }),
        );
        add(await messageLayer(segment, 'scope', texts, values, rows));
        return layers;
      }
      case 'parent':
        return [];
      default:
        return undefined;
    }
  }
  const { scope, name } = reference;
  if (reference.parent) return [];
  if (scope === 'event' || scope === 'link') return undefined;
  if (scope === 'resource' || scope === 'none' || scope === 'instrumentation') {
    const of = scope === 'instrumentation' ? 'scope' : 'resource';
    const found = await messageValues(segment, of, name);
    if (found.some((value) => value !== undefined)) add(await messageLayer(segment, of, found, values, rows));
  }
  if (scope === 'span' || scope === 'none') {
    const more = await moreColumn(segment, 'span');
    const key = Buffer.from(name);
    if (more !== undefined)
      add(
        stringLayer(new ColumnCursor(more), (bytes) => {
          const value = moreValue(bytes, key);
          return value === undefined ? KEEP : values.number(labelValue(readAny(decodeAnyValue(value))));
        }),
      );
    for (const type of segment.typesOf('span', name)) {
      const cursor = await openCursor(segment, { of: 'attribute', space: 'span', key: name, type }, rows);
      if (cursor === undefined) continue;
      if (type === 'string') add(stringLayer(cursor, asText));
      else if (type === 'any')
        add(stringLayer(cursor, (bytes) => values.number(labelValue(readAny(decodeAnyValue(bytes))))));
      else if (type === 'int') add(intLayer(cursor, values));
      else if (type === 'double') add(doubleLayer(cursor, values));
      else add(boolLayer(cursor, values));
    }
  }
  return layers;

  function asText(bytes: Uint8Array): number {
    return values.bytes(bytes, 0, bytes.length);
  }
}

async function messageLayer(
  segment: Segment,
  of: 'resource' | 'scope',
  texts: (FoundValue | undefined)[],
  values: LabelValues,
  rows: Uint32Array | undefined,
): Promise<Layer | undefined> {
  const cursor = await openCursor(segment, { of }, rows);
  if (cursor === undefined) return undefined;
  const numbers = new Int32Array(texts.length).fill(UNKNOWN);
  return {
    cursor,
    fill(rows, count, out) {
      cursor.read(rows, count, (part, index, from, to) => {
        const codes = part.codes!;
        for (let k = from; k < to; k++) {
          if (index[k] < 0) continue;
          const code = codes[index[k]];
          let number = numbers[code];
          if (number === UNKNOWN) number = numbers[code] = values.number(texts[code]);
          out[k] = number;
        }
      });
    },
  };
}

/** `numberOf` is asked once an entry of a dictionary, and only for entries that occur. */
function stringLayer(cursor: ColumnCursor, numberOf: (bytes: Uint8Array) => number): Layer {
  const shared = cursor.column.dictionary;
  const sharedNumbers = shared && new Int32Array(shared.count).fill(UNKNOWN);
  let own: Dictionary | undefined;
  let ownNumbers = new Int32Array(0);
  return {
    cursor,
    fill(rows, count, out) {
      cursor.read(rows, count, (part, index, from, to) => {
        const codes = part.codes!;
        let dictionary = shared!;
        let numbers = sharedNumbers!;
        if (part.dictionary !== undefined) {
          if (own !== part.dictionary) ownNumbers = new Int32Array(part.dictionary.count).fill(UNKNOWN);
          dictionary = own = part.dictionary;
          numbers = ownNumbers;
        }
        for (let k = from; k < to; k++) {
          if (index[k] < 0) continue;
          const code = codes[index[k]];
          let number = numbers[code];
          if (number === UNKNOWN) {
            const bytes = dictionary.bytes.subarray(dictionary.start(code), dictionary.end(code));
            number = numbers[code] = numberOf(bytes);
          }
          if (number !== KEEP) out[k] = number;
        }
      });
    },
  };
}

function enumLayer(cursor: ColumnCursor, values: LabelValues, names: readonly string[]): Layer {
  const numbers = new Int32Array(names.length).fill(UNKNOWN);
  return {
    cursor,
    fill(rows, count, out) {
      cursor.read(rows, count, (part, index, from, to) => {
        const ints = part.ints!;
        for (let k = from; k < to; k++) {
          let at = ints[index[k]];
          // What has no name is the first of them.
          if (at < 0 || at >= names.length) at = 0;
          let number = numbers[at];
          if (number === UNKNOWN) number = numbers[at] = values.string(names[at]);
          out[k] = number;
        }
      });
    },
  };
}

/** Whole numbers up to here are looked up in an array. */
const SMALL_INTS = 1024;

function intLayer(cursor: ColumnCursor, values: LabelValues): Layer {
  const small = new Int32Array(SMALL_INTS).fill(UNKNOWN);
  const numberOf = (low: number, high: number): number => {
    const value = high * 4294967296 + (low >>> 0);
    if (Number.isSafeInteger(value)) return values.int(value);
    return values.number({ type: 'int', value: (BigInt(high) << 32n) | BigInt(low >>> 0) });
  };
  return {
    cursor,
    fill(rows, count, out) {
      cursor.read(rows, count, (part, index, from, to) => {
        const words = part.words!;
        for (let k = from; k < to; k++) {
          if (index[k] < 0) continue;
          const low = words[2 * index[k]];
          const high = words[2 * index[k] + 1];
          if (high === 0 && low >= 0 && low < SMALL_INTS) {
            if (small[low] === UNKNOWN) small[low] = values.int(low);
            out[k] = small[low];
          } else out[k] = numberOf(low, high);
        }
      });
    },
  };
}

function doubleLayer(cursor: ColumnCursor, values: LabelValues): Layer {
  return {
    cursor,
    fill(rows, count, out) {
      cursor.read(rows, count, (part, index, from, to) => {
        const doubles = part.doubles!;
        for (let k = from; k < to; k++) if (index[k] >= 0) out[k] = values.double(doubles[index[k]]);
      });
    },
  };
}

function idLayer(cursor: ColumnCursor, values: LabelValues): Layer {
  return {
    cursor,
    fill(rows, count, out) {
      cursor.read(rows, count, (part, index, from, to) => {
        const bytes = part.bytes!;
        for (let k = from; k < to; k++)
          if (index[k] >= 0) out[k] = values.id(bytes, ID_BYTES * index[k], ID_BYTES * (index[k] + 1));
      });
    },
  };
}

const ID_BYTES = 8;

function boolLayer(cursor: ColumnCursor, values: LabelValues): Layer {
  const numbers = new Int32Array(2).fill(UNKNOWN);
  return {
    cursor,
    fill(rows, count, out) {
      cursor.read(rows, count, (part, index, from, to) => {
        const bits = part.bits!;
        for (let k = from; k < to; k++) {
          if (index[k] < 0) continue;
          const bit = bits[index[k]];
          let number = numbers[bit];
          if (number === UNKNOWN) number = numbers[bit] = values.number({ type: 'bool', value: bit === 1 });
          out[k] = number;
        }
      });
    },
  };
}

/** Labels that no loop is made for: times, ids, numbers of the tree, events and links. Of several events the first counts. */
function valueByValue(segment: Segment, reference: Reference, values: LabelValues): LabelReader {
  if (
    reference.type === 'intrinsic' &&
    (reference.name === 'rootName' || reference.name === 'rootServiceName' || reference.name === 'trace:id')
  )
    return traceReader(segment, reference.name, values);
  const none = reference.type === 'intrinsic' && reference.name === 'event:name' ? EMPTY : undefined;
  return {
    async fill(rows, count, out) {
      const reads = await gather(segment, reference, rows.slice(0, count));
      for (let k = 0; k < count; k++) out[k] = values.number(labelValue(firstOf(reads[k], reference)) ?? none);
    },
    close() {},
  };
}

/** A span counts once: of several events or links the first one is taken. */
export function firstOf(read: Read, reference: Reference): Read {
  if (!Array.isArray(read)) return read;
  const children = reference.type === 'intrinsic' || reference.scope === 'event' || reference.scope === 'link';
  return children ? read[0] : undefined;
}

/** What is known of whole traces: looked up once a trace. */
function traceReader(
  segment: Segment,
  name: 'rootName' | 'rootServiceName' | 'trace:id',
  values: LabelValues,
): LabelReader {
  const byString = new Map<number, number>();
  return {
    async fill(rows, count, out) {
      const lines = await segment.lines();
      const traces = await segment.tracesOfRows(rows.slice(0, count));
      const strings = name === 'rootName' ? lines.rootName : lines.rootService;
      let last = -1;
      let number = 0;
      for (let k = 0; k < count; k++) {
        if (traces[k] !== last) {
          last = traces[k];
          if (name === 'trace:id') number = values.string(traceIdText(lines.ids, last));
          else {
            const known = byString.get(strings[last]);
            number = known ?? values.string(lineString(lines, strings[last]) ?? '');
            if (known === undefined && number !== LIMITED) byString.set(strings[last], number);
          }
        }
        out[k] = number;
      }
    },
    close() {},
  };
}

/** Hex without zeros on the left. */
export function traceIdText(ids: Uint8Array, trace: number): string {
  const hex = Buffer.from(ids.buffer, ids.byteOffset + 16 * trace, 16).toString('hex');
  return hex.replace(/^0+(?=.)/, '');
}
