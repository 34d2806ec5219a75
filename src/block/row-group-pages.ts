/**
 * The pages of a row group: where they stand, which is read once, their dictionaries, and their bytes, whose checksums are compared
 * the first time. Nothing is fetched here but what the reader of a column has asked the source for.
 */
import { crc32 } from 'node:zlib';
import { type BloomFilter, parseBloomFilter } from '../parquet/bloom.ts';
import { Checks } from '../parquet/checks.ts';
import type { Values } from '../parquet/column.ts';
import type { ChunkMetadata, RowGroupMetadata } from '../parquet/footer.ts';
import {
  createPageScratch,
  type DecodedPage,
  type DecodeOptions,
  decodeDictionary,
  decodePage,
} from '../parquet/read.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { BlockRef } from './catalog.ts';
import type { BlockCaches } from './open.ts';
import { PagePlaces } from './page-places.ts';
import { type DecodeScratch, valuesBytes } from './page-values.ts';
import type { RowGroupPlace } from './row-group-places.ts';
import type { ColumnUse } from './schema.ts';
import type { BlockSource, ByteRange, ReadBytes } from './source.ts';

/** What a row group knows of its block. */
export interface RowGroupBlock {
  readonly ref: BlockRef;
  readonly source: BlockSource;
  readonly caches: BlockCaches;
  readonly uses: readonly ColumnUse[];
  /** Rows a page. */
  readonly pageRows: number;
}

/** Pages are read together up to this many bytes. */
const READ_BYTES = 256 * 1024;

export class RowGroupPages {
  /** Bytes read from the files so far. */
  bytesRead = 0;
  readonly places: PagePlaces;
  readonly #name: string;
  readonly #block: RowGroupBlock;
  readonly #metadata: RowGroupMetadata;
  readonly #place: RowGroupPlace;
  /** Pages of each column whose checksum was right. */
  readonly #verified = new Map<number, Uint8Array>();
  /** Of what the pages' own checksums leave out; undefined where there are none, and before they are read. */
  #checks: Checks | undefined;

  /** `name` is that of the row group. */
  constructor(block: RowGroupBlock, name: string, metadata: RowGroupMetadata, place: RowGroupPlace) {
    this.#block = block;
    this.#name = name;
    this.#metadata = metadata;
    this.#place = place;
    this.places = new PagePlaces(metadata.columns, metadata.rows, place.checks);
  }

  takeScratch(): DecodeScratch {
    return (
      this.#block.caches.scratches.pop() ?? {
        page: createPageScratch(),
        bytes: new Uint8Array(READ_BYTES),
        values: new ArrayBuffer(0),
      }
    );
  }

  /** The bytes of the pages, good until the next one, and how they are to be decoded. Neighbouring pages are read together. */
  *bytesOfPages(
    index: number,
    pages: number[],
    read: ReadBytes,
    scratch: DecodeScratch,
  ): Generator<{ number: number; bytes: Uint8Array; options: DecodeOptions }> {
    const { offsets, bytes: lengths } = this.places.of(index);
    const verified = this.#verifiedPages(index);
    for (let from = 0; from < pages.length; ) {
      let to = from + 1;
      let length = lengths[pages[from]];
      while (to < pages.length && pages[to] === pages[to - 1] + 1 && length + lengths[pages[to]] <= READ_BYTES)
        length += lengths[pages[to++]];
      const at = offsets[pages[from]];
      if (scratch.bytes.length < length) scratch.bytes = new Uint8Array(length);
      const bytes = this.take(read, { offset: at, length }, scratch.bytes);
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

  *decodePages(
    index: number,
    pages: number[],
    read: ReadBytes,
  ): Generator<{ first: number; page: DecodedPage }, undefined> {
    const chunk = this.chunk(index);
    const { firstRows } = this.places.of(index);
    const scratch = this.takeScratch();
    try {
      for (const { number, bytes, options } of this.bytesOfPages(index, pages, read, scratch))
        yield { first: firstRows[number], page: decodePage(bytes, chunk, scratch.page, options) };
    } finally {
      this.#block.caches.scratches.push(scratch);
    }
  }

  /** The pages of a column whose checksum was right: it is compared once, since bytes do not rot between two queries. */
  #verifiedPages(index: number): Uint8Array {
    let verified = this.#verified.get(index);
    if (verified === undefined) {
      verified = new Uint8Array(this.places.of(index).pages);
      this.#verified.set(index, verified);
    }
    return verified;
  }

  page(index: number, page: number, read: ReadBytes): DecodedPage {
    const offsets = this.places.of(index);
    const bytes = this.take(read, { offset: offsets.offsets[page], length: offsets.bytes[page] });
    return decodePage(bytes, this.chunk(index), undefined, {
      offset: offsets.offsets[page],
      verifyChecksum: true,
      check: this.#checks?.page(index, page),
    });
  }

  /** Where pages stand, and the column's dictionary, unless that is known. */
  rangesOf(index: number, pages: number[]): ByteRange[] {
    const ranges = this.places.ranges(index, pages);
    return this.knownValues(index) === undefined ? [...this.dictionaryRange(index), ...ranges] : ranges;
  }

  /** Where the dictionary of a column stands, if it has one. */
  dictionaryRange(index: number): ByteRange[] {
    const { dictionaryPageOffset: offset, dataPageOffset } = this.chunk(index);
    return offset === undefined ? [] : [{ offset, length: dataPageOffset - offset }];
  }

  knownValues(index: number): Values | undefined {
    return this.#block.caches.columns.get(`${this.#name} ${index} dictionary`) as Values | undefined;
  }

  /** The values of a column's dictionary, if it has one. */
  values(index: number, read: ReadBytes): Values | undefined {
    const [range] = this.dictionaryRange(index);
    if (range === undefined) return undefined;
    const values = this.decodeDictionary(index, read, range);
    this.#block.caches.columns.set(`${this.#name} ${index} dictionary`, values, valuesBytes(values));
    return values;
  }

  decodeDictionary(index: number, read: ReadBytes, range: ByteRange): Values {
    return decodeDictionary(this.take(read, range), this.chunk(index), {
      offset: range.offset,
      verifyChecksum: true,
      check: this.#checks?.dictionary(index),
    });
  }

  chunk(index: number): ChunkMetadata {
    return this.#metadata.columns[index];
  }

  /** Where pages stand is read before any page is looked for. */
  async readIndexes(): Promise<void> {
    if (this.places.isKnown) return;
    const read = await this.#block.source.fetch([this.places.range]);
    if (!this.places.isKnown) this.takeIndexes(this.take(read, this.places.range));
  }

  takeIndexes(bytes: Uint8Array): void {
    const { checks } = this.#place;
    if (checks !== undefined) {
      if (crc32(bytes) !== checks.crc) throw this.damaged('the checksum of its page locations differs');
      this.#checks = new Checks(this.#metadata, this.#block.pageRows, bytes);
    }
    this.places.take(bytes);
  }

  damaged(why: string): VivaceError {
    const { id, tenant } = this.#block.ref;
    return new VivaceError('undecodable', `cannot read block ${id} of tenant ${tenant}: ${why}`);
  }

  /** Reads what was fetched, and counts it. */
  take(read: ReadBytes, { offset, length }: ByteRange, into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    this.bytesRead += length;
    return read(offset, length, into);
  }

  parseFilter(index: number, bytes: Uint8Array): BloomFilter {
    if (this.#checks !== undefined && crc32(bytes) !== this.#checks.bloom(index))
      throw this.damaged(`the checksum of the bloom filter of column ${this.chunk(index).name} differs`);
    return parseBloomFilter(bytes);
  }
}
