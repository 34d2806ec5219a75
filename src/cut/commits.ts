/**
 * Requests that wait for the log, and are answered together: whatever comes while a commit is being written is in the next one.
 *
 * ```
 *  add ──▶ waiting ──▶ gather ──▶ commit ──▶ answered, rows up to their marks are durable
 *                                   └──────▶ refused: what waits, too, for it is taken out of the log with them
 * ```
 */
import type { VivaceError } from '../runtime/errors.ts';
import type { Appended } from './append.ts';
import type { Mark } from './columns.ts';
import type { Open, Segment } from './held.ts';
import type { LiveLog } from './live-store-options.ts';

/** A request that was appended and is in the log, or will be. */
export interface Unanswered {
  tenant: string;
  body: Uint8Array;
  reply: (error: VivaceError | undefined, spans: number, body: Uint8Array) => void;
  appended: Appended;
  held: Open;
}

export interface CommitEnds {
  /** It is on disk. */
  answered: (request: Unanswered) => void;
  /** The log could not be written: nothing that is not on disk may stay in these segments, nor be answered. */
  refused: (error: VivaceError, requests: readonly Unanswered[], segments: ReadonlySet<Segment>) => void;
}

export class Commits {
  readonly #log: LiveLog;
  readonly #ends: CommitEnds;
  #unanswered: Unanswered[] = [];
  /** Segments with rows that are not durable. */
  readonly #dirty = new Set<Segment>();
  #committing: Promise<void> | undefined;
  /** To be called after the commit that is under way. */
  #afterCommit: (() => void)[] = [];
  /** Commits that have ended, and whether one is being written. */
  #commits = 0;
  #writing = false;

  constructor(log: LiveLog, ends: CommitEnds) {
    this.#log = log;
    this.#ends = ends;
  }

  /** The request is in the log since it was committed last. `begin` commits it. */
  add(request: Unanswered): void {
    this.#unanswered.push(request);
    if (request.held.columns !== undefined) this.#dirty.add(request.held);
  }

  /** Commits what is in the log and not on disk, unless that is under way. */
  begin(): void {
    this.#committing ??= this.#commitAll();
  }

  /** Resolves when the commit that is under way has ended. */
  next(): Promise<void> {
    return new Promise<void>((resolve) => this.#afterCommit.push(resolve));
  }

  /** Resolves when all that is queued for the log now is in it or refused; not when nothing is queued, which under load is never. */
  async settled(): Promise<void> {
    const last = this.#commits + (this.#writing ? 2 : 1);
    while (this.#committing !== undefined && this.#commits < last) await this.next();
  }

  async #commitAll(): Promise<void> {
    // Later than the caller goes on, who keeps the promise.
    await null;
    while (this.#log.hasPending) {
      await this.#log.gather();
      const batch = this.#unanswered;
      this.#unanswered = [];
      const marks: [Segment, Mark][] = [];
      for (const segment of this.#dirty) marks.push([segment, segment.columns.mark()]);
      this.#dirty.clear();
      this.#writing = true;
      try {
        await this.#log.commit();
      } catch (error) {
        this.#refuse(error as VivaceError, batch, marks);
        this.#committed();
        break;
      }
      for (const [segment, mark] of marks) segment.durable = mark;
      for (const request of batch) this.#ends.answered(request);
      this.#committed();
    }
    this.#committing = undefined;
    for (const resolve of this.#afterCommit.splice(0)) resolve();
    if (this.#log.hasPending) this.begin();
  }

  #committed(): void {
    this.#writing = false;
    this.#commits++;
    for (const resolve of this.#afterCommit.splice(0)) resolve();
  }

  #refuse(error: VivaceError, batch: Unanswered[], marks: [Segment, Mark][]): void {
    const refused = [...batch, ...this.#unanswered];
    this.#unanswered = [];
    this.#log.discardPending();
    const segments = new Set([...marks.map(([segment]) => segment), ...this.#dirty]);
    this.#dirty.clear();
    this.#ends.refused(error, refused, segments);
  }
}
