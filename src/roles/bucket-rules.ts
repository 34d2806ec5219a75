/**
 * Late-decided retention of the blocks of a bucket, as the bucket thread runs it under the tenant's lease: a thread says which
 * traces no rule keeps any longer, and the blocks are written again without them (bucket-rewrite.ts).
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type BlockRef, blockRef } from '../block/catalog.ts';
import type { BucketLease, Leases } from '../compact/bucket-lease.ts';
import type { BucketMergePoint } from '../compact/bucket-merge.ts';
import { markInBucket } from '../compact/bucket-retention.ts';
import { messageOf } from '../runtime/errors.ts';
import { REWRITE_BOUNDS } from './background.ts';
import { type BucketWork, ReplacingBlocks, rewriteInBucket } from './bucket-rewrite.ts';
import { type DueBlocks, LateRetention, type LateRetentionDone, type RetentionPreview } from './late-retention.ts';
import type { RulesByTenant } from './retention-rules.ts';
import { comeUpToDate, underLease } from './under-lease.ts';

export interface BucketRulesOptions {
  rules: RulesByTenant;
  leases: Leases;
  /** Traces of a tenant that nobody may see: they go with the others. */
  deleted: (tenant: string) => readonly string[];
  /** Answers what a reader asks over the port. */
  connect: (port: MessagePort) => void;
  reached: (point: BucketMergePoint | 'emptied' | 'marked') => void;
}

export class BucketRules {
  readonly #work: BucketWork;
  readonly #options: BucketRulesOptions;
  readonly #replacing: ReplacingBlocks;
  readonly #late: LateRetention;
  readonly #errors: string[] = [];

  constructor(work: BucketWork, options: BucketRulesOptions) {
    this.#work = work;
    this.#options = options;
    this.#replacing = new ReplacingBlocks(work.list, work.pollMs);
    this.#late = new LateRetention(
      {
        tenants: () => work.list.tenants.keys(),
        blocks: (tenant) =>
          [...(work.list.tenants.get(tenant)?.live.values() ?? [])].map((meta) => blockRef(meta, tenant, undefined)),
        refresh: (tenant) => work.list.refresh(tenant),
        from() {
          const { port1, port2 } = new MessageChannel();
          options.connect(port1);
          return { from: { port: port2 }, transfer: [port2] };
        },
        onRewritten: () => {},
      },
      options.rules,
    );
  }

  set rules(rules: RulesByTenant) {
    this.#late.rules = rules;
  }

  preview(tenant: string, texts: readonly string[], restMs: number, nowMs: number): Promise<RetentionPreview> {
    return this.#late.preview(tenant, texts, restMs, nowMs);
  }

  /** What was done since the last call. */
  take(): LateRetentionDone {
    const done = this.#late.take();
    return { ...done, errors: [...done.errors, ...this.#errors.splice(0)] };
  }

  /** Looks at what is due, tenant by tenant. Never rejects. */
  async cycle(signal: AbortSignal): Promise<void> {
    this.#replacing.look();
    this.#late.forget();
    for (const tenant of [...this.#work.list.tenants.keys()]) {
      if (signal.aborted) return;
      if (this.#due(tenant) === undefined) continue;
      await this.#look(tenant, signal).catch((error: unknown) => {
        if (!signal.aborted)
          this.#errors.push(`cannot apply retention rules to blocks of tenant ${tenant}: ${messageOf(error)}`);
      });
    }
  }

  async close(): Promise<void> {
    await this.#late.close();
  }

  /** What may be written again now. */
  #due(tenant: string): DueBlocks | undefined {
    const found = this.#late.due(tenant, Date.now());
    const state = this.#work.list.tenants.get(tenant);
    if (found === undefined || state === undefined) return undefined;
    const due = found.due.filter(({ meta }) => this.#replacing.isSettled(meta, state));
    return due.length === 0 ? undefined : { ...found, due };
  }

  async #look(tenant: string, signal: AbortSignal): Promise<void> {
    await underLease(this.#options.leases, tenant, signal, async (lease, either) => {
      await comeUpToDate(this.#work, lease, tenant, either);
      this.#replacing.look();
      await this.#replacing.markReplaced(this.#work.bucket, tenant, either, () => this.#options.reached('marked'));
      const found = this.#due(tenant);
      if (found === undefined) return;
      await this.#late.look(found, Date.now(), (ref, gone) => this.#rewrite(ref, gone, lease, either));
    });
  }

  async #rewrite(
    ref: BlockRef,
    gone: string[],
    lease: BucketLease,
    signal: AbortSignal,
  ): Promise<string | null | undefined> {
    const { bucket, list } = this.#work;
    let rewritten: string | null | undefined;
    let failure: string | undefined;
    await rewriteInBucket(this.#work, [[ref]], {
      ...{ lease, signal, rowGroups: REWRITE_BOUNDS, reached: this.#options.reached },
      deleted: [...gone, ...this.#options.deleted(ref.tenant)],
      onMerged: (_merged, { blockID }) => {
        rewritten = blockID;
      },
      onLeft: ({ message }) => {
        failure = message;
      },
      onEmptied: () => {
        rewritten = null;
      },
    });
    if (failure !== undefined) throw new Error(failure);
    if (rewritten === null) {
      lease.check();
      await markInBucket(bucket, ref.tenant, ref.id, { signal });
      list.markCompacted(ref.tenant, ref.id, Date.now());
      this.#options.reached('emptied');
    }
    return rewritten;
  }
}
