/** Leases of queries on columns: memory that a snapshot shows is used again only when all leases on it have been given back. */
import type { LiveColumns } from './columns.ts';

export class ColumnLeases {
  #next = 1;
  readonly #leases = new Map<number, readonly LiveColumns[]>();
  /** How many leases there are on columns. */
  readonly #counts = new Map<LiveColumns, number>();
  /** Columns that nobody appends to any more. */
  readonly #left = new Set<LiveColumns>();

  /** The number of a lease on all of these. */
  take(all: readonly LiveColumns[]): number {
    const lease = this.#next++;
    for (const columns of all) this.#counts.set(columns, (this.#counts.get(columns) ?? 0) + 1);
    this.#leases.set(lease, all);
    return lease;
  }

  /** Ends a lease, once. Returns the columns that were left and that nobody sees any more. */
  release(lease: number): LiveColumns[] {
    const all = this.#leases.get(lease) ?? [];
    this.#leases.delete(lease);
    return all.filter((columns) => {
      const leases = this.#counts.get(columns)! - 1;
      if (leases > 0) {
        this.#counts.set(columns, leases);
        return false;
      }
      this.#counts.delete(columns);
      return this.#left.delete(columns);
    });
  }

  /** Of columns that only queries still see. */
  get leftBytes(): number {
    let bytes = 0;
    for (const columns of this.#left) bytes += columns.bytes;
    return bytes;
  }

  /** Nobody appends to the columns any more. False: there are leases on them, and the last `release` returns them. */
  leave(columns: LiveColumns): boolean {
    if (!this.#counts.has(columns)) return true;
    this.#left.add(columns);
    return false;
  }
}
