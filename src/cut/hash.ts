/**
 * Hashing and comparing strings and trace ids word by word. Strings of a segment are padded to words with zeros; those of a
 * request stand anywhere, and are read by unaligned words.
 */

/** A seeded multiplicative hash over whole words and the rest; nothing past the end is read. */
export function hashBytes(view: DataView, offset: number, length: number, seed: number): number {
  let hash = seed ^ Math.imul(length, 0x85ebca6b);
  const words = offset + (length & ~3);
  let at = offset;
  for (; at < words; at += 4) {
    hash = Math.imul(hash ^ view.getUint32(at, true), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  if ((length & 3) !== 0) {
    hash = Math.imul(hash ^ tailWord(view, offset, length), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

export function hashTrace(a: number, b: number, c: number, d: number, seed: number): number {
  let hash = Math.imul(seed ^ a, 0x9e3779b1) ^ b;
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) ^ c;
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) ^ d;
  hash = Math.imul(hash ^ (hash >>> 16), 0x9e3779b1);
  return hash ^ (hash >>> 15);
}

/** Whether the padded words at `address` hold the bytes at `offset`. */
export function equalBytes(u32: Uint32Array, address: number, view: DataView, offset: number, length: number): boolean {
  const words = offset + (length & ~3);
  let at = offset;
  for (; at + 8 <= words; at += 8, address += 2)
    if (((u32[address] ^ view.getUint32(at, true)) | (u32[address + 1] ^ view.getUint32(at + 4, true))) !== 0)
      return false;
  if (at < words && u32[address++] !== view.getUint32(at, true)) return false;
  return (length & 3) === 0 || u32[address] === tailWord(view, offset, length) >>> 0;
}

/** The last one to three bytes as the word that they are padded to. */
export function tailWord(view: DataView, offset: number, length: number): number {
  const rest = length & 3;
  if (length > 4) return view.getUint32(offset + length - 4, true) >>> (32 - 8 * rest);
  let word = 0;
  for (let i = 0; i < rest; i++) word |= view.getUint8(offset + i) << (8 * i);
  return word;
}
