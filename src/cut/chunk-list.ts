/** What a list needs of the segment that it lies in: words, and more of them (after which `u32` may be another array). */
export interface SegmentMemory {
  readonly u32: Uint32Array;
  allocate(words: number): number;
}

/** A list of equal records in chunks that are linked in shared memory and addressed through a private directory. */
export class ChunkList {
  count = 0;
  readonly #segment: SegmentMemory;
  readonly #root: number;
  readonly #shift: number;
  readonly #mask: number;
  readonly #width: number;
  readonly #stride: number;
  #chunks: Uint32Array = new Uint32Array(8);
  #chunkCount = 0;

  /** `stride`: words from one field to the next in a list of one array a field. */
  constructor(segment: SegmentMemory, root: number, entries: number, width: number, stride = entries) {
    this.#segment = segment;
    this.#root = root;
    this.#shift = Math.log2(entries);
    this.#mask = entries - 1;
    this.#width = width;
    this.#stride = stride;
  }

  /** Adds a record; returns the address of its first word (records of more than one word stand together). */
  push(): number {
    const index = this.count;
    if (index >>> this.#shift === this.#chunkCount) this.#addChunk();
    this.count = index + 1;
    return this.address(index);
  }

  /** Where record `index` begins. */
  address(index: number): number {
    return this.#chunks[index >>> this.#shift] + 1 + (index & this.#mask) * this.#width;
  }

  /** Where field 0 of record `index` stands in a chunk of one array a field; field f is f * stride further on. */
  fieldAddress(index: number): number {
    return this.#chunks[index >>> this.#shift] + 1 + (index & this.#mask);
  }

  /** Adds a record to a list of one array a field. */
  pushFields(): number {
    const index = this.count;
    if (index >>> this.#shift === this.#chunkCount) this.#addChunk();
    this.count = index + 1;
    return this.fieldAddress(index);
  }

  truncate(count: number): void {
    this.count = count;
    const chunks = (count + this.#mask) >>> this.#shift;
    if (chunks === this.#chunkCount) return;
    this.#chunkCount = chunks;
    if (chunks === 0) this.#segment.u32[this.#root] = 0;
    else this.#segment.u32[this.#chunks[chunks - 1]] = 0;
  }

  #addChunk(): void {
    const chunk = this.#segment.allocate(1 + this.#stride * this.#width);
    const previous = this.#chunkCount === 0 ? this.#root : this.#chunks[this.#chunkCount - 1];
    this.#segment.u32[previous] = chunk;
    if (this.#chunkCount === this.#chunks.length) {
      const wider = new Uint32Array(2 * this.#chunkCount);
      wider.set(this.#chunks);
      this.#chunks = wider;
    }
    this.#chunks[this.#chunkCount++] = chunk;
  }
}
