/**
 * A segment less some of its traces, as if they had never come: rows, events, links and traces of what is left are numbered
 * anew, in their order.
 *
 *   rows of the segment   0 1 2 │ 3 4 │ 5 6 7        the trace in the middle is to be left out
 *   before                0 1 2   3 3   3 4 5 6      how many rows that stay stand before each, and before the end
 *   rows that are seen    0 1 2         3 4 5
 *
 * A query that wants to know more than a row's number asks the segment itself. What costs is paid for segments that hold such
 * a trace, and until they are written again without it.
 */
import type {
  AttributeType,
  Column,
  ColumnOptions,
  Dictionary,
  Part,
  RowRange,
  Segment,
  Space,
  Want,
} from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import { traceNumbers, type WantedTraces } from './trace-numbers.ts';

/** The segment itself when it holds none of the traces. */
export async function withoutTraces(segment: Segment, hidden: WantedTraces): Promise<Segment> {
  if (hidden.ids.length === 0) return segment;
  const gone = [...(await traceNumbers(segment, hidden))].filter((number) => number >= 0).sort((a, b) => a - b);
  if (gone.length === 0) return segment;
  const lines = await segment.lines();
  const traces = new Numbering(lines.ids.length / 16, gone);
  const { firstRow } = lines;
  const rowsGone: number[] = [];
  if (segment.live) {
    const traceOf = await segment.tracesOfRows(Uint32Array.from({ length: segment.rows }, (_, row) => row));
    for (let row = 0; row < traceOf.length; row++) if (!traces.keeps(traceOf[row])) rowsGone.push(row);
  } else for (const trace of gone) for (let row = firstRow[trace]; row < firstRow[trace + 1]; row++) rowsGone.push(row);
  const rows = new Numbering(segment.rows, rowsGone);
  const children = async (space: 'event' | 'link'): Promise<Numbering> => {
    const of = (await segment.childRows(space))?.rows ?? new Uint32Array(0);
    const childrenGone: number[] = [];
    for (let child = 0; child < of.length; child++) if (!rows.keeps(of[child])) childrenGone.push(child);
    return new Numbering(of.length, childrenGone);
  };
  return new SegmentWithout(segment, gone, traces, {
    span: rows,
    event: await children('event'),
    link: await children('link'),
  });
}

/** New numbers of what stays of `count` things. */
class Numbering {
  /** Old numbers by new ones. */
  readonly kept: Uint32Array;
  /** How many of those that stay stand before each, and at the end how many there are. */
  readonly before: Uint32Array;

  constructor(count: number, gone: readonly number[]) {
    const stays = new Uint8Array(count).fill(1);
    for (const number of gone) stays[number] = 0;
    this.before = new Uint32Array(count + 1);
    this.kept = new Uint32Array(count - gone.length);
    for (let old = 0, next = 0; old < count; old++) {
      if (stays[old] === 1) this.kept[next++] = old;
      this.before[old + 1] = next;
    }
  }

  keeps(old: number): boolean {
    return this.before[old + 1] > this.before[old];
  }

  /** The old range that holds a new one. */
  oldRange({ from, to }: RowRange): RowRange {
    const last = Math.min(to, this.kept.length) - 1;
    return last < from ? { from: 0, to: 0 } : { from: this.kept[from], to: this.kept[last] + 1 };
  }

  newOf(old: Uint32Array): Uint32Array {
    return old.map((each) => this.before[each]);
  }
}

class SegmentWithout implements Segment {
  readonly name: string;
  readonly block: string | undefined;
  readonly live: boolean;
  readonly rows: number;
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly bytes: number;
  readonly traceNumber?: Segment['traceNumber'];
  readonly mayHoldHash?: Segment['mayHoldHash'];
  readonly prepare?: Segment['prepare'];
  readonly attributesOf?: Segment['attributesOf'];
  readonly repeatedRows?: Segment['repeatedRows'];
  readonly #base: Segment;
  readonly #traces: Numbering;
  readonly #numbers: Record<Space, Numbering>;
  #lines: TraceLines | undefined;

  constructor(base: Segment, gone: readonly number[], traces: Numbering, numbers: Record<Space, Numbering>) {
    // What is remembered of a segment by its name must not be mistaken for what is known of this one.
    this.name = `${base.name} without ${gone.join()}`;
    this.block = base.block;
    this.live = base.live;
    this.rows = numbers.span.kept.length;
    this.startSeconds = base.startSeconds;
    this.endSeconds = base.endSeconds;
    this.bytes = base.bytes;
    this.#base = base;
    this.#traces = traces;
    this.#numbers = numbers;
    if (base.traceNumber !== undefined)
      this.traceNumber = (id) => {
        const old = base.traceNumber!(id);
        return old < 0 || !traces.keeps(old) ? -1 : traces.before[old];
      };
    if (base.mayHoldHash !== undefined) this.mayHoldHash = () => base.mayHoldHash!();
    if (base.prepare !== undefined) this.prepare = (range) => base.prepare!(numbers.span.oldRange(range));
    const rows = numbers.span;
    if (base.repeatedRows !== undefined)
      this.repeatedRows = () =>
        base.repeatedRows!()
          .filter((row) => rows.keeps(row))
          .map((row) => rows.before[row]);
    if (base.attributesOf !== undefined)
      this.attributesOf = (space, range) =>
        base.attributesOf!(space, numbers[space].oldRange(range)).map(({ key, column }) => ({
          key,
          column: filtered(column, numbers[space]),
        }));
  }

  get bytesRead(): number {
    return this.#base.bytesRead ?? 0;
  }

  mayHold(traceId: Uint8Array): Promise<boolean> {
    return this.#base.mayHold(traceId);
  }

  async lines(): Promise<TraceLines> {
    this.#lines ??= filteredLines(await this.#base.lines(), this.#traces, this.#numbers.span, this.live);
    return this.#lines;
  }

  async traceIds(): Promise<Uint8Array> {
    const ids = await this.#base.traceIds();
    const { kept } = this.#traces;
    const left = new Uint8Array(16 * kept.length);
    for (let trace = 0; trace < kept.length; trace++)
      left.set(ids.subarray(16 * kept[trace], 16 * kept[trace] + 16), 16 * trace);
    return left;
  }

  warm(what: Want | 'lines'): void {
    this.#base.warm?.(what);
  }

  async rowsOfTrace(trace: number): Promise<Uint32Array> {
    return this.#numbers.span.newOf(await this.#base.rowsOfTrace(this.#traces.kept[trace]));
  }

  async tracesOfRows(rows: Uint32Array): Promise<Uint32Array> {
    return this.#traces.newOf(await this.#base.tracesOfRows(rows.map((row) => this.#numbers.span.kept[row])));
  }

  typesOf(space: Space, key: string): AttributeType[] {
    return this.#base.typesOf(space, key);
  }

  keys(space: Space): string[] {
    return this.#base.keys(space);
  }

  async keysInUse(space: Space): Promise<string[]> {
    const used: string[] = [];
    for (const key of this.#base.keys(space)) if (await this.#isUsed(space, key)) used.push(key);
    return used;
  }

  async column(want: Want, range?: RowRange, options?: ColumnOptions): Promise<Column | undefined> {
    const rows = this.#numbers.span;
    const asked = options?.rows && { ...options, rows: options.rows.map((row) => rows.kept[row]) };
    const column = await this.#base.column(want, range && rows.oldRange(range), asked ?? options);
    if (column === undefined) return undefined;
    return filtered(column, this.#numbers[want.of === 'attribute' || want.of === 'child' ? want.space : 'span']);
  }

  resources(): Promise<Uint8Array[]> {
    return this.#messages('resource');
  }

  scopes(): Promise<Uint8Array[]> {
    return this.#messages('scope');
  }

  async tree(): ReturnType<Segment['tree']> {
    const { order, parents, starts, traces } = await this.#base.tree();
    const rows = this.#numbers.span;
    const keptOrder: number[] = [];
    const keptParents: number[] = [];
    const keptStarts: number[] = [];
    const keptTraces: number[] = [];
    for (let trace = 0; trace + 1 < starts.length; trace++) {
      const number = traces === undefined ? trace : traces[trace];
      if (!this.#traces.keeps(number)) continue;
      keptStarts.push(keptParents.length);
      keptTraces.push(this.#traces.before[number]);
      for (let position = starts[trace]; position < starts[trace + 1]; position++) {
        keptParents.push(parents[position]);
        if (order !== undefined) keptOrder.push(rows.before[order[position]]);
      }
    }
    keptStarts.push(keptParents.length);
    return {
      parents: Int32Array.from(keptParents),
      starts: Uint32Array.from(keptStarts),
      ...(order && { order: Uint32Array.from(keptOrder) }),
      ...(traces && { traces: Uint32Array.from(keptTraces) }),
    };
  }

  async childRows(space: 'event' | 'link', range?: RowRange): ReturnType<Segment['childRows']> {
    const rows = this.#numbers.span;
    const found = await this.#base.childRows(space, range && rows.oldRange(range));
    return (
      found && {
        first: this.#numbers[space].before[found.first],
        rows: rows.newOf(found.rows.filter((row) => rows.keeps(row))),
      }
    );
  }

  async #isUsed(space: Space, key: string): Promise<boolean> {
    for (const type of this.#base.typesOf(space, key)) {
      const column = await this.column({ of: 'attribute', space, key, type });
      if (column !== undefined) for (const part of column.parts) if (part.count > 0) return true;
    }
    return false;
  }

  /** Those of no row that stays are empty. */
  async #messages(of: 'resource' | 'scope'): Promise<Uint8Array[]> {
    const messages = await (of === 'resource' ? this.#base.resources() : this.#base.scopes());
    const used = new Uint8Array(messages.length);
    const column = await this.column({ of });
    for (const { codes, count } of column?.parts ?? []) for (let i = 0; i < count; i++) used[codes![i]] = 1;
    return messages.map((message, index) => (used[index] === 1 ? message : NO_MESSAGE));
  }
}

const NO_MESSAGE = new Uint8Array(0);

function filtered(column: Column, numbers: Numbering): Column {
  return {
    kind: column.kind,
    parts: {
      *[Symbol.iterator]() {
        for (const part of column.parts) yield filteredPart(part, numbers);
      },
    },
    ...(column.dictionary && { dictionary: partOfColumn(column.dictionary) }),
    ...(column.check && { check: () => column.check!() }),
    ...(column.pages !== undefined && { pages: column.pages }),
  };
}

/** Its entries are not just those of the rows that stay. */
function partOfColumn(dictionary: Dictionary): Dictionary {
  const { count, bytes } = dictionary;
  return { count, bytes, start: (code) => dictionary.start(code), end: (code) => dictionary.end(code) };
}

function filteredPart(part: Part, numbers: Numbering): Part {
  const { first, rows, count, present, at } = part;
  const { before } = numbers;
  const from = before[first];
  const left = before[first + rows] - from;
  const bounds = { first: from, rows: left };
  if (at !== undefined) {
    const values: number[] = [];
    for (let i = 0; i < count; i++) if (numbers.keeps(at[i])) values.push(i);
    return picked(part, values, { ...bounds, at: Uint32Array.from(values, (i) => before[at[i]]) });
  }
  if (left === rows) return { ...part, first: from };
  const values: number[] = [];
  if (present === undefined) {
    for (let i = 0; i < count; i++) if (numbers.keeps(first + i)) values.push(i);
    return picked(part, values, bounds);
  }
  const presentLeft = new Uint8Array(left);
  for (let i = 0, value = 0; i < rows; i++) {
    if (numbers.keeps(first + i)) {
      presentLeft[before[first + i] - from] = present[i];
      if (present[i] === 1) values.push(value);
    }
    value += present[i];
  }
  return picked(part, values, { ...bounds, present: presentLeft });
}

/** The values with these indexes. */
function picked(part: Part, values: number[], place: Pick<Part, 'first' | 'rows' | 'present' | 'at'>): Part {
  const { codes, words, distances, base, doubles, bits, ints, bytes, dictionary } = part;
  const count = values.length;
  return {
    ...place,
    count,
    ...(dictionary && { dictionary: partOfColumn(dictionary) }),
    ...(codes && { codes: Uint32Array.from(values, (i) => codes[i]) }),
    ...(words && { words: Int32Array.from({ length: 2 * count }, (_, k) => words[2 * values[k >> 1] + (k & 1)]) }),
    ...(distances && { distances: Float64Array.from(values, (i) => distances[i]), base: base! }),
    ...(doubles && { doubles: Float64Array.from(values, (i) => doubles[i]) }),
    ...(bits && { bits: Uint8Array.from(values, (i) => bits[i]) }),
    ...(ints && { ints: Int32Array.from(values, (i) => ints[i]) }),
    // Ids of spans; those of traces are no column that is asked for.
    ...(bytes && { bytes: Uint8Array.from({ length: 8 * count }, (_, k) => bytes[8 * values[k >> 3] + (k & 7)]) }),
  };
}

function filteredLines(lines: TraceLines, traces: Numbering, rows: Numbering, live: boolean): TraceLines {
  const { kept } = traces;
  const ids = new Uint8Array(16 * kept.length);
  const firstRow = new Uint32Array(kept.length + 1);
  const firstStat = new Uint32Array(kept.length + 1);
  const stats: number[] = [];
  for (let trace = 0; trace < kept.length; trace++) {
    const old = kept[trace];
    ids.set(lines.ids.subarray(16 * old, 16 * old + 16), 16 * trace);
    if (!live) firstRow[trace] = rows.before[lines.firstRow[old]];
    for (let stat = lines.firstStat[old]; stat < lines.firstStat[old + 1]; stat++) stats.push(stat);
    firstStat[trace + 1] = stats.length;
  }
  if (!live) firstRow[kept.length] = rows.kept.length;
  const of = (values: ArrayLike<number>, indexes: ArrayLike<number>): Uint32Array =>
    Uint32Array.from(indexes, (index) => values[index]);
  return {
    ids,
    firstRow,
    startLow: of(lines.startLow, kept),
    startHigh: of(lines.startHigh, kept),
    endLow: of(lines.endLow, kept),
    endHigh: of(lines.endHigh, kept),
    rootService: of(lines.rootService, kept),
    rootName: of(lines.rootName, kept),
    firstStat,
    statService: of(lines.statService, stats),
    statSpans: of(lines.statSpans, stats),
    statErrors: of(lines.statErrors, stats),
    strings: lines.strings,
  };
}
