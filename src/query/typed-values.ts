/**
 * Distinct values of several types in one collection. Numbers are told apart as numbers, so that each becomes text once a
 * segment and not once a span.
 */
import type { AnyValue } from '../block/any-value.ts';
import { byteBudget, Distinct, type DistinctBounds } from './distinct.ts';

export interface FoundTagValue {
  type: 'string' | 'int' | 'float' | 'bool' | 'keyword' | 'duration';
  value: string;
}

/** Values that are added between two looks whether somebody still waits. */
const STOP_EVERY = 4096;

/** The values of one tag. */
export class TypedValues {
  readonly #distinct: Distinct;
  /** Numbers of the segment, so that each becomes text once. */
  #ints = new Set<number>();
  #doubles = new Set<number>();
  #bools = 0;
  #added = 0;
  readonly #stop: () => void;

  /** `stop` throws when nobody waits any more. */
  constructor(bounds: DistinctBounds, bytesMax: number, stop: () => void) {
    this.#stop = stop;
    this.#distinct = new Distinct(bounds, byteBudget(bytesMax));
  }

  get full(): boolean {
    return this.#distinct.full;
  }

  get values(): FoundTagValue[] {
    return this.#distinct.texts.map((text) => {
      const space = text.indexOf(' ');
      return { type: text.slice(0, space) as FoundTagValue['type'], value: text.slice(space + 1) };
    });
  }

  nextSegment(): void {
    this.#distinct.nextSegment();
    this.#ints = new Set();
    this.#doubles = new Set();
    this.#bools = 0;
  }

  add(type: FoundTagValue['type'], value: string): void {
    if (++this.#added % STOP_EVERY === 0) this.#stop();
    this.#distinct.add(`${type} ${value}`);
  }

  string(bytes: Uint8Array, from: number, to: number): void {
    if (!this.full) this.add('string', Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8'));
  }

  /** An int64 as two words. */
  int64(low: number, high: number): void {
    const value = high * 4294967296 + (low >>> 0);
    if (Number.isSafeInteger(value)) this.int(value);
    else if (!this.full) this.add('int', String((BigInt(high) << 32n) | BigInt(low >>> 0)));
  }

  int(value: number): void {
    if (this.full || this.#ints.has(value)) return;
    this.#ints.add(value);
    this.add('int', String(value));
  }

  double(value: number): void {
    if (this.full || this.#doubles.has(value)) return;
    this.#doubles.add(value);
    this.add('float', floatText(value));
  }

  bool(value: boolean): void {
    const bit = value ? 2 : 1;
    if ((this.#bools & bit) !== 0) return;
    this.#bools |= bit;
    this.add('bool', String(value));
  }

  /** One entry an element of an array; maps and bytes have no entry. */
  any(value: AnyValue): void {
    const values = value.type === 'array' ? value.values : [value];
    for (const each of values) {
      if (this.full) return;
      if (each.type === 'string') this.add('string', each.value);
      else if (each.type === 'int') this.add('int', String(each.value));
      else if (each.type === 'double') this.double(each.value);
      else if (each.type === 'bool') this.bool(each.value);
    }
  }
}

/** Never like an int, so that a query compares it with doubles. */
export function floatText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}
