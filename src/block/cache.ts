/**
 * Values up to a number of bytes. What has to go is drawn by lot: a query that goes through more blocks than the cache holds
 * would push out, in the order of use, each value just before it is wanted again, and find nothing; so it finds as much as
 * there is room for. A value larger than a quarter of the cache is not kept.
 */
export class ByteCache<V> {
  readonly #bytesMax: number;
  readonly #entries = new Map<string, Entry<V>>();
  /** The entries by place, for the draw. */
  readonly #places: Entry<V>[] = [];
  #bytes = 0;
  #lot = 0x2545f491;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): V | undefined {
    return this.#entries.get(key)?.value;
  }

  set(key: string, value: V, bytes: number): void {
    const old = this.#entries.get(key);
    if (old !== undefined) this.#drop(old);
    if (bytes > this.#bytesMax / 4) return;
    while (this.#bytes + bytes > this.#bytesMax) this.#drop(this.#places[this.#draw(this.#places.length)]);
    const entry = { key, value, bytes, place: this.#places.length };
    this.#entries.set(key, entry);
    this.#places.push(entry);
    this.#bytes += bytes;
  }

  /** Drops all whose key begins so. */
  dropOf(prefix: string): void {
    for (const [key, entry] of [...this.#entries]) if (key.startsWith(prefix)) this.#drop(entry);
  }

  #drop(entry: Entry<V>): void {
    this.#entries.delete(entry.key);
    this.#bytes -= entry.bytes;
    const last = this.#places.pop()!;
    if (last === entry) return;
    last.place = entry.place;
    this.#places[entry.place] = last;
  }

  /** A number below `count` (xorshift: who is drawn need not surprise anybody). */
  #draw(count: number): number {
    this.#lot ^= this.#lot << 13;
    this.#lot ^= this.#lot >>> 17;
    this.#lot ^= this.#lot << 5;
    return (this.#lot >>> 0) % count;
  }
}

interface Entry<V> {
  key: string;
  value: V;
  bytes: number;
  place: number;
}
