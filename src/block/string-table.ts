/** Byte strings by number, each different string once: strings of several blocks get numbers that hold for all of them. */
import type { Strings } from './table.ts';

export class StringTable implements Strings {
  count = 0;
  bytes = new Uint8Array(1 << 12);
  starts = new Uint32Array(256);
  ends = new Uint32Array(256);
  /** Number + 1 at the place of the hash, or one of the next; 0 = free. At most half of them are taken. */
  #places = new Int32Array(1024);

  /** The number of from[start, end). */
  intern(from: Uint8Array, start: number, end: number): number {
    let mask = this.#places.length - 1;
    let place = hash(from, start, end) & mask;
    for (let found = this.#places[place]; found !== 0; found = this.#places[place]) {
      if (this.#is(found - 1, from, start, end)) return found - 1;
      place = (place + 1) & mask;
    }
    if (2 * this.count >= this.#places.length) {
      this.#grow();
      mask = this.#places.length - 1;
      for (place = hash(from, start, end) & mask; this.#places[place] !== 0; ) place = (place + 1) & mask;
    }
    const number = this.count++;
    this.#places[place] = number + 1;
    if (number === this.starts.length) {
      this.starts = widened(this.starts);
      this.ends = widened(this.ends);
    }
    const at = number === 0 ? 0 : this.ends[number - 1];
    if (at + end - start > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(2 * this.bytes.length, at + end - start));
      bytes.set(this.bytes.subarray(0, at));
      this.bytes = bytes;
    }
    // A call of set for each would leave an object for each behind.
    for (let i = start, to = at; i < end; i++) this.bytes[to++] = from[i];
    this.starts[number] = at;
    this.ends[number] = at + end - start;
    return number;
  }

  #is(number: number, from: Uint8Array, start: number, end: number): boolean {
    const at = this.starts[number];
    const length = end - start;
    if (this.ends[number] - at !== length) return false;
    for (let i = 0; i < length; i++) if (this.bytes[at + i] !== from[start + i]) return false;
    return true;
  }

  #grow(): void {
    const places = new Int32Array(2 * this.#places.length);
    const mask = places.length - 1;
    for (let number = 0; number < this.count; number++) {
      let place = hash(this.bytes, this.starts[number], this.ends[number]) & mask;
      while (places[place] !== 0) place = (place + 1) & mask;
      places[place] = number + 1;
    }
    this.#places = places;
  }
}

function hash(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}

function widened(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(2 * values.length);
  wider.set(values);
  return wider;
}
