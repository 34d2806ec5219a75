/** Strings of texts that come again and again in a request: names of services, kinds, addresses. Each is made once. */
import { hashOf, sameBytes } from './tag-table.ts';

/** Further ones are made each time, and forgotten. */
const TEXTS_MAX = 1024;
const TEXT_BYTES_MAX = 256;

interface Text {
  readonly bytes: Uint8Array;
  readonly text: string;
}

export class KnownTexts {
  readonly #byHash = new Map<number, Text>();

  /** A range of bytes as a string, one character a byte. */
  latin1(bytes: Uint8Array, start: number, end: number): string {
    if (start >= end) return '';
    const size = end - start;
    const hash = hashOf(bytes, start, end);
    const known = this.#byHash.get(hash);
    if (known !== undefined && sameBytes(bytes, start, end, known.bytes, 0, known.bytes.length)) return known.text;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, size).toString('latin1');
    if (known === undefined && size <= TEXT_BYTES_MAX && this.#byHash.size < TEXTS_MAX)
      this.#byHash.set(hash, { bytes: bytes.slice(start, end), text });
    return text;
  }
}
