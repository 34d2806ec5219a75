/**
 * A reader thread: answers queries over live snapshots and blocks. It asks the writer thread, over a port of its own, for
 * what there is (a lease on live memory and the list of blocks), works, and gives the lease back.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { BlockRef } from '../block/catalog.ts';
import { type BlockCaches, createBlockCaches, type OpenBlock, openBlock } from '../block/open.ts';
import type { Segment } from '../block/segment.ts';
import { LiveSegment } from '../cut/live-segment.ts';
import { searchTraces } from '../query/search.ts';
import { searchByTags } from '../query/tag-search.ts';
import { findTagValues } from '../query/tag-values.ts';
import { findTagNames } from '../query/tags.ts';
import { collectTrace } from '../query/trace.ts';
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';
import type {
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
import { checkQuery } from '../traceql/check.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseQuery } from '../traceql/parse.ts';
import type { LeaseAnswer, ReaderAsks } from './writer-thread.ts';

export interface ReaderSettings {
  cacheBytes: number;
  traceBytesMax: number;
  /** One flag a query slot: 1 = nobody waits for it any more. */
  cancelled: SharedArrayBuffer;
}

export type Question =
  | { op: 'trace'; request: TraceRequest }
  | { op: 'search'; request: SearchRequest; form?: SearchForm }
  | { op: 'tagNames'; request: TagNamesRequest }
  | { op: 'tagValues'; request: TagValuesRequest };

export type ToReader =
  | { type: 'port'; port: MessagePort }
  | { type: 'ask'; id: number; slot: number; question: Question };
export type FromReader =
  | { type: 'started' }
  | { type: 'answer'; id: number; answer: unknown }
  | { type: 'error'; id: number; code: ErrorCode; message: string; stack?: string };

const settings = workerData as ReaderSettings;
const cancelled = new Int32Array(settings.cancelled);
const caches: BlockCaches = createBlockCaches(settings.cacheBytes);
let writer: MessagePort | undefined;
const leases = new Map<number, (answer: LeaseAnswer) => void>();
const blockLists = new Map<string, { version: number; blocks: BlockRef[] }>();
let nextLease = 1;

parentPort!.on('message', (message: ToReader) => {
  if (message.type === 'port') {
    writer = message.port;
    writer.on('message', (answer: LeaseAnswer) => {
      leases.get(answer.id)?.(answer);
      leases.delete(answer.id);
    });
    send({ type: 'started' });
  } else void answer(message.id, message.slot, message.question);
});

async function answer(id: number, slot: number, question: Question): Promise<void> {
  const stop = (): void => {
    if (Atomics.load(cancelled, slot) === 1) throw new VivaceError('cancelled', 'the client has gone');
  };
  try {
    const result = await withSegments(question, stop);
    send({ type: 'answer', id, answer: result }, transferable(question, result));
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

async function withSegments(question: Question, stop: () => void): Promise<unknown> {
  const { tenant } = question.request;
  const parsed =
    question.op === 'search' && question.request.tags === undefined ? parse(question.request.query) : undefined;
  const lease = await takeLease(tenant);
  try {
    stop();
    const known = blockLists.get(tenant);
    const blocks = lease.blocks ?? known!.blocks;
    if (lease.blocks !== undefined) blockLists.set(tenant, { version: lease.version, blocks });
    const live: Segment[] = lease.segments.map((snapshot) => new LiveSegment(snapshot)).reverse();
    switch (question.op) {
      case 'trace':
        return await trace(question.request, live, blocks, stop);
      case 'search': {
        const { request } = question;
        const opened = request.recentOnly ? [] : openBlocks(inRange(blocks, request));
        const segments = [...live, ...opened];
        const before = bytesReadOf(opened);
        const found =
          parsed === undefined
            ? await searchByTags(segments, { ...request, tags: request.tags! }, stop)
            : await searchTraces(segments, parsed, { ...request, stop });
        const metrics = searchMetrics(segments, opened, bytesReadOf(opened) - before, found.inspectedTraces);
        const answer: SearchAnswer = { traces: found.traces, metrics };
        return question.form === undefined ? answer : ownBytes(renderSearch(answer, question.form));
      }
      case 'tagNames':
      case 'tagValues': {
        const opened = openBlocks(inRange(blocks, question.request));
        const segments = [...live, ...opened];
        const before = bytesReadOf(opened);
        const found =
          question.op === 'tagNames'
            ? await findTagNames(segments, question.request, stop)
            : await findTagValues(segments, question.request, stop);
        const { inspectedBytes, totalBlocks, totalJobs, completedJobs, totalBlockBytes } = searchMetrics(
          segments,
          opened,
          bytesReadOf(opened) - before,
          0,
        );
        return { ...found, metrics: { inspectedBytes, totalBlocks, totalJobs, completedJobs, totalBlockBytes } };
      }
    }
  } finally {
    const release: ReaderAsks = { type: 'release', lease: lease.lease };
    writer!.postMessage(release);
  }
}

async function trace(
  request: TraceRequest,
  live: Segment[],
  blocks: BlockRef[],
  stop: () => void,
): Promise<TraceAnswer | undefined> {
  const wanted = blocks.filter(
    (block) =>
      (request.startSeconds === undefined || block.endSeconds >= request.startSeconds) &&
      (request.endSeconds === undefined || block.startSeconds <= request.endSeconds),
  );
  const opened = request.mode === 'recent' ? [] : openBlocks(wanted);
  const segments = [...(request.mode === 'blocks' ? [] : live), ...opened];
  const before = bytesReadOf(opened);
  const found = await collectTrace(segments, request.id, settings.traceBytesMax, stop);
  if (found === undefined) return undefined;
  return {
    trace: found.bytes,
    inspectedBytes: bytesReadOf(opened) - before,
    ...(found.partial && {
      partial: `Trace exceeds maximum size of ${settings.traceBytesMax} bytes, a partial trace is returned`,
    }),
  };
}

/** A TraceQL text checked; blank texts are refused, an empty one is everything. */
function parse(text: string): ReturnType<typeof parseQuery> {
  const query = parseQuery(text === '' ? '{}' : text);
  checkQuery(query, text);
  return query;
}

function takeLease(tenant: string): Promise<LeaseAnswer> {
  const id = nextLease++;
  return new Promise((resolve) => {
    leases.set(id, resolve);
    const ask: ReaderAsks = { type: 'lease', id, tenant, knownVersion: blockLists.get(tenant)?.version ?? 0 };
    writer!.postMessage(ask);
  });
}

function inRange(blocks: BlockRef[], range: { startSeconds: number; endSeconds: number }): BlockRef[] {
  return blocks.filter((block) => block.endSeconds >= range.startSeconds && block.startSeconds <= range.endSeconds);
}

/** A block that has just been deleted is not there any more, and neither is it missed: what it held is in another one. */
function openBlocks(refs: BlockRef[]): OpenBlock[] {
  const opened: OpenBlock[] = [];
  for (const ref of refs) {
    try {
      opened.push(openBlock(ref, caches));
    } catch (error) {
      if (!(error instanceof VivaceError && error.code === 'not-found')) throw error;
    }
  }
  return opened;
}

function bytesReadOf(blocks: OpenBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.bytesRead, 0);
}

function searchMetrics(
  segments: Segment[],
  blocks: OpenBlock[],
  inspectedBytes: number,
  inspectedTraces: number,
): SearchMetrics {
  return {
    inspectedTraces,
    inspectedBytes,
    totalBlocks: blocks.length,
    totalJobs: segments.length,
    completedJobs: segments.length,
    totalBlockBytes: blocks.reduce((sum, block) => sum + block.bytes, 0),
  };
}

function explained(error: unknown): { code: ErrorCode; message: string } {
  if (error instanceof VivaceError) return { code: error.code, message: error.message };
  if (error instanceof TraceQLError) return { code: 'invalid', message: error.message };
  return { code: 'internal', message: messageOf(error) };
}

/** Bytes that can be transferred: alone in their buffer. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

function transferable(question: Question, result: unknown): ArrayBuffer[] {
  if (question.op === 'search' && question.form !== undefined) return [(result as Uint8Array<ArrayBuffer>).buffer];
  if (question.op !== 'trace' || result === undefined) return [];
  return [(result as { trace: Uint8Array<ArrayBuffer> }).trace.buffer];
}

function send(message: FromReader, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer);
}
