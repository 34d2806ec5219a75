/**
 * Which queries run and which wait. Up to `runningMax` run at once; the rest wait in a queue for each tenant, of bounded
 * length. A place that becomes free goes to the tenant that has the fewest running, so that one tenant's crowd does not
 * keep out another's single query; a tenant with nothing running gets in beyond the bound, until it is reached twice over.
 *
 * Those that run would only wait for one another if they were many, each with memory of its own. So a few ordinary ones begin, and
 * others when these have ended or have turned out to compute for long; and with many of both, only while there is room for more, of
 * which somebody who has waited is given more than others.
 */
import { VivaceError } from '../runtime/errors.ts';

export interface AdmissionOptions {
  runningMax: number;
  /** Of those that run, so many have not computed for long; no bound unless given. */
  ordinaryMax?: number;
  /** With so many running others begin only while there is room for who has waited so long; no bound unless given. */
  heldMax?: number;
  hasRoom?(waitedMs: number): boolean;
  /** Waiting of one tenant; more are refused. 0 for no bound. */
  waitingMax: number;
  /** Told of each refusal. */
  onRefused?(tenant: string): void;
}

/** Of a query that runs. */
export interface Place {
  /** The query computes for long. */
  becameLong(): void;
  /** The query has ended. */
  leave(): void;
}

/** Room comes without a word. */
const LOOK_AGAIN_MS = 100;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #running = new Map<string, number>();
  /** Only tenants with somebody waiting, who waited longest first, with the time since when. */
  readonly #waiting = new Map<string, Map<() => void, number>>();
  #lookingAgain: NodeJS.Timeout | undefined;
  #total = 0;
  #ordinary = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** How many wait, by tenant. */
  *waiting(): Generator<readonly [tenant: string, count: number]> {
    for (const [tenant, queue] of this.#waiting) yield [tenant, queue.size];
  }

  /** How many run, by tenant. */
  running(): Iterable<readonly [tenant: string, count: number]> {
    return this.#running;
  }

  /**
   * Resolves when the query may run; the caller gives the place back. Rejects with `exhausted` when too
   * many of the tenant wait already, with `cancelled` when the signal is aborted first.
   */
  async enter(tenant: string, signal: AbortSignal): Promise<Place> {
    if (signal.aborted) throw gone();
    if (!this.#mayRun(tenant, 0)) await this.#queued(tenant, signal);
    else this.#begin(tenant);
    let isLong = false;
    let left = false;
    const becameLong = (): void => {
      if (isLong) return;
      isLong = true;
      this.#ordinary--;
      this.#next();
    };
    return {
      becameLong,
      leave: () => {
        if (left) return;
        left = true;
        this.#count(tenant, -1);
        if (isLong) this.#next();
        else becameLong();
      },
    };
  }

  #queued(tenant: string, signal: AbortSignal): Promise<void> {
    const queue = this.#waiting.get(tenant) ?? new Map<() => void, number>();
    const { waitingMax, onRefused } = this.#options;
    if (waitingMax > 0 && queue.size >= waitingMax) {
      onRefused?.(tenant);
      throw new VivaceError('exhausted', 'job queue full', { retryAfterMs: 1000 });
    }
    this.#waiting.set(tenant, queue);
    return new Promise((resolve, reject) => {
      const remove = (): void => {
        queue.delete(enter);
        if (queue.size === 0) this.#waiting.delete(tenant);
      };
      const leave = (): void => {
        remove();
        reject(gone());
      };
      const enter = (): void => {
        remove();
        signal.removeEventListener('abort', leave);
        this.#begin(tenant);
        resolve();
      };
      queue.set(enter, performance.now());
      signal.addEventListener('abort', leave, { once: true });
      this.#lookAgain();
    });
  }

  #mayRun(tenant: string, waitedMs: number): boolean {
    const { runningMax, ordinaryMax = runningMax, heldMax = runningMax, hasRoom } = this.#options;
    const total = this.#running.has(tenant) ? this.#total : this.#total / 2;
    if (total >= runningMax || this.#ordinary >= 2 * ordinaryMax) return false;
    if (this.#running.has(tenant) && this.#ordinary >= ordinaryMax) return false;
    return total < heldMax || hasRoom?.(waitedMs) !== false;
  }

  #next(): void {
    for (;;) {
      let least: string | undefined;
      for (const tenant of this.#waiting.keys())
        if (least === undefined || (this.#running.get(tenant) ?? 0) < (this.#running.get(least) ?? 0)) least = tenant;
      if (least === undefined) return;
      const [[enter, sinceMs]] = this.#waiting.get(least)!;
      if (!this.#mayRun(least, performance.now() - sinceMs)) {
        this.#lookAgain();
        return;
      }
      enter();
    }
  }

  #lookAgain(): void {
    if (this.#options.hasRoom === undefined) return;
    this.#lookingAgain ??= setTimeout(() => {
      this.#lookingAgain = undefined;
      this.#next();
    }, LOOK_AGAIN_MS).unref();
  }

  #begin(tenant: string): void {
    this.#ordinary++;
    this.#count(tenant, 1);
  }

  #count(tenant: string, by: number): void {
    const running = (this.#running.get(tenant) ?? 0) + by;
    if (running === 0) this.#running.delete(tenant);
    else this.#running.set(tenant, running);
    this.#total += by;
  }
}

function gone(): VivaceError {
  return new VivaceError('cancelled', 'the client has gone');
}
