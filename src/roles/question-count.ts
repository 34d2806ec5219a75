/** How many questions of clients are waiting for their answers, in memory of all threads: those with work that can wait give way to them. */
export class QuestionCount {
  /** What another thread makes its own `QuestionCount` of. */
  readonly shared: SharedArrayBuffer;
  readonly #count: Int32Array;

  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#count = new Int32Array(shared);
  }

  get count(): number {
    return Atomics.load(this.#count, 0);
  }

  add(questions: 1 | -1): void {
    Atomics.add(this.#count, 0, questions);
  }
}
