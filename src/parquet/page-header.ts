/**
 * Page headers: the thrift struct before each page.
 *
 *   page := PageHeader · (data-v2: repetition levels · definition levels ·) compressed values
 */
import { VivaceError } from '../runtime/errors.ts';
import { ENCODINGS, type Encoding, PAGE_TYPES, type PageType } from './format.ts';
import type { Sink } from './sink.ts';
import { ThriftReader, ThriftWriter } from './thrift.ts';

export interface PageHeader {
  type: PageType;
  /** Bytes after the header when decompressed, levels included. */
  uncompressedBytes: number;
  /** Bytes after the header as stored, levels included. */
  compressedBytes: number;
  /** CRC-32 of the bytes after the header as stored; undefined when the page has none. */
  crc: number | undefined;
  /** Entries of a data page, nulls included; entries of a dictionary. */
  count: number;
  encoding: Encoding;
  /** data-v2 only. */
  nulls: number;
  rows: number;
  definitionBytes: number;
  repetitionBytes: number;
  compressed: boolean;
  /** Bytes of the header itself. */
  headerBytes: number;
}

export function putDictionaryHeader(
  sink: Sink,
  count: number,
  uncompressedBytes: number,
  compressedBytes: number,
  crc: number,
): void {
  const thrift = putCommon(sink, 2, uncompressedBytes, compressedBytes, crc);
  thrift.begin(7);
  thrift.i32(1, count);
  thrift.i32(2, ENCODINGS.indexOf('PLAIN'));
  thrift.end();
  thrift.end();
}

/** A data page of version 2; sizes as in `PageHeader`. */
export function putDataHeader(
  sink: Sink,
  header: Omit<PageHeader, 'type' | 'headerBytes' | 'crc'> & { crc: number },
): void {
  const thrift = putCommon(sink, 3, header.uncompressedBytes, header.compressedBytes, header.crc);
  thrift.begin(8);
  thrift.i32(1, header.count);
  thrift.i32(2, header.nulls);
  thrift.i32(3, header.rows);
  thrift.i32(4, ENCODINGS.indexOf(header.encoding));
  thrift.i32(5, header.definitionBytes);
  thrift.i32(6, header.repetitionBytes);
  thrift.bool(7, header.compressed);
  thrift.end();
  thrift.end();
}

/**
 * Reads the header at the start of `bytes`.
 * @throws VivaceError `undecodable`
 */
export function parsePageHeader(bytes: Uint8Array): PageHeader {
  const r = new ThriftReader(bytes);
  const header: PageHeader = {
    type: 'data',
    uncompressedBytes: 0,
    compressedBytes: 0,
    crc: undefined,
    count: -1,
    encoding: 'PLAIN',
    nulls: 0,
    rows: 0,
    definitionBytes: 0,
    repetitionBytes: 0,
    compressed: true,
    headerBytes: 0,
  };
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    switch (id) {
      case 1:
        header.type = named(PAGE_TYPES, r.integer(), 'page type');
        break;
      case 2:
        header.uncompressedBytes = r.size();
        break;
      case 3:
        header.compressedBytes = r.size();
        break;
      case 4:
        header.crc = r.integer() >>> 0;
        break;
      case 5:
      case 7:
        readSmall(r, header);
        break;
      case 8:
        readDataV2(r, header);
        break;
      default:
        r.skip();
    }
  }
  if (header.count < 0 && header.type !== 'index') throw undecodable('its header has no count of values');
  header.headerBytes = r.offset;
  return header;
}

function putCommon(
  sink: Sink,
  type: number,
  uncompressedBytes: number,
  compressedBytes: number,
  crc: number,
): ThriftWriter {
  const thrift = new ThriftWriter(sink);
  thrift.beginElement();
  thrift.i32(1, type);
  thrift.i32(2, uncompressedBytes);
  thrift.i32(3, compressedBytes);
  thrift.i32(4, crc | 0);
  return thrift;
}

/** DataPageHeader and DictionaryPageHeader begin alike. */
function readSmall(r: ThriftReader, header: PageHeader): void {
  r.struct();
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    if (id === 1) header.count = r.size();
    else if (id === 2) header.encoding = named(ENCODINGS, r.integer(), 'encoding');
    else r.skip();
  }
}

function readDataV2(r: ThriftReader, header: PageHeader): void {
  r.struct();
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    switch (id) {
      case 1:
        header.count = r.size();
        break;
      case 2:
        header.nulls = r.size();
        break;
      case 3:
        header.rows = r.size();
        break;
      case 4:
        header.encoding = named(ENCODINGS, r.integer(), 'encoding');
        break;
      case 5:
        header.definitionBytes = r.size();
        break;
      case 6:
        header.repetitionBytes = r.size();
        break;
      case 7:
        header.compressed = r.bool();
        break;
      default:
        r.skip();
    }
  }
}

function named<Name>(names: readonly Name[], value: number, what: string): Name {
  const name = names[value];
  if (name === undefined) throw undecodable(`${what} ${value} is unknown`);
  return name;
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', reason);
}
