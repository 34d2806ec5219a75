/** What is wrong with a configuration as a whole, and what is likely not meant. */
import { VivaceError } from '../runtime/errors.ts';
import { formatGoDuration } from './duration.ts';
import type { Configuration } from './load.ts';
import { nearest } from './suggest.ts';

/** Every target of Tempo 2.9 and 3.0. */
export const targets: readonly string[] = [
  'all',
  'scalable-single-binary',
  'distributor',
  'ingester',
  'live-store',
  'block-builder',
  'metrics-generator',
  'metrics-generator-no-local-blocks',
  'querier',
  'query-frontend',
  'compactor',
  'backend-scheduler',
  'backend-worker',
  'overrides-api',
  'usage-report',
];

/** One large request must fit. */
const liveBytesMin = 1_048_576;
const segmentBytesMin = 65_536;

const cacheRoles = [
  'bloom',
  'trace-id-index',
  'parquet-footer',
  'parquet-column-idx',
  'parquet-offset-idx',
  'parquet-page',
  'frontend-search',
];

const backends = ['local', 's3', 'gcs', 'azure'];

/** Throws `invalid` when no process can start with it. `isSaid` tells whether a dotted path was given a value. */
export function checkConfiguration(config: Configuration, isSaid: (path: string) => boolean): void {
  const { target } = config;
  if (!targets.includes(target)) {
    throw new VivaceError('invalid', `unrecognised module name: ${target}${hint(target, targets)}`);
  }
  const { backend } = config.storage.trace;
  if (!backends.includes(backend))
    throw new VivaceError('invalid', `unknown backend ${backend}${hint(backend, backends)}`);
  checkBounds(config);
  if (backend === 's3') checkS3(config, isSaid);
  if (backend === 'gcs' || backend === 'azure') checkNamed(config, backend);
  if (config.ingester.ack === 'storage' && backend === 'local')
    throw new VivaceError(
      'invalid',
      'cannot use ingester.ack: storage: storage.trace.backend is local, so there is no bucket; set it to s3, gcs or azure, or ack to local',
    );
  if (target === 'querier' && config.querier.frontendWorker.frontendAddress === '') {
    throw new VivaceError(
      'invalid',
      'frontend worker address not specified: set querier.frontend_worker.frontend_address',
    );
  }
}

/** Numbers that no part of the program could work with. */
function checkBounds(config: Configuration): void {
  const { live, storage, vivace } = config;
  const { bloomFilterFalsePositive } = storage.trace.block;
  const wrong = (
    [
      ['live_store.flush_check_period', live.flushCheckMs > 0, 'must be longer than 0'],
      ['live_store.max_block_duration', live.maxBlockDurationMs > 0, 'must be longer than 0'],
      [
        'storage.trace.local.max_disk_percent',
        storage.trace.local.maxDiskPercent >= 0 && storage.trace.local.maxDiskPercent <= 100,
        'must be between 0 and 100',
      ],
      ['live_store.max_block_bytes', live.maxBlockBytes > 0, 'must be greater than 0'],
      ['live_store.max_trace_idle', live.traceIdleMs >= 0, 'must not be negative'],
      ['live_store.max_trace_live', live.traceLiveMs >= 0, 'must not be negative'],
      ['storage.trace.blocklist_poll', storage.trace.blocklistPollMs > 0, 'must be longer than 0'],
      [
        'storage.trace.block.bloom_filter_false_positive',
        bloomFilterFalsePositive > 0 && bloomFilterFalsePositive < 1,
        'must lie between 0 and 1',
      ],
      ['vivace.live_bytes', vivace.liveBytes >= liveBytesMin, `must be at least ${liveBytesMin}`],
      [
        'vivace.log_bytes',
        vivace.logBytes >= 2 * vivace.logSegmentBytes,
        'must be at least twice vivace.log_segment_bytes',
      ],
      ['vivace.log_segment_bytes', vivace.logSegmentBytes >= segmentBytesMin, `must be at least ${segmentBytesMin}`],
    ] as const
  ).find(([, holds]) => !holds);
  if (wrong) throw new VivaceError('invalid', `invalid configuration: ${wrong[0]} ${wrong[2]}`);
}

function hint(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === undefined ? ` (one of ${known.join(', ')})` : ` (did you mean ${near}?)`;
}

/** A half-set account would otherwise end in an answer of the store that names no setting. */
function checkS3(config: Configuration, isSaid: (path: string) => boolean): void {
  const { s3 } = config.storage.trace;
  const missing = [
    ['bucket', s3.bucket, 'TEMPO_STORAGE_S3_BUCKET'],
    ['endpoint', s3.endpoint, 'TEMPO_STORAGE_S3_ENDPOINT'],
  ].find(([, value]) => value === '');
  if (missing) {
    throw new VivaceError(
      'invalid',
      `cannot use the s3 backend: storage.trace.s3.${missing[0]} is empty; set it, or ${missing[2]} when there is no file`,
    );
  }
  if (isSaid('storage.trace.s3.access_key') !== isSaid('storage.trace.s3.secret_key')) {
    throw new VivaceError(
      'invalid',
      'cannot use the s3 backend: set both storage.trace.s3.access_key and secret_key, or neither',
    );
  }
}

function checkNamed({ storage: { trace } }: Configuration, backend: 'gcs' | 'azure'): void {
  const [key, value] =
    backend === 'gcs' ? ['bucket_name', trace.gcs.bucketName] : ['container_name', trace.azure.containerName];
  if (value === '')
    throw new VivaceError(
      'invalid',
      `cannot use the ${backend} backend: storage.trace.${backend}.${key} is empty; set it`,
    );
}

/** Likely mistakes, one line each. */
export function configurationWarnings(config: Configuration): string[] {
  const { trace } = config.storage;
  const { blocklistPollMs } = trace;
  const { compaction } = config.backendWorker;
  const frontend = config.queryFrontend;
  const poll = `storage.trace.blocklist_poll (${formatGoDuration(blocklistPollMs)})`;
  const found: [boolean, string][] = [
    [
      config.live.completeBlockTimeoutMs < blocklistPollMs,
      `live_store.complete_block_timeout (${formatGoDuration(config.live.completeBlockTimeoutMs)}) is shorter than ${poll}: a block may be gone from its writer before others know of it`,
    ],
    [
      compaction.blockRetentionMs > 0 && compaction.blockRetentionMs < blocklistPollMs,
      `compaction.block_retention (${formatGoDuration(compaction.blockRetentionMs)}) is shorter than ${poll}: queries may read blocks that are deleted already`,
    ],
    [
      compaction.retentionConcurrency === 0,
      'compaction.retention_concurrency is 0: retention needs at least one worker',
    ],
    [trace.blocklistPollConcurrency === 0, 'storage.trace.blocklist_poll_concurrency is 0 and counts as 1'],
    [
      config.distributor.logReceivedSpans.enabled,
      'distributor.log_received_spans is enabled: every span makes a log line',
    ],
    [
      config.distributor.logDiscardedSpans.enabled,
      'distributor.log_discarded_spans is enabled: every refused span makes a log line',
    ],
    [
      trace.backend === 'local' && config.target !== 'all',
      `storage.trace.backend is local and target is ${config.target}: the processes must share one directory`,
    ],
    [frontend.mcpServer.enabled, 'query_frontend.mcp_server is enabled: traces can leave for a language model'],
    [trace.s3.nativeAwsAuthEnabled, 'storage.trace.s3.native_aws_auth_enabled is deprecated and always on'],
    [trace.cache !== '', 'storage.trace.cache is deprecated: write the top-level section cache'],
    [
      frontend.traceById.concurrentShards > frontend.traceById.queryShards,
      'query_frontend.trace_by_id.concurrent_shards is greater than query_shards: the surplus is of no use',
    ],
    [
      config.backendScheduler.work.pruneAgeMs <= 2 * blocklistPollMs,
      `backend_scheduler.work.prune_age (${formatGoDuration(config.backendScheduler.work.pruneAgeMs)}) is not longer than twice ${poll}: finished work may be done again`,
    ],
    [frontend.rf1After !== undefined, 'query_frontend.rf1_after is set and ignored'],
    [
      sharesOverridesPlace(config),
      'traces and user-configurable overrides are stored in the same place: give each its own',
    ],
  ];
  return [...found.filter(([applies]) => applies).map(([, text]) => text), ...oddCaches(config)];
}

function oddCaches({ cache, storage: { trace } }: Configuration): string[] {
  const odd: string[] = [];
  if (!['', 'memcached', 'redis'].includes(trace.cache))
    odd.push(`storage.trace.cache is ${JSON.stringify(trace.cache)}: only memcached and redis are caches`);
  const seen = new Set<string>();
  for (const [i, { roles, memcached, redis }] of cache.caches.entries()) {
    const where = `cache.caches[${i}]`;
    const isMemcached = memcached.host !== '' || memcached.addresses !== '';
    if (isMemcached === (redis.endpoint !== ''))
      odd.push(`${where} is not used: it must have either memcached, with addresses or host, or redis, with endpoint`);
    for (const role of roles) {
      if (!cacheRoles.includes(role)) odd.push(`${where}.roles: unknown role ${role}${hint(role, cacheRoles)}`);
      if (seen.has(role)) odd.push(`${where}.roles: ${role} has a cache already, which is the one that is used`);
      seen.add(role);
    }
  }
  return odd;
}

function sharesOverridesPlace(config: Configuration): boolean {
  const { enabled, client } = config.overrides.userConfigurableOverrides;
  const { trace } = config.storage;
  if (!enabled || client.backend !== trace.backend) return false;
  switch (client.backend) {
    case 'local':
      return client.local.path === trace.local.path;
    case 's3':
      return client.s3.bucket === trace.s3.bucket && client.s3.prefix === trace.s3.prefix;
    case 'gcs':
      return client.gcs.bucketName === trace.gcs.bucketName && client.gcs.prefix === trace.gcs.prefix;
    case 'azure':
      return client.azure.containerName === trace.azure.containerName && client.azure.prefix === trace.azure.prefix;
    default:
      return false;
  }
}
