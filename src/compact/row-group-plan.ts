/**
 * Which traces go into the next row group of a merged block. Every block has its traces by id, row group after row group, so a
 * cursor in each is all that is known of it at a time, however large it is:
 *
 * ```
 *  block 0   a │ c   d │ g …      the row group at the cursor, and the place in it
 *  block 1   a │ b   e │ f …
 *  next      a  b  c  d           as many as fit; `a` is in both and is put together
 * ```
 * From each block a row group takes neighbouring rows: slices.
 */
import type { OpenBlock } from '../block/open.ts';
import type { RowGroup } from '../block/row-group.ts';

/** Says of the trace whose id stands at `ids[at]` that it is not wanted any more. */
export type Drops = (ids: Uint8Array, at: number) => boolean;

/** Neighbouring rows of a row group that is merged: [from, to). */
export interface Slice {
  group: RowGroup;
  /** Which of the blocks. */
  block: number;
  from: number;
  to: number;
  /** Where its first row stands among the rows of all slices. */
  base: number;
}

/** A row group that is to be written. Pieces of traces are rows [pieceFrom, pieceTo) of slices. */
export interface PlannedRowGroup {
  slices: Slice[];
  /** Rows of all slices; those of pieces may be fewer. */
  rows: number;
  traceIds: Uint8Array;
  /** First piece of each trace, and their number at the end. */
  firstPiece: Uint32Array;
  pieceSlice: Uint32Array;
  pieceFrom: Uint32Array;
  pieceTo: Uint32Array;
  /** Traces that were left out. */
  dropped: number;
}

export interface RowGroupBounds {
  /** Rows; elements of lists count as rows where there are more of them. */
  rowsMax: number;
  /** Encoded, before compression. */
  bytesMax: number;
}

interface Cursor {
  block: number;
  groups: readonly RowGroup[];
  /** Of the row group at hand; undefined before the first. */
  number: number;
  ids: Uint8Array;
  /** The first four bytes of each id: nearly always they decide which is less. */
  heads: Uint32Array;
  firstRow: Uint32Array;
  trace: number;
  /** What a row of this row group counts. */
  weight: number;
  /** Of the planned row group; undefined while none of its traces is in it. */
  slice: number | undefined;
}

/** A trace of more than so many row groups stays in its pieces. */
const PIECES_FACTOR = 4;

export class RowGroupPlanner {
  readonly #cursors: Cursor[];
  readonly #bounds: RowGroupBounds;
  readonly #drops: Drops | undefined;

  constructor(blocks: readonly OpenBlock[], bounds: RowGroupBounds, drops?: Drops) {
    this.#bounds = bounds;
    this.#drops = drops;
    this.#cursors = blocks.map(({ rowGroups }, block) => ({
      ...{ block, groups: rowGroups, number: -1, trace: 0, weight: 1, slice: undefined },
      ...{ ids: new Uint8Array(0), heads: new Uint32Array(0), firstRow: new Uint32Array(1) },
    }));
  }

  /** The next row group; undefined at the end of all blocks. */
  async next(): Promise<PlannedRowGroup | undefined> {
    const plan = new Plan();
    for (const cursor of this.#cursors) cursor.slice = undefined;
    for (let isFull = false; !isFull; ) {
      for (const cursor of this.#cursors) await this.#advance(cursor);
      const live = this.#cursors.filter(({ ids }) => ids.length > 0);
      if (live.length === 0) break;
      isFull = this.#take(live, plan);
    }
    return plan.traces === 0 && plan.dropped === 0 ? undefined : plan.finish();
  }

  /** Reads on where a row group is at its end; without ids the cursor is at the end of its block. */
  async #advance(cursor: Cursor): Promise<void> {
    while (16 * cursor.trace === cursor.ids.length && cursor.number < cursor.groups.length) {
      cursor.number++;
      cursor.trace = 0;
      cursor.slice = undefined;
      const group: RowGroup | undefined = cursor.groups[cursor.number];
      const lines = await group?.lines();
      // Copies: the rest of the lines need not stay.
      cursor.ids = lines?.ids.slice() ?? new Uint8Array(0);
      cursor.firstRow = lines?.firstRow.slice() ?? new Uint32Array(1);
      cursor.heads = headsOf(cursor.ids);
      if (group === undefined) return;
      const rowBytes = group.uncompressedBytes / group.rows;
      cursor.weight = Math.max(
        1,
        group.entriesMax / group.rows,
        (rowBytes * this.#bounds.rowsMax) / this.#bounds.bytesMax,
      );
    }
  }

  /** Takes traces until a cursor is at the end of its row group (false) or no more fit (true). */
  #take(cursors: readonly Cursor[], plan: Plan): boolean {
    const { rowsMax } = this.#bounds;
    const holders: Cursor[] = [];
    for (;;) {
      let least = cursors[0];
      let count = 1;
      holders[0] = least;
      for (let i = 1; i < cursors.length; i++) {
        const cursor = cursors[i];
        const order = compare(cursor, least);
        if (order > 0) continue;
        if (order < 0) {
          least = cursor;
          count = 0;
        }
        holders[count++] = cursor;
      }
      const at = 16 * least.trace;
      const isDropped = this.#drops?.(least.ids, at) === true;
      if (isDropped) plan.dropped++;
      else {
        let weight = 0;
        for (let i = 0; i < count; i++) weight += weightOf(holders[i]);
        if (plan.traces > 0 && plan.weight + weight > rowsMax) return true;
        // What is put together is in memory at once.
        const isVast = weight > PIECES_FACTOR * rowsMax;
        if (isVast) count = 1;
        plan.addTrace(least.ids, at);
        for (let i = 0; i < count; i++) plan.addPiece(holders[i], weightOf(holders[i]));
        if (isVast) {
          least.trace++;
          return true;
        }
      }
      let isAtEnd = false;
      for (let i = 0; i < count; i++) {
        const holder = holders[i];
        holder.trace++;
        isAtEnd ||= 16 * holder.trace === holder.ids.length;
      }
      if (isAtEnd) return false;
    }
  }
}

/** A row group while it is planned; arrays grow. */
class Plan {
  traces = 0;
  dropped = 0;
  weight = 0;
  readonly #slices: Omit<Slice, 'base'>[] = [];
  #ids = new Uint8Array(16 * 1024);
  #firstPiece = new Uint32Array(1024);
  #pieces = 0;
  #pieceSlice = new Uint32Array(1024);
  #pieceFrom = new Uint32Array(1024);
  #pieceTo = new Uint32Array(1024);

  addTrace(ids: Uint8Array, at: number): void {
    if (this.traces + 1 === this.#firstPiece.length) {
      this.#firstPiece = widened(this.#firstPiece);
      const ids = new Uint8Array(2 * this.#ids.length);
      ids.set(this.#ids);
      this.#ids = ids;
    }
    for (let i = 0, to = 16 * this.traces; i < 16; i++) this.#ids[to + i] = ids[at + i];
    this.#firstPiece[this.traces++] = this.#pieces;
  }

  addPiece(cursor: Cursor, weight: number): void {
    if (this.#pieces === this.#pieceSlice.length) {
      this.#pieceSlice = widened(this.#pieceSlice);
      this.#pieceFrom = widened(this.#pieceFrom);
      this.#pieceTo = widened(this.#pieceTo);
    }
    const from = cursor.firstRow[cursor.trace];
    const to = cursor.firstRow[cursor.trace + 1];
    if (cursor.slice === undefined)
      cursor.slice = this.#slices.push({ group: cursor.groups[cursor.number], block: cursor.block, from, to }) - 1;
    this.#slices[cursor.slice].to = to;
    this.#pieceSlice[this.#pieces] = cursor.slice;
    this.#pieceFrom[this.#pieces] = from;
    this.#pieceTo[this.#pieces++] = to;
    this.weight += weight;
  }

  finish(): PlannedRowGroup {
    let rows = 0;
    const slices = this.#slices.map((slice) => {
      const base = rows;
      rows += slice.to - slice.from;
      return { ...slice, base };
    });
    this.#firstPiece[this.traces] = this.#pieces;
    return {
      slices,
      rows,
      traceIds: this.#ids.subarray(0, 16 * this.traces),
      firstPiece: this.#firstPiece.subarray(0, this.traces + 1),
      pieceSlice: this.#pieceSlice,
      pieceFrom: this.#pieceFrom,
      pieceTo: this.#pieceTo,
      dropped: this.dropped,
    };
  }
}

function weightOf({ firstRow, trace, weight }: Cursor): number {
  return weight * (firstRow[trace + 1] - firstRow[trace]);
}

function compare(a: Cursor, b: Cursor): number {
  const difference = a.heads[a.trace] - b.heads[b.trace];
  if (difference !== 0) return difference;
  for (let i = 4; i < 16; i++) {
    const difference = a.ids[16 * a.trace + i] - b.ids[16 * b.trace + i];
    if (difference !== 0) return difference;
  }
  return 0;
}

function headsOf(ids: Uint8Array): Uint32Array {
  const heads = new Uint32Array(ids.length / 16);
  const view = new DataView(ids.buffer, ids.byteOffset, ids.length);
  for (let trace = 0; trace < heads.length; trace++) heads[trace] = view.getUint32(16 * trace);
  return heads;
}

function widened(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(2 * values.length);
  wider.set(values);
  return wider;
}
