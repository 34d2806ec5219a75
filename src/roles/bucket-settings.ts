/** What the bucket thread is told of the configuration. */
import type { Configuration } from '../config/load.ts';
import type { BucketSettings } from './bucket-thread.ts';

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
  own: Pick<BucketSettings, 'instance' | 'walDirectory' | 'blocksDirectory' | 'retention' | 'compaction'>,
): BucketSettings {
  const { trace } = config.storage;
  const { backend, s3, gcs, azure } = trace;
  const chosen = backend === 'gcs' ? gcs : backend === 'azure' ? azure : s3;
  return {
    ...own,
    storage: { backend, s3, gcs, azure },
    hedge: { afterMs: chosen.hedgeRequestsAtMs, upTo: chosen.hedgeRequestsUpTo },
    keepMs: config.live.completeBlockTimeoutMs,
    checkMs: config.live.flushCheckMs,
    uploadsAtOnce: UPLOADS_AT_ONCE,
    cacheBytes: config.vivace.bucketCacheBytes,
    filterBytes: config.vivace.bucketFilterBytes,
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
