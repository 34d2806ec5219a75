/**
 * The process's own metrics under the names that Tempo's dashboards and alerts ask for (operations.md §5), and `vivace_…`
 * for what only we have. One registry per process instance, so that several can live in one process.
 *
 * Counting is a function call with plain arguments, meant for once a request, not once a span. What is a level rather
 * than a count (live traces, bytes of the log) is read from its owner when somebody scrapes. Nothing here runs on a timer.
 * Where releases of Tempo renamed a metric both names are served from one count.
 */
import Registry from 'prom-client/lib/registry.js';
import { DEFAULT_SECONDS, doubling, type Makers, makers } from './metric-makers.ts';
import { processMetrics } from './process-metrics.ts';
import {
  bucketMetrics,
  deletionMetrics,
  lateRetentionMetrics,
  lifetimeMetrics,
  storingMetrics,
} from './storage-metrics.ts';

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
const TRACES_PER_BATCH = doubling(2);

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
