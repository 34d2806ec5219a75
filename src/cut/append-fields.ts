/**
 * The fields of a span that the kernel (append-kernel.ts) leaves to its host: events, links, status, what hardly any span has, and
 * what is not written as exporters write it. Fields of the row are put where the kernel keeps them until the span ends.
 */
import type { AttributeAppender } from './append-attributes.ts';
import type { Kernel } from './append-kernel.ts';
import {
  AT_END,
  AT_ID,
  AT_KIND,
  AT_NAME,
  AT_NAME_LENGTH,
  AT_PARENT,
  AT_RECORD,
  AT_START,
  AT_STATUS,
  FIRST_RECORD,
  RECORD_BYTES,
} from './append-tables.ts';
import { HEAD_LAST_ROW, HEAD_WORDS, type LiveColumns } from './columns.ts';
import {
  EVENT_CHUNK,
  LINK_CHUNK,
  META_DROPPED_ATTRIBUTES,
  META_DROPPED_EVENTS,
  META_DROPPED_LINKS,
  META_FLAGS,
  META_KIND,
  META_STATUS,
  META_STATUS_MESSAGE,
  META_TRACE_STATE,
  SPACE_EVENT,
  SPACE_LINK,
  SPACE_SPAN,
  type Space,
  TYPE_INT,
  TYPE_STRING,
} from './layout.ts';
import { wrongIdLength } from './otlp-checks.ts';
import { overrun, WireCursor } from './wire-cursor.ts';

export class SpanFields {
  readonly #segment: LiveColumns;
  readonly #attributes: AttributeAppender;
  readonly #cursor = new WireCursor();
  #view: DataView = new DataView(new ArrayBuffer(0));
  #bytes: Uint8Array = new Uint8Array(0);
  /** By how much places in the request exceed those in the kernel's window. */
  delta = 0;
  /** Reads attributes of events and links, when they are in its window. */
  kernel: Kernel | undefined;

  constructor(segment: LiveColumns, attributes: AttributeAppender) {
    this.#segment = segment;
    this.#attributes = attributes;
  }

  /** From here on `bytes` are read. */
  read(bytes: Uint8Array, view: DataView): void {
    this.#bytes = bytes;
    this.#view = view;
    this.#cursor.bytes = bytes;
  }

  /** Forgets the span before. */
  begin(): void {
    const { words } = this.#segment.tables;
    words.fill(0, AT_ID / 4, AT_STATUS / 4 + 1);
    this.#firstOf(SPACE_SPAN);
  }

  /** Reads the field of a span whose tag is at `at`; returns where it ends. */
  field(row: number, at: number, end: number): number {
    const cursor = this.#cursor;
    const { words } = this.#segment.tables;
    const tag = cursor.varint(at, end);
    at = cursor.at;
    switch (tag) {
      case 0x4a:
        return this.#attributes.append(SPACE_SPAN, row, at, end);
      case 0x0a:
      case 0x12:
      case 0x1a:
      case 0x22:
      case 0x2a:
      case 0x5a:
      case 0x6a:
      case 0x7a: {
        const length = cursor.length(at, end);
        at = cursor.at;
        this.#delimited(tag, row, at, length);
        return at + length;
      }
      case 0x30:
        words[AT_KIND / 4] = cursor.varint64(at, end);
        return cursor.at;
      case 0x39:
        return this.#fixed64(AT_START, at, end);
      case 0x41:
        return this.#fixed64(AT_END, at, end);
      case 0x50:
        return this.#metaVarint(META_DROPPED_ATTRIBUTES, row, at, end);
      case 0x60:
        return this.#metaVarint(META_DROPPED_EVENTS, row, at, end);
      case 0x70:
        return this.#metaVarint(META_DROPPED_LINKS, row, at, end);
      case 0x85: {
        if (at + 4 > end) throw overrun(at);
        const flags = this.#view.getUint32(at, true);
        if (flags !== 0) this.#metaInt(META_FLAGS, row, flags, 0);
        return at + 4;
      }
      default:
        return cursor.skipUnknown(tag, 16, at, end);
    }
  }

  /** A kind or status code of more than a byte stands in a column. */
  wide(row: number): void {
    const { words } = this.#segment.tables;
    const kind = words[AT_KIND / 4];
    if (kind < 0 || kind > 254) {
      this.#metaInt(META_KIND, row, kind, 0);
      words[AT_KIND / 4] = 255;
    }
    const status = words[AT_STATUS / 4];
    if (status < 0 || status > 254) {
      this.#metaInt(META_STATUS, row, status, 0);
      words[AT_STATUS / 4] = 255;
    }
  }

  /** The code of the span's name. */
  name(): number {
    const { strings, tables } = this.#segment;
    return strings.intern(
      this.#view,
      this.#bytes,
      tables.words[AT_NAME / 4] + this.delta,
      tables.words[AT_NAME_LENGTH / 4],
    );
  }

  #delimited(tag: number, row: number, at: number, length: number): void {
    const { words } = this.#segment.tables;
    switch (tag) {
      case 0x0a:
        if (length !== 16 && length !== 0) throw wrongIdLength('trace', length);
        break;
      case 0x12:
        this.#id('span', AT_ID, at, length);
        break;
      case 0x22:
        this.#id('parent span', AT_PARENT, at, length);
        break;
      case 0x2a:
        words[AT_NAME / 4] = at - this.delta;
        words[AT_NAME_LENGTH / 4] = length;
        break;
      case 0x5a:
        this.#event(row, at, at + length);
        break;
      case 0x6a:
        this.#link(row, at, at + length);
        break;
      case 0x7a:
        this.#status(row, at, at + length);
        break;
      case 0x1a:
        this.#metaString(META_TRACE_STATE, row, at, length);
        break;
    }
  }

  #id(what: string, to: number, at: number, length: number): void {
    const { words } = this.#segment.tables;
    if (length !== 8 && length !== 0) throw wrongIdLength(what, length);
    words[to / 4] = length === 0 ? 0 : this.#view.getInt32(at, true);
    words[to / 4 + 1] = length === 0 ? 0 : this.#view.getInt32(at + 4, true);
  }

  #fixed64(to: number, at: number, end: number): number {
    if (at + 8 > end) throw overrun(at);
    const { words } = this.#segment.tables;
    words[to / 4] = this.#view.getInt32(at, true);
    words[to / 4 + 1] = this.#view.getInt32(at + 4, true);
    return at + 8;
  }

  #event(row: number, from: number, end: number): void {
    const cursor = this.#cursor;
    const segment = this.#segment;
    const before = this.#segment.tables.words[AT_RECORD / 4];
    const index = segment.events.count;
    let timeLow = 0;
    let timeHigh = 0;
    let nameAt = from;
    let nameLength = 0;
    let dropped = 0;
    this.#firstOf(SPACE_EVENT);
    for (let at = from; at < end; ) {
      const tag = cursor.varint(at, end);
      at = cursor.at;
      if (tag === 0x09) {
        if (at + 8 > end) throw overrun(at);
        timeLow = this.#view.getUint32(at, true);
        timeHigh = this.#view.getUint32(at + 4, true);
        at += 8;
      } else if (tag === 0x12) {
        nameLength = cursor.length(at, end);
        nameAt = cursor.at;
        at = nameAt + nameLength;
      } else if (tag === 0x1a) {
        at = this.#attributesOf(SPACE_EVENT, index, tag, at, end);
      } else if (tag === 0x20) {
        dropped = cursor.varint64(at, end);
        at = cursor.at;
      } else at = cursor.skipUnknown(tag, 4, at, end);
    }
    const name = segment.strings.intern(this.#view, this.#bytes, nameAt, nameLength);
    const address = segment.events.pushFields();
    const u32 = segment.u32;
    u32[address] = row;
    u32[address + EVENT_CHUNK] = timeLow;
    u32[address + 2 * EVENT_CHUNK] = timeHigh;
    u32[address + 3 * EVENT_CHUNK] = name;
    u32[address + 4 * EVENT_CHUNK] = dropped;
    this.#segment.tables.words[AT_RECORD / 4] = before;
  }

  #link(row: number, from: number, end: number): void {
    const cursor = this.#cursor;
    const segment = this.#segment;
    const view = this.#view;
    const before = this.#segment.tables.words[AT_RECORD / 4];
    const index = segment.links.count;
    const ids = new Uint32Array(6);
    let stateAt = from;
    let stateLength = 0;
    let dropped = 0;
    let flags = 0;
    this.#firstOf(SPACE_LINK);
    for (let at = from; at < end; ) {
      const tag = cursor.varint(at, end);
      at = cursor.at;
      if (tag === 0x0a) {
        const length = cursor.length(at, end);
        at = cursor.at;
        if (length !== 16 && length !== 0) throw wrongIdLength('link trace', length);
        for (let word = 0; word < 4; word++) ids[word] = length === 0 ? 0 : view.getUint32(at + 4 * word, true);
        at += length;
      } else if (tag === 0x12) {
        const length = cursor.length(at, end);
        at = cursor.at;
        if (length !== 8 && length !== 0) throw wrongIdLength('link span', length);
        for (let word = 0; word < 2; word++) ids[4 + word] = length === 0 ? 0 : view.getUint32(at + 4 * word, true);
        at += length;
      } else if (tag === 0x1a) {
        stateLength = cursor.length(at, end);
        stateAt = cursor.at;
        at = stateAt + stateLength;
      } else if (tag === 0x22) {
        at = this.#attributesOf(SPACE_LINK, index, tag, at, end);
      } else if (tag === 0x28) {
        dropped = cursor.varint64(at, end);
        at = cursor.at;
      } else if (tag === 0x35) {
        if (at + 4 > end) throw overrun(at);
        flags = view.getUint32(at, true);
        at += 4;
      } else at = cursor.skipUnknown(tag, 6, at, end);
    }
    const state = segment.strings.intern(view, this.#bytes, stateAt, stateLength);
    const address = segment.links.pushFields();
    const u32 = segment.u32;
    u32[address] = row;
    for (let word = 0; word < 6; word++) u32[address + (1 + word) * LINK_CHUNK] = ids[word];
    u32[address + 7 * LINK_CHUNK] = state;
    u32[address + 8 * LINK_CHUNK] = flags;
    u32[address + 9 * LINK_CHUNK] = dropped;
    this.#segment.tables.words[AT_RECORD / 4] = before;
  }

  /** KeyValues that stand one behind the other; of the first one the length is at `at`. Returns where they end. */
  #attributesOf(space: Space, row: number, tag: number, at: number, end: number): number {
    if (at >= end) throw overrun(at);
    const { kernel, delta } = this;
    if (kernel === undefined) return this.#attributes.append(space, row, at, end);
    return kernel.attributes(space, row, at - 1 - delta, end - delta, tag) + delta;
  }

  #firstOf(space: Space): void {
    this.#segment.tables.words[AT_RECORD / 4] = FIRST_RECORD + RECORD_BYTES * space;
  }

  #status(row: number, from: number, end: number): void {
    const cursor = this.#cursor;
    const { words } = this.#segment.tables;
    for (let at = from; at < end; ) {
      const tag = cursor.varint(at, end);
      at = cursor.at;
      if (tag === 0x18) {
        words[AT_STATUS / 4] = cursor.varint64(at, end);
        at = cursor.at;
      } else if (tag === 0x12) {
        const length = cursor.length(at, end);
        at = cursor.at;
        this.#metaString(META_STATUS_MESSAGE, row, at, length);
        at += length;
      } else at = cursor.skipUnknown(tag, 3, at, end, 1);
    }
  }

  #metaString(key: number, row: number, at: number, length: number): void {
    const segment = this.#segment;
    const code = segment.strings.intern(this.#view, this.#bytes, at, length);
    this.#metaPut(segment.metaColumn(TYPE_STRING, key), row, code, 0, 1);
  }

  #metaVarint(key: number, row: number, at: number, end: number): number {
    const cursor = this.#cursor;
    const low = cursor.varint64(at, end);
    const next = cursor.at;
    if (low !== 0) this.#metaInt(key, row, low, 0);
    return next;
  }

  #metaInt(key: number, row: number, low: number, high: number): void {
    this.#metaPut(this.#segment.metaColumn(TYPE_INT, key), row, low, high, 2);
  }

  /** A singular field that comes again replaces what it said before. */
  #metaPut(column: number, row: number, low: number, high: number, width: number): void {
    const segment = this.#segment;
    if (segment.tables.heads[column * HEAD_WORDS + HEAD_LAST_ROW] === row + 1)
      segment.replaceLast(column, low, high, width);
    else if (width === 1) segment.append1(column, row, low);
    else segment.append2(column, row, low, high);
  }
}
