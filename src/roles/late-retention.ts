/**
 * Late-decided retention as the writer thread runs it: a block is looked at whenever it has become so old that a rule may keep
 * traces in it no longer, and written again without them.
 */
import { Worker } from 'node:worker_threads';
import type { BlockCatalog, LocalBlockRef } from '../block/catalog.ts';
import { ageMs } from '../compact/retention.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import type { FolderWork } from './background.ts';
import { type RulesByTenant, rulesOfTenant, type TenantRules, tenantRules } from './retention-rules.ts';
import type { FromRetention, RetentionWork, RuleCounts } from './retention-thread.ts';

/** Since the last time it was asked for. */
export interface LateRetentionDone {
  blocksRewritten: number;
  /** Of each rule (the rest under `block_retention`): what has gone. */
  dropped: Map<string, { traces: number; spans: number; bytes: number }>;
  errors: string[];
}

/** What rules come to now, with the blocks as they are. */
export interface RetentionPreview {
  blocks: number;
  /** Blocks that could not be read. */
  missing: string[];
  /** The last one is the rest. */
  rules: (RuleCounts & { rule: string })[];
}

/** A thread is started for so many blocks at most. */
const BLOCKS_MAX = 16;
/** Blocks that could not be looked at are left alone for so long. */
const FAILED_MS = 10 * 60_000;
export const REST = 'block_retention';

export class LateRetention {
  rules: RulesByTenant;
  readonly #catalog: BlockCatalog;
  readonly #work: FolderWork;
  /** How many deadlines had passed when a block was last looked at, by which rules. */
  readonly #looked = new Map<string, { rules: TenantRules; deadlines: number }>();
  readonly #failed = new Map<string, number>();
  #worker: Worker | undefined;
  #isPreviewing = false;
  #done = nothingDone();

  constructor(catalog: BlockCatalog, rules: RulesByTenant, work: FolderWork) {
    this.#catalog = catalog;
    this.rules = rules;
    this.#work = work;
  }

  /** Looks at what is due, unless that is going on. */
  cycle(nowMs: number): void {
    if (this.#worker !== undefined) return;
    this.#forget();
    for (const tenant of this.#catalog.tenants()) {
      const rules = rulesOfTenant(this.rules, tenant);
      if (rules === undefined) continue;
      const all = this.#blocks(tenant);
      const due = all.filter((ref) => this.#isDue(ref, rules, nowMs)).slice(-BLOCKS_MAX);
      if (due.length === 0) continue;
      this.#worker = this.#start({ ...this.#work, rules, due, all, nowMs, dryRun: false }, (message) =>
        this.#take(message, rules, due, nowMs),
      );
      this.#worker.on('error', (error) => this.#done.errors.push(`cannot apply retention rules: ${messageOf(error)}`));
      this.#worker.on('exit', () => {
        this.#worker = undefined;
      });
      return;
    }
  }

  /** What these rules (or the tenant's) come to. Rejects with `invalid`, `exhausted`. */
  async preview(tenant: string, texts: readonly string[], restMs: number, nowMs: number): Promise<RetentionPreview> {
    const own = rulesOfTenant(this.rules, tenant);
    const rules = texts.length > 0 ? tenantRules(texts, own?.restMs ?? restMs) : own;
    if (rules === undefined)
      throw new VivaceError(
        'invalid',
        `tenant ${tenant} has no retention rules; name some with rule=, as rule=3d 5% { }`,
      );
    if (this.#isPreviewing)
      throw new VivaceError('exhausted', 'cannot try retention rules: another try is under way', {
        retryAfterMs: 5000,
      });
    this.#isPreviewing = true;
    try {
      const all = this.#blocks(tenant);
      const preview: RetentionPreview = {
        ...{ blocks: all.length, missing: [] },
        rules: [...rules.texts, REST].map((rule) => ({ rule, ...noCounts() })),
      };
      const worker = this.#start({ ...this.#work, rules, due: all, all, nowMs, dryRun: true }, (message) => {
        if (message.type === 'failed') preview.missing.push(message.block);
        else if (message.type === 'looked')
          for (const [i, counts] of message.counts.entries()) add(preview.rules[i], counts);
      });
      await new Promise<void>((resolve, reject) => {
        worker.on('error', reject);
        worker.on('exit', () => resolve());
      });
      return preview;
    } finally {
      this.#isPreviewing = false;
    }
  }

  /** What was done since the last call. */
  take(): LateRetentionDone {
    const done = this.#done;
    this.#done = nothingDone();
    return done;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(workerData: RetentionWork, onMessage: (message: FromRetention) => void): Worker {
    const worker = new Worker(new URL('./retention-thread.ts', import.meta.url), { workerData });
    worker.on('message', onMessage);
    return worker;
  }

  #take(message: FromRetention, rules: TenantRules, due: LocalBlockRef[], nowMs: number): void {
    if (message.type === 'busy') return;
    const { block } = message;
    if (message.type === 'failed') {
      this.#failed.set(block, nowMs + FAILED_MS);
      this.#done.errors.push(`cannot apply retention rules to block ${block}: ${message.message}`);
      return;
    }
    const ref = due.find(({ id }) => id === block)!;
    const looked = { rules, deadlines: passed(ref, rules, nowMs) };
    this.#looked.set(block, looked);
    if (message.rewritten === undefined) return;
    this.#catalog.refresh();
    if (message.rewritten === null) this.#catalog.remove(ref.tenant, block);
    else this.#looked.set(message.rewritten, looked);
    this.#done.blocksRewritten++;
    message.counts.forEach(({ droppedTraces, droppedSpans, droppedBytes }, i) => {
      if (droppedTraces === 0) return;
      const rule = rules.texts[i] ?? REST;
      const dropped = this.#done.dropped.get(rule) ?? { traces: 0, spans: 0, bytes: 0 };
      dropped.traces += droppedTraces;
      dropped.spans += droppedSpans;
      dropped.bytes += droppedBytes;
      this.#done.dropped.set(rule, dropped);
    });
  }

  #isDue(ref: LocalBlockRef, rules: TenantRules, nowMs: number): boolean {
    if ((this.#failed.get(ref.id) ?? 0) > nowMs) return false;
    const looked = this.#looked.get(ref.id);
    const deadlines = passed(ref, rules, nowMs);
    const isLast = deadlines === rules.deadlinesMs.length && Number.isFinite(rules.restMs);
    // Blocks whose last deadline has passed go as a whole, like any that are too old.
    if (deadlines === 0 || isLast) return false;
    return looked === undefined || looked.rules !== rules || looked.deadlines < deadlines;
  }

  #blocks(tenant: string): LocalBlockRef[] {
    return this.#catalog.blocks(tenant).filter((ref): ref is LocalBlockRef => ref.directory !== undefined);
  }

  #forget(): void {
    if (this.#looked.size + this.#failed.size === 0) return;
    const listed = new Set(this.#catalog.tenants().flatMap((tenant) => this.#blocks(tenant).map(({ id }) => id)));
    for (const known of [this.#looked, this.#failed])
      for (const id of known.keys()) if (!listed.has(id)) known.delete(id);
  }
}

/** How many deadlines of the rules a block has passed. */
function passed(ref: LocalBlockRef, { deadlinesMs }: TenantRules, nowMs: number): number {
  const age = ageMs(ref.meta, nowMs);
  return deadlinesMs.filter((deadline) => age >= deadline).length;
}

function noCounts(): RuleCounts {
  return { traces: 0, spans: 0, bytes: 0, droppedTraces: 0, droppedSpans: 0, droppedBytes: 0 };
}

function add(to: RuleCounts, counts: RuleCounts): void {
  for (const key of Object.keys(counts) as (keyof RuleCounts)[]) to[key] += counts[key];
}

function nothingDone(): LateRetentionDone {
  return { blocksRewritten: 0, dropped: new Map(), errors: [] };
}
