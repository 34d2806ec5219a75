/**
 * The order of rows in a block: traces by id, and within a trace depth first, children by start time. A row then says where
 * its parent is by one small number, the distance upwards, and every subtree is a run of rows.
 *
 * ```
 *   row  distance to parent
 *    0   0    root
 *    1   1    ├─ child of row 0
 *    2   1    │  └─ child of row 1
 *    3   3    └─ child of row 0
 *    4  -1    a span whose parent is not here (its parent's id is stored)
 * ```
 *
 * A span that came again in a later request (same id, kind and start) is left out. Spans whose parents form a ring are
 * reached from no root; they come last in their trace, each as one without its parent.
 */
import type { Arrays } from '../runtime/arena.ts';
import type { TraceIds } from '../block/trace-ids.ts';
import { inRuns } from '../runtime/runs.ts';
import type { LiveView } from './live-view.ts';
import { ROW_PARENT_ID, ROW_SPAN_ID, ROW_START, ROW_TRACE } from './layout.ts';
import { hashId, RowIdentity } from './row-identity.ts';

export interface RowOrder {
  /** Live row of each row of the block. */
  rows: Uint32Array;
  /** Live trace number of each trace of the block. */
  traces: Uint32Array;
  /** First row of each trace, and the number of rows at the end. */
  starts: Uint32Array;
  /** Distance upwards to the parent; 0 = no parent id, -1 = the parent is not among the trace's rows. */
  parents: Int32Array;
}

/** Traces that are ordered between two checks. */
const CHECK_EVERY = 64;

/** Orders the rows of a live segment; `only` restricts it to one trace (by live number). `check` throws to end it. */
export function orderRows(view: LiveView, only?: number, check: () => void = () => {}): RowOrder {
  const traceOf = view.field(ROW_TRACE);
  const traces = only === undefined ? sortedTraces(view.traceWords()) : Uint32Array.of(only);
  const { grouped, groupStarts } = groupByTrace(traceOf, traces, view.snapshot.traces, view.arrays);
  const { arrays } = view;
  const rows = arrays.uint32(grouped.length);
  const parents = arrays.int32(grouped.length);
  const starts = arrays.uint32(traces.length + 1);
  const kept = arrays.uint32(traces.length);
  const tree = new TraceTree(view);
  const filled: Filled = { rows: 0, traces: 0 };
  for (let from = 0; from < traces.length; from += CHECK_EVERY) {
    check();
    const to = Math.min(traces.length, from + CHECK_EVERY);
    orderTraces(tree, from, to, traces, grouped, groupStarts, { rows, parents, traces: kept, starts }, filled);
  }
  starts[filled.traces] = filled.rows;
  return {
    rows: rows.subarray(0, filled.rows),
    parents: parents.subarray(0, filled.rows),
    traces: kept.subarray(0, filled.traces),
    starts: starts.subarray(0, filled.traces + 1),
  };
}

/** How far an order is filled. */
interface Filled {
  rows: number;
  traces: number;
}

/** Appends the groups [from, to) to the order, those of traces[from, to). */
function orderTraces(
  tree: TraceTree,
  from: number,
  to: number,
  traces: Uint32Array,
  grouped: Uint32Array,
  groupStarts: Uint32Array,
  order: RowOrder,
  filled: Filled,
): void {
  for (let group = from; group < to; group++) {
    const first = groupStarts[group];
    const end = groupStarts[group + 1];
    if (first === end) continue;
    order.traces[filled.traces] = traces[group];
    order.starts[filled.traces++] = filled.rows;
    filled.rows = tree.emit(grouped, first, end, order.rows, order.parents, filled.rows);
  }
}

/** The order less some traces, whose ids are in the answer: what is left has new numbers of rows and traces. */
export function orderWithout(order: RowOrder, view: LiveView, gone: TraceIds): { order: RowOrder; leftOut: string[] } {
  if (gone.ids.length === 0) return { order, leftOut: [] };
  const words = view.traceWords();
  const ids = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const idOf = Array.from(order.traces, (number) => gone.find(ids, 16 * number));
  const leftOut = idOf.filter((id) => id !== undefined);
  if (leftOut.length === 0) return { order, leftOut };
  const traces: number[] = [];
  const starts: number[] = [];
  const rows = new Uint32Array(order.rows.length);
  const parents = new Int32Array(order.rows.length);
  let filled = 0;
  for (let trace = 0; trace < order.traces.length; trace++) {
    if (idOf[trace] !== undefined) continue;
    traces.push(order.traces[trace]);
    starts.push(filled);
    const [from, to] = [order.starts[trace], order.starts[trace + 1]];
    rows.set(order.rows.subarray(from, to), filled);
    parents.set(order.parents.subarray(from, to), filled);
    filled += to - from;
  }
  starts.push(filled);
  const left = {
    rows: rows.subarray(0, filled),
    parents: parents.subarray(0, filled),
    traces: Uint32Array.from(traces),
    starts: Uint32Array.from(starts),
  };
  return { order: left, leftOut };
}

/** Trace numbers in the order of their ids' bytes. */
function sortedTraces(words: Uint32Array): Uint32Array {
  const count = words.length >>> 2;
  // The first 32 bits of the id and the number in one double: the engine's numeric sort needs no comparator.
  const keys = new Float64Array(count);
  inRuns(count, putKeys, words, keys);
  keys.sort();
  const sorted = new Uint32Array(count);
  inRuns(count, takeNumbers, keys, sorted);
  inRuns(count, sortEqual, words, sorted);
  return sorted;
}

function putKeys(from: number, to: number, words: Uint32Array, keys: Float64Array): void {
  for (let trace = from; trace < to; trace++) keys[trace] = bigEndian(words[4 * trace]) * 2097152 + trace;
}

function takeNumbers(from: number, to: number, keys: Float64Array, sorted: Uint32Array): void {
  for (let index = from; index < to; index++) sorted[index] = keys[index] % 2097152;
}

/** Sorts ids that begin alike: all of a group whose second one is in [from, to). */
function sortEqual(from: number, to: number, words: Uint32Array, sorted: Uint32Array): void {
  for (let index = Math.max(1, from); index < to; index++) {
    if (words[4 * sorted[index]] !== words[4 * sorted[index - 1]]) continue;
    const first = words[4 * sorted[index]];
    let start = index - 1;
    while (start > 0 && words[4 * sorted[start - 1]] === first) start--;
    let end = index + 1;
    while (end < sorted.length && words[4 * sorted[end]] === first) end++;
    sorted.subarray(start, end).sort((a, b) => compareIds(words, a, b));
    index = end - 1;
  }
}

function bigEndian(word: number): number {
  return (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

function compareIds(words: Uint32Array, a: number, b: number): number {
  for (let word = 0; word < 4; word++) {
    const difference = bigEndian(words[4 * a + word]) - bigEndian(words[4 * b + word]);
    if (difference !== 0) return difference;
  }
  return 0;
}

function groupByTrace(
  traceOf: Uint32Array,
  traces: Uint32Array,
  traceCount: number,
  arrays: Arrays,
): { grouped: Uint32Array; groupStarts: Uint32Array } {
  const place = arrays.int32(traceCount).fill(-1);
  inRuns(traces.length, placeTraces, traces, place);
  const groupStarts = arrays.uint32(traces.length + 1);
  inRuns(traceOf.length, countRows, traceOf, place, groupStarts);
  inRuns(traces.length, addUp, groupStarts);
  const grouped = arrays.uint32(groupStarts[traces.length]);
  inRuns(traceOf.length, groupRows, traceOf, place, groupStarts.slice(0, traces.length), grouped);
  return { grouped, groupStarts };
}

function placeTraces(from: number, to: number, traces: Uint32Array, place: Int32Array): void {
  for (let index = from; index < to; index++) place[traces[index]] = index;
}

/** Counts the rows of each group, one place behind its own. */
export function countRows(
  from: number,
  to: number,
  groupOf: Uint32Array,
  place: Int32Array,
  starts: Uint32Array,
): void {
  for (let row = from; row < to; row++) {
    const index = place[groupOf[row]];
    if (index >= 0) starts[index + 1]++;
  }
}

/** Counts, each behind the place of its number, become the starts of what was counted. */
export function addUp(from: number, to: number, starts: Uint32Array): void {
  for (let index = from; index < to; index++) starts[index + 1] += starts[index];
}

function groupRows(
  from: number,
  to: number,
  traceOf: Uint32Array,
  place: Int32Array,
  next: Uint32Array,
  grouped: Uint32Array,
): void {
  for (let row = from; row < to; row++) {
    const index = place[traceOf[row]];
    if (index >= 0) grouped[next[index]++] = row;
  }
}

/** Depth-first order of one trace at a time, with scratch space that grows to the largest trace. */
class TraceTree {
  readonly #idLow: Uint32Array;
  readonly #idHigh: Uint32Array;
  readonly #parentLow: Uint32Array;
  readonly #parentHigh: Uint32Array;
  readonly #startLow: Uint32Array;
  readonly #startHigh: Uint32Array;
  readonly #identity: RowIdentity;
  #table = new Int32Array(64);
  #byStart = new Int32Array(32);
  #keys = new Float64Array(32);
  #parent = new Int32Array(32);
  #firstChild = new Int32Array(32);
  #nextSibling = new Int32Array(32);
  #position = new Int32Array(32);
  #stack = new Int32Array(32);

  constructor(view: LiveView) {
    this.#identity = new RowIdentity(view);
    this.#idLow = view.field(ROW_SPAN_ID);
    this.#idHigh = view.field(ROW_SPAN_ID + 1);
    this.#parentLow = view.field(ROW_PARENT_ID);
    this.#parentHigh = view.field(ROW_PARENT_ID + 1);
    this.#startLow = view.field(ROW_START);
    this.#startHigh = view.field(ROW_START + 1);
  }

  /** Writes the rows grouped[from, to) in depth-first order to `rows` at `filled`; returns the new end. */
  emit(grouped: Uint32Array, from: number, to: number, rows: Uint32Array, parents: Int32Array, filled: number): number {
    const count = to - from;
    this.#reserve(count);
    const mask = this.#insertIds(grouped, from, count);
    const table = this.#table;
    const parent = this.#parent;
    const firstChild = this.#firstChild;
    const nextSibling = this.#nextSibling;
    const byStart = this.#byStart;
    for (let i = 0; i < count; i++) {
      firstChild[i] = -1;
      if (parent[i] === -3) continue;
      const row = grouped[from + i];
      const low = this.#parentLow[row];
      const high = this.#parentHigh[row];
      parent[i] = (low | high) === 0 ? -2 : this.#find(table, mask, grouped, from, low, high);
      if (parent[i] === i) parent[i] = -1;
    }
    this.#sortByStart(grouped, from, count);
    // Latest first, each put in front of its siblings: the lists end up by start time.
    let firstRoot = -1;
    let firstOrphan = -1;
    for (let k = count - 1; k >= 0; k--) {
      const i = byStart[k];
      const of = parent[i];
      if (of === -3) continue;
      if (of === -2) {
        nextSibling[i] = firstRoot;
        firstRoot = i;
      } else if (of === -1) {
        nextSibling[i] = firstOrphan;
        firstOrphan = i;
      } else {
        nextSibling[i] = firstChild[of];
        firstChild[of] = i;
      }
    }
    const begin = filled;
    const position = this.#position;
    position.fill(-1, 0, count);
    filled = this.#walk(firstRoot, grouped, from, rows, parents, filled, 0);
    filled = this.#walk(firstOrphan, grouped, from, rows, parents, filled, -1);
    let missing = count;
    for (let i = 0; i < count; i++) if (parent[i] === -3) missing--;
    if (filled - begin < missing) {
      for (let k = 0; k < count; k++) {
        const i = byStart[k];
        if (position[i] >= 0 || parent[i] === -3) continue;
        position[i] = filled;
        parents[filled] = -1;
        rows[filled++] = grouped[from + i];
      }
    }
    return filled;
  }

  #walk(
    first: number,
    grouped: Uint32Array,
    from: number,
    rows: Uint32Array,
    parents: Int32Array,
    filled: number,
    ofTop: number,
  ): number {
    const stack = this.#stack;
    const position = this.#position;
    const parent = this.#parent;
    const nextSibling = this.#nextSibling;
    let depth = 0;
    for (let i = first; i >= 0 || depth > 0; ) {
      if (i < 0) {
        i = stack[--depth];
        continue;
      }
      position[i] = filled;
      parents[filled] = parent[i] < 0 ? ofTop : filled - position[parent[i]];
      rows[filled++] = grouped[from + i];
      stack[depth++] = nextSibling[i];
      i = this.#firstChild[i];
    }
    return filled;
  }

  #insertIds(grouped: Uint32Array, from: number, count: number): number {
    let size = 16;
    while (size < 2 * count) size *= 2;
    if (this.#table.length < size) this.#table = new Int32Array(size);
    const table = this.#table;
    table.fill(0, 0, size);
    const mask = size - 1;
    for (let i = 0; i < count; i++) {
      const row = grouped[from + i];
      const low = this.#idLow[row];
      const high = this.#idHigh[row];
      let slot = hashId(low, high) & mask;
      this.#parent[i] = 0;
      for (;;) {
        const found = table[slot];
        if (found === 0) {
          table[slot] = i + 1;
          break;
        }
        const other = grouped[from + found - 1];
        if (this.#idLow[other] === low && this.#idHigh[other] === high && this.#identity.isSame(other, row)) {
          this.#parent[i] = -3;
          break;
        }
        slot = (slot + 1) & mask;
      }
    }
    return mask;
  }

  #find(table: Int32Array, mask: number, grouped: Uint32Array, from: number, low: number, high: number): number {
    let slot = hashId(low, high) & mask;
    for (;;) {
      const found = table[slot];
      if (found === 0) return -1;
      const row = grouped[from + found - 1];
      if (this.#idLow[row] === low && this.#idHigh[row] === high) return found - 1;
      slot = (slot + 1) & mask;
    }
  }

  #sortByStart(grouped: Uint32Array, from: number, count: number): void {
    const order = this.#byStart;
    const keys = this.#keys;
    const low = this.#startLow;
    const high = this.#startHigh;
    // Start times as doubles from the first row's: exact for all that is within 50 days of it, and only an order is wanted.
    const first = grouped[from];
    let sorted = true;
    let most = 0;
    for (let i = 0; i < count; i++) {
      const row = grouped[from + i];
      const key = (high[row] - high[first]) * 4294967296 + (low[row] - low[first]);
      keys[i] = key;
      order[i] = i;
      if (i > 0 && key < keys[i - 1]) sorted = false;
      if (key > most) most = key;
      else if (-key > most) most = -key;
    }
    if (sorted) return;
    if (count <= 24) {
      for (let k = 1; k < count; k++) {
        const key = keys[k];
        let j = k - 1;
        for (; j >= 0 && keys[order[j]] > key; j--) order[j + 1] = order[j];
        order[j + 1] = k;
      }
      return;
    }
    if (most * count >= 2 ** 52) {
      order.subarray(0, count).sort((a, b) => keys[a] - keys[b] || a - b);
      return;
    }
    // Key and place in one double: the engine's numeric sort needs no comparator.
    const joined = keys.subarray(0, count);
    for (let i = 0; i < count; i++) joined[i] = joined[i] * count + i;
    joined.sort();
    for (let k = 0; k < count; k++) {
      const place = joined[k] % count;
      order[k] = place < 0 ? place + count : place;
    }
  }

  #reserve(count: number): void {
    if (count <= this.#byStart.length) return;
    const size = 2 ** Math.ceil(Math.log2(count));
    this.#byStart = new Int32Array(size);
    this.#keys = new Float64Array(size);
    this.#parent = new Int32Array(size);
    this.#firstChild = new Int32Array(size);
    this.#nextSibling = new Int32Array(size);
    this.#position = new Int32Array(size);
    this.#stack = new Int32Array(size);
  }
}
