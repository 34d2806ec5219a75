/**
 * A block that is open for reading: its file and its footer, which its row groups share. Each row group is a segment of its own,
 * since no trace is in two of them.
 */
import { crc32 } from 'node:zlib';
import { checksPlaces } from '../parquet/checks.ts';
import { parseFooter } from '../parquet/footer.ts';
import { ByteCache } from './cache.ts';
import type { BlockRef } from './catalog.ts';
import type { DecodeScratch } from './page-values.ts';
import { RowGroup } from './row-group.ts';
import type { RowGroupBlock } from './row-group-pages.ts';
import type { TraceFilter } from './trace-filters.ts';
import { placesOf } from './row-group-places.ts';
import { VivaceError } from '../runtime/errors.ts';
import { checkVersion, COLUMNS_KEY, type ColumnUse } from './schema.ts';
import { type BlockSource, openSource, type ReadBytes, type RemoteSource } from './source.ts';

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

export function createBlockCaches(bytesMax: number): BlockCaches {
  return { columns: new ByteCache(bytesMax), scratches: [], blocks: new Map(), blocksMax: 256 };
}

/**
 * The block, opened if it is not open; to be given back with `release`. Rejects with VivaceError 'not-found' when
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
function tailBytes({ size, footerSize }: BlockRef['meta']): number {
  return Math.min(size, 2 * footerSize + 64 * 1024);
}

export class OpenBlock {
  readonly ref: BlockRef;
  /** In the order of trace ids. */
  readonly rowGroups: readonly RowGroup[];
  /** What its columns are, from the one behind the fixed columns on. */
  readonly uses: readonly ColumnUse[];
  readonly #source: BlockSource;
  #users = 0;
  #closing = false;

  /** Opens the block apart from those of the caches; the caller closes it. */
  static async open(ref: BlockRef, caches: BlockCaches): Promise<OpenBlock> {
    const source = openSource(ref, caches.remote);
    try {
      const { size, footerSize } = ref.meta;
      const tailAt = size - tailBytes(ref.meta);
      const tail = await source.fetch([{ offset: tailAt, length: size - tailAt }]);
      checkFooter(ref, tail);
      const metadata = parseFooter(tail(size - 8 - footerSize, footerSize));
      checkVersion(`block ${ref.id} of tenant ${ref.tenant}`, metadata.keyValue);
      const uses: ColumnUse[] = JSON.parse(metadata.keyValue.get(COLUMNS_KEY) ?? '[]');
      const checks = checksPlaces(metadata);
      const block = { ref, source, caches, uses, pageRows: checks?.pageRows ?? 0 };
      const groups = placesOf(ref, metadata).map((place, number, { length }) => {
        const name = length === 1 ? ref.id : `${ref.id}/${number}`;
        const of = { ...place, checks: checks?.places[number] };
        return new RowGroup(block, name, metadata.rowGroups[number], of, tailAt, tail);
      });
      groups[0].countRead(footerSize);
      return new OpenBlock(block, groups);
    } catch (error) {
      source.close();
      throw error;
    }
  }

  private constructor({ ref, source, uses }: RowGroupBlock, rowGroups: RowGroup[]) {
    this.ref = ref;
    this.uses = uses;
    this.#source = source;
    this.rowGroups = rowGroups;
  }

  /** The filters of trace ids, and between which ids each of them speaks; undefined when a row group has none. */
  async traceFilters(): Promise<TraceFilter[] | undefined> {
    const filters: TraceFilter[] = [];
    for (const group of this.rowGroups) {
      const bloom = await group.traceFilter();
      const range = group.traceRange();
      if (bloom === undefined || range === undefined) return undefined;
      // Copies: what they are cut out of need not stay.
      filters.push({ first: range.first.slice(), last: range.last.slice(), bloom });
    }
    return filters;
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

  /** Closes the block, as soon as nobody reads it. */
  close(): void {
    this.#closing = true;
    if (this.#users === 0) this.#source.close();
  }
}

/** The footer must be the one that the meta tells of. */
function checkFooter({ id, tenant, meta: { size, footerSize, vivace } }: BlockRef, tail: ReadBytes): void {
  if (vivace.footerCrc === undefined || crc32(tail(size - 8 - footerSize, footerSize + 8)) === vivace.footerCrc) return;
  throw new VivaceError(
    'undecodable',
    `cannot read block ${id} of tenant ${tenant}: the checksum of its footer differs`,
  );
}
