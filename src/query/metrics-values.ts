/** The numbers that a metrics function takes of spans: a double a row, NaN where there is none. Durations are nanoseconds. */
import { decodeAnyValue } from '../block/any-value.ts';
import type { Column, Dictionary, Part, Segment } from '../block/segment.ts';
import type { Reference } from '../traceql/ast.ts';
import { attributeNamed, gather, messageAttributes, type Read, readAny } from './gather.ts';
import { ColumnCursor, openCursor } from './metrics-cursor.ts';
import { firstOf } from './metrics-labels.ts';
import { moreColumn, moreValue } from './more.ts';

export interface ValueReader {
  /** out[k] becomes the number of rows[k]; waits only for what is read value by value. */
  fill(rows: Uint32Array, count: number, out: Float64Array): Promise<void> | undefined;
  close(): void;
}

/** A reader of `reference`. With `wholeOnly` doubles count as no numbers, as buckets want it. */
export async function openValues(
  segment: Segment,
  reference: Reference,
  wholeOnly: boolean,
  rows: Uint32Array | undefined,
): Promise<ValueReader> {
  const layers = await layersOf(segment, reference, wholeOnly, rows);
  if (layers === undefined)
    return {
      async fill(rows, count, out) {
        const reads = await gather(segment, reference, rows.slice(0, count));
        for (let k = 0; k < count; k++) out[k] = numberOf(firstOf(reads[k], reference), wholeOnly);
      },
      close() {},
    };
  return {
    fill(rows, count, out) {
      out.fill(Number.NaN, 0, count);
      for (const { cursor, read } of layers)
        cursor.read(rows, count, (part, index, from, to) => read(part, index, from, to, out));
      return undefined;
    },
    close() {
      for (const { cursor } of layers) cursor.close();
    },
  };
}

/** A value as a number: ints, floats and, in nanoseconds, durations. */
export function numberOf(value: Read, wholeOnly: boolean): number {
  if (value === undefined || Array.isArray(value)) return Number.NaN;
  if (value.type === 'int') return Number(value.value);
  if (value.type === 'duration') return Number(value.ns);
  return value.type === 'float' && !wholeOnly ? value.value : Number.NaN;
}

interface Layer {
  cursor: ColumnCursor;
  read(part: Part, index: Int32Array, from: number, to: number, out: Float64Array): void;
}

/** undefined when values have to be read one by one. */
async function layersOf(
  segment: Segment,
  reference: Reference,
  wholeOnly: boolean,
  rows: Uint32Array | undefined,
): Promise<Layer[] | undefined> {
  if (reference.type === 'intrinsic') {
    if (reference.name !== 'duration') return undefined;
    return [
      { cursor: (await openCursor(segment, { of: 'fixed', field: 'duration' }, rows, true))!, read: readUnsigned },
    ];
  }
  const { scope, name } = reference;
  if (reference.parent) return [];
  if (scope === 'event' || scope === 'link') return undefined;
  const layers: Layer[] = [];
  if (scope === 'resource' || scope === 'none' || scope === 'instrumentation') {
    const of = scope === 'instrumentation' ? 'scope' : 'resource';
    const numbers = Float64Array.from(await messageAttributes(segment, of), (attributes) => {
      const found = attributeNamed(attributes, of, name);
      return found === undefined ? Number.NaN : numberOf(readAny(found.value), wholeOnly);
    });
    const cursor = numbers.some((number) => !Number.isNaN(number))
      ? await openCursor(segment, { of }, rows)
      : undefined;
    if (cursor !== undefined)
      layers.push({
        cursor,
        read(part, index, from, to, out) {
          for (let k = from; k < to; k++) if (index[k] >= 0) out[k] = numbers[part.codes![index[k]]];
        },
      });
  }
  if (scope === 'span' || scope === 'none') {
    const more = await moreColumn(segment, 'span');
    const key = Buffer.from(name);
    if (more !== undefined)
      layers.push(
        entryLayer(new ColumnCursor(more), (bytes) => {
          const value = moreValue(bytes, key);
          return value === undefined ? undefined : numberOf(readAny(decodeAnyValue(value)), wholeOnly);
        }),
      );
    for (const type of segment.typesOf('span', name)) {
      // What is no number still hides the resource's value of the same key.
      if (scope === 'span' && (type === 'string' || type === 'bool' || (type === 'double' && wholeOnly))) continue;
      const cursor = await openCursor(segment, { of: 'attribute', space: 'span', key: name, type }, rows, true);
      if (cursor === undefined) continue;
      if (type === 'int') layers.push({ cursor, read: readSigned });
      else if (type === 'double' && !wholeOnly) layers.push({ cursor, read: readDoubles });
      else if (type === 'any')
        layers.push(entryLayer(cursor, (bytes) => numberOf(readAny(decodeAnyValue(bytes)), wholeOnly)));
      else layers.push({ cursor, read: readNothing });
    }
  }
  return layers;
}

function readUnsigned(part: Part, index: Int32Array, from: number, to: number, out: Float64Array): void {
  const { words, distances, base } = part;
  if (distances !== undefined) {
    // Rounded once, for the distance from the high word is exact.
    const high = base!.high * 4294967296;
    const low = base!.low >>> 0;
    for (let k = from; k < to; k++) {
      const value = high + (low + distances[index[k]]);
      // Ends before starts are numbers of all 64 bits.
      out[k] = value < 0 ? value + 2 ** 64 : value;
    }
    return;
  }
  for (let k = from; k < to; k++) {
    const at = 2 * index[k];
    out[k] = (words![at + 1] >>> 0) * 4294967296 + (words![at] >>> 0);
  }
}

function readSigned(
  { words, distances, base }: Part,
  index: Int32Array,
  from: number,
  to: number,
  out: Float64Array,
): void {
  if (distances !== undefined) {
    const high = base!.high * 4294967296;
    const low = base!.low >>> 0;
    for (let k = from; k < to; k++) if (index[k] >= 0) out[k] = high + (low + distances[index[k]]);
    return;
  }
  for (let k = from; k < to; k++) {
    const at = 2 * index[k];
    if (at >= 0) out[k] = words![at + 1] * 4294967296 + (words![at] >>> 0);
  }
}

function readDoubles({ doubles }: Part, index: Int32Array, from: number, to: number, out: Float64Array): void {
  for (let k = from; k < to; k++) if (index[k] >= 0) out[k] = doubles![index[k]];
}

function readNothing(_part: Part, index: Int32Array, from: number, to: number, out: Float64Array): void {
  for (let k = from; k < to; k++) if (index[k] >= 0) out[k] = Number.NaN;
}

/** Entries of a dictionary as numbers, each decoded once; undefined leaves the row as it was. */
function entryLayer(cursor: ColumnCursor, decode: (bytes: Uint8Array) => number | undefined): Layer {
  const known = new Map<Dictionary, Map<number, number | undefined>>();
  const entriesOf = (column: Column, part: Part): Map<number, number | undefined> => {
    const dictionary = part.dictionary ?? column.dictionary!;
    let entries = known.get(dictionary);
    if (entries === undefined) {
      // A page's own dictionary is not met again.
      known.clear();
      entries = new Map();
      known.set(dictionary, entries);
    }
    return entries;
  };
  return {
    cursor,
    read(part, index, from, to, out) {
      const dictionary = part.dictionary ?? cursor.column.dictionary!;
      const entries = entriesOf(cursor.column, part);
      for (let k = from; k < to; k++) {
        if (index[k] < 0) continue;
        const code = part.codes![index[k]];
        let value = entries.get(code);
        if (value === undefined && !entries.has(code)) {
          value = decode(dictionary.bytes.subarray(dictionary.start(code), dictionary.end(code)));
          entries.set(code, value);
        }
        if (value !== undefined) out[k] = value;
      }
    },
  };
}
