/**
 * The single pass of receiving: walks the bytes of an OTLP ExportTraceServiceRequest (opentelemetry-proto trace/v1; rules of
 * spec/ingestion.md §3.2) and appends to the columns of a live segment. No object is made for a span, an attribute or a string.
 *
 * ```
 *  append ──▶ resources, scopes (looked up by all their bytes) ──▶ batch of spans whose trace may have them
 *                                                                    │ window is full
 *                                                                    ▼
 *        append-fields.ts, append-attributes.ts ◀── what is odd ── append-kernel.ts ──▶ columns
 * ```
 */
import { VivaceError } from '../runtime/errors.ts';
import { AttributeAppender, viewOf, widened } from './append-attributes.ts';
import { SpanFields } from './append-fields.ts';
import { type Host, type Kernel, newKernel } from './append-kernel.ts';
import { BATCH, BATCH_MAX, columnOfRecord, WINDOW, WINDOW_BYTES } from './append-tables.ts';
import type { LiveColumns } from './columns.ts';
import { ROW_SCOPE, ROW_STRIDE } from './layout.ts';
import { concat } from './message.ts';
import { checkAttributed, cutAttributes, findTraceId, invalidTraceId } from './otlp-checks.ts';
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
  readonly #attributes: AttributeAppender;
  readonly #fields: SpanFields;
  readonly #kernel: Kernel;
  /** How far the kernel's window reaches in the request. */
  #windowEnd = 0;
  /** Spans of the batch, and their resource. */
  #batched = 0;
  #resourceOfBatch = 0;
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
    this.#fields = new SpanFields(segment, this.#attributes);
    this.#kernel = newKernel(segment.tables.memory, segment.memory, this.#host());
    this.#fields.kernel = this.#kernel;
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
    this.#windowEnd = 0;
    this.#batched = 0;
    this.#resourceOfBatch = resource;
    for (let at = from; at < end; ) {
      const tag = this.#varint(at, end);
      at = this.#at;
      if (tag === 0x12 || tag === 0x0a || tag === 0x1a) {
        const length = this.#length(at, end);
        at = this.#at;
        if (tag === 0x12) {
          spans++;
          this.#span(at, at + length, end);
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
    this.#appendBatch();
    if (spans === 0) return;
    const scope = this.#scope(merged, scopeAt, scopeLength, schemaAt, schemaLength);
    const { u32 } = this.#segment;
    for (let row = first; row < rows.count; row++) u32[rows.fieldAddress(row) + ROW_SCOPE * ROW_STRIDE] = scope;
  }

  /** Puts a span into the batch, unless a limit of its trace keeps it out. */
  #span(from: number, end: number, scopeEnd: number): void {
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
    if (end > this.#windowEnd || this.#batched === BATCH_MAX) {
      this.#appendBatch();
      if (end > this.#windowEnd) this.#moveWindow(from, scopeEnd);
    }
    const { rows, tables } = segment;
    const entry = BATCH / 4 + 4 * this.#batched++;
    const { delta } = this.#fields;
    const address = rows.pushFields();
    tables.words[entry] = from - delta;
    tables.words[entry + 1] = end - delta;
    tables.words[entry + 2] = trace;
    tables.words[entry + 3] = address;
    if (end > this.#windowEnd) this.#appendLarge(from, end);
  }

  #moveWindow(from: number, scopeEnd: number): void {
    this.#windowEnd = Math.min(scopeEnd, from + WINDOW_BYTES);
    this.#segment.tables.bytes.set(this.#bytes.subarray(from, this.#windowEnd), WINDOW);
    this.#fields.delta = from - WINDOW;
  }

  #appendBatch(): void {
    const count = this.#batched;
    if (count === 0) return;
    this.#batched = 0;
    this.#kernel.spans(count, this.#segment.rows.count - count, this.#resourceOfBatch);
  }

  /** Appends the only span of the batch, which does not fit into the window, field by field. */
  #appendLarge(from: number, end: number): void {
    const fields = this.#fields;
    const row = this.#segment.rows.count - 1;
    this.#batched = 0;
    fields.kernel = undefined;
    fields.begin();
    for (let at = from; at < end; ) at = fields.field(row, at, end);
    fields.kernel = this.#kernel;
    this.#kernel.finish(BATCH, row, this.#resourceOfBatch, fields.name());
  }

  /** What the kernel leaves to others, with places in the window as places in the request. */
  #host(): Host {
    const segment = this.#segment;
    const attributes = this.#attributes;
    const fields = this.#fields;
    return {
      addString: (at, length) => segment.strings.add(this.#view, this.#bytes, at + fields.delta, length),
      growStrings: () => segment.strings.grow(),
      addEntries: (record, width) => segment.addEntries(columnOfRecord(record), width),
      attribute: (space, row, at, end) =>
        attributes.append(space, row, at + 1 + fields.delta, end + fields.delta) - fields.delta,
      field: (row, at, end) => fields.field(row, at + fields.delta, end + fields.delta) - fields.delta,
      decide: (record) => attributes.decide(record),
      wide: (row) => fields.wide(row),
      overrun: (at) => {
        throw overrun(at + fields.delta);
      },
      withoutId: () => {
        throw invalidSpanId();
      },
    };
  }

  #resource(
    merged: Uint8Array | undefined,
    at: number,
    length: number,
    schemaAt: number,
    schemaLength: number,
  ): number {
    const segment = this.#segment;
    const schema = segment.strings.intern(this.#view, this.#bytes, schemaAt, schemaLength);
    const known = segment.resources.count;
    const resource = segment.resource(this.#message(merged, at, length, 1), schema);
    if (resource === known && merged === undefined) checkAttributed(this.#cursor, at, at + length, 1);
    return resource;
  }

  #scope(merged: Uint8Array | undefined, at: number, length: number, schemaAt: number, schemaLength: number): number {
    const segment = this.#segment;
    const schema = segment.strings.intern(this.#view, this.#bytes, schemaAt, schemaLength);
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
      return segment.strings.intern(this.#view, this.#bytes, at, length);
    const source = merged ?? this.#bytes.slice(at, at + length);
    const cursor = new WireCursor();
    cursor.bytes = source;
    checkAttributed(cursor, 0, source.length, attributeField);
    if (max === 0) return segment.strings.intern(viewOf(source), source, 0, source.length);
    const { bytes, cut } = cutAttributes(source, attributeField, max);
    this.#attributes.truncated += cut;
    return segment.strings.intern(viewOf(bytes), bytes, 0, bytes.length);
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
    const value = this.#cursor.varint(at, end);
    this.#at = this.#cursor.at;
    return value;
  }

  /** From here on `bytes` are read. */
  #read(bytes: Uint8Array, view: DataView): void {
    this.#bytes = bytes;
    this.#view = view;
    this.#cursor.bytes = bytes;
    this.#attributes.read(bytes, view);
    this.#fields.read(bytes, view);
  }
}

function invalidSpanId(): VivaceError {
  return new VivaceError('invalid', 'span ids must be 64 bit and not all zero, received 0 bits');
}
