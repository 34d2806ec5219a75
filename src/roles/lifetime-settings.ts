/** What the threads that delete and merge blocks are told of the configuration and of the limits of tenants. */
import type { ByTenant } from '../compact/retention.ts';
import type { RowGroupBounds } from '../compact/row-group-plan.ts';
import type { Configuration } from '../config/load.ts';
import type { TenantLimits } from '../config/overrides-file.ts';
import type { Tenants } from '../limits/tenants.ts';
import type { CompactionSettings } from './compaction.ts';
import { type RulesByTenant, rulesOfTenant, type TenantRules, tenantRules } from './retention-rules.ts';
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
/** A row group of a merged block: it, and not the blocks, is what a merge has in memory. */
const ROW_GROUP_ROWS_MAX = 196_608;
/** Where memory is short. */
const ROW_GROUP_ROWS_MIN = 32_768;
const ROW_BYTES_MAX = 256;
/** What a merge takes: 29 MiB with row groups of 32,768 rows, 44 with 262,144, and its thread. */
const MERGED_ROW_BYTES = 72;
const MERGE_BYTES = 40 * 1024 * 1024;
/** What a process in full swing takes besides its live columns. */
const OTHER_BYTES = 192 * 1024 * 1024;
const FIRST_MS_MAX = 30_000;

/** undefined: this process deletes nothing. */
export function retentionSettings(
  config: Configuration,
  tenants: Tenants,
  rules: RulesByTenant,
): RetentionSettings | undefined {
  if (config.compactor.disabled || !TARGETS.has(config.target)) return undefined;
  const { compaction } = config.backendWorker;
  const { local, blocklistPollMs } = config.storage.trace;
  const intervalMs = config.backendScheduler.provider.retention.intervalMs;
  const cycleMs = Math.max(
    100,
    Math.min(blocklistPollMs, intervalMs, local.maxDiskPercent > 0 ? DISK_CYCLE_MS : intervalMs),
  );
  return {
    retentions: retentionsOf(config, tenants, rules),
    compactedMs: compaction.compactedBlockRetentionMs,
    firstMs: Math.min(cycleMs, FIRST_MS_MAX),
    cycleMs,
    concurrency: compaction.retentionConcurrency,
    diskPercentMax: local.maxDiskPercent,
  };
}

/** How large the row groups of merged blocks are in a process that may take `memoryBytes` in all, with receiving in full swing. */
export function rowGroupBounds(memoryBytes: number, liveBytes: number): RowGroupBounds {
  const free = memoryBytes - OTHER_BYTES - liveBytes - MERGE_BYTES;
  const fitting = Math.floor(free / MERGED_ROW_BYTES);
  const rowsMax = Math.min(Math.max(fitting, ROW_GROUP_ROWS_MIN), ROW_GROUP_ROWS_MAX);
  return { rowsMax, bytesMax: ROW_BYTES_MAX * rowsMax };
}

/** undefined: this process merges no blocks. `memoryBytes`: what it may take in all. */
export function compactionSettings(
  config: Configuration,
  tenants: Tenants,
  memoryBytes: number,
): CompactionSettings | undefined {
  if (config.compactor.disabled || !TARGETS.has(config.target)) return undefined;
  const { compaction } = config.backendWorker;
  const rowGroups = rowGroupBounds(memoryBytes, config.vivace.liveBytes);
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
      bytesMax: compaction.maxBlockBytes,
    },
    rowGroups,
    rssMax: memoryBytes - MERGE_BYTES - MERGED_ROW_BYTES * rowGroups.rowsMax,
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

/** How long the blocks of each tenant are kept: as long as a trace in them may be. */
export function retentionsOf(config: Configuration, tenants: Tenants, rules: RulesByTenant): ByTenant {
  const own = tenantsWithOwnLimits(tenants).map((tenant) => {
    const retentionMs = retentionMsOf(config, tenants.of(tenant));
    return [tenant, Math.max(retentionMs, ...(rulesOfTenant(rules, tenant)?.deadlinesMs ?? []))] as const;
  });
  const base = Math.max(retentionMsOf(config, tenants.base), ...(rules.base?.deadlinesMs ?? []));
  return { base, own: new Map(own) };
}

function retentionMsOf(config: Configuration, { compaction }: TenantLimits): number {
  if (compaction.compactionDisabled) return Number.POSITIVE_INFINITY;
  const retentionMs = compaction.blockRetentionMs || config.backendWorker.compaction.blockRetentionMs;
  return retentionMs > 0 ? retentionMs : Number.POSITIVE_INFINITY;
}

/** The rules of late-decided retention. Throws `invalid` for one that cannot be used. */
export function rulesOf(config: Configuration, tenants: Tenants): RulesByTenant {
  const of = (limits: TenantLimits): TenantRules | undefined => {
    const { retentionRules, compactionDisabled } = limits.compaction;
    const texts = retentionRules.length > 0 ? retentionRules : config.vivace.retentionRules;
    if (texts.length === 0 || compactionDisabled) return undefined;
    return tenantRules(texts, retentionMsOf(config, limits));
  };
  const own = tenantsWithOwnLimits(tenants).map((tenant) => [tenant, of(tenants.of(tenant))] as const);
  return { base: of(tenants.base), own: new Map(own) };
}
