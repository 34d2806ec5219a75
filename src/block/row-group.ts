/**
 * A row group of an open block as a segment: its page locations, and what is decoded of it in a cache that all blocks share.
 * Only the pages that a query wants are read.
 */
import { type BloomFilter, mayContain, mayContainHash } from '../parquet/bloom.ts';
import type { CodeFlags } from '../parquet/code-flags.ts';
import type { Values } from '../parquet/column.ts';
import type { ChunkMetadata, RowGroupMetadata } from '../parquet/footer.ts';
import { type DecodedPage, decodePage, flagRows } from '../parquet/read.ts';
import { arrayParts } from './array-values.ts';
import type { BlockCaches } from './open.ts';
import type { RowGroupPlace } from './row-group-places.ts';
import { RowGroupColumns } from './row-group-columns.ts';
import { type RowGroupBlock, RowGroupPages } from './row-group-pages.ts';
import {
  COLUMN_DURATION,
  COLUMN_PARENT,
  COLUMN_RESOURCE,
  COLUMN_SCOPE,
  COLUMN_START,
  COLUMN_TRACE_ID,
} from './schema.ts';
import { childLevels, type DecodeScratch, dictionaryOf, identity, lookUp, partOfValues } from './page-values.ts';
import type { AttributeType, Column, ColumnOptions, Part, RowRange, Segment, Space, Want } from './segment.ts';
import { SomeRows } from './some-rows.ts';
import type { BlockSource, ReadBytes } from './source.ts';
import { bytesOfLines, readTraceIds, readTraces, type TraceLines } from './traces-file.ts';

/** A column as it is stored, for whoever writes its values again. */
export interface StoredColumn {
  chunk: ChunkMetadata;
  /** The entries that its codes mean. */
  dictionary: Values | undefined;
  /** Pages, each with its first row; their arrays are good until the next page. */
  pages: Iterable<{ first: number; page: DecodedPage }>;
}

export class RowGroup implements Segment {
  readonly name: string;
  readonly block: string;
  readonly live = false;
  readonly rows: number;
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly bytes: number;
  readonly #caches: BlockCaches;
  readonly #source: BlockSource;
  readonly #metadata: RowGroupMetadata;
  readonly #place: RowGroupPlace;
  readonly #columns: RowGroupColumns;
  readonly #pages: RowGroupPages;
  #bloom: BloomFilter | undefined;

  /** `tail` holds the end of the file, from byte `tailAt` on; what of the row group is there need not be read again. */
  constructor(
    block: RowGroupBlock,
    name: string,
    metadata: RowGroupMetadata,
    place: RowGroupPlace,
    tailAt: number,
    tail: ReadBytes,
  ) {
    const { ref, source, caches, uses } = block;
    this.name = name;
    this.block = ref.id;
    this.#caches = caches;
    this.#place = place;
    this.startSeconds = place.startSeconds;
    this.endSeconds = place.endSeconds;
    this.bytes = place.bytes;
    this.#source = source;
    this.#metadata = metadata;
    this.rows = metadata.rows;
    this.#columns = new RowGroupColumns(uses, metadata.columns);
    this.#pages = new RowGroupPages(block, name, metadata, place);
    const { offset, length } = this.#pages.places.range;
    if (offset >= tailAt) this.#pages.takeIndexes(this.#pages.take(tail, { offset, length }));
    const { bloomOffset = 0, bloomLength } = this.#pages.chunk(COLUMN_TRACE_ID);
    // From far away the filter has often come along.
    if (ref.directory === undefined && bloomOffset >= tailAt)
      this.#bloom = this.#pages.parseFilter(COLUMN_TRACE_ID, tail(bloomOffset, bloomLength));
  }

  /** Bytes read from the files so far. */
  get bytesRead(): number {
    return this.#pages.bytesRead;
  }

  /** Others have read so many for it. */
  countRead(bytes: number): void {
    this.#pages.bytesRead += bytes;
  }

  warm(what: Want | 'lines'): void {
    const { warm, warmTraces } = this.#source;
    if (warm === undefined) return;
    if (what === 'lines') {
      if (this.#knownLines() === undefined) warmTraces?.(this.#place.traces);
      return;
    }
    const indexes = this.#columns.indexesOf(what);
    if (indexes.length === 0) return;
    if (!this.#pages.places.isKnown) warm([this.#pages.places.range]);
    else warm(indexes.flatMap((index) => this.#pages.rangesOf(index, this.#pages.places.holding(index, undefined))));
  }

  async prepare(range: RowRange): Promise<void> {
    if (this.#source.prepare === undefined) return;
    await this.#pages.readIndexes();
    await this.#source.prepare(
      this.#metadata.columns.flatMap((_, index) =>
        this.#pages.rangesOf(index, this.#pages.places.holding(index, range)),
      ),
    );
  }

  async mayHold(traceId: Uint8Array): Promise<boolean> {
    if (!this.#isInRange(traceId)) return false;
    const bloom = await this.traceFilter();
    return bloom === undefined || mayContain(bloom, traceId);
  }

  async mayHoldHash(): Promise<(hash: Int32Array) => boolean> {
    const bloom = await this.traceFilter();
    return (hash) => bloom === undefined || mayContainHash(bloom, hash);
  }

  /** The filter of the trace ids, if the block has one. */
  async traceFilter(): Promise<BloomFilter | undefined> {
    this.#bloom ??= await this.#filterOf(COLUMN_TRACE_ID);
    return this.#bloom;
  }

  /** The least and the greatest trace id; undefined when the file does not say. */
  traceRange(): { first: Uint8Array; last: Uint8Array } | undefined {
    const { min, max } = this.#pages.chunk(COLUMN_TRACE_ID).statistics ?? {};
    return min?.length === 16 && max?.length === 16 ? { first: min, last: max } : undefined;
  }

  #isInRange(traceId: Uint8Array): boolean {
    const range = this.traceRange();
    return (
      range === undefined || (Buffer.compare(range.first, traceId) <= 0 && Buffer.compare(traceId, range.last) <= 0)
    );
  }

  async #filterOf(index: number): Promise<BloomFilter | undefined> {
    const { bloomOffset: offset, bloomLength: length } = this.#pages.chunk(index);
    if (offset === undefined) return undefined;
    const range = { offset, length };
    const wanted = !this.#pages.places.isKnown ? [range, this.#pages.places.range] : [range];
    const read = await this.#source.fetch(wanted);
    // Among them is its checksum.
    if (!this.#pages.places.isKnown) this.#pages.takeIndexes(this.#pages.take(read, this.#pages.places.range));
    return this.#pages.parseFilter(index, this.#pages.take(read, range));
  }

  /** Whether one of the strings may be in the column; false is certain. */
  async #mayHaveAny(index: number, strings: readonly Uint8Array[]): Promise<boolean> {
    if (this.#pages.chunk(index).bloomOffset === undefined) return true;
    const filter = await this.#cached(`filter ${index}`, async () => {
      const value = (await this.#filterOf(index))!;
      return { value, bytes: value.words.byteLength };
    });
    return strings.some((string) => mayContain(filter, string));
  }

  async lines(): Promise<TraceLines> {
    return this.#cached('lines', async () => {
      const file = await this.#source.traces(this.#place.traces);
      this.#pages.bytesRead += file.length;
      const lines = readTraces(file);
      return { value: lines, bytes: bytesOfLines(lines) };
    });
  }

  linesAtHand(): TraceLines | undefined {
    const { min } = this.#pages.chunk(COLUMN_DURATION).statistics ?? {};
    // A span that ends before it starts may start behind the end of its trace; bounds are signed.
    if (min?.length !== 8 || min[7] > 0x7f || this.startBounds() === undefined) return undefined;
    return this.#knownLines();
  }

  #knownLines(): TraceLines | undefined {
    return this.#caches.columns.get(`${this.name} lines`) as TraceLines | undefined;
  }

  async traceIds(): Promise<Uint8Array> {
    const lines = this.#knownLines();
    if (lines !== undefined) return lines.ids;
    return this.#cached('ids', async () => {
      const file = await this.#source.traces(this.#place.traces);
      this.#pages.bytesRead += file.length;
      const ids = readTraceIds(file);
      return { value: ids, bytes: ids.length };
    });
  }

  async rowsOfTrace(trace: number): Promise<Uint32Array> {
    const { firstRow } = await this.lines();
    const rows = new Uint32Array(firstRow[trace + 1] - firstRow[trace]);
    for (let i = 0; i < rows.length; i++) rows[i] = firstRow[trace] + i;
    return rows;
  }

  async tracesOfRows(rows: Uint32Array): Promise<Uint32Array> {
    const { firstRow } = await this.lines();
    const traces = new Uint32Array(rows.length);
    const last = firstRow.length - 2;
    let trace = 0;
    for (let i = 0; i < rows.length; i++) {
      if (firstRow[trace + 1] <= rows[i]) {
        // Gallop, then halve: matches are often close together and sometimes far apart.
        let step = 1;
        while (trace + step < last && firstRow[trace + step + 1] <= rows[i]) step *= 2;
        let low = trace + (step >>> 1);
        let high = Math.min(last, trace + step);
        while (low < high) {
          const middle = (low + high) >>> 1;
          if (firstRow[middle + 1] <= rows[i]) low = middle + 1;
          else high = middle;
        }
        trace = low;
      }
      traces[i] = trace;
    }
    return traces;
  }

  startBounds(): { minLow: number; minHigh: number; maxLow: number; maxHigh: number } | undefined {
    const { min, max } = this.#pages.chunk(COLUMN_START).statistics ?? {};
    if (min?.length !== 8 || max?.length !== 8) return undefined;
    const low = new DataView(min.buffer, min.byteOffset, 8);
    const high = new DataView(max.buffer, max.byteOffset, 8);
    // Bounds are signed, times are not.
    if (low.getInt32(4, true) < 0 || high.getInt32(4, true) < 0) return undefined;
    return {
      minLow: low.getInt32(0, true),
      minHigh: low.getInt32(4, true),
      maxLow: high.getInt32(0, true),
      maxHigh: high.getInt32(4, true),
    };
  }

  typesOf(space: Space, key: string): AttributeType[] {
    return this.#columns.typesOf(space, key);
  }

  keys(space: Space): string[] {
    return this.#columns.keys(space);
  }

  async column(want: Want, range?: RowRange, options?: ColumnOptions): Promise<Column | undefined> {
    const [index, ...more] = this.#columns.indexesOf(want);
    if (index === undefined) return undefined;
    await this.#pages.readIndexes();
    if (more.length > 0 || this.#columns.elementOf(index) !== undefined)
      return this.#loadArrays([index, ...more], range, options?.rows);
    if (options?.equals !== undefined && !(await this.#mayHaveAny(index, options.equals))) return undefined;
    return this.#load(index, range, options);
  }

  /** The pages of a column that hold rows of the range. Nothing of it stays in the cache. `index` counts all columns of the file. */
  async stored(index: number, range: RowRange): Promise<StoredColumn> {
    await this.#pages.readIndexes();
    const chunk = this.#pages.chunk(index);
    const pages = this.#pages.places.holding(index, range);
    const [dictionaryRange] = this.#pages.dictionaryRange(index);
    const ranges = this.#pages.places.ranges(index, pages);
    const read = await this.#source.fetch(dictionaryRange === undefined ? ranges : [dictionaryRange, ...ranges]);
    const dictionary = dictionaryRange && this.#pages.decodeDictionary(index, read, dictionaryRange);
    return { chunk, dictionary, pages: { [Symbol.iterator]: () => this.#pages.decodePages(index, pages, read) } };
  }

  /** How often a column of the file has an entry, nulls and elements of lists among them. */
  get entriesMax(): number {
    return this.#metadata.columns.reduce((most, { numValues }) => Math.max(most, numValues), 0);
  }

  /** How many values a column of the file has, elements of lists each. */
  valuesOf(index: number): number {
    const { numValues, statistics } = this.#metadata.columns[index];
    return numValues - Number(statistics?.nullCount ?? 0);
  }

  /** Before compression. */
  get uncompressedBytes(): number {
    return this.#metadata.bytes;
  }

  async resources(): Promise<Uint8Array[]> {
    return this.#messages(COLUMN_RESOURCE);
  }

  async scopes(): Promise<Uint8Array[]> {
    return this.#messages(COLUMN_SCOPE);
  }

  async childRows(
    space: 'event' | 'link',
    range?: RowRange,
  ): Promise<{ first: number; rows: Uint32Array } | undefined> {
    const index = this.#columns.childIndex(space);
    if (index === undefined) return undefined;
    await this.#pages.readIndexes();
    const pages = this.#pages.places.holding(index, range);
    const read = await this.#source.fetch(this.#pages.places.ranges(index, pages));
    const rows: number[] = [];
    let first = 0;
    if (pages.length > 0) first = await this.#childrenBefore(space, index, pages[0]);
    for (const page of pages) {
      const decoded = this.#pages.page(index, page, read);
      let row = this.#pages.places.of(index).firstRows[page] - 1;
      for (let entry = 0; entry < decoded.entries; entry++) {
        if (decoded.repetition === undefined || decoded.repetition[entry] === 0) row++;
        if (decoded.definition === undefined || decoded.definition[entry] >= 2) rows.push(row);
      }
    }
    return { first, rows: Uint32Array.from(rows) };
  }

  async tree(): Promise<{ parents: Int32Array; starts: Uint32Array }> {
    await this.#pages.readIndexes();
    const column = await this.#load(COLUMN_PARENT, undefined);
    const parents = new Int32Array(this.rows);
    for (const part of column.parts) parents.set(part.ints!.subarray(0, part.count), part.first);
    return { parents, starts: (await this.lines()).firstRow };
  }

  async #load(index: number, range: RowRange | undefined, options: ColumnOptions = {}): Promise<Column> {
    const kind = this.#columns.kindOf(index);
    const chunk = this.#pages.chunk(index);
    const pages = this.#pages.places.holding(index, range, chunk.maxRepetition > 0 ? undefined : options.rows);
    const known = this.#pages.knownValues(index);
    const read = await this.#source.fetch(this.#pages.rangesOf(index, pages));
    const values = known ?? this.#pages.values(index, read);
    const dictionary = values !== undefined && (kind === 'string' || kind === 'any') ? dictionaryOf(values) : undefined;
    const before = chunk.maxRepetition > 0 && pages.length > 0 ? await this.#childrenBeforeColumn(index, pages[0]) : 0;
    const parts = { [Symbol.iterator]: () => this.#decode(index, pages, before, read, values, options) };
    const column: Column = {
      kind,
      parts,
      ...(dictionary && { dictionary }),
      pages: this.#pages.places.of(index).pages,
    };
    // With a dictionary, all pages have codes.
    if (values === undefined || chunk.maxRepetition > 0 || options.rows !== undefined) return column;
    column.flag = (wanted, into, check) => this.#flag(index, pages, read, wanted, into, check);
    if (dictionary === undefined)
      column.entries = partOfValues({ first: 0, rows: values.count, count: values.count }, values);
    return column;
  }

  /** Columns of arrays, and of what is no array, as one of any values. */
  async #loadArrays(indexes: number[], range: RowRange | undefined, rows: Uint32Array | undefined): Promise<Column> {
    const pages = this.#pages.places.holding(indexes[0], range, rows);
    const read = await this.#source.fetch(indexes.flatMap((index) => this.#pages.rangesOf(index, pages)));
    const columns = indexes.map((index) => ({
      index,
      values: this.#pages.knownValues(index) ?? this.#pages.values(index, read),
    }));
    const parts = { [Symbol.iterator]: () => this.#decodeArrays(columns, pages, read, rows) };
    return { kind: 'any', parts, pages: this.#pages.places.of(indexes[0]).pages };
  }

  *#decodeArrays(
    columns: { index: number; values: Values | undefined }[],
    pages: number[],
    read: ReadBytes,
    rows: Uint32Array | undefined,
  ): Generator<Part> {
    const { firstRows } = this.#pages.places.of(columns[0].index);
    const wantedOf = rows && this.#pages.places.rowsIn(columns[0].index, rows);
    // Page after page of all of them: page numbers mean the same rows.
    const decoded = columns.map(({ index }) => this.#pages.decodePages(index, pages, read));
    try {
      for (const number of pages) {
        const members = decoded.map((each, i) => ({
          element: this.#columns.elementOf(columns[i].index),
          page: each.next().value!.page,
          dictionary: columns[i].values,
        }));
        yield* arrayParts(firstRows[number], members[0].page.rows, members, wantedOf?.(number));
      }
    } finally {
      for (const each of decoded) each.return(undefined);
    }
  }

  /** Decodes the pages one after the other, into arrays that the next page uses again. */
  *#decode(
    index: number,
    pages: number[],
    childrenBefore: number,
    read: ReadBytes,
    values: Values | undefined,
    { rows, distances = false }: ColumnOptions,
  ): Generator<Part> {
    const chunk = this.#pages.chunk(index);
    const scratch = this.#pages.takeScratch();
    const some = rows && chunk.maxRepetition === 0 ? this.#someRows(index, rows, values, scratch) : undefined;
    try {
      let children = childrenBefore;
      for (const page of this.#pages.bytesOfPages(index, pages, read, scratch)) {
        if (some !== undefined) {
          const before = some.turnTo(page.number);
          if (before !== undefined) yield before;
          if (some.pick(page.bytes, page.options)) continue;
          const rest = some.take();
          if (rest !== undefined) yield rest;
        }
        const decoded = decodePage(page.bytes, chunk, scratch.page, { ...page.options, distances });
        const part = this.#partOf(index, page.number, decoded, children, scratch, values);
        children += part.rows;
        yield part;
      }
      const rest = some?.take();
      if (rest !== undefined) yield rest;
    } finally {
      this.#caches.scratches.push(scratch);
    }
  }

  #someRows(index: number, rows: Uint32Array, values: Values | undefined, scratch: DecodeScratch): SomeRows {
    const { firstRows } = this.#pages.places.of(index);
    const kind = this.#columns.kindOf(index);
    const isText = kind === 'string' || kind === 'any';
    return new SomeRows(this.#pages.chunk(index), firstRows, this.rows, rows, isText ? undefined : values, scratch);
  }

  /** Sets the bits of the rows of these pages whose code is wanted. */
  #flag(
    index: number,
    pages: number[],
    read: ReadBytes,
    wanted: CodeFlags,
    into: Uint32Array,
    check?: () => void,
  ): void {
    const chunk = this.#pages.chunk(index);
    const { firstRows } = this.#pages.places.of(index);
    const bits = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    const scratch = this.#pages.takeScratch();
    try {
      for (const { number, bytes, options } of this.#pages.bytesOfPages(index, pages, read, scratch)) {
        check?.();
        flagRows(bytes, chunk, wanted, scratch.page, bits, firstRows[number], options);
      }
    } finally {
      this.#caches.scratches.push(scratch);
    }
  }

  #partOf(
    index: number,
    page: number,
    decoded: DecodedPage,
    childrenBefore: number,
    scratch: DecodeScratch,
    dictionary: Values | undefined,
  ): Part {
    const list = this.#pages.chunk(index).maxRepetition > 0;
    const first = list ? childrenBefore : this.#pages.places.of(index).firstRows[page];
    let rows = decoded.rows;
    let present = decoded.definition;
    if (list) ({ rows, present } = childLevels(decoded));
    const part: Part = { first, rows, count: decoded.count, ...(present && { present }) };
    const kind = this.#columns.kindOf(index);
    if (kind === 'string' || kind === 'any') {
      if (decoded.codes !== undefined) part.codes = decoded.codes;
      else {
        part.dictionary = dictionaryOf(decoded.values!);
        part.codes = identity(decoded.count);
      }
      return part;
    }
    if (decoded.distances !== undefined) {
      part.distances = decoded.distances.values;
      part.base = decoded.distances.first;
      return part;
    }
    return partOfValues(
      part,
      decoded.codes === undefined ? decoded.values! : lookUp(dictionary!, decoded.codes, decoded.count, scratch),
    );
  }

  /** How many events or links stand before a page. */
  async #childrenBefore(space: 'event' | 'link', index: number, page: number): Promise<number> {
    const starts = await this.#cached(`children ${space}`, async () => {
      const offsets = this.#pages.places.of(index);
      const read = await this.#source.fetch(
        this.#pages.places.ranges(index, this.#pages.places.holding(index, undefined)),
      );
      const starts = new Uint32Array(offsets.pages + 1);
      for (let each = 0; each < offsets.pages; each++)
        starts[each + 1] = starts[each] + childLevels(this.#pages.page(index, each, read)).rows;
      return { value: starts, bytes: starts.byteLength };
    });
    return starts[page];
  }

  #childrenBeforeColumn(index: number, page: number): Promise<number> {
    const space = this.#columns.childSpaceOf(index);
    return this.#childrenBefore(space, this.#columns.childIndex(space)!, page);
  }

  async #messages(index: number): Promise<Uint8Array[]> {
    await this.#pages.readIndexes();
    return this.#cached(`messages ${index}`, async () => {
      const values =
        this.#pages.knownValues(index) ??
        this.#pages.values(index, await this.#source.fetch(this.#pages.dictionaryRange(index)));
      const messages: Uint8Array[] = [];
      let bytes = 0;
      if (values?.type === 'bytes')
        for (let i = 0; i < values.count; i++) {
          messages.push(values.bytes.subarray(values.offsets[i], values.offsets[i + 1]));
          bytes += 64 + values.offsets[i + 1] - values.offsets[i];
        }
      return { value: messages, bytes };
    });
  }

  async #cached<V>(what: string, make: () => Promise<{ value: V; bytes: number }>): Promise<V> {
    const key = `${this.name} ${what}`;
    const known = this.#caches.columns.get(key) as V | undefined;
    if (known !== undefined) return known;
    const { value, bytes } = await make();
    this.#caches.columns.set(key, value, bytes);
    return value;
  }
}
