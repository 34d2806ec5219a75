/**
 * The tags of one span, event or process while they are being read: where their keys and values stand in the bytes that
 * came in. A key that comes again takes the place of the earlier one. Some tags mean a field of OTLP and are taken out;
 * what is left is written as attributes. One table serves all spans of a request, so nothing is made for a tag.
 */
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
  #keyStart = new Uint32Array(TAGS);
  #keyEnd = new Uint32Array(TAGS);
  #hash = new Uint32Array(TAGS);
  #type = new Uint8Array(TAGS);
  /** Start and end of texts and bytes, low and high word of numbers, 0 or 1 of bools, index of literals. */
  #a = new Uint32Array(TAGS);
  #b = new Uint32Array(TAGS);
  #slots = new Uint32Array(4 * TAGS);
  /** Slots whose mark is not the current one are empty: clearing costs nothing. */
  #marks = new Uint32Array(4 * TAGS);
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
    this.#literals.length = 0;
    if (this.#type.length > TAGS_KEPT_MAX) this.#resize(TAGS);
    if (++this.#mark === 0xffffffff) {
      this.#marks.fill(0);
      this.#mark = 1;
    }
  }

  /** The tag of a key; its value is an empty text until it is set. */
  key(start: number, end: number): number {
    const bytes = this.#source.bytes;
    const mask = this.#slots.length - 1;
    const hash = hashOf(bytes, start, end);
    let slot = hash & mask;
    for (let probes = 0; this.#marks[slot] === this.#mark && probes < PROBES_MAX; probes++) {
      const tag = this.#slots[slot];
      if (this.#hash[tag] === hash && sameBytes(bytes, start, end, bytes, this.#keyStart[tag], this.#keyEnd[tag])) {
        this.text(tag, 0, 0);
        return tag;
      }
      slot = (slot + 1) & mask;
    }
    if (this.count === this.#type.length) this.#resize(this.#type.length * 2);
    const tag = this.count++;
    this.#keyStart[tag] = start;
    this.#keyEnd[tag] = end;
    this.#hash[tag] = hash;
    this.text(tag, 0, 0);
    this.#place(tag);
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
    const bytes = this.#source.bytes;
    const mask = this.#slots.length - 1;
    let slot = name.hash & mask;
    for (let probes = 0; this.#marks[slot] === this.#mark && probes < PROBES_MAX; probes++) {
      const tag = this.#slots[slot];
      const found = this.#hash[tag] === name.hash;
      if (found && sameBytes(name.bytes, 0, name.bytes.length, bytes, this.#keyStart[tag], this.#keyEnd[tag]))
        return this.isRemoved(tag) ? -1 : tag;
      slot = (slot + 1) & mask;
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
    this.#type[tag] |= 0x80;
  }

  type(tag: number): number {
    return this.#type[tag] & 0x7f;
  }

  isRemoved(tag: number): boolean {
    return this.#type[tag] > 0x7f;
  }

  /** First word of a number, 1 for true. */
  low(tag: number): number {
    return this.#a[tag];
  }

  high(tag: number): number {
    return this.#b[tag];
  }

  /** Of the key. */
  hash(tag: number): number {
    return this.#hash[tag];
  }

  keyStart(tag: number): number {
    return this.#keyStart[tag];
  }

  keyEnd(tag: number): number {
    return this.#keyEnd[tag];
  }

  start(tag: number): number {
    return this.#a[tag];
  }

  end(tag: number): number {
    return this.#b[tag];
  }

  /** Whether the value is that text. */
  equals(tag: number, name: Name): boolean {
    if (this.type(tag) !== TAG_TEXT) return false;
    return sameBytes(name.bytes, 0, name.bytes.length, this.#source.bytes, this.#a[tag], this.#b[tag]);
  }

  /** A text as a JavaScript string; undefined for other types. For the few values that code must understand. */
  string(tag: number): string | undefined {
    if (this.type(tag) !== TAG_TEXT) return undefined;
    const { buffer, byteOffset } = this.#source.bytes;
    return Buffer.from(buffer, byteOffset + this.#a[tag], this.#b[tag] - this.#a[tag]).toString('utf8');
  }

  /** Writes a string field with the text of a tag; nothing for other types and empty texts. */
  writeText(out: ProtoWriter, field: number, tag: number): void {
    if (this.type(tag) !== TAG_TEXT || this.#a[tag] === this.#b[tag]) return;
    out.varint(field);
    out.varint(this.#b[tag] - this.#a[tag]);
    out.raw(this.#source.bytes, this.#a[tag], this.#b[tag]);
  }

  /** Writes all that were not removed as KeyValues in fields `field` (a finished tag). */
  write(out: ProtoWriter, field: number): void {
    for (let tag = 0; tag < this.count; tag++) if (this.#type[tag] < 0x80) this.writeOne(out, field, tag);
  }

  /** Writes one as a KeyValue; under another key if one is given. */
  writeOne(out: ProtoWriter, field: number, tag: number, name?: Name): void {
    const keyBytes = name === undefined ? this.#source.bytes : name.bytes;
    const keyStart = name === undefined ? this.#keyStart[tag] : 0;
    const keyEnd = name === undefined ? this.#keyEnd[tag] : name.bytes.length;
    const a = this.#a[tag];
    const b = this.#b[tag];
    switch (this.type(tag)) {
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
        keyAndHead(out, field, keyBytes, keyStart, keyEnd, 1 + varint64Bytes(a, b));
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
    this.#type[tag] = type;
    this.#a[tag] = a;
    this.#b[tag] = b;
  }

  #place(tag: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#hash[tag] & mask;
    for (let probes = 0; probes < PROBES_MAX; probes++) {
      if (this.#marks[slot] !== this.#mark) {
        this.#marks[slot] = this.#mark;
        this.#slots[slot] = tag;
        return;
      }
      slot = (slot + 1) & mask;
    }
  }

  #resize(size: number): void {
    this.#keyStart = resized(this.#keyStart, size);
    this.#keyEnd = resized(this.#keyEnd, size);
    this.#hash = resized(this.#hash, size);
    this.#a = resized(this.#a, size);
    this.#b = resized(this.#b, size);
    const types = new Uint8Array(size);
    types.set(this.#type.subarray(0, size));
    this.#type = types;
    this.#slots = new Uint32Array(size * 4);
    this.#marks = new Uint32Array(size * 4);
    this.#mark = 1;
    for (let tag = 0; tag < this.count; tag++) this.#place(tag);
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
  out.varint(member);
  out.varint(size);
  out.raw(value, start, end);
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

function resized(from: Uint32Array, size: number): Uint32Array<ArrayBuffer> {
  const to = new Uint32Array(size);
  to.set(from.subarray(0, size));
  return to;
}

/** Over the first bytes only: a hostile key may be megabytes long. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  const stop = Math.min(end, start + 32);
  for (let at = start; at < stop; at++) hash = (Math.imul(hash, 31) + bytes[at]) | 0;
  // Of 30 bits, which V8 keeps without a heap number.
  return (hash ^ (hash >>> 15)) & 0x3fffffff;
}

function sameBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false;
  for (let i = aStart, j = bStart; i < aEnd; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}
