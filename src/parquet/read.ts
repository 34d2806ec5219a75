/**
 * Decodes one page at a time: the bytes of a page, header included, become typed arrays. Where a page begins and how long
 * it is the offset index says (`indexes.ts`), so that a reader fetches and decodes no more than the pages that it needs.
 *
 * Pages come from files that others wrote or that a disk has damaged: every size in a header is checked against a limit
 * before memory is spent on it, every read against the end of its bytes.
 */
import { crc32 } from 'node:zlib';
import { VivaceError } from '../runtime/errors.ts';
import type { Values } from './column.ts';
import { type CodeFlags, flagCodes, spreadBits } from './code-flags.ts';
import { decompress } from './compress.ts';
import { decodeDeltaBytes, decodeDeltaInt32, decodeDeltaInt64, decodeDeltaLength } from './delta.ts';
import { decodeDeltaDistances, decodeDeltaInt64At, DISTANCES_ROOM, type FirstValue } from './delta-distances.ts';
import type { PageColumn } from './footer.ts';
import type { Encoding } from './format.ts';
import { bitWidth, decodeCodes, decodeLevels } from './hybrid.ts';
import { type PageHeader, parsePageHeader } from './page-header.ts';
import { decodeByteStreamSplit, decodePlain } from './plain.ts';
import { CODE_WIDTH_MAX, type PickedValues, placesOf } from './sparse.ts';

/** A decoded data page. Arrays may be longer than their count says when a scratch was given. */
export interface DecodedPage {
  rows: number;
  /** Rows of a flat column; of a list, its elements and one for every empty or null list. */
  entries: number;
  /** A level an entry; undefined: every entry is a value. */
  definition: Uint8Array | undefined;
  /** A level an entry; undefined: every entry begins a row. */
  repetition: Uint8Array | undefined;
  /** Values, those that are not null. */
  count: number;
  /** The values, unless the page is dictionary-coded or they are `distances`. */
  values: Values | undefined;
  /** Value i is `first` + values[i]. */
  distances: Distances | undefined;
  /** A dictionary index a value. Check them against the dictionary's count before use. */
  codes: Uint32Array | undefined;
}

/** 64-bit integers near one another; what comes behind the last value means nothing. */
export interface Distances {
  first: FirstValue;
  values: Float64Array<ArrayBuffer>;
}

/** Arrays for the next page, kept from the last one. What a page returned is overwritten by the next with the same scratch. */
export interface PageScratch {
  definition: Uint8Array;
  repetition: Uint8Array;
  codes: Uint32Array;
  numbers: Int32Array;
  distances: Float64Array<ArrayBuffer>;
  /** Bits of values. */
  hits: Uint8Array<ArrayBuffer>;
  /** The page decompressed; values that need no decoding are views of it. */
  plain: Uint8Array<ArrayBuffer>;
}

export interface DecodeOptions {
  /** Where the page stands in its file, for messages. */
  offset?: number;
  /** Compare the page with the CRC-32 in its header, where there is one. */
  verifyChecksum?: boolean;
  /** What `Checks` says of the page; compared, its header included, where `verifyChecksum` is set. */
  check?: number;
  /** int64 may come as `DecodedPage.distances`, which takes a fraction of the time where they are stored as differences. */
  distances?: boolean;
  /** The most that a page may take decompressed, or its values decoded; 256 MiB by default. */
  pageBytesMax?: number;
  /** The most entries of a page; 2^24 by default. A few bytes can claim any number of repeats. */
  entriesMax?: number;
}

export const PAGE_BYTES_MAX = 256 << 20;
export const ENTRIES_MAX = 1 << 24;

export function createPageScratch(): PageScratch {
  return {
    definition: new Uint8Array(0),
    repetition: new Uint8Array(0),
    codes: new Uint32Array(0),
    numbers: new Int32Array(0),
    distances: new Float64Array(0),
    hits: new Uint8Array(0),
    plain: new Uint8Array(0),
  };
}

/**
 * The entries of a dictionary page.
 * @param bytes the page with its header; more bytes may follow
 * @throws VivaceError `undecodable`
 */
export function decodeDictionary(bytes: Uint8Array, column: PageColumn, options: DecodeOptions = {}): Values {
  return explain('dictionary page', column, options, () => {
    const { header, body } = openPage(bytes, options);
    if (header.type !== 'dictionary') throw undecodable(`it is a page of type ${header.type}`);
    if (header.encoding !== 'PLAIN' && header.encoding !== 'PLAIN_DICTIONARY') {
      throw undecodable(`a dictionary encoded as ${header.encoding}`);
    }
    const plain = decompress(column.codec, body, header.uncompressedBytes);
    return decodePlain(column.type, column.width, plain, viewOf(plain), 0, plain.length, header.count);
  });
}

/**
 * Decodes a data page of version 1 or 2.
 * @param bytes the page with its header; more bytes may follow
 * @param into arrays to use again; without it every array is fresh
 * @throws VivaceError `undecodable`; `unsupported` for an encoding or codec that no writer of traces uses
 */
export function decodePage(
  bytes: Uint8Array,
  column: PageColumn,
  into?: PageScratch,
  options: DecodeOptions = {},
): DecodedPage {
  return explain('page', column, options, () => {
    const data = openData(bytes, column, into, options);
    const { rows, entries, definition, repetition, count } = data;
    const page: DecodedPage = {
      rows,
      entries,
      definition,
      repetition,
      count,
      values: undefined,
      distances: undefined,
      codes: undefined,
    };
    if (isDictionary(data.encoding)) {
      page.codes = into === undefined ? new Uint32Array(count) : (into.codes = atLeast(into.codes, count));
      if (count > 0) {
        if (data.from >= data.to) throw undecodable('the codes are missing');
        decodeCodes(data.plain, viewOf(data.plain), data.from + 1, data.to, data.plain[data.from], count, page.codes);
      }
    } else {
      page.distances = options.distances === true ? distancesOf(data, column, into) : undefined;
      if (page.distances === undefined)
        page.values = decodeValues(data, column, into, options.pageBytesMax ?? PAGE_BYTES_MAX);
    }
    return page;
  });
}

/**
 * Sets bit `at + i` of `out` for each row i of a dictionary-coded page of a flat column whose code is wanted. Levels are only
 * looked at where a value has such a code.
 * @throws VivaceError `undecodable`, also for a page that is not dictionary-coded
 */
export function flagRows(
  bytes: Uint8Array,
  column: PageColumn,
  wanted: CodeFlags,
  into: PageScratch,
  out: Uint8Array,
  at: number,
  options: DecodeOptions = {},
): void {
  explain('page', column, options, () => {
    const { header, body } = openPage(bytes, options);
    const data =
      header.type === 'data-v2' ? valuesOfV2(header, body, column, into) : openDataOf(header, body, column, into);
    const { entries, count, plain, from, to } = data;
    if (!isDictionary(data.encoding)) throw undecodable(`it has no codes but values encoded as ${data.encoding}`);
    if (count === 0) return;
    if (from >= to) throw undecodable('the codes are missing');
    const hasNulls = count < entries;
    if (hasNulls) into.hits = cleared(into.hits, (count + 7) >>> 3);
    const [bits, first] = hasNulls ? [into.hits, 0] : [out, at];
    const any = flagCodes(plain, viewOf(plain), from + 1, to, plain[from], count, wanted, bits, first, into);
    if (!any || !hasNulls) return;
    const { definition } = 'levelBytes' in data ? levelsOfV2(header, body, column, into) : data;
    spreadBits(into.hits, definition!, column.maxDefinition, entries, out, at);
  });
}

/**
 * Adds the values of some rows of a page of a flat column, without decoding the others: of rows[from, to), which ascend and lie in
 * the page, whose first row is `firstRow`. False where its encoding does not allow that; nothing is added then.
 * @throws VivaceError `undecodable`
 */
export function pickRows(
  bytes: Uint8Array,
  column: PageColumn,
  into: PageScratch,
  options: DecodeOptions,
  picked: PickedValues,
  rows: Uint32Array,
  from: number,
  to: number,
  firstRow: number,
): boolean {
  return explain('page', column, options, () => {
    const { header, body } = openPage(bytes, options);
    const { type, maxRepetition, maxDefinition } = column;
    const { encoding } = header;
    const isCoded = isDictionary(encoding);
    const isPickable =
      isCoded ||
      (encoding === 'DELTA_BINARY_PACKED' && type === 'int64') ||
      (encoding === 'PLAIN' && (type === 'double' || type === 'fixed'));
    if (header.type !== 'data-v2' || maxRepetition > 0 || maxDefinition > 1 || !isPickable) return false;
    const { plain, to: end, entries, count, levelBytes } = valuesOfV2(header, body, column, into);
    const wanted = to - from;
    if (wanted > 0 && rows[to - 1] - firstRow >= entries) throw undecodable(`it has only ${entries} rows`);
    const { ofPage, places } = picked;
    for (let i = 0; i < wanted; i++) ofPage[i] = places[i] = rows[from + i] - firstRow;
    let found = wanted;
    if (count < entries) {
      found = placesOf(body, header.repetitionBytes, levelBytes, entries, ofPage, wanted, places);
      if (found > 0 && places[found - 1] >= count) throw undecodable(`it has only ${count} values`);
    }
    if (found === 0) return true;
    if (isCoded) {
      if (end === 0) throw undecodable('the codes are missing');
      if (plain[0] > CODE_WIDTH_MAX) return false;
      picked.takeCodes(plain, 1, end, plain[0], found);
    } else if (type === 'int64') {
      const { wordsOut } = picked;
      if (!decodeDeltaInt64At(plain, viewOf(plain), 0, end, count, places, found, wordsOut, picked.count)) return false;
    } else {
      const width = type === 'double' ? 8 : column.width;
      if (count * width > end) throw undecodable(`${end} bytes for ${count} values of type ${type}`);
      if (type === 'double') picked.takeDoubles(viewOf(plain), found);
      else picked.takeBytes(plain, width, found);
    }
    for (let i = 0; i < found; i++) picked.rows[picked.count + i] = firstRow + ofPage[i];
    picked.count += found;
    return true;
  });
}

/** A page between its header and its values. */
interface DataPage {
  rows: number;
  entries: number;
  definition: Uint8Array | undefined;
  repetition: Uint8Array | undefined;
  count: number;
  encoding: Encoding;
  /** The values are plain[from, to). */
  plain: Uint8Array;
  from: number;
  to: number;
}

function openPage(bytes: Uint8Array, options: DecodeOptions): { header: PageHeader; body: Uint8Array } {
  const header = parsePageHeader(bytes);
  const { headerBytes, compressedBytes, uncompressedBytes, count } = header;
  const { pageBytesMax = PAGE_BYTES_MAX, entriesMax = ENTRIES_MAX } = options;
  if (headerBytes + compressedBytes > bytes.length) {
    throw undecodable(`it has ${bytes.length - headerBytes} of ${compressedBytes} bytes`);
  }
  if (uncompressedBytes > pageBytesMax) throw undecodable(`${uncompressedBytes} bytes are above ${pageBytesMax}`);
  if (count > entriesMax) throw undecodable(`${count} entries are above ${entriesMax}`);
  const body = bytes.subarray(headerBytes, headerBytes + compressedBytes);
  const { check } = options;
  if (options.verifyChecksum === true && (header.crc !== undefined || check !== undefined)) {
    const crc = crc32(body);
    if (header.crc !== undefined && crc !== header.crc) throw undecodable('its checksum differs');
    if (check !== undefined && crc32(bytes.subarray(0, headerBytes), crc) !== check)
      throw undecodable('the checksum of its header differs');
  }
  return { header, body };
}

function openData(
  bytes: Uint8Array,
  column: PageColumn,
  into: PageScratch | undefined,
  options: DecodeOptions,
): DataPage {
  const { header, body } = openPage(bytes, options);
  return openDataOf(header, body, column, into);
}

function openDataOf(header: PageHeader, body: Uint8Array, column: PageColumn, into: PageScratch | undefined): DataPage {
  if (header.type === 'data-v2') return openDataV2(header, body, column, into);
  if (header.type === 'data') return openDataV1(header, body, column, into);
  throw undecodable(`it is a page of type ${header.type}`);
}

/** Version 2: levels before the values, never compressed, their sizes in the header. */
function openDataV2(header: PageHeader, body: Uint8Array, column: PageColumn, into: PageScratch | undefined): DataPage {
  const { plain, from, to } = valuesOfV2(header, body, column, into);
  return { ...levelsOfV2(header, body, column, into), encoding: header.encoding, plain, from, to };
}

/** The page without its levels; how many values there are, its header says. */
function valuesOfV2(header: PageHeader, body: Uint8Array, column: PageColumn, into: PageScratch | undefined) {
  const { count: entries, nulls, encoding, uncompressedBytes } = header;
  const levelBytes = header.repetitionBytes + header.definitionBytes;
  if (levelBytes > body.length || levelBytes > uncompressedBytes) {
    throw undecodable(`its levels take ${levelBytes} of ${body.length} bytes`);
  }
  if (nulls > entries) throw undecodable(`it has ${entries} entries and ${nulls} nulls`);
  const codec = header.compressed ? column.codec : 'none';
  const plain = decompress(codec, body.subarray(levelBytes), uncompressedBytes - levelBytes, into);
  return { encoding, entries, count: entries - nulls, plain, from: 0, to: plain.length, levelBytes };
}

function levelsOfV2(header: PageHeader, body: Uint8Array, column: PageColumn, into: PageScratch | undefined) {
  const { repetitionBytes, definitionBytes } = header;
  const levelBytes = repetitionBytes + definitionBytes;
  const page = readLevels(body, 0, repetitionBytes, repetitionBytes, levelBytes, header.count, column, into);
  if (page.entries - page.count !== header.nulls) {
    throw undecodable(`its levels hold ${page.entries - page.count} nulls, its header ${header.nulls}`);
  }
  if (page.rows !== header.rows) throw undecodable(`its levels hold ${page.rows} rows, its header ${header.rows}`);
  return page;
}

/** Version 1: everything compressed together, each kind of levels after its length in four bytes. */
function openDataV1(header: PageHeader, body: Uint8Array, column: PageColumn, into: PageScratch | undefined): DataPage {
  const plain = decompress(column.codec, body, header.uncompressedBytes, into);
  const view = viewOf(plain);
  let at = 0;
  const lengthOf = (max: number): number => {
    if (max === 0) return 0;
    if (at + 4 > plain.length) throw undecodable('it ends before its levels');
    const length = view.getUint32(at, true);
    at += 4;
    if (length > plain.length - at) throw undecodable(`levels of ${length} bytes`);
    return length;
  };
  const repetitionBytes = lengthOf(column.maxRepetition);
  const repetitionAt = at;
  at += repetitionBytes;
  const definitionBytes = lengthOf(column.maxDefinition);
  const definitionAt = at;
  at += definitionBytes;
  const page = readLevels(
    plain,
    repetitionAt,
    repetitionAt + repetitionBytes,
    definitionAt,
    definitionAt + definitionBytes,
    header.count,
    column,
    into,
  );
  return { ...page, encoding: header.encoding, plain, from: at, to: plain.length };
}

function readLevels(
  bytes: Uint8Array,
  repetitionFrom: number,
  repetitionTo: number,
  definitionFrom: number,
  definitionTo: number,
  entries: number,
  column: PageColumn,
  into: PageScratch | undefined,
) {
  let repetition: Uint8Array | undefined;
  let definition: Uint8Array | undefined;
  let rows = entries;
  let count = entries;
  const { maxRepetition, maxDefinition } = column;
  if (maxRepetition > 0) {
    repetition = into === undefined ? new Uint8Array(entries) : (into.repetition = atLeast(into.repetition, entries));
    rows = decodeLevels(bytes, repetitionFrom, repetitionTo, bitWidth(maxRepetition), entries, 0, repetition);
    if (rows === entries) repetition = undefined;
  }
  if (maxDefinition > 0) {
    definition = into === undefined ? new Uint8Array(entries) : (into.definition = atLeast(into.definition, entries));
    const width = bitWidth(maxDefinition);
    count = decodeLevels(bytes, definitionFrom, definitionTo, width, entries, maxDefinition, definition);
    if (count === entries) definition = undefined;
  }
  return { rows, entries, definition, repetition, count };
}

function distancesOf(data: DataPage, { type }: PageColumn, into: PageScratch | undefined): Distances | undefined {
  const { plain, from, to, count, encoding } = data;
  if (type !== 'int64' || encoding !== 'DELTA_BINARY_PACKED' || count === 0) return undefined;
  const room = count + DISTANCES_ROOM;
  const values = into === undefined ? new Float64Array(room) : (into.distances = atLeast(into.distances, room));
  const first = decodeDeltaDistances(plain, viewOf(plain), from, to, count, values);
  return first && { first, values };
}

function decodeValues(data: DataPage, column: PageColumn, into: PageScratch | undefined, bytesMax: number): Values {
  const { plain, from, to, count, encoding } = data;
  const { type, width } = column;
  const view = viewOf(plain);
  switch (encoding) {
    case 'PLAIN':
      if (type === 'double' && into !== undefined) return plainDoubles(plain, from, to, count, into);
      return decodePlain(type, width, plain, view, from, to, count);
    case 'RLE':
      return decodeRleBooleans(data, view, type);
    case 'DELTA_BINARY_PACKED': {
      if (type !== 'int32' && type !== 'int64') break;
      const length = type === 'int32' ? count : count * 2;
      const out = into === undefined ? new Int32Array(length) : (into.numbers = atLeast(into.numbers, length));
      if (type === 'int32') {
        if (count > 0) decodeDeltaInt32(plain, view, from, to, count, out);
        return { type, values: out, count };
      }
      if (count > 0) decodeDeltaInt64(plain, view, from, to, count, out);
      return { type, words: out, count };
    }
    case 'DELTA_LENGTH_BYTE_ARRAY': {
      if (type !== 'bytes') break;
      const offsets = new Uint32Array(count + 1);
      return { type, bytes: decodeDeltaLength(plain, view, from, to, count, offsets), offsets, count };
    }
    case 'DELTA_BYTE_ARRAY': {
      if (type !== 'bytes' && type !== 'fixed') break;
      const offsets = new Uint32Array(count + 1);
      const bytes = decodeDeltaBytes(plain, view, from, to, count, offsets, bytesMax);
      if (type === 'bytes') return { type, bytes, offsets, count };
      if (bytes.length !== count * width) throw undecodable(`values of another width than ${width}`);
      return { type, bytes, width, count };
    }
    case 'BYTE_STREAM_SPLIT':
      return decodeByteStreamSplit(type, width, plain, from, to, count);
  }
  throw new VivaceError('unsupported', `values of type ${type} encoded as ${encoding}`);
}

/** PLAIN doubles; where they are not aligned they are copied to scratch, for fresh arrays would be the most that a scan leaves behind. */
function plainDoubles(plain: Uint8Array, from: number, to: number, count: number, into: PageScratch): Values {
  const size = 8 * count;
  if (size > to - from) throw undecodable(`${to - from} bytes for ${count} values of type double`);
  const at = plain.byteOffset + from;
  if (at % 8 === 0) return { type: 'double', values: new Float64Array(plain.buffer, at, count), count };
  into.numbers = atLeast(into.numbers, 2 * count);
  new Uint8Array(into.numbers.buffer).set(plain.subarray(from, from + size));
  return { type: 'double', values: new Float64Array(into.numbers.buffer, 0, count), count };
}

/** Booleans as runs, after their length in four bytes. */
function decodeRleBooleans(data: DataPage, view: DataView, type: PageColumn['type']): Values {
  const { plain, from, to, count } = data;
  if (type !== 'boolean') throw undecodable(`values of type ${type} encoded as RLE`);
  const values = new Uint8Array(count);
  if (count === 0) return { type, values, count };
  const length = to - from < 4 ? -1 : view.getUint32(from, true);
  if (length < 0 || length > to - from - 4) throw undecodable(`booleans of ${length} bytes`);
  // A page of nothing but `true` leaves its array as it is.
  if (decodeLevels(plain, from + 4, from + 4 + length, 1, count, 1, values) === count) values.fill(1);
  return { type, values, count };
}

function isDictionary(encoding: Encoding): boolean {
  return encoding === 'RLE_DICTIONARY' || encoding === 'PLAIN_DICTIONARY';
}

function atLeast<Numbers extends Uint8Array | Uint32Array | Int32Array | Float64Array>(
  array: Numbers,
  length: number,
): Numbers {
  if (array.length >= length) return array;
  return new (array.constructor as new (length: number) => Numbers)(Math.max(length, array.length * 2));
}

/** Room for so many bytes, which are 0. */
function cleared(array: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (array.length < length) return new Uint8Array(2 * length);
  array.fill(0, 0, length);
  return array;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Says of every failure where it happened. A RangeError is a read past the end of the bytes. */
function explain<Result>(thing: string, column: PageColumn, options: DecodeOptions, decode: () => Result): Result {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof VivaceError || error instanceof RangeError)) throw error;
    const at = options.offset === undefined ? '' : ` at byte ${options.offset}`;
    const code = error instanceof VivaceError ? error.code : 'undecodable';
    throw new VivaceError(code, `cannot decode a ${thing} of column ${column.name}${at}: ${error.message}`, {
      cause: error,
    });
  }
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', reason);
}
