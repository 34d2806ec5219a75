/**
 * Keys and flags by other names: those of the runbooks that Tempo never had, Tempo's flat overrides of old, and flags
 * that are not spelt like their key.
 */
import { settings } from './schema.ts';
import type { Setting } from './setting.ts';

const flatOverrides: Record<string, string> = {
  ...prefixed('ingestion_', 'ingestion', [
    'rate_strategy',
    'rate_limit_bytes',
    'burst_size_bytes',
    'tenant_shard_size',
    'max_attribute_bytes',
    'artificial_delay',
  ]),
  max_traces_per_user: 'ingestion.max_traces_per_user',
  max_global_traces_per_user: 'ingestion.max_global_traces_per_user',
  max_bytes_per_trace: 'global.max_bytes_per_trace',
  ...prefixed('', 'read', [
    'max_bytes_per_tag_values_query',
    'max_blocks_per_tag_values_query',
    'max_search_duration',
    'max_metrics_duration',
    'unsafe_query_hints',
  ]),
  ...prefixed('', 'compaction', ['block_retention', 'compaction_window', 'compaction_disabled']),
  ...prefixed('metrics_generator_', 'metrics_generator', [
    'ring_size',
    'processors',
    'max_active_series',
    'collection_interval',
    'disable_collection',
    'generate_native_histograms',
    'native_histogram_bucket_factor',
    'native_histogram_max_bucket_number',
    'native_histogram_min_reset_duration',
    'trace_id_label_name',
    'remote_write_headers',
    'ingestion_time_range_slack',
  ]),
  ...prefixed('metrics_generator_forwarder_', 'metrics_generator.forwarder', ['queue_size', 'workers']),
  ...flatProcessors(['service_graphs', 'span_metrics', 'local_blocks', 'host_info']),
  forwarders: 'forwarders',
  'cost_attribution.max_cardinality': 'cost_attribution.max_cardinality',
  'cost_attribution.dimensions': 'cost_attribution.dimensions',
  parquet_dedicated_columns: 'storage.parquet_dedicated_columns',
};

const keys: Record<string, string> = {
  'storage.trace_by_id.backend': 'storage.trace.backend',
  'storage.wal.path': 'storage.trace.wal.path',
  'storage.s3.bucket': 'storage.trace.s3.bucket',
  'storage.s3.endpoint': 'storage.trace.s3.endpoint',
  'storage.s3.region': 'storage.trace.s3.region',
  'storage.s3.prefix': 'storage.trace.s3.prefix',
  'storage.s3.access_key_id': 'storage.trace.s3.access_key',
  'storage.s3.access_key': 'storage.trace.s3.access_key',
  'storage.s3.secret_access_key': 'storage.trace.s3.secret_key',
  'storage.s3.secret_key': 'storage.trace.s3.secret_key',
  'storage.s3.insecure': 'storage.trace.s3.insecure',
  ...Object.fromEntries(
    Object.entries(flatOverrides).map(([from, to]) => [`overrides.${from}`, `overrides.defaults.${to}`]),
  ),
};

/** Old key to the one that took its place, and how its value is read. */
export const movedKeys: ReadonlyMap<string, { to: string; setting: Setting }> = new Map(
  Object.entries(keys).map(([from, to]) => {
    const setting = settings.get(to);
    if (setting === undefined) throw new Error(`moved key ${from} names ${to}, which is no setting`);
    return [from, { to, setting }];
  }),
);

/** Keys of runbooks that Tempo does not have and that have no meaning here either. */
export const foreignKeys = ['query_frontend.trace.pool_max_idle_streams'];

/** Flags that are not their key with dashes. */
export const movedFlags: ReadonlyMap<string, string> = new Map([
  ['log.level', 'server.log_level'],
  ['log.format', 'server.log_format'],
  ['auth.enabled', 'auth_enabled'],
  ['multitenancy.enabled', 'multitenancy_enabled'],
  ['memberlist.host-port', 'memberlist.join_members'],
  ['ingester.max-traces-per-user', 'overrides.defaults.ingestion.max_traces_per_user'],
  ['ingester.max-bytes-per-trace', 'overrides.defaults.global.max_bytes_per_trace'],
  ['distributor.rate-limit-strategy', 'overrides.defaults.ingestion.rate_strategy'],
  ['distributor.ingestion-rate-limit-bytes', 'overrides.defaults.ingestion.rate_limit_bytes'],
  ['distributor.ingestion-burst-size-bytes', 'overrides.defaults.ingestion.burst_size_bytes'],
  ['distributor.log-received-traces', 'distributor.log_received_spans.enabled'],
  ['querier.frontend-address', 'querier.frontend_worker.frontend_address'],
  ['live-store.instance-availability-zone', 'live_store.ring.instance_zone'],
  ['generator.instance-id', 'metrics_generator.instance_id'],
  ['generatorstore', 'metrics_generator.ring.kvstore.store'],
  ['live-storestore', 'live_store.ring.kvstore.store'],
  ['live-storeprefix', 'live_store.ring.kvstore.prefix'],
  ['backend-schedulerbackend-scheduler.local-work-path', 'backend_scheduler.local_work_path'],
  ['compaction.block-retention', 'compactor.compaction.block_retention'],
  ['compaction.compaction.block-retention', 'compactor.compaction.block_retention'],
  ['compactor.compaction.compaction.block-retention', 'compactor.compaction.block_retention'],
  ['config.per-user-override-config', 'overrides.per_tenant_override_config'],
  ['config.per-user-override-period', 'overrides.per_tenant_override_period'],
  ['config.enable-legacy-overrides', 'overrides.enable_legacy_overrides'],
  ['reporting.enabled', 'usage_report.reporting_enabled'],
]);

/** Keys of Tempo 2.9 that Tempo 3.0 has elsewhere: the new key's value wins where both are given at the same level. */
export const fedKeys: readonly (readonly [from: string, to: string])[] = [
  ['auth_enabled', 'multitenancy_enabled'],
  ['ingester.trace_idle_period', 'live_store.max_trace_idle'],
  ['ingester.trace_live_period', 'live_store.max_trace_live'],
  ['ingester.max_block_duration', 'live_store.max_block_duration'],
  ['ingester.max_block_bytes', 'live_store.max_block_bytes'],
  ['ingester.complete_block_timeout', 'live_store.complete_block_timeout'],
  ['ingester.concurrent_flushes', 'live_store.complete_block_concurrency'],
  ['ingester.flush_check_period', 'live_store.flush_check_period'],
  ['ingester.flush_op_timeout', 'live_store.flush_op_timeout'],
  ...fedSection('compactor.compaction', 'backend_worker.compaction'),
  ...fedSection('compactor.compaction', 'backend_scheduler.provider.compaction.compaction'),
  ...fedSection('ingester_client', 'live_store_client'),
];

/** Whole sections that only Tempo 2.9 has. */
export const oldSections = ['ingester', 'ingester_client', 'compactor'];

function fedSection(from: string, to: string): [string, string][] {
  return [...settings.keys()]
    .filter((path) => path.startsWith(`${from}.`))
    .map((path) => [path, to + path.slice(from.length)]);
}

function prefixed(prefix: string, section: string, names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [prefix + name, `${section}.${name}`]));
}

function flatProcessors(names: string[]): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const name of names) {
    const section = `metrics_generator.processor.${name}.`;
    for (const path of settings.keys()) {
      const under = `overrides.defaults.${section}`;
      if (!path.startsWith(under)) continue;
      const key = path.slice(under.length);
      flat[`metrics_generator_processor_${name}_${key}`] = section + key;
    }
  }
  return flat;
}
