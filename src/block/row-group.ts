/**
 * A row group of an open block as a segment: its page locations, and what is decoded of it in a cache that all blocks share.
 * Only the pages that a query wants are read.
 */
import { crc32 } from 'node:zlib';
import { type BloomFilter, mayContain, mayContainHash, parseBloomFilter } from '../parquet/bloom.ts';
import { Checks } from '../parquet/checks.ts';
import type { CodeFlags } from '../parquet/code-flags.ts';
import type { Values } from '../parquet/column.ts';
import type { ChunkMetadata, RowGroupMetadata } from '../parquet/footer.ts';
import {
  createPageScratch,
  type DecodedPage,
  decodeDictionary,
  decodePage,
  flagRows,
  type DecodeOptions,
} from '../parquet/read.ts';
import { VivaceError } from '../runtime/errors.ts';
import { arrayParts } from './array-values.ts';
import type { BlockRef } from './catalog.ts';
import type { BlockCaches } from './open.ts';
import { PagePlaces } from './page-places.ts';
import type { RowGroupPlace } from './row-group-places.ts';
import { RowGroupColumns } from './row-group-columns.ts';
import {
  COLUMN_PARENT,
  COLUMN_RESOURCE,
  COLUMN_SCOPE,
  COLUMN_START,
  COLUMN_TRACE_ID,
  type ColumnUse,
} from './schema.ts';
import {
  childLevels,
  type DecodeScratch,
  dictionaryOf,
  identity,
  lookUp,
  partOfValues,
  valuesBytes,
} from './page-values.ts';
import type { AttributeType, Column, ColumnOptions, Part, RowRange, Segment, Space, Want } from './segment.ts';
import { SomeRows } from './some-rows.ts';
import type { BlockSource, ByteRange, ReadBytes } from './source.ts';
import { bytesOfLines, readTraceIds, readTraces, type TraceLines } from './traces-file.ts';

/** What a row group knows of its block. */
export interface RowGroupBlock {
  readonly ref: BlockRef;
  readonly source: BlockSource;
  readonly caches: BlockCaches;
  readonly uses: readonly ColumnUse[];
  /** Rows a page. */
  readonly pageRows: number;
}

/** A column as it is stored, for whoever writes its values again. */
export interface StoredColumn {
  chunk: ChunkMetadata;
  /** The entries that its codes mean. */
  dictionary: Values | undefined;
  /** Pages, each with its first row; their arrays are good until the next page. */
  pages: Iterable<{ first: number; page: DecodedPage }>;
}

/** Pages are read together up to this many bytes. */
const READ_BYTES = 256 * 1024;

export class RowGroup implements Segment {
  readonly name: string;
  readonly block: string;
  readonly live = false;
  readonly rows: number;
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly bytes: number;
  /** Bytes read from the files so far. */
  bytesRead = 0;
  readonly #caches: BlockCaches;
  readonly #source: BlockSource;
  readonly #metadata: RowGroupMetadata;
  readonly #ref: BlockRef;
  readonly #pageRows: number;
  readonly #place: RowGroupPlace;
  readonly #columns: RowGroupColumns;
  readonly #pages: PagePlaces;
  /** Pages of each column whose checksum was right. */
  readonly #verified = new Map<number, Uint8Array>();
  /** Of what the pages' own checksums leave out; undefined where there are none, and before they are read. */
  #checks: Checks | undefined;
  #bloom: BloomFilter | undefined;

  /** `tail` holds the end of the file, from byte `tailAt` on; what of the row group is there need not be read again. */
  constructor(
    { ref, source, caches, uses, pageRows }: RowGroupBlock,
    name: string,
    metadata: RowGroupMetadata,
    place: RowGroupPlace,
    tailAt: number,
    tail: ReadBytes,
  ) {
    this.name = name;
    this.block = ref.id;
    this.#caches = caches;
    this.#place = place;
    this.startSeconds = place.startSeconds;
    this.endSeconds = place.endSeconds;
    this.bytes = place.bytes;
    this.#source = source;
    this.#metadata = metadata;
    this.#ref = ref;
    this.#pageRows = pageRows;
    const { columns } = metadata;
    this.rows = metadata.rows;
    this.#columns = new RowGroupColumns(uses, columns);
    this.#pages = new PagePlaces(columns, metadata.rows, place.checks);
    const { offset, length } = this.#pages.range;
    if (offset >= tailAt) this.#takeIndexes(this.#take(tail, { offset, length }));
    const { bloomOffset = 0, bloomLength } = this.#chunk(COLUMN_TRACE_ID);
    // From far away the filter has often come along.
    if (ref.directory === undefined && bloomOffset >= tailAt)
      this.#bloom = this.#parseFilter(COLUMN_TRACE_ID, tail(bloomOffset, bloomLength));
  }

  warm(what: Want | 'lines'): void {
    const { warm, warmTraces } = this.#source;
    if (warm === undefined) return;
    if (what === 'lines') {
      if (this.#caches.columns.get(`${this.name} lines`) === undefined) warmTraces?.(this.#place.traces);
      return;
    }
    const indexes = this.#columns.indexesOf(what);
    if (indexes.length === 0) return;
    if (!this.#pages.isKnown) warm([this.#pages.range]);
    else warm(indexes.flatMap((index) => this.#rangesOf(index, this.#pages.holding(index, undefined))));
  }

  async prepare(range: RowRange): Promise<void> {
    if (this.#source.prepare === undefined) return;
    await this.#readIndexes();
    await this.#source.prepare(
      this.#metadata.columns.flatMap((_, index) => this.#rangesOf(index, this.#pages.holding(index, range))),
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
    const { min, max } = this.#chunk(COLUMN_TRACE_ID).statistics ?? {};
    return min?.length === 16 && max?.length === 16 ? { first: min, last: max } : undefined;
  }

  #isInRange(traceId: Uint8Array): boolean {
    const range = this.traceRange();
    return (
      range === undefined || (Buffer.compare(range.first, traceId) <= 0 && Buffer.compare(traceId, range.last) <= 0)
    );
  }

  async #filterOf(index: number): Promise<BloomFilter | undefined> {
    const { bloomOffset: offset, bloomLength: length } = this.#chunk(index);
    if (offset === undefined) return undefined;
    const range = { offset, length };
    const wanted = !this.#pages.isKnown ? [range, this.#pages.range] : [range];
    const read = await this.#source.fetch(wanted);
    // Among them is its checksum.
    if (!this.#pages.isKnown) this.#takeIndexes(this.#take(read, this.#pages.range));
    return this.#parseFilter(index, this.#take(read, range));
  }

  #parseFilter(index: number, bytes: Uint8Array): BloomFilter {
    if (this.#checks !== undefined && crc32(bytes) !== this.#checks.bloom(index))
      throw this.#damaged(`the checksum of the bloom filter of column ${this.#chunk(index).name} differs`);
    return parseBloomFilter(bytes);
  }

  /** Whether one of the strings may be in the column; false is certain. */
  async #mayHaveAny(index: number, strings: readonly Uint8Array[]): Promise<boolean> {
    if (this.#chunk(index).bloomOffset === undefined) return true;
    const filter = await this.#cached(`filter ${index}`, async () => {
      const value = (await this.#filterOf(index))!;
      return { value, bytes: value.words.byteLength };
    });
    return strings.some((string) => mayContain(filter, string));
  }

  async lines(): Promise<TraceLines> {
    return this.#cached('lines', async () => {
      const file = await this.#source.traces(this.#place.traces);
      this.bytesRead += file.length;
      const lines = readTraces(file);
      return { value: lines, bytes: bytesOfLines(lines) };
    });
  }

  async traceIds(): Promise<Uint8Array> {
    const lines = this.#caches.columns.get(`${this.name} lines`) as TraceLines | undefined;
    if (lines !== undefined) return lines.ids;
    return this.#cached('ids', async () => {
      const file = await this.#source.traces(this.#place.traces);
      this.bytesRead += file.length;
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
    const { min, max } = this.#chunk(COLUMN_START).statistics ?? {};
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
    await this.#readIndexes();
    if (more.length > 0 || this.#columns.elementOf(index) !== undefined)
      return this.#loadArrays([index, ...more], range, options?.rows);
    if (options?.equals !== undefined && !(await this.#mayHaveAny(index, options.equals))) return undefined;
    return this.#load(index, range, options);
  }

  /** The pages of a column that hold rows of the range. Nothing of it stays in the cache. `index` counts all columns of the file. */
  async stored(index: number, range: RowRange): Promise<StoredColumn> {
    await this.#readIndexes();
    const chunk = this.#chunk(index);
    const pages = this.#pages.holding(index, range);
    const [dictionaryRange] = this.#dictionaryRange(index);
    const ranges = this.#pages.ranges(index, pages);
    const read = await this.#source.fetch(dictionaryRange === undefined ? ranges : [dictionaryRange, ...ranges]);
    const dictionary = dictionaryRange && this.#decodeDictionary(index, read, dictionaryRange);
    return { chunk, dictionary, pages: { [Symbol.iterator]: () => this.#decodePages(index, pages, read) } };
  }

  /** How often a column of the file has an entry, nulls and elements of lists among them. */
  get entriesMax(): number {
    return this.#metadata.columns.reduce((most, { numValues }) => Math.max(most, numValues), 0);
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
    await this.#readIndexes();
    const pages = this.#pages.holding(index, range);
    const read = await this.#source.fetch(this.#pages.ranges(index, pages));
    const rows: number[] = [];
    let first = 0;
    if (pages.length > 0) first = await this.#childrenBefore(space, index, pages[0]);
    for (const page of pages) {
      const decoded = this.#page(index, page, read);
      let row = this.#pages.of(index).firstRows[page] - 1;
      for (let entry = 0; entry < decoded.entries; entry++) {
        if (decoded.repetition === undefined || decoded.repetition[entry] === 0) row++;
        if (decoded.definition === undefined || decoded.definition[entry] >= 2) rows.push(row);
      }
    }
    return { first, rows: Uint32Array.from(rows) };
  }

  async tree(): Promise<{ parents: Int32Array; starts: Uint32Array }> {
    await this.#readIndexes();
    const column = await this.#load(COLUMN_PARENT, undefined);
    const parents = new Int32Array(this.rows);
    for (const part of column.parts) parents.set(part.ints!.subarray(0, part.count), part.first);
    return { parents, starts: (await this.lines()).firstRow };
  }

  async #load(index: number, range: RowRange | undefined, options: ColumnOptions = {}): Promise<Column> {
    const kind = this.#columns.kindOf(index);
    const chunk = this.#chunk(index);
    const pages = this.#pages.holding(index, range, chunk.maxRepetition > 0 ? undefined : options.rows);
    const known = this.#knownValues(index);
    const read = await this.#source.fetch(this.#rangesOf(index, pages));
    const values = known ?? this.#values(index, read);
    const dictionary = values !== undefined && (kind === 'string' || kind === 'any') ? dictionaryOf(values) : undefined;
    const before = chunk.maxRepetition > 0 && pages.length > 0 ? await this.#childrenBeforeColumn(index, pages[0]) : 0;
    const parts = { [Symbol.iterator]: () => this.#decode(index, pages, before, read, values, options) };
    const column: Column = { kind, parts, ...(dictionary && { dictionary }), pages: this.#pages.of(index).pages };
    // With a dictionary, all pages have codes.
    if (values === undefined || chunk.maxRepetition > 0 || options.rows !== undefined) return column;
    column.flag = (wanted, into, check) => this.#flag(index, pages, read, wanted, into, check);
    if (dictionary === undefined)
      column.entries = partOfValues({ first: 0, rows: values.count, count: values.count }, values);
    return column;
  }

  /** Columns of arrays, and of what is no array, as one of any values. */
  async #loadArrays(indexes: number[], range: RowRange | undefined, rows: Uint32Array | undefined): Promise<Column> {
    const pages = this.#pages.holding(indexes[0], range, rows);
    const read = await this.#source.fetch(indexes.flatMap((index) => this.#rangesOf(index, pages)));
    const columns = indexes.map((index) => ({ index, values: this.#knownValues(index) ?? this.#values(index, read) }));
    const parts = { [Symbol.iterator]: () => this.#decodeArrays(columns, pages, read, rows) };
    return { kind: 'any', parts, pages: this.#pages.of(indexes[0]).pages };
  }

  *#decodeArrays(
    columns: { index: number; values: Values | undefined }[],
    pages: number[],
    read: ReadBytes,
    rows: Uint32Array | undefined,
  ): Generator<Part> {
    const { firstRows } = this.#pages.of(columns[0].index);
    const wantedOf = rows && this.#pages.rowsIn(columns[0].index, rows);
    // Page after page of all of them: page numbers mean the same rows.
    const decoded = columns.map(({ index }) => this.#decodePages(index, pages, read));
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
    const chunk = this.#chunk(index);
    const scratch = this.#takeScratch();
    const some = rows && chunk.maxRepetition === 0 ? this.#someRows(index, rows, values, scratch) : undefined;
    try {
      let children = childrenBefore;
      for (const page of this.#bytesOfPages(index, pages, read, scratch)) {
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
    const { firstRows } = this.#pages.of(index);
    const kind = this.#columns.kindOf(index);
    const isText = kind === 'string' || kind === 'any';
    return new SomeRows(this.#chunk(index), firstRows, this.rows, rows, isText ? undefined : values, scratch);
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
    const chunk = this.#chunk(index);
    const { firstRows } = this.#pages.of(index);
    const bits = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    const scratch = this.#takeScratch();
    try {
      for (const { number, bytes, options } of this.#bytesOfPages(index, pages, read, scratch)) {
        check?.();
        flagRows(bytes, chunk, wanted, scratch.page, bits, firstRows[number], options);
      }
    } finally {
      this.#caches.scratches.push(scratch);
    }
  }

  #takeScratch(): DecodeScratch {
    return (
      this.#caches.scratches.pop() ?? {
        page: createPageScratch(),
        bytes: new Uint8Array(READ_BYTES),
        values: new ArrayBuffer(0),
      }
    );
  }

  /** The bytes of the pages, good until the next one, and how they are to be decoded. Neighbouring pages are read together. */
  *#bytesOfPages(
    index: number,
    pages: number[],
    read: ReadBytes,
    scratch: DecodeScratch,
  ): Generator<{ number: number; bytes: Uint8Array; options: DecodeOptions }> {
    const { offsets, bytes: lengths } = this.#pages.of(index);
    const verified = this.#verifiedPages(index);
    for (let from = 0; from < pages.length; ) {
      let to = from + 1;
      let length = lengths[pages[from]];
      while (to < pages.length && pages[to] === pages[to - 1] + 1 && length + lengths[pages[to]] <= READ_BYTES)
        length += lengths[pages[to++]];
      const at = offsets[pages[from]];
      if (scratch.bytes.length < length) scratch.bytes = new Uint8Array(length);
      const bytes = this.#take(read, { offset: at, length }, scratch.bytes);
      for (; from < to; from++) {
        const number = pages[from];
        const pageAt = offsets[number] - at;
        const options = {
          offset: offsets[number],
          verifyChecksum: verified[number] === 0,
          check: verified[number] === 0 ? this.#checks?.page(index, number) : undefined,
        };
        yield { number, bytes: bytes.subarray(pageAt, pageAt + lengths[number]), options };
        // Only now: a damaged page must be refused every time.
        verified[number] = 1;
      }
    }
  }

  *#decodePages(
    index: number,
    pages: number[],
    read: ReadBytes,
  ): Generator<{ first: number; page: DecodedPage }, undefined> {
    const chunk = this.#chunk(index);
    const { firstRows } = this.#pages.of(index);
    const scratch = this.#takeScratch();
    try {
      for (const { number, bytes, options } of this.#bytesOfPages(index, pages, read, scratch))
        yield { first: firstRows[number], page: decodePage(bytes, chunk, scratch.page, options) };
    } finally {
      this.#caches.scratches.push(scratch);
    }
  }

  /** The pages of a column whose checksum was right: it is compared once, since bytes do not rot between two queries. */
  #verifiedPages(index: number): Uint8Array {
    let verified = this.#verified.get(index);
    if (verified === undefined) {
      verified = new Uint8Array(this.#pages.of(index).pages);
      this.#verified.set(index, verified);
    }
    return verified;
  }

  #page(index: number, page: number, read: ReadBytes): DecodedPage {
    const offsets = this.#pages.of(index);
    const bytes = this.#take(read, { offset: offsets.offsets[page], length: offsets.bytes[page] });
    return decodePage(bytes, this.#chunk(index), undefined, {
      offset: offsets.offsets[page],
      verifyChecksum: true,
      check: this.#checks?.page(index, page),
    });
  }

  #partOf(
    index: number,
    page: number,
    decoded: DecodedPage,
    childrenBefore: number,
    scratch: DecodeScratch,
    dictionary: Values | undefined,
  ): Part {
    const list = this.#chunk(index).maxRepetition > 0;
    const first = list ? childrenBefore : this.#pages.of(index).firstRows[page];
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
      const offsets = this.#pages.of(index);
      const read = await this.#source.fetch(this.#pages.ranges(index, this.#pages.holding(index, undefined)));
      const starts = new Uint32Array(offsets.pages + 1);
      for (let each = 0; each < offsets.pages; each++)
        starts[each + 1] = starts[each] + childLevels(this.#page(index, each, read)).rows;
      return { value: starts, bytes: starts.byteLength };
    });
    return starts[page];
  }

  #childrenBeforeColumn(index: number, page: number): Promise<number> {
    const space = this.#columns.childSpaceOf(index);
    return this.#childrenBefore(space, this.#columns.childIndex(space)!, page);
  }

  /** Where pages stand, and the column's dictionary, unless that is known. */
  #rangesOf(index: number, pages: number[]): ByteRange[] {
    const ranges = this.#pages.ranges(index, pages);
    return this.#knownValues(index) === undefined ? [...this.#dictionaryRange(index), ...ranges] : ranges;
  }

  /** Where the dictionary of a column stands, if it has one. */
  #dictionaryRange(index: number): ByteRange[] {
    const { dictionaryPageOffset: offset, dataPageOffset } = this.#chunk(index);
    return offset === undefined ? [] : [{ offset, length: dataPageOffset - offset }];
  }

  #knownValues(index: number): Values | undefined {
    return this.#caches.columns.get(`${this.name} ${index} dictionary`) as Values | undefined;
  }

  /** The values of a column's dictionary, if it has one. */
  #values(index: number, read: ReadBytes): Values | undefined {
    const [range] = this.#dictionaryRange(index);
    if (range === undefined) return undefined;
    const values = this.#decodeDictionary(index, read, range);
    this.#caches.columns.set(`${this.name} ${index} dictionary`, values, valuesBytes(values));
    return values;
  }

  #decodeDictionary(index: number, read: ReadBytes, range: ByteRange): Values {
    return decodeDictionary(this.#take(read, range), this.#chunk(index), {
      offset: range.offset,
      verifyChecksum: true,
      check: this.#checks?.dictionary(index),
    });
  }

  async #messages(index: number): Promise<Uint8Array[]> {
    await this.#readIndexes();
    return this.#cached(`messages ${index}`, async () => {
      const values =
        this.#knownValues(index) ?? this.#values(index, await this.#source.fetch(this.#dictionaryRange(index)));
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

  #chunk(index: number): ChunkMetadata {
    return this.#metadata.columns[index];
  }

  /** Where pages stand is read before any page is looked for. */
  async #readIndexes(): Promise<void> {
    if (this.#pages.isKnown) return;
    const read = await this.#source.fetch([this.#pages.range]);
    if (!this.#pages.isKnown) this.#takeIndexes(this.#take(read, this.#pages.range));
  }

  #takeIndexes(bytes: Uint8Array): void {
    const { checks } = this.#place;
    if (checks !== undefined) {
      if (crc32(bytes) !== checks.crc) throw this.#damaged('the checksum of its page locations differs');
      this.#checks = new Checks(this.#metadata, this.#pageRows, bytes);
    }
    this.#pages.take(bytes);
  }

  #damaged(why: string): VivaceError {
    const { id, tenant } = this.#ref;
    return new VivaceError('undecodable', `cannot read block ${id} of tenant ${tenant}: ${why}`);
  }

  async #cached<V>(what: string, make: () => Promise<{ value: V; bytes: number }>): Promise<V> {
    const key = `${this.name} ${what}`;
    const known = this.#caches.columns.get(key) as V | undefined;
    if (known !== undefined) return known;
    const { value, bytes } = await make();
    this.#caches.columns.set(key, value, bytes);
    return value;
  }

  /** Reads what was fetched, and counts it. */
  #take(read: ReadBytes, { offset, length }: ByteRange, into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    this.bytesRead += length;
    return read(offset, length, into);
  }
}
