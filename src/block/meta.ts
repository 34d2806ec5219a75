/** `meta.json` of a block: Tempo's fields (spec/storage.md §2.1) and, under `vivace`, what only we need. */
import { crc32 } from 'node:zlib';
import type { BlockFacts } from './sink.ts';

export interface BlockMeta {
  format: string;
  blockID: string;
  tenantID: string;
  /** RFC 3339, whole seconds, UTC. */
  startTime: string;
  endTime: string;
  /** Traces. */
  totalObjects: number;
  /** Bytes of data.parquet. */
  size: number;
  compactionLevel: number;
  encoding: string;
  indexPageSize: number;
  /** Row groups. */
  totalRecords: number;
  dataEncoding: string;
  bloomShards: number;
  footerSize: number;
  vivace: {
    spans: number;
    /** Rows a page of data.parquet. */
    pageRows: number;
    /** Bytes of the file `traces`. */
    tracesBytes: number;
    /** The log whose records up to `sequence` (of this tenant) are in this block or in earlier ones. */
    log?: { instance: string; sequence: number };
    /** The same of a merged block, by log. */
    logs?: { instance: string; sequence: number }[];
    /** Blocks whose spans are in this one: they are not to be read. */
    replaces?: string[];
    /** RFC 3339: when the last of its spans were cut. */
    cut?: string;
    /** CRC-32 of the footer of data.parquet and the eight bytes behind it. */
    footerCrc?: number;
    /** Of this meta without this field. */
    metaCrc?: number;
  };
}

export interface MetaOptions {
  id: string;
  tenant: string;
  compactionLevel: number;
  pageRows: number;
  /** What `vivace` says besides what the facts say. */
  more: Omit<BlockMeta['vivace'], 'spans' | 'pageRows' | 'tracesBytes' | 'footerCrc' | 'metaCrc'>;
}

/** The meta of a block that was written. */
export function metaOf(facts: BlockFacts, { id, tenant, compactionLevel, pageRows, more }: MetaOptions): BlockMeta {
  const { spans, tracesBytes, footerCrc } = facts;
  const meta: BlockMeta = {
    format: BLOCK_FORMAT,
    blockID: id,
    tenantID: tenant,
    startTime: rfc3339Seconds(facts.startSeconds),
    endTime: rfc3339Seconds(facts.endSeconds),
    totalObjects: facts.traces,
    size: facts.dataBytes,
    compactionLevel,
    encoding: 'none',
    indexPageSize: 0,
    totalRecords: facts.rowGroups,
    dataEncoding: '',
    bloomShards: 0,
    footerSize: facts.footerBytes,
    vivace: { spans, pageRows, tracesBytes, ...more, footerCrc },
  };
  meta.vivace.metaCrc = crcOf(meta);
  return meta;
}

/** The meta of the same block under another id. */
export function metaUnder(id: string, { vivace: { metaCrc, ...vivace }, ...own }: BlockMeta): BlockMeta {
  const meta: BlockMeta = { ...own, blockID: id, vivace };
  if (metaCrc !== undefined) meta.vivace.metaCrc = crcOf(meta);
  return meta;
}

/** A record of a log. */
export interface LogPlace {
  instance: string;
  sequence: number;
}

/** How far each log is in this block or in earlier ones. */
export function logsOf({ vivace: { log, logs = [] } }: BlockMeta): LogPlace[] {
  return log === undefined ? logs : [log, ...logs];
}

export const BLOCK_FORMAT = 'vivace1';

/** The meta of a JSON text; undefined when it is not that of a block of ours. */
export function parseMeta(text: string): BlockMeta | undefined {
  const checked = readMeta(text);
  return typeof checked === 'string' ? undefined : checked;
}

/** The meta of a JSON text, or why it is none, as for `checkedMeta`. */
export function readMeta(text: string): BlockMeta | MetaProblem {
  try {
    return checkedMeta(JSON.parse(text));
  } catch {
    return 'damaged';
  }
}

/** `foreign`: a block of Tempo, or of a later version; `damaged`: what we need is missing, or the checksum differs. */
export type MetaProblem = 'foreign' | 'damaged';

export function checkedMeta(value: unknown): BlockMeta | MetaProblem {
  const meta = value as BlockMeta | null;
  if (typeof meta?.format === 'string' && FOREIGN_FORMAT.test(meta.format)) return 'foreign';
  if (typeof meta?.format !== 'string' || typeof meta.blockID !== 'string') return 'damaged';
  const { vivace } = meta;
  if (vivace?.metaCrc !== undefined && meta.format !== BLOCK_FORMAT)
    return vivace.metaCrc === crcOf(meta) ? 'foreign' : 'damaged';
  if (meta.format !== BLOCK_FORMAT || typeof vivace?.pageRows !== 'number') return 'damaged';
  // Blocks of the first versions have no checksums at all.
  if (vivace.metaCrc === undefined) return vivace.footerCrc === undefined ? meta : 'damaged';
  return vivace.metaCrc === crcOf(meta) ? meta : 'damaged';
}

/** One flipped byte makes none of these out of ours. */
const FOREIGN_FORMAT = /^(?:v2|vParquet\d*)$/;

function crcOf(meta: BlockMeta): number {
  const { metaCrc: _, ...vivace } = meta.vivace;
  return crc32(JSON.stringify({ ...meta, vivace }));
}

/** Seconds since 1970 as meta.json writes them. */
export function rfc3339Seconds(seconds: number): string {
  return `${new Date(Math.min(Math.max(seconds, 0), 8.64e12) * 1000).toISOString().slice(0, 19)}Z`;
}
