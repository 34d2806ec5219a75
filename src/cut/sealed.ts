/**
 * What takes no more requests and waits for its cut, in the order in which it was sealed. When all tenants grow old together there
 * are ten thousand, so nothing that is asked once a request looks at each.
 */
import type { Open, Segment } from './held.ts';

export class Sealed implements Iterable<Open> {
  readonly #all = new Set<Open>();
  /** Those that have columns: very few. */
  readonly #segments = new Set<Segment>();

  get size(): number {
    return this.#all.size;
  }

  /** How many have columns. */
  get segments(): number {
    return this.#segments.size;
  }

  /** Bytes of their columns. */
  get columnBytes(): number {
    let bytes = 0;
    for (const { columns } of this.#segments) bytes += columns.bytes;
    return bytes;
  }

  [Symbol.iterator](): Iterator<Open> {
    return this.#all.values();
  }

  add(held: Open): void {
    this.#all.add(held);
    if (held.columns !== undefined) this.#segments.add(held);
  }

  delete(held: Open): void {
    this.#all.delete(held);
    if (held.columns !== undefined) this.#segments.delete(held);
  }

  /**
   * What is cut next, of packed ones at most `packedMax` of together no more than `packBytesMax`. What has columns comes first and
   * alone, because it holds memory and is much work; of the others there are several at a time, because with their few spans most of
   * the time is waiting for the disk. Nothing comes before what its tenant sent earlier: the log is noted as cut up to a number.
   */
  next(packedMax: number, packBytesMax: number): Open[] {
    const [urgent] = this.#segments;
    const next = new Map<string, Open>();
    let bytes = 0;
    for (const held of this.#all) {
      if ((urgent !== undefined && held.tenant !== urgent.tenant) || next.has(held.tenant)) continue;
      if (next.size > 0 && bytes + (held.pack?.bytes ?? 0) > packBytesMax) break;
      next.set(held.tenant, held);
      bytes += held.pack?.bytes ?? 0;
      if (urgent !== undefined || next.size === packedMax) break;
    }
    return [...next.values()];
  }
}
