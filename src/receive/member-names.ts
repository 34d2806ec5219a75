import type { JsonCursor } from './json-cursor.ts';

/** Names of JSON members, found by their bytes without making a string; upper and lower case are the same. */

const SLOTS = 128;

export class MemberNames {
  readonly #slots: (Uint8Array | undefined)[] = new Array(SLOTS);
  readonly #numbers = new Uint8Array(SLOTS);

  /** Fewer than 64 names of ASCII letters and digits, each with a number that is not 0. */
  constructor(names: Readonly<Record<string, number>>) {
    for (const [name, number] of Object.entries(names)) {
      const bytes = Buffer.from(name.toLowerCase());
      let slot = hashOf(bytes, 0, bytes.length);
      while (this.#slots[slot] !== undefined) slot = (slot + 1) % SLOTS;
      this.#slots[slot] = bytes;
      this.#numbers[slot] = number;
    }
  }

  /** Reads the next member's name and returns its number. */
  next(json: JsonCursor): number {
    json.key();
    return this.find(json.textBytes, json.textStart, json.textEnd);
  }

  /** The number of the name bytes[start … end), 0 for one that is not there. */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > 32) return 0;
    for (let slot = hashOf(bytes, start, end); ; slot = (slot + 1) % SLOTS) {
      const name = this.#slots[slot];
      if (name === undefined) return 0;
      if (isSame(name, bytes, start, end)) return this.#numbers[slot];
    }
  }
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] | 0x20)) | 0;
  return (hash ^ (hash >>> 9)) & (SLOTS - 1);
}

function isSame(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[start + i];
    if (name[i] !== (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte)) return false;
  }
  return true;
}
