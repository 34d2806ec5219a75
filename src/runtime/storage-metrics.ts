/** Metrics of blocks: written, brought to a bucket, merged, kept and deleted. */
import { DEFAULT_SECONDS, doubling, type Makers } from './metric-makers.ts';

const FLUSH_SECONDS = doubling(1);
const FLUSH_BYTES = doubling(1024 * 1024);
const BACKEND_SECONDS = [0.005, 0.02, 0.08, 0.32, 1.28, 5.12];
/** 16 µs to 0.26 s, as Tempo's. */
const CACHE_SECONDS = [0, 1, 2, 3, 4, 5, 6, 7].map((power) => 16e-6 * 4 ** power);
const RETENTION_SECONDS = doubling(0.25).slice(0, 6);

/** What was done with a bucket and its caches, since it was told last. */
export interface BucketDone {
  operations: { operation: string; status: number; seconds: number }[];
  pollSeconds: number[];
  pollErrors: string[];
  indexErrors: string[];
  failedUploads: number;
  /** Reads that were asked again because they took long. */
  hedges: number;
  caches: {
    calls: {
      kind: 'memcached' | 'redis';
      name: string;
      method: 'get' | 'put' | 'delete';
      status: number;
      seconds: number;
    }[];
    /** By name of the cache: values that were not written, and values that were not ours. */
    dropped: Map<string, number>;
    refused: Map<string, number>;
  };
  /** By tenant: whether this process builds the index, and the index's age. */
  indexes: Map<string, { builder: boolean; ageSeconds: number }>;
}

export function storingMetrics({ counter, tenantCounter, histogram }: Makers) {
  const created = tenantCounter(
    'Traces begun.',
    'tempo_ingester_traces_created_total',
    'tempo_live_store_traces_created_total',
  );
  const flushed = [
    counter('tempo_ingester_blocks_flushed_total', 'Blocks written.'),
    counter('tempo_live_store_blocks_completed_total', 'Blocks written.'),
  ];
  const failed = [
    counter('tempo_ingester_failed_flushes_total', 'Blocks that could not be written.'),
    counter('tempo_live_store_failed_completions_total', 'Blocks that could not be written.'),
  ];
  const seconds = [
    histogram('tempo_ingester_flush_duration_seconds', 'Time to write a block.', FLUSH_SECONDS),
    histogram('tempo_live_store_completion_duration_seconds', 'Time to write a block.', FLUSH_SECONDS),
  ];
  const size = [
    histogram('tempo_ingester_flush_size_bytes', 'Size of blocks written.', FLUSH_BYTES),
    histogram('tempo_live_store_completion_size_bytes', 'Size of blocks written.', FLUSH_BYTES),
  ];
  const replayed = counter('vivace_replayed_spans_total', 'Spans read back from the log at start.');
  const corrupt = counter(
    'vivace_corrupt_records_total',
    'Records of the log that could not be read and were skipped.',
  );
  return {
    tracesCreated: created,
    blockFlushed: (took: number, bytes: number) => {
      for (const metric of flushed) metric.inc();
      for (const metric of seconds) metric.observe(took);
      for (const metric of size) metric.observe(bytes);
    },
    flushFailed: () => {
      for (const metric of failed) metric.inc();
    },
    replayedSpans: (count: number) => replayed.inc(count),
    corruptRecords: (count: number) => corrupt.inc(count),
  };
}

export function bucketMetrics({ counter, histogram, gauge }: Makers) {
  const operations = histogram(
    'tempodb_backend_request_duration_seconds',
    'Time of an operation on the bucket.',
    BACKEND_SECONDS,
    ['operation', 'status_code'],
  );
  const polls = histogram('tempodb_blocklist_poll_duration_seconds', 'Time to list the bucket.', DEFAULT_SECONDS);
  const pollErrors = counter('tempodb_blocklist_poll_errors_total', 'Failed listings.', ['tenant']);
  const indexErrors = counter('tempodb_blocklist_tenant_index_errors_total', 'Indexes that could not be used.', [
    'tenant',
  ]);
  const builder = gauge('tempodb_blocklist_tenant_index_builder', 'Whether the last poll wrote the index.', ['tenant']);
  const age = gauge('tempodb_blocklist_tenant_index_age_seconds', 'Age of the index that was used.', ['tenant']);
  const failed = counter('tempo_ingester_flush_failed_retries_total', 'Uploads that failed.');
  const hedges = counter('tempodb_backend_hedged_roundtrips_total', 'Reads of the bucket that were asked again.');
  const ofCalls = (name: string, of: string) =>
    histogram(name, `Time of a call of ${of}.`, CACHE_SECONDS, ['method', 'name', 'status_code']);
  const cacheCalls = {
    memcached: ofCalls('tempo_memcache_request_duration_seconds', 'memcached'),
    redis: ofCalls('tempo_rediscache_request_duration_seconds', 'Redis'),
  };
  const cacheMethods = {
    memcached: { get: 'Memcache.GetMulti', put: 'Memcache.Put', delete: 'Memcache.Delete' },
    redis: { get: 'RedisCache.MGet', put: 'RedisCache.MSet', delete: 'RedisCache.Del' },
  };
  const cacheDropped = counter('tempo_cache_dropped_background_writes_total', 'Values that were not written.', [
    'name',
  ]);
  const cacheRefused = counter('vivace_cache_values_refused_total', 'Values of a cache that were not ours.', ['name']);
  return {
    /** What the bucket thread has done since the last call. */
    bucket: (done: BucketDone) => {
      for (const { operation, status, seconds } of done.operations)
        operations.observe({ operation, status_code: String(status) }, seconds);
      for (const seconds of done.pollSeconds) polls.observe(seconds);
      for (const tenant of done.pollErrors) pollErrors.inc({ tenant });
      for (const tenant of done.indexErrors) indexErrors.inc({ tenant });
      failed.inc(done.failedUploads);
      hedges.inc(done.hedges);
      for (const { kind, name, method, status, seconds } of done.caches.calls)
        cacheCalls[kind].observe({ method: cacheMethods[kind][method], name, status_code: String(status) }, seconds);
      for (const [name, values] of done.caches.dropped) cacheDropped.inc({ name }, values);
      for (const [name, values] of done.caches.refused) cacheRefused.inc({ name }, values);
      builder.reset();
      age.reset();
      for (const [tenant, index] of done.indexes) {
        builder.set({ tenant }, index.builder ? 1 : 0);
        age.set({ tenant }, index.ageSeconds);
      }
    },
  };
}

export function lifetimeMetrics({ counter, gauge, histogram }: Makers) {
  const marked = counter('tempodb_retention_marked_for_deletion_total', 'Blocks that were too old.');
  const deleted = counter('tempodb_retention_deleted_total', 'Blocks whose files were deleted.');
  const errors = counter('tempodb_retention_errors_total', 'Blocks that could not be deleted.');
  const unreadable = counter(
    'vivace_unreadable_blocks_total',
    'How often a block was left out of an answer, because it could not be read.',
    ['tenant'],
  );
  const quarantined = counter('vivace_quarantined_blocks_total', 'Blocks that were found damaged.', ['tenant']);
  const seconds = histogram(
    'tempodb_retention_duration_seconds',
    'Time to look for old blocks and delete them.',
    RETENTION_SECONDS,
  );
  const forSpace = counter(
    'vivace_retention_deleted_for_space_total',
    'Blocks deleted because the disk was fuller than storage.trace.local.max_disk_percent.',
  );
  const perLevel = (after: string, help: string) => counter(`tempodb_compaction_${after}_total`, help, ['level']);
  const merged = perLevel('blocks', 'Blocks that were merged into others.');
  const traces = perLevel('objects_written', 'Traces of merged blocks.');
  const combined = perLevel('objects_combined', 'Traces that were in several blocks and are in one.');
  const bytes = perLevel('bytes_written', 'Bytes of merged blocks.');
  const mergeErrors = counter('tempodb_compaction_errors_total', 'Merges that failed.');
  const duplicates = counter('tempodb_compaction_spans_deduped_total', 'Spans that several blocks had.', [
    'replication_factor',
  ]);
  const outstanding = gauge('tempodb_compaction_outstanding_blocks', 'Blocks that wait to be merged.', ['tenant']);
  return {
    /** What was merged since the last call. */
    compaction: (done: {
      merged: {
        level: number;
        inputs: number;
        traces: number;
        bytes: number;
        combined: number;
        duplicates: number;
      }[];
      errors: string[];
      outstanding: Map<string, number>;
    }) => {
      for (const each of done.merged) {
        // Levels are those of the blocks that went in.
        const level = String(each.level - 1);
        merged.inc({ level }, each.inputs);
        traces.inc({ level }, each.traces);
        combined.inc({ level }, each.combined);
        bytes.inc({ level }, each.bytes);
        duplicates.inc({ replication_factor: '1' }, each.duplicates);
      }
      mergeErrors.inc(done.errors.length);
      outstanding.reset();
      for (const [tenant, blocks] of done.outstanding) outstanding.set({ tenant }, blocks);
    },
    unreadableBlock: (tenant: string) => unreadable.inc({ tenant }),
    quarantined: (tenant: string, count: number) => quarantined.inc({ tenant }, count),
    /** One look for old blocks. */
    retention: (done: {
      marked: number;
      deleted: number;
      deletedForSpace: number;
      errors: string[];
      seconds: number;
    }) => {
      marked.inc(done.marked);
      deleted.inc(done.deleted);
      forSpace.inc(done.deletedForSpace);
      errors.inc(done.errors.length);
      seconds.observe(done.seconds);
    },
  };
}

export function deletionMetrics({ counter }: Makers) {
  const asked = counter('vivace_deleted_traces_total', 'Traces that were to be deleted.');
  const erased = counter('vivace_erased_traces_total', 'Deleted traces of which nothing is left.');
  const blocks = counter('vivace_erased_blocks_total', 'Blocks that were written again without deleted traces.');
  const spans = counter('vivace_erased_spans_total', 'Spans of deleted traces that blocks were rid of.');
  return {
    /** What was done since the last call. */
    deletions(done: { asked: number; erased: number; blocksRewritten: number; spansErased: number }): void {
      asked.inc(done.asked);
      erased.inc(done.erased);
      blocks.inc(done.blocksRewritten);
      spans.inc(done.spansErased);
    },
  };
}

export function lateRetentionMetrics({ counter }: Makers) {
  const ofRule = (what: string) =>
    counter(`vivace_retention_rules_dropped_${what}_total`, `What was kept long enough: ${what} by rule.`, ['rule']);
  const traces = ofRule('traces');
  const spans = ofRule('spans');
  const bytes = ofRule('bytes');
  const blocks = counter('vivace_retention_rules_blocks_rewritten_total', 'Blocks written again without some traces.');
  const errors = counter('vivace_retention_rules_errors_total', 'Blocks that rules could not be applied to.');
  return {
    /** What was done since the last call. */
    lateRetention(done: {
      blocksRewritten: number;
      dropped: ReadonlyMap<string, { traces: number; spans: number; bytes: number }>;
      errors: string[];
    }): void {
      blocks.inc(done.blocksRewritten);
      errors.inc(done.errors.length);
      for (const [rule, dropped] of done.dropped) {
        traces.inc({ rule }, dropped.traces);
        spans.inc({ rule }, dropped.spans);
        bytes.inc({ rule }, dropped.bytes);
      }
    },
  };
}
