/**
 * One column of several blocks as one: first in the order in which it is read, block after block, then in the order of the
 * merged block. Codes of strings are given anew, so that equal strings have equal codes.
 */
import type { Column, Dictionary } from '../block/segment.ts';
import type { SparseValues } from '../block/table.ts';
import { StringTable } from './string-table.ts';

/** Arrays that every column uses again. */
export class ColumnScratch {
  at = new Int32Array(0);
  words = new Int32Array(0);
  present = new Uint8Array(0);
  outWords = new Int32Array(0);

  reserve(rows: number): void {
    if (this.at.length >= rows) return;
    this.at = new Int32Array(rows);
    this.words = new Int32Array(2 * rows + 2);
    this.present = new Uint8Array(rows);
    this.outWords = new Int32Array(2 * rows + 2);
  }
}

/** The values of a column: that of row r of the blocks together is number at[r], or none at -1. */
export interface Gathered {
  kind: 'codes' | 'words' | 'bits';
  at: Int32Array;
  values: Int32Array;
  strings?: StringTable;
}

/** Reads a column; `bases` are the first rows of the blocks among `rows`. Good until the scratch is used again. */
export function gatherColumn(
  columns: readonly (Column | undefined)[],
  bases: readonly number[],
  rows: number,
  scratch: ColumnScratch,
): Gathered {
  scratch.reserve(rows);
  const at = scratch.at.subarray(0, rows).fill(-1);
  const values = scratch.words;
  const kind = columns.find((column) => column !== undefined)!.kind;
  const isText = kind === 'string' || kind === 'any';
  const strings = isText ? new StringTable() : undefined;
  let count = 0;
  columns.forEach((column, index) => {
    if (column === undefined) return;
    const numbers = column.dictionary && new Uint32Array(column.dictionary.count);
    for (const part of column.parts) {
      const base = bases[index] + part.first;
      const { present } = part;
      if (present === undefined) for (let i = 0; i < part.count; i++) at[base + i] = count + i;
      else for (let i = 0, next = count; i < part.rows; i++) if (present[i] === 1) at[base + i] = next++;
      if (isText) {
        const own = part.dictionary;
        const codes = part.codes!;
        for (let i = 0; i < part.count; i++)
          values[count + i] =
            own === undefined
              ? numberOf(strings!, column.dictionary!, numbers!, codes[i])
              : strings!.intern(own.bytes, own.start(codes[i]), own.end(codes[i]));
      } else if (part.words !== undefined) values.set(part.words.subarray(0, 2 * part.count), 2 * count);
      else if (part.doubles !== undefined) {
        const { buffer, byteOffset } = part.doubles;
        values.set(new Int32Array(buffer, byteOffset, 2 * part.count), 2 * count);
      } else for (let i = 0; i < part.count; i++) values[count + i] = part.bits![i];
      count += part.count;
    }
  });
  return { kind: isText ? 'codes' : kind === 'bool' ? 'bits' : 'words', at, values, ...(strings && { strings }) };
}

/** The values in another order: `order` names the row of each row. The arrays are the scratch's. */
export function inOrder(
  { kind, at, values, strings }: Gathered,
  order: Uint32Array,
  scratch: ColumnScratch,
): SparseValues {
  const rows = order.length;
  const present = scratch.present;
  const out = scratch.outWords;
  let count = 0;
  if (kind === 'words')
    for (let row = 0; row < rows; row++) {
      const from = at[order[row]];
      present[row] = from < 0 ? 0 : 1;
      if (from < 0) continue;
      out[2 * count] = values[2 * from];
      out[2 * count++ + 1] = values[2 * from + 1];
    }
  else
    for (let row = 0; row < rows; row++) {
      const from = at[order[row]];
      present[row] = from < 0 ? 0 : 1;
      if (from >= 0) out[count++] = values[from];
    }
  const levels = { present: count === rows ? undefined : present.subarray(0, rows), count };
  if (kind === 'words') return { ...levels, words: out.subarray(0, 2 * count) };
  if (kind === 'bits') return { ...levels, bits: Uint8Array.from(out.subarray(0, count)) };
  return { ...levels, codes: new Uint32Array(out.buffer, 0, count), strings: strings! };
}

/** The new number of an entry of a block's dictionary, found out once. */
function numberOf(strings: StringTable, dictionary: Dictionary, numbers: Uint32Array, code: number): number {
  let number = numbers[code];
  if (number === 0) {
    number = strings.intern(dictionary.bytes, dictionary.start(code), dictionary.end(code)) + 1;
    numbers[code] = number;
  }
  return number - 1;
}
