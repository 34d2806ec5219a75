/**
 * A chunk's page index: where each page is and which rows it holds (offset index), and what values it may hold (column
 * index). Arrays with a number a page, no object a page.
 */
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { BOUNDARY_ORDERS, type BoundaryOrder } from './format.ts';
import { ThriftReader } from './thrift.ts';

export interface OffsetIndex {
  pages: number;
  /** From the start of the file. */
  offsets: Float64Array;
  /** Bytes of each page with its header. */
  bytes: Uint32Array;
  /** The first row of each page within its row group, ascending. */
  firstRows: Float64Array;
}

export interface ColumnIndex {
  pages: number;
  /** Pages without a single value: their bounds are empty. */
  allNull: boolean[];
  /** Plain bytes without a length, byte arrays cut short and upper bounds rounded up. */
  mins: Uint8Array[];
  maxs: Uint8Array[];
  boundaryOrder: BoundaryOrder;
  nullCounts: number[] | undefined;
}

/**
 * Parses the bytes that the footer's offsetIndexOffset and offsetIndexLength name.
 * @throws VivaceError `undecodable`
 */
export function parseOffsetIndex(bytes: Uint8Array): OffsetIndex {
  return explain('an offset index', () => {
    const r = new ThriftReader(bytes);
    const index: OffsetIndex = {
      pages: 0,
      offsets: new Float64Array(0),
      bytes: new Uint32Array(0),
      firstRows: new Float64Array(0),
    };
    for (let id = r.field(0); id !== 0; id = r.field(id)) {
      if (id === 1) readLocations(r, index);
      else r.skip();
    }
    return index;
  });
}

/**
 * Parses the bytes that the footer's columnIndexOffset and columnIndexLength name.
 * @throws VivaceError `undecodable`
 */
export function parseColumnIndex(bytes: Uint8Array): ColumnIndex {
  return explain('a column index', () => {
    const r = new ThriftReader(bytes);
    const index: ColumnIndex = {
      pages: 0,
      allNull: [],
      mins: [],
      maxs: [],
      boundaryOrder: 'unordered',
      nullCounts: undefined,
    };
    for (let id = r.field(0); id !== 0; id = r.field(id)) {
      switch (id) {
        case 1:
          index.allNull = r.bools();
          break;
        case 2:
          index.mins = r.binaries();
          break;
        case 3:
          index.maxs = r.binaries();
          break;
        case 4:
          index.boundaryOrder = BOUNDARY_ORDERS[r.integer()] ?? 'unordered';
          break;
        case 5:
          index.nullCounts = r.integers();
          break;
        default:
          r.skip();
      }
    }
    index.pages = index.allNull.length;
    if (index.mins.length !== index.pages || index.maxs.length !== index.pages) {
      throw new VivaceError('undecodable', 'its lists differ in length');
    }
    return index;
  });
}

/** The page that holds row `row` of the row group; the last one when the row is beyond. */
export function pageOfRow(index: OffsetIndex, row: number): number {
  let low = 0;
  let high = index.pages;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (index.firstRows[middle] <= row) low = middle;
    else high = middle;
  }
  return low;
}

function readLocations(r: ThriftReader, index: OffsetIndex): void {
  const pages = r.list();
  index.pages = pages;
  index.offsets = new Float64Array(pages);
  index.bytes = new Uint32Array(pages);
  index.firstRows = new Float64Array(pages);
  for (let page = 0; page < pages; page++) {
    for (let id = r.field(0); id !== 0; id = r.field(id)) {
      if (id === 1) index.offsets[page] = r.size();
      else if (id === 2) index.bytes[page] = r.size();
      else if (id === 3) index.firstRows[page] = r.size();
      else r.skip();
    }
  }
}

function explain<Result>(thing: string, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof VivaceError)) throw error;
    throw new VivaceError(error.code, `cannot read ${thing}: ${messageOf(error)}`, { cause: error });
  }
}
