/**
 * The tags of one span, event or process while they are being read: where their keys and values stand in the bytes that
 * came in. A key that comes again takes the place of the earlier one. Some tags mean a field of OTLP and are taken out;
 * what is left is written as attributes. One table serves all spans of a request, so nothing is made for a tag.
 */
import { randomBytes } from 'node:crypto';
import { type ProtoWriter, varintBytes } from '../wire/protobuf.ts';

export const TAG_TEXT = 1;
export const TAG_BOOL = 2;
export const TAG_INT = 3;
export const TAG_DOUBLE = 4;
export const TAG_BYTES = 7;
/** A text that is not in the bytes. */
const TAG_LITERAL = 8;

/** Keys that share a slot and are compared before a key counts as new: bounds the work for keys made to collide. */
const PROBES_MAX = 64;
const TAGS = 32;
const SLOTS_PER_TAG = 4;
/** Words of a tag: where its key begins and ends, the key's hash, its type, and two of its value. */
const STRIDE = 6;
const KEY_END = 1;
const HASH = 2;
const TYPE = 3;
/** Start and end of texts and bytes, low and high word of numbers, 0 or 1 of bools, index of literals. */
const A = 4;
const B = 5;
const REMOVED = 0x80;
/** A table that one span has made larger than this starts small again. */
const TAGS_KEPT_MAX = 4096;

/** A key or value that code knows. */
export interface Name {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly hash: number;
}

export function nameOf(text: string): Name {
  const bytes = Buffer.from(text);
  return { text, bytes, hash: hashOf(bytes, 0, bytes.length) };
}

/** Names that a key is looked up in. */
export class NameSet {
  readonly #byHash = new Map<number, Name[]>();

  constructor(texts: readonly string[]) {
    for (const name of texts.map(nameOf)) {
      const same = this.#byHash.get(name.hash);
      if (same === undefined) this.#byHash.set(name.hash, [name]);
      else same.push(name);
    }
  }

  /** Whether a tag's key is one of them. */
  has(tags: TagTable, tag: number): boolean {
    const names = this.#byHash.get(tags.hash(tag));
    if (names === undefined) return false;
    const [start, end] = [tags.keyStart(tag), tags.keyEnd(tag)];
    return names.some((name) => sameBytes(name.bytes, 0, name.bytes.length, tags.bytes, start, end));
  }
}

export class TagTable {
  count = 0;
  #source: { readonly bytes: Uint8Array };
  /** The words of a tag stand together, STRIDE of them. */
  #tags = new Int32Array(STRIDE * TAGS);
  /** Pairs of a mark and a tag. Slots whose mark is not the current one are empty: clearing costs nothing. */
  #slots = new Int32Array(2 * SLOTS_PER_TAG * TAGS);
  #mark = 0;
  #literals: Buffer[] = [];

  constructor() {
    this.#source = { bytes: new Uint8Array(0) };
  }

  get bytes(): Uint8Array {
    return this.#source.bytes;
  }

  /** Begins anew over other bytes, which `source` may replace by longer ones that begin the same. */
  reset(source: { readonly bytes: Uint8Array }): void {
    this.#source = source;
    this.count = 0;
    if (this.#literals.length > 0) this.#literals.length = 0;
    if (this.#tags.length > STRIDE * TAGS_KEPT_MAX) this.#resize(TAGS);
    if (++this.#mark === 0x7fffffff) {
      this.#slots.fill(0);
      this.#mark = 1;
    }
  }

  /** The tag of a key; its value is an empty text until it is set. */
  key(start: number, end: number): number {
    const bytes = this.#source.bytes;
    const slots = this.#slots;
    const mark = this.#mark;
    const mask = slots.length - 2;
    const hash = hashOf(bytes, start, end);
    let slot = (hash << 1) & mask;
    let probes = 0;
    for (; slots[slot] === mark && probes < PROBES_MAX; probes++) {
      const tag = slots[slot + 1];
      const at = tag * STRIDE;
      const tags = this.#tags;
      if (tags[at + HASH] === hash && sameBytes(bytes, start, end, bytes, tags[at], tags[at + KEY_END])) {
        this.text(tag, 0, 0);
        return tag;
      }
      slot = (slot + 2) & mask;
    }
    const tag = this.count++;
    if ((tag + 1) * STRIDE > this.#tags.length) this.#resize((this.#tags.length / STRIDE) * 2);
    const tags = this.#tags;
    const at = tag * STRIDE;
    tags[at] = start;
    tags[at + KEY_END] = end;
    tags[at + HASH] = hash;
    tags[at + TYPE] = TAG_TEXT;
    tags[at + A] = 0;
    tags[at + B] = 0;
    if (slots !== this.#slots) this.#place(tag);
    else if (probes < PROBES_MAX) {
      slots[slot] = mark;
      slots[slot + 1] = tag;
    }
    return tag;
  }

  text(tag: number, start: number, end: number): void {
    this.#set(tag, TAG_TEXT, start, end);
  }

  bool(tag: number, value: boolean): void {
    this.#set(tag, TAG_BOOL, value ? 1 : 0, 0);
  }

  int(tag: number, low: number, high: number): void {
    this.#set(tag, TAG_INT, low, high);
  }

  /** By the words of its IEEE 754 form. */
  double(tag: number, low: number, high: number): void {
    this.#set(tag, TAG_DOUBLE, low, high);
  }

  binary(tag: number, start: number, end: number): void {
    this.#set(tag, TAG_BYTES, start, end);
  }

  literal(tag: number, text: string): void {
    this.#set(tag, TAG_LITERAL, this.#literals.push(Buffer.from(text)) - 1, 0);
  }

  /** The tag of that name, -1 if there is none. */
  find(name: Name): number {
    const slots = this.#slots;
    const tags = this.#tags;
    const mask = slots.length - 2;
    let slot = (name.hash << 1) & mask;
    for (let probes = 0; slots[slot] === this.#mark && probes < PROBES_MAX; probes++) {
      const tag = slots[slot + 1];
      const at = tag * STRIDE;
      if (
        tags[at + HASH] === name.hash &&
        sameBytes(name.bytes, 0, name.bytes.length, this.#source.bytes, tags[at], tags[at + KEY_END])
      )
        return tags[at + TYPE] >= REMOVED ? -1 : tag;
      slot = (slot + 2) & mask;
    }
    return -1;
  }

  /** Takes the tag of that name out of what is written; its value can still be read. -1 if there is none. */
  take(name: Name): number {
    const tag = this.find(name);
    if (tag >= 0) this.remove(tag);
    return tag;
  }

  remove(tag: number): void {
    this.#tags[tag * STRIDE + TYPE] |= REMOVED;
  }

  type(tag: number): number {
    return this.#tags[tag * STRIDE + TYPE] & 0x7f;
  }

  isRemoved(tag: number): boolean {
    return this.#tags[tag * STRIDE + TYPE] >= REMOVED;
  }

  /** First word of a number, 1 for true. */
  low(tag: number): number {
    return this.#tags[tag * STRIDE + A] >>> 0;
  }

  high(tag: number): number {
    return this.#tags[tag * STRIDE + B] >>> 0;
  }

  /** Of the key. */
  hash(tag: number): number {
    return this.#tags[tag * STRIDE + HASH];
  }

  keyStart(tag: number): number {
    return this.#tags[tag * STRIDE];
  }

  keyEnd(tag: number): number {
    return this.#tags[tag * STRIDE + KEY_END];
  }

  start(tag: number): number {
    return this.#tags[tag * STRIDE + A];
  }

  end(tag: number): number {
    return this.#tags[tag * STRIDE + B];
  }

  /** Whether the value is that text. */
  equals(tag: number, name: Name): boolean {
    if (this.type(tag) !== TAG_TEXT) return false;
    return sameBytes(name.bytes, 0, name.bytes.length, this.#source.bytes, this.start(tag), this.end(tag));
  }

  /** A text as a JavaScript string; undefined for other types. For the few values that code must understand. */
  string(tag: number): string | undefined {
    if (this.type(tag) !== TAG_TEXT) return undefined;
    const { buffer, byteOffset } = this.#source.bytes;
    return Buffer.from(buffer, byteOffset + this.start(tag), this.end(tag) - this.start(tag)).toString('utf8');
  }

  /** Writes a string field with the text of a tag; nothing for other types and empty texts. */
  writeText(out: ProtoWriter, field: number, tag: number): void {
    if (this.type(tag) !== TAG_TEXT || this.start(tag) === this.end(tag)) return;
    out.bytesField(field, this.#source.bytes, this.start(tag), this.end(tag));
  }

  /** Writes all that were not removed as KeyValues in fields `field` (a finished tag). */
  write(out: ProtoWriter, field: number): void {
    for (let tag = 0; tag < this.count; tag++) if (!this.isRemoved(tag)) this.writeOne(out, field, tag);
  }

  /** Writes one as a KeyValue; under another key if one is given. */
  writeOne(out: ProtoWriter, field: number, tag: number, name?: Name): void {
    const keyBytes = name === undefined ? this.#source.bytes : name.bytes;
    const tags = this.#tags;
    const at = tag * STRIDE;
    const keyStart = name === undefined ? tags[at] : 0;
    const keyEnd = name === undefined ? tags[at + KEY_END] : name.bytes.length;
    const a = tags[at + A];
    const b = tags[at + B];
    switch (tags[at + TYPE] & 0x7f) {
      case TAG_TEXT:
        bytesValue(out, field, keyBytes, keyStart, keyEnd, 0x0a, this.#source.bytes, a, b);
        break;
      case TAG_BYTES:
        bytesValue(out, field, keyBytes, keyStart, keyEnd, 0x3a, this.#source.bytes, a, b);
        break;
      case TAG_LITERAL:
        bytesValue(out, field, keyBytes, keyStart, keyEnd, 0x0a, this.#literals[a], 0, this.#literals[a].length);
        break;
      case TAG_BOOL:
        keyAndHead(out, field, keyBytes, keyStart, keyEnd, 2);
        out.varintField(0x10, a);
        break;
      case TAG_INT:
        keyAndHead(out, field, keyBytes, keyStart, keyEnd, 1 + varint64Bytes(a >>> 0, b >>> 0));
        out.varint(0x18);
        out.varint64(a, b);
        break;
      case TAG_DOUBLE:
        keyAndHead(out, field, keyBytes, keyStart, keyEnd, 9);
        out.varint(0x21);
        out.fixed32(a);
        out.fixed32(b);
    }
  }

  #set(tag: number, type: number, a: number, b: number): void {
    const tags = this.#tags;
    const at = tag * STRIDE;
    tags[at + TYPE] = type;
    tags[at + A] = a;
    tags[at + B] = b;
  }

  #place(tag: number): void {
    const slots = this.#slots;
    const mask = slots.length - 2;
    let slot = (this.#tags[tag * STRIDE + HASH] << 1) & mask;
    for (let probes = 0; probes < PROBES_MAX; probes++) {
      if (slots[slot] !== this.#mark) {
        slots[slot] = this.#mark;
        slots[slot + 1] = tag;
        return;
      }
      slot = (slot + 2) & mask;
    }
  }

  /** Room for so many tags; those that are there keep their numbers. */
  #resize(size: number): void {
    const tags = new Int32Array(size * STRIDE);
    tags.set(this.#tags.subarray(0, size * STRIDE));
    const known = Math.min(this.count, this.#tags.length / STRIDE);
    this.#tags = tags;
    this.#slots = new Int32Array(2 * SLOTS_PER_TAG * size);
    this.#mark = 1;
    for (let tag = 0; tag < known; tag++) this.#place(tag);
  }
}

/** One string attribute whose key and value code knows where to find. */
export function textAttribute(
  out: ProtoWriter,
  field: number,
  name: Name,
  value: Uint8Array,
  start = 0,
  end = value.length,
): void {
  bytesValue(out, field, name.bytes, 0, name.bytes.length, 0x0a, value, start, end);
}

/** One whole number, as far as a double is exact. */
export function intAttribute(out: ProtoWriter, field: number, name: Name, value: number): void {
  const high = Math.floor(value / 2 ** 32) >>> 0;
  keyAndHead(out, field, name.bytes, 0, name.bytes.length, 1 + varint64Bytes(value >>> 0, high));
  out.varint(0x18);
  out.varint64(value >>> 0, high);
}

/** A double, by its value. */
export function doubleAttribute(out: ProtoWriter, field: number, name: Name, value: number): void {
  keyAndHead(out, field, name.bytes, 0, name.bytes.length, 9);
  out.varint(0x21);
  out.double(value);
}

export function boolAttribute(out: ProtoWriter, field: number, name: Name, value: boolean): void {
  keyAndHead(out, field, name.bytes, 0, name.bytes.length, 2);
  out.varintField(0x10, value ? 1 : 0);
}

/** A KeyValue whose AnyValue has one length-delimited member with the tag `member`. */
function bytesValue(
  out: ProtoWriter,
  field: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  member: number,
  value: Uint8Array,
  start: number,
  end: number,
): void {
  const size = end - start;
  const keySize = keyEnd - keyStart;
  const whole = keySize + size + 6;
  if (whole < 128 && field < 128) {
    // Nearly every attribute: all lengths take one byte. Half the time of the general way.
    out.reserve(whole + 2);
    const { bytes } = out;
    let at = out.length;
    bytes[at++] = field;
    bytes[at++] = whole;
    bytes[at++] = 0x0a;
    bytes[at++] = keySize;
    for (let i = keyStart; i < keyEnd; i++) bytes[at++] = key[i];
    bytes[at++] = 0x12;
    bytes[at++] = size + 2;
    bytes[at++] = member;
    bytes[at++] = size;
    for (let i = start; i < end; i++) bytes[at++] = value[i];
    out.length = at;
    return;
  }
  keyAndHead(out, field, key, keyStart, keyEnd, 1 + varintBytes(size) + size);
  out.bytesField(member, value, start, end);
}

/** A KeyValue up to its AnyValue, which takes `valueSize` bytes and follows. */
function keyAndHead(
  out: ProtoWriter,
  field: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  valueSize: number,
): void {
  const keySize = keyEnd - keyStart;
  if (keySize + valueSize < 124 && field < 128) {
    out.reserve(keySize + 6);
    const { bytes } = out;
    let at = out.length;
    bytes[at++] = field;
    bytes[at++] = keySize + valueSize + 4;
    bytes[at++] = 0x0a;
    bytes[at++] = keySize;
    for (let i = keyStart; i < keyEnd; i++) bytes[at++] = key[i];
    bytes[at++] = 0x12;
    bytes[at++] = valueSize;
    out.length = at;
    return;
  }
  out.varint(field);
  out.varint(1 + varintBytes(keySize) + keySize + 1 + varintBytes(valueSize) + valueSize);
  out.varint(0x0a);
  out.varint(keySize);
  out.raw(key, keyStart, keyEnd);
  out.varint(0x12);
  out.varint(valueSize);
}

function varint64Bytes(low: number, high: number): number {
  if (high === 0) return varintBytes(low);
  let bytes = 5;
  for (let rest = high >>> 3; rest !== 0; rest >>>= 7) bytes++;
  return bytes;
}

/** So that nobody can choose keys that collide. */
const SEED = randomBytes(4).readInt32LE();

/** Of 30 bits; the same bytes have another hash in another process. */
export function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = SEED ^ (end - start);
  let at = start;
  for (const words = end - 3; at < words; at += 4) {
    const word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  // Of 30 bits, which V8 keeps without a heap number.
  return (hash ^ (hash >>> 15)) & 0x3fffffff;
}

export function sameBytes(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false;
  for (let i = aStart, j = bStart; i < aEnd; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}
