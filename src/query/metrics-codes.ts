/**
 * How often each code of a dictionary occurs. Codes are counted in four places in turn: counting the same one again and again
 * would wait each time for what was just written.
 */
export class CodeCounts {
  #lanes = new Uint32Array(1024);

  add(codes: Uint32Array, count: number): void {
    let lanes = this.#lanes;
    let length = lanes.length;
    for (let i = 0; i < count; i++) {
      const lane = 4 * codes[i] + (i & 3);
      if (lane >= length) {
        const wider = new Uint32Array(Math.max(2 * length, lane + 4));
        wider.set(lanes);
        this.#lanes = lanes = wider;
        length = wider.length;
      }
      lanes[lane]++;
    }
  }

  each(visit: (code: number, count: number) => void): void {
    const lanes = this.#lanes;
    for (let lane = 0; lane + 3 < lanes.length; lane += 4) {
      const count = lanes[lane] + lanes[lane + 1] + lanes[lane + 2] + lanes[lane + 3];
      if (count > 0) visit(lane / 4, count);
    }
  }
}
