/**
 * Accumulates a metrics query, segment by segment and a few thousand rows at a time. Between the steps rows that do not
 * count are left out, so that what comes later reads less:
 *
 *   selected rows ─▶ in time? ─▶ with a number? ─▶ label numbers ─▶ group (─▶ bucket) ─▶ cells
 *                     start       attribute         codes, a look-up each
 *
 * Nothing is made for a row: every step goes from one typed array to the next.
 */
import type { Segment } from '../block/segment.ts';
import { type Bits, rowsOf } from './bits.ts';
import { fillBuckets } from './metrics-buckets.ts';
import { Cells } from './metrics-cells.ts';
import { countPlaces } from './metrics-codes.ts';
import { CHUNK_ROWS, type ColumnCursor, openColumn, openCursor } from './metrics-cursor.ts';
import { ExemplarPicker } from './metrics-exemplars.ts';
import { Pairing } from './metrics-groups.ts';
import { IntervalFinder, type Spread } from './metrics-intervals.ts';
import { LabelValues, LIMITED } from './label-values.ts';
import { eachCode, type LabelReader, openCodes, openLabel } from './metrics-labels.ts';
import type { MetricsPlan } from './metrics-plan.ts';
import type { CellsPartial } from './metrics-results.ts';
import type { FoundValue } from './results.ts';
import { openValues } from './metrics-values.ts';

/** Bytes of text that the values of one label may have. */
const LABEL_BYTES_MAX = 8 * 1024 * 1024;

/** Counts of codes by interval take 16 bytes each. */
const COUNTED_CODES_MAX = 1 << 17;
/** Of pages with strings of their own. */
const PAGE_ENTRIES = 1 << 13;

/** With fewer rows than this share of a segment in traces across an edge, their starts alone are read. */
const FEW_SHARE = 8;

/** Into which intervals the rows of a segment fall: all into one, or each by its place in a spread, or neither is known. */
interface When {
  interval: number | undefined;
  spread?: Spread;
  /** Of each row of the segment. */
  places?: Uint8Array;
}

export class MetricsRun {
  readonly plan: MetricsPlan;
  readonly cells: Cells;
  readonly exemplars: ExemplarPicker;
  readonly #finder: IntervalFinder;
  readonly #labels: LabelValues[];
  /** Of two labels, of the group so far and the third, and so on. */
  readonly #pairings: Pairing[];
  /** Of group and bucket. */
  readonly #buckets: Pairing | undefined;
  #limited = false;
  readonly #rows = new Uint32Array(CHUNK_ROWS);
  readonly #inInterval = new Int32Array(CHUNK_ROWS);
  #series = new Int32Array(CHUNK_ROWS);
  #paired = new Int32Array(CHUNK_ROWS);
  readonly #number = new Int32Array(CHUNK_ROWS);
  readonly #values = new Float64Array(CHUNK_ROWS);
  #places = new Uint8Array(0);

  constructor(plan: MetricsPlan, exemplarsMax: number, cellsMax?: number) {
    this.plan = plan;
    const { intervals, metrics } = plan;
    this.cells = new Cells(plan.cells, intervals.count, cellsMax);
    this.exemplars = new ExemplarPicker(plan.query, intervals, exemplarsMax);
    this.#finder = new IntervalFinder(intervals);
    const countMax = this.cells.seriesMax;
    this.#labels = metrics.by.map(() => new LabelValues({ countMax: countMax + 1, bytesMax: LABEL_BYTES_MAX }));
    this.#pairings = metrics.by.slice(1).map(() => new Pairing(countMax));
    this.#buckets = plan.buckets ? new Pairing(countMax) : undefined;
    // Counting everything finds zero where there is nothing.
    if (metrics.by.length === 0 && plan.cells === 'count' && !plan.buckets) this.cells.ensure(1);
  }

  /** Some spans had no room. */
  get limited(): boolean {
    return (
      this.#limited ||
      this.#labels.some((label) => label.limited) ||
      this.#pairings.some((pairing) => pairing.limited) ||
      this.#buckets?.limited === true
    );
  }

  /** Adds the selected rows of a segment, undefined for all. */
  async add(segment: Segment, selected: Bits | undefined, stop: () => void): Promise<void> {
    if (this.plan.intervals.count === 0) return;
    const rows = selected && rowsOf(selected);
    const count = rows === undefined ? segment.rows : rows.length;
    if (count === 0) return;
    const bounds = segment.startBounds?.();
    const interval = this.#finder.common(bounds);
    if (interval === 'outside') return;
    const picks = this.exemplars.begin(segment, count, CHUNK_ROWS);
    if (interval !== undefined && this.plan.value === undefined && this.#labels.length === 0) {
      this.cells.values[interval] += count;
      if (picks) await this.#pickOnly(segment, rows, count, interval);
      return;
    }
    const spread = interval === undefined && bounds !== undefined ? this.#finder.spread(bounds) : undefined;
    const places = spread && { spread, places: await this.#placesOf(segment, spread, rows, stop) };
    const when: When = { interval, ...places };
    if (rows === undefined && (await this.#addCodes(segment, when, stop))) {
      if (!picks) return;
      const sample = this.exemplars.sample(count, CHUNK_ROWS);
      await this.#addChunks(segment, sample, sample.length, when, { counts: false, picks }, stop);
    } else await this.#addChunks(segment, rows, count, when, { counts: true, picks }, stop);
  }

  /**
   * Of each row, or of `rows` alone, the place of its start among the intervals of the spread; until the next segment. Starts are
   * only looked at where lines of traces do not tell.
   */
  async #placesOf(
    segment: Segment,
    spread: Spread,
    rows: Uint32Array | undefined,
    stop: () => void,
  ): Promise<Uint8Array> {
    if (this.#places.length < segment.rows) this.#places = new Uint8Array(segment.rows);
    const lines = segment.linesAtHand?.();
    const others = lines && this.#finder.placeTraces(lines, spread, this.#places, segment.rows / FEW_SHARE);
    if (others?.length !== 0) {
      const starts = await openColumn(segment, { of: 'fixed', field: 'start' }, others ?? rows, true);
      for (const part of starts!.parts) {
        stop();
        this.#finder.place(part, spread, this.#places);
      }
    }
    return this.#places.subarray(0, segment.rows);
  }

  /**
   * All spans of a segment, by one label or none: codes are counted as they come, and each becomes a series afterwards. False
   * when that is not how the query or the label is.
   */
  async #addCodes(segment: Segment, { interval, spread, places }: When, stop: () => void): Promise<boolean> {
    const { length } = this.#labels;
    if (this.plan.value !== undefined || length > 1 || (interval === undefined && spread === undefined)) return false;
    const intervals = spread?.intervals ?? Int32Array.of(interval!);
    if (length === 0) {
      countPlaces(places!, (place, count) => this.#countSeries(0, intervals[place], count));
      return true;
    }
    const coded = await openCodes(segment, this.plan.metrics.by[0], this.#labels[0]);
    if (coded === undefined) return false;
    if ((coded.column.dictionary?.count ?? PAGE_ENTRIES) * intervals.length > COUNTED_CODES_MAX) return false;
    const left = new Float64Array(intervals.length);
    const of = { count: intervals.length, ...(places && { of: places }) };
    const counted = eachCode(coded, of, stop, (number, place, count) => {
      left[place] -= count;
      this.#countSeries(number, intervals[place], count);
    });
    if (counted === segment.rows) return true;
    // The others have no value.
    if (places === undefined) left[0] += segment.rows;
    else countPlaces(places, (place, count) => void (left[place] += count));
    left.forEach((count, place) => {
      this.#countSeries(0, intervals[place], count);
    });
    return true;
  }

  #countSeries(series: number, interval: number, count: number): void {
    if (series < 0 || interval < 0) return;
    this.cells.ensure(this.#seriesCount());
    this.cells.values[series * this.cells.intervals + interval] += count;
  }

  async #addChunks(
    segment: Segment,
    rows: Uint32Array | undefined,
    count: number,
    { interval, spread, places }: When,
    { counts, picks }: { counts: boolean; picks: boolean },
    stop: () => void,
  ): Promise<void> {
    const { plan } = this;
    const starts =
      interval === undefined && places === undefined
        ? await openCursor(segment, { of: 'fixed', field: 'start' }, rows, true)
        : undefined;
    const numbers = plan.value && (await openValues(segment, plan.value, plan.buckets, rows));
    const labels: LabelReader[] = [];
    for (let i = 0; i < this.#labels.length; i++)
      labels.push(await openLabel(segment, plan.metrics.by[i], this.#labels[i], rows));
    try {
      for (let from = 0; from < count; from += CHUNK_ROWS) {
        stop();
        let size = this.#takeRows(rows, from, Math.min(CHUNK_ROWS, count - from));
        if (interval !== undefined) this.#inInterval.fill(interval, 0, size);
        else {
          if (places !== undefined) this.#findPlaces(places, spread!.intervals, size);
          else this.#findIntervals(starts!, size);
          size = this.#keepInTime(size);
        }
        if (numbers !== undefined && size > 0) {
          const waiting = numbers.fill(this.#rows, size, this.#values);
          if (waiting !== undefined) await waiting;
          size = this.#keepNumbers(size);
        }
        if (size === 0) continue;
        for (let i = 0; i < labels.length; i++) {
          const waiting = labels[i].fill(this.#rows, size, i === 0 ? this.#series : this.#number);
          if (waiting !== undefined) await waiting;
          if (i > 0) this.#pair(this.#pairings[i - 1], size);
        }
        if (labels.length === 0) this.#series.fill(0, 0, size);
        if (counts) this.#accumulate(size, interval);
        if (picks)
          this.exemplars.offer(
            this.#rows,
            size,
            this.#series,
            this.#inInterval,
            numbers === undefined ? undefined : this.#values,
          );
      }
    } finally {
      starts?.close();
      numbers?.close();
      for (const label of labels) label.close();
    }
    if (picks) await this.exemplars.end(segment);
  }

  #takeRows(rows: Uint32Array | undefined, from: number, size: number): number {
    if (rows !== undefined) this.#rows.set(rows.subarray(from, from + size));
    else for (let k = 0; k < size; k++) this.#rows[k] = from + k;
    return size;
  }

  #findIntervals(starts: ColumnCursor, size: number): void {
    const inInterval = this.#inInterval;
    starts.read(this.#rows, size, (part, index, from, to) => this.#finder.fill(part, index, from, to, inInterval));
  }

  #findPlaces(places: Uint8Array, intervals: Int32Array, size: number): void {
    const rows = this.#rows;
    const inInterval = this.#inInterval;
    for (let k = 0; k < size; k++) inInterval[k] = intervals[places[rows[k]]];
  }

  #keepInTime(size: number): number {
    const rows = this.#rows;
    const inInterval = this.#inInterval;
    // Mostly all are, and nothing has to be moved.
    let outside = 0;
    for (let k = 0; k < size; k++) outside |= inInterval[k];
    if (outside >= 0) return size;
    let kept = 0;
    for (let k = 0; k < size; k++) {
      if (inInterval[k] < 0) continue;
      rows[kept] = rows[k];
      inInterval[kept++] = inInterval[k];
    }
    return kept;
  }

  #keepNumbers(size: number): number {
    const rows = this.#rows;
    const values = this.#values;
    const inInterval = this.#inInterval;
    // Buckets begin at 2.
    const least = this.plan.buckets ? 2 : -Infinity;
    // Mostly all have one, and nothing has to be moved.
    let kept = 0;
    while (kept < size && values[kept] >= least) kept++;
    for (let k = kept; k < size; k++) {
      if (!(values[k] >= least)) continue;
      rows[kept] = rows[k];
      values[kept] = values[k];
      inInterval[kept++] = inInterval[k];
    }
    return kept;
  }

  /** `interval` is that of all rows, undefined when they differ. */
  #accumulate(size: number, interval: number | undefined): void {
    if (this.#buckets !== undefined) {
      fillBuckets(this.#values, size, this.#number);
      this.#pair(this.#buckets, size);
    }
    const series = this.#series;
    this.cells.ensure(this.#seriesCount());
    if (this.plan.value === undefined || this.plan.buckets) {
      if (interval === undefined) this.cells.count(series, this.#inInterval, size);
      else this.cells.countIn(interval, series, size);
    } else this.cells.add(series, this.#inInterval, this.#values, size);
  }

  /** The series become those of (series, number). */
  #pair(pairing: Pairing, size: number): void {
    pairing.fill(this.#series, this.#number, size, this.#paired);
    [this.#series, this.#paired] = [this.#paired, this.#series];
  }

  #seriesCount(): number {
    if (this.#buckets !== undefined) return this.#buckets.count;
    return this.#groupCount();
  }

  #groupCount(): number {
    if (this.#pairings.length > 0) return this.#pairings[this.#pairings.length - 1].count;
    return this.#labels.length === 0 ? 1 : this.#labels[0].count;
  }

  /** Exemplars of a segment that is counted as a whole. */
  async #pickOnly(segment: Segment, rows: Uint32Array | undefined, count: number, interval: number): Promise<void> {
    this.#inInterval.fill(interval);
    this.#series.fill(0);
    for (let from = 0; from < count; from += CHUNK_ROWS) {
      const size = this.#takeRows(rows, from, Math.min(CHUNK_ROWS, count - from));
      this.exemplars.offer(this.#rows, size, this.#series, this.#inInterval, undefined);
    }
    await this.exemplars.end(segment);
  }

  /** The label values of a series, in the order of `by`. */
  groupOf(series: number): (FoundValue | undefined)[] {
    let group = this.#buckets === undefined ? series : this.#buckets.left(series);
    const values: (FoundValue | undefined)[] = new Array(this.#labels.length);
    for (let i = this.#labels.length - 1; i > 0; i--) {
      values[i] = this.#labels[i].value(this.#pairings[i - 1].right(group));
      group = this.#pairings[i - 1].left(group);
    }
    if (this.#labels.length > 0) values[0] = this.#labels[0].value(group);
    return values;
  }

  /** A number that series of the same group share, and no others. */
  groupNumber(series: number): number {
    return this.#buckets === undefined ? series : this.#buckets.left(series);
  }

  /** The exponent of a series' bucket; 0 without buckets. */
  bucketOf(series: number): number {
    return this.#buckets === undefined ? 0 : this.#buckets.right(series);
  }

  /** Series that have a value, or that are there without one. */
  usedSeries(): number[] {
    const used: number[] = [];
    const { kind, series } = this.cells;
    const always = this.#labels.length === 0 && kind === 'count' && this.#buckets === undefined;
    for (let each = 0; each < series; each++) {
      const row = this.cells.row(each);
      if (always || (kind === 'count' ? row.some((value) => value > 0) : row.some((value) => !Number.isNaN(value))))
        used.push(each);
    }
    return used;
  }

  partial(): CellsPartial {
    const used = this.usedSeries();
    const place = new Map(used.map((series, i) => [series, i]));
    const width = this.cells.intervals;
    const cells = new Float64Array(used.length * width);
    const counts = this.cells.counts && new Float64Array(used.length * width);
    used.forEach((series, i) => {
      cells.set(this.cells.row(series), i * width);
      counts?.set(this.cells.counts!.subarray(series * width, (series + 1) * width), i * width);
    });
    return {
      of: 'cells',
      groups: used.map((series) => this.groupOf(series)),
      buckets: used.map((series) => this.bucketOf(series)),
      cells,
      ...(counts && { counts }),
      exemplars: this.exemplars.exemplars
        .filter(({ series }) => place.has(series))
        .map((exemplar) => ({ ...exemplar, series: place.get(exemplar.series)! })),
      limited: this.limited,
    };
  }

  /** Adds what another process has accumulated for the same query and range. */
  merge(partial: CellsPartial): void {
    const width = this.cells.intervals;
    if (partial.limited) this.#limited = true;
    const seriesOf = partial.groups.map((group, i) => {
      let series = 0;
      group.forEach((value, label) => {
        const number = this.#labels[label].number(value);
        if (label === 0) series = number;
        else series = series < 0 || number < 0 ? LIMITED : this.#pairings[label - 1].number(series, number);
      });
      if (this.#buckets !== undefined && series >= 0) series = this.#buckets.number(series, partial.buckets[i]);
      this.cells.ensure(this.#seriesCount());
      if (series >= 0)
        this.cells.merge(
          series,
          partial.cells.subarray(i * width, (i + 1) * width),
          partial.counts?.subarray(i * width, (i + 1) * width),
        );
      return series;
    });
    for (const exemplar of partial.exemplars)
      if (seriesOf[exemplar.series] >= 0) this.exemplars.merge(exemplar, seriesOf[exemplar.series]);
  }
}
