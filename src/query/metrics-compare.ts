/**
 * `compare()`: what sets the selected spans apart from the others (spec/traceql.md §9.6). The values of every attribute are
 * counted on both sides, and of each attribute and side the most frequent ones are answered, beside how many spans have the
 * attribute at all.
 *
 *   rows, their interval and side ─▶ attribute by attribute: number of the value ─▶ cells [value, side, interval]
 *
 * Memory is bounded an attribute: values for which there is no room are not told apart, and the answer says so.
 */
import type { Segment } from '../block/segment.ts';
import type { CompareMetrics, IntrinsicName, Reference, Scope } from '../traceql/ast.ts';
import { printReference } from '../traceql/print.ts';
import { type Bits, has, noBits, rowsOf } from './bits.ts';
import { filterRows } from './filter.ts';
import { gatherChildren, messageAttributes } from './gather.ts';
import { Cells } from './metrics-cells.ts';
import { CHUNK_ROWS, openCursor } from './metrics-cursor.ts';
import { IntervalFinder, type Intervals } from './metrics-intervals.ts';
import { LabelValues } from './label-values.ts';
import { eachCode, type LabelReader, labelValue, openCodes, openLabel } from './metrics-labels.ts';
import type { ComparePartial, MetricsLabel, MetricsSeries } from './metrics-results.ts';
import type { FoundValue } from './results.ts';

const SIDES = ['baseline', 'selection'] as const;

/** Cells of all attributes together and of one, 8 bytes each, and bytes of the values of one. */
const COMPARE_CELLS_MAX = 4_000_000;
const ATTRIBUTE_CELLS_MAX = 200_000;
const ATTRIBUTE_BYTES_MAX = 128 * 1024;
/** Attributes that are told apart; those of the segments that come first. */
export const ATTRIBUTES_MAX = 500;

const INTRINSICS: readonly IntrinsicName[] = [
  'name',
  'kind',
  'status',
  'statusMessage',
  'rootName',
  'rootServiceName',
  'instrumentation:name',
  'instrumentation:version',
];

interface AttributeCounts {
  reference: Reference;
  values: LabelValues;
  /** Series 2 * number + side. */
  cells: Cells;
  /** Spans with a value, a side and interval. */
  totals: Float64Array;
}

/** Rows, and of each its interval and side. */
interface Placed {
  rows: Uint32Array;
  inInterval: Int32Array;
  sides: Uint8Array;
}

export class CompareRun {
  readonly #metrics: CompareMetrics;
  readonly #intervals: Intervals;
  readonly #finder: IntervalFinder;
  readonly #attributes = new Map<string, AttributeCounts>();
  #cellsLeft = COMPARE_CELLS_MAX;
  /** Attributes for which there was no room. */
  limited = false;

  constructor(metrics: CompareMetrics, intervals: Intervals) {
    this.#metrics = metrics;
    this.#intervals = intervals;
    this.#finder = new IntervalFinder(intervals);
  }

  /** Adds the selected rows of a segment, undefined for all. */
  async add(segment: Segment, selected: Bits | undefined, stop: () => void): Promise<void> {
    if (this.#intervals.count === 0 || segment.rows === 0) return;
    const interval = this.#finder.common(segment.startBounds?.());
    if (interval === 'outside') return;
    const { rows, inInterval, sides } = await this.#placed(segment, selected);
    if (rows.length === 0) return;
    const isAll = rows.length === segment.rows;
    const wanted = isAll ? undefined : rows;
    const numbers = new Int32Array(CHUNK_ROWS);
    const selection = rows.filter((_, k) => sides[k] === 1);
    for (const reference of await referencesOf(segment)) {
      stop();
      const counts = this.#countsOf(reference);
      if (counts === undefined) continue;
      if (isAll && interval !== undefined && 2 * selection.length < rows.length) {
        if (await this.#countCodes(segment, counts, interval, selection, numbers, stop)) continue;
      }
      const reader = await openLabel(segment, reference, counts.values, wanted);
      try {
        await this.#count(reader, counts, rows, inInterval, sides, numbers);
      } finally {
        reader.close();
      }
    }
    for (const space of ['event', 'link'] as const)
      await this.#countChildren(segment, space, { rows, inInterval, sides }, stop);
  }

  /** Of several events (or links) each different value counts, once a span. */
  async #countChildren(segment: Segment, space: 'event' | 'link', placed: Placed, stop: () => void): Promise<void> {
    const children = await segment.childRows(space);
    if (children === undefined) return;
    const parents = noBits(segment.rows);
    for (const row of children.rows) parents[row >>> 5] |= 1 << (row & 31);
    const { inInterval, sides } = placed;
    const places = Uint32Array.from(placed.rows.keys()).filter((place) => has(parents, placed.rows[place]));
    const width = this.#intervals.count;
    for (const reference of childReferences(segment, space)) {
      const counts = places.length === 0 ? undefined : this.#countsOf(reference);
      if (counts === undefined) continue;
      for (let from = 0; from < places.length; from += CHUNK_ROWS) {
        stop();
        const chunk = places.subarray(from, from + CHUNK_ROWS);
        const reads = await gatherChildren(
          segment,
          reference,
          chunk.map((place) => placed.rows[place]),
        );
        const { values, cells, totals } = counts;
        for (let slot = 0; slot < chunk.length; slot++) {
          const numbers = new Set(reads[slot].map((read) => values.number(labelValue(read))));
          numbers.delete(0);
          if (numbers.size === 0) continue;
          cells.ensure(2 * values.count);
          const side = sides[chunk[slot]];
          const interval = inInterval[chunk[slot]];
          totals[side * width + interval]++;
          for (const number of numbers) if (number > 0) cells.values[(2 * number + side) * width + interval]++;
        }
      }
    }
  }

  async #count(
    reader: LabelReader,
    { values, cells, totals }: AttributeCounts,
    rows: Uint32Array,
    inInterval: Int32Array,
    sides: Uint8Array,
    numbers: Int32Array,
  ): Promise<void> {
    const width = this.#intervals.count;
    for (let from = 0; from < rows.length; from += CHUNK_ROWS) {
      const size = Math.min(CHUNK_ROWS, rows.length - from);
      const waiting = reader.fill(rows.subarray(from, from + size), size, numbers);
      if (waiting !== undefined) await waiting;
      cells.ensure(2 * values.count);
      const { values: counted } = cells;
      for (let k = 0; k < size; k++) {
        const number = numbers[k];
        if (number === 0) continue;
        const side = sides[from + k];
        const interval = inInterval[from + k];
        totals[side * width + interval]++;
        if (number > 0) counted[(2 * number + side) * width + interval]++;
      }
    }
  }

  /**
   * All spans of a segment, of one interval: the codes of an attribute are counted as they come, and then those of the few
   * selected rows are taken to the other side. False when the attribute has no codes that can be counted.
   */
  async #countCodes(
    segment: Segment,
    { reference, values, cells, totals }: AttributeCounts,
    interval: number,
    selection: Uint32Array,
    numbers: Int32Array,
    stop: () => void,
  ): Promise<boolean> {
    const coded = await openCodes(segment, reference, values);
    if (coded === undefined) return false;
    const width = this.#intervals.count;
    const add = (number: number, side: number, count: number): void => {
      if (number === 0) return;
      totals[side * width + interval] += count;
      cells.ensure(2 * values.count);
      if (number > 0) cells.values[(2 * number + side) * width + interval] += count;
    };
    eachCode(coded, { count: 1 }, stop, (number, _place, count) => add(number, 0, count));
    const reader = await openLabel(segment, reference, values, selection);
    try {
      for (let from = 0; from < selection.length; from += CHUNK_ROWS) {
        const size = Math.min(CHUNK_ROWS, selection.length - from);
        const waiting = reader.fill(selection.subarray(from, from + size), size, numbers);
        if (waiting !== undefined) await waiting;
        for (let k = 0; k < size; k++) {
          add(numbers[k], 0, -1);
          add(numbers[k], 1, 1);
        }
      }
    } finally {
      reader.close();
    }
    return true;
  }

  /** The selected rows that lie in the range, with their interval, and 1 for those of the selection. */
  async #placed(segment: Segment, selected: Bits | undefined): Promise<Placed> {
    const { filter, startNs = 0n, endNs = 0n } = this.#metrics;
    const chosen = await filterRows(segment, filter.expression, selected);
    const all = selected === undefined ? undefined : rowsOf(selected);
    const count = all === undefined ? segment.rows : all.length;
    const rows = new Uint32Array(count);
    const inInterval = new Int32Array(count);
    const sides = new Uint8Array(count);
    const window = endNs > startNs ? { first: wordsOf(startNs), beyond: wordsOf(endNs + 1n) } : undefined;
    const cursor = await openCursor(segment, { of: 'fixed', field: 'start' }, all);
    const chunk = new Uint32Array(CHUNK_ROWS);
    let kept = 0;
    for (let from = 0; from < count; from += CHUNK_ROWS) {
      const size = Math.min(CHUNK_ROWS, count - from);
      if (all !== undefined) chunk.set(all.subarray(from, from + size));
      else for (let k = 0; k < size; k++) chunk[k] = from + k;
      cursor!.read(chunk, size, (part, index, first, end) => {
        const words = part.words!;
        for (let k = first; k < end; k++) {
          const low = words[2 * index[k]] >>> 0;
          const high = words[2 * index[k] + 1] >>> 0;
          const interval = this.#finder.of(low, high);
          if (interval < 0) continue;
          rows[kept] = chunk[k];
          inInterval[kept] = interval;
          const isIn =
            window === undefined || (!isBefore(high, low, window.first) && isBefore(high, low, window.beyond));
          sides[kept++] = isIn && has(chosen, chunk[k]) ? 1 : 0;
        }
      });
    }
    return { rows: rows.subarray(0, kept), inInterval, sides };
  }

  #countsOf(reference: Reference): AttributeCounts | undefined {
    const key = printReference(reference);
    let counts = this.#attributes.get(key);
    if (counts === undefined) {
      if (this.#attributes.size >= ATTRIBUTES_MAX) {
        this.limited = true;
        return undefined;
      }
      const width = this.#intervals.count;
      const takesRoom = (): boolean => {
        this.#cellsLeft -= 2 * width;
        return this.#cellsLeft >= 0;
      };
      const cells = new Cells('count', width, Math.max(ATTRIBUTE_CELLS_MAX, 8 * width));
      const countMax = Math.floor(cells.seriesMax / 2);
      counts = {
        reference,
        values: new LabelValues({ countMax, bytesMax: ATTRIBUTE_BYTES_MAX, takesRoom }),
        cells,
        totals: new Float64Array(2 * width),
      };
      this.#attributes.set(key, counts);
    }
    return counts;
  }

  /** The most frequent values of each attribute and side, and the totals. */
  series(stop: () => void): MetricsSeries[] {
    const width = this.#intervals.count;
    const series: MetricsSeries[] = [];
    for (const { reference, values, cells, totals } of this.#attributes.values()) {
      stop();
      const key = printReference(reference);
      // Tempo meets the service's name twice in a span, as an attribute and in a column; shares are the same either way.
      const times = key === 'resource.service.name' ? 2 : 1;
      const add = (type: string, value: FoundValue, counts: Float64Array, extra: MetricsLabel[] = []): void => {
        const labels = [{ key: '__meta_type', value: text(type) }, ...extra, { key, value }];
        series.push({ labels, values: counts.map((count) => count * times), exemplars: [] });
      };
      for (const [side, name] of SIDES.entries()) {
        const ofSide = totals.subarray(side * width, (side + 1) * width);
        if (!ofSide.some((count) => count > 0)) continue;
        const found: { number: number; count: number }[] = [];
        for (let number = 1; 2 * number + side < cells.series; number++) {
          const count = cells.row(2 * number + side).reduce((sum, each) => sum + each, 0);
          if (count > 0) found.push({ number, count });
        }
        found.sort((a, b) => b.count - a.count || a.number - b.number);
        for (const { number } of found.slice(0, this.#metrics.topN))
          add(name, values.value(number)!, cells.row(2 * number + side));
        add(`${name}_total`, text('nil'), ofSide);
        if (values.limited)
          add(name, text('nil'), new Float64Array(width), [
            { key: '__meta_error', value: text('__too_many_values__') },
          ]);
      }
    }
    return series;
  }

  partial(): ComparePartial {
    return {
      of: 'compare',
      attributes: [...this.#attributes.values()].map(({ reference, values, cells, totals }) => ({
        reference,
        values: Array.from({ length: values.count }, (_, number) => values.value(number)),
        cells: cells.values.slice(0, cells.series * this.#intervals.count),
        totals,
        limited: values.limited,
      })),
      limited: this.limited,
    };
  }

  merge(partial: ComparePartial): void {
    if (partial.limited) this.limited = true;
    const width = this.#intervals.count;
    for (const { reference, values, cells, totals, limited } of partial.attributes) {
      const counts = this.#countsOf(reference);
      if (counts === undefined) continue;
      if (limited) counts.values.limited = true;
      for (let i = 0; i < totals.length; i++) counts.totals[i] += totals[i];
      for (let number = 1; number < values.length; number++) {
        const own = counts.values.number(values[number]);
        if (own < 0) continue;
        counts.cells.ensure(2 * counts.values.count);
        for (const side of [0, 1]) {
          const at = (2 * number + side) * width;
          if (at < cells.length) counts.cells.merge(2 * own + side, cells.subarray(at, at + width), undefined);
        }
      }
    }
  }
}

/** Everything that a span of the segment may have itself, but for durations, times, ids and places in the tree. */
async function referencesOf(segment: Segment): Promise<Reference[]> {
  const references: Reference[] = INTRINSICS.map((name) => ({ type: 'intrinsic', name, offset: 0 }));
  const add = (scope: Scope, keys: Iterable<string>): void => {
    for (const name of keys) references.push({ type: 'attribute', scope, parent: false, name, offset: 0 });
  };
  add('span', segment.keys('span'));
  for (const message of ['resource', 'scope'] as const) {
    const keys = new Set<string>(message === 'resource' ? ['service.name'] : []);
    for (const attributes of await messageAttributes(segment, message)) for (const { key } of attributes) keys.add(key);
    add(message === 'resource' ? 'resource' : 'instrumentation', keys);
  }
  return references;
}

/** The same of its events or links. */
function childReferences(segment: Segment, space: 'event' | 'link'): Reference[] {
  const attributes = segment
    .keys(space)
    .map((name): Reference => ({ type: 'attribute', scope: space, parent: false, name, offset: 0 }));
  return space === 'link' ? attributes : [{ type: 'intrinsic', name: 'event:name', offset: 0 }, ...attributes];
}

/** The words of a time, the high one first, as two numbers that can be compared. */
function wordsOf(ns: bigint): readonly [number, number] {
  return [Number((ns >> 32n) & 0xffffffffn), Number(ns & 0xffffffffn)];
}

function isBefore(high: number, low: number, than: readonly [number, number]): boolean {
  return high < than[0] || (high === than[0] && low < than[1]);
}

function text(value: string): FoundValue {
  return { type: 'string', value };
}
