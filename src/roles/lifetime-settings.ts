/** What the threads that delete and merge blocks are told of the configuration and of the limits of tenants. */
import type { ByTenant } from '../compact/retention.ts';
import type { Configuration } from '../config/load.ts';
import type { TenantLimits } from '../config/overrides-file.ts';
import type { Tenants } from '../limits/tenants.ts';
import type { CompactionSettings } from './compaction.ts';
import { tenantsWithOwnLimits } from './tenant-limits.ts';

export interface RetentionSettings {
  retentions: ByTenant;
  compactedMs: number;
  /** Time until the first look and between two. */
  firstMs: number;
  cycleMs: number;
  /** Blocks of a bucket worked on at a time. */
  concurrency: number;
  /** Of the local disk; 0: not looked at. */
  diskPercentMax: number;
}

const TARGETS = new Set(['all', 'scalable-single-binary', 'compactor', 'backend-scheduler', 'backend-worker']);
/** A disk fills faster than blocks grow old. */
const DISK_CYCLE_MS = 10_000;
/** What orders the rows of a merge is in memory as a whole: these bounds keep it below 96 MiB. */
const MERGED_SPANS_MAX = 350_000;
const MERGED_BYTES_MAX = 32 * 1024 * 1024;
/** What a merge takes for each of its spans (87 MiB for 350,000). */
const MERGED_SPAN_BYTES = 270;
/** Smaller merges would not take two blocks as a busy process cuts them. */
const MERGED_SPANS_MIN = 100_000;
/** What a process in full swing takes besides its live columns. */
const OTHER_BYTES = 192 * 1024 * 1024;
const FIRST_MS_MAX = 30_000;

/** undefined: this process deletes nothing. */
export function retentionSettings(config: Configuration, tenants: Tenants): RetentionSettings | undefined {
  if (config.compactor.disabled || !TARGETS.has(config.target)) return undefined;
  const { compaction } = config.backendWorker;
  const { local, blocklistPollMs } = config.storage.trace;
  const intervalMs = config.backendScheduler.provider.retention.intervalMs;
  const cycleMs = Math.max(
    100,
    Math.min(blocklistPollMs, intervalMs, local.maxDiskPercent > 0 ? DISK_CYCLE_MS : intervalMs),
  );
  return {
    retentions: retentionsOf(config, tenants),
    compactedMs: compaction.compactedBlockRetentionMs,
    firstMs: Math.min(cycleMs, FIRST_MS_MAX),
    cycleMs,
    concurrency: compaction.retentionConcurrency,
    diskPercentMax: local.maxDiskPercent,
  };
}

/**
 * Spans that may be merged at a time by a process that may take `memoryBytes` in all: with receiving in full swing a merge must
 * not be what a container is killed for. 0: none, in a container of 256 MiB with the default live columns, for example.
 */
export function mergedSpansMax(memoryBytes: number, liveBytes: number): number {
  const spans = Math.floor((memoryBytes - OTHER_BYTES - liveBytes) / MERGED_SPAN_BYTES);
  return spans < MERGED_SPANS_MIN ? 0 : Math.min(spans, MERGED_SPANS_MAX);
}

/** undefined: this process merges no blocks. `memoryBytes`: what it may take in all. */
export function compactionSettings(
  config: Configuration,
  tenants: Tenants,
  memoryBytes: number,
): CompactionSettings | undefined {
  if (config.compactor.disabled || !TARGETS.has(config.target)) return undefined;
  const spansMax = mergedSpansMax(memoryBytes, config.vivace.liveBytes);
  if (spansMax === 0) return undefined;
  const { compaction } = config.backendWorker;
  const jobs = config.backendScheduler.provider.compaction;
  return {
    windows: windowsOf(config, tenants),
    cycleMs: Math.max(100, compaction.compactionCycleMs),
    tenantMs: compaction.maxTimePerTenantMs,
    choose: {
      inputsMin: jobs.minInputBlocks,
      inputsMax: jobs.maxInputBlocks,
      levelMax: jobs.maxCompactionLevel,
      tracesMax: compaction.maxCompactionObjects,
      bytesMax: Math.min(compaction.maxBlockBytes, MERGED_BYTES_MAX),
      spansMax,
    },
  };
}

/** The window of time whose blocks are merged, by tenant; 0: none. */
export function windowsOf(config: Configuration, tenants: Tenants): ByTenant {
  const of = ({ compaction }: TenantLimits): number =>
    compaction.compactionDisabled
      ? 0
      : compaction.compactionWindowMs || config.backendWorker.compaction.compactionWindowMs;
  const own = tenantsWithOwnLimits(tenants).map((tenant) => [tenant, of(tenants.of(tenant))] as const);
  return { base: of(tenants.base), own: new Map(own) };
}

/** How long the blocks of each tenant are kept. */
export function retentionsOf(config: Configuration, tenants: Tenants): ByTenant {
  const of = ({ compaction }: TenantLimits): number => {
    if (compaction.compactionDisabled) return Number.POSITIVE_INFINITY;
    const retentionMs = compaction.blockRetentionMs || config.backendWorker.compaction.blockRetentionMs;
    return retentionMs > 0 ? retentionMs : Number.POSITIVE_INFINITY;
  };
  const own = tenantsWithOwnLimits(tenants).map((tenant) => [tenant, of(tenants.of(tenant))] as const);
  return { base: of(tenants.base), own: new Map(own) };
}
