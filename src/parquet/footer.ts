/**
 * The footer of a Parquet file, ours or anybody's, as plain objects (`parquet.thrift` of the format, struct
 * FileMetaData). The schema becomes a tree, so that a reader of nested files finds its way; each leaf of the tree is one
 * column of every row group.
 */
import { VivaceError } from '../runtime/errors.ts';
import {
  CODECS,
  CONVERTED_LIST,
  CONVERTED_UTF8,
  type Codec,
  ENCODINGS,
  type Encoding,
  PHYSICAL_TYPES,
  type PhysicalType,
  REPETITIONS,
  type Repetition,
} from './format.ts';
import { ThriftReader } from './thrift.ts';

export interface FileMetadata {
  version: number;
  rows: number;
  createdBy: string;
  keyValue: Map<string, string>;
  /** The root: its children are the file's top-level fields. */
  schema: SchemaNode;
  /** The leaves of `schema` in order: leaf i describes column i of every row group. */
  leaves: SchemaNode[];
  rowGroups: RowGroupMetadata[];
}

export type LogicalType =
  | 'string'
  | 'map'
  | 'list'
  | 'enum'
  | 'decimal'
  | 'date'
  | 'time'
  | 'timestamp-millis'
  | 'timestamp-micros'
  | 'timestamp-nanos'
  | 'integer'
  | 'json'
  | 'bson'
  | 'uuid'
  | 'other';

export interface SchemaNode {
  name: string;
  /** Names from the root's child down to this node. */
  path: string[];
  /** Undefined for a group. */
  type: PhysicalType | undefined;
  /** Bytes a value, for `fixed` only; else 0. */
  width: number;
  repetition: Repetition;
  logical: LogicalType | undefined;
  /** The levels of a present value of this node, those of its ancestors included. */
  maxDefinition: number;
  maxRepetition: number;
  children: SchemaNode[];
  /** For a leaf, its place among the columns; for a group, that of its first leaf. */
  columnIndex: number;
}

export interface RowGroupMetadata {
  rows: number;
  /** Uncompressed. */
  bytes: number;
  columns: ChunkMetadata[];
}

/** All that decoding a page needs to know of its column. */
export interface PageColumn {
  /** For messages. */
  name: string;
  type: PhysicalType;
  width: number;
  maxDefinition: number;
  maxRepetition: number;
  codec: Codec;
}

/** A column chunk: offsets count from the start of the file, sizes are bytes. */
export interface ChunkMetadata extends PageColumn {
  /** A top-level column's own name, also when it is a list; else the path joined by dots. */
  name: string;
  path: string[];
  encodings: Encoding[];
  /** Entries, nulls included. */
  numValues: number;
  uncompressedBytes: number;
  /** Of all its pages with their headers, the dictionary included. */
  compressedBytes: number;
  /** Where the chunk's bytes begin: the dictionary page or the first data page. */
  startOffset: number;
  dataPageOffset: number;
  dictionaryPageOffset: number | undefined;
  statistics: ChunkStatistics | undefined;
  columnIndexOffset: number | undefined;
  columnIndexLength: number;
  offsetIndexOffset: number | undefined;
  offsetIndexLength: number;
  bloomOffset: number | undefined;
  /** 0 when the writer did not say. */
  bloomLength: number;
}

export interface ChunkStatistics {
  nullCount: number | undefined;
  /** Plain bytes without a length. They are bounds; `exact` says that they are values of the chunk. */
  min: Uint8Array | undefined;
  max: Uint8Array | undefined;
  minExact: boolean;
  maxExact: boolean;
}

/** Bytes of a file's tail that hold the footer's length and the magic. */
export const TAIL_BYTES = 8;

/**
 * The footer's length, from the last eight bytes of a file.
 * @throws VivaceError `undecodable` when they are not a Parquet file's
 */
export function footerLength(tail: Uint8Array): number {
  const at = tail.length - TAIL_BYTES;
  const magic = at < 0 ? '' : String.fromCharCode(...tail.subarray(at + 4));
  if (magic === 'PARE') throw new VivaceError('unsupported', 'cannot read a Parquet footer: it is encrypted');
  if (magic !== 'PAR1') throw undecodable('the file does not end with PAR1');
  return new DataView(tail.buffer, tail.byteOffset + at, 4).getUint32(0, true);
}

/**
 * Parses a footer: the `footerLength` bytes before the file's last eight.
 * @throws VivaceError `undecodable`
 */
export function parseFooter(bytes: Uint8Array): FileMetadata {
  const r = new ThriftReader(bytes);
  const metadata: FileMetadata = {
    version: 0,
    rows: 0,
    createdBy: '',
    keyValue: new Map(),
    schema: newNode(),
    leaves: [],
    rowGroups: [],
  };
  try {
    for (let id = r.field(0); id !== 0; id = r.field(id)) {
      switch (id) {
        case 1:
          metadata.version = r.integer();
          break;
        case 2:
          metadata.schema = readSchema(r, metadata.leaves);
          break;
        case 3:
          metadata.rows = r.size();
          break;
        case 4:
          for (let i = r.list(); i > 0; i--) metadata.rowGroups.push(readRowGroup(r, metadata.leaves));
          break;
        case 5:
          for (let i = r.list(); i > 0; i--) readKeyValue(r, metadata.keyValue);
          break;
        case 6:
          metadata.createdBy = r.string();
          break;
        default:
          r.skip();
      }
    }
  } catch (error) {
    if (error instanceof VivaceError) throw undecodable(error.message, error);
    throw error;
  }
  return metadata;
}

/** Nodes on the path from the root to a leaf that a reader follows. */
const SCHEMA_DEPTH_MAX = 64;

/** The schema is a list, each group followed by its children: here it becomes a tree. */
function readSchema(r: ThriftReader, leaves: SchemaNode[]): SchemaNode {
  let left = r.list();
  const readNode = (parent: SchemaNode | undefined, depth: number): SchemaNode => {
    if (left-- === 0) throw undecodable('the schema ends early');
    if (depth > SCHEMA_DEPTH_MAX) throw undecodable(`the schema is deeper than ${SCHEMA_DEPTH_MAX}`);
    const { node, childCount } = readSchemaElement(r);
    if (parent !== undefined) {
      node.path = [...parent.path, node.name];
      node.maxDefinition = parent.maxDefinition + (node.repetition === 'required' ? 0 : 1);
      node.maxRepetition = parent.maxRepetition + (node.repetition === 'repeated' ? 1 : 0);
    }
    node.columnIndex = leaves.length;
    if (node.type !== undefined) leaves.push(node);
    for (let i = 0; i < childCount; i++) node.children.push(readNode(node, depth + 1));
    return node;
  };
  const root = readNode(undefined, 0);
  if (left > 0) throw undecodable(`the schema has ${left} elements outside its root`);
  return root;
}

function readSchemaElement(r: ThriftReader): { node: SchemaNode; childCount: number } {
  const node = newNode();
  let childCount = 0;
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    switch (id) {
      case 1:
        node.type = named(PHYSICAL_TYPES, r.integer(), 'type');
        break;
      case 2:
        node.width = r.size();
        break;
      case 3:
        node.repetition = named(REPETITIONS, r.integer(), 'repetition');
        break;
      case 4:
        node.name = r.string();
        break;
      case 5:
        childCount = r.size();
        break;
      case 6:
        node.logical ??= convertedType(r.integer());
        break;
      case 10:
        node.logical = readLogicalType(r);
        break;
      default:
        r.skip();
    }
  }
  if (childCount > 0) node.type = undefined;
  if (node.type !== 'fixed') node.width = 0;
  return { node, childCount };
}

function newNode(): SchemaNode {
  return {
    name: '',
    path: [],
    type: undefined,
    width: 0,
    repetition: 'required',
    logical: undefined,
    maxDefinition: 0,
    maxRepetition: 0,
    children: [],
    columnIndex: 0,
  };
}

/** What LogicalType says, as older writers say it. */
function convertedType(value: number): LogicalType {
  if (value === CONVERTED_UTF8) return 'string';
  if (value === CONVERTED_LIST) return 'list';
  if (value === 1 || value === 2) return 'map';
  if (value === 9) return 'timestamp-millis';
  if (value === 10) return 'timestamp-micros';
  if (value >= 11 && value <= 18) return 'integer';
  return 'other';
}

const LOGICAL_TYPES: Readonly<Record<number, LogicalType>> = {
  1: 'string',
  2: 'map',
  3: 'list',
  4: 'enum',
  5: 'decimal',
  6: 'date',
  7: 'time',
  10: 'integer',
  12: 'json',
  13: 'bson',
  14: 'uuid',
};

function readLogicalType(r: ThriftReader): LogicalType {
  r.struct();
  let logical: LogicalType = 'other';
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    if (id === 8) {
      logical = readTimestamp(r);
    } else {
      logical = LOGICAL_TYPES[id] ?? 'other';
      r.skip();
    }
  }
  return logical;
}

function readTimestamp(r: ThriftReader): LogicalType {
  r.struct();
  let unit = 0;
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    if (id !== 2) {
      r.skip();
      continue;
    }
    r.struct();
    for (let unitId = r.field(0); unitId !== 0; unitId = r.field(unitId)) {
      unit = unitId;
      r.skip();
    }
  }
  return unit === 1 ? 'timestamp-millis' : unit === 2 ? 'timestamp-micros' : 'timestamp-nanos';
}

function readRowGroup(r: ThriftReader, leaves: readonly SchemaNode[]): RowGroupMetadata {
  const group: RowGroupMetadata = { rows: 0, bytes: 0, columns: [] };
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    switch (id) {
      case 1: {
        const count = r.list();
        if (count !== leaves.length) throw undecodable(`a row group has ${count} columns, the schema ${leaves.length}`);
        for (let i = 0; i < count; i++) group.columns.push(readChunk(r, leaves[i]));
        break;
      }
      case 2:
        group.bytes = r.integer();
        break;
      case 3:
        group.rows = r.size();
        break;
      default:
        r.skip();
    }
  }
  return group;
}

function readChunk(r: ThriftReader, leaf: SchemaNode): ChunkMetadata {
  const chunk: ChunkMetadata = {
    name: columnName(leaf.path),
    type: leaf.type!,
    width: leaf.width,
    maxDefinition: leaf.maxDefinition,
    maxRepetition: leaf.maxRepetition,
    codec: 'none',
    path: leaf.path,
    encodings: [],
    numValues: 0,
    uncompressedBytes: 0,
    compressedBytes: 0,
    startOffset: 0,
    dataPageOffset: 0,
    dictionaryPageOffset: undefined,
    statistics: undefined,
    columnIndexOffset: undefined,
    columnIndexLength: 0,
    offsetIndexOffset: undefined,
    offsetIndexLength: 0,
    bloomOffset: undefined,
    bloomLength: 0,
  };
  let described = false;
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    switch (id) {
      case 3:
        readChunkMetadata(r, chunk);
        described = true;
        break;
      case 4:
        chunk.offsetIndexOffset = r.size();
        break;
      case 5:
        chunk.offsetIndexLength = r.size();
        break;
      case 6:
        chunk.columnIndexOffset = r.size();
        break;
      case 7:
        chunk.columnIndexLength = r.size();
        break;
      default:
        r.skip();
    }
  }
  if (!described) throw undecodable(`column ${chunk.name} has no metadata; it may be encrypted`);
  // Some writers put 0 where there is no dictionary.
  const dictionary = chunk.dictionaryPageOffset;
  if (dictionary === 0) chunk.dictionaryPageOffset = undefined;
  chunk.startOffset = dictionary ? Math.min(dictionary, chunk.dataPageOffset) : chunk.dataPageOffset;
  return chunk;
}

function readChunkMetadata(r: ThriftReader, chunk: ChunkMetadata): void {
  r.struct();
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    switch (id) {
      case 1:
        if (named(PHYSICAL_TYPES, r.integer(), 'type') !== chunk.type) {
          throw undecodable(`column ${chunk.name} has another type than in the schema`);
        }
        break;
      case 2:
        chunk.encodings = r.integers().map((encoding) => named(ENCODINGS, encoding, 'encoding'));
        break;
      case 4:
        chunk.codec = named(CODECS, r.integer(), 'codec');
        break;
      case 5:
        chunk.numValues = r.size();
        break;
      case 6:
        chunk.uncompressedBytes = r.size();
        break;
      case 7:
        chunk.compressedBytes = r.size();
        break;
      case 9:
        chunk.dataPageOffset = r.size();
        break;
      case 11:
        chunk.dictionaryPageOffset = r.size();
        break;
      case 12:
        chunk.statistics = readStatistics(r);
        break;
      case 14:
        chunk.bloomOffset = r.size();
        break;
      case 15:
        chunk.bloomLength = r.size();
        break;
      default:
        r.skip();
    }
  }
}

/** The deprecated fields 1 and 2 are passed over: nobody knows in which order they were taken. */
function readStatistics(r: ThriftReader): ChunkStatistics {
  r.struct();
  const statistics: ChunkStatistics = {
    nullCount: undefined,
    min: undefined,
    max: undefined,
    minExact: false,
    maxExact: false,
  };
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    switch (id) {
      case 3:
        statistics.nullCount = r.size();
        break;
      case 5:
        statistics.max = r.binary();
        break;
      case 6:
        statistics.min = r.binary();
        break;
      case 7:
        statistics.maxExact = r.bool();
        break;
      case 8:
        statistics.minExact = r.bool();
        break;
      default:
        r.skip();
    }
  }
  return statistics;
}

function readKeyValue(r: ThriftReader, into: Map<string, string>): void {
  let key = '';
  let value = '';
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    if (id === 1) key = r.string();
    else if (id === 2) value = r.string();
    else r.skip();
  }
  into.set(key, value);
}

function columnName(path: readonly string[]): string {
  return path.length === 3 && path[1] === 'list' && path[2] === 'element' ? path[0] : path.join('.');
}

function named<Name>(names: readonly Name[], value: number, what: string): Name {
  const name = names[value];
  if (name === undefined) throw undecodable(`${what} ${value} is unknown`);
  return name;
}

const PREFIX = 'cannot read a Parquet footer: ';

function undecodable(reason: string, cause?: unknown): VivaceError {
  const text = reason.startsWith(PREFIX) ? reason : PREFIX + reason;
  return new VivaceError('undecodable', text, { cause });
}
