/** Strings of texts that come again and again in a request: names of services, kinds, addresses. Each is made once. */
import { randomBytes } from 'node:crypto';

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

/** So that nobody can choose texts that collide. */
const SEED = randomBytes(4).readInt32LE();

/** Of 30 bits; the same bytes have another hash in another process. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = SEED ^ (end - start);
  let at = start;
  for (const words = end - 3; at < words; at += 4) {
    const word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  // Of 30 bits, which V8 keeps without a heap number.
  return (hash ^ (hash >>> 15)) & 0x3fffffff;
}

function sameBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false;
  for (let i = aStart, j = bStart; i < aEnd; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}
