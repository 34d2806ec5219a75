/**
 * Late-decided retention as the writer thread runs it, and for a bucket the bucket thread (bucket-rules.ts): a block is looked at
 * whenever it has become so old that a rule may keep traces in it no longer, and written again without them.
 */
import { type MessagePort, Worker } from 'node:worker_threads';
import type { BlockCatalog, BlockRef } from '../block/catalog.ts';
import { ageMs } from '../compact/retention.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import type { FolderWork } from './background.ts';
import { type RulesByTenant, rulesOfTenant, type TenantRules, tenantRules } from './retention-rules.ts';
import type { FromRetention, RetentionQuestion, RetentionWork, RuleCounts } from './retention-thread.ts';

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
  /** Blocks that could not be read, or were replaced again and again meanwhile. */
  missing: string[];
  /** The last one is the rest. */
  rules: (RuleCounts & { rule: string })[];
}

/** A thread is started for so many blocks at most. */
const BLOCKS_MAX = 16;
/** Blocks that could not be looked at are left alone for so long. */
const FAILED_MS = 10 * 60_000;
export const REST = 'block_retention';

/** A preview is begun anew so often when blocks were replaced while it read them. */
const PREVIEWS_MAX = 5;

/** The blocks that rules are applied to. */
export interface RuledBlocks {
  tenants(): Iterable<string>;
  /** All of a tenant. */
  blocks(tenant: string): BlockRef[];
  /** Looks again which there are. */
  refresh(tenant: string): Promise<void>;
  /** What a thread needs to get at them, and what to hand over to it. */
  from(): { from: RetentionWork['from']; transfer?: MessagePort[] };
  /** A block was written again. */
  onRewritten(ref: BlockRef, by: string | null): void;
}

export interface DueBlocks {
  rules: TenantRules;
  due: BlockRef[];
  all: BlockRef[];
}

export class LateRetention {
  rules: RulesByTenant;
  readonly #blocks: RuledBlocks;
  /** How many deadlines had passed when a block was last looked at, by which rules. */
  readonly #looked = new Map<string, { rules: TenantRules; deadlines: number }>();
  readonly #failed = new Map<string, number>();
  #worker: Worker | undefined;
  #isPreviewing = false;
  #done = nothingDone();

  constructor(blocks: RuledBlocks, rules: RulesByTenant) {
    this.#blocks = blocks;
    this.rules = rules;
  }

  /** Looks at what is due in a folder, unless that is going on. */
  cycle(nowMs: number): void {
    if (this.#worker !== undefined) return;
    this.forget();
    for (const tenant of this.#blocks.tenants()) {
      const found = this.due(tenant, nowMs);
      if (found === undefined) continue;
      void this.look(found, nowMs);
      return;
    }
  }

  /** The tenant's blocks that are to be looked at; undefined: none is. */
  due(tenant: string, nowMs: number): DueBlocks | undefined {
    const rules = rulesOfTenant(this.rules, tenant);
    if (rules === undefined) return undefined;
    const all = this.#blocks.blocks(tenant);
    const due = all.filter((ref) => this.#isDue(ref, rules, nowMs)).slice(-BLOCKS_MAX);
    return due.length === 0 ? undefined : { rules, due, all };
  }

  /**
   * Has a thread look at the blocks. `rewrite` is called for those that it does not write again itself; it resolves with what took
   * the block's place, and with undefined when nothing could be done yet. Never rejects.
   */
  async look(
    { rules, due, all }: DueBlocks,
    nowMs: number,
    rewrite?: (ref: BlockRef, gone: string[]) => Promise<string | null | undefined>,
  ): Promise<void> {
    let last = Promise.resolve();
    const worker = this.#start({ rules, due, all, nowMs, dryRun: false }, (message) => {
      last = last
        .then(async () => {
          if (message.type !== 'looked' || message.gone === undefined || rewrite === undefined)
            return this.#take(message, rules, due, nowMs);
          const ref = due.find(({ id }) => id === message.block)!;
          const rewritten = await rewrite(ref, message.gone);
          if (rewritten !== undefined) this.#take({ ...message, rewritten }, rules, due, nowMs);
        })
        .catch((error: unknown) => {
          const { block = '' } = message as { block?: string };
          this.#take({ type: 'failed', block, message: messageOf(error) }, rules, due, nowMs);
        });
    });
    this.#worker = worker;
    worker.on('error', (error) => this.#done.errors.push(`cannot apply retention rules: ${messageOf(error)}`));
    await new Promise((resolve) => worker.on('exit', resolve));
    await last;
    this.#worker = undefined;
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
      for (let tries = 1; ; tries++) {
        const { preview, replaced } = await this.#try(tenant, rules, nowMs);
        if (replaced.length === 0) return preview;
        if (tries === PREVIEWS_MAX) return { ...preview, missing: [...preview.missing, ...replaced] };
        await this.#blocks.refresh(tenant);
      }
    } finally {
      this.#isPreviewing = false;
    }
  }

  /** `replaced`: blocks of which nothing could be said, because others have taken their place. */
  async #try(
    tenant: string,
    rules: TenantRules,
    nowMs: number,
  ): Promise<{ preview: RetentionPreview; replaced: string[] }> {
    const all = this.#blocks.blocks(tenant);
    const replaced: string[] = [];
    const preview: RetentionPreview = {
      ...{ blocks: all.length, missing: [] },
      rules: [...rules.texts, REST].map((rule) => ({ rule, ...noCounts() })),
    };
    const worker = this.#start({ rules, due: all, all, nowMs, dryRun: true }, (message) => {
      if (message.type === 'failed') preview.missing.push(message.block);
      else if (message.type === 'replaced') replaced.push(message.block);
      else if (message.type === 'looked')
        for (const [i, counts] of message.counts.entries()) add(preview.rules[i], counts);
    });
    await new Promise<void>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('exit', () => resolve());
    });
    return { preview, replaced };
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

  #start(question: RetentionQuestion, onMessage: (message: FromRetention) => void): Worker {
    const { from, transfer = [] } = this.#blocks.from();
    const worker = new Worker(new URL('./retention-thread.ts', import.meta.url), {
      workerData: { ...question, from } satisfies RetentionWork,
      transferList: transfer,
    });
    worker.on('message', onMessage);
    return worker;
  }

  #take(message: FromRetention, rules: TenantRules, due: BlockRef[], nowMs: number): void {
    // Both are looked at again in the next cycle, with a new list of blocks.
    if (message.type === 'busy' || message.type === 'replaced') return;
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
    this.#blocks.onRewritten(ref, message.rewritten);
    if (message.rewritten !== null) this.#looked.set(message.rewritten, looked);
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

  #isDue(ref: BlockRef, rules: TenantRules, nowMs: number): boolean {
    if ((this.#failed.get(ref.id) ?? 0) > nowMs) return false;
    const looked = this.#looked.get(ref.id);
    const deadlines = passed(ref, rules, nowMs);
    const isLast = deadlines === rules.deadlinesMs.length && Number.isFinite(rules.restMs);
    // Blocks whose last deadline has passed go as a whole, like any that are too old.
    if (deadlines === 0 || isLast) return false;
    return looked === undefined || looked.rules !== rules || looked.deadlines < deadlines;
  }

  /** Forgets what was found of blocks that are not there any more. */
  forget(): void {
    if (this.#looked.size + this.#failed.size === 0) return;
    const listed = new Set<string>();
    for (const tenant of this.#blocks.tenants()) for (const { id } of this.#blocks.blocks(tenant)) listed.add(id);
    for (const known of [this.#looked, this.#failed])
      for (const id of known.keys()) if (!listed.has(id)) known.delete(id);
  }
}

/** Those of a folder. */
export function ruledFolder(catalog: BlockCatalog, work: FolderWork): RuledBlocks {
  return {
    tenants: () => catalog.tenants(),
    blocks: (tenant) => catalog.blocks(tenant).filter(({ directory }) => directory !== undefined),
    async refresh() {
      catalog.refresh();
    },
    from: () => ({ from: work }),
    onRewritten({ tenant, id }, by) {
      catalog.refresh();
      if (by === null) catalog.remove(tenant, id);
    },
  };
}

/** How many deadlines of the rules a block has passed. */
function passed(ref: BlockRef, { deadlinesMs }: TenantRules, nowMs: number): number {
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
