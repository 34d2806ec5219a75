/**
 * How several cuts share the thread with requests: between two turns of its loop, in which requests are taken and commits go on, one cut
 * works for a slice. If each of sixteen worked for one, a commit, which takes some turns, would take half a second.
 */
export class CutSlices {
  readonly #perTurn: () => number;
  readonly #waiting: (() => void)[] = [];

  /** `perTurn`: how many cuts may go on in this turn, at least one. */
  constructor(perTurn: () => number) {
    this.#perTurn = perTurn;
  }

  /** Gives the thread to others; resolves in a later turn. */
  readonly pause = (): Promise<void> =>
    new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(this.#next);
    });

  readonly #next = (): void => {
    // What pauses again while these go on comes after the others.
    const resolves = this.#waiting.splice(0, this.#perTurn());
    if (this.#waiting.length > 0) setImmediate(this.#next);
    for (const resolve of resolves) resolve();
  };
}
