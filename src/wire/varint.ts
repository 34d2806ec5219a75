/**
 * Varints of up to 64 bits: seven bits a byte, the lowest first, the top bit on all bytes but the last. Read as two words,
 * for numbers have 53 bits and a BigInt a value costs too much.
 *
 *   byte   0      1 … 3   4                     5 … 8   9
 *   bits   0–6    … 27    28–31 low, 32–34 high  … 62    63, the rest of it is ignored
 */

/** Where the words of a varint go, both unsigned. */
export interface Words {
  low: number;
  high: number;
}

/** Reads the varint at `at` and returns where it ends; -1 where it does not end before `end` or within ten bytes. */
export function readVarint64(bytes: Uint8Array, at: number, end: number, into: Words): number {
  let low = 0;
  let high = 0;
  let shift = 0;
  for (; shift < 28 && at < end; shift += 7) {
    const byte = bytes[at++];
    low |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      into.low = low;
      into.high = 0;
      return at;
    }
  }
  for (; shift < 70 && at < end; shift += 7) {
    const byte = bytes[at++];
    const bits = byte & 0x7f;
    if (shift === 28) {
      low |= bits << 28;
      high = bits >>> 4;
    } else high |= bits << (shift - 32);
    if (byte < 0x80) {
      into.low = low >>> 0;
      into.high = high >>> 0;
      return at;
    }
  }
  return -1;
}
