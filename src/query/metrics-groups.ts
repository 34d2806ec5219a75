/**
 * Groups of spans by the numbers of their label values. A group of several labels is found label by label:
 *
 *   number of label 1 ─▶ group so far ─┬─▶ group so far ─┬─▶ group
 *                     number of label 2┘  number of label 3┘
 *
 * where a step is one look-up in an open-addressing table of 32-bit words. Groups are numbered in the order of first use,
 * and memory is bounded: what comes after `countMax` groups is LIMITED.
 */
import { LIMITED } from './metrics-labels.ts';

/** Pairs of numbers, numbered from 0. */
export class Pairing {
  readonly #countMax: number;
  #left = new Int32Array(16);
  #right = new Int32Array(16);
  /** Number of the pair + 1; 0 is free. */
  #table = new Int32Array(32);
  #count = 0;
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
    const table = this.#table;
    const mask = table.length - 1;
    for (let slot = hash(left, right) & mask; ; slot = (slot + 1) & mask) {
      const pair = table[slot] - 1;
      if (pair < 0) return this.#add(left, right, slot);
      if (this.#left[pair] === left && this.#right[pair] === right) return pair;
    }
  }

  /** into[k] becomes the number of the pair (left[k], right[k]); LIMITED where right[k] is. */
  fill(left: Int32Array, right: Int32Array, count: number, into: Int32Array): void {
    let lastLeft = -1;
    let lastRight = -1;
    let last = LIMITED;
    for (let k = 0; k < count; k++) {
      const l = left[k];
      const r = right[k];
      if (l !== lastLeft || r !== lastRight) {
        lastLeft = l;
        lastRight = r;
        last = l < 0 || r < 0 ? LIMITED : this.number(l, r);
      }
      into[k] = last;
    }
  }

  left(pair: number): number {
    return this.#left[pair];
  }

  right(pair: number): number {
    return this.#right[pair];
  }

  #add(left: number, right: number, slot: number): number {
    if (this.#count >= this.#countMax) {
      this.limited = true;
      return LIMITED;
    }
    if (this.#count === this.#left.length) {
      this.#left = longer(this.#left);
      this.#right = longer(this.#right);
    }
    const pair = this.#count++;
    this.#left[pair] = left;
    this.#right[pair] = right;
    this.#table[slot] = pair + 1;
    if (2 * this.#count > this.#table.length) this.#grow();
    return pair;
  }

  #grow(): void {
    const table = new Int32Array(2 * this.#table.length);
    const mask = table.length - 1;
    for (let pair = 0; pair < this.#count; pair++) {
      let slot = hash(this.#left[pair], this.#right[pair]) & mask;
      while (table[slot] !== 0) slot = (slot + 1) & mask;
      table[slot] = pair + 1;
    }
    this.#table = table;
  }
}

function hash(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

function longer(array: Int32Array): Int32Array<ArrayBuffer> {
  const twice = new Int32Array(2 * array.length);
  twice.set(array);
  return twice;
}
