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
import { CHUNK_ROWS, type ColumnCursor, openCursor } from './metrics-cursor.ts';
import { ExemplarPicker } from './metrics-exemplars.ts';
import { Pairing } from './metrics-groups.ts';
import { IntervalFinder } from './metrics-intervals.ts';
import { eachCode, type LabelReader, LabelValues, LIMITED, openCodes, openLabel } from './metrics-labels.ts';
import type { MetricsPlan } from './metrics-plan.ts';
import type { CellsPartial } from './metrics-results.ts';
import type { FoundValue } from './results.ts';
import { openValues } from './metrics-values.ts';

/** Bytes of text that the values of one label may have. */
const LABEL_BYTES_MAX = 8 * 1024 * 1024;

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
    const interval = this.#finder.common(segment.startBounds?.());
    if (interval === 'outside') return;
    const picks = this.exemplars.begin(segment, count, CHUNK_ROWS);
    if (interval !== undefined && this.plan.value === undefined && this.#labels.length === 0) {
      this.cells.values[interval] += count;
      if (!picks) return;
      await this.#pickOnly(segment, rows, count, interval);
      return;
    }
    if (interval !== undefined && rows === undefined && !picks && (await this.#addCodes(segment, interval, stop)))
      return;
    await this.#addChunks(segment, rows, count, interval, picks, stop);
  }

  /**
   * All spans of a segment, of one interval, by one label: its codes are counted as they come, and each becomes a series
   * afterwards. False when that is not how the query or the label is.
   */
  async #addCodes(segment: Segment, interval: number, stop: () => void): Promise<boolean> {
    if (this.plan.value !== undefined || this.#labels.length !== 1) return false;
    const coded = await openCodes(segment, this.plan.metrics.by[0], this.#labels[0]);
    if (coded === undefined) return false;
    const counted = eachCode(coded, stop, (number, count) => this.#countSeries(number, interval, count));
    if (counted < segment.rows) this.#countSeries(0, interval, segment.rows - counted);
    return true;
  }

  #countSeries(series: number, interval: number, count: number): void {
    if (series < 0) return;
    this.cells.ensure(this.#seriesCount());
    this.cells.values[series * this.cells.intervals + interval] += count;
  }

  async #addChunks(
    segment: Segment,
    rows: Uint32Array | undefined,
    count: number,
    interval: number | undefined,
    picks: boolean,
    stop: () => void,
  ): Promise<void> {
    const { plan } = this;
    const starts =
      interval === undefined ? await openCursor(segment, { of: 'fixed', field: 'start' }, rows) : undefined;
    const numbers = plan.value && (await openValues(segment, plan.value, plan.buckets, rows));
    const labels: LabelReader[] = [];
    for (let i = 0; i < this.#labels.length; i++)
      labels.push(await openLabel(segment, plan.metrics.by[i], this.#labels[i], rows));
    try {
      for (let from = 0; from < count; from += CHUNK_ROWS) {
        stop();
        let size = this.#takeRows(rows, from, Math.min(CHUNK_ROWS, count - from));
        if (interval !== undefined) this.#inInterval.fill(interval, 0, size);
        else size = this.#keepInTime(starts!, size);
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
        this.#accumulate(size, interval);
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

  #keepInTime(starts: ColumnCursor, size: number): number {
    const rows = this.#rows;
    const inInterval = this.#inInterval;
    starts.read(rows, size, (part, index, from, to) => this.#finder.fill(part.words!, index, from, to, inInterval));
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
