/**
 * How many whole requests a process has in hand at once. Each costs some 16 KB of objects besides its body, so ten thousand small ones
 * that wait for the disk would take far more than their bytes. Beyond the bound a request waits for a place, and nothing more is read from its
 * connection, which for its client is back pressure of TCP. Who still sends holds no place, however slowly.
 */
import type { Pausable } from './body.ts';

export const REQUESTS_IN_HAND_MAX = 2048;

export class RequestPlaces {
  readonly #max: number;
  #used = 0;
  /** In the order in which they came. */
  readonly #waiting = new Set<{ connection: Pausable | undefined; enter: () => void }>();
  /** How many wait of a connection that was paused. */
  readonly #paused = new Map<Pausable, number>();

  constructor(max: number = REQUESTS_IN_HAND_MAX) {
    this.#max = max;
  }

  /** Takes a place, which `leave` gives back: at once and returns undefined, or when the promise is resolved. */
  enter(connection: Pausable | undefined): Promise<void> | undefined {
    if (this.#used < this.#max) {
      this.#used++;
      return undefined;
    }
    if (connection !== undefined) {
      this.#paused.set(connection, (this.#paused.get(connection) ?? 0) + 1);
      connection.pause();
    }
    return new Promise((enter) => this.#waiting.add({ connection, enter }));
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#used--;
      return;
    }
    this.#waiting.delete(next);
    const { connection, enter } = next;
    if (connection !== undefined) {
      const left = this.#paused.get(connection)! - 1;
      if (left > 0) this.#paused.set(connection, left);
      else {
        this.#paused.delete(connection);
        connection.resume();
      }
    }
    enter();
  }
}
