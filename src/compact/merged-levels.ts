/**
 * The levels of a column in the order of the merged row group, and which value goes where. Many columns have their nulls in the same
 * rows: those that one instrumentation writes together, or the fields of events. What was found for one of them holds for the next,
 * so levels are compared, which costs next to nothing, before they are put in order.
 *
 * ```
 *  source      definition 1 0 1 1     values a b c
 *  order       3 1 0 2                rows of the source
 *  merged      definition 1 0 1 1     from 2 0 1:  c a b
 * ```
 */
import { rowStarts, type SourceLevels } from './source-levels.ts';

export interface MergedLevels {
  /** Of each entry; undefined: each is a value. */
  definition: Uint8Array | undefined;
  /** Of each entry; undefined: each begins a row. */
  repetition: Uint8Array | undefined;
  /** Of each merged value, which of the source's it is. */
  from: Uint32Array;
}

/** What was found for so many columns is kept: 7 bytes a row and column. */
const KEPT = 4;

interface Found {
  source: SourceLevels;
  merged: MergedLevels;
  room: Room;
}

/** Used from row group to row group. */
interface Room {
  sourceDefinition: Uint8Array<ArrayBuffer>;
  sourceRepetition: Uint8Array<ArrayBuffer>;
  definition: Uint8Array<ArrayBuffer>;
  repetition: Uint8Array<ArrayBuffer>;
  from: Uint32Array<ArrayBuffer>;
}

export class LevelMerger {
  readonly #rooms: Room[] = Array.from({ length: KEPT }, newRoom);
  /** The one used last comes first. */
  #found: Found[] = [];
  #order: Uint32Array = new Uint32Array(0);
  #rows = 0;
  /** Number of the value of each entry of the source, or of the next one; entry of each row. */
  #numberOf = new Uint32Array(0);
  #starts = new Uint32Array(0);

  /** A row group begins: `order` says of each of its rows which of the `rows` of the slices it is. */
  start(order: Uint32Array, rows: number): void {
    this.#order = order;
    this.#rows = rows;
    this.#found = [];
  }

  /** The levels in order. They hold until four other columns were merged. */
  merge(source: SourceLevels): MergedLevels {
    if (source.definition === undefined) return { definition: undefined, repetition: undefined, from: this.#order };
    const index = this.#found.findIndex((found) => isSame(found.source, source));
    const found = index < 0 ? this.#add(source) : this.#found.splice(index, 1)[0];
    this.#found.unshift(found);
    return found.merged;
  }

  #add(source: SourceLevels): Found {
    const room = this.#found.length < KEPT ? this.#rooms[this.#found.length] : this.#found.pop()!.room;
    const { definition, repetition, entries, values, levelMax } = source;
    room.sourceDefinition = copied(room.sourceDefinition, definition!);
    room.definition = roomy(room.definition, entries);
    room.from = roomy(room.from, values + 1);
    this.#numberOf = roomy(this.#numberOf, entries);
    numberValues(definition!, levelMax, this.#numberOf);
    const order = this.#order;
    let merged: MergedLevels;
    if (repetition === undefined) {
      const count = orderRows(order, definition!, levelMax, this.#numberOf, room.definition, room.from);
      const isDense = count === order.length;
      merged = {
        definition: isDense ? undefined : room.definition.subarray(0, order.length),
        repetition: undefined,
        from: room.from.subarray(0, count),
      };
    } else {
      room.sourceRepetition = copied(room.sourceRepetition, repetition);
      room.repetition = roomy(room.repetition, entries);
      this.#starts = roomy(this.#starts, this.#rows + 1);
      rowStarts(source, this.#starts);
      merged = orderLists(order, this.#starts, definition!, this.#numberOf, room);
    }
    const kept = {
      ...source,
      definition: room.sourceDefinition.subarray(0, entries),
      repetition: repetition && room.sourceRepetition.subarray(0, entries),
    };
    return { source: kept, merged, room };
  }
}

function isSame(a: SourceLevels, b: SourceLevels): boolean {
  return (
    a.levelMax === b.levelMax &&
    a.entries === b.entries &&
    a.values === b.values &&
    isEqual(a.definition!, b.definition!) &&
    (a.repetition === undefined
      ? b.repetition === undefined
      : b.repetition !== undefined && isEqual(a.repetition, b.repetition))
  );
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** How many values there are before each entry. */
function numberValues(definition: Uint8Array, levelMax: number, numberOf: Uint32Array): void {
  for (let entry = 0, count = 0; entry < definition.length; entry++) {
    numberOf[entry] = count;
    count += ((definition[entry] ^ levelMax) - 1) >>> 31;
  }
}

/** Rows of one entry each; without branches, as nulls come in no order that a processor could foresee. */
function orderRows(
  order: Uint32Array,
  definition: Uint8Array,
  levelMax: number,
  numberOf: Uint32Array,
  merged: Uint8Array,
  from: Uint32Array,
): number {
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const row = order[i];
    const level = definition[row];
    merged[i] = level;
    from[count] = numberOf[row];
    count += ((level ^ levelMax) - 1) >>> 31;
  }
  return count;
}

function orderLists(
  order: Uint32Array,
  starts: Uint32Array,
  definition: Uint8Array,
  numberOf: Uint32Array,
  room: Room,
): MergedLevels {
  const { definition: merged, repetition, from } = room;
  let entries = 0;
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const row = order[i];
    const end = starts[row + 1];
    let entry = starts[row];
    for (let again = 0; entry < end; entry++, again = 1) {
      const level = definition[entry];
      merged[entries] = level;
      repetition[entries++] = again;
      from[count] = numberOf[entry];
      count += ((level ^ 3) - 1) >>> 31;
    }
  }
  return {
    definition: merged.subarray(0, entries),
    repetition: repetition.subarray(0, entries),
    from: from.subarray(0, count),
  };
}

function newRoom(): Room {
  const none = new Uint8Array(0);
  return {
    ...{ sourceDefinition: none, sourceRepetition: none, definition: none, repetition: none },
    from: new Uint32Array(0),
  };
}

function copied(room: Uint8Array<ArrayBuffer>, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const own = roomy(room, bytes.length);
  own.set(bytes);
  return own;
}

/** The array, or a larger one in its place. */
function roomy<Numbers extends Uint8Array | Uint32Array>(array: Numbers, length: number): Numbers {
  if (array.length >= length) return array;
  return new (array.constructor as new (length: number) => Numbers)(length + (length >>> 3));
}
