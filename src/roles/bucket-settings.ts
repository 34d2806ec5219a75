/** What the bucket thread is told of the configuration. */
import type { Configuration } from '../config/load.ts';
import type { CacheSettings } from '../store/remote-cache.ts';
import type { BucketSettings } from './bucket-messages.ts';

const LEASE_MS_MIN = 1000;
/** Each holds up to three parts in memory. */
const UPLOADS_AT_ONCE = 2;

/** Those who only ask never write indexes: many of them come and go. */
const BUILDERS = new Set([
  'all',
  'scalable-single-binary',
  'ingester',
  'live-store',
  'block-builder',
  'compactor',
  'backend-worker',
]);

export function bucketSettings(
  config: Configuration,
  own: Pick<
    BucketSettings,
    'instance' | 'walDirectory' | 'blocksDirectory' | 'retention' | 'rules' | 'work' | 'compaction'
  >,
): BucketSettings {
  const { trace } = config.storage;
  const { backend, s3, gcs, azure } = trace;
  const chosen = backend === 'gcs' ? gcs : backend === 'azure' ? azure : s3;
  return {
    ...own,
    storage: { backend, s3, gcs, azure },
    silentMs: config.vivace.bucketTimeoutMs,
    hedge: { afterMs: chosen.hedgeRequestsAtMs, upTo: chosen.hedgeRequestsUpTo },
    keepMs: config.live.completeBlockTimeoutMs,
    checkMs: config.live.flushCheckMs,
    uploadsAtOnce: UPLOADS_AT_ONCE,
    deletedKeptMs: config.vivace.deletedTracesKeptMs,
    rulesCycleMs: Math.max(100, config.backendWorker.compaction.compactionCycleMs),
    leaseMs: Math.max(LEASE_MS_MIN, config.vivace.compactionLeaseMs),
    cacheBytes: config.vivace.bucketCacheBytes,
    filterBytes: config.vivace.bucketFilterBytes,
    caches: cachesOf(config),
    poll: {
      periodMs: trace.blocklistPollMs,
      concurrency: trace.blocklistPollConcurrency,
      tenantConcurrency: trace.blocklistPollTenantConcurrency,
      // Azure cannot begin a list in the middle.
      listConcurrency: 'listBlocksConcurrency' in chosen ? chosen.listBlocksConcurrency : 1,
      jitterMs: trace.blocklistPollJitterMs,
      builder: BUILDERS.has(config.target) && trace.blocklistPollTenantIndexBuilders > 0,
      staleIndexMs: trace.blocklistPollStaleTenantIndexMs,
      fallback: trace.blocklistPollFallback,
      errorsTolerated: trace.blocklistPollTolerateConsecutiveErrors,
      tenantsTolerated: trace.blocklistPollTolerateTenantFailures,
    },
  };
}

/** Those of the section `cache`; without any, what the old keys of `storage.trace` say. */
function cachesOf({ cache, storage: { trace } }: Configuration): CacheSettings[] {
  const footer = trace.search.cacheControl.footer ? ['parquet-footer'] : [];
  const isOld = cache.caches.length === 0;
  const background = isOld ? trace.backgroundCache : cache.background;
  const old = {
    roles: ['bloom', ...footer],
    memcached: trace.cache === 'memcached' ? trace.memcached : undefined,
    redis: trace.cache === 'redis' ? trace.redis : undefined,
  };
  return (isOld ? [old] : cache.caches)
    .map(({ roles, memcached, redis }) => ({
      roles,
      memcached: memcached !== undefined && (memcached.host || memcached.addresses) !== '' ? memcached : undefined,
      redis: redis !== undefined && redis.endpoint !== '' ? redis : undefined,
      writersMax: Math.max(1, background.writebackGoroutines),
      waitingMax: background.writebackBuffer,
    }))
    .filter(({ memcached, redis }) => (memcached === undefined) !== (redis === undefined));
}
