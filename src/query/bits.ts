/** A set of row numbers, one bit a row. */
export type Bits = Uint32Array;

export function noBits(rows: number): Bits {
  return new Uint32Array((rows + 31) >>> 5);
}

export function allBits(rows: number): Bits {
  const bits = noBits(rows).fill(0xffffffff);
  if ((rows & 31) !== 0) bits[bits.length - 1] = 0xffffffff >>> (32 - (rows & 31));
  return bits;
}

export function intersect(into: Bits, other: Bits): Bits {
  for (let i = 0; i < into.length; i++) into[i] &= other[i];
  return into;
}

export function unite(into: Bits, other: Bits): Bits {
  for (let i = 0; i < into.length; i++) into[i] |= other[i];
  return into;
}

export function subtract(into: Bits, other: Bits): Bits {
  for (let i = 0; i < into.length; i++) into[i] &= ~other[i];
  return into;
}

export function isEmpty(bits: Bits): boolean {
  for (let i = 0; i < bits.length; i++) if (bits[i] !== 0) return false;
  return true;
}

export function has(bits: Bits, row: number): boolean {
  return ((bits[row >>> 5] >>> (row & 31)) & 1) === 1;
}

/** The first row at or after `from`, or -1. */
export function nextOne(bits: Bits, from: number): number {
  let index = from >>> 5;
  if (index >= bits.length) return -1;
  let word = bits[index] & (-1 << (from & 31));
  while (word === 0) {
    if (++index === bits.length) return -1;
    word = bits[index];
  }
  return 32 * index + 31 - Math.clz32(word & -word);
}

/** The rows, ascending. */
export function rowsOf(bits: Bits): Uint32Array {
  let count = 0;
  for (let i = 0; i < bits.length; i++) {
    let word = bits[i];
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    count += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  const rows = new Uint32Array(count);
  let at = 0;
  for (let i = 0; i < bits.length; i++) {
    let word = bits[i];
    while (word !== 0) {
      const low = 31 - Math.clz32(word & -word);
      rows[at++] = 32 * i + low;
      word &= word - 1;
    }
  }
  return rows;
}
