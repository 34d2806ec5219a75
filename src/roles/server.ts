/**
 * One process of Vivace on local disk: listeners, receivers, the query API, and the threads behind them. The target decides
 * what it does: `all` (and the others that receive) takes spans; `query-frontend` and `querier` only answer.
 *
 *   sockets ─▶ OTLP receivers ─▶ writer thread (log, live columns, blocks)
 *           └▶ API ─▶ reader threads ◀─ leases ─┘
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { datagramListenersOf, listenersOf, type Service, type Listener as Wanted } from '../config/listeners.ts';
import type { Configuration } from '../config/load.ts';
import { renderConfiguration, renderLimits, renderSaid } from '../config/render.ts';
import { hasLivingPeer } from '../log/ownership.ts';
import type { Accept, ReceiveHooks } from '../receive/accept.ts';
import { admitted } from '../receive/admit.ts';
import { forwarders } from '../receive/forward.ts';
import { type KafkaReceiver, kafkaReceiver } from '../receive/kafka.ts';
import { logSpans } from '../receive/log-spans.ts';
import { countNames } from '../receive/span-names.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { collectWhenIdle } from '../runtime/idle-collection.ts';
import type { Log } from '../runtime/log.ts';
import { ownMetrics } from '../runtime/metrics.ts';
import { type ApiOptions, accessOf, answerNotFound, api } from '../serve/api.ts';
import { denyList } from '../serve/deny-list.ts';
import { streamingQuerier } from '../serve/streaming.ts';
import { BodyBudget } from '../wire/body.ts';
import { Decompressor } from '../wire/decompress.ts';
import { grpcHealth } from '../wire/grpc-health.ts';
import { grpcReflection } from '../wire/grpc-reflection.ts';
import { grpcRouter } from '../wire/grpc.ts';
import { type Listener, listen } from '../wire/listener.ts';
import { tlsClientOptions } from '../wire/tls-client.ts';
import { Admission } from './admission.ts';
import { apiLimits } from './api-limits.ts';
import { openCertificates } from './certificates.ts';
import { type Datagrams, listenDatagrams } from './datagrams.ts';
import { answerPeers, withPeers } from './peers.ts';
import { HeldBytes } from './held-bytes.ts';
import { receiversAt } from './receivers.ts';
import { invalidIds, isDiscarded } from './refusals.ts';
import { forwarderSettings } from './forwarder-settings.ts';
import { openGuard } from './guard.ts';
import { QuestionCount } from './question-count.ts';
import type { ReaderSettings } from './reader-thread.ts';
import { type ProcessQueries, startReaders } from './readers.ts';
import { limitTable, openTenantLimits } from './tenant-limits.ts';
import { startBucket } from './bucket.ts';
import type { BucketStats } from './bucket-messages.ts';
import { bucketSettings } from './bucket-settings.ts';
import { compactionSettings, retentionSettings, retentionsOf, rulesOf, windowsOf } from './lifetime-settings.ts';
import { ThreadStats } from './thread-stats.ts';
import { startWriter } from './writer.ts';
import { openUserOverrides } from './user-overrides.ts';
import type { WriterStats } from './writer-messages.ts';

export interface RunningServer {
  /** Where each service listens, as bound. */
  addresses: {
    service: Service | 'jaeger-compact' | 'jaeger-binary';
    host: string;
    port: number;
    /** TLS. */
    secure: boolean;
  }[];
  /** Stops in order; resolves with the exit code. */
  stop(): Promise<number>;
}

export interface ServerOptions {
  config: Configuration;
  version: { version: string; revision: string; branch: string };
  log: Log;
  /** For placeholders in files that are read while running. */
  env: Record<string, string | undefined>;
  nowMs: () => number;
  /** Somebody asked to stop over HTTP, or a thread died: the process should end with this code. */
  onStop: (code: number) => void;
}

const RECEIVING_TARGETS = new Set(['all', 'scalable-single-binary', 'distributor', 'ingester', 'live-store']);
const PAGE_ROWS = 4096;
const REBIND_MS = 5000;
/** One computes while the other is brought and its answer is taken away. */
const ORDINARY_A_READER = 2;
/**
 * So many queries may be at work whatever they hold; more of them while all hold less than this. A few that compute for many seconds
 * must not keep out all others: who has waited for a second begins while all hold less than twice as much.
 */
const HELD_A_READER = 4;
const HELD_BYTES_A_READER_MAX = 80 * 1024 * 1024;
const STARVED_MS = 1000;
/** Whoever takes spans waits no longer for the first list of the bucket before it is ready. */
const LISTED_MS_MAX = 5000;
const TELL_SPANS_MS = 60_000;

/** Starts everything; resolves when spans can be taken and found. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, log, version } = options;
  const wanted = listenersOf(config);
  const receives = RECEIVING_TARGETS.has(config.target);
  const instance = receives ? randomBytes(6).toString('hex') : undefined;
  const wal = config.storage.trace.wal.path;
  const remote = config.storage.trace.backend !== 'local';
  // With a bucket, blocks stand here only on their way.
  const blocks = remote ? path.join(wal, 'blocks') : config.storage.trace.local.path;
  makeDirectory(wal);
  makeDirectory(blocks);
  const metrics = ownMetrics(version);
  const { tenants, close: closeTenants } = openTenantLimits(config, options.env, log, metrics);
  const userOverrides = await openUserOverrides(config, tenants, log, metrics);
  const guard = openGuard(config, log, metrics, answerNotFound);
  let state: 'starting' | 'running' | 'stopping' = 'starting';
  let last: WriterStats | undefined;
  let lastOfBucket: BucketStats | undefined;
  let levels = { liveTraces: new Map<string, number>(), blocks: new Map<string, number>() };
  const threadStats = new ThreadStats(metrics, log, tenants);

  // The socket comes first: it is what tells other processes that this log has an owner.
  const gate: { open?: (queries: ProcessQueries) => void } = {};
  const opened = new Promise<ProcessQueries>((resolve) => {
    gate.open = resolve;
  });
  const peers =
    instance === undefined
      ? undefined
      : await answerPeers(wal, instance, {
          trace: async (r, s) => (await opened).trace(r, s),
          search: async (r, s) => (await opened).search(r, s),
          tagNames: async (r, s) => (await opened).tagNames(r, s),
          tagValues: async (r, s) => (await opened).tagValues(r, s),
          metrics: async (r, s, l) => (await opened).metrics(r, s, l),
          metricsBody: async (r, f, s, l) => (await opened).metricsBody(r, f, s, l),
          metricsPartial: async (r, s, l) => (await opened).metricsPartial(r, s, l),
          parts: async (r, s) => (await opened).parts(r, s),
        });
  let rules = rulesOf(config, tenants);
  const retention = retentionSettings(config, tenants, rules);
  const compaction = compactionSettings(config, tenants, memoryLimitBytes());
  if (compaction === undefined && retention !== undefined)
    log.log('info', 'blocks are not merged: for that the process must be allowed some 64 MiB more memory', {
      memory_mib: Math.floor(memoryLimitBytes() / 1024 / 1024),
    });
  const createdBy = `vivace version ${version.version}`;
  const questions = new QuestionCount();
  const readerThreads = config.vivace.readerThreads || Math.max(1, os.availableParallelism() - 1);
  const held = new HeldBytes(1 + readerThreads);
  const writer = startWriter(
    {
      instance,
      walDirectory: wal,
      blocksDirectory: blocks,
      liveBytes: config.vivace.liveBytes,
      logBytes: config.vivace.logBytes,
      logSegmentBytes: config.vivace.logSegmentBytes,
      maxBlockDurationMs: config.live.maxBlockDurationMs,
      maxBlockBytes: config.live.maxBlockBytes,
      traceIdleMs: config.live.traceIdleMs,
      traceLiveMs: config.live.traceLiveMs,
      pageRows: PAGE_ROWS,
      createdBy,
      questions: questions.shared,
      held: held.shared,
      fsync: config.vivace.fsync === 'never' ? 'never' : 'always',
      ack: config.ingester.ack === 'storage' ? 'storage' : 'local',
      limits: limitTable(config, tenants),
      blocklistPollMs: config.storage.trace.blocklistPollMs,
      retention: remote ? undefined : retention,
      compaction: remote ? undefined : compaction,
      erases: retention !== undefined && !remote,
      isOnTheWay: remote,
      deletedKeptMs: config.vivace.deletedTracesKeptMs,
      rules: retention === undefined || remote ? undefined : rules,
      rulesCycleMs: Math.max(100, config.backendWorker.compaction.compactionCycleMs),
    },
    {
      onStats(stats) {
        last = stats;
        levels = { liveTraces: stats.liveTraces ?? levels.liveTraces, blocks: stats.blocks ?? levels.blocks };
        threadStats.countWriter(stats);
      },
      onLog: (level, message, fields) => log.log(level, message, fields),
      onGone(error) {
        log.log('error', `a thread has failed: ${error.message}`, { stack: error.stack });
        options.onStop(1);
      },
    },
  );
  let listed = !remote;
  const bucket = remote
    ? startBucket(
        bucketSettings(config, {
          ...{ instance, walDirectory: wal, blocksDirectory: blocks, retention },
          rules: retention === undefined ? undefined : rules,
          ...{ work: { pageRows: PAGE_ROWS, createdBy, questions: questions.shared }, compaction },
        }),
        {
          onStats(stats) {
            threadStats.countBucket(stats);
            lastOfBucket = stats;
          },
          onLog: (level, message, fields) => log.log(level, message, fields),
          onGone(error) {
            log.log('error', error.message, { stack: error.stack });
            options.onStop(1);
          },
        },
      )
    : undefined;
  tenants.onChange(() => {
    writer.limit(limitTable(config, tenants));
    try {
      rules = rulesOf(config, tenants);
    } catch (error) {
      log.log('error', `${messageOf(error)}; the last good rules stay in force`, {});
    }
    const retentions = retentionsOf(config, tenants, rules);
    const windows = windowsOf(config, tenants);
    writer.retain(retentions, windows, rules);
    bucket?.retain(retentions, windows, rules);
  });
  const nowListed = (): void => {
    listed = true;
  };
  void bucket?.listed.then(nowListed);
  // Without the bucket there are no answers about what is in it, but spans can be taken.
  if (receives) setTimeout(nowListed, LISTED_MS_MAX).unref();
  if (bucket !== undefined) writer.connectBucket(bucket.writerPort());
  const admission = new Admission({
    runningMax: config.querier.maxConcurrentQueries,
    // What waits for a bucket keeps no thread busy.
    ...(!remote && { ordinaryMax: ORDINARY_A_READER * readerThreads }),
    heldMax: HELD_A_READER * readerThreads,
    hasRoom: (waitedMs) => held.sum < (waitedMs < STARVED_MS ? 1 : 2) * HELD_BYTES_A_READER_MAX * readerThreads,
    waitingMax: config.queryFrontend.maxOutstandingPerTenant,
    onRefused: metrics.queryDiscarded,
  });
  const readers = startReaders(
    readerThreads,
    { ...readerSettings(config), held: held.shared },
    (reader) => {
      writer.connect(reader);
      bucket?.connect(reader);
    },
    admission,
    questions,
    {
      onGone(error) {
        log.log('error', `a reader thread has failed: ${error.message}`, { stack: error.stack });
        options.onStop(1);
      },
      onPartial: metrics.partialAnswer,
      onDamage(block, tenant, message) {
        log.log('error', `block ${block} cannot be read and is left out of answers: ${message}`, { block, tenant });
        metrics.unreadableBlock(tenant);
        writer.suspect(tenant, block);
        bucket?.suspect(tenant, block);
      },
    },
  );
  gate.open!(readers.queries);
  const queries = withPeers(readers.queries, wal, instance);

  const { logReceivedSpans: logged, logDiscardedSpans: loggedLost, metricReceivedSpans: counted } = config.distributor;
  const push: Accept = async (tenant, body) => {
    if (logged.enabled) logSpans(body, logged, (fields) => log.log('info', 'received', fields));
    if (counted.enabled) countNames(body, counted.rootOnly, (service, name) => metrics.spanName(tenant, name, service));
    try {
      return await writer.push(tenant, body);
    } catch (error) {
      if (error instanceof VivaceError && error.code === 'exhausted') metrics.limitReached('exhausted');
      throw error;
    }
  };
  const limited = admitted(push, {
    limitsOf: (tenant) => tenants.of(tenant),
    retryAfterMs: config.distributor.retryAfterOnResourceExhaustedMs,
    nowMs: () => performance.now(),
    onDiscarded(reason, tenant, spans) {
      metrics.discardedSpans(reason, tenant, spans);
      metrics.limitReached(reason);
    },
  });
  const copies = forwarders(forwarderSettings(config), {
    onSent: (_, tenant) => metrics.forwarded(tenant),
    onLost(forwarder, tenant, why) {
      metrics.forwardFailed(tenant);
      log.log('warn', `cannot forward spans: ${why}`, { forwarder, tenant });
    },
  });
  const accept: Accept = async (tenant, body, from) => {
    // While it stops, what was under way is taken to its end, and in the shutdown delay everything else, too.
    if (state === 'starting')
      throw new VivaceError('unavailable', 'cannot take spans: the process is starting', { retryAfterMs: 1000 });
    metrics.ingressBytes(tenant, body.length);
    const began = performance.now();
    try {
      const names = tenants.of(tenant).forwarders;
      // A copy, because the bytes are moved to the writer thread.
      const copy = names.length > 0 || loggedLost.enabled ? body.slice() : undefined;
      const spans = await limited(tenant, body, from).catch((error) => {
        if (copy !== undefined && loggedLost.enabled && isDiscarded(error))
          logSpans(copy, loggedLost, (fields) => log.log('info', 'discarded', { tenant, ...fields }));
        throw error;
      });
      if (copy !== undefined && names.length > 0) copies.forward(names, tenant, copy);
      return spans;
    } finally {
      metrics.pushed((performance.now() - began) / 1000);
    }
  };
  const hooks: ReceiveHooks = {
    onAccepted: (from, spans) => metrics.acceptedSpans(from.receiver, from.transport, spans),
    onRefused(from, spans, tenant, error) {
      metrics.refusedSpans(from.receiver, from.transport, spans);
      const reason = invalidIds(error);
      if (tenant !== undefined && reason !== undefined) metrics.discardedSpans(reason, tenant, spans);
    },
  };

  const asking = {
    queries,
    limits: (tenant: string) => apiLimits(config, tenants.of(tenant)),
    tenants: {
      multitenancyEnabled: config.multitenancyEnabled,
      multiTenantQueriesEnabled: config.queryFrontend.multiTenantQueriesEnabled,
    },
    nowMs: options.nowMs,
    searchTimeoutMs: config.queryFrontend.search.timeoutMs,
    ...(guard && { filterOf: guard.filterOf }),
    onQuery(op, tenant, result, seconds, bytesRead) {
      metrics.query(op, tenant, result, seconds);
      metrics.inspectedBytes(op, tenant, bytesRead);
    },
    onError: (route, error) =>
      log.log('error', `cannot answer ${route}: ${messageOf(error)}`, {
        ...(error instanceof Error && { stack: String(error.cause ?? error.stack) }),
      }),
  } satisfies Partial<ApiOptions>;
  const apiOptions: ApiOptions = {
    ...asking,
    pathPrefix: config.httpApiPrefix,
    timeoutMs: config.queryFrontend.apiTimeoutMs,
    ...(config.queryFrontend.urlDenyList.length > 0 && { checkUrl: denyList(config.queryFrontend.urlDenyList) }),
    ready: () =>
      state === 'running' && listed
        ? { ok: true }
        : {
            ok: false,
            reason: state === 'stopping' ? 'Application is stopping' : 'Some services are not Running:\nStarting: 1',
          },
    metrics: () => metrics.text(),
    flush: (tenant) => writer.flush(tenant),
    previewRetention: (bucket ?? writer).previewRetention,
    shutdown: () => options.onStop(0),
    buildInfo: { ...version, buildUser: '', buildDate: '', goVersion: `node${process.versions.node}` },
    configYaml: (mode) => renderConfiguration(config, mode === 'full' ? undefined : mode),
    ...(userOverrides && { overrides: userOverrides.store }),
    runtimeConfigYaml: (mode) => (mode === 'defaults' ? renderLimits(tenants.base) : renderSaid(tenants.said)),
    tenantsWithLimits: () => [...tenants.said.keys()],
    limitsYaml: (tenant) => renderLimits(tenants.of(tenant)),
    onRequest: metrics.request,
    ...((config.vivace.deleteTraces === 'always' ||
      (config.vivace.deleteTraces === 'authenticated' && guard !== undefined)) && {
      deletions: {
        async delete(tenant, traceId) {
          const state = await (bucket ?? writer).deleteTrace(tenant, traceId);
          log.log('info', 'a trace is deleted', { tenant, trace: traceId });
          return state;
        },
        states: (bucket ?? writer).deletedTraces,
      },
    }),
  };
  const apiHandler = api(apiOptions);
  const apiAccess = accessOf(apiOptions);
  const streaming = streamingQuerier({
    ...asking,
    packetBytesMax: config.queryFrontend.maxGrpcStreamingPacketSize,
    onRequest: (route, status, seconds) => metrics.request(route, 'gRPC', status, seconds),
  });

  metrics.observe({
    liveTraces: () => levels.liveTraces,
    liveBytes: () => new Map([['', last?.liveBytes ?? 0]]),
    blocks: () => levels.blocks,
    damagedBlocks: () => last?.damagedBlocks ?? new Map(),
    pendingDeletions: () => (lastOfBucket ?? last)?.pendingDeletions ?? new Map(),
    logBytes: () => last?.logBytes ?? 0,
    logSegments: () => last?.logSegments ?? 0,
    queriesWaiting: () => admission.waiting(),
    queriesRunning: () => admission.running(),
  });
  const teller = setInterval(() => {
    const spans = threadStats.takeSpans();
    if (spans > 0) log.log('info', 'spans received', { spans });
  }, TELL_SPANS_MS);
  teller.unref();
  const stopCollecting = collectWhenIdle();

  // ---- sockets ----
  const budget = new BodyBudget();
  const decompressor = new Decompressor();
  const listeners: Listener[] = [];
  const addresses: RunningServer['addresses'] = [];
  const retries: NodeJS.Timeout[] = [];
  const health = grpcHealth(() => state === 'running' && listed);
  const certificates = openCertificates(log);
  const open = async (wanted: Wanted): Promise<void> => {
    const { http, grpc } = receiversAt(config, wanted, {
      ...hooks,
      accept,
      nowMs: options.nowMs,
      multitenancy: config.multitenancyEnabled,
      budget,
      decompressor,
    });
    const withApi = wanted.serves.some((service) => service === 'api' || service === 'otlp-http');
    const serves = withApi || http.length > 0;
    const isApi = wanted.serves.includes('api');
    const streams = wanted.serves.includes('internal-grpc') || (isApi && config.streamOverHttpEnabled);
    if (streams) grpc.push(streaming);
    const router = grpc.length > 0 ? grpcRouter(...grpc, health, grpcReflection(...grpc, health)) : undefined;
    const listener = await listen({
      host: wanted.host,
      port: wanted.port,
      ...(serves && {
        http:
          guard?.http(http, withApi ? apiHandler : undefined, apiAccess) ??
          ((req: IncomingMessage, res: ServerResponse) => {
            for (const handler of http) if (handler(req, res)) return;
            if (!withApi || !apiHandler(req, res)) answerNotFound(req, res);
          }),
      }),
      ...(guard && { authorize: guard.grpc }),
      ...(router && { grpc: router }),
      ...(wanted.tls && { tls: certificates.of(wanted.tls) }),
      budget,
      decompressor,
    });
    listeners.push(listener);
    const secure = wanted.tls !== undefined;
    for (const service of wanted.serves) addresses.push({ service, host: wanted.host, port: listener.port, secure });
  };
  let datagrams: Datagrams | undefined;
  const consumers: KafkaReceiver[] = [];
  try {
    for (const each of wanted) {
      try {
        await open(each);
      } catch (error) {
        const takesSpans = each.serves.some((service) => service !== 'api' && service !== 'internal-grpc');
        if (!isInUse(error) || !takesSpans || !(await hasLivingPeer(wal, instance))) throw error;
        log.log(
          'warn',
          `port ${each.port} is held by another process on the same data; this one goes on without ${each.serves.join(', ')} and takes the port over when it is free`,
          {},
        );
        const retry = setInterval(() => {
          open(each).then(
            () => clearInterval(retry),
            () => {},
          );
        }, REBIND_MS);
        retries.push(retry);
      }
    }
    const udp = datagramListenersOf(config);
    datagrams = await listenDatagrams(udp, {
      ...hooks,
      accept,
      multitenancy: config.multitenancyEnabled,
      onDatagrams: metrics.datagrams,
      onDropped: ({ receiver, transport }, spans, error) =>
        log.log('warn', `cannot take spans over UDP, where nobody can be told: ${error.message}`, {
          ...{ receiver, transport, spans },
        }),
      onGone(error) {
        log.log('error', `a thread has failed: ${error.message}`, { stack: error.stack });
        options.onStop(1);
      },
    });
    for (const [i, { protocol, host }] of udp.entries())
      addresses.push({ service: `jaeger-${protocol}`, host, port: datagrams.ports[i], secure: false });
    const { replayedSpans, damage } = await writer.ready;
    if (receives)
      for (const [id, { tls, ...settings }] of Object.entries(config.distributor.receivers.foreign.kafka)) {
        const readFile = (path: string): string => fs.readFileSync(path, 'utf8');
        consumers.push(
          kafkaReceiver({
            ...hooks,
            ...settings,
            ...(tls && { tls: { options: () => tlsClientOptions(tls, readFile), serverName: tls.serverName } }),
            accept,
            multitenancy: config.multitenancyEnabled,
            receiver: `${id}/kafka_receiver`,
            onProblem: (message) => log.log('warn', message, { receiver: id }),
          }),
        );
      }
    if (replayedSpans > 0) {
      metrics.replayedSpans(replayedSpans);
      log.log('info', 'spans read back from the log', { spans: replayedSpans });
    }
    if (damage.length > 0) metrics.corruptRecords(damage.length);
    for (const line of damage) log.log('warn', `the log is damaged: ${line}`, {});
  } catch (error) {
    for (const retry of retries) clearInterval(retry);
    await Promise.all(listeners.map((listener) => listener.close(0)));
    await Promise.all(consumers.map((consumer) => consumer.close()));
    await datagrams?.close();
    peers?.close();
    throw error;
  }
  state = 'running';

  return {
    addresses,
    async stop() {
      state = 'stopping';
      for (const retry of retries) clearInterval(retry);
      clearInterval(teller);
      stopCollecting();
      if (config.shutdownDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, config.shutdownDelayMs));
      const graceMs = config.server.gracefulShutdownTimeoutMs;
      await Promise.all([copies.close(), ...consumers.map((consumer) => consumer.close())]);
      await Promise.all([datagrams?.close(), ...listeners.map((listener) => listener.close(graceMs))]);
      const cut = await writer.close();
      if (!cut) log.log('error', 'not everything could be cut to blocks; the log keeps it for the next start', {});
      if (
        bucket !== undefined &&
        !(await bucket.close(graceMs, { isCut: cut, removeLog: cut && config.ingester.ack === 'storage' }))
      )
        log.log('error', 'not every block could be uploaded; their folder keeps them for the next start', {});
      await readers.close();
      peers?.close();
      closeTenants();
      certificates.close();
      guard?.close();
      userOverrides?.close();
      metrics.close();
      return 0;
    },
  };
}

function readerSettings({
  vivace,
  querier,
}: Configuration): Omit<ReaderSettings, 'cancelled' | 'lastAsked' | 'number' | 'held'> {
  const { queryBytesMax: bytesMax, querySpansMax: spansMax } = vivace;
  return {
    cacheBytes: vivace.cacheBytes,
    progressMs: vivace.progressIntervalMs,
    limits: {
      search: { msMax: querier.search.queryTimeoutMs, timeKey: 'querier.search.query_timeout', bytesMax, spansMax },
      // One trace is bounded by max_bytes_per_trace.
      trace: {
        msMax: querier.traceById.queryTimeoutMs,
        timeKey: 'querier.trace_by_id.query_timeout',
        bytesMax: 0,
        spansMax: 0,
      },
    },
  };
}

function makeDirectory(directory: string): void {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.accessSync(directory, fs.constants.W_OK);
  } catch (error) {
    throw new VivaceError(
      'internal',
      `cannot use the directory ${directory}: ${messageOf(error)}; make it writable or name another one (storage.trace.local.path, storage.trace.wal.path)`,
      { cause: error },
    );
  }
}

function isInUse(error: unknown): boolean {
  return /EADDRINUSE|in use/i.test(messageOf(error));
}

/** What this process may take: the machine's memory, or less where a container says so. */
function memoryLimitBytes(): number {
  const container = process.constrainedMemory();
  return container > 0 ? Math.min(container, os.totalmem()) : os.totalmem();
}
