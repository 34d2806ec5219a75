/**
 * Values of labels as small numbers. A value gets its number once a query, whichever segment it comes from. 0 is nil, LIMITED is a value
 * that there was no room for.
 */
import { utf8 } from '../block/any-value.ts';
import { hex } from './gather.ts';
import type { FoundValue } from './results.ts';

/** The number of a value that does not fit any more. */
export const LIMITED = -1;
/** Values of one label of a query. */
export class LabelValues {
  readonly #strings = new Map<string, number>();
  /** Booleans, and ints that no double holds, by type and text. */
  readonly #others = new Map<string, number>();
  readonly #ints = new Map<number, number>();
  readonly #doubles = new Map<number, number>();
  readonly #values: (FoundValue | undefined)[] = [undefined];
  readonly #countMax: number;
  readonly #takesRoom: () => boolean;
  /** A bit for the hash of each known string; made when the first one is left out. */
  #seen: Uint8Array | undefined;
  #areIds = false;
  #bytesLeft: number;
  /** A value had to be left out. */
  limited = false;

  /** `takesRoom` is asked for every new value, whether there is room for what is kept of it. */
  constructor(bounds: { countMax: number; bytesMax: number; takesRoom?: () => boolean }) {
    this.#countMax = bounds.countMax;
    this.#takesRoom = bounds.takesRoom ?? (() => true);
    this.#bytesLeft = bounds.bytesMax;
  }

  /** The number of a value, LIMITED when there is no room for it. Arrays are nil. */
  number(value: FoundValue | undefined): number {
    switch (value?.type) {
      case 'string':
        return this.string(value.value);
      case 'int': {
        const int = Number(value.value);
        if (Number.isSafeInteger(int)) return this.int(int);
        return this.#others.get(`int ${value.value}`) ?? this.#add(this.#others, `int ${value.value}`, value);
      }
      case 'double':
        return this.double(value.value);
      case 'bool':
        return this.#others.get(`bool ${value.value}`) ?? this.#add(this.#others, `bool ${value.value}`, value);
      default:
        return 0;
    }
  }

  string(text: string): number {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    return this.#add(this.#strings, text, { type: 'string', value: text });
  }

  /** Of the bytes of a string. Once nothing new is taken, bytes unlike all known ones are not even decoded. */
  bytes(bytes: Uint8Array, from: number, to: number): number {
    if (this.limited && !this.#wasSeen(hashOf(bytes, from, to))) return LIMITED;
    return this.string(utf8(bytes.subarray(from, to)));
  }

  /** Of the bytes of an id, which is shown as hex. */
  id(bytes: Uint8Array, from: number, to: number): number {
    this.#areIds = true;
    if (this.limited && !this.#wasSeen(hashOf(bytes, from, to))) return LIMITED;
    return this.string(hex(bytes, from, to));
  }

  #wasSeen(hash: number): boolean {
    const seen = (this.#seen ??= this.#allSeen());
    return (seen[(hash >>> 3) & (seen.length - 1)] & (1 << (hash & 7))) !== 0;
  }

  #allSeen(): Uint8Array {
    let length = SEEN_BYTES_MIN;
    while (length < this.#strings.size) length *= 2;
    const seen = new Uint8Array(length);
    const mark = (bytes: Uint8Array): void => {
      const hash = hashOf(bytes, 0, bytes.length);
      seen[(hash >>> 3) & (length - 1)] |= 1 << (hash & 7);
    };
    for (const text of this.#strings.keys()) mark(Buffer.from(text, this.#areIds ? 'hex' : 'utf8'));
    return seen;
  }

  /** Of a safe integer. */
  int(value: number): number {
    return this.#ints.get(value) ?? this.#add(this.#ints, value, { type: 'int', value: BigInt(value) });
  }

  double(value: number): number {
    return this.#doubles.get(value) ?? this.#add(this.#doubles, value, { type: 'double', value });
  }

  value(number: number): FoundValue | undefined {
    return this.#values[number];
  }

  /** Numbers given out, nil among them. */
  get count(): number {
    return this.#values.length;
  }

  #add<Key extends string | number>(numbers: Map<Key, number>, key: Key, value: FoundValue): number {
    // Once something was left out, nothing new is taken, so that a value is counted always or never.
    if (!this.limited) {
      this.#bytesLeft -= VALUE_BYTES + (typeof key === 'string' ? 4 * key.length : 0);
      if (this.#values.length < this.#countMax && this.#bytesLeft >= 0 && this.#takesRoom()) {
        numbers.set(key, this.#values.length);
        return this.#values.push(value) - 1;
      }
    }
    this.limited = true;
    return LIMITED;
  }
}

const SEEN_BYTES_MIN = 8192;

/** Of the length and of bytes from both ends. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = to - from;
  const middle = Math.min(to, from + HASHED_BYTES);
  for (let i = from; i < middle; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  for (let i = Math.max(middle, to - HASHED_BYTES); i < to; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash ^ (hash >>> 15);
}

const HASHED_BYTES = 16;

/** What a value takes in maps and lists, beside its text twice. */
const VALUE_BYTES = 100;
