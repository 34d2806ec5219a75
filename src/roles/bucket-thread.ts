/**
 * The bucket thread: the only one that speaks to the object store. It uploads the blocks of this machine, polls which blocks
 * there are, and reads ranges of them for reader threads, out of a cache where it can. It runs only with a bucket.
 *
 *   writer thread ◀── blocks that came and went ── bucket thread ◀── ranges ──▶ reader threads
 *         └─────────────── a block was cut ──────────────▲
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { BucketList } from '../block/bucket-list.ts';
import { type BlockRef, blockRef } from '../block/catalog.ts';
import { folderId, type Holding } from '../block/data-folders.ts';
import type { BlockMeta } from '../block/meta.ts';
import { parseFilterPack, renderFilterPack } from '../block/filter-pack.ts';
import { FILTERS_FILE, objectKey } from '../block/objects.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import { type BlockSource, fetchingSource } from '../block/source.ts';
import { TraceFilters } from '../block/trace-filters.ts';
import { Leases } from '../compact/bucket-lease.ts';
import { retainBucket } from '../compact/bucket-retention.ts';
import { ofTenant } from '../compact/retention.ts';
import { LOG_FOLDER } from '../log/object-log.ts';
import { INSTANCE, isOwned } from '../log/ownership.ts';
import { collectArrays } from '../runtime/array-collection.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { reached } from '../runtime/reached.ts';
import { type Bucket, isNotFound } from '../store/bucket.ts';
import { withBreaker } from '../store/breaker.ts';
import { counted } from '../store/counted.ts';
import { withDeadline } from '../store/deadline.ts';
import { hedged } from '../store/hedged.ts';
import { RangeCache } from '../store/range-cache.ts';
import { openRemoteCaches, type RemoteCache } from '../store/remote-cache.ts';
import { openBucket } from '../store/open.ts';
import { BucketCompaction } from './bucket-compaction.ts';
import type {
  BucketAnswer,
  BucketSettings,
  BucketStats,
  ChangedBlocks,
  DamagedBlocks,
  FromBucket,
  FromWriterToBucket,
  HiddenTraces,
  RangeAsked,
  ReaderAsksBucket,
  ToBucket,
} from './bucket-messages.ts';
import { BucketDeletionsWork } from './bucket-deletions.ts';
import { BucketQuarantine } from './bucket-quarantine.ts';
import { BucketRules } from './bucket-rules.ts';
import { type BucketWork, markAfterMs, removeOldScratch } from './bucket-rewrite.ts';
import { Compactor } from './compactor.ts';
import { answerLogQuestion, type LogQuestion } from './log-objects.ts';
import { LocalBlocks } from './local-blocks.ts';
import type { RetentionSettings } from './lifetime-settings.ts';

const FILTERS_AT_ONCE = 8;
const PACK_HEAD_BYTES_MAX = 1 << 20;
/** A read for a query is given up after so many times the silence after which a request is asked again. */
const READ_TIMEOUTS = 2;
/** After so many failed reads in a row all fail, without being tried, for so long. */
const FAILURES_MAX = 4;
const FAILING_MS = 2000;
const UPLOAD_RETRY_MS = [1000, 2000, 5000, 15_000, 30_000, 60_000];
/** How often it is looked for deleted traces. */
const ERASING_CYCLE_MS = 1000;
/** What uploads leave behind, a block each. */
const GARBAGE_BYTES = 8 * 1024 * 1024;
/** Who deletes a trace is told after so long that the bucket does not answer. */
const DELETION_MS_MAX = 15_000;
/** The same trouble is told again after this. */
const TELL_MS = 60_000;

const settings = workerData as BucketSettings;
const main = parentPort!;
let stats = emptyStats();
let bucket: Bucket;
const started = Promise.withResolvers<void>();
let list: BucketList;
let local: LocalBlocks | undefined;
let compaction: BucketCompaction | undefined;
let deletions: BucketDeletionsWork | undefined;
let rules: BucketRules | undefined;
let quarantine: BucketQuarantine | undefined;
/** Of blocks in quarantine, by tenant. */
const damagedIds = new Map<string, string[]>();
/** Ends when nobody writes blocks again any more. */
let rewriting: Promise<void> = Promise.resolve();
let writer: MessagePort | undefined;
let retentions = settings.retention?.retentions;
const unknown = new Map<number, (error?: string) => void>();
/** Resolves when the writer thread knows of the last change. */
let heard: Promise<void> = Promise.resolve();
let nextChange = 1;
/** Changes that were found before the writer thread was there. */
const early: (ChangedBlocks | HiddenTraces | DamagedBlocks)[] = [];
/** What reader threads read from. */
let readable: Bucket;
let remote: RemoteCache | undefined;
const ranges = new RangeCache({
  directory: settings.walDirectory,
  bytesMax: settings.cacheBytes,
  read: (key, offset, length, size) =>
    remote === undefined ? readRange(key, offset, length) : remote.read(key, offset, length, size),
});
const filters = new TraceFilters({
  bytesMax: settings.filterBytes,
  concurrency: FILTERS_AT_ONCE,
  async read(ref) {
    const block = await OpenBlock.open(ref, { ...createBlockCaches(0), remote: remoteSource });
    return block.traceFilters();
  },
  async readPack(tenant) {
    const bytesMax = settings.filterBytes + PACK_HEAD_BYTES_MAX;
    const { bytes } = await bucket.get(`${tenant}/${FILTERS_FILE}`, { bytesMax, signal: stopping.signal });
    return parseFilterPack(bytes);
  },
});
const toldMs = new Map<string, number>();
const stopping = new AbortController();
let wake: (() => void) | undefined;

start().catch((error: unknown) => send({ type: 'failed', message: messageOf(error) }));

async function start(): Promise<void> {
  const opened = counted(await openBucket(settings.storage, settings.silentMs), (operation, status, seconds) =>
    stats.operations.push({ operation, status, seconds }),
  );
  bucket = hedged(opened, { ...settings.hedge, onHedge: () => stats.hedges++ });
  readable = withBreaker(withDeadline(bucket, READ_TIMEOUTS * settings.silentMs), {
    ...{ failuresMax: FAILURES_MAX, pauseMs: FAILING_MS, nowMs: () => performance.now() },
    onPause: ({ message }) =>
      tell('error', `${bucket.name} cannot be read: answers lack what is only there`, { reason: message }),
  });
  if (settings.caches.length > 0)
    remote = await openRemoteCaches(settings.caches, readRange, {
      onCall: (kind, name, method, status, seconds) => stats.caches.calls.push({ kind, name, method, status, seconds }),
      onDropped: (name) => count(stats.caches.dropped, name),
      onRefused: (name) => count(stats.caches.refused, name),
      onProblem: (text) => tell('warn', text, {}),
    });
  const { periodMs, ...poll } = settings.poll;
  list = new BucketList(bucket, {
    ...poll,
    pollMs: periodMs,
    // Clients of stores leave a lot with each request, and the engine is in no hurry.
    collect: () => void globalThis.gc?.({ type: 'major', execution: 'sync' }),
    // Who sees a block knows what must not be seen of it.
    beforeTenant: (tenant, signal) => deletions!.poll(tenant, signal),
    listMsMax: markAfterMs(periodMs) / 2,
    now: Date.now,
    random: Math.random,
    wait: (ms) => (ms > 0 ? sleep(ms) : Promise.resolve()),
    onChange: (tenant, added, removed) => {
      for (const id of removed) {
        local?.remove({ tenant, id });
        ranges.forget(objectKey(tenant, id, ''), deletions!.deleted(tenant).length > 0);
      }
      const { damaged } = list.tenants.get(tenant)!;
      filters.remove(removed.filter((id) => !damaged.has(id)));
      filters.add(added.map((meta) => blockRef(meta, tenant, undefined)));
      heard = tellWriter(tenant, added, removed);
    },
    onDamaged(tenant, damaged) {
      const blocks = [...damaged].map(([id, { meta }]) => ({ id, meta }));
      const { live } = list.tenants.get(tenant)!;
      const known = damagedIds.get(tenant) ?? [];
      filters.remove(known.filter((id) => !damaged.has(id) && !live.has(id)));
      damagedIds.set(tenant, [...damaged.keys()]);
      // A trace that is not in a damaged block is not missed.
      filters.add(blocks.flatMap(({ meta }) => (meta === undefined ? [] : [blockRef(meta, tenant, undefined)])));
      if (!stopping.signal.aborted) void told({ type: 'damaged', id: nextChange++, tenant, blocks });
    },
    onProblem(tenant, kind, text) {
      (kind === 'poll' ? stats.pollErrors : stats.indexErrors).push(tenant);
      tell('warn', `cannot list the blocks of tenant ${tenant}: ${text}`, { tenant });
    },
  });
  const { walDirectory, blocksDirectory, work, instance, leaseMs } = settings;
  const compactor = new Compactor();
  const bucketWork: BucketWork = { bucket, list, compactor, work, walDirectory, blocksDirectory, pollMs: periodMs };
  const leases = new Leases(bucket, { owner: randomUUID(), leaseMs, nowMs: () => performance.now() });
  deletions = new BucketDeletionsWork(bucketWork, {
    folder: instance === undefined ? undefined : folderId(walDirectory),
    keepMs: settings.deletedKeptMs,
    leases: settings.retention === undefined ? undefined : leases,
    hide,
    holding: (blocks, traceId) => filters.holding(blocks, traceId),
    forgetParts,
    reached: (point) => reached(`bucket erasing ${point}`),
    onProblem: (message) => tell('error', message, {}),
  });
  rules = new BucketRules(bucketWork, {
    rules: settings.rules ?? { base: undefined, own: new Map() },
    ...{ leases, deleted: (tenant) => deletions!.deleted(tenant), connect: answerReader },
    reached: (point) => reached(`bucket rules ${point}`),
  });
  quarantine = new BucketQuarantine(bucket, list, {
    leases: new Leases(bucket, { owner: randomUUID(), leaseMs, nowMs: () => performance.now() }),
    signal: stopping.signal,
    onSound: (tenant, block) => ranges.forget(objectKey(tenant, block, ''), false),
    onQuarantined(tenant, block, problems) {
      count(stats.quarantined, tenant);
      const text = `block ${block} of tenant ${tenant} is damaged and was put into quarantine: ${problems.join('; ')}`;
      tell('error', `${text}; vivace-cli fsck shows more`, { block, tenant });
    },
    onProblem: (message) => tell('error', message, {}),
  });
  started.resolve();
  if (settings.instance !== undefined) {
    const own = settings.instance;
    local = new LocalBlocks(bucket, {
      directory: settings.blocksDirectory,
      mine: async (instance) =>
        instance === undefined || instance === own || !(await isOwned(settings.walDirectory, instance)),
      keepMs: settings.keepMs,
      concurrency: settings.uploadsAtOnce,
      now: Date.now,
      reached: (point) => reached(`upload ${point}`),
      onUploaded: async (tenant, meta) => {
        list.add(tenant, meta);
        await heard;
      },
      isThere: (tenant, id, uploadedMs) => list.has(tenant, id, uploadedMs),
      onFailed(block, error) {
        stats.failedUploads++;
        tell('error', `cannot upload block ${block.id} of tenant ${block.tenant}, trying again: ${messageOf(error)}`, {
          tenant: block.tenant,
        });
      },
    });
    void uploadLoop(local);
  }
  void pollLoop();
  if (settings.retention !== undefined) void retentionLoop(settings.retention);
  if (settings.retention !== undefined) rewriting = rewritingLoop(bucketWork, leases);
  const collect = collectArrays(GARBAGE_BYTES);
  const teller = setInterval(() => {
    sendStats();
    collect();
  }, 1000);
  teller.unref();
}

async function uploadLoop(blocks: LocalBlocks): Promise<void> {
  for (let failures = 0; !stopping.signal.aborted; ) {
    const failed = await blocks.work(stopping.signal).catch((error: unknown) => {
      tell('error', `cannot upload blocks, trying again: ${messageOf(error)}`, {});
      return 1;
    });
    failures = failed > 0 ? failures + 1 : 0;
    const pauseMs = failures > 0 ? UPLOAD_RETRY_MS[Math.min(failures, UPLOAD_RETRY_MS.length) - 1] : settings.checkMs;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      // A cut block goes at once, but not into a bucket that has just refused one.
      wake = () => {
        if (failures > 0 && !stopping.signal.aborted) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

async function pollLoop(): Promise<void> {
  for (let listed = false, settled = false, failures = 0; !stopping.signal.aborted; ) {
    const began = performance.now();
    try {
      if (!settled) await local?.settle(stopping.signal);
      settled = true;
      await list.poll(stopping.signal);
      stats.pollSeconds.push((performance.now() - began) / 1000);
      void packFilters().catch((error: unknown) =>
        tell('warn', `cannot put filters of trace ids into the bucket: ${messageOf(error)}`, {}),
      );
      if (!listed) send({ type: 'listed' });
      listed = true;
      await deletions!.say(stopping.signal);
      failures = 0;
      const foreign = [...list.tenants.values()].reduce((sum, state) => sum + state.foreign.size, 0);
      if (foreign > 0)
        tell(
          'warn',
          `the bucket holds ${foreign} blocks in formats that are not read: they are left out of answers`,
          {},
        );
    } catch (error) {
      if (stopping.signal.aborted) return;
      failures++;
      stats.pollErrors.push('');
      tell('error', `cannot list the bucket, trying again: ${messageOf(error)}`, {});
    }
    const { periodMs } = settings.poll;
    const pauseMs = listed ? periodMs : Math.min(periodMs, 1000 * 2 ** Math.min(failures, 5));
    await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {});
  }
}

/** Puts the filters of tenants whose index this process writes into one object each, for those who start later. */
async function packFilters(): Promise<void> {
  await filters.settled();
  for (const [tenant, { built, live }] of list.tenants) {
    const pack = built ? filters.packOf(tenant, live.keys()) : undefined;
    if (pack === undefined) continue;
    const key = `${tenant}/${FILTERS_FILE}`;
    const { signal } = stopping;
    const bytes = Buffer.concat(renderFilterPack(pack));
    if (bytes.length <= bucket.partBytes) await bucket.put(key, bytes, { signal });
    else await bucket.multipart(key, partsOf(bytes, bucket.partBytes), { signal });
    filters.setPacked(tenant, pack.keys());
  }
}

async function* partsOf(bytes: Uint8Array, partBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += partBytes) yield bytes.subarray(at, at + partBytes);
}

async function retentionLoop(retention: RetentionSettings): Promise<void> {
  const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal: stopping.signal }).catch(() => {});
  await pause(retention.firstMs);
  while (!stopping.signal.aborted) {
    const done = await retainBucket(bucket, list, {
      ...retention,
      retentions: retentions!,
      nowMs: Date.now(),
      signal: stopping.signal,
      forgetParts,
      reached: (point) => reached(`retention ${point}`),
    });
    stats.retention.push(done);
    await pause(retention.cycleMs);
  }
}

/** One thing after the other: each takes memory, and the lease of a tenant. */
async function rewritingLoop(work: BucketWork, leases: Leases): Promise<void> {
  removeOldScratch(work.walDirectory);
  const own = settings.compaction;
  if (own !== undefined)
    compaction = new BucketCompaction(work, {
      ...{ settings: own, leases, deleted: (tenant) => deletions!.deleted(tenant) },
      onSuspect: (tenant, block) => quarantine!.suspect(tenant, block),
      reached: (point) => reached(`bucket compaction ${point}`),
    });
  const turns = [
    { cycleMs: ERASING_CYCLE_MS, run: () => deletions!.cycle(stopping.signal) },
    { cycleMs: settings.rulesCycleMs, run: async () => settings.rules && rules!.cycle(stopping.signal) },
    { cycleMs: own?.cycleMs ?? Number.POSITIVE_INFINITY, run: async () => compaction?.cycle(stopping.signal) },
  ].map((turn) => ({ ...turn, lastMs: performance.now() }));
  const pauseMs = Math.min(...turns.map(({ cycleMs }) => cycleMs));
  for (;;) {
    await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {});
    for (const turn of turns) {
      if (stopping.signal.aborted) return;
      if (performance.now() - turn.lastMs < turn.cycleMs) continue;
      await turn.run();
      turn.lastMs = performance.now();
    }
  }
}

main.on('message', (message: ToBucket) => {
  switch (message.type) {
    case 'lifetimes':
      retentions = message.retentions;
      if (compaction !== undefined) compaction.windows = message.windows;
      if (settings.rules !== undefined && rules !== undefined) rules.rules = message.rules;
      break;
    case 'writer':
      writer = message.port;
      writer.on('message', (answer: FromWriterToBucket) => {
        if (answer.type === 'cut') return wake?.();
        if (answer.type === 'holdings') return void tellHoldings(answer);
        if (answer.type !== 'known') return void answerLog(answer);
        unknown.get(answer.id)?.(answer.error);
        unknown.delete(answer.id);
      });
      for (const change of early.splice(0)) writer.postMessage(change);
      break;
    case 'reader':
      answerReader(message.port);
      break;
    case 'suspect':
      quarantine?.suspect(message.tenant, message.block);
      break;
    case 'preview': {
      const { id, tenant, rules: texts } = message;
      const restMs = retentions === undefined ? Number.POSITIVE_INFINITY : ofTenant(retentions, tenant);
      void answer(id, 'try retention rules', () => rules!.preview(tenant, texts, restMs, Date.now()));
      break;
    }
    case 'delete': {
      const { tenant, trace } = message;
      const signal = AbortSignal.timeout(DELETION_MS_MAX);
      void answer(message.id, 'delete a trace', async () => [await deletions!.delete(tenant, trace, signal)]);
      break;
    }
    case 'deletions': {
      const { tenant, trace } = message;
      const signal = AbortSignal.timeout(DELETION_MS_MAX);
      void answer(message.id, 'say what became of deleted traces', () => deletions!.states(tenant, trace, signal));
      break;
    }
    case 'close':
      close(message).then(
        (left) => send({ type: 'closed', left }),
        () => send({ type: 'closed', left: 1 }),
      );
  }
});

async function answerLog(question: LogQuestion): Promise<void> {
  await started.promise;
  writer!.postMessage(await answerLogQuestion(bucket, (tenant) => list.refresh(tenant), question));
}

async function tellHoldings({
  tenant,
  holdings,
}: {
  tenant: string;
  holdings: Record<string, Holding>;
}): Promise<void> {
  await started.promise;
  deletions!.setHoldings(tenant, holdings);
}

async function answer(id: number, action: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await started.promise;
    send({ type: 'answer', id, value: await work() });
  } catch (error) {
    const { code, message, retryAfterMs } =
      error instanceof VivaceError ? error : new VivaceError('internal', `cannot ${action}: ${messageOf(error)}`);
    send({ type: 'answer', id, error: { code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) } });
  }
}

/** Resolves when no query of this process sees the traces. */
async function hide(tenant: string, traces: HiddenTraces['traces'], readMs: number): Promise<void> {
  if (stopping.signal.aborted) return;
  const hidden: HiddenTraces = { type: 'hide', id: nextChange++, tenant, traces, readMs };
  const error = await told(hidden);
  if (error !== undefined) throw new VivaceError('unavailable', error);
}

/** Resolves when the writer thread has taken it in, with what went wrong. */
function told(change: ChangedBlocks | HiddenTraces | DamagedBlocks): Promise<string | undefined> {
  const known = new Promise<string | undefined>((resolve) => unknown.set(change.id, resolve));
  if (writer === undefined) early.push(change);
  else writer.postMessage(change);
  return known;
}

/** Resolves when the writer thread lists blocks accordingly. */
async function tellWriter(tenant: string, added: BlockMeta[], removed: string[]): Promise<void> {
  if (stopping.signal.aborted) return;
  const asOfMs = list.tenants.get(tenant)?.asOfMs ?? 0;
  await told({ id: nextChange++, tenant, added, removed, asOfMs });
}

function answerReader(port: MessagePort): void {
  port.on('message', (asked: ReaderAsksBucket) => {
    if (asked.type === 'range') return void answerRange(port, asked);
    if (asked.type === 'warm') {
      const { tenant, block, name, size, offset, length } = asked;
      return ranges.warm(objectKey(tenant, block, name), size, offset, length);
    }
    const answer: BucketAnswer = { id: asked.id, blocks: filters.holding(asked.blocks, asked.traceId) };
    port.postMessage(answer);
  });
}

async function answerRange(port: MessagePort, asked: RangeAsked): Promise<void> {
  let answer: BucketAnswer;
  try {
    const bytes = await rangeOf(asked);
    const { tenant, block, name, size } = asked;
    answer = { id: asked.id, bytes, shared: ranges.shared(objectKey(tenant, block, name), size) };
  } catch (error) {
    const code = error instanceof VivaceError ? error.code : 'internal';
    answer = { id: asked.id, code, message: messageOf(error) };
  }
  port.postMessage(answer, 'bytes' in answer ? [answer.bytes.buffer] : []);
}

function readRange(key: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  return readable.range(key, offset, length, { signal: stopping.signal });
}

async function forgetParts(objects: { key: string; size: number }[]): Promise<void> {
  await remote?.forget(objects);
}

function remoteSource(ref: BlockRef): BlockSource {
  return fetchingSource(ref, (name, { offset, length }, size) =>
    ranges.range(objectKey(ref.tenant, ref.id, name), size, offset, length),
  );
}

async function rangeOf({ tenant, block, name, size, offset, length }: RangeAsked): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await ranges.range(objectKey(tenant, block, name), size, offset, length);
  } catch (error) {
    if (isNotFound(error)) throw new VivaceError('not-found', `block ${block} of tenant ${tenant} has gone`);
    throw error;
  }
}

/** Resolves with the number of uploads that failed. `removeLog`: the log of this process is in the bucket, and all of it is in blocks. */
async function close({ msMax, isCut, removeLog }: Extract<ToBucket, { type: 'close' }>): Promise<number> {
  stopping.abort();
  wake?.();
  await rules?.close();
  // The writer thread has ended before.
  for (const known of unknown.values()) known();
  unknown.clear();
  const signal = AbortSignal.timeout(msMax);
  const left = local === undefined ? 0 : await local.work(signal);
  await Promise.race([rewriting, sleep(msMax)]);
  await list
    .publish(signal)
    .catch((error: unknown) => tell('warn', `cannot write the indexes of tenants: ${messageOf(error)}`, {}));
  if (left === 0 && removeLog && settings.instance !== undefined) await removeOwnLog(settings.instance, signal);
  if (left === 0 && isCut && !hasLogs(settings.walDirectory)) await deletions?.leave(signal).catch(() => {});
  sendStats();
  remote?.close();
  return left;
}

/** Whether there are logs in the folder, of other processes or of those that are dead. */
function hasLogs(walDirectory: string): boolean {
  return fs.readdirSync(walDirectory).some((name) => INSTANCE.test(name));
}

/** Nobody needs to take over the log of a process that has stopped in order. */
async function removeOwnLog(instance: string, signal: AbortSignal): Promise<void> {
  try {
    const keys: string[] = [];
    for await (const { key } of bucket.list(`${LOG_FOLDER}/${instance}/`, { signal })) keys.push(key);
    // The owner's object is the last in this order, so an end in between leaves a log that is taken over as any other.
    for (const key of keys.sort()) await bucket.delete(key, { signal });
  } catch (error) {
    tell('warn', `cannot remove the log of this process from the bucket: ${messageOf(error)}`, {});
  }
}

function tell(level: 'warn' | 'error', message: string, fields: Record<string, string | number>): void {
  const now = Date.now();
  if (now - (toldMs.get(message) ?? Number.NEGATIVE_INFINITY) < TELL_MS) return;
  for (const [text, ms] of toldMs) if (now - ms >= TELL_MS) toldMs.delete(text);
  toldMs.set(message, now);
  send({ type: 'log', level, message, fields });
}

function sendStats(): void {
  if (list !== undefined)
    for (const [tenant, { built, indexAgeMs }] of list.tenants)
      stats.indexes.set(tenant, { builder: built, ageSeconds: indexAgeMs / 1000 });
  stats.compaction = compaction?.take();
  stats.deletions = deletions?.take();
  stats.lateRetention = rules?.take();
  stats.pendingDeletions = deletions?.pending ?? new Map();
  send({ type: 'stats', stats });
  stats = emptyStats();
}

function emptyStats(): BucketStats {
  return {
    operations: [],
    pollSeconds: [],
    pollErrors: [],
    indexErrors: [],
    failedUploads: 0,
    hedges: 0,
    caches: { calls: [], dropped: new Map(), refused: new Map() },
    quarantined: new Map(),
    retention: [],
    compaction: undefined,
    deletions: undefined,
    lateRetention: undefined,
    pendingDeletions: new Map(),
    indexes: new Map(),
  };
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function send(message: FromBucket): void {
  main.postMessage(message);
}
