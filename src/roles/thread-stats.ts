/** What the writer and the bucket thread have counted goes into the process's metrics and its log. */
import type { RetentionDone } from '../compact/retention.ts';
import type { Tenants } from '../limits/tenants.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnMetrics } from '../runtime/metrics.ts';
import type { BucketStats } from './bucket-messages.ts';
import type { CompactionDone } from './compaction.ts';
import type { DeletionsDone } from './deletions.ts';
import type { LateRetentionDone } from './late-retention.ts';
import { eachTenant, type TenantCounts } from './received-counts.ts';
import { liveTracesMax } from './tenant-limits.ts';
import type { WriterStats } from './writer-messages.ts';

export class ThreadStats {
  readonly #metrics: OwnMetrics;
  readonly #log: Log;
  readonly #tenants: Tenants;
  #spans = 0;

  constructor(metrics: OwnMetrics, log: Log, tenants: Tenants) {
    this.#metrics = metrics;
    this.#log = log;
    this.#tenants = tenants;
  }

  countWriter(stats: WriterStats): void {
    if (stats.received !== undefined)
      eachTenant(stats.received, (tenant, counts) => this.#countReceived(tenant, counts));
    for (const { ms, bytes } of stats.cuts) this.#metrics.blockFlushed(ms / 1000, bytes);
    for (let i = 0; i < stats.failedCuts; i++) this.#metrics.flushFailed();
    this.#countStorage(stats);
  }

  countBucket(stats: BucketStats): void {
    this.#metrics.bucket(stats);
    this.#countStorage(stats);
  }

  /** Spans that were received since the last call. */
  takeSpans(): number {
    const spans = this.#spans;
    this.#spans = 0;
    return spans;
  }

  #countReceived(tenant: string, counts: TenantCounts): void {
    const metrics = this.#metrics;
    metrics.received(tenant, counts.spans, counts.bytes);
    metrics.tracesCreated(tenant, counts.tracesCreated);
    this.#spans += counts.spans;
    if (counts.discarded > 0) this.#countDiscarded(tenant, counts);
    if (counts.truncated === 0) return;
    metrics.attributesTruncated(tenant, 'span', counts.truncated);
    metrics.limitReached('max_attribute_bytes');
    this.#log.log('warn', 'attributes were cut to max_attribute_bytes', { tenant, attributes: counts.truncated });
  }

  #countDiscarded(tenant: string, counts: TenantCounts): void {
    const { global, ingestion } = this.#tenants.of(tenant);
    const { discarded, discardedTooLong, discardedLiveTraces } = counts;
    const reasons: [reason: string, spans: number, text: string][] = [
      [
        'trace_too_large',
        discarded - discardedTooLong - discardedLiveTraces,
        `TRACE_TOO_LARGE: max size of trace (${global.maxBytesPerTrace}) exceeded for tenant ${tenant}: spans are discarded; raise overrides global.max_bytes_per_trace`,
      ],
      [
        'trace_too_many_spans',
        discardedTooLong,
        `TRACE_TOO_LARGE: max spans of trace (${global.maxSpansPerTrace}) exceeded for tenant ${tenant}: spans are discarded; raise overrides global.max_spans_per_trace`,
      ],
      [
        'live_traces_exceeded',
        discardedLiveTraces,
        `LIVE_TRACES_EXCEEDED: max live traces (${liveTracesMax(ingestion)}) exceeded for tenant ${tenant}: spans of further traces are discarded; raise overrides ingestion.max_traces_per_user (or max_global_traces_per_user)`,
      ],
    ];
    for (const [reason, spans, text] of reasons) {
      if (spans === 0) continue;
      this.#metrics.discardedSpans(reason, tenant, spans);
      this.#metrics.limitReached(reason);
      this.#log.log('warn', text, { tenant, spans });
    }
  }

  #countStorage(stats: WriterStats | BucketStats): void {
    for (const [tenant, count] of stats.quarantined) this.#metrics.quarantined(tenant, count);
    for (const done of stats.retention) this.#countRetention(done);
    if (stats.lateRetention !== undefined) this.#countLateRetention(stats.lateRetention);
    if (stats.deletions !== undefined) this.#countDeletions(stats.deletions);
    if (stats.compaction !== undefined) this.#countCompaction(stats.compaction);
  }

  #countCompaction(done: CompactionDone): void {
    this.#metrics.compaction(done);
    for (const error of done.errors) this.#log.log('error', `${error}; it is tried again later`, {});
  }

  #countLateRetention(done: LateRetentionDone): void {
    this.#metrics.lateRetention(done);
    for (const [rule, dropped] of done.dropped)
      this.#log.log('info', 'traces were kept long enough', { rule, ...dropped });
    for (const error of done.errors) this.#log.log('error', `${error}; it is tried again later`, {});
  }

  #countDeletions({ asked, erased, blocksRewritten, spansErased }: DeletionsDone): void {
    this.#metrics.deletions({ asked, erased, blocksRewritten, spansErased });
    if (erased > 0)
      this.#log.log('info', 'no byte of deleted traces is left', {
        traces: erased,
        blocks: blocksRewritten,
        spans: spansErased,
      });
  }

  #countRetention(done: RetentionDone): void {
    this.#metrics.retention(done);
    const { marked, deleted, deletedForSpace } = done;
    if (marked + deleted > 0) this.#log.log('info', 'old blocks were deleted', { marked, deleted, deletedForSpace });
    for (const error of done.errors) this.#log.log('error', `${error}; it is tried again`, {});
  }
}
