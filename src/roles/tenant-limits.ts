/** Opens the limits of tenants: reads their file now and again, and tells metrics and log what became of it. */
import fs from 'node:fs';
import { expand } from '../config/expand.ts';
import type { Configuration } from '../config/load.ts';
import type { TenantLimits } from '../config/overrides-file.ts';
import type { AppendLimits } from '../cut/trace-limits.ts';
import { Tenants } from '../limits/tenants.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnMetrics } from '../runtime/metrics.ts';
import type { LimitTable } from './writer-messages.ts';

/** Throws `invalid` when there is a file and it cannot be used. `close` ends the reading. */
export function openTenantLimits(
  config: Configuration,
  env: Record<string, string | undefined>,
  log: Log,
  metrics: OwnMetrics,
): { tenants: Tenants; close(): void } {
  const { perTenantOverrideConfig: file, perTenantOverridePeriodMs: periodMs } = config.overrides;
  const tenants = new Tenants({
    defaults: config.defaultLimits,
    ...(file !== '' && {
      readFile() {
        const text = fs.readFileSync(file, 'utf8');
        return config.expandsEnvironment ? expand(text, (name) => env[name]) : text;
      },
    }),
    onReload(error) {
      metrics.limitsReloaded(error === undefined);
      if (error === undefined) log.log('info', 'the limits of tenants were read again', { file });
      else
        log.log('error', `cannot read the limits of tenants again, the last good ones stay in force: ${error}`, {
          file,
        });
    },
  });
  const tell = (): void => metrics.limitsKnown(numbers(config.defaultLimits), ownNumbers(tenants));
  tenants.onChange(tell);
  tell();
  metrics.limitsReloaded(true);
  const timer = file === '' ? undefined : setInterval(() => tenants.reload(), Math.max(periodMs, 100));
  timer?.unref();
  return { tenants, close: () => clearInterval(timer) };
}

/** What the writer thread needs of it. */
export function limitTable(config: Configuration, tenants: Tenants): LimitTable {
  const of = ({ ingestion, global }: TenantLimits): AppendLimits => ({
    attributeBytesMax: ingestion.maxAttributeBytes || config.distributor.maxAttributeBytes,
    traceBytesMax: global.maxBytesPerTrace,
    traceSpansMax: global.maxSpansPerTrace,
    liveTracesMax: liveTracesMax(ingestion),
    traceIdleMs: config.live.traceIdleMs,
    traceForgetMs: config.live.maxBlockDurationMs,
  });
  const own = tenantsWithOwnLimits(tenants).map((tenant) => [tenant, of(tenants.of(tenant))] as const);
  return { base: of(tenants.base), own: new Map(own) };
}

/** The lower of two limits, each of which is off at 0. */
export function liveTracesMax({
  maxTracesPerUser: own,
  maxGlobalTracesPerUser: all,
}: TenantLimits['ingestion']): number {
  return own > 0 && all > 0 ? Math.min(own, all) : Math.max(own, all);
}

/** Tenants that have limits of their own, from the file or set through the API. */
export function tenantsWithOwnLimits(tenants: Tenants): string[] {
  const own = new Set([...tenants.said.keys(), ...tenants.tenantsByApi()]);
  own.delete('*');
  return [...own];
}

/** As the metrics of Tempo name them. */
const LIMIT_NAMES: [name: string, path: string, read: (limits: TenantLimits) => number][] = [
  ['ingestion_rate_limit_bytes', 'ingestion.rate_limit_bytes', (l) => l.ingestion.rateLimitBytes],
  ['ingestion_burst_size_bytes', 'ingestion.burst_size_bytes', (l) => l.ingestion.burstSizeBytes],
  ['max_local_traces_per_user', 'ingestion.max_traces_per_user', (l) => l.ingestion.maxTracesPerUser],
  ['max_global_traces_per_user', 'ingestion.max_global_traces_per_user', (l) => l.ingestion.maxGlobalTracesPerUser],
  ['max_bytes_per_trace', 'global.max_bytes_per_trace', (l) => l.global.maxBytesPerTrace],
  ['max_bytes_per_tag_values_query', 'read.max_bytes_per_tag_values_query', (l) => l.read.maxBytesPerTagValuesQuery],
  ['max_blocks_per_tag_values_query', 'read.max_blocks_per_tag_values_query', (l) => l.read.maxBlocksPerTagValuesQuery],
  ['block_retention', 'compaction.block_retention', (l) => l.compaction.blockRetentionMs / 1000],
  [
    'metrics_generator_max_active_series',
    'metrics_generator.max_active_series',
    (l) => l.metricsGenerator.maxActiveSeries,
  ],
];

function numbers(limits: TenantLimits): Map<string, number> {
  return new Map(LIMIT_NAMES.map(([name, , read]) => [name, read(limits)]));
}

function ownNumbers(tenants: Tenants): Map<string, Map<string, number>> {
  const all = new Map<string, Map<string, number>>();
  for (const [tenant, said] of tenants.said) {
    const limits = tenant === '*' ? tenants.base : tenants.of(tenant);
    const own = LIMIT_NAMES.filter(([, path]) => said.has(path));
    all.set(tenant, new Map(own.map(([name, , read]) => [name, read(limits)])));
  }
  return all;
}
