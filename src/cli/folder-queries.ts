/**
 * The queries of the API over the blocks of a data folder, in this process, with no server. What a running server has not
 * written to a block yet is not seen. Reading while a server uses the folder is safe: blocks never change, they appear by a
 * rename, and one that goes away meanwhile is left out.
 */
import type { BlockCatalog, BlockRef } from '../block/catalog.ts';
import { type BlockCaches, createBlockCaches, type OpenBlock, openBlock } from '../block/open.ts';
import { joinedSegment } from '../cut/joined-segment.ts';
import type { Segment } from '../block/segment.ts';
import type { RemoteSource } from '../block/source.ts';
import { watched } from '../block/watched.ts';
import { beginMetrics, type MetricsQuery } from '../query/metrics.ts';
import type { Progress } from '../query/progress.ts';
import { searchTraces } from '../query/search.ts';
import { RepeatedSpanCache } from '../query/repeated-spans.ts';
import { SplitTraceCache } from '../query/split-traces.ts';
import { searchByTags } from '../query/tag-search.ts';
import { findTagValues } from '../query/tag-values.ts';
import { findTagNames } from '../query/tags.ts';
import { collectTrace } from '../query/trace.ts';
import { wantedTraces } from '../query/trace-numbers.ts';
import { withoutTraces } from '../query/without-traces.ts';
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';
import type { MetricsRequest, Queries, SearchMetrics } from '../serve/queries.ts';
import { renderMetrics } from '../serve/render-metrics.ts';
import type { Query } from '../traceql/ast.ts';
import { checkQuery } from '../traceql/check.ts';
import { TraceQLError } from '../traceql/error.ts';
import { parseQuery } from '../traceql/parse.ts';

/** Dictionaries and lists of traces kept while a command runs. */
const CACHE_BYTES = 128 * 1024 * 1024;
/** Of what a search answers: a million traces, and less than this process may have. */
const ANSWER_BYTES_MAX = 1024 * 1024 * 1024;

export interface FolderQueriesOptions {
  catalog: BlockCatalog;
  /** Opens blocks that are in no folder. */
  remote?: RemoteSource;
  /** Larger traces are answered in part; 0 for no bound. */
  traceBytesMax: number;
  /** Told how many of the blocks are done. */
  onBlock(done: number, total: number): void;
  /** Told of a block that cannot be read; the answer is that of the others. */
  onDamage(what: string): void;
}

export function folderQueries(options: FolderQueriesOptions): Queries {
  const { catalog, remote, traceBytesMax, onBlock, onDamage } = options;
  const caches = { ...createBlockCaches(CACHE_BYTES), remote };
  const stop = (): void => {};
  const joining = { segmentOf: joinedSegment, splits: new SplitTraceCache(), repeats: new RepeatedSpanCache() };
  /** The blocks less the traces that somebody has deleted. */
  const seen = (blocks: OpenBlock[], tenant: string): Promise<Segment[]> => {
    const hidden = wantedTraces(catalog.deleted(tenant).ids.map((id) => Buffer.from(id, 'hex')));
    return Promise.all(blocks.flatMap(watchedRowGroups).map((segment) => withoutTraces(segment, hidden)));
  };
  /** Opens the blocks of a range of time, works on them, and gives them back. */
  const withBlocks = async <T>(
    tenant: string,
    range: { startSeconds?: number; endSeconds?: number },
    work: (segments: Segment[], progress: Progress<unknown>) => Promise<T>,
  ): Promise<T> => {
    const { startSeconds = 0, endSeconds = Number.POSITIVE_INFINITY } = range;
    const wanted = catalog
      .blocks(tenant)
      .filter((block) => block.endSeconds >= startSeconds && block.startSeconds <= endSeconds);
    for (const { id, why, ...block } of catalog.damaged(tenant))
      if (block.endSeconds >= startSeconds && block.startSeconds <= endSeconds)
        onDamage(damageText({ id, tenant }, new Error(why)));
    let refs = wanted;
    for (;;) {
      onBlock(0, refs.length);
      const blocks = await openBlocks(refs, caches, onDamage);
      // Those that could not be opened are told of once.
      refs = blocks.map(({ ref }) => ref);
      try {
        const segments = await seen(blocks, tenant);
        return await work(segments, async (done) => onBlock(done, segments.length));
      } catch (error) {
        // What the others hold is worth more than nothing.
        if (!(error instanceof BlockFailure)) throw error;
        refs = refs.filter((ref) => ref !== error.ref);
        onDamage(damageText(error.ref, error));
      } finally {
        for (const block of blocks) block.release();
      }
    }
  };
  const metrics = <T>(
    request: MetricsRequest,
    answerOf: (running: MetricsQuery, metrics: SearchMetrics) => T,
  ): Promise<T> => {
    const running = beginMetrics(parsed(request.query, 'metrics'), request);
    const range = { startSeconds: Number(request.startNs / NS), endSeconds: Number(request.endNs / NS) };
    return withBlocks(request.tenant, range, async (blocks, progress) => {
      for (const { partial } of request.others ?? []) running.merge(partial);
      await running.add(blocks, joining, { stop }, progress);
      return answerOf(running, metricsOf(blocks, 0));
    });
  };
  return {
    trace: (request) =>
      withBlocks(request.tenant, request, async (blocks) => {
        const found = await collectTrace(blocks, request.id, traceBytesMax, stop);
        if (found === undefined) return undefined;
        const partial = `Trace exceeds maximum size of ${traceBytesMax} bytes, a partial trace is returned`;
        return {
          trace: found.bytes,
          inspectedBytes: metricsOf(blocks, 0).inspectedBytes,
          ...(found.partial && { partial }),
        };
      }),
    search: (request) => {
      const query = request.tags === undefined ? parsed(request.query, 'search') : undefined;
      return withBlocks(request.tenant, request, async (blocks, progress) => {
        const found =
          query === undefined
            ? await searchByTags(blocks, { ...request, tags: request.tags! }, stop, progress)
            : await searchTraces(
                blocks,
                query,
                { ...request, stop, progress, answerBytesMax: ANSWER_BYTES_MAX },
                joining,
              );
        return { traces: found.traces, metrics: metricsOf(blocks, found.inspectedTraces) };
      });
    },
    tagNames: (request) =>
      withBlocks(request.tenant, request, async (blocks, progress) => {
        const found = await findTagNames(blocks, request, stop, progress);
        return { ...found, metrics: metricsOf(blocks, 0) };
      }),
    tagValues: (request) =>
      withBlocks(request.tenant, request, async (blocks, progress) => {
        const found = await findTagValues(blocks, request, stop, progress);
        return { ...found, metrics: metricsOf(blocks, 0) };
      }),
    metrics: (request) => metrics(request, (running, metrics) => ({ ...running.finish(), metrics })),
    metricsBody: (request, form) =>
      metrics(request, (running, metrics) => renderMetrics({ ...running.finish(), metrics }, request.instant, form)),
    metricsPartial: (request) => metrics(request, (running, metrics) => ({ partial: running.partial(), metrics })),
  };
}

const NS = 1_000_000_000n;

/** Something is wrong with a block, not with the question. */
class BlockFailure extends Error {
  readonly ref: BlockRef;

  constructor(ref: BlockRef, cause: unknown) {
    super(messageOf(cause), { cause });
    this.ref = ref;
  }
}

function watchedRowGroups({ ref, rowGroups }: OpenBlock): Segment[] {
  const failed = (_reads: unknown, error: unknown): unknown => (isDamage(error) ? new BlockFailure(ref, error) : error);
  return rowGroups.map((group) => watched(group, { turn: () => undefined, check: () => {}, failed }).segment);
}

const DAMAGE: readonly ErrorCode[] = ['internal', 'undecodable', 'not-found'];

/** Whether an error says that a block cannot be read. */
export function isDamage(error: unknown): boolean {
  return error instanceof VivaceError ? DAMAGE.includes(error.code) : error instanceof Error && 'syscall' in error;
}

export function damageText({ id, tenant }: Pick<BlockRef, 'id' | 'tenant'>, error: unknown): string {
  return `block ${id} of tenant ${tenant} is left out: ${messageOf(error)}`;
}

/** Opens those that can be. A block that went away meanwhile is no loss: what it held is in another one, or was to go. */
export async function openBlocks(
  refs: readonly BlockRef[],
  caches: BlockCaches,
  onDamage: (what: string) => void,
): Promise<OpenBlock[]> {
  const opened: OpenBlock[] = [];
  // Blocks in a bucket are opened side by side; those in a folder are there at once.
  for (let from = 0; from < refs.length; from += OPENED_AT_ONCE) {
    const batch = refs.slice(from, from + OPENED_AT_ONCE);
    const ends = await Promise.allSettled(batch.map((ref) => openBlock(ref, caches)));
    for (const end of ends) if (end.status === 'fulfilled') opened.push(end.value);
    for (const [i, end] of ends.entries()) {
      if (end.status === 'fulfilled') continue;
      const error: unknown = end.reason;
      if ((error as NodeJS.ErrnoException).code === 'EMFILE')
        throw new VivaceError(
          'exhausted',
          `cannot open ${refs.length} blocks at once: no more files may be open; raise the bound with ulimit -n, or name a shorter time`,
          { cause: error },
        );
      if (!isDamage(error)) throw error;
      if (!(error instanceof VivaceError && error.code === 'not-found')) onDamage(damageText(batch[i], error));
    }
  }
  return opened;
}

const OPENED_AT_ONCE = 32;

function parsed(text: string, as: 'search' | 'metrics'): Query {
  const source = text === '' && as === 'search' ? '{}' : text;
  try {
    const query = parseQuery(source);
    if (as === 'metrics' && query.metrics === undefined) throw new VivaceError('invalid', 'not a metrics query');
    checkQuery(query, source);
    return query;
  } catch (error) {
    if (error instanceof TraceQLError) throw new VivaceError('invalid', error.message, { cause: error });
    throw error;
  }
}

function metricsOf(blocks: readonly Segment[], inspectedTraces: number): SearchMetrics {
  return {
    inspectedTraces,
    inspectedBytes: blocks.reduce((sum, block) => sum + (block.bytesRead ?? 0), 0),
    totalBlocks: new Set(blocks.map(({ block }) => block)).size,
    totalJobs: blocks.length,
    completedJobs: blocks.length,
    totalBlockBytes: blocks.reduce((sum, block) => sum + block.bytes, 0),
  };
}
