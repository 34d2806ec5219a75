/**
 * Structural operators on sets of positions (unit.ts). A position knows the distance up to its parent, parents come before
 * their children, and a trace is a run, so every operator is one or two passes over the traces in which both sides have a
 * hit. Spans that hang on no root are related to nobody.
 *
 *   A >  B   each b whose parent is in A            A <  B   parents of A that are in B
 *   A >> B   marks flow down from A                 A << B   marks flow up from A
 *   A ~  B   each b with another child of its parent in A; roots are each other's siblings
 *   A !… B   the other b's                          A &… B   the b's and the a's that they were found by
 */
import type { StructuralOp } from '../traceql/ast.ts';
import { type Bits, has, noBits } from './bits.ts';
import { tracesWith } from './spansets.ts';
import { anyIn, type Layout } from './unit.ts';

/** The positions of `left op right`; `parents` are the distances upwards of every position. */
export function relatedPositions(op: StructuralOp, left: Bits, right: Bits, layout: Layout, parents: Int32Array): Bits {
  const relation = op.replace(/[!&]/, '') as Relation;
  const found = noBits(layout.positions);
  const pass = new Pass(parents, found);
  const { starts } = layout;
  for (const trace of tracesWith(right, layout)) {
    const [from, to] = [starts[trace], starts[trace + 1]];
    if (anyIn(left, from, to)) {
      pass.enter(from, to);
      pass[relation](left, right);
      if (op.startsWith('&')) pass[INVERSE[relation]](right, left);
    }
    if (op.startsWith('!')) {
      pass.enter(from, to);
      pass.complement(right);
    }
  }
  return found;
}

type Relation = '>' | '>>' | '<' | '<<' | '~';

const INVERSE: Record<Relation, Relation> = { '>': '<', '>>': '<<', '<': '>', '<<': '>>', '~': '~' };

/** The operators on one trace at a time. */
class Pass {
  readonly #parents: Int32Array;
  readonly #found: Bits;
  #from = 0;
  #to = 0;
  /** By position within the trace: 1 = hangs on a root. */
  #connected = new Uint8Array(256);
  #marks = new Uint8Array(256);
  #counts = new Uint32Array(256);

  constructor(parents: Int32Array, found: Bits) {
    this.#parents = parents;
    this.#found = found;
  }

  enter(from: number, to: number): void {
    this.#from = from;
    this.#to = to;
    if (to - from > this.#connected.length) {
      this.#connected = new Uint8Array(2 * (to - from));
      this.#marks = new Uint8Array(2 * (to - from));
      this.#counts = new Uint32Array(2 * (to - from));
    }
    const connected = this.#connected;
    const parents = this.#parents;
    for (let at = from; at < to; at++) {
      const distance = parents[at];
      connected[at - from] = distance === 0 ? 1 : distance < 0 ? 0 : connected[at - from - distance];
    }
  }

  '>'(left: Bits, right: Bits): void {
    for (let at = this.#from; at < this.#to; at++) {
      const distance = this.#parents[at];
      if (distance > 0 && has(right, at) && has(left, at - distance) && this.#isConnected(at)) this.#add(at);
    }
  }

  '>>'(left: Bits, right: Bits): void {
    const below = this.#marks;
    for (let at = this.#from; at < this.#to; at++) {
      const distance = this.#parents[at];
      const i = at - this.#from;
      below[i] = distance > 0 && (below[i - distance] === 1 || has(left, at - distance)) ? 1 : 0;
      if (below[i] === 1 && has(right, at) && this.#isConnected(at)) this.#add(at);
    }
  }

  '<'(left: Bits, right: Bits): void {
    for (let at = this.#from; at < this.#to; at++) {
      const distance = this.#parents[at];
      if (distance > 0 && has(left, at) && has(right, at - distance) && this.#isConnected(at)) this.#add(at - distance);
    }
  }

  '<<'(left: Bits, right: Bits): void {
    const above = this.#marks.fill(0, 0, this.#to - this.#from);
    for (let at = this.#to - 1; at >= this.#from; at--) {
      const i = at - this.#from;
      if (above[i] === 1 && has(right, at) && this.#isConnected(at)) this.#add(at);
      const distance = this.#parents[at];
      if (distance > 0 && (above[i] === 1 || has(left, at))) above[i - distance] = 1;
    }
  }

  '~'(left: Bits, right: Bits): void {
    // How many of the left side each parent has, and how many of them are roots.
    const counts = this.#counts.fill(0, 0, this.#to - this.#from);
    let roots = 0;
    for (let at = this.#from; at < this.#to; at++) {
      if (!has(left, at) || !this.#isConnected(at)) continue;
      const distance = this.#parents[at];
      if (distance === 0) roots++;
      else counts[at - this.#from - distance]++;
    }
    for (let at = this.#from; at < this.#to; at++) {
      if (!has(right, at) || !this.#isConnected(at)) continue;
      const distance = this.#parents[at];
      const siblings = distance === 0 ? roots : counts[at - this.#from - distance];
      if (siblings > (has(left, at) ? 1 : 0)) this.#add(at);
    }
  }

  /** In place of what was found in the trace: what else the right side has there. */
  complement(right: Bits): void {
    for (let at = this.#from; at < this.#to; at++) {
      const isOther = has(right, at) && this.#isConnected(at) && !has(this.#found, at);
      const bit = 1 << (at & 31);
      if (isOther) this.#found[at >>> 5] |= bit;
      else this.#found[at >>> 5] &= ~bit;
    }
  }

  #isConnected(at: number): boolean {
    return this.#connected[at - this.#from] === 1;
  }

  #add(at: number): void {
    this.#found[at >>> 5] |= 1 << (at & 31);
  }
}
