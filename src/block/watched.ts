/**
 * A segment as one query sees it: every read is counted, and before and between reads the query may be told to wait or to
 * stop. Whoever evaluates the query notices nothing of it.
 */
import type { CodeFlags } from '../parquet/code-flags.ts';
import type { OnRead } from './read-ahead.ts';
import type { AttributeType, Column, ColumnOptions, Part, RowRange, Segment, Space, Want } from './segment.ts';
import type { TraceLines } from './traces-file.ts';

/** Who watches over a query. */
export interface Watch {
  /** Before a read: undefined when it may begin, or a promise of when it may. Throws when it shall not. */
  turn(): Promise<void> | undefined;
  /** Before each page of a column. Throws when the query shall go no further. */
  check(reads: Reads): void;
  /** What to throw for an error of the segment itself. */
  failed(reads: Reads, error: unknown): unknown;
}

/** What a query read of one segment so far. */
export interface Reads {
  readonly segment: Segment;
  /** Anything beyond what the segment knows while it is open: a column, trace lists, messages. */
  touched: boolean;
  /** Bytes read from files; what was in a cache counts nothing. */
  bytes: number;
  ms: number;
  /** By the name of a column or list, in the order of their first reading; absent before. */
  columns?: Map<string, ColumnReads>;
  /** What the watch has seen of `bytes`; absent before its first check. */
  bytesChecked?: number;
}

export interface ColumnReads {
  /** Pages gone through, as often as they were, and how many the whole column has; 0 where there are no pages. */
  pages: number;
  pagesAll: number;
  values: number;
  bytes: number;
  /** Reading and decoding. */
  ms: number;
  /** What the query did with the values. */
  useMs: number;
}

/** The segment under watch, and the account of what is read of it; `onRead` is told of whole columns and lines before they are read. */
export function watched(segment: Segment, watch: Watch, onRead: OnRead = () => {}): { segment: Segment; reads: Reads } {
  const reads: Reads = { segment, touched: false, bytes: 0, ms: 0 };
  return { segment: new WatchedSegment(segment, watch, reads, onRead), reads };
}

class WatchedSegment implements Segment {
  readonly name: string;
  readonly block: string | undefined;
  readonly live: boolean;
  readonly rows: number;
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly bytes: number;
  // Evaluators ask whether these are there.
  readonly mayHoldHash?: Segment['mayHoldHash'];
  readonly traceNumber?: Segment['traceNumber'];
  readonly prepare?: Segment['prepare'];
  readonly attributesOf?: Segment['attributesOf'];
  readonly startBounds?: Segment['startBounds'];
  readonly linesAtHand?: Segment['linesAtHand'];
  readonly repeatedRows?: Segment['repeatedRows'];
  readonly traceRange?: Segment['traceRange'];
  readonly #base: Segment;
  readonly #watch: Watch;
  readonly #reads: Reads;
  readonly #onRead: OnRead;
  readonly #check = (): void => this.#watch.check(this.#reads);

  constructor(base: Segment, watch: Watch, reads: Reads, onRead: OnRead) {
    this.#onRead = onRead;
    this.name = base.name;
    this.block = base.block;
    this.live = base.live;
    this.rows = base.rows;
    this.startSeconds = base.startSeconds;
    this.endSeconds = base.endSeconds;
    this.bytes = base.bytes;
    this.#base = base;
    this.#watch = watch;
    this.#reads = reads;
    if (base.mayHoldHash !== undefined) this.mayHoldHash = () => this.#filter(() => base.mayHoldHash!());
    if (base.prepare !== undefined) this.prepare = (range) => this.#read('all columns', () => base.prepare!(range));
    if (base.traceNumber !== undefined) this.traceNumber = (id) => base.traceNumber!(id);
    if (base.startBounds !== undefined)
      this.startBounds = (isUsed = true) => {
        // Whoever counts spans by these has used the segment.
        if (isUsed) reads.touched = true;
        return base.startBounds!();
      };
    if (base.linesAtHand !== undefined) this.linesAtHand = () => base.linesAtHand!();
    if (base.traceRange !== undefined) this.traceRange = () => base.traceRange!();
    if (base.repeatedRows !== undefined) this.repeatedRows = () => base.repeatedRows!(this.#check);
    if (base.attributesOf !== undefined)
      this.attributesOf = (space, range) => {
        reads.touched = true;
        return base.attributesOf!(space, range);
      };
  }

  get bytesRead(): number {
    return this.#base.bytesRead ?? 0;
  }

  mayHold(traceId: Uint8Array): Promise<boolean> {
    return this.#filter(() => this.#base.mayHold(traceId));
  }

  lines(): Promise<TraceLines> {
    this.#onRead('lines');
    return this.#read('traces', () => this.#base.lines(this.#check));
  }

  /** Asked of many blocks only to find that they have nothing in common. */
  traceIds(): Promise<Uint8Array> {
    return this.#filter(() => this.#base.traceIds());
  }

  rowsOfTrace(trace: number): Promise<Uint32Array> {
    return this.#read('traces', () => this.#base.rowsOfTrace(trace));
  }

  tracesOfRows(rows: Uint32Array): Promise<Uint32Array> {
    return this.#read('traces', () => this.#base.tracesOfRows(rows));
  }

  typesOf(space: Space, key: string): AttributeType[] {
    return this.#base.typesOf(space, key);
  }

  keys(space: Space): string[] {
    return this.#base.keys(space);
  }

  async column(want: Want, range?: RowRange, options?: ColumnOptions): Promise<Column | undefined> {
    if (range === undefined && options?.rows === undefined) this.#onRead(want);
    const wait = this.#watch.turn();
    if (wait !== undefined) await wait;
    const before = this.bytesRead;
    const began = performance.now();
    let column: Column | undefined;
    try {
      column = await this.#base.column(want, range, options);
    } catch (error) {
      throw this.#watch.failed(this.#reads, error);
    }
    const bytes = this.bytesRead - before;
    // Mostly, that there is no such column is known without reading.
    if (column === undefined && bytes === 0) return undefined;
    const counts = this.#countsOf(nameOf(want));
    count(this.#reads, counts, bytes, performance.now() - began);
    if (column === undefined) return undefined;
    this.#reads.touched = true;
    counts.pagesAll = column.pages ?? 0;
    const read = column;
    return {
      ...column,
      parts: { [Symbol.iterator]: () => this.#parts(read, counts) },
      check: this.#check,
      ...(read.flag && { flag: (wanted, into) => this.#flag(read, counts, wanted, into) }),
    };
  }

  resources(): Promise<Uint8Array[]> {
    return this.#read('resources', () => this.#base.resources());
  }

  scopes(): Promise<Uint8Array[]> {
    return this.#read('scopes', () => this.#base.scopes());
  }

  tree(): ReturnType<Segment['tree']> {
    return this.#read('tree', () => this.#base.tree(this.#check));
  }

  childRows(space: 'event' | 'link', range?: RowRange): ReturnType<Segment['childRows']> {
    return this.#read(`rows of ${space}s`, () => this.#base.childRows(space, range));
  }

  #flag(column: Column, counts: ColumnReads, wanted: CodeFlags, into: Uint32Array): void {
    const reads = this.#reads;
    const before = this.bytesRead;
    const began = performance.now();
    try {
      column.flag!(wanted, into, () => {
        counts.pages++;
        this.#watch.check(reads);
      });
    } catch (error) {
      throw this.#watch.failed(reads, error);
    } finally {
      count(reads, counts, this.bytesRead - before, performance.now() - began);
    }
  }

  *#parts(column: Column, counts: ColumnReads): Generator<Part> {
    const base = this.#base;
    const reads = this.#reads;
    const parts = column.parts[Symbol.iterator]();
    try {
      for (;;) {
        this.#watch.check(reads);
        const before = base.bytesRead ?? 0;
        const began = performance.now();
        let next: IteratorResult<Part>;
        try {
          next = parts.next();
        } catch (error) {
          throw this.#watch.failed(reads, error);
        }
        if (next.done) return;
        const decoded = performance.now();
        count(reads, counts, (base.bytesRead ?? 0) - before, decoded - began);
        counts.pages++;
        counts.values += next.value.count;
        yield next.value;
        counts.useMs += performance.now() - decoded;
      }
    } finally {
      parts.return?.();
    }
  }

  /** What says that a segment holds nothing is asked of every block, so it must cost little. */
  #filter<V>(read: () => Promise<V>): Promise<V> {
    let wait: Promise<void> | undefined;
    try {
      wait = this.#watch.turn();
    } catch (error) {
      return Promise.reject(error);
    }
    return wait === undefined ? this.#filterNow(read) : wait.then(() => this.#filterNow(read));
  }

  #filterNow<V>(read: () => Promise<V>): Promise<V> {
    const before = this.bytesRead;
    return read().then(
      (value) => {
        const bytes = this.bytesRead - before;
        if (bytes > 0) count(this.#reads, this.#countsOf('filter of traces'), bytes, 0);
        return value;
      },
      (error: unknown) => {
        throw this.#watch.failed(this.#reads, error);
      },
    );
  }

  async #read<V>(what: string, read: () => Promise<V>): Promise<V> {
    const wait = this.#watch.turn();
    if (wait !== undefined) await wait;
    this.#reads.touched = true;
    const before = this.bytesRead;
    const began = performance.now();
    try {
      return await read();
    } catch (error) {
      throw this.#watch.failed(this.#reads, error);
    } finally {
      count(this.#reads, this.#countsOf(what), this.bytesRead - before, performance.now() - began);
    }
  }

  #countsOf(name: string): ColumnReads {
    this.#reads.columns ??= new Map();
    let counts = this.#reads.columns.get(name);
    if (counts === undefined) {
      counts = { pages: 0, pagesAll: 0, values: 0, bytes: 0, ms: 0, useMs: 0 };
      this.#reads.columns.set(name, counts);
    }
    return counts;
  }
}

function count(reads: Reads, column: ColumnReads, bytes: number, ms: number): void {
  reads.bytes += bytes;
  reads.ms += ms;
  column.bytes += bytes;
  column.ms += ms;
}

/** As people know the column: `span.http.route`, `event:name`, `duration`. */
function nameOf(want: Want): string {
  switch (want.of) {
    case 'fixed':
    case 'rare':
      return want.field;
    case 'attribute':
      return `${want.space}.${want.key} (${want.type})`;
    case 'child':
      return `${want.space}:${want.field}`;
    case 'resource':
    case 'scope':
      return want.of;
  }
}
