/** Changes at random, the same from the same seed. */

export type Random = () => number;

/** A copy with one to four changes: bytes flipped, set to extremes, taken out, put in, repeated once or often. */
export function mutate(seed: Uint8Array, next: Random): Uint8Array {
  let bytes = Buffer.from(seed);
  const random = (below: number): number => Math.floor(next() * below);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(bytes.length + 1);
    switch (random(7)) {
      case 0:
        if (at < bytes.length) bytes[at] ^= 1 << random(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = [0, 0xff, 0x7f, 0x80, 0x22, 0x5b, 0x7b][random(7)];
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(8))]);
        break;
      case 3:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(Array.from({ length: 1 + random(6) }, () => random(256))),
          bytes.subarray(at),
        ]);
        break;
      case 4: {
        const from = random(bytes.length);
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, from + random(64)), bytes.subarray(at)]);
        break;
      }
      case 5: {
        // What costs more than its share shows when there is much of it.
        const from = random(bytes.length);
        const piece = bytes.subarray(from, from + 1 + random(48));
        const count = random(50) === 0 ? random(1000) : random(4);
        bytes = Buffer.concat([bytes.subarray(0, at), ...new Array(count).fill(piece), bytes.subarray(at)]);
        break;
      }
      default:
        if (random(3) === 0) bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}

/** mulberry32. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
