/** A set of trace ids that is asked with the bytes of an id, wherever they stand. */
export class TraceIds {
  /** 32 hex digits each. */
  readonly ids: readonly string[];
  /** By the last four bytes: the first ones of many ids are zeros. */
  readonly #byEnd = new Map<number, string[]>();

  constructor(ids: readonly string[]) {
    this.ids = ids;
    for (const id of ids) {
      const end = endOf(Buffer.from(id, 'hex'), 0);
      const same = this.#byEnd.get(end);
      if (same === undefined) this.#byEnd.set(end, [id]);
      else same.push(id);
    }
  }

  has(bytes: Uint8Array, at: number): boolean {
    return this.find(bytes, at) !== undefined;
  }

  /** The id that stands there, if it is one of these. */
  find(bytes: Uint8Array, at: number): string | undefined {
    const candidates = this.#byEnd.get(endOf(bytes, at));
    if (candidates === undefined) return undefined;
    const id = Buffer.from(bytes.buffer, bytes.byteOffset + at, 16).toString('hex');
    return candidates.find((each) => each === id);
  }
}

export const NO_TRACE_IDS = new TraceIds([]);

function endOf(bytes: Uint8Array, at: number): number {
  return (bytes[at + 12] | (bytes[at + 13] << 8) | (bytes[at + 14] << 16) | (bytes[at + 15] << 24)) >>> 0;
}
