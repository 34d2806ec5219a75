/**
 * Queries of one thread take turns: each works for a slice of time and then waits until the others have had theirs, one
 * tenant after the other. Between two slices the thread looks at its messages, so that a new query begins soon and a
 * cancelled one ends.
 */

/** Long enough that changing costs nothing, short enough that nobody notices the wait. */
export const SLICE_MS = 10;

export class Turns {
  /** In the order of their next turns. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #scheduled = false;

  /** Resolves when it is the caller's turn again. */
  wait(tenant: string): Promise<void> {
    return new Promise((resolve) => {
      const queue = this.#waiting.get(tenant);
      if (queue === undefined) this.#waiting.set(tenant, [resolve]);
      else queue.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Messages are looked at before; the one that goes on now works until it waits again.
    setImmediate(() => {
      this.#scheduled = false;
      const [tenant, queue] = this.#waiting.entries().next().value!;
      const go = queue.shift()!;
      this.#waiting.delete(tenant);
      if (queue.length > 0) this.#waiting.set(tenant, queue);
      if (this.#waiting.size > 0) this.#schedule();
      go();
    });
  }
}
