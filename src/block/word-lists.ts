/** Lists of 32-bit numbers by number, each different list once. */

export class WordLists {
  count = 0;
  #words = new Uint32Array(256);
  /** Where each list begins, and the last one ends. */
  #starts = new Uint32Array(64);
  /** Number + 1 at the place of the hash, or one of the next; 0 = free. At most half of them are taken. */
  #places = new Int32Array(128);

  /** The number of the list words[0, length). */
  intern(words: Uint32Array, length: number): number {
    const mask = this.#places.length - 1;
    let place = hash(words, 0, length) & mask;
    for (let found = this.#places[place]; found !== 0; found = this.#places[place]) {
      if (this.#is(found - 1, words, length)) return found - 1;
      place = (place + 1) & mask;
    }
    const number = this.count++;
    this.#places[place] = number + 1;
    const at = this.#starts[number];
    if (number + 2 > this.#starts.length) this.#starts = widened(this.#starts, 2 * this.#starts.length);
    if (at + length > this.#words.length)
      this.#words = widened(this.#words, Math.max(2 * this.#words.length, at + length));
    for (let i = 0; i < length; i++) this.#words[at + i] = words[i];
    this.#starts[number + 1] = at + length;
    if (2 * this.count >= this.#places.length) this.#grow();
    return number;
  }

  #is(number: number, words: Uint32Array, length: number): boolean {
    const at = this.#starts[number];
    if (this.#starts[number + 1] - at !== length) return false;
    for (let i = 0; i < length; i++) if (this.#words[at + i] !== words[i]) return false;
    return true;
  }

  #grow(): void {
    const places = new Int32Array(2 * this.#places.length);
    const mask = places.length - 1;
    for (let number = 0; number < this.count; number++) {
      let place = hash(this.#words, this.#starts[number], this.#starts[number + 1]) & mask;
      while (places[place] !== 0) place = (place + 1) & mask;
      places[place] = number + 1;
    }
    this.#places = places;
  }
}

function hash(words: Uint32Array, from: number, to: number): number {
  let hash = to - from;
  for (let i = from; i < to; i++) {
    hash = Math.imul(hash ^ words[i], 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  return hash;
}

function widened(values: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(length);
  wider.set(values);
  return wider;
}
