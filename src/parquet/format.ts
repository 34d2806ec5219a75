/**
 * The enumerations of the Parquet format (`parquet.thrift`): a name's place in its table is its number in the file.
 */

export type PhysicalType = 'boolean' | 'int32' | 'int64' | 'int96' | 'float' | 'double' | 'bytes' | 'fixed';
export const PHYSICAL_TYPES: readonly PhysicalType[] = [
  'boolean',
  'int32',
  'int64',
  'int96',
  'float',
  'double',
  'bytes',
  'fixed',
];

export type Codec = 'none' | 'snappy' | 'gzip' | 'lzo' | 'brotli' | 'lz4-hadoop' | 'zstd' | 'lz4-raw';
export const CODECS: readonly Codec[] = ['none', 'snappy', 'gzip', 'lzo', 'brotli', 'lz4-hadoop', 'zstd', 'lz4-raw'];

export type Encoding =
  | 'PLAIN'
  | 'GROUP_VAR_INT'
  | 'PLAIN_DICTIONARY'
  | 'RLE'
  | 'BIT_PACKED'
  | 'DELTA_BINARY_PACKED'
  | 'DELTA_LENGTH_BYTE_ARRAY'
  | 'DELTA_BYTE_ARRAY'
  | 'RLE_DICTIONARY'
  | 'BYTE_STREAM_SPLIT';
export const ENCODINGS: readonly Encoding[] = [
  'PLAIN',
  'GROUP_VAR_INT',
  'PLAIN_DICTIONARY',
  'RLE',
  'BIT_PACKED',
  'DELTA_BINARY_PACKED',
  'DELTA_LENGTH_BYTE_ARRAY',
  'DELTA_BYTE_ARRAY',
  'RLE_DICTIONARY',
  'BYTE_STREAM_SPLIT',
];

export type PageType = 'data' | 'index' | 'dictionary' | 'data-v2';
export const PAGE_TYPES: readonly PageType[] = ['data', 'index', 'dictionary', 'data-v2'];

export type Repetition = 'required' | 'optional' | 'repeated';
export const REPETITIONS: readonly Repetition[] = ['required', 'optional', 'repeated'];

export type BoundaryOrder = 'unordered' | 'ascending' | 'descending';
export const BOUNDARY_ORDERS: readonly BoundaryOrder[] = ['unordered', 'ascending', 'descending'];

/** ConvertedType numbers that we write: the older way to say what LogicalType says. */
export const CONVERTED_UTF8 = 0;
export const CONVERTED_LIST = 3;

/** The first and last four bytes of a file. */
export const MAGIC = Uint8Array.of(0x50, 0x41, 0x52, 0x31);
