/** What the threads that delete old blocks are told of the configuration and of the limits of tenants. */
import type { Retentions } from '../compact/retention.ts';
import type { Configuration } from '../config/load.ts';
import type { TenantLimits } from '../config/overrides-file.ts';
import type { Tenants } from '../limits/tenants.ts';
import { tenantsWithOwnLimits } from './tenant-limits.ts';

export interface RetentionSettings {
  retentions: Retentions;
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

/** How long the blocks of each tenant are kept. */
export function retentionsOf(config: Configuration, tenants: Tenants): Retentions {
  const of = ({ compaction }: TenantLimits): number => {
    if (compaction.compactionDisabled) return Number.POSITIVE_INFINITY;
    const retentionMs = compaction.blockRetentionMs || config.backendWorker.compaction.blockRetentionMs;
    return retentionMs > 0 ? retentionMs : Number.POSITIVE_INFINITY;
  };
  const own = tenantsWithOwnLimits(tenants).map((tenant) => [tenant, of(tenants.of(tenant))] as const);
  return { base: of(tenants.base), own: new Map(own) };
}
