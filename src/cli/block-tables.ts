/** Blocks and their columns as tables. */
import type { BlockRef } from '../block/catalog.ts';
import type { ChunkMetadata, FileMetadata } from '../parquet/footer.ts';
import type { Encoding } from '../parquet/format.ts';
import { pairLines, terminalTable } from './table.ts';
import type { Terminal } from './terminal.ts';
import { clean } from './text.ts';
import { bytesText, counted, durationText, numberText, secondText } from './units.ts';

type Look = Pick<Terminal, 'tableWidth' | 'paint' | 'glyphs'>;

/** Tempo's columns by its names, and behind them what a block of ours knows besides. Newest first. */
export function blocksLines(blocks: readonly BlockRef[], windowSeconds: number, nowMs: number, look: Look): string[] {
  const rows = blocks.map(({ id, meta, startSeconds, endSeconds }) => [
    id,
    String(meta.compactionLevel),
    String(meta.totalObjects),
    bytesText(meta.size),
    meta.format,
    secondText(Math.floor(endSeconds / windowSeconds) * windowSeconds),
    meta.startTime,
    meta.endTime,
    durationText((endSeconds - startSeconds) * 1e9),
    durationText(Math.max(0, nowMs / 1000 - endSeconds) * 1e9),
    String(meta.vivace.spans),
    numberText(Math.round((10 * meta.size) / Math.max(1, meta.vivace.spans)) / 10),
  ]);
  const right = { align: 'right' as const };
  const columns = [
    { title: 'ID' },
    { title: 'Lvl', ...right },
    { title: 'Objects', ...right },
    { title: 'Size', ...right },
    { title: 'Vers', dropRank: 4 },
    { title: 'Window', dropRank: 5 },
    { title: 'Start', dropRank: 1 },
    { title: 'End' },
    { title: 'Duration', ...right, dropRank: 2 },
    { title: 'Age', ...right },
    { title: 'Spans', ...right },
    { title: 'B/span', ...right, dropRank: 3 },
  ];
  return terminalTable(columns, rows, look);
}

export function blocksSummary(blocks: readonly BlockRef[]): string {
  const sum = (of: (block: BlockRef) => number): number => blocks.reduce((total, block) => total + of(block), 0);
  const spans = counted(
    sum(({ meta }) => meta.vivace.spans),
    'span',
  );
  const traces = counted(
    sum(({ meta }) => meta.totalObjects),
    'trace',
  );
  return `${counted(blocks.length, 'block')}, ${traces}, ${spans}, ${bytesText(sum(({ meta }) => meta.size))}`;
}

/** Blocks, sizes and ages by compaction level. */
export function compactionLines(blocks: readonly BlockRef[], nowMs: number, look: Look): string[] {
  const levels = new Map<number, BlockRef[]>();
  for (const block of blocks) {
    const level = block.meta.compactionLevel;
    levels.set(level, [...(levels.get(level) ?? []), block]);
  }
  const rows = [...levels]
    .sort(([a], [b]) => a - b)
    .map(([level, of]) => {
      const bytes = of.map(({ meta }) => meta.size);
      const total = bytes.reduce((sum, each) => sum + each, 0);
      const age = (seconds: number): string => durationText(Math.max(0, nowMs / 1000 - seconds) * 1e9);
      return [
        String(level),
        String(of.length),
        bytesText(total),
        bytesText(Math.min(...bytes)),
        bytesText(Math.round(total / of.length)),
        bytesText(Math.max(...bytes)),
        String(of.reduce((sum, { meta }) => sum + meta.totalObjects, 0)),
        age(Math.min(...of.map(({ startSeconds }) => startSeconds))),
        age(Math.max(...of.map(({ endSeconds }) => endSeconds))),
      ];
    });
  const titles = ['Level', 'Blocks', 'Total', 'Smallest', 'Average', 'Largest', 'Objects', 'Oldest', 'Newest'];
  return terminalTable(
    titles.map((title) => ({ title, align: 'right' as const })),
    rows,
    look,
  );
}

export function tenantsLines(
  tenants: readonly { tenant: string; blocks: readonly BlockRef[] }[],
  look: Look,
): string[] {
  const rows = tenants.map(({ tenant, blocks }) => [
    clean(tenant),
    String(blocks.length),
    String(blocks.reduce((sum, { meta }) => sum + meta.totalObjects, 0)),
    String(blocks.reduce((sum, { meta }) => sum + meta.vivace.spans, 0)),
    bytesText(blocks.reduce((sum, { meta }) => sum + meta.size, 0)),
  ]);
  const right = { align: 'right' as const };
  const titles = ['Blocks', 'Traces', 'Spans', 'Size'].map((title) => ({ title, ...right }));
  return terminalTable([{ title: 'Tenant' }, ...titles], rows, look);
}

export function blockLines({ id, tenant, directory, meta, startSeconds, endSeconds }: BlockRef, look: Look): string[] {
  const pairs: [string, string][] = [
    ['ID', id],
    ['Tenant', clean(tenant)],
    ['Folder', directory ?? '(in the bucket)'],
    ['Version', meta.format],
    ['Level', String(meta.compactionLevel)],
    ['Start', meta.startTime],
    ['End', `${meta.endTime}, ${durationText((endSeconds - startSeconds) * 1e9)} later`],
    ['Traces', String(meta.totalObjects)],
    ['Spans', String(meta.vivace.spans)],
    ['Size', `${bytesText(meta.size)}, ${numberText(meta.size / Math.max(1, meta.vivace.spans))} bytes a span`],
    ['List of traces', bytesText(meta.vivace.tracesBytes)],
    ['Footer', bytesText(meta.footerSize)],
    ['Row groups', String(meta.totalRecords)],
    ['Rows a page', String(meta.vivace.pageRows)],
    ['Bloom shards', String(meta.bloomShards)],
    ...(meta.vivace.log === undefined
      ? []
      : ([['From log', `${meta.vivace.log.instance} up to record ${meta.vivace.log.sequence}`]] as [string, string][])),
  ];
  return pairLines(pairs, (text) => look.paint.style('dim', text));
}

export interface ColumnSize {
  name: string;
  type: string;
  encoding: string;
  codec: string;
  values: number;
  nulls: number | undefined;
  bytes: number;
  uncompressedBytes: number;
}

/** The columns of a file, all row groups together, in the file's order. */
export function columnSizes(metadata: FileMetadata): ColumnSize[] {
  return metadata.rowGroups[0].columns.map((first, index) => {
    const chunks = metadata.rowGroups.map((group) => group.columns[index]);
    const sum = (of: (chunk: ChunkMetadata) => number): number => chunks.reduce((total, chunk) => total + of(chunk), 0);
    const nulls = chunks.map((chunk) => chunk.statistics?.nullCount);
    const encodings = new Set(chunks.flatMap((chunk) => chunk.encodings));
    return {
      name: first.path.join('.').replace(/\.list\.element$/, '[]'),
      type: first.type === 'fixed' ? `fixed(${first.width})` : first.type,
      encoding: encodingText(encodings),
      codec: first.codec,
      values: sum((chunk) => chunk.numValues),
      nulls: nulls.includes(undefined) ? undefined : nulls.reduce((total: number, each) => total + each!, 0),
      bytes: sum((chunk) => chunk.compressedBytes),
      uncompressedBytes: sum((chunk) => chunk.uncompressedBytes),
    };
  });
}

/** How values are written. Levels are coded by run length everywhere, and a dictionary's entries are plain. */
function encodingText(encodings: ReadonlySet<Encoding>): string {
  if (encodings.has('RLE_DICTIONARY') || encodings.has('PLAIN_DICTIONARY')) return 'dictionary';
  const others = [...encodings].filter((each) => each !== 'RLE' && each !== 'BIT_PACKED');
  return (others.length === 0 ? [...encodings] : others)
    .map((each) => each.toLowerCase().replaceAll('_', ' '))
    .join(', ');
}

export function columnLines(columns: readonly ColumnSize[], look: Look): string[] {
  const total = columns.reduce((sum, { bytes }) => sum + bytes, 0);
  const rows = columns.map((column) => [
    clean(column.name),
    column.type,
    column.encoding,
    column.codec,
    String(column.values - (column.nulls ?? 0)),
    bytesText(column.bytes),
    `${((100 * column.bytes) / Math.max(1, total)).toFixed(1)}%`,
    `${(column.uncompressedBytes / Math.max(1, column.bytes)).toFixed(1)}${look.glyphs.times}`,
  ]);
  const right = { align: 'right' as const };
  const columnsOfTable = [
    { title: 'Column', shrinkTo: 20 },
    { title: 'Type' },
    { title: 'Encoding', dropRank: 1 },
    { title: 'Codec', dropRank: 2 },
    { title: 'Values', ...right },
    { title: 'Size', ...right },
    { title: 'Share', ...right },
    { title: 'Packed', ...right, dropRank: 3 },
  ];
  return terminalTable(columnsOfTable, rows, look);
}
