/** Numbers of 64 bits by code, each different one once, and only few of them: what a dictionary may hold. */
import type { Values } from '../parquet/column.ts';
import { wordsOf } from './source-values.ts';

const NUMBERS_MAX = 2048;
const NONE: Int32Array = new Int32Array(0);

export class NumberTable {
  count = 0;
  /** Two a number. */
  readonly words = new Int32Array(2 * NUMBERS_MAX);
  /** Code + 1 at the place of the hash, or one of the next; 0 = free. */
  readonly #places = new Uint16Array(4 * NUMBERS_MAX);
  #values: Values | undefined;
  #from: Int32Array = NONE;

  /** The code of a value; undefined: there are too many. */
  intern(values: Values, entry: number): number | undefined {
    if (values !== this.#values) {
      this.#values = values;
      this.#from = wordsOf(values);
    }
    const low = this.#from[2 * entry];
    const high = this.#from[2 * entry + 1];
    const { words } = this;
    const mask = this.#places.length - 1;
    const hash = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
    let place = (hash ^ (hash >>> 15)) & mask;
    for (let found = this.#places[place]; found !== 0; found = this.#places[place]) {
      if (words[2 * found - 2] === low && words[2 * found - 1] === high) return found - 1;
      place = (place + 1) & mask;
    }
    if (this.count === NUMBERS_MAX) return undefined;
    const code = this.count++;
    words[2 * code] = low;
    words[2 * code + 1] = high;
    this.#places[place] = code + 1;
    return code;
  }
}
