/**
 * The short way of a column whose slices all have dictionaries, which is nearly every one: each code is looked up in a table of the
 * slice's dictionary and put at once where its row is in the merged row group. An entry of a dictionary is looked at when its first
 * row comes by. There are no branches on what a row holds: half of the rows of many columns are null, in no order that a processor
 * could foresee (with branches a column of 250,000 rows took twice as long).
 */
import type { Values } from '../parquet/column.ts';
import type { DecodedPage } from '../parquet/read.ts';
import type { Arrays } from '../runtime/arena.ts';
import type { Slice } from './row-group-plan.ts';
import type { StoredSlice } from './stored-rows.ts';

export interface CodedRows {
  /** Code + 1 of each merged row, 0 = none; in one place more than there are rows, what was left out. */
  codes: Uint32Array;
  /** Lists: the definition level of each merged row, as for `codes`. */
  levels: Uint8Array | undefined;
}

/** Whether the short way is open: all values have codes, and where there are lists, they have one element at most. */
export function isShort(stored: readonly StoredSlice[]): boolean {
  return stored.every(
    (column) =>
      column === undefined ||
      column.dictionary !== undefined ||
      column.chunk.numValues === column.chunk.statistics?.nullCount,
  );
}

/**
 * @param places of each row of the slices where it is in the merged row group; `rows`, the end, for what is left out
 * @param intern the new code of an entry of a dictionary; undefined: there are too many
 * @returns undefined when the long way has to be gone: of too many codes, or of lists of several elements
 */
export function readCoded(
  slices: readonly Slice[],
  stored: readonly StoredSlice[],
  places: Uint32Array,
  rows: number,
  arrays: Arrays,
  intern: (values: Values, entry: number) => number | undefined,
): CodedRows | undefined {
  const isList = stored.some((column) => column !== undefined && column.chunk.maxRepetition > 0);
  const codes = arrays.uint32(rows + 1);
  const levels = isList ? arrays.uint8(rows + 1) : undefined;
  for (let index = 0; index < slices.length; index++) {
    const column = stored[index];
    if (column === undefined) continue;
    const { dictionary } = column;
    const { base, from: sliceFrom, to: sliceTo } = slices[index];
    const known = arrays.uint32((dictionary?.count ?? 0) + 1);
    for (const { first, page } of column.pages) {
      if (page.repetition !== undefined) return undefined;
      const from = Math.max(sliceFrom - first, 0);
      const to = Math.min(sliceTo - first, page.rows);
      const at = base + first - sliceFrom;
      if (levels !== undefined) putLevels(levels, places, at, page.definition, from, to);
      if (page.count === 0) continue;
      const isPut = isList
        ? putElements(codes, places, at, page, from, to, known, dictionary!, intern)
        : putCodes(codes, places, at, page, from, to, known, dictionary!, intern);
      if (!isPut) return undefined;
    }
  }
  return { codes, levels };
}

type Intern = (values: Values, entry: number) => number | undefined;

function putCodes(
  out: Uint32Array,
  places: Uint32Array,
  at: number,
  { definition, codes, count }: DecodedPage,
  from: number,
  to: number,
  known: Uint32Array,
  dictionary: Values,
  intern: Intern,
): boolean {
  if (definition === undefined) {
    for (let row = from; row < to; row++) {
      const entry = codes![row];
      let code = known[entry];
      if (code === 0) {
        const given = intern(dictionary, entry);
        if (given === undefined) return false;
        code = known[entry] = given + 1;
      }
      out[places[at + row]] = code;
    }
    return true;
  }
  let next = 0;
  for (let row = 0; row < from; row++) next += definition[row];
  const last = count - 1;
  for (let row = from; row < to; row++) {
    const present = definition[row];
    // Where there is none this looks at the next one, or at the last, in vain.
    const entry = codes![Math.min(next, last)];
    let code = known[entry];
    if ((code | (present ^ 1)) === 0) {
      const given = intern(dictionary, entry);
      if (given === undefined) return false;
      code = known[entry] = given + 1;
    }
    next += present;
    out[places[at + row]] = code & -present;
  }
  return true;
}

/** The same for lists of one element at most: level 3 is a value. */
function putElements(
  out: Uint32Array,
  places: Uint32Array,
  at: number,
  { definition, codes }: DecodedPage,
  from: number,
  to: number,
  known: Uint32Array,
  dictionary: Values,
  intern: Intern,
): boolean {
  let next = 0;
  for (let row = 0; row < to; row++) {
    if (definition !== undefined && definition[row] < 3) continue;
    const entry = codes![next++];
    if (row < from) continue;
    let code = known[entry];
    if (code === 0) {
      const given = intern(dictionary, entry);
      if (given === undefined) return false;
      code = known[entry] = given + 1;
    }
    out[places[at + row]] = code;
  }
  return true;
}

function putLevels(
  levels: Uint8Array,
  places: Uint32Array,
  at: number,
  definition: Uint8Array | undefined,
  from: number,
  to: number,
): void {
  if (definition === undefined) for (let row = from; row < to; row++) levels[places[at + row]] = 3;
  else for (let row = from; row < to; row++) levels[places[at + row]] = definition[row];
}
