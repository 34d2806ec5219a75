/**
 * Groups of spans by the numbers of their label values. A group of several labels is found label by label:
 *
 *   number of label 1 ─▶ group so far ─┬─▶ group so far ─┬─▶ group
 *                     number of label 2┘  number of label 3┘
 *
 * where a step is one look-up in an array, or, where numbers are large, in an open-addressing table. Groups are numbered in
 * the order of first use, and memory is bounded: what comes after `countMax` groups is LIMITED.
 */
import { LIMITED } from './label-values.ts';

/** Pairs with smaller numbers than these are found in an array of that many words, others in a hash table. */
const DENSE_LEFT = 4096;
const DENSE_SHIFT = 6;
const DENSE_RIGHT = 1 << DENSE_SHIFT;

/** Pairs of numbers, numbered from 0. */
export class Pairing {
  readonly #countMax: number;
  #left = new Int32Array(16);
  #right = new Int32Array(16);
  /** Number of the pair + 1; 0 is free. */
  #dense = new Int32Array(DENSE_RIGHT);
  #table = new Int32Array(32);
  #count = 0;
  #inTable = 0;
  /** A pair had to be left out. */
  limited = false;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#count;
  }

  /** The number of the pair, which is made when it is new; LIMITED when there is no room. */
  number(left: number, right: number): number {
    if (left < DENSE_LEFT && right < DENSE_RIGHT) {
      const place = left * DENSE_RIGHT + right;
      if (place >= this.#dense.length) this.#dense = longer(this.#dense, place + 1);
      const pair = this.#dense[place] - 1;
      return pair < 0 ? this.#add(left, right, this.#dense, place) : pair;
    }
    const table = this.#table;
    const mask = table.length - 1;
    for (let slot = hash(left, right) & mask; ; slot = (slot + 1) & mask) {
      const pair = table[slot] - 1;
      if (pair < 0) {
        const added = this.#add(left, right, table, slot);
        if (added >= 0 && 2 * ++this.#inTable > table.length) this.#grow();
        return added;
      }
      if (this.#left[pair] === left && this.#right[pair] === right) return pair;
    }
  }

  /** into[k] becomes the number of the pair (left[k], right[k]); LIMITED where one of them is. `into` is another array. */
  fill(left: Int32Array, right: Int32Array, count: number, into: Int32Array): void {
    // Without a branch for what is almost always so: pairs that are known and in the array (2 instead of 5 ns a pair).
    const dense = this.#dense;
    const length = dense.length;
    let missing = 0;
    for (let k = 0; k < count; k++) {
      const r = right[k];
      const place = (left[k] << DENSE_SHIFT) | r;
      const pair = ((r & ~(DENSE_RIGHT - 1)) === 0 && place >>> 0 < length ? dense[place] : 0) - 1;
      missing |= pair;
      into[k] = pair;
    }
    if (missing >= 0) return;
    for (let k = 0; k < count; k++)
      if (into[k] < 0) into[k] = left[k] < 0 || right[k] < 0 ? LIMITED : this.number(left[k], right[k]);
  }

  left(pair: number): number {
    return this.#left[pair];
  }

  right(pair: number): number {
    return this.#right[pair];
  }

  #add(left: number, right: number, table: Int32Array, slot: number): number {
    if (this.#count >= this.#countMax) {
      this.limited = true;
      return LIMITED;
    }
    if (this.#count === this.#left.length) {
      this.#left = longer(this.#left, this.#count + 1);
      this.#right = longer(this.#right, this.#count + 1);
    }
    const pair = this.#count++;
    this.#left[pair] = left;
    this.#right[pair] = right;
    table[slot] = pair + 1;
    return pair;
  }

  #grow(): void {
    const table = new Int32Array(2 * this.#table.length);
    const mask = table.length - 1;
    for (const number of this.#table) {
      if (number === 0) continue;
      let slot = hash(this.#left[number - 1], this.#right[number - 1]) & mask;
      while (table[slot] !== 0) slot = (slot + 1) & mask;
      table[slot] = number;
    }
    this.#table = table;
  }
}

function hash(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

function longer(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const wider = new Int32Array(Math.max(2 * array.length, length));
  wider.set(array);
  return wider;
}
