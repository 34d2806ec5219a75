/**
 * A block that is open for reading: its footer, its page locations, and decoded columns in a cache that all blocks share.
 * Only the pages that a query wants are read.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type BloomFilter, mayContain, mayContainHash, parseBloomFilter } from '../parquet/bloom.ts';
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
import { readTraces, type TraceLines } from './traces-file.ts';

/** What the readers of one thread share. */
export interface BlockCaches {
  /** Dictionaries, trace lines, messages: what many queries want. Pages are decoded anew; the system caches files. */
  columns: ByteCache<unknown>;
  /** Arrays for decoding, free for the next column. */
  scratches: DecodeScratch[];
  /** Open blocks, at most as many as may be open files. */
  blocks: Map<string, OpenBlock>;
  blocksMax: number;
}

interface DecodeScratch {
  page: PageScratch;
  bytes: Uint8Array<ArrayBuffer>;
  /** Values of dictionary-coded numbers. */
  values: ArrayBuffer;
}

/** Pages are read together up to this many bytes. */
const READ_BYTES = 256 * 1024;

export function createBlockCaches(bytesMax: number): BlockCaches {
  return { columns: new ByteCache(bytesMax), scratches: [], blocks: new Map(), blocksMax: 256 };
}

/** The block as a segment, opened if it is not open. Throws VivaceError 'not-found' when it has gone. */
export function openBlock(ref: BlockRef, caches: BlockCaches): OpenBlock {
  const known = caches.blocks.get(ref.id);
  if (known !== undefined) {
    caches.blocks.delete(ref.id);
    caches.blocks.set(ref.id, known);
    return known;
  }
  const block = new OpenBlock(ref, caches);
  caches.blocks.set(ref.id, block);
  for (const [id, oldest] of caches.blocks) {
    if (caches.blocks.size <= caches.blocksMax) break;
    caches.blocks.delete(id);
    oldest.close();
  }
  return block;
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
  readonly #file: number;
  readonly #metadata: FileMetadata;
  readonly #uses: ColumnUse[];
  readonly #byUse = new Map<string, number>();
  readonly #types = new Map<string, AttributeType[]>();
  readonly #indexes = new Map<number, OffsetIndex>();
  /** Pages of each column whose checksum was right. */
  readonly #verified = new Map<number, Uint8Array>();
  /** The indexes of all columns, as they stand before the footer. */
  readonly #indexBytes: Uint8Array;
  readonly #indexAt: number;
  #bloom: BloomFilter | undefined;
  #closed = false;

  constructor(ref: BlockRef, caches: BlockCaches) {
    this.ref = ref;
    this.name = ref.id;
    this.#caches = caches;
    this.startSeconds = ref.startSeconds;
    this.endSeconds = ref.endSeconds;
    this.bytes = ref.meta.size;
    try {
      this.#file = fs.openSync(path.join(ref.directory, 'data.parquet'), 'r');
    } catch (error) {
      throw new VivaceError('not-found', `cannot open block ${ref.id} of tenant ${ref.tenant}: it has gone`, {
        cause: error,
      });
    }
    const footerAt = ref.meta.size - 8 - ref.meta.footerSize;
    this.#metadata = parseFooter(this.#read(footerAt, ref.meta.footerSize));
    this.rows = this.#metadata.rows;
    const group = this.#metadata.rowGroups[0];
    this.#indexAt = Math.min(...group.columns.map((column) => column.offsetIndexOffset ?? footerAt));
    this.#indexBytes = this.#read(this.#indexAt, footerAt - this.#indexAt);
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

  close(): void {
    if (!this.#closed) fs.closeSync(this.#file);
    this.#closed = true;
  }

  async mayHold(traceId: Uint8Array): Promise<boolean> {
    const bloom = this.#traceFilter();
    return bloom === undefined || mayContain(bloom, traceId);
  }

  async mayHoldHash(): Promise<(hash: Int32Array) => boolean> {
    const bloom = this.#traceFilter();
    return (hash) => bloom === undefined || mayContainHash(bloom, hash);
  }

  #traceFilter(): BloomFilter | undefined {
    if (this.#bloom === undefined) {
      const chunk = this.#chunk(COLUMN_TRACE_ID);
      if (chunk.bloomOffset === undefined) return undefined;
      this.#bloom = parseBloomFilter(this.#read(chunk.bloomOffset, chunk.bloomLength));
    }
    return this.#bloom;
  }

  async lines(): Promise<TraceLines> {
    return this.#cached('lines', () => {
      const file = fs.readFileSync(path.join(this.ref.directory, 'traces'));
      this.bytesRead += file.length;
      const lines = readTraces(file);
      return { value: lines, bytes: 2 * file.length + 80 * lines.strings.length };
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
    const rows: number[] = [];
    let first = 0;
    if (pages.length > 0) first = await this.#childrenBefore(space, index, pages[0]);
    for (const page of pages) {
      const decoded = this.#page(index, page);
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
    const dictionary = kind === 'string' || kind === 'any' ? this.#dictionary(index) : undefined;
    const pages = this.#pages(index, range, chunk.maxRepetition > 0 ? undefined : options.rows);
    const before = chunk.maxRepetition > 0 && pages.length > 0 ? await this.#childrenBeforeColumn(index, pages[0]) : 0;
    const parts = { [Symbol.iterator]: () => this.#decode(index, pages, before) };
    return { kind, parts, ...(dictionary && { dictionary }) };
  }

  /** Decodes the pages one after the other, into arrays that the next page uses again. */
  *#decode(index: number, pages: number[], childrenBefore: number): Generator<Part> {
    const chunk = this.#chunk(index);
    const offsets = this.#offsets(index);
    const verified = this.#verifiedPages(index);
    const { scratches } = this.#caches;
    const scratch = scratches.pop() ?? {
      page: createPageScratch(),
      bytes: new Uint8Array(READ_BYTES),
      values: new ArrayBuffer(0),
    };
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
        const bytes = this.#read(at, length, scratch.bytes);
        for (; from < to; from++) {
          const page = pages[from];
          const pageAt = offsets.offsets[page] - at;
          const decoded = decodePage(bytes.subarray(pageAt, pageAt + offsets.bytes[page]), chunk, scratch.page, {
            offset: offsets.offsets[page],
            verifyChecksum: verified[page] === 0,
          });
          // Only now: a damaged page must be refused every time.
          verified[page] = 1;
          const part = this.#partOf(index, page, decoded, children, scratch);
          children += part.rows;
          yield part;
        }
      }
    } finally {
      scratches.push(scratch);
    }
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

  #page(index: number, page: number): DecodedPage {
    const offsets = this.#offsets(index);
    const bytes = this.#read(offsets.offsets[page], offsets.bytes[page]);
    return decodePage(bytes, this.#chunk(index), undefined, { offset: offsets.offsets[page], verifyChecksum: true });
  }

  #partOf(index: number, page: number, decoded: DecodedPage, childrenBefore: number, scratch: DecodeScratch): Part {
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
      decoded.codes === undefined
        ? decoded.values!
        : lookUp(this.#values(index), decoded.codes, decoded.count, scratch);
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
    const starts = await this.#cached(`children ${space}`, () => {
      const offsets = this.#offsets(index);
      const starts = new Uint32Array(offsets.pages + 1);
      for (let each = 0; each < offsets.pages; each++)
        starts[each + 1] = starts[each] + childLevels(this.#page(index, each)).rows;
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

  #dictionary(index: number): Dictionary | undefined {
    if (this.#chunk(index).dictionaryPageOffset === undefined) return undefined;
    return dictionaryOf(this.#values(index));
  }

  /** The values of a column's dictionary. */
  #values(index: number): Values {
    const key = `${this.name} ${index} dictionary`;
    const known = this.#caches.columns.get(key) as Values | undefined;
    if (known !== undefined) return known;
    const chunk = this.#chunk(index);
    const at = chunk.dictionaryPageOffset!;
    const values = decodeDictionary(this.#read(at, chunk.dataPageOffset - at), chunk, {
      offset: at,
      verifyChecksum: true,
    });
    this.#caches.columns.set(key, values, valuesBytes(values));
    return values;
  }

  async #messages(index: number): Promise<Uint8Array[]> {
    return this.#cached(`messages ${index}`, () => {
      const values = this.#values(index);
      const messages: Uint8Array[] = [];
      let bytes = 0;
      if (values.type === 'bytes')
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

  #cached<V>(what: string, make: () => { value: V; bytes: number }): V {
    const key = `${this.name} ${what}`;
    const known = this.#caches.columns.get(key) as V | undefined;
    if (known !== undefined) return known;
    const { value, bytes } = make();
    this.#caches.columns.set(key, value, bytes);
    return value;
  }

  /** Bytes of the file, in the front of `into` when that is given. */
  #read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    const read = fs.readSync(this.#file, bytes, 0, length, offset);
    if (read !== length)
      throw new VivaceError(
        'internal',
        `cannot read block ${this.name} of tenant ${this.ref.tenant}: data.parquet ends at byte ${offset + read}`,
      );
    this.bytesRead += length;
    return bytes;
  }
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
  return { count, bytes, start: (code) => offsets[code], end: (code) => offsets[code + 1] };
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
