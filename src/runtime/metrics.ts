/**
 * The process's own metrics under the names that Tempo's dashboards and alerts ask for (operations.md §5), and `vivace_…`
 * for what only we have. One registry per process instance, so that several can live in one process.
 *
 * Counting is a function call with plain arguments, meant for once a request, not once a span. What is a level rather
 * than a count (live traces, bytes of the log) is read from its owner when somebody scrapes. Nothing here runs on a timer.
 * The parts of prom-client are imported one by one: its index loads cluster support and default metrics, 8 MB of memory.
 * Where releases of Tempo renamed a metric both names are served from one count.
 */
import fs from 'node:fs';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';
import { tenantCounter } from './tenant-counts.ts';

export interface BuildLabels {
  version: string;
  revision: string;
  branch: string;
}

/** Levels, asked for at every scrape; those by tenant as pairs of tenant and value. */
export interface Levels {
  liveTraces?(): Iterable<readonly [tenant: string, value: number]>;
  liveBytes?(): Iterable<readonly [tenant: string, value: number]>;
  blocks?(): Iterable<readonly [tenant: string, value: number]>;
  damagedBlocks?(): Iterable<readonly [tenant: string, value: number]>;
  pendingDeletions?(): Iterable<readonly [tenant: string, value: number]>;
  logBytes?(): number;
  logSegments?(): number;
  queriesWaiting?(): Iterable<readonly [tenant: string, value: number]>;
  queriesRunning?(): Iterable<readonly [tenant: string, value: number]>;
  connections?(): Iterable<readonly [protocol: string, value: number]>;
}

export type OwnMetrics = ReturnType<typeof ownMetrics>;

const REQUEST_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2.5, 5, 10, 25, 50, 100];
const DEFAULT_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const TRACES_PER_BATCH = doubling(2);
const FLUSH_SECONDS = doubling(1);
const BACKEND_SECONDS = [0.005, 0.02, 0.08, 0.32, 1.28, 5.12];
/** 16 µs to 0.26 s, as Tempo's. */
const CACHE_SECONDS = [0, 1, 2, 3, 4, 5, 6, 7].map((power) => 16e-6 * 4 ** power);
const RETENTION_SECONDS = doubling(0.25).slice(0, 6);
const FLUSH_BYTES = doubling(1024 * 1024);

/** Makes all metrics of one instance. `close` stops the observation of garbage collections. */
export function ownMetrics(build: BuildLabels) {
  const registry = new Registry();
  const make = makers(registry);
  const levels: Levels = {};
  const gc = processMetrics(registry);
  make
    .gauge('tempo_build_info', 'Always 1; the labels say what runs.', [
      'branch',
      'goarch',
      'goos',
      'goversion',
      'revision',
      'tags',
      'version',
    ])
    .set(
      { ...build, goarch: process.arch, goos: process.platform, goversion: `node${process.versions.node}`, tags: '' },
      1,
    );
  return {
    ...serverMetrics(make),
    ...receivingMetrics(make),
    ...storingMetrics(make),
    ...bucketMetrics(make),
    ...lifetimeMetrics(make),
    ...deletionMetrics(make),
    ...lateRetentionMetrics(make),
    ...queryMetrics(make),
    ...limitMetrics(make),
    /** Where levels come from; later calls add to earlier ones. */
    observe: levelMetrics(make, levels),
    /** Prometheus text. */
    text: () => registry.metrics(),
    close: () => gc.disconnect(),
  };
}

type Makers = ReturnType<typeof makers>;

function makers(registry: Registry) {
  const registers = [registry];
  return {
    counter: <L extends string>(name: string, help: string, labelNames: L[] = []) =>
      new Counter({ name, help, labelNames, registers }),
    /** For what is counted of every tenant, as opposed to what happens now and then. One count under all the names. */
    tenantCounter: (help: string, ...names: string[]) => tenantCounter(registry, names, help),
    gauge: <L extends string>(name: string, help: string, labelNames: L[] = []) =>
      new Gauge({ name, help, labelNames, registers }),
    histogram: <L extends string>(name: string, help: string, buckets: number[], labelNames: L[] = []) =>
      new Histogram({ name, help, labelNames, buckets, registers }),
    /** A level that is read when scraped. */
    level: (name: string, help: string, read: () => number | undefined) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read() ?? 0);
        },
      }),
    levels: (name: string, help: string, label: string, read: () => Iterable<readonly [string, number]> | undefined) =>
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          // A tenant that is gone must not stay at its last value.
          this.reset();
          for (const [owner, value] of read() ?? []) this.set({ [label]: owner }, value);
        },
      }),
  };
}

function serverMetrics({ histogram }: Makers) {
  const seconds = histogram('tempo_request_duration_seconds', 'Time to answer a request.', REQUEST_SECONDS, [
    'method',
    'route',
    'status_code',
    'ws',
  ]);
  return {
    /** One answered request of any listener. `status` is an HTTP status, or for gRPC `success`, `error`, `cancel`. */
    request: (route: string, method: string, status: number | string, took: number) =>
      seconds.observe({ method, route, status_code: String(status), ws: 'false' }, took),
  };
}

function receivingMetrics({ counter, tenantCounter, histogram }: Makers) {
  const accepted = counter('tempo_receiver_accepted_spans', 'Spans taken.', ['receiver', 'transport']);
  const refused = counter('tempo_receiver_refused_spans', 'Spans refused.', ['receiver', 'transport']);
  const spans = tenantCounter('Spans received.', 'tempo_distributor_spans_received_total');
  const bytes = tenantCounter('Bytes of spans received, after limits.', 'tempo_distributor_bytes_received_total');
  const ingress = tenantCounter('Bytes received, before limits.', 'tempo_distributor_ingress_bytes_total');
  const push = histogram('tempo_distributor_push_duration_seconds', 'Time until spans are safe.', DEFAULT_SECONDS);
  const datagrams = counter('vivace_datagrams_total', 'Datagrams of the receivers over UDP, and what became of them.', [
    'protocol',
    'result',
  ]);
  const forwards = counter('tempo_distributor_forwarder_pushes_total', 'Requests forwarded to other backends.', [
    'tenant',
  ]);
  const forwardFailures = counter(
    'tempo_distributor_forwarder_pushes_failures_total',
    'Requests that could not be forwarded.',
    ['tenant'],
  );
  const perBatch = histogram('tempo_distributor_traces_per_batch', 'Traces of one request.', TRACES_PER_BATCH);
  const truncated = counter('tempo_distributor_attributes_truncated_total', 'Attributes cut to their longest length.', [
    'tenant',
    'scope',
  ]);
  const discarded = counter('tempo_discarded_spans_total', 'Spans thrown away, and why.', ['reason', 'tenant']);
  const limit = counter('vivace_limit_reached_total', 'Requests that ran into a limit.', ['limit']);
  const names = new Set<string>();
  const spanNames = counter(
    'tempo_distributor_debug_spans_received_total',
    'spans by name and service, where metric_received_spans is enabled',
    ['tenant', 'name', 'service'],
  );
  return {
    acceptedSpans: (receiver: string, transport: string, count: number) => accepted.inc({ receiver, transport }, count),
    refusedSpans: (receiver: string, transport: string, count: number) => refused.inc({ receiver, transport }, count),
    forwarded: (tenant: string) => forwards.inc({ tenant }),
    forwardFailed: (tenant: string) => forwardFailures.inc({ tenant }),
    datagrams: (protocol: string, result: string, count: number) => datagrams.inc({ protocol, result }, count),
    /** Spans and their bytes that passed all limits. */
    received: (tenant: string, spanCount: number, byteCount: number) => {
      spans(tenant, spanCount);
      bytes(tenant, byteCount);
    },
    ingressBytes: ingress,
    pushed: (took: number) => push.observe(took),
    tracesPerBatch: (count: number) => perBatch.observe(count),
    attributesTruncated: (tenant: string, scope: string, count: number) => truncated.inc({ tenant, scope }, count),
    discardedSpans: (reason: string, tenant: string, count: number) => discarded.inc({ reason, tenant }, count),
    limitReached: (name: string) => limit.inc({ limit: name }),
    /** By name and service, whose number senders choose: past so many of them the rest is one. */
    spanName(tenant: string, name: string, service: string) {
      const key = JSON.stringify([tenant, name, service]);
      const known = names.size < NAMES_MAX || names.has(key);
      if (known) names.add(key);
      spanNames.inc(known ? { tenant, name, service } : { tenant, name: 'others', service: 'others' });
    },
  };
}

/** Series of metric_received_spans. */
const NAMES_MAX = 10_000;

function storingMetrics({ counter, tenantCounter, histogram }: Makers) {
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

function bucketMetrics({ counter, histogram, gauge }: Makers) {
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
    bucket: (done: {
      operations: { operation: string; status: number; seconds: number }[];
      pollSeconds: number[];
      pollErrors: string[];
      indexErrors: string[];
      failedUploads: number;
      hedges: number;
      caches: {
        calls: {
          kind: 'memcached' | 'redis';
          name: string;
          method: 'get' | 'put' | 'delete';
          status: number;
          seconds: number;
        }[];
        dropped: ReadonlyMap<string, number>;
        refused: ReadonlyMap<string, number>;
      };
      indexes: Map<string, { builder: boolean; ageSeconds: number }>;
    }) => {
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

function lateRetentionMetrics({ counter }: Makers) {
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

function deletionMetrics({ counter }: Makers) {
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

function lifetimeMetrics({ counter, gauge, histogram }: Makers) {
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

function queryMetrics({ counter, histogram }: Makers) {
  const queries = counter('tempo_query_frontend_queries_total', 'Queries answered.', ['tenant', 'op', 'result']);
  const discarded = counter('tempo_query_frontend_discarded_requests_total', 'Queries refused: too many waiting.', [
    'user',
  ]);
  const partial = counter(
    'vivace_partial_answers_total',
    'Answers that were given without blocks that the bucket did not give.',
    ['tenant', 'op'],
  );
  const inspected = counter('tempo_query_frontend_bytes_inspected_total', 'Bytes read for queries.', ['tenant', 'op']);
  const seconds = histogram(
    'tempo_query_frontend_request_duration_seconds',
    'Time to answer a query.',
    REQUEST_SECONDS,
    ['tenant', 'op'],
  );
  return {
    /** `op`: traces, search, metadata or metrics. */
    query: (op: string, tenant: string, result: 'completed' | 'canceled', took: number) => {
      queries.inc({ tenant, op, result });
      seconds.observe({ tenant, op }, took);
    },
    inspectedBytes: (op: string, tenant: string, count: number) => inspected.inc({ tenant, op }, count),
    partialAnswer: (op: string, tenant: string) => partial.inc({ tenant, op }),
    queryDiscarded: (user: string) => discarded.inc({ user }),
  };
}

/** `limits`: names as in Tempo's dashboards. */
function limitMetrics({ gauge, counter }: Makers) {
  const refused = counter('vivace_auth_refused_total', 'Requests refused for their credentials.', ['reason']);
  const reloaded = gauge('tempo_runtime_config_last_reload_successful', 'Whether the limits of tenants could be read.');
  const defaults = gauge('tempo_limits_defaults', 'Limits of tenants without their own.', ['limit_name']);
  // One release labels the tenant as user, the other as tenant.
  const overrides = gauge('tempo_limits_overrides', 'Limits that a tenant has of its own.', [
    'limit_name',
    'tenant',
    'user',
  ]);
  const prefix = 'tempo_overrides_user_configurable_overrides';
  const lists = counter(`${prefix}_list_total`, 'Lists of the limits that tenants have set.');
  const listsFailed = counter(`${prefix}_reload_failed_total`, 'Readings of those limits that failed.');
  const fetches = counter(`${prefix}_fetch_total`, 'Documents of tenants read.', ['tenant']);
  const fetchesFailed = counter(`${prefix}_fetch_failed_total`, 'Documents of tenants that cannot be read.', [
    'tenant',
  ]);
  return {
    userOverridesListed(failed: boolean) {
      lists.inc();
      if (failed) listsFailed.inc();
    },
    userOverridesFetched(tenant: string, failed: boolean) {
      fetches.inc({ tenant });
      if (!failed) return;
      fetchesFailed.inc({ tenant });
      listsFailed.inc();
    },
    authRefused: (reason: string) => refused.inc({ reason }),
    limitsReloaded: (ok: boolean) => reloaded.set(ok ? 1 : 0),
    limitsKnown: (
      byDefault: ReadonlyMap<string, number>,
      byTenant: ReadonlyMap<string, ReadonlyMap<string, number>>,
    ) => {
      for (const [limit_name, value] of byDefault) defaults.set({ limit_name }, value);
      overrides.reset();
      for (const [tenant, limits] of byTenant)
        for (const [limit_name, value] of limits) overrides.set({ limit_name, tenant, user: tenant }, value);
    },
  };
}

function levelMetrics({ level, levels: byOwner }: Makers, levels: Levels): (more: Levels) => void {
  for (const name of ['tempo_ingester', 'tempo_live_store']) {
    byOwner(`${name}_live_traces`, 'Traces in memory.', 'tenant', () => levels.liveTraces?.());
    byOwner(`${name}_live_trace_bytes`, 'Bytes of traces in memory.', 'tenant', () => levels.liveBytes?.());
  }
  byOwner('tempodb_blocklist_length', 'Blocks in the store.', 'tenant', () => levels.blocks?.());
  byOwner('vivace_damaged_blocks', 'Blocks of the folder that are damaged and in no answer.', 'tenant', () =>
    levels.damagedBlocks?.(),
  );
  byOwner('vivace_deleted_traces_pending', 'Deleted traces of which something may be left.', 'tenant', () =>
    levels.pendingDeletions?.(),
  );
  byOwner('tempo_query_frontend_queue_length', 'Queries waiting.', 'user', () => levels.queriesWaiting?.());
  byOwner('vivace_queries_running', 'Queries at work.', 'tenant', () => levels.queriesRunning?.());
  byOwner('tempo_tcp_connections', 'Open connections.', 'protocol', () => levels.connections?.());
  level('vivace_live_bytes', 'Memory of the live columns of all tenants.', () => sum(levels.liveBytes?.()));
  level('vivace_log_bytes', 'Bytes of the log that are not in blocks yet.', () => levels.logBytes?.());
  level('vivace_log_segments', 'Segments of the log.', () => levels.logSegments?.());
  return (more) => {
    Object.assign(levels, more);
  };
}

function sum(pairs: Iterable<readonly [string, number]> = []): number {
  let total = 0;
  for (const [, value] of pairs) total += value;
  return total;
}

/**
 * What every process tells, read at the scrape. Dashboards ask for three metrics of Go's runtime; ours are their nearest
 * kin: things that keep the event loop alive, collections of garbage, heap in use.
 */
function processMetrics(registry: Registry): PerformanceObserver {
  const { level } = makers(registry);
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of user and system.',
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const startSeconds = performance.timeOrigin / 1000;
  level('process_start_time_seconds', 'Start of the process, Unix time.', () => startSeconds);
  level('process_resident_memory_bytes', 'Memory in RAM.', () => process.memoryUsage.rss());
  level('process_virtual_memory_bytes', 'Address space in use.', virtualBytes);
  level('process_open_fds', 'Open file descriptors.', openDescriptors);
  level('process_max_fds', 'Most file descriptors allowed.', descriptorsMax);
  level('go_goroutines', 'Things that keep the event loop alive.', () => process.getActiveResourcesInfo().length);
  level('go_memstats_heap_inuse_bytes', 'Heap in use.', () => process.memoryUsage().heapUsed);
  level('go_memstats_heap_sys_bytes', 'Heap reserved.', () => process.memoryUsage().heapTotal);
  level('vivace_external_bytes', 'Memory of buffers outside the heap.', () => process.memoryUsage().external);
  const pauses = { seconds: 0, count: 0 };
  // prom-client's summary puts every pause into a tree, percentiles or not.
  const summary = {
    name: 'go_gc_duration_seconds',
    get: async () => ({
      ...{ name: summary.name, help: 'Pauses for collecting garbage.', type: 'summary', aggregator: 'sum' },
      values: [
        { metricName: `${summary.name}_sum`, labels: {}, value: pauses.seconds },
        { metricName: `${summary.name}_count`, labels: {}, value: pauses.count },
      ],
    }),
    reset: () => {},
  };
  registry.registerMetric(summary as unknown as Gauge);
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const kind = (entry as { detail?: { kind?: number } }).detail?.kind;
      // Incremental steps are part of a collection that is counted at its end.
      if (kind === constants.NODE_PERFORMANCE_GC_INCREMENTAL) continue;
      pauses.seconds += entry.duration / 1000;
      pauses.count++;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return observer;
}

/** From Linux's /proc; 0 where there is none. */
function virtualBytes(): number {
  const pages = readProc('statm').split(' ')[0];
  return Number(pages) * 4096 || 0;
}

function openDescriptors(): number {
  try {
    return fs.readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

function descriptorsMax(): number {
  return Number(/^Max open files +(\d+)/m.exec(readProc('limits'))?.[1] ?? 0);
}

function readProc(name: string): string {
  try {
    return fs.readFileSync(`/proc/self/${name}`, 'utf8');
  } catch {
    return '';
  }
}

function doubling(first: number): number[] {
  return Array.from({ length: 10 }, (_, i) => first * 2 ** i);
}
