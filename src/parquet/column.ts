/**
 * What a column is and what a writer is given of it. Nothing here is an object per value: a column chunk is one typed
 * array of values, one of levels, and, when it is dictionary-coded, one of codes.
 */

/** The non-null values of one column chunk or page: compact, in row order. */
export type Values =
  /** One byte a value, 0 or 1. */
  | { type: 'boolean'; values: Uint8Array; count: number }
  | { type: 'int32'; values: Int32Array; count: number }
  /** Little-endian pairs: the low word of value i is words[2i], the high word words[2i + 1]. */
  | { type: 'int64'; words: Int32Array; count: number }
  | { type: 'double'; values: Float64Array; count: number }
  /** Value i is bytes[offsets[i], offsets[i + 1]); offsets holds count + 1 entries. */
  | { type: 'bytes'; bytes: Uint8Array; offsets: Uint32Array; count: number }
  /** Value i is bytes[i * width, (i + 1) * width). */
  | { type: 'fixed'; bytes: Uint8Array; width: number; count: number };

/** A top-level column of a file that we write. */
export interface ColumnSchema {
  name: string;
  type: Values['type'];
  /** Bytes a value, for `fixed` only. */
  width?: number;
  logical?: 'string' | 'timestamp-nanos' | 'uuid';
  /** `list` is the standard three-level LIST of optional elements: levels up to definition 3 and repetition 1. */
  repetition: 'required' | 'optional' | 'list';
}

/** One column of one row group, as the writer takes it. The writer only reads these arrays and keeps none of them. */
export interface ChunkData {
  /** Rows of the row group, not entries. */
  rows: number;
  /**
   * Optional column: a definition level a row (0 null, 1 present). List: a definition level an entry (0 null list,
   * 1 empty list, 2 null element, 3 value). Undefined: everything is present.
   */
  definition?: Uint8Array;
  /** List only: a repetition level an entry (0 begins a row). Undefined: every row has one entry. */
  repetition?: Uint8Array;
  /** The plain values, or, with `codes`, the dictionary entries. */
  values: Values;
  /** Dictionary coding: one code a non-null value. */
  codes?: Uint32Array;
  /** How many of `codes` count; all of them when undefined. */
  codeCount?: number;
  /** Without `codes`. `delta` = DELTA_BINARY_PACKED (int32, int64), `delta-length` = DELTA_LENGTH_BYTE_ARRAY (bytes). */
  encoding?: ChunkEncoding;
  codec: 'none' | 'zstd';
  /** Wanted bits a distinct value of a split-block bloom filter; undefined or 0: no filter. */
  bloom?: number;
  /** False: no minimum, maximum or column index. The offset index and the null count are always written. */
  statistics?: boolean;
}

export type ChunkEncoding = 'plain' | 'delta' | 'delta-length' | 'byte-stream-split';

/** The highest levels of a column: what a present value's levels are. */
export function levelsOf(repetition: ColumnSchema['repetition']): { maxDefinition: number; maxRepetition: number } {
  if (repetition === 'required') return { maxDefinition: 0, maxRepetition: 0 };
  if (repetition === 'optional') return { maxDefinition: 1, maxRepetition: 0 };
  return { maxDefinition: 3, maxRepetition: 1 };
}
