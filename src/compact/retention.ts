/**
 * When a block is too old, and what a pass over blocks has done about it. A block goes in two steps, as in Tempo:
 *
 * ```
 *  meta.json ──older than block_retention──▶ meta.compacted.json ──compacted_block_retention later──▶ nothing
 *   listed                                    not listed, its files are there for those who have an old list
 * ```
 */
import type { BlockMeta } from '../block/meta.ts';

/** Milliseconds by tenant: how long blocks are kept (Infinity: for ever), or the window of time whose blocks are merged. */
export interface ByTenant {
  base: number;
  /** Of tenants that have their own. */
  own: ReadonlyMap<string, number>;
}

export interface RetentionDone {
  /** Blocks that vanished from lists, and those whose files went. */
  marked: number;
  deleted: number;
  /** Of `deleted`: those that went because the disk was full. */
  deletedForSpace: number;
  errors: string[];
  seconds: number;
}

export function nothingDone(): RetentionDone {
  return { marked: 0, deleted: 0, deletedForSpace: 0, errors: [], seconds: 0 };
}

export function ofTenant({ base, own }: ByTenant, tenant: string): number {
  return own.get(tenant) ?? base;
}

/**
 * Whether a block is older than that. Its age counts from when its last spans came, since clocks of senders may be wrong and
 * old spans may be sent on purpose; from the end of its last span where that is not known.
 */
export function isExpired(meta: BlockMeta, nowMs: number, retentionMs: number): boolean {
  return ageMs(meta, nowMs) > retentionMs;
}

export function ageMs(meta: BlockMeta, nowMs: number): number {
  return nowMs - Date.parse(meta.vivace.cut ?? meta.endTime);
}
