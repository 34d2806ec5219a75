/**
 * The tags of one span, event or process while they are being read: where their keys and values stand in the bytes that
 * came in. A key that comes again takes the place of the earlier one. Some tags mean a field of OTLP and are taken out;
 * what is left is written as attributes. One table serves all spans of a receiver, so nothing is made for a tag.
 */
import type { ProtoWriter } from '../wire/protobuf.ts';
import { bytesValue, keyAndHead, varint64Bytes } from './attributes.ts';
import { KeyTable, MARK, type Name, TAG } from './key-table.ts';

export const TAG_TEXT = 1;
export const TAG_BOOL = 2;
export const TAG_INT = 3;
export const TAG_DOUBLE = 4;
export const TAG_BYTES = 7;
/** A text that is not in the bytes. */
const TAG_LITERAL = 8;

const TAGS = 32;
/** Words of a tag: where its key begins and ends, the key's number, its type, and two of its value. */
const STRIDE = 6;
const KEY_END = 1;
const KEY = 2;
const TYPE = 3;
/** Start and end of texts and bytes, low and high word of numbers, 0 or 1 of bools, index of literals. */
const A = 4;
const B = 5;
const REMOVED = 0x80;
/** A table that one span has made larger than this starts small again. */
const TAGS_KEPT_MAX = 4096;

/** Keys that a tag is looked for in; they must be known ones. */
export class KeySet {
  readonly #numbers: Uint8Array;

  constructor(names: readonly Name[]) {
    this.#numbers = new Uint8Array(Math.max(...names.map(({ number }) => number)) + 1);
    for (const { number } of names) this.#numbers[number] = 1;
  }

  /** Whether a tag's key is one of them. */
  has(tags: TagTable, tag: number): boolean {
    return this.#numbers[tags.keyNumber(tag)] === 1;
  }
}

/** What the positions of a table are of. */
export interface Texts {
  readonly bytes: Uint8Array;
}

const NOTHING: Texts = { bytes: new Uint8Array(0) };

export class TagTable {
  count = 0;
  #source = NOTHING;
  #bytes = NOTHING.bytes;
  #view = new DataView(NOTHING.bytes.buffer);
  readonly #keys = new KeyTable();
  /** The words of a tag stand together, STRIDE of them. */
  #tags = new Int32Array(STRIDE * TAGS);
  /** Keys whose mark is not the current one are not among the tags: clearing costs nothing. */
  #mark = 0;
  #literals: Buffer[] = [];

  get bytes(): Uint8Array {
    return this.#source.bytes;
  }

  /** Begins anew over other bytes, which `source` may replace by longer ones that begin the same. */
  reset(source: Texts): void {
    this.#source = source;
    this.count = 0;
    if (this.#literals.length > 0) this.#literals.length = 0;
    if (this.#tags.length > STRIDE * TAGS_KEPT_MAX) this.#tags = new Int32Array(STRIDE * TAGS);
    if (this.#keys.tidy()) this.#mark = 0;
    if (++this.#mark === 0x7fffffff) {
      this.#keys.unmark();
      this.#mark = 1;
    }
  }

  /** The tag of a key; its value is an empty text until it is set. */
  key(start: number, end: number): number {
    const keys = this.#keys;
    const key = keys.number(this.#current(), start, end);
    const { words } = keys;
    if (words[key + MARK] === this.#mark) {
      const known = words[key + TAG];
      this.text(known, 0, 0);
      return known;
    }
    const tag = this.count++;
    words[key + MARK] = this.#mark;
    words[key + TAG] = tag;
    const at = tag * STRIDE;
    if (at + STRIDE > this.#tags.length) this.#grow();
    const tags = this.#tags;
    tags[at] = start;
    tags[at + KEY_END] = end;
    tags[at + KEY] = key;
    tags[at + TYPE] = TAG_TEXT;
    tags[at + A] = 0;
    tags[at + B] = 0;
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
    const keys = this.#keys;
    const key = keys.find(name);
    if (key < 0 || keys.words[key + MARK] !== this.#mark) return -1;
    const tag = keys.words[key + TAG];
    return this.isRemoved(tag) ? -1 : tag;
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

  /** Of the key, the same in every table if code knows it. */
  keyNumber(tag: number): number {
    return this.#tags[tag * STRIDE + KEY];
  }

  start(tag: number): number {
    return this.#tags[tag * STRIDE + A];
  }

  end(tag: number): number {
    return this.#tags[tag * STRIDE + B];
  }

  /** Whether the value is that text. */
  equals(tag: number, { bytes }: Name): boolean {
    const at = tag * STRIDE;
    const tags = this.#tags;
    const start = tags[at + A];
    if ((tags[at + TYPE] & 0x7f) !== TAG_TEXT || tags[at + B] - start !== bytes.length) return false;
    const source = this.#source.bytes;
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== source[start + i]) return false;
    return true;
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

  /**
   * Writes all that were not removed as KeyValues in fields `field` (a finished tag). Nearly all are short texts, bools and small
   * numbers, whose lengths take one byte. They are copied by words, up to three bytes too many: these are written over, or
   * stand behind the end.
   */
  write(out: ProtoWriter, field: number): void {
    const view = this.#current();
    const readable = view.byteLength - 3;
    const tags = this.#tags;
    for (let tag = 0, at = 0; tag < this.count; tag++, at += STRIDE) {
      const type = tags[at + TYPE];
      if (type >= REMOVED) continue;
      const keyStart = tags[at];
      const keySize = tags[at + KEY_END] - keyStart;
      const a = tags[at + A];
      const isText = type === TAG_TEXT;
      // Of the AnyValue: text with its head, or one or two bytes of a varint.
      const size = isText ? tags[at + B] - a + 2 : a > 127 ? 3 : 2;
      const isShort = isText
        ? a + size - 2 <= readable
        : type === TAG_BOOL || (type === TAG_INT && tags[at + B] === 0 && a >= 0 && a < 1 << 14);
      if (!isShort || keySize + size > 123 || keyStart + keySize > readable) {
        this.writeOne(out, field, tag);
        continue;
      }
      out.reserve(keySize + size + 12);
      const to = out.view;
      const keyAt = out.length + 4;
      const head = keyAt + keySize;
      const valueAt = head + 4;
      to.setInt32(keyAt - 4, field | ((keySize + size + 4) << 8) | (0x0a << 16) | (keySize << 24), true);
      for (let i = 0; i < keySize; i += 4) to.setInt32(keyAt + i, view.getInt32(keyStart + i, true), true);
      out.length = head + 2 + size;
      if (isText) {
        to.setInt32(head, 0x12 | (size << 8) | (0x0a << 16) | ((size - 2) << 24), true);
        for (let i = 0; i < size - 2; i += 4) to.setInt32(valueAt + i, view.getInt32(a + i, true), true);
      } else {
        const first = a > 127 ? a | 0x80 : a;
        to.setInt32(head, 0x12 | (size << 8) | ((type === TAG_BOOL ? 0x10 : 0x18) << 16) | (first << 24), true);
        to.setInt8(valueAt, a >> 7);
      }
    }
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

  /** The bytes as they are now. */
  #current(): DataView {
    const { bytes } = this.#source;
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    return this.#view;
  }

  #grow(): void {
    const tags = new Int32Array(this.#tags.length * 2);
    tags.set(this.#tags);
    this.#tags = tags;
  }
}
