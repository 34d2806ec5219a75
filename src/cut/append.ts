/**
 * The single pass of receiving: walks the bytes of an OTLP ExportTraceServiceRequest (opentelemetry-proto trace/v1; rules of
 * spec/ingestion.md §3.2) and appends to the columns of a live segment. No object is made for a span, an attribute or a string.
 *
 * Attributes have a file of their own (append-attributes.ts). Resources and scopes are looked up by all their bytes.
 */
import { VivaceError } from '../runtime/errors.ts';
import { AttributeAppender, viewOf, widened } from './append-attributes.ts';
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
  ROW_SCOPE,
  ROW_STRIDE,
  SPACE_EVENT,
  SPACE_LINK,
  SPACE_SPAN,
  TYPE_INT,
  TYPE_STRING,
} from './layout.ts';
import { concat } from './message.ts';
import { checkAttributed, cutAttributes, findTraceId, invalidTraceId, wrongIdLength } from './otlp-checks.ts';
import { type AppendLimits, LIVE_TRACES_EXCEEDED, TAKEN, TRACE_TOO_LONG, TraceLimits } from './trace-limits.ts';
import { overrun, WireCursor } from './wire-cursor.ts';

export interface Appended {
  spans: number;
  /** Spans refused by a limit of their trace. */
  discarded: number;
  /** Those of them whose trace has too many spans. */
  discardedTooLong: number;
  /** Those of them whose trace was one too many. */
  discardedLiveTraces: number;
  /** Attribute keys and values that were cut. */
  truncated: number;
  /** Traces that this request began. */
  traces: number;
}

const NOTHING = new Uint8Array(0);

/** Appends requests to one live segment. After a throw the caller takes the segment back to its mark. */
export class Appender {
  readonly #segment: LiveColumns;
  #limits: AppendLimits;
  #traceLimits: TraceLimits;
  /** Where the limits keep each trace of the segment, as far as is known. */
  #slots = new Uint32Array(64);
  #bytes: Uint8Array = NOTHING;
  #view: DataView = viewOf(NOTHING);
  /** Reads what is off the straight path. */
  readonly #cursor = new WireCursor();
  /** Where the next varint or field ends: the second result of the readers below. */
  #at = 0;
  #high = 0;
  readonly #attributes: AttributeAppender;
  #spans = 0;
  #discarded = 0;
  #discardedTooLong = 0;
  #discardedLiveTraces = 0;

  constructor(segment: LiveColumns, limits: AppendLimits) {
    this.#segment = segment;
    this.#limits = limits;
    this.#traceLimits = new TraceLimits(limits);
    this.#attributes = new AttributeAppender(segment);
    this.#attributes.limit(limits.attributeBytesMax);
  }

  /** Takes these limits from now on, with what traces have used of them. */
  limit(traceLimits: TraceLimits): void {
    if (traceLimits === this.#traceLimits) return;
    this.#traceLimits = traceLimits;
    this.#limits = traceLimits.limits;
    this.#attributes.limit(this.#limits.attributeBytesMax);
  }

  /** Appends one request that came at `nowMs`. Throws VivaceError 'undecodable' (not OTLP) or 'invalid' (ids). */
  append(body: Uint8Array, nowMs = 0): Appended {
    const segment = this.#segment;
    this.#traceLimits.advance(nowMs);
    const tracesBefore = segment.traces.count;
    this.#read(body, viewOf(body));
    this.#spans = this.#discarded = this.#attributes.truncated = this.#discardedTooLong = this.#discardedLiveTraces = 0;
    const request = segment.requests.push();
    segment.u32[request] = segment.rows.count;
    const end = body.length;
    let at = 0;
    while (at < end) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if (tag === 0x0a) {
        const length = this.#length(at, end);
        at = this.#at;
        this.#resourceSpans(at, at + length);
        at += length;
      } else at = this.#cursor.skipUnknown(tag, 1, at, end);
    }
    this.#read(NOTHING, viewOf(NOTHING));
    return {
      spans: this.#spans,
      discarded: this.#discarded,
      discardedTooLong: this.#discardedTooLong,
      discardedLiveTraces: this.#discardedLiveTraces,
      truncated: this.#attributes.truncated,
      traces: segment.traces.count - tracesBefore,
    };
  }

  /** Forgets what it knows of the segment's columns, after the segment was reset or taken back. */
  reset(): void {
    this.#attributes.reset();
  }

  #resourceSpans(from: number, end: number): void {
    let resourceAt = from;
    let resourceLength = 0;
    let merged: Uint8Array | undefined;
    let schemaAt = from;
    let schemaLength = 0;
    let scopes = 0;
    let legacy = 0;
    for (let at = from; at < end; ) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if (tag === 0x12 || tag === 0x0a || tag === 0x1a || tag === 8002) {
        const length = this.#length(at, end);
        at = this.#at;
        if (tag === 0x12) scopes++;
        else if (tag === 8002) legacy++;
        else if (tag === 0x1a) {
          schemaAt = at;
          schemaLength = length;
        } else if (resourceLength === 0) {
          resourceAt = at;
          resourceLength = length;
        } else {
          // A repeated message is merged, and concatenation is how protobuf merges.
          merged = concat([
            merged ?? this.#bytes.subarray(resourceAt, resourceAt + resourceLength),
            this.#bytes.subarray(at, at + length),
          ]);
        }
        at += length;
      } else at = this.#cursor.skipUnknown(tag, 3, at, end);
    }
    const spansTag = scopes > 0 ? 0x12 : 8002;
    if (scopes === 0 && legacy === 0) return;
    const resource = this.#resource(merged, resourceAt, resourceLength, schemaAt, schemaLength);
    for (let at = from; at < end; ) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if ((tag & 7) !== 2) {
        at = this.#cursor.skipUnknown(tag, 3, at, end);
        continue;
      }
      const length = this.#length(at, end);
      at = this.#at;
      if (tag === spansTag) this.#scopeSpans(at, at + length, resource);
      at += length;
    }
  }

  /**
   * Spans come before the schema URL, so that their scope is known when they have been appended, and is filled in then: a walk over
   * them beforehand would wait for memory once a span (a tenth of the pass).
   */
  #scopeSpans(from: number, end: number, resource: number): void {
    const { rows } = this.#segment;
    const first = rows.count;
    let scopeAt = from;
    let scopeLength = 0;
    let merged: Uint8Array | undefined;
    let schemaAt = from;
    let schemaLength = 0;
    let spans = 0;
    for (let at = from; at < end; ) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if (tag === 0x12 || tag === 0x0a || tag === 0x1a) {
        const length = this.#length(at, end);
        at = this.#at;
        if (tag === 0x12) {
          spans++;
          this.#span(at, at + length, resource);
        } else if (tag === 0x1a) {
          schemaAt = at;
          schemaLength = length;
        } else if (scopeLength === 0) {
          scopeAt = at;
          scopeLength = length;
        } else
          merged = concat([
            merged ?? this.#bytes.subarray(scopeAt, scopeAt + scopeLength),
            this.#bytes.subarray(at, at + length),
          ]);
        at += length;
      } else at = this.#cursor.skipUnknown(tag, 3, at, end);
    }
    if (spans === 0) return;
    const scope = this.#scope(merged, scopeAt, scopeLength, schemaAt, schemaLength);
    const { u32 } = this.#segment;
    for (let row = first; row < rows.count; row++) u32[rows.fieldAddress(row) + ROW_SCOPE * ROW_STRIDE] = scope;
  }

  #span(from: number, end: number, resource: number): void {
    const segment = this.#segment;
    const bytes = this.#bytes;
    const view = this.#view;
    this.#spans++;
    // The trace must be known before attributes are appended, because its spans may have to be discarded.
    const traceAt =
      end - from >= 18 && bytes[from] === 0x0a && bytes[from + 1] === 16
        ? from + 2
        : findTraceId(this.#cursor, from, end);
    // Signed, because unsigned words do not fit into small integers, and would be allocated when they are passed on.
    const a = view.getInt32(traceAt, true);
    const b = view.getInt32(traceAt + 4, true);
    const c = view.getInt32(traceAt + 8, true);
    const d = view.getInt32(traceAt + 12, true);
    if ((a | b | c | d) === 0) throw invalidTraceId(0);
    const trace = segment.trace(a, b, c, d);
    if (trace >= this.#slots.length) this.#slots = widened(this.#slots, trace);
    const hint = this.#slots[trace];
    const traceLimits = this.#traceLimits;
    const verdict = traceLimits.admit(a, b, c, d, end - from, hint);
    if (traceLimits.slot !== hint) this.#slots[trace] = traceLimits.slot;
    if (verdict !== TAKEN) {
      this.#discarded++;
      if (verdict === TRACE_TOO_LONG) this.#discardedTooLong++;
      else if (verdict === LIVE_TRACES_EXCEEDED) this.#discardedLiveTraces++;
      return;
    }
    const row = segment.rows.count;
    let idLow = 0;
    let idHigh = 0;
    let parentLow = 0;
    let parentHigh = 0;
    let nameAt = from;
    let nameLength = 0;
    let kind = 0;
    let status = 0;
    let startLow = 0;
    let startHigh = 0;
    let endLow = 0;
    let endHigh = 0;
    this.#attributes.column = -1;
    for (let at = from; at < end; ) {
      let tag = bytes[at++];
      if (tag > 127) {
        tag = this.#varint(at - 1, end);
        at = this.#at;
      }
      switch (tag) {
        case 0x4a:
          if (at >= end) throw overrun(at);
          at = this.#attributes.appendAll(SPACE_SPAN, row, 0x4a, at, end);
          break;
        case 0x0a: {
          const length = this.#length(at, end);
          at = this.#at + length;
          if (length !== 16 && length !== 0) throw wrongIdLength('trace', length);
          break;
        }
        case 0x12: {
          const length = this.#length(at, end);
          at = this.#at;
          if (length === 8) {
            idLow = view.getUint32(at, true);
            idHigh = view.getUint32(at + 4, true);
          } else if (length === 0) idLow = idHigh = 0;
          else throw wrongIdLength('span', length);
          at += length;
          break;
        }
        case 0x22: {
          const length = this.#length(at, end);
          at = this.#at;
          if (length === 8) {
            parentLow = view.getUint32(at, true);
            parentHigh = view.getUint32(at + 4, true);
          } else if (length === 0) parentLow = parentHigh = 0;
          else throw wrongIdLength('parent span', length);
          at += length;
          break;
        }
        case 0x2a: {
          nameLength = this.#length(at, end);
          nameAt = this.#at;
          at = nameAt + nameLength;
          break;
        }
        case 0x30:
          kind = this.#varint64(at, end);
          at = this.#at;
          break;
        case 0x39:
          if (at + 8 > end) throw overrun(at);
          startLow = view.getUint32(at, true);
          startHigh = view.getUint32(at + 4, true);
          at += 8;
          break;
        case 0x41:
          if (at + 8 > end) throw overrun(at);
          endLow = view.getUint32(at, true);
          endHigh = view.getUint32(at + 4, true);
          at += 8;
          break;
        case 0x5a: {
          const length = this.#length(at, end);
          at = this.#at;
          this.#event(row, at, at + length);
          at += length;
          break;
        }
        case 0x6a: {
          const length = this.#length(at, end);
          at = this.#at;
          this.#link(row, at, at + length);
          at += length;
          break;
        }
        case 0x7a: {
          const length = this.#length(at, end);
          at = this.#at;
          status = this.#status(row, at, at + length, status);
          at += length;
          break;
        }
        case 0x1a: {
          const length = this.#length(at, end);
          at = this.#at;
          this.#metaString(META_TRACE_STATE, row, at, length);
          at += length;
          break;
        }
        case 0x50:
          at = this.#metaVarint(META_DROPPED_ATTRIBUTES, row, at, end);
          break;
        case 0x60:
          at = this.#metaVarint(META_DROPPED_EVENTS, row, at, end);
          break;
        case 0x70:
          at = this.#metaVarint(META_DROPPED_LINKS, row, at, end);
          break;
        case 0x85:
          if (at + 4 > end) throw overrun(at);
          if (view.getUint32(at, true) !== 0) this.#metaInt(META_FLAGS, row, view.getUint32(at, true), 0);
          at += 4;
          break;
        default:
          at = this.#cursor.skipUnknown(tag, 16, at, end);
      }
    }
    if ((idLow | idHigh) === 0) throw invalidSpanId();
    if (kind < 0 || kind > 254) {
      this.#metaInt(META_KIND, row, kind, 0);
      kind = 255;
    }
    if (status < 0 || status > 254) {
      this.#metaInt(META_STATUS, row, status, 0);
      status = 255;
    }
    const name = segment.internRecent(view, bytes, nameAt, nameLength);
    const address = segment.rows.pushFields();
    const u32 = segment.u32;
    u32[address] = trace;
    u32[address + ROW_STRIDE] = idLow;
    u32[address + 2 * ROW_STRIDE] = idHigh;
    u32[address + 3 * ROW_STRIDE] = parentLow;
    u32[address + 4 * ROW_STRIDE] = parentHigh;
    u32[address + 5 * ROW_STRIDE] = startLow;
    u32[address + 6 * ROW_STRIDE] = startHigh;
    u32[address + 7 * ROW_STRIDE] = endLow;
    u32[address + 8 * ROW_STRIDE] = endHigh;
    u32[address + 9 * ROW_STRIDE] = resource;
    u32[address + 11 * ROW_STRIDE] = name;
    u32[address + 12 * ROW_STRIDE] = kind | (status << 8);
  }

  #event(row: number, from: number, end: number): void {
    const segment = this.#segment;
    const before = this.#attributes.column;
    const index = segment.events.count;
    let timeLow = 0;
    let timeHigh = 0;
    let nameAt = from;
    let nameLength = 0;
    let dropped = 0;
    this.#attributes.column = -1;
    for (let at = from; at < end; ) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if (tag === 0x09) {
        if (at + 8 > end) throw overrun(at);
        timeLow = this.#view.getUint32(at, true);
        timeHigh = this.#view.getUint32(at + 4, true);
        at += 8;
      } else if (tag === 0x12) {
        nameLength = this.#length(at, end);
        nameAt = this.#at;
        at = nameAt + nameLength;
      } else if (tag === 0x1a) {
        if (at >= end) throw overrun(at);
        at = this.#attributes.appendAll(SPACE_EVENT, index, 0x1a, at, end);
      } else if (tag === 0x20) {
        dropped = this.#varint64(at, end);
        at = this.#at;
      } else at = this.#cursor.skipUnknown(tag, 4, at, end);
    }
    const name = segment.intern(this.#view, this.#bytes, nameAt, nameLength);
    const address = segment.events.pushFields();
    const u32 = segment.u32;
    u32[address] = row;
    u32[address + EVENT_CHUNK] = timeLow;
    u32[address + 2 * EVENT_CHUNK] = timeHigh;
    u32[address + 3 * EVENT_CHUNK] = name;
    u32[address + 4 * EVENT_CHUNK] = dropped;
    this.#attributes.column = before;
  }

  #link(row: number, from: number, end: number): void {
    const segment = this.#segment;
    const view = this.#view;
    const before = this.#attributes.column;
    const index = segment.links.count;
    const ids = new Uint32Array(6);
    let stateAt = from;
    let stateLength = 0;
    let dropped = 0;
    let flags = 0;
    this.#attributes.column = -1;
    for (let at = from; at < end; ) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if (tag === 0x0a) {
        const length = this.#length(at, end);
        at = this.#at;
        if (length !== 16 && length !== 0) throw wrongIdLength('link trace', length);
        for (let word = 0; word < 4; word++) ids[word] = length === 0 ? 0 : view.getUint32(at + 4 * word, true);
        at += length;
      } else if (tag === 0x12) {
        const length = this.#length(at, end);
        at = this.#at;
        if (length !== 8 && length !== 0) throw wrongIdLength('link span', length);
        for (let word = 0; word < 2; word++) ids[4 + word] = length === 0 ? 0 : view.getUint32(at + 4 * word, true);
        at += length;
      } else if (tag === 0x1a) {
        stateLength = this.#length(at, end);
        stateAt = this.#at;
        at = stateAt + stateLength;
      } else if (tag === 0x22) {
        if (at >= end) throw overrun(at);
        at = this.#attributes.appendAll(SPACE_LINK, index, 0x22, at, end);
      } else if (tag === 0x28) {
        dropped = this.#varint64(at, end);
        at = this.#at;
      } else if (tag === 0x35) {
        if (at + 4 > end) throw overrun(at);
        flags = view.getUint32(at, true);
        at += 4;
      } else at = this.#cursor.skipUnknown(tag, 6, at, end);
    }
    const state = segment.intern(view, this.#bytes, stateAt, stateLength);
    const address = segment.links.pushFields();
    const u32 = segment.u32;
    u32[address] = row;
    for (let word = 0; word < 6; word++) u32[address + (1 + word) * LINK_CHUNK] = ids[word];
    u32[address + 7 * LINK_CHUNK] = state;
    u32[address + 8 * LINK_CHUNK] = flags;
    u32[address + 9 * LINK_CHUNK] = dropped;
    this.#attributes.column = before;
  }

  #status(row: number, from: number, end: number, before: number): number {
    let code = before;
    for (let at = from; at < end; ) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if (tag === 0x18) {
        code = this.#varint64(at, end);
        at = this.#at;
      } else if (tag === 0x12) {
        const length = this.#length(at, end);
        at = this.#at;
        this.#metaString(META_STATUS_MESSAGE, row, at, length);
        at += length;
      } else at = this.#cursor.skipUnknown(tag, 3, at, end, 1);
    }
    return code;
  }

  #metaString(key: number, row: number, at: number, length: number): void {
    const segment = this.#segment;
    const code = segment.intern(this.#view, this.#bytes, at, length);
    this.#metaPut(segment.metaColumn(TYPE_STRING, key), row, code, 0, 1);
  }

  #metaVarint(key: number, row: number, at: number, end: number): number {
    const low = this.#varint64(at, end);
    const next = this.#at;
    if (low !== 0) this.#metaInt(key, row, low, 0);
    return next;
  }

  #metaInt(key: number, row: number, low: number, high: number): void {
    this.#metaPut(this.#segment.metaColumn(TYPE_INT, key), row, low, high, 2);
  }

  /** A singular field that comes again replaces what it said before. */
  #metaPut(column: number, row: number, low: number, high: number, width: number): void {
    const segment = this.#segment;
    if (segment.heads[column * HEAD_WORDS + HEAD_LAST_ROW] === row + 1) segment.replaceLast(column, low, high, width);
    else if (width === 1) segment.append1(column, row, low);
    else segment.append2(column, row, low, high);
  }

  #resource(
    merged: Uint8Array | undefined,
    at: number,
    length: number,
    schemaAt: number,
    schemaLength: number,
  ): number {
    const segment = this.#segment;
    const schema = segment.intern(this.#view, this.#bytes, schemaAt, schemaLength);
    const known = segment.resources.count;
    const resource = segment.resource(this.#message(merged, at, length, 1), schema);
    if (resource === known && merged === undefined) checkAttributed(this.#cursor, at, at + length, 1);
    return resource;
  }

  #scope(merged: Uint8Array | undefined, at: number, length: number, schemaAt: number, schemaLength: number): number {
    const segment = this.#segment;
    const schema = segment.intern(this.#view, this.#bytes, schemaAt, schemaLength);
    const known = segment.scopes.count;
    const scope = segment.scope(this.#message(merged, at, length, 3), schema);
    if (scope === known && merged === undefined) checkAttributed(this.#cursor, at, at + length, 3);
    return scope;
  }

  /**
   * The code of a resource's (attributes in field 1) or scope's (field 3) message, cut to the limit. That its string is known
   * does not say that it was checked: an attribute's text may have the same bytes. The caller checks what is new to its list.
   */
  #message(merged: Uint8Array | undefined, at: number, length: number, attributeField: number): number {
    const segment = this.#segment;
    const max = this.#limits.attributeBytesMax;
    if (merged === undefined && (max === 0 || length <= max))
      return segment.intern(this.#view, this.#bytes, at, length);
    const source = merged ?? this.#bytes.slice(at, at + length);
    const cursor = new WireCursor();
    cursor.bytes = source;
    checkAttributed(cursor, 0, source.length, attributeField);
    if (max === 0) return segment.intern(viewOf(source), source, 0, source.length);
    const { bytes, cut } = cutAttributes(source, attributeField, max);
    this.#attributes.truncated += cut;
    return segment.intern(viewOf(bytes), bytes, 0, bytes.length);
  }

  /** A length that fits before `end`; #at is where the bytes begin. */
  #length(at: number, end: number): number {
    let length: number;
    if (at < end && this.#bytes[at] < 128) {
      length = this.#bytes[at];
      this.#at = at + 1;
    } else length = this.#varint(at, end);
    if (length < 0 || this.#at + length > end) throw overrun(at);
    return length;
  }

  /** A varint of at most 32 significant bits, as tags and lengths are; more bits make it -1. */
  #varint(at: number, end: number): number {
    const bytes = this.#bytes;
    if (at < end && bytes[at] < 128) {
      this.#at = at + 1;
      return bytes[at];
    }
    const low = this.#varint64(at, end);
    return this.#high !== 0 || low < 0 ? -1 : low;
  }

  /** Any varint: returns its low 32 bits (signed), #high the rest. */
  #varint64(at: number, end: number): number {
    const low = this.#cursor.varint64(at, end);
    this.#at = this.#cursor.at;
    this.#high = this.#cursor.high;
    return low;
  }

  /** From here on `bytes` are read. */
  #read(bytes: Uint8Array, view: DataView): void {
    this.#bytes = bytes;
    this.#view = view;
    this.#cursor.bytes = bytes;
    this.#attributes.read(bytes, view);
  }
}

function invalidSpanId(): VivaceError {
  return new VivaceError('invalid', 'span ids must be 64 bit and not all zero, received 0 bits');
}
