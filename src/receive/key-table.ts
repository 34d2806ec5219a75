/**
 * The keys of tags, each with a number that it keeps from span to span and from request to request: the same few dozen come
 * again and again, mostly in the same order. So the key that came after the last one before is compared first, and only
 * when it is another one its hash is looked up. Bytes are read by unaligned words, in half the time of single bytes.
 *
 *   words   [at, size, hash, next, mark, tag] [at, size, …] …     a key's number is where its words begin
 *   arena   service.namehttp.method…                              at + size
 *   slots   numbers by hash, −1 where there is none
 */
import { randomBytes } from 'node:crypto';

/** Words of a key: where its bytes begin in the arena, how many they are, and the key that came after it. */
const STRIDE = 6;
const SIZE = 1;
const HASH = 2;
const NEXT = 3;
/** For who uses the table: whether a key was seen in this span, and as which tag. */
export const MARK = 4;
export const TAG = 5;
/** Beyond either of these the keys are forgotten before the next span. */
const KEYS_KEPT_MAX = 1024;
const BYTES_KEPT_MAX = 64 << 10;
const KEYS = 64;
const SLOTS_PER_KEY = 4;
/** Keys that share a slot and are compared before a key counts as new: bounds the work for keys made to collide. */
const PROBES_MAX = 64;

/** A key or value that code knows. */
export interface Name {
  readonly text: string;
  readonly bytes: Uint8Array;
  /** Of a key that every table knows; −1 for others. */
  readonly number: number;
}

export function nameOf(text: string): Name {
  return { text, bytes: Buffer.from(text), number: -1 };
}

/** Filled while modules are loaded, and then never again. The first key, which stands for no key yet, is the empty one. */
const KNOWN = new Map<string, Name>([['', { ...nameOf(''), number: 0 }]]);

/** For constants of modules: a key that is looked for in every span. */
export function knownKey(text: string): Name {
  const known = KNOWN.get(text) ?? { ...nameOf(text), number: KNOWN.size * STRIDE };
  KNOWN.set(text, known);
  return known;
}

export class KeyTable {
  /** Words of all keys. Replaced when there are more. */
  words = new Int32Array(0);
  /** Numbers from here on are of keys that code does not know. */
  #knownEnd = 0;
  #arena = new Uint8Array(0);
  #view = new DataView(this.#arena.buffer);
  #arenaLength = 0;
  #slots = new Int32Array(0);
  #count = 0;
  #last = 0;

  constructor() {
    this.#forget();
  }

  /** To be called between spans. True: all numbers but those of known keys are void, and no key has a mark. */
  tidy(): boolean {
    if (this.#count <= KEYS_KEPT_MAX && this.#arenaLength <= BYTES_KEPT_MAX) return false;
    this.#forget();
    return true;
  }

  /** Takes the marks off all keys. */
  unmark(): void {
    for (let key = 0; key < this.#count; key++) this.words[key * STRIDE + MARK] = 0;
  }

  /** The number of a key, which is made known if it is new. */
  number(view: DataView, start: number, end: number): number {
    const size = end - start;
    const last = this.#last;
    const { words } = this;
    const next = words[last + NEXT];
    if (words[next + SIZE] === size && this.#isAt(words[next], view, start, size)) {
      this.#last = next;
      return next;
    }
    const number = this.#look(view, start, size);
    this.words[last + NEXT] = number;
    this.#last = number;
    return number;
  }

  /** The number of a name, −1 if it is not in the table. */
  find(name: Name): number {
    const { bytes, number } = name;
    if (number >= 0 && number < this.#knownEnd) return number;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const slot = this.#slotOf(view, 0, bytes.length, hashOf(view, 0, bytes.length));
    return slot < 0 ? -1 : this.#slots[slot];
  }

  #look(view: DataView, start: number, size: number): number {
    const hash = hashOf(view, start, size);
    const slot = this.#slotOf(view, start, size, hash);
    if (slot >= 0 && this.#slots[slot] >= 0) return this.#slots[slot];
    if (this.#arena.length - this.#arenaLength < size) this.#growArena(size);
    if ((this.#count + 1) * STRIDE > this.words.length) this.#growWords();
    const { words } = this;
    const number = this.#count++ * STRIDE;
    words[number] = this.#arenaLength;
    words[number + SIZE] = size;
    words[number + HASH] = hash;
    for (let i = 0; i < size; i++) this.#arena[this.#arenaLength++] = view.getUint8(start + i);
    // Without a slot, because too many have its place, a key is new every time.
    this.#place(number);
    return number;
  }

  /** The slot of a key, empty if the key is new; −1 when there were too many others. */
  #slotOf(view: DataView, start: number, size: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const { words } = this;
    for (let slot = hash & mask, probes = 0; probes < PROBES_MAX; probes++, slot = (slot + 1) & mask) {
      const number = slots[slot];
      if (number < 0) return slot;
      if (words[number + HASH] === hash && words[number + SIZE] === size)
        if (this.#isAt(words[number], view, start, size)) return slot;
    }
    return -1;
  }

  #place(number: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = this.words[number + HASH] & mask, probes = 0; probes < PROBES_MAX; probes++) {
      if (slots[slot] < 0) {
        slots[slot] = number;
        return;
      }
      slot = (slot + 1) & mask;
    }
  }

  #isAt(at: number, view: DataView, start: number, size: number): boolean {
    const known = this.#view;
    const last = size - 4;
    if (last < 0) {
      for (let i = 0; i < size; i++) if (known.getUint8(at + i) !== view.getUint8(start + i)) return false;
      return true;
    }
    for (let i = 0; i < last; i += 4) if (known.getInt32(at + i, true) !== view.getInt32(start + i, true)) return false;
    return known.getInt32(at + last, true) === view.getInt32(start + last, true);
  }

  #growWords(): void {
    const words = new Int32Array(this.words.length * 2);
    words.set(this.words);
    this.words = words;
    this.#slots = new Int32Array((words.length / STRIDE) * SLOTS_PER_KEY).fill(-1);
    for (let key = 0; key < this.#count; key++) this.#place(key * STRIDE);
  }

  #growArena(more: number): void {
    const arena = new Uint8Array(Math.max(this.#arena.length * 2, this.#arenaLength + more));
    arena.set(this.#arena.subarray(0, this.#arenaLength));
    this.#arena = arena;
    this.#view = new DataView(arena.buffer);
  }

  /** Of all but the known keys. */
  #forget(): void {
    const keys = 2 ** Math.ceil(Math.log2(Math.max(KEYS, KNOWN.size + 1)));
    this.words = new Int32Array(keys * STRIDE);
    this.#slots = new Int32Array(keys * SLOTS_PER_KEY).fill(-1);
    this.#arena = new Uint8Array(4096);
    this.#view = new DataView(this.#arena.buffer);
    this.#arenaLength = this.#count = this.#last = 0;
    for (const { bytes } of KNOWN.values())
      this.#look(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length);
    this.#knownEnd = this.#count * STRIDE;
  }
}

/** So that nobody can choose keys that collide. */
const SEED = randomBytes(4).readInt32LE();

/** Of 30 bits, which V8 keeps without a heap number; the same bytes have another hash in another process. */
function hashOf(view: DataView, start: number, size: number): number {
  let hash = SEED ^ size;
  const last = start + size - 4;
  if (size < 4) for (let at = start; at < start + size; at++) hash = Math.imul(hash ^ view.getUint8(at), 0x01000193);
  else {
    for (let at = start; at < last; at += 4) {
      hash = Math.imul(hash ^ view.getInt32(at, true), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash ^ view.getInt32(last, true), 0x9e3779b1);
  }
  return (hash ^ (hash >>> 15)) & 0x3fffffff;
}
