/**
 * The writer thread: owns the log, the live columns, cutting, and the list of blocks. The main thread sends it requests;
 * reader threads ask it, over ports of their own, for what is there now.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { BlockCatalog } from '../block/catalog.ts';
import { retainFolder } from '../compact/local-retention.ts';
import { ofTenant } from '../compact/retention.ts';
import { logsOf } from '../block/meta.ts';
import { quarantineIfDamaged } from '../block/quarantine.ts';
import { LiveStore } from '../cut/live-store.ts';
import type { LiveLog, LiveStoreOptions } from '../cut/live-store-options.ts';
import { LocalLog } from '../log/local-log.ts';
import type { ObjectLog } from '../log/object-log.ts';
import { OWNER_MS } from '../log/object-ownership.ts';
import { HEARTBEAT_MS, heartbeat, takeOverDeadLogs, writeOwner } from '../log/ownership.ts';
import { RECORD_CUT } from '../log/record.ts';
import { replayLog } from '../log/replay.ts';
import { isDiskFull, messageOf, VivaceError } from '../runtime/errors.ts';
import { reached } from '../runtime/reached.ts';
import type { FolderWork } from './background.ts';
import { HeldBytes } from './held-bytes.ts';
import { type AskedLogObjects, askLogObjects, type LogAnswer } from './log-objects.ts';
import { ObjectLogs } from './object-logs.ts';
import { eachPush } from './pushes.ts';
import { ReaderPorts } from './reader-ports.ts';
import { ReceivedCounts } from './received-counts.ts';
import { Compaction } from './compaction.ts';
import { Deletions, type DeletionState } from './deletions.ts';
import { LateRetention, ruledFolder } from './late-retention.ts';
import type { ChangedBlocks, DamagedBlocks, FromWriterToBucket, HiddenTraces } from './bucket-messages.ts';
import { collectWhenIdle } from '../runtime/idle-collection.ts';
import type { RetentionSettings } from './lifetime-settings.ts';
import type { WriterSettings, ToWriter, FromWriter, PushAnswer, WriterStats } from './writer-messages.ts';

/** Between two looks for deleted traces that found something in the way. */
const BLOCKED_RETRY_MS = 15_000;
/** Levels of so many tenants are told at longer intervals. */
const MANY_TENANTS = 2000;
const MANY_LEVELS_MS = 10_000;

const settings = workerData as WriterSettings;
const main = parentPort!;

const catalog = new BlockCatalog(settings.blocksDirectory);
/** The store of this process first, then those of replayed logs until they are cut. */
const stores: LiveStore[] = [];
const readers = new ReaderPorts(catalog, () => stores, new HeldBytes(settings.held));
let limits = settings.limits;
const { pageRows, createdBy, fsync, blocksDirectory, questions } = settings;
const folderWork: FolderWork = { pageRows, createdBy, fsync, blocksDirectory, questions };
const compaction = settings.compaction && new Compaction(catalog, settings.compaction, folderWork, inspect);
const deletions = new Deletions(catalog, {
  walDirectory: settings.walDirectory,
  keepMs: settings.deletedKeptMs,
  work: settings.erases || settings.isOnTheWay ? folderWork : undefined,
  isOnTheWay: settings.isOnTheWay,
  blockedRetryMs: settings.isOnTheWay ? Math.min(BLOCKED_RETRY_MS, settings.blocklistPollMs) : BLOCKED_RETRY_MS,
  stores: () => stores,
  forget: (blocks) => readers.forget(blocks),
  onProblem: (message) => log('error', message, {}),
});
const late = new LateRetention(ruledFolder(catalog, folderWork), settings.rules ?? { base: undefined, own: new Map() });
let retentions = settings.retention?.retentions;
let bucket: MessagePort | undefined;
/** The bucket as the log has it, once its thread is connected. */
const logObjects = Promise.withResolvers<AskedLogObjects>();
let objectLogs: ObjectLogs | undefined;
/** What the bucket thread was told that this folder holds of deleted traces, by tenant. */
const toldHoldings = new Map<string, string>();
let own: { store: LiveStore; log: LocalLog | ObjectLog; directory: string } | undefined;
let nextSegment = 1;
let answers: PushAnswer[] = [];
let stats = emptyStats();
const received = new ReceivedCounts();
const timers: NodeJS.Timeout[] = [];
let closing = false;
let levelsDueMs = 0;
let refreshing = false;

start().catch((error: unknown) => send({ type: 'failed', message: messageOf(error) }));

async function start(): Promise<void> {
  fs.mkdirSync(settings.blocksDirectory, { recursive: true, mode: 0o700 });
  removeLeftovers();
  for (const problem of catalog.refresh()) log('warn', problem, {});
  let replayedSpans = 0;
  const damage: string[] = [];
  if (settings.instance !== undefined) {
    const directory = path.join(settings.walDirectory, settings.instance);
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const ownLog =
      settings.ack === 'storage' ? await openObjectLog(settings.instance, directory) : await openLocalLog(directory);
    writeOwner(settings.walDirectory, settings.instance);
    const cut = 'blockCut' in ownLog ? (block: string) => ownLog.blockCut(block) : undefined;
    const store = new LiveStore(storeOptions(ownLog, settings.instance, directory, cut));
    own = { store, log: ownLog, directory };
    stores.push(store);
    void objectLogs?.takeOver();
    const replayed = await takeOver();
    replayedSpans = replayed.spans;
    damage.push(...replayed.damage);
    every(HEARTBEAT_MS, () => {
      heartbeat(settings.walDirectory, settings.instance!);
      takeOver().catch((error: unknown) => log('error', messageOf(error), {}));
    });
  }
  every(1000, () => {
    for (const store of stores) store.tick();
    deletions.tick();
    tellHoldings();
    sendStats();
  });
  every(Math.min(settings.blocklistPollMs, 5000), () => void refreshCatalog());
  if (settings.retention !== undefined) retainLater(settings.retention, settings.retention.firstMs);
  if (settings.compaction !== undefined) every(settings.compaction.cycleMs, compact);
  if (settings.rules !== undefined) every(settings.rulesCycleMs, () => late.cycle(Date.now()));
  send({ type: 'ready', replayedSpans, damage });
}

collectWhenIdle();

main.on('message', (message: ToWriter) => {
  switch (message.type) {
    case 'push':
      eachPush(message, (id, tenant, body, done) =>
        own!.store.push(tenant, body, (error, spans) => {
          done();
          answer(
            error === undefined
              ? { id, spans }
              : { id, spans, error: { code: error.code, message: error.message, retryAfterMs: error.retryAfterMs } },
          );
        }),
      );
      break;
    case 'limits':
      limits = message.limits;
      break;
    case 'suspect':
      inspect(message.tenant, message.block);
      break;
    case 'lifetimes':
      retentions = message.retentions;
      if (compaction !== undefined) compaction.windows = message.windows;
      if (settings.rules !== undefined) late.rules = message.rules;
      break;
    case 'reader':
      readers.serve(message.port);
      break;
    case 'bucket':
      bucket = message.port;
      serveBucket(bucket);
      break;
    case 'flush':
      if (message.tenant !== undefined && !isKnown(message.tenant)) {
        send({ type: 'done', id: message.id, ok: false });
        break;
      }
      Promise.all(stores.map((store) => store.flush(message.tenant))).then(
        () => send({ type: 'done', id: message.id, ok: true }),
        () => send({ type: 'done', id: message.id, ok: false }),
      );
      break;
    case 'preview': {
      const { id, tenant } = message;
      late
        .preview(
          tenant,
          message.rules,
          retentions === undefined ? Number.POSITIVE_INFINITY : ofTenant(retentions, tenant),
          Date.now(),
        )
        .then(
          (preview) => send({ type: 'preview', id, preview }),
          (error: unknown) => send({ type: 'preview', id, error: told(error, 'try retention rules') }),
        );
      break;
    }
    case 'delete':
      answerDeletions(message.id, async () => [await deletions.delete(message.tenant, message.trace)]);
      break;
    case 'deletions':
      answerDeletions(message.id, async () => {
        const { tenant, trace } = message;
        if (trace === undefined) return deletions.list(tenant);
        return [deletions.state(tenant, trace)].filter((state) => state !== undefined);
      });
      break;
    case 'close':
      close().then(
        (ok) => send({ type: 'done', id: message.id, ok }),
        (error: unknown) => {
          log('error', `cannot stop in order: ${messageOf(error)}`, {});
          send({ type: 'done', id: message.id, ok: false });
        },
      );
  }
});

function answerDeletions(id: number, work: () => Promise<DeletionState[]>): void {
  work().then(
    (states) => send({ type: 'deletions', id, states }),
    (error: unknown) => send({ type: 'deletions', id, states: [], error: told(error, 'delete a trace') }),
  );
}

/** An error as it goes to another thread. */
function told(error: unknown, action: string): NonNullable<PushAnswer['error']> {
  const { code, message, retryAfterMs } =
    error instanceof VivaceError ? error : new VivaceError('internal', `cannot ${action}: ${messageOf(error)}`);
  return { code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

function tellBucket(message: FromWriterToBucket): void {
  bucket?.postMessage(message);
}

function isKnown(tenant: string): boolean {
  return stores.some((store) => store.traces.has(tenant)) || catalog.blocks(tenant).length > 0;
}

async function openLocalLog(directory: string): Promise<LocalLog> {
  const localLog = new LocalLog({
    directory,
    fsync: settings.fsync,
    segmentBytesMax: settings.logSegmentBytes,
    reserveBytes: () => stores.reduce((sum, store) => sum + store.blockBytesExpected, 0),
  });
  await localLog.open();
  return localLog;
}

async function openObjectLog(instance: string, directory: string): Promise<ObjectLog> {
  const logs = await ObjectLogs.open({
    objects: await logObjects.promise,
    instance,
    openStore: (dead, cut) => replayStore(dead, directory, cut),
    dropStore: (store) => stores.splice(stores.indexOf(store), 1),
    cutTo,
    log,
  });
  every(OWNER_MS, () => {
    // Its spans are another process's now; what it took from here on, two would have.
    logs.tick().catch((error: unknown) => send({ type: 'failed', message: messageOf(error) }));
  });
  objectLogs = logs;
  return logs.log;
}

/** Takes in which blocks come and go in the bucket. */
function serveBucket(port: MessagePort): void {
  const objects = askLogObjects(port);
  port.on('message', (message: ChangedBlocks | HiddenTraces | DamagedBlocks | LogAnswer) => {
    if ('type' in message) {
      if (message.type === 'answer') return objects.onAnswer(message);
      if (message.type === 'hide') return void hide(message);
      catalog.changeDamagedRemote(message.tenant, message.blocks);
      return tellBucket({ type: 'known', id: message.id });
    }
    const { id, tenant, added, removed, asOfMs } = message;
    for (const { blockID } of added) objectLogs?.uploaded(blockID);
    catalog.changeRemote(tenant, added, removed, asOfMs);
    // What they were replaced for may stand in caches.
    if (removed.length > 0 && catalog.deleted(tenant).ids.length > 0) void readers.forget(removed);
    tellBucket({ type: 'known', id });
  });
  logObjects.resolve(objects);
}

/** Hides what the bucket says is deleted. */
async function hide({ id, tenant, traces, readMs }: HiddenTraces): Promise<void> {
  try {
    await deletions.mirror(tenant, traces, readMs);
    tellBucket({ type: 'known', id });
    tellHoldings();
  } catch (error) {
    const reason = isDiskFull(error) ? 'the disk is full; free some space' : messageOf(error);
    tellBucket({ type: 'known', id, error: `cannot note deleted traces: ${reason}` });
  }
}

/** Tells the bucket thread what this folder holds of deleted traces, where that has changed. */
function tellHoldings(): void {
  if (!settings.isOnTheWay) return;
  for (const tenant of catalog.tenants()) {
    if (catalog.deleted(tenant).ids.length === 0 && !toldHoldings.has(tenant)) continue;
    const holdings = deletions.holdings(tenant);
    const text = JSON.stringify(holdings);
    if (text === toldHoldings.get(tenant)) continue;
    toldHoldings.set(tenant, text);
    tellBucket({ type: 'holdings', tenant, holdings });
  }
}

/** Answers that become ready in one turn go in one message. */
function answer(one: PushAnswer): void {
  if (answers.length === 0)
    queueMicrotask(() => {
      const all = answers;
      answers = [];
      send({ type: 'pushed', answers: all });
    });
  answers.push(one);
}

/** `cut` hears of every block of the store. */
function storeOptions(
  liveLog: LiveLog,
  instance: string,
  directory: string,
  cut?: (block: string) => void,
): LiveStoreOptions {
  return {
    log: liveLog,
    instance,
    blocksDirectory: settings.blocksDirectory,
    packDirectory: directory,
    liveBytes: settings.liveBytes,
    logBytesMax: settings.logBytes,
    maxBlockDurationMs: settings.maxBlockDurationMs,
    maxBlockBytes: settings.maxBlockBytes,
    traceIdleMs: settings.traceIdleMs,
    traceLiveMs: settings.traceLiveMs,
    pageRows: settings.pageRows,
    createdBy: settings.createdBy,
    fsync: settings.fsync,
    limits: (tenant) => limits.own.get(tenant) ?? limits.base,
    now: Date.now,
    nextSegment: () => nextSegment++,
    deleted(tenant) {
      catalog.refreshIfChanged(tenant);
      return catalog.deleted(tenant);
    },
    onLeftOut: (tenant, ids, of) => deletions.noteLate(tenant, ids, of),
    onBlock(block, cutMs) {
      catalog.add(block);
      cut?.(block.id);
      tellBucket({ type: 'cut' });
      stats.cuts.push({ ms: cutMs, bytes: block.meta.size + block.meta.vivace.tracesBytes });
    },
    onCutFailed(error) {
      stats.failedCuts++;
      log('error', `cannot cut a block, trying again: ${error.message}`, { error: error.message });
    },
    onPackFailed(error) {
      log('error', `${error.message}; it is tried again`, {});
    },
    onAppended(tenant, appended, bytes) {
      received.add(tenant, appended, bytes);
    },
  };
}

/** Replays the logs that dead processes left; their spans are searchable at once and cut to blocks in the background. */
async function takeOver(): Promise<{ spans: number; damage: string[] }> {
  const result = { spans: 0, damage: [] as string[] };
  for (const { instance, directory } of await takeOverDeadLogs(settings.walDirectory, settings.instance!)) {
    // What its process cut last may be newer than the list.
    for (const problem of catalog.refresh()) log('warn', problem, {});
    const cut = new Map(catalog.tenants().map((tenant) => [tenant, cutTo(tenant, instance)]));
    await replayLog(directory, (record) => {
      if (record.type !== RECORD_CUT || record.body.length !== 8) return;
      const sequence = new DataView(record.body.buffer, record.body.byteOffset).getFloat64(0, true);
      cut.set(record.tenant, Math.max(cut.get(record.tenant) ?? 0, sequence));
    });
    const store = replayStore(instance, directory);
    let refused = 0;
    const report = await replayLog(directory, async (record) => {
      if (record.type === RECORD_CUT || record.sequence <= (cut.get(record.tenant) ?? 0)) return;
      try {
        result.spans += (await store.replay(record.tenant, record.body, record.sequence)).spans;
      } catch {
        refused++;
      }
    });
    result.damage.push(...report.damage);
    if (refused > 0) result.damage.push(`${directory}: ${refused} records hold no valid request and were skipped`);
    // Not awaited: the process is ready as soon as the spans can be found.
    void finishTakeOver(store, directory);
  }
  return result;
}

/** Up to which number of that log the tenant's records are in blocks. */
function cutTo(tenant: string, instance: string): number {
  let sequence = 0;
  for (const block of catalog.blocks(tenant))
    for (const of of logsOf(block.meta)) if (of.instance === instance) sequence = Math.max(sequence, of.sequence);
  return sequence;
}

/** A store for the spans of a dead process. */
function replayStore(instance: string, directory: string, cut?: (block: string) => void): LiveStore {
  const store = new LiveStore({
    ...storeOptions(NO_LOG, instance, directory, cut),
    // What was acknowledged over minutes is read back within a second.
    limits: (tenant) => ({ ...(limits.own.get(tenant) ?? limits.base), liveTracesMax: 0 }),
    onAppended: () => {},
  });
  stores.push(store);
  return store;
}

async function finishTakeOver(store: LiveStore, directory: string): Promise<void> {
  if (await store.close()) {
    await fs.promises.rm(directory, { recursive: true, force: true });
    stores.splice(stores.indexOf(store), 1);
  } else log('error', `cannot cut the spans of ${directory}; they stay in memory and in that folder`, {});
}

/** A replayed log is not written to; its folder goes when everything in it is in blocks. */
const NO_LOG: LiveLog = {
  gather: async () => {},
  hasPending: false,
  // It goes as a whole.
  file: Number.MAX_SAFE_INTEGER,
  bytes: 0,
  writtenBytes: 0,
  add: () => 0,
  addCut: () => {},
  commit: async () => {},
  discardPending: () => {},
  rotate: () => {},
  release: async () => {},
};

async function close(): Promise<boolean> {
  closing = true;
  for (const timer of timers) clearInterval(timer);
  await Promise.all([compaction?.close(), deletions.close(), late.close()]);
  let ok = true;
  for (const store of [...stores].reverse()) ok = (await store.close()) && ok;
  if (own?.log instanceof LocalLog) {
    if (ok) await own.log.destroy();
    else await own.log.close();
  } else if (own !== undefined) fs.rmSync(own.directory, { recursive: true, force: true });
  sendStats();
  return ok;
}

/** Blocks that were found sound are not looked at again for so long. */
const SOUND_MS = 10 * 60_000;
/** When a block was last looked at. */
const inspected = new Map<string, number>();
let inspecting = Promise.resolve();

/** Looks through a block that could not be read, one after the other; a damaged one goes into quarantine. */
function inspect(tenant: string, block: string): void {
  const nowMs = Date.now();
  for (const [id, ms] of inspected) if (nowMs - ms >= SOUND_MS) inspected.delete(id);
  if (inspected.has(block)) return;
  inspected.set(block, nowMs);
  inspecting = inspecting.then(async () => {
    try {
      const problems = await quarantineIfDamaged(catalog, tenant, block, setImmediate);
      if (problems.length === 0) return;
      stats.quarantined.set(tenant, (stats.quarantined.get(tenant) ?? 0) + 1);
      const text = `block ${block} of tenant ${tenant} is damaged and was put into quarantine: ${problems.join('; ')}`;
      log('error', `${text}; vivace-cli fsck shows more`, { block, tenant });
    } catch (error) {
      log('error', `cannot inspect block ${block} of tenant ${tenant}: ${messageOf(error)}`, { block, tenant });
    }
  });
}

function compact(): void {
  compaction!.cycle(Date.now()).catch((error: unknown) => log('error', `cannot merge blocks: ${messageOf(error)}`, {}));
}

function retainLater(retention: RetentionSettings, pauseMs: number): void {
  const timer = setTimeout(async () => {
    timers.splice(timers.indexOf(timer), 1);
    const done = await retainFolder(catalog, {
      ...retention,
      retentions: retentions!,
      nowMs: Date.now(),
      reached: (point) => reached(`retention ${point}`),
    });
    stats.retention.push(done);
    if (!closing) retainLater(retention, retention.cycleMs);
  }, pauseMs);
  timers.push(timer);
}

/** Folders of blocks that were never finished; those of living processes are young. */
function removeLeftovers(): void {
  for (const tenant of fs.readdirSync(settings.blocksDirectory, { withFileTypes: true })) {
    if (!tenant.isDirectory()) continue;
    const directory = path.join(settings.blocksDirectory, tenant.name);
    for (const name of fs.readdirSync(directory)) {
      if (!name.startsWith('.')) continue;
      const changedMs = fs.statSync(path.join(directory, name), { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
      if (Date.now() - changedMs > 10 * 60_000) fs.rmSync(path.join(directory, name), { recursive: true, force: true });
    }
  }
}

/** Looks for the blocks of others, with pauses for requests. */
async function refreshCatalog(): Promise<void> {
  if (refreshing) return;
  refreshing = true;
  try {
    const steps = catalog.refreshSteps();
    let step = steps.next();
    for (; !step.done; step = steps.next()) await new Promise((resolve) => setImmediate(resolve));
    for (const problem of step.value) log('warn', problem, {});
  } finally {
    refreshing = false;
  }
}

function sendStats(): void {
  stats.received = received.take(Date.now(), closing);
  stats.liveBytes = stores.reduce((sum, store) => sum + store.bytes, 0);
  if (Date.now() >= levelsDueMs) {
    stats.liveTraces = new Map();
    for (const store of stores)
      for (const [tenant, traces] of store.traces)
        stats.liveTraces.set(tenant, (stats.liveTraces.get(tenant) ?? 0) + traces);
    stats.blocks = new Map();
    for (const tenant of catalog.tenants()) stats.blocks.set(tenant, catalog.blocks(tenant).length);
    // Ten thousand tenants' are a megabyte a message.
    const many = stats.liveTraces.size + stats.blocks.size > MANY_TENANTS;
    levelsDueMs = many ? Date.now() + MANY_LEVELS_MS : 0;
  }
  stats.logBytes = own?.log.bytes ?? 0;
  stats.logSegments = own?.log.segments ?? 0;
  for (const tenant of catalog.tenants()) {
    const damaged = catalog.damaged(tenant).length;
    if (damaged > 0) stats.damagedBlocks.set(tenant, damaged);
    const pending = settings.isOnTheWay ? 0 : catalog.pendingDeletions(tenant).length;
    if (pending > 0) stats.pendingDeletions.set(tenant, pending);
  }
  stats.compaction = compaction?.take();
  // With a bucket, what counts is what is left there.
  if (!settings.isOnTheWay) stats.deletions = deletions.take();
  stats.lateRetention = late.take();
  send({ type: 'stats', stats });
  stats = emptyStats();
}

function emptyStats(): WriterStats {
  return {
    received: undefined,
    liveTraces: undefined,
    liveBytes: 0,
    logBytes: 0,
    logSegments: 0,
    blocks: undefined,
    damagedBlocks: new Map(),
    quarantined: new Map(),
    cuts: [],
    failedCuts: 0,
    retention: [],
    compaction: undefined,
    deletions: undefined,
    lateRetention: undefined,
    pendingDeletions: new Map(),
  };
}

function every(periodMs: number, work: () => void): void {
  timers.push(setInterval(work, periodMs));
}

function log(level: 'info' | 'warn' | 'error', message: string, fields: Record<string, string | number>): void {
  send({ type: 'log', level, message, fields });
}

function send(message: FromWriter): void {
  main.postMessage(message);
}
