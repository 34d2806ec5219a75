/**
 * How often each code of a dictionary occurs, by the place of a row among a few intervals. They are counted in four lanes in turn:
 * counting the same one again and again would wait each time for what was just written.
 *
 *   counts: code 0: │ place 0 ×4 │ place 1 ×4 │ …   code 1: │ place 0 ×4 │ …
 */
import type { Part } from '../block/segment.ts';

const LANES = 4;

export class CodeCounts {
  readonly #places: number;
  #counts: Uint32Array;
  /** Codes are below this; undefined: look. */
  readonly #codes: number | undefined;

  constructor(places: number, codes: number | undefined) {
    this.#places = places;
    this.#codes = codes;
    this.#counts = new Uint32Array(LANES * places * (codes ?? 256));
  }

  /** The codes of rows that all have one place. */
  add(codes: Uint32Array, count: number): void {
    const counts = this.#roomFor(codes, count);
    for (let i = 0; i < count; i++) counts[LANES * codes[i] + (i & 3)]++;
  }

  /** The codes of rows, each counted by the place of its row. */
  addByPlace({ codes, count, first, present, at }: Part, places: Uint8Array): void {
    const counts = this.#roomFor(codes!, count);
    const width = this.#places;
    if (at !== undefined)
      for (let i = 0; i < count; i++) counts[LANES * (width * codes![i] + places[at[i]]) + (i & 3)]++;
    else if (present !== undefined) {
      for (let row = 0, i = 0; i < count; row++)
        if (present[row] === 1) counts[LANES * (width * codes![i++] + places[first + row]) + (row & 3)]++;
    } else for (let i = 0; i < count; i++) counts[LANES * (width * codes![i] + places[first + i]) + (i & 3)]++;
  }

  each(visit: (code: number, place: number, count: number) => void): void {
    const counts = this.#counts;
    for (let at = 0; at + LANES <= counts.length; at += LANES) {
      const count = counts[at] + counts[at + 1] + counts[at + 2] + counts[at + 3];
      if (count === 0) continue;
      const slot = at / LANES;
      visit(Math.floor(slot / this.#places), slot % this.#places, count);
    }
  }

  #roomFor(codes: Uint32Array, count: number): Uint32Array {
    if (this.#codes !== undefined) return this.#counts;
    let most = 0;
    for (let i = 0; i < count; i++) most = Math.max(most, codes[i]);
    const needed = LANES * this.#places * (most + 1);
    if (needed > this.#counts.length) {
      const wider = new Uint32Array(Math.max(2 * this.#counts.length, needed));
      wider.set(this.#counts);
      this.#counts = wider;
    }
    return this.#counts;
  }
}

/** How many rows have each place. */
export function countPlaces(places: Uint8Array, visit: (place: number, count: number) => void): void {
  const counts = new Uint32Array(LANES * 256);
  for (let i = 0; i < places.length; i++) counts[(places[i] << 2) | (i & 3)]++;
  for (let place = 0; place < 256; place++) {
    const at = LANES * place;
    const count = counts[at] + counts[at + 1] + counts[at + 2] + counts[at + 3];
    if (count > 0) visit(place, count);
  }
}
