/**
 * A reader thread: answers queries over live snapshots and blocks. It asks the writer thread, over a port of its own, for
 * what there is (a lease on live memory and the list of blocks), works, and gives the lease back. Several queries are at
 * work at once, by turns (turns.ts). A block that cannot be read is left out, and the receipt says so.
 */
import { getHeapStatistics } from 'node:v8';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { BlockMeta, LogPlace } from '../block/meta.ts';
import type { BlockRef, DamagedBlock } from '../block/catalog.ts';
import { damagedMayHold } from '../block/quarantine.ts';
import { closeGone, forgetBlock } from '../block/close-gone.ts';
import { type BlockCaches, createBlockCaches, type OpenBlock, openBlock } from '../block/open.ts';
import { readAhead } from '../block/read-ahead.ts';
import type { Segment } from '../block/segment.ts';
import { joinedSegment } from '../cut/joined-segment.ts';
import type { Progress } from '../query/progress.ts';
import type { FoundTraceSummary, SearchOutcome } from '../query/results.ts';
import { searchTraces } from '../query/search.ts';
import { plainStats } from '../query/service-stats.ts';
import { RepeatedSpanCache } from '../query/repeated-spans.ts';
import { SplitTraceCache } from '../query/split-traces.ts';
import { searchByTags } from '../query/tag-search.ts';
import { findTagValues } from '../query/tag-values.ts';
import { findTagNames } from '../query/tags.ts';
import { collectTrace } from '../query/trace.ts';
import { wantedTraces } from '../query/trace-numbers.ts';
import { withoutTraces } from '../query/without-traces.ts';
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';
import { collectWhenIdle } from '../runtime/idle-collection.ts';
import type {
  Explanation,
  MetricsRequest,
  Receipt,
  SearchAnswer,
  SearchForm,
  SearchMetrics,
  SearchRequest,
  TagNamesRequest,
  TagValuesRequest,
  TraceAnswer,
  TraceRequest,
} from '../serve/queries.ts';
import { renderSearch } from '../serve/render-search.ts';
import type { Query } from '../traceql/ast.ts';
import { checkQuery } from '../traceql/check.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseQuery } from '../traceql/parse.ts';
import { planOf } from '../traceql/plan.ts';
import { answerMetrics, type MetricsQuestion, parseMetricsQuery } from './reader-metrics.ts';
import { type RemoteBlocks, remoteBlocks } from './bucket.ts';
import { countedIn } from './counted-blocks.ts';
import { HeldBytes } from './held-bytes.ts';
import { answerParts, type PartsRequest } from './split-parts.ts';
import { SegmentFailure, Work, type WorkLimits } from './work.ts';
import { Turns } from './turns.ts';
import { type View, Views } from './views.ts';
import type { LeaseAnswer, ReaderAsks, ToReaderPort } from './writer-messages.ts';

export interface ReaderSettings {
  cacheBytes: number;
  /** One flag a query slot: 1 = nobody waits for it any more. */
  cancelled: SharedArrayBuffer;
  /** The number of the question that came last, of all threads. */
  lastAsked: SharedArrayBuffer;
  /** Of `HeldBytes`, in which this thread has this number. */
  held: SharedArrayBuffer;
  number: number;
  /** Least time between two partial answers. */
  progressMs: number;
  limits: { trace: WorkLimits; search: WorkLimits };
}

export type Question =
  | { op: 'trace'; request: TraceRequest }
  | { op: 'search'; request: SearchRequest; form?: SearchForm }
  | { op: 'tagNames'; request: TagNamesRequest }
  | { op: 'tagValues'; request: TagValuesRequest }
  | { op: 'parts'; request: PartsRequest }
  | MetricsQuestion;

export interface Ask {
  type: 'ask';
  id: number;
  slot: number;
  question: Question;
  /** Whether partial answers are wanted, and what was done for the answer. */
  progress: boolean;
  explain: boolean;
}
export type ToReader = { type: 'port'; port: MessagePort } | { type: 'bucket'; port: MessagePort } | Ask;
export type FromReader =
  | { type: 'started' }
  /** The query has computed for so long that others may begin beside it. */
  | { type: 'long'; id: number }
  | { type: 'progress'; id: number; answer: unknown }
  | { type: 'answer'; id: number; answer: unknown; receipt: Receipt; explanation?: Explanation }
  | { type: 'error'; id: number; code: ErrorCode; message: string; stack?: string }
  /** An answer was given without blocks that the bucket did not give. */
  | { type: 'partial'; op: Question['op']; tenant: string }
  /** A block was found to be unreadable. */
  | { type: 'damage'; block: string; tenant: string; message: string };

/** So long a block that could not be read is left alone: a damaged one, and one that only could not be reached. */
const DAMAGE_MS = 60_000;
const MISHAP_MS = 1000;
/** A block that has gone is looked for in so many new lists of blocks. */
const GONE_MAX = 3;
const MISSING_MAX = 100;
/** After so many blocks that the bucket did not give while they were read, no other one is asked of it for this answer. */
const OUTAGES_MAX = 8;
const OPENED_AT_ONCE = 32;
const CLOSE_GONE_MS = 10_000;

const settings = workerData as ReaderSettings;
const cancelled = new Int32Array(settings.cancelled);
const lastAsked = new Int32Array(settings.lastAsked);
const caches: BlockCaches = createBlockCaches(settings.cacheBytes);
const held = new HeldBytes(settings.held);
const turns = new Turns(tellHeld);
const joining = { segmentOf: joinedSegment, splits: new SplitTraceCache(), repeats: new RepeatedSpanCache() };
let writer: MessagePort | undefined;
let remote: RemoteBlocks | undefined;
const leases = new Map<number, (answer: LeaseAnswer) => void>();
/** Blocks that could not be read, why, and until when that is believed. */
const damaged = new Map<string, { why: string; untilMs: number; outage?: SegmentFailure }>();
let nextLease = 1;
const views = new Views({
  lease: takeLease,
  release(lease) {
    const release: ReaderAsks = { type: 'release', lease };
    writer!.postMessage(release);
  },
  lastAsked: () => Atomics.load(lastAsked, 0),
});
/** Segments of what other processes have brought. */
let nextBrought = 1;
const running = new Set<Promise<void>>();

collectWhenIdle();
setInterval(() => void closeGone(caches), CLOSE_GONE_MS).unref();

parentPort!.on('message', (message: ToReader) => {
  if (message.type === 'port') {
    writer = message.port;
    writer.on('message', (told: ToReaderPort) => {
      if (told.type === 'forget') return void forget(told.id, told.blocks);
      leases.get(told.id)?.(told);
      leases.delete(told.id);
    });
    send({ type: 'started' });
  } else if (message.type === 'bucket') {
    remote = remoteBlocks(message.port);
    caches.remote = remote.open;
  } else {
    const answering = answer(message).finally(() => running.delete(answering));
    running.add(answering);
  }
});

/** Lets go of blocks, when those who may be reading them have finished. */
async function forget(id: number, blocks: string[]): Promise<void> {
  views.renewAll();
  await Promise.allSettled([...running]);
  for (const block of blocks) {
    const opening = caches.blocks.get(block);
    caches.blocks.delete(block);
    (await opening?.catch(() => undefined))?.close();
    caches.columns.dropOf(block);
  }
  const forgot: ReaderAsks = { type: 'forgot', id };
  writer!.postMessage(forgot);
}

function tellHeld(): void {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  held.tell(settings.number, heap + external);
}

async function answer({ id, slot, question, progress, explain }: Ask): Promise<void> {
  const limits = question.op === 'trace' ? settings.limits.trace : settings.limits.search;
  const work = new Work(question.request.tenant, turns, limits, {
    isCancelled: () => Atomics.load(cancelled, slot) === 1,
    onLong: () => send({ type: 'long', id }),
  });
  let toldMs = performance.now();
  const tell = (partial: () => Promise<unknown>): Promise<void> | undefined => {
    const nowMs = performance.now();
    if (!progress || nowMs - toldMs < settings.progressMs) return undefined;
    toldMs = nowMs;
    return partial().then((answer) => send({ type: 'progress', id, answer }));
  };
  try {
    const { result, receipt, explanation } = await attempts(id, question, work, tell);
    const told = { receipt, ...(explain && { explanation: explanation() }) };
    send({ type: 'answer', id, answer: result, ...told }, transferable(question, result));
  } catch (error) {
    const told = explained(error);
    send({
      type: 'error',
      id,
      code: told.code,
      message: told.message,
      ...(told.code === 'internal' && error instanceof Error && { stack: error.stack }),
    });
  }
}

type Tell = (partial: () => Promise<unknown>) => Promise<void> | undefined;

interface Attempt {
  result: unknown;
  receipt: Receipt;
  explanation: () => Explanation;
}

/** Runs the question, again without a block that cannot be read, until what is left can be. */
async function attempts(id: number, question: Question, work: Work, tell: Tell): Promise<Attempt> {
  const missing = new Map<string, string>();
  const outages: SegmentFailure[] = [];
  const gone = new Map<string, number>();
  for (;;) {
    try {
      const done = await attempt(id, question, work, tell, missing, outages);
      if (outages.length > 0) send({ type: 'partial', op: question.op, tenant: question.request.tenant });
      return done;
    } catch (error) {
      if (!(error instanceof SegmentFailure)) throw error;
      views.renew(question.request.tenant);
      const { block, message } = error;
      if (error.isUnreachable) {
        work.forgive();
        outages.push(error);
        missing.set(block, message);
        damaged.set(block, { why: message, untilMs: Date.now() + MISHAP_MS, outage: error });
        continue;
      }
      const times = (gone.get(block) ?? 0) + 1;
      gone.set(block, times);
      // A block that was merged into another one is in no new list.
      if (error.isGone) forgetBlock(caches, block);
      if (error.isGone && times < GONE_MAX) continue;
      missing.set(block, message);
      if (missing.size > MISSING_MAX) throw error.cause;
      if (!damaged.has(block)) send({ type: 'damage', block, tenant: question.request.tenant, message });
      damaged.set(block, { why: message, untilMs: Date.now() + (error.isLasting ? DAMAGE_MS : MISHAP_MS) });
    }
  }
}

/** Throws what the bucket said when all that could be asked was there, or the trace is not found in what could be read. */
async function attempt(
  id: number,
  question: Question,
  work: Work,
  tell: Tell,
  missing: Map<string, string>,
  outages: SegmentFailure[],
): Promise<Attempt> {
  const { tenant } = question.request;
  const parsed = parsedQuery(question);
  work.begin('ask for what there is');
  let view: View | undefined;
  const open: OpenBlock[] = [];
  try {
    await work.outside(
      views.take(tenant, id).then((taken) => {
        view = taken;
      }),
    );
    const { blocks, hidden, damaged: lost, from, takenMs, live: liveOf } = view!;
    work.restart();
    for (const block of inRange(question, lost))
      if (question.op !== 'trace' || (await work.outside(lostMayHold(block, question.request.id))))
        missing.set(block.id, block.why);
    const withLive = !(question.op === 'trace' && question.request.mode === 'blocks');
    const live = withLive ? (await work.outside(liveOf())).map((segment) => work.watch(segment)) : [];
    const wanted = inRange(question, blocks).filter((block) => !wasCounted(question, block.meta));
    work.begin('open blocks');
    const may = await holding(question, wanted, work);
    if (outages.length > OUTAGES_MAX)
      for (const { id, directory } of may) if (directory === undefined) missing.set(id, outages[0].message);
    await openBlocks(may, work, missing, outages, open);
    if (live.length + open.length === 0 && outages.length > 0) throw outages[0].cause;
    work.begin('evaluate');
    const groups = open.flatMap(({ rowGroups }) => rowGroups);
    const ahead = readAhead(groups);
    const opened = groups.map((group, at) => work.watch(group, ahead(at)));
    const receipt = (): Receipt => work.receipt(wanted, missing, withLive ? takenMs : undefined);
    const segments: Segment[] = [];
    const parts = question.op === 'search' || question.op === 'metrics' ? question.request.parts : undefined;
    const elsewhere = parts?.without === undefined ? undefined : wantedTraces(idsIn(parts.without));
    for (const segment of [...live, ...opened]) {
      const left = await withoutTraces(segment, hidden);
      segments.push(elsewhere === undefined ? left : await withoutTraces(left, elsewhere));
    }
    const brought = (parts?.brought ?? []).map((bytes) => work.watch(joinedSegment(bytes, -nextBrought++)));
    segments.splice(live.length, 0, ...brought);
    const result = await run(question, parsed, segments, from, work, tell, receipt);
    const isFound = question.op !== 'trace' || (result as TraceAnswer | undefined)?.trace.length !== 0;
    if (!isFound && outages.length > 0) throw outages[0].cause;
    const explanation = (): Explanation =>
      work.explanation(parsed === undefined ? [] : planOf(parsed), blocks.length, wanted, missing);
    return { result, receipt: receipt(), explanation };
  } finally {
    for (const block of open) block.release();
    if (view !== undefined) views.give(tenant, view);
  }
}

async function run(
  question: Question,
  parsed: Query | undefined,
  segments: Segment[],
  from: LogPlace[],
  work: Work,
  tell: Tell,
  receipt: () => Receipt,
): Promise<unknown> {
  const progressOf =
    <Outcome>(answerOf: (outcome: Outcome, done: number) => unknown): Progress<Outcome> =>
    async (done, soFar) => {
      await work.turn();
      await tell(async () => answerOf(await soFar(), done));
    };
  switch (question.op) {
    case 'trace':
      return trace(question.request, segments, work, receipt);
    case 'search': {
      const { request } = question;
      const answerOf = (found: SearchOutcome, done = segments.length): SearchAnswer => ({
        traces: question.form === undefined ? found.traces.map(sendable) : found.traces,
        metrics: searchMetrics(segments, receipt(), done, found.inspectedTraces),
      });
      const progress = progressOf(answerOf);
      const found =
        parsed === undefined
          ? await searchByTags(segments, { ...request, tags: request.tags! }, work.stop, progress)
          : await searchTraces(segments, parsed, { ...request, stop: work.stop, begin: work.begin, progress }, joining);
      const answer = answerOf(found);
      work.begin('render');
      return question.form === undefined ? answer : ownBytes(renderSearch(answer, question.form, work.stop));
    }
    case 'tagNames':
    case 'tagValues': {
      const answerOf = <Found>(found: Found, done = segments.length) => {
        const { inspectedTraces: _, ...metrics } = searchMetrics(segments, receipt(), done, 0);
        return { ...found, metrics };
      };
      return answerOf(
        question.op === 'tagNames'
          ? await findTagNames(segments, question.request, work.stop, progressOf(answerOf))
          : await findTagValues(segments, question.request, work.stop, progressOf(answerOf)),
      );
    }
    case 'parts':
      return answerParts(question.request, segments, joining.splits, work.stop);
    case 'metrics': {
      const metricsOf = (done: number): SearchMetrics => searchMetrics(segments, receipt(), done, 0);
      const incomplete = (): string | undefined => incompleteText(receipt());
      const metricsWork = { segments, from, joining, context: work, metricsOf, incomplete, progressOf };
      const found = await answerMetrics(question, parsed!, metricsWork);
      return found instanceof Uint8Array ? ownBytes(found) : found;
    }
  }
}

async function trace(
  request: TraceRequest,
  segments: Segment[],
  work: Work,
  receipt: () => Receipt,
): Promise<TraceAnswer | undefined> {
  const found = await collectTrace(segments, request.id, request.bytesMax, work.stop);
  const read = receipt();
  const incomplete = incompleteText(read);
  if (found === undefined && incomplete === undefined) return undefined;
  return {
    trace: found?.bytes ?? new Uint8Array(),
    inspectedBytes: read.bytes.read,
    ...(incomplete !== undefined && { incomplete }),
    ...(found?.partial && {
      partial: `Trace exceeds maximum size of ${request.bytesMax} bytes, a partial trace is returned`,
    }),
  };
}

/** What an answer says of its gaps. */
function incompleteText({ missing }: Receipt): string | undefined {
  return missing.length > 0 ? missing.map(({ what, why }) => `${what} is missing: ${why}`).join('; ') : undefined;
}

function parsedQuery(question: Question): Query | undefined {
  if (question.op === 'metrics') return parseMetricsQuery(question.request.query);
  return question.op === 'search' && question.request.tags === undefined ? parse(question.request.query) : undefined;
}

/** A TraceQL text checked; blank texts are refused, an empty one is everything. */
function parse(text: string): Query {
  const query = parseQuery(text === '' ? '{}' : text);
  checkQuery(query, text);
  return query;
}

function takeLease(tenant: string, knownVersion: number): Promise<LeaseAnswer> {
  const id = nextLease++;
  return new Promise((resolve) => {
    leases.set(id, resolve);
    const ask: ReaderAsks = { type: 'lease', id, tenant, knownVersion };
    writer!.postMessage(ask);
  });
}

/** The blocks whose spans may be in the question's range of time. */
function inRange<B extends { startSeconds: number; endSeconds: number }>(
  { op, request }: Question,
  blocks: readonly B[],
): B[] {
  if (op === 'trace' ? request.mode === 'recent' : request.recentOnly) return [];
  const { startSeconds = 0, endSeconds = Number.POSITIVE_INFINITY } =
    op === 'metrics' ? metricsSeconds(request) : request;
  return blocks.filter((block) => block.endSeconds >= startSeconds && block.startSeconds <= endSeconds);
}

/** Sixteen bytes each. */
function idsIn(ids: Uint8Array): Uint8Array[] {
  return Array.from({ length: ids.length / 16 }, (_, i) => ids.subarray(16 * i, 16 * i + 16));
}

/** Whether another process has counted the spans of the block, before it wrote it. Throws 'precondition' if some were and some not. */
function wasCounted({ op, request }: Question, meta: BlockMeta): boolean {
  const { counted = [], mayCountTwice = false } = (op === 'metrics' && request.parts) || {};
  const found = countedIn(meta, counted);
  if (found === 'some' && !mayCountTwice)
    throw new VivaceError('precondition', 'blocks were merged while other processes counted what they hold');
  return found === 'all';
}

function metricsSeconds({ startNs, endNs }: MetricsRequest): { startSeconds: number; endSeconds: number } {
  return { startSeconds: Number(startNs / 1_000_000_000n), endSeconds: Number(endNs / 1_000_000_000n) };
}

/** Of blocks that are far away only those that may hold the trace, when it is one trace that is asked for. */
async function holding({ op, request }: Question, wanted: BlockRef[], work: Work): Promise<BlockRef[]> {
  if (op !== 'trace' || remote === undefined) return wanted;
  const far = wanted.filter(({ directory }) => directory === undefined).map(({ id }) => id);
  if (far.length === 0) return wanted;
  const may = await work.outside(remote.holding(far, request.id));
  const held = wanted.filter(({ id, directory }) => directory !== undefined || may.has(id));
  // What is read after a block is opened comes at the same time, where it is known by then.
  for (const ref of held)
    if (ref.directory === undefined && ref.meta.totalRecords === 1 && !caches.blocks.has(ref.id))
      remote.open(ref).warmTraces?.({ offset: 0, length: ref.meta.vivace.tracesBytes });
  return held;
}

/** Whether a block in quarantine may hold the trace. */
async function lostMayHold(block: DamagedBlock, id: Uint8Array): Promise<boolean> {
  if (block.directory === undefined && remote !== undefined)
    return (await remote.holding([block.id], id)).has(block.id);
  return damagedMayHold(block, id);
}

/** Opens what can be opened, into `held`; the others are put into `missing` or end the attempt. */
async function openBlocks(
  refs: BlockRef[],
  work: Work,
  missing: Map<string, string>,
  outages: SegmentFailure[],
  held: OpenBlock[],
): Promise<void> {
  const sound = refs.filter(({ id }) => {
    const damage = damaged.get(id);
    if (damage !== undefined && !missing.has(id)) {
      if (damage.untilMs > Date.now()) {
        missing.set(id, damage.why);
        if (damage.outage !== undefined) outages.push(damage.outage);
      } else damaged.delete(id);
    }
    return !missing.has(id);
  });
  // Blocks in a bucket are opened side by side; what is in a folder is there at once.
  for (let from = 0; from < sound.length; from += OPENED_AT_ONCE) {
    const batch = sound.slice(from, from + OPENED_AT_ONCE);
    const ends = await work.outside(Promise.allSettled(batch.map((ref) => openBlock(ref, caches))));
    for (const end of ends) if (end.status === 'fulfilled') held.push(end.value);
    ends.forEach((end, i) => {
      if (end.status === 'fulfilled') return;
      const failure = SegmentFailure.of(batch[i].id, end.reason);
      if (!(failure instanceof SegmentFailure && failure.isUnreachable)) throw failure;
      outages.push(failure);
      missing.set(batch[i].id, failure.message);
    });
  }
}

function searchMetrics(
  segments: Segment[],
  { blocks, bytes, missing }: Receipt,
  completedJobs: number,
  inspectedTraces: number,
): SearchMetrics {
  return {
    inspectedTraces,
    inspectedBytes: bytes.read,
    totalBlocks: blocks.wanted,
    totalJobs: segments.length + missing.length,
    completedJobs,
    totalBlockBytes: bytes.wanted,
  };
}

function explained(error: unknown): { code: ErrorCode; message: string } {
  if (error instanceof VivaceError) return { code: error.code, message: error.message };
  if (error instanceof TraceQLError) return { code: 'invalid', message: error.message };
  return { code: 'internal', message: messageOf(error) };
}

/** Bytes that can be transferred: small ones may lie in a buffer with others and are copied. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  const isAlone = bytes.byteLength === bytes.buffer.byteLength || bytes.byteLength > POOL_BYTES_MAX;
  return isAlone ? bytes : new Uint8Array(bytes);
}

/** Node's pools of small buffers are never larger. */
const POOL_BYTES_MAX = 64 * 1024;

/** Nothing in it that reads what only this thread has. */
function sendable(trace: FoundTraceSummary): FoundTraceSummary {
  return { ...trace, serviceStats: trace.serviceStats && plainStats(trace.serviceStats) };
}

function transferable(question: Question, result: unknown): ArrayBuffer[] {
  if (question.op === 'search' && question.form !== undefined) return [(result as Uint8Array<ArrayBuffer>).buffer];
  if (question.op === 'metrics') return result instanceof Uint8Array ? [result.buffer as ArrayBuffer] : [];
  if (question.op !== 'trace' || result === undefined) return [];
  return [(result as { trace: Uint8Array<ArrayBuffer> }).trace.buffer];
}

function send(message: FromReader, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer);
}
