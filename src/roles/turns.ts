/**
 * Queries of one thread take turns: each works for a slice of time and then waits until the others have had theirs, one
 * tenant after the other. Among the queries of a tenant who came first goes on, so that ordinary ones end one after the other
 * instead of all at the end, and few hold memory at a time; one that has computed for long gives way: such queries
 * share every second turn of their tenant. Between two slices the thread looks at its messages, so that a new query begins
 * soon and a cancelled one ends.
 */

/** Long enough that changing costs nothing, short enough that nobody notices the wait. */
export const SLICE_MS = 10;
/** What a query may compute before it gives way to those that came later. */
export const ORDINARY_MS = 100;

interface Waiting {
  /** When the query began, in the order of queries. */
  began: number;
  go: () => void;
}

interface Tenant {
  /** Sorted by when they began. */
  ordinary: Waiting[];
  /** In the order of their next turns. */
  long: Waiting[];
  wasLong: boolean;
}

export class Turns {
  /** In the order of their next turns. */
  readonly #waiting = new Map<string, Tenant>();
  #scheduled = false;
  #queries = 0;
  readonly #onTurn: () => void;

  /** `onTurn` is called before each turn. */
  constructor(onTurn: () => void = () => {}) {
    this.#onTurn = onTurn;
  }

  /** The number of a query that begins now. */
  begin(): number {
    return this.#queries++;
  }

  /** Resolves when it is the turn again of the query that began as number `began` and has computed for `usedMs`. */
  wait(tenant: string, began: number, usedMs: number): Promise<void> {
    return new Promise((go) => {
      let queues = this.#waiting.get(tenant);
      if (queues === undefined) {
        queues = { ordinary: [], long: [], wasLong: true };
        this.#waiting.set(tenant, queues);
      }
      if (usedMs >= ORDINARY_MS) queues.long.push({ began, go });
      else {
        const { ordinary } = queues;
        let at = ordinary.length;
        while (at > 0 && ordinary[at - 1].began > began) at--;
        ordinary.splice(at, 0, { began, go });
      }
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Messages are looked at before; the one that goes on now works until it waits again.
    setImmediate(() => {
      this.#scheduled = false;
      const [tenant, queues] = this.#waiting.entries().next().value!;
      const { ordinary, long } = queues;
      queues.wasLong = ordinary.length === 0 || (long.length > 0 && !queues.wasLong);
      const next = (queues.wasLong ? long : ordinary).shift()!;
      this.#waiting.delete(tenant);
      if (ordinary.length + long.length > 0) this.#waiting.set(tenant, queues);
      if (this.#waiting.size > 0) this.#schedule();
      this.#onTurn();
      next.go();
    });
  }
}
