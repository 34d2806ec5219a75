/**
 * A block that is open for reading: its footer, its page locations, and decoded columns in a cache that all blocks share.
 * Only the pages that a query wants are read.
 */
import { crc32 } from 'node:zlib';
import { type BloomFilter, mayContain, mayContainHash, parseBloomFilter } from '../parquet/bloom.ts';
import { Checks, checksOffset } from '../parquet/checks.ts';
import type { Values } from '../parquet/column.ts';
import { type ChunkMetadata, type FileMetadata, parseFooter } from '../parquet/footer.ts';
import { type OffsetIndex, parseOffsetIndex } from '../parquet/indexes.ts';
import {
  createPageScratch,
  type DecodedPage,
  decodeDictionary,
  decodePage,
  type PageScratch,
} from '../parquet/read.ts';
import { VivaceError } from '../runtime/errors.ts';
import { ByteCache } from './cache.ts';
import type { BlockRef } from './catalog.ts';
import {
  COLUMN_DURATION,
  COLUMN_KIND,
  COLUMN_NAME,
  COLUMN_PARENT,
  COLUMN_PARENT_ID,
  COLUMN_RESOURCE,
  COLUMN_SCOPE,
  COLUMN_SPAN_ID,
  COLUMN_START,
  COLUMN_STATUS,
  COLUMN_TRACE_ID,
  COLUMNS_KEY,
  type ColumnUse,
  FIXED_COLUMNS,
} from './schema.ts';
import type {
  AttributeType,
  Column,
  ColumnKind,
  ColumnOptions,
  Dictionary,
  FixedField,
  Part,
  RowRange,
  Segment,
  Space,
  Want,
} from './segment.ts';
import { type ByteRange, openSource, type BlockSource, type ReadBytes, type RemoteSource } from './source.ts';
import { readTraceIds, readTraces, type TraceLines } from './traces-file.ts';

/** What the readers of one thread share. */
export interface BlockCaches {
  /** Dictionaries, trace lines, messages: what many queries want. Pages are decoded anew; the system caches files. */
  columns: ByteCache<unknown>;
  /** Arrays for decoding, free for the next column. */
  scratches: DecodeScratch[];
  /** Open blocks, at most as many as may be open files, those in use aside. */
  blocks: Map<string, Promise<OpenBlock>>;
  blocksMax: number;
  /** Opens blocks that are in no folder. */
  remote?: RemoteSource;
}

interface DecodeScratch {
  page: PageScratch;
  bytes: Uint8Array<ArrayBuffer>;
  /** Values of dictionary-coded numbers. */
  values: ArrayBuffer;
}

/** With fewer rows than this share of a page, only their values are decoded. */
const SPARSE_SHARE = 8;

/** Pages are read together up to this many bytes. */
const READ_BYTES = 256 * 1024;

export function createBlockCaches(bytesMax: number): BlockCaches {
  return { columns: new ByteCache(bytesMax), scratches: [], blocks: new Map(), blocksMax: 256 };
}

/**
 * The block as a segment, opened if it is not open; to be given back with `release`. Rejects with VivaceError 'not-found' when
 * it has gone.
 */
export async function openBlock(ref: BlockRef, caches: BlockCaches): Promise<OpenBlock> {
  const { blocks } = caches;
  let opening = blocks.get(ref.id);
  if (opening === undefined) {
    opening = OpenBlock.open(ref, caches);
    opening.catch(() => {
      if (blocks.get(ref.id) === opening) blocks.delete(ref.id);
    });
  }
  blocks.delete(ref.id);
  blocks.set(ref.id, opening);
  if (blocks.size > caches.blocksMax) {
    const [[oldest, evicted]] = blocks;
    blocks.delete(oldest);
    evicted.then(
      (block) => block.close(),
      () => {},
    );
  }
  const block = await opening;
  block.retain();
  return block;
}

/** What stands before the footer is unknown before it is read; this much is read with it, and is nearly always enough. */
function tailBytes({ size, footerSize, vivace }: BlockRef['meta']): number {
  return Math.min(size, Math.max(vivace.tailBytes ?? 0, 2 * footerSize + 64 * 1024));
}

const FIXED_INDEX: Record<FixedField, number> = {
  span_id: COLUMN_SPAN_ID,
  parent_span_id: COLUMN_PARENT_ID,
  parent_distance: COLUMN_PARENT,
  name: COLUMN_NAME,
  kind: COLUMN_KIND,
  start: COLUMN_START,
  duration: COLUMN_DURATION,
  status: COLUMN_STATUS,
};

export class OpenBlock implements Segment {
  readonly name: string;
  readonly live = false;
  readonly rows: number;
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly bytes: number;
  readonly ref: BlockRef;
  /** Bytes read from the file so far, for metrics. */
  bytesRead = 0;
  readonly #caches: BlockCaches;
  readonly #source: BlockSource;
  readonly #metadata: FileMetadata;
  readonly #uses: ColumnUse[];
  readonly #byUse = new Map<string, number>();
  readonly #types = new Map<string, AttributeType[]>();
  readonly #indexes = new Map<number, OffsetIndex>();
  /** Of what the pages' own checksums leave out; undefined in blocks that have none. */
  readonly #checks: Checks | undefined;
  /** Pages of each column whose checksum was right. */
  readonly #verified = new Map<number, Uint8Array>();
  /** The indexes of all columns, as they stand before the footer. */
  readonly #indexBytes: Uint8Array;
  readonly #indexAt: number;
  #bloom: BloomFilter | undefined;
  #users = 0;
  #closing = false;

  /** Opens the block apart from those of the caches; the caller closes it. */
  static async open(ref: BlockRef, caches: BlockCaches): Promise<OpenBlock> {
    const source = openSource(ref, caches.remote);
    try {
      const { size, footerSize } = ref.meta;
      const tailAt = size - tailBytes(ref.meta);
      const footerAt = size - 8 - footerSize;
      const tail = await source.fetch([{ offset: tailAt, length: size - tailAt }]);
      checkTail(ref, tail);
      const metadata = parseFooter(tail(footerAt, footerSize));
      const indexAt =
        checksOffset(metadata) ??
        Math.min(...metadata.rowGroups[0].columns.map((column) => column.offsetIndexOffset ?? footerAt));
      const range = { offset: indexAt, length: footerAt - indexAt };
      const read = indexAt >= tailAt ? tail : await source.fetch([range]);
      const block = new OpenBlock(ref, caches, source, metadata, indexAt, read(range.offset, range.length));
      // From far away the filter has often come along.
      const { bloomOffset = 0, bloomLength } = block.#chunk(COLUMN_TRACE_ID);
      if (ref.directory === undefined && bloomOffset >= tailAt)
        block.#bloom = block.#parseFilter(COLUMN_TRACE_ID, tail(bloomOffset, bloomLength));
      return block;
    } catch (error) {
      source.close();
      throw error;
    }
  }

  private constructor(
    ref: BlockRef,
    caches: BlockCaches,
    source: BlockSource,
    metadata: FileMetadata,
    indexAt: number,
    indexBytes: Uint8Array,
  ) {
    this.ref = ref;
    this.name = ref.id;
    this.#caches = caches;
    this.startSeconds = ref.startSeconds;
    this.endSeconds = ref.endSeconds;
    this.bytes = ref.meta.size;
    this.#source = source;
    this.#metadata = metadata;
    this.rows = metadata.rows;
    this.#indexAt = indexAt;
    this.#indexBytes = indexBytes;
    if (checksOffset(metadata) !== undefined) this.#checks = new Checks(metadata, indexBytes);
    this.bytesRead = indexBytes.length + ref.meta.footerSize;
    this.#uses = JSON.parse(this.#metadata.keyValue.get(COLUMNS_KEY) ?? '[]');
    this.#uses.forEach((use, index) => {
      this.#byUse.set(useKey(use), index + FIXED_COLUMNS.length);
      if (use.s === 'rare' || use.s === 'resource' || use.s === 'scope' || use.f) return;
      const key = `${use.s} ${use.k}`;
      const types = this.#types.get(key);
      if (types === undefined) this.#types.set(key, [use.t]);
      else types.push(use.t);
    });
  }

  /** Somebody reads the block until `release`. */
  retain(): void {
    this.#users++;
  }

  release(): void {
    this.#users--;
    if (this.#users > 0) return;
    this.#source.forget?.();
    if (this.#closing) this.#source.close();
  }

  warm(what: Want | 'lines'): void {
    if (this.#source.warm === undefined) return;
    if (what === 'lines') {
      if (this.#caches.columns.get(`${this.name} lines`) === undefined) this.#source.warm('traces');
      return;
    }
    const index = this.#indexOf(what);
    if (index !== undefined) this.#source.warm(this.#rangesOf(index, this.#pages(index, undefined)));
  }

  async prepare(range: RowRange): Promise<void> {
    if (this.#source.prepare === undefined) return;
    const { columns } = this.#metadata.rowGroups[0];
    await this.#source.prepare(columns.flatMap((_, index) => this.#rangesOf(index, this.#pages(index, range))));
  }

  /** Closes the block, as soon as nobody reads it. */
  close(): void {
    this.#closing = true;
    if (this.#users === 0) this.#source.close();
  }

  async mayHold(traceId: Uint8Array): Promise<boolean> {
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

  async #filterOf(index: number): Promise<BloomFilter | undefined> {
    const { bloomOffset: offset, bloomLength: length } = this.#chunk(index);
    if (offset === undefined) return undefined;
    const range = { offset, length };
    return this.#parseFilter(index, this.#take(await this.#source.fetch([range]), range));
  }

  #parseFilter(index: number, bytes: Uint8Array): BloomFilter {
    if (this.#checks !== undefined && crc32(bytes) !== this.#checks.bloom(0, index))
      throw damaged(this.ref, `the checksum of the bloom filter of column ${this.#chunk(index).name} differs`);
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
      const file = await this.#source.traces();
      this.bytesRead += file.length;
      const lines = readTraces(file);
      return { value: lines, bytes: 2 * file.length + 80 * lines.strings.length };
    });
  }

  async traceIds(): Promise<Uint8Array> {
    const lines = this.#caches.columns.get(`${this.name} lines`) as TraceLines | undefined;
    if (lines !== undefined) return lines.ids;
    return this.#cached('ids', async () => {
      const file = await this.#source.traces();
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
    return this.#types.get(`${space} ${key}`) ?? [];
  }

  keys(space: Space): string[] {
    const keys: string[] = [];
    for (const key of this.#types.keys()) if (key.startsWith(`${space} `)) keys.push(key.slice(space.length + 1));
    return keys;
  }

  async column(want: Want, range?: RowRange, options?: ColumnOptions): Promise<Column | undefined> {
    const index = this.#indexOf(want);
    if (index === undefined) return undefined;
    if (options?.equals !== undefined && !(await this.#mayHaveAny(index, options.equals))) return undefined;
    return this.#load(index, range, options);
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
    const index = this.#byUse.get(useKey({ s: space, k: space === 'event' ? 'time' : 'flags', t: 'int', f: true }));
    if (index === undefined) return undefined;
    const pages = this.#pages(index, range);
    const read = await this.#source.fetch(this.#pageRanges(index, pages));
    const rows: number[] = [];
    let first = 0;
    if (pages.length > 0) first = await this.#childrenBefore(space, index, pages[0]);
    for (const page of pages) {
      const decoded = this.#page(index, page, read);
      let row = this.#offsets(index).firstRows[page] - 1;
      for (let entry = 0; entry < decoded.entries; entry++) {
        if (decoded.repetition === undefined || decoded.repetition[entry] === 0) row++;
        if (decoded.definition === undefined || decoded.definition[entry] >= 2) rows.push(row);
      }
    }
    return { first, rows: Uint32Array.from(rows) };
  }

  async tree(): Promise<{ parents: Int32Array; starts: Uint32Array }> {
    const column = await this.#load(COLUMN_PARENT, undefined);
    const parents = new Int32Array(this.rows);
    for (const part of column.parts) parents.set(part.ints!.subarray(0, part.count), part.first);
    return { parents, starts: (await this.lines()).firstRow };
  }

  #indexOf(want: Want): number | undefined {
    switch (want.of) {
      case 'fixed':
        return FIXED_INDEX[want.field];
      case 'resource':
        return COLUMN_RESOURCE;
      case 'scope':
        return COLUMN_SCOPE;
      case 'rare':
        return this.#byUse.get(`rare ${want.field} f`);
      case 'child':
        return this.#byUse.get(`${want.space} ${want.field} f`);
      case 'attribute':
        return this.#byUse.get(`${want.space} ${want.key} ${want.type}`);
    }
  }

  async #load(index: number, range: RowRange | undefined, options: ColumnOptions = {}): Promise<Column> {
    const kind = this.#kindOf(index);
    const chunk = this.#chunk(index);
    const pages = this.#pages(index, range, chunk.maxRepetition > 0 ? undefined : options.rows);
    const known = this.#knownValues(index);
    const read = await this.#source.fetch(this.#rangesOf(index, pages));
    const values = known ?? this.#values(index, read);
    const dictionary = values !== undefined && (kind === 'string' || kind === 'any') ? dictionaryOf(values) : undefined;
    const before = chunk.maxRepetition > 0 && pages.length > 0 ? await this.#childrenBeforeColumn(index, pages[0]) : 0;
    const parts = { [Symbol.iterator]: () => this.#decode(index, pages, before, read, values, options.rows) };
    return { kind, parts, ...(dictionary && { dictionary }), pages: this.#offsets(index).pages };
  }

  /** Decodes the pages one after the other, into arrays that the next page uses again. */
  *#decode(
    index: number,
    pages: number[],
    childrenBefore: number,
    read: ReadBytes,
    values: Values | undefined,
    rows: Uint32Array | undefined,
  ): Generator<Part> {
    const chunk = this.#chunk(index);
    const offsets = this.#offsets(index);
    const verified = this.#verifiedPages(index);
    const { scratches } = this.#caches;
    const scratch = scratches.pop() ?? {
      page: createPageScratch(),
      bytes: new Uint8Array(READ_BYTES),
      values: new ArrayBuffer(0),
    };
    const wantedOf =
      rows && chunk.maxDefinition === 0 && chunk.maxRepetition === 0 ? this.#rowsIn(index, rows) : undefined;
    try {
      let children = childrenBefore;
      for (let from = 0; from < pages.length; ) {
        // Neighbouring pages are read together.
        let to = from + 1;
        let length = offsets.bytes[pages[from]];
        while (to < pages.length && pages[to] === pages[to - 1] + 1 && length + offsets.bytes[pages[to]] <= READ_BYTES)
          length += offsets.bytes[pages[to++]];
        const at = offsets.offsets[pages[from]];
        if (scratch.bytes.length < length) scratch.bytes = new Uint8Array(length);
        const bytes = this.#take(read, { offset: at, length }, scratch.bytes);
        for (; from < to; from++) {
          const page = pages[from];
          const pageAt = offsets.offsets[page] - at;
          const decoded = decodePage(bytes.subarray(pageAt, pageAt + offsets.bytes[page]), chunk, scratch.page, {
            offset: offsets.offsets[page],
            verifyChecksum: verified[page] === 0,
            check: verified[page] === 0 ? this.#checks?.page(0, index, page) : undefined,
            wanted: wantedOf?.(page),
          });
          // Only now: a damaged page must be refused every time.
          verified[page] = 1;
          const part = this.#partOf(index, page, decoded, children, scratch, values);
          if (decoded.wanted) partOfRows(part, wantedOf!(page)!);
          children += part.rows;
          yield part;
        }
      }
    } finally {
      scratches.push(scratch);
    }
  }

  /** A function that gives, page after page, which of its rows are among the ascending `rows`; undefined where many are. */
  #rowsIn(index: number, rows: Uint32Array): (page: number) => Uint32Array | undefined {
    const { firstRows, pages } = this.#offsets(index);
    let known = -1;
    let wanted: Uint32Array | undefined;
    let next = 0;
    return (page) => {
      if (page === known) return wanted;
      const end = page + 1 < pages ? firstRows[page + 1] : this.rows;
      while (next < rows.length && rows[next] < firstRows[page]) next++;
      const from = next;
      while (next < rows.length && rows[next] < end) next++;
      known = page;
      wanted = undefined;
      if ((next - from) * SPARSE_SHARE < end - firstRows[page])
        wanted = rows.subarray(from, next).map((row) => row - firstRows[page]);
      return wanted;
    };
  }

  /** The pages of a column whose checksum was right: it is compared once, since bytes do not rot between two queries. */
  #verifiedPages(index: number): Uint8Array {
    let verified = this.#verified.get(index);
    if (verified === undefined) {
      verified = new Uint8Array(this.#offsets(index).pages);
      this.#verified.set(index, verified);
    }
    return verified;
  }

  #page(index: number, page: number, read: ReadBytes): DecodedPage {
    const offsets = this.#offsets(index);
    const bytes = this.#take(read, { offset: offsets.offsets[page], length: offsets.bytes[page] });
    return decodePage(bytes, this.#chunk(index), undefined, {
      offset: offsets.offsets[page],
      verifyChecksum: true,
      check: this.#checks?.page(0, index, page),
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
    const first = list ? childrenBefore : this.#offsets(index).firstRows[page];
    let rows = decoded.rows;
    let present = decoded.definition;
    if (list) ({ rows, present } = childLevels(decoded));
    const part: Part = { first, rows, count: decoded.count, ...(present && { present }) };
    const kind = this.#kindOf(index);
    if (kind === 'string' || kind === 'any') {
      if (decoded.codes !== undefined) part.codes = decoded.codes;
      else {
        part.dictionary = dictionaryOf(decoded.values!);
        part.codes = identity(decoded.count);
      }
      return part;
    }
    const values =
      decoded.codes === undefined ? decoded.values! : lookUp(dictionary!, decoded.codes, decoded.count, scratch);
    switch (values.type) {
      case 'int64':
        part.words = values.words;
        break;
      case 'double':
        part.doubles = values.values;
        break;
      case 'boolean':
        part.bits = values.values;
        break;
      case 'int32':
        part.ints = values.values;
        break;
      case 'fixed':
      case 'bytes':
        part.bytes = values.bytes;
    }
    return part;
  }

  /** How many events or links stand before a page. */
  async #childrenBefore(space: 'event' | 'link', index: number, page: number): Promise<number> {
    const starts = await this.#cached(`children ${space}`, async () => {
      const offsets = this.#offsets(index);
      const read = await this.#source.fetch(this.#pageRanges(index, this.#pages(index, undefined)));
      const starts = new Uint32Array(offsets.pages + 1);
      for (let each = 0; each < offsets.pages; each++)
        starts[each + 1] = starts[each] + childLevels(this.#page(index, each, read)).rows;
      return { value: starts, bytes: starts.byteLength };
    });
    return starts[page];
  }

  #childrenBeforeColumn(index: number, page: number): Promise<number> {
    const space = this.#uses[index - FIXED_COLUMNS.length].s as 'event' | 'link';
    const base = this.#byUse.get(`${space} ${space === 'event' ? 'time' : 'flags'} f`)!;
    return this.#childrenBefore(space, base, page);
  }

  #pages(index: number, range: RowRange | undefined, rows?: Uint32Array): number[] {
    const { pages, firstRows } = this.#offsets(index);
    const wanted: number[] = [];
    let next = 0;
    for (let page = 0; page < pages; page++) {
      const end = page + 1 < pages ? firstRows[page + 1] : this.rows;
      if (range !== undefined && (firstRows[page] >= range.to || end <= range.from)) continue;
      if (rows !== undefined) {
        while (next < rows.length && rows[next] < firstRows[page]) next++;
        if (next === rows.length || rows[next] >= end) continue;
      }
      wanted.push(page);
    }
    return wanted;
  }

  /** Where pages stand; neighbours as one. */
  #pageRanges(index: number, pages: number[]): ByteRange[] {
    const offsets = this.#offsets(index);
    const ranges: ByteRange[] = [];
    for (const page of pages) {
      const offset = offsets.offsets[page];
      const last = ranges.at(-1);
      if (last !== undefined && last.offset + last.length === offset) last.length += offsets.bytes[page];
      else ranges.push({ offset, length: offsets.bytes[page] });
    }
    return ranges;
  }

  /** The same with the column's dictionary, unless that is known. */
  #rangesOf(index: number, pages: number[]): ByteRange[] {
    const ranges = this.#pageRanges(index, pages);
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
    const values = decodeDictionary(this.#take(read, range), this.#chunk(index), {
      offset: range.offset,
      verifyChecksum: true,
      check: this.#checks?.dictionary(0, index),
    });
    this.#caches.columns.set(`${this.name} ${index} dictionary`, values, valuesBytes(values));
    return values;
  }

  async #messages(index: number): Promise<Uint8Array[]> {
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

  #kindOf(index: number): ColumnKind {
    if (index >= FIXED_COLUMNS.length) return this.#uses[index - FIXED_COLUMNS.length].t;
    if (index === COLUMN_NAME || index === COLUMN_RESOURCE || index === COLUMN_SCOPE) return 'string';
    if (index === COLUMN_START || index === COLUMN_DURATION) return 'int';
    if (index === COLUMN_SPAN_ID || index === COLUMN_PARENT_ID || index === COLUMN_TRACE_ID) return 'fixed';
    return 'int32';
  }

  #chunk(index: number): ChunkMetadata {
    return this.#metadata.rowGroups[0].columns[index];
  }

  #offsets(index: number): OffsetIndex {
    let offsets = this.#indexes.get(index);
    if (offsets === undefined) {
      const chunk = this.#chunk(index);
      const at = chunk.offsetIndexOffset! - this.#indexAt;
      offsets = parseOffsetIndex(this.#indexBytes.subarray(at, at + chunk.offsetIndexLength));
      this.#indexes.set(index, offsets);
    }
    return offsets;
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

/** The bytes from the checks to the end of the file must be those that the meta tells of. */
function checkTail(ref: BlockRef, tail: ReadBytes): void {
  const { size, vivace } = ref.meta;
  if (vivace.tailBytes === undefined) return;
  if (crc32(tail(size - vivace.tailBytes, vivace.tailBytes)) !== vivace.tailCrc)
    throw damaged(ref, 'the checksum of its footer differs');
}

function damaged({ id, tenant }: BlockRef, why: string): VivaceError {
  return new VivaceError('undecodable', `cannot read block ${id} of tenant ${tenant}: ${why}`);
}

function useKey(use: ColumnUse): string {
  return use.s === 'rare' || use.f ? `${use.s} ${use.k} f` : `${use.s} ${use.k} ${use.t}`;
}

/** A page of a list as children: how many there are and which have a value. */
function childLevels(page: DecodedPage): { rows: number; present: Uint8Array | undefined } {
  if (page.definition === undefined) return { rows: page.entries, present: undefined };
  let rows = 0;
  for (let entry = 0; entry < page.entries; entry++) if (page.definition[entry] >= 2) rows++;
  if (rows === page.count) return { rows, present: undefined };
  const present = new Uint8Array(rows);
  for (let entry = 0, child = 0; entry < page.entries; entry++)
    if (page.definition[entry] >= 2) present[child++] = page.definition[entry] === 3 ? 1 : 0;
  return { rows, present };
}

function dictionaryOf(values: Values): Dictionary {
  if (values.type !== 'bytes')
    throw new VivaceError('internal', `cannot read a dictionary of ${values.type} as strings`);
  const { bytes, offsets, count } = values;
  return { isOfColumn: true, count, bytes, start: (code) => offsets[code], end: (code) => offsets[code + 1] };
}

/** Makes a part of it that has values for these of its rows only. */
function partOfRows(part: Part, wanted: Uint32Array): void {
  part.count = wanted.length;
  part.at = wanted.map((row) => part.first + row);
}

function identity(count: number): Uint32Array {
  const codes = new Uint32Array(count);
  for (let i = 0; i < count; i++) codes[i] = i;
  return codes;
}

/** The values of codes, in an array of the scratch. */
function lookUp(dictionary: Values, codes: Uint32Array, count: number, scratch: DecodeScratch): Values {
  const buffer = bufferOf(scratch, 8 * count);
  switch (dictionary.type) {
    case 'int32': {
      const values = new Int32Array(buffer, 0, count);
      for (let i = 0; i < count; i++) values[i] = dictionary.values[codes[i]];
      return { type: 'int32', values, count };
    }
    case 'int64': {
      const words = new Int32Array(buffer, 0, 2 * count);
      for (let i = 0; i < count; i++) {
        words[2 * i] = dictionary.words[2 * codes[i]];
        words[2 * i + 1] = dictionary.words[2 * codes[i] + 1];
      }
      return { type: 'int64', words, count };
    }
    case 'double': {
      const values = new Float64Array(buffer, 0, count);
      for (let i = 0; i < count; i++) values[i] = dictionary.values[codes[i]];
      return { type: 'double', values, count };
    }
    case 'fixed': {
      const bytes = new Uint8Array(count * dictionary.width);
      for (let i = 0; i < count; i++)
        bytes.set(
          dictionary.bytes.subarray(codes[i] * dictionary.width, (codes[i] + 1) * dictionary.width),
          i * dictionary.width,
        );
      return { type: 'fixed', bytes, width: dictionary.width, count };
    }
    default:
      throw new VivaceError('internal', `cannot read a dictionary of ${dictionary.type}`);
  }
}

function bufferOf(scratch: DecodeScratch, bytes: number): ArrayBuffer {
  if (scratch.values.byteLength < bytes) scratch.values = new ArrayBuffer(bytes);
  return scratch.values;
}

function valuesBytes(values: Values): number {
  if (values.type === 'bytes') return values.bytes.byteLength + values.offsets.byteLength;
  if (values.type === 'int64') return values.words.byteLength;
  if (values.type === 'fixed') return values.bytes.byteLength;
  return values.values.byteLength;
}
