/** `meta.json` of a block: Tempo's fields (spec/storage.md §2.1) and, under `vivace`, what only we need. */

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
  };
}

export interface MetaOptions {
  id: string;
  tenant: string;
  compactionLevel: number;
  pageRows: number;
  /** What `vivace` says besides what the facts say. */
  more: Omit<BlockMeta['vivace'], 'spans' | 'pageRows' | 'tracesBytes'>;
}

/** The meta of a block that was written. */
export function metaOf(facts: BlockFacts, { id, tenant, compactionLevel, pageRows, more }: MetaOptions): BlockMeta {
  return {
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
    vivace: { spans: facts.spans, pageRows, tracesBytes: facts.tracesBytes, ...more },
  };
}

/** How far each log is in this block or in earlier ones. */
export function logsOf({ vivace: { log, logs = [] } }: BlockMeta): { instance: string; sequence: number }[] {
  return log === undefined ? logs : [log, ...logs];
}

export const BLOCK_FORMAT = 'vivace1';

/** The meta of a JSON text; undefined when it is not that of a block of ours. */
export function parseMeta(text: string): BlockMeta | undefined {
  try {
    const checked = checkedMeta(JSON.parse(text));
    return typeof checked === 'string' ? undefined : checked;
  } catch {
    return undefined;
  }
}

/** `foreign`: not a block of ours; `incomplete`: what only we need is missing. */
export function checkedMeta(value: unknown): BlockMeta | 'foreign' | 'incomplete' {
  const meta = value as BlockMeta;
  if (meta?.format !== BLOCK_FORMAT || typeof meta.blockID !== 'string') return 'foreign';
  return typeof meta.vivace?.pageRows === 'number' ? meta : 'incomplete';
}

/** Seconds since 1970 as meta.json writes them. */
export function rfc3339Seconds(seconds: number): string {
  return `${new Date(Math.min(Math.max(seconds, 0), 8.64e12) * 1000).toISOString().slice(0, 19)}Z`;
}
