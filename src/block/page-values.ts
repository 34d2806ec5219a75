/** What a decoded page holds, as values of a part of a column: numbers of codes, children of lists, entries of dictionaries. */
import type { Values } from '../parquet/column.ts';
import type { DecodedPage, PageScratch } from '../parquet/read.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Dictionary, Part } from './segment.ts';

/** Arrays for decoding, used again and again. */
export interface DecodeScratch {
  page: PageScratch;
  bytes: Uint8Array<ArrayBuffer>;
  /** Values of dictionary-coded numbers. */
  values: ArrayBuffer;
}

/** A page of a list as children: how many there are and which have a value. */
export function childLevels(page: DecodedPage): { rows: number; present: Uint8Array | undefined } {
  if (page.definition === undefined) return { rows: page.entries, present: undefined };
  let rows = 0;
  for (let entry = 0; entry < page.entries; entry++) if (page.definition[entry] >= 2) rows++;
  if (rows === page.count) return { rows, present: undefined };
  const present = new Uint8Array(rows);
  for (let entry = 0, child = 0; entry < page.entries; entry++)
    if (page.definition[entry] >= 2) present[child++] = page.definition[entry] === 3 ? 1 : 0;
  return { rows, present };
}

export function dictionaryOf(values: Values): Dictionary {
  if (values.type !== 'bytes')
    throw new VivaceError('internal', `cannot read a dictionary of ${values.type} as strings`);
  const { bytes, offsets, count } = values;
  return { isOfColumn: true, count, bytes, start: (code) => offsets[code], end: (code) => offsets[code + 1] };
}

/** Gives the part these values. */
export function partOfValues(part: Part, values: Values): Part {
  switch (values.type) {
    case 'int64':
      part.words = values.words;
      break;
    case 'double':
      part.doubles = values.values;
      break;
    case 'boolean':
      part.bits = values.values;
      break;
    case 'int32':
      part.ints = values.values;
      break;
    case 'fixed':
    case 'bytes':
      part.bytes = values.bytes;
  }
  return part;
}

export function identity(count: number): Uint32Array {
  const codes = new Uint32Array(count);
  for (let i = 0; i < count; i++) codes[i] = i;
  return codes;
}

/** The values of codes, in an array of the scratch. */
export function lookUp(dictionary: Values, codes: Uint32Array, count: number, scratch: DecodeScratch): Values {
  const buffer = bufferOf(scratch, 8 * count);
  switch (dictionary.type) {
    case 'int32': {
      const values = new Int32Array(buffer, 0, count);
      for (let i = 0; i < count; i++) values[i] = dictionary.values[codes[i]];
      return { type: 'int32', values, count };
    }
    case 'int64': {
      const words = new Int32Array(buffer, 0, 2 * count);
      for (let i = 0; i < count; i++) {
        words[2 * i] = dictionary.words[2 * codes[i]];
        words[2 * i + 1] = dictionary.words[2 * codes[i] + 1];
      }
      return { type: 'int64', words, count };
    }
    case 'double': {
      const values = new Float64Array(buffer, 0, count);
      for (let i = 0; i < count; i++) values[i] = dictionary.values[codes[i]];
      return { type: 'double', values, count };
    }
    case 'fixed': {
      const bytes = new Uint8Array(count * dictionary.width);
      for (let i = 0; i < count; i++)
        bytes.set(
          dictionary.bytes.subarray(codes[i] * dictionary.width, (codes[i] + 1) * dictionary.width),
          i * dictionary.width,
        );
      return { type: 'fixed', bytes, width: dictionary.width, count };
    }
    default:
      throw new VivaceError('internal', `cannot read a dictionary of ${dictionary.type}`);
  }
}

function bufferOf(scratch: DecodeScratch, bytes: number): ArrayBuffer {
  if (scratch.values.byteLength < bytes) scratch.values = new ArrayBuffer(bytes);
  return scratch.values;
}

export function valuesBytes(values: Values): number {
  if (values.type === 'bytes') return values.bytes.byteLength + values.offsets.byteLength;
  if (values.type === 'int64') return values.words.byteLength;
  if (values.type === 'fixed') return values.bytes.byteLength;
  return values.values.byteLength;
}
