/**
 * Jaeger's Thrift batches as OTLP, in one pass: every span is written as soon as it is read, what its tags mean is looked
 * up among their positions, and lengths are patched in behind.
 * Source: spec/ingestion.md §4.2, §4.6; https://github.com/jaegertracing/jaeger-idl/blob/main/thrift/jaeger.thrift
 */
import { VivaceError } from '../runtime/errors.ts';
import type { ProtoWriter } from '../wire/protobuf.ts';
import {
  THRIFT_BOOL,
  THRIFT_DOUBLE,
  THRIFT_I32,
  THRIFT_I64,
  THRIFT_LIST,
  THRIFT_STRING,
  THRIFT_STRUCT,
  ThriftBinary,
  type ThriftCompact,
  type ThriftReader,
} from '../wire/thrift.ts';
import { References, writeEventFields, writeResource, writeSpanTags } from './jaeger-tags.ts';
import {
  EVENT_TIME,
  fixed64Field,
  putEnd,
  putSpanIdWords,
  putStart,
  putTraceIdHalf,
  REQUEST_RESOURCE_SPANS,
  RESOURCE_SPANS_RESOURCE,
  RESOURCE_SPANS_SCOPE_SPANS,
  SCOPE_SPANS_SPAN,
  SPAN_EVENT,
  SPAN_LENGTH_BYTES,
  SPAN_NAME,
  spanHead,
  Time,
} from './otlp-span.ts';
import { TagTable } from './tag-table.ts';

/** What a batch held. */
export interface JaegerBatch {
  spans: number;
  /** Spans without a trace id or span id, for which the whole batch is to be refused. */
  invalid: number;
}

/** Converts one batch after the other; its tables are used again. */
export class JaegerThrift {
  readonly #tags = new TagTable();
  readonly #fields = new TagTable();
  readonly #references = new References();
  readonly #time = new Time();
  readonly #traceId = new Uint32Array(4);
  readonly #otherTraceId = new Uint32Array(4);
  #spans = 0;
  #invalid = 0;

  /**
   * Reads a `Batch` and writes it as one ResourceSpans. Throws VivaceError 'undecodable'; what `out` got until then is
   * for the caller to take back.
   */
  batch(thrift: ThriftReader, out: ProtoWriter): JaegerBatch {
    this.#spans = this.#invalid = 0;
    const resourceSpans = out.begin(REQUEST_RESOURCE_SPANS, 3);
    let seen = 0;
    const outer = thrift.enter();
    while (thrift.field()) {
      const { fieldId, fieldType } = thrift;
      if (fieldId === 1 && fieldType === THRIFT_STRUCT) {
        const mark = out.begin(RESOURCE_SPANS_RESOURCE);
        this.#process(thrift, out);
        out.end(mark);
      } else if (fieldId === 2 && fieldType === THRIFT_LIST) {
        const count = structs(thrift);
        const mark = out.begin(RESOURCE_SPANS_SCOPE_SPANS, 3);
        for (let i = 0; i < count; i++) this.#span(thrift, out);
        out.end(mark, 3);
      } else {
        thrift.skip(fieldType);
        continue;
      }
      seen |= 1 << fieldId;
    }
    thrift.leave(outer);
    require(seen, BATCH_FIELDS, 'Batch');
    out.end(resourceSpans, 3);
    return { spans: this.#spans, invalid: this.#invalid };
  }

  #process(thrift: ThriftReader, out: ProtoWriter): void {
    const tags = this.#tags;
    tags.reset(thrift);
    let serviceStart = 0;
    let serviceEnd = 0;
    let seen = 0;
    const outer = thrift.enter();
    while (thrift.field()) {
      const { fieldId, fieldType } = thrift;
      if (fieldId === 1 && fieldType === THRIFT_STRING) {
        thrift.text();
        serviceStart = thrift.start;
        serviceEnd = thrift.end;
        seen |= 1 << 1;
      } else if (fieldId === 2 && fieldType === THRIFT_LIST) readTags(thrift, tags);
      else thrift.skip(fieldType);
    }
    thrift.leave(outer);
    require(seen, PROCESS_FIELDS, 'Process');
    writeResource(out, tags, serviceStart, serviceEnd);
  }

  #span(thrift: ThriftReader, out: ProtoWriter): void {
    const before = out.length;
    const mark = out.begin(SCOPE_SPANS_SPAN, SPAN_LENGTH_BYTES);
    const head = spanHead(out);
    const empty = out.length;
    const traceId = this.#traceId;
    traceId[0] = traceId[1] = traceId[2] = traceId[3] = 0;
    this.#references.reset();
    const time = this.#time;
    let spanHigh = 0;
    let spanLow = 0;
    let parentHigh = 0;
    let parentLow = 0;
    let startHigh = 0;
    let startLow = 0;
    let durationHigh = 0;
    let durationLow = 0;
    let flags = 0;
    let seen = 0;
    const outer = thrift.enter();
    while (thrift.field()) {
      const { fieldId, fieldType } = thrift;
      if (fieldId < 1 || fieldId > 11 || fieldType !== SPAN_TYPES[fieldId]) {
        thrift.skip(fieldType);
        continue;
      }
      seen |= 1 << fieldId;
      if (fieldType === THRIFT_I64) thrift.i64();
      const { low, high } = thrift;
      switch (fieldId) {
        case 1:
          traceId[2] = high;
          traceId[3] = low;
          break;
        case 2:
          traceId[0] = high;
          traceId[1] = low;
          break;
        case 3:
          spanHigh = high;
          spanLow = low;
          break;
        case 4:
          parentHigh = high;
          parentLow = low;
          break;
        case 5:
          thrift.text();
          if (thrift.end > thrift.start) out.shortField(SPAN_NAME, thrift.view, thrift.start, thrift.end);
          break;
        case 6:
          this.#readReferences(thrift);
          break;
        case 7:
          flags = thrift.i32();
          break;
        case 8:
          startHigh = high;
          startLow = low;
          break;
        case 9:
          durationHigh = high;
          durationLow = low;
          break;
        case 10:
          this.#tags.reset(thrift);
          readTags(thrift, this.#tags);
          writeSpanTags(out, this.#tags);
          break;
        case 11:
          this.#logs(thrift, out);
      }
    }
    thrift.leave(outer);
    require(seen, SPAN_FIELDS, 'Span');
    const hasTrace = (traceId[0] | traceId[1] | traceId[2] | traceId[3]) !== 0;
    const numbers = spanHigh | spanLow | parentHigh | parentLow | startHigh | startLow | durationHigh | durationLow;
    if (!hasTrace && (numbers | flags) === 0 && out.length === empty && this.#references.count === 0) {
      // A span that says nothing at all is not even an error.
      out.length = before;
      return;
    }
    putTraceIdHalf(out, head, 0, traceId[0], traceId[1]);
    putTraceIdHalf(out, head, 1, traceId[2], traceId[3]);
    putSpanIdWords(out, head, spanHigh, spanLow);
    time.set(startLow, startHigh);
    time.times1000();
    putStart(out, head, time.low, time.high);
    time.set(startLow, startHigh);
    time.add(durationLow, durationHigh);
    time.times1000();
    putEnd(out, head, time.low, time.high);
    this.#references.write(out, traceId, parentHigh, parentLow);
    out.end(mark, SPAN_LENGTH_BYTES);
    this.#spans++;
    if (!hasTrace || (spanHigh | spanLow) === 0) this.#invalid++;
  }

  #readReferences(thrift: ThriftReader): void {
    const count = structs(thrift);
    const traceId = this.#otherTraceId;
    traceId[0] = traceId[1] = traceId[2] = traceId[3] = 0;
    for (let i = 0; i < count; i++) {
      let followsFrom = false;
      let spanHigh = 0;
      let spanLow = 0;
      let seen = 0;
      const outer = thrift.enter();
      while (thrift.field()) {
        const { fieldId, fieldType } = thrift;
        if (fieldId < 1 || fieldId > 4 || fieldType !== (fieldId === 1 ? THRIFT_I32 : THRIFT_I64)) {
          thrift.skip(fieldType);
          continue;
        }
        seen |= 1 << fieldId;
        if (fieldId === 1) {
          followsFrom = thrift.i32() === FOLLOWS_FROM;
          continue;
        }
        thrift.i64();
        const { low, high } = thrift;
        if (fieldId === 2) {
          traceId[2] = high;
          traceId[3] = low;
        } else if (fieldId === 3) {
          traceId[0] = high;
          traceId[1] = low;
        } else {
          spanHigh = high;
          spanLow = low;
        }
      }
      thrift.leave(outer);
      require(seen, REFERENCE_FIELDS, 'SpanRef');
      this.#references.add(traceId, spanHigh, spanLow, followsFrom);
    }
  }

  #logs(thrift: ThriftReader, out: ProtoWriter): void {
    const count = structs(thrift);
    const fields = this.#fields;
    for (let i = 0; i < count; i++) {
      const mark = out.begin(SPAN_EVENT);
      fields.reset(thrift);
      let seen = 0;
      const outer = thrift.enter();
      while (thrift.field()) {
        const { fieldId, fieldType } = thrift;
        if (fieldId === 1 && fieldType === THRIFT_I64) {
          thrift.i64();
          this.#time.set(thrift.low, thrift.high);
          this.#time.times1000();
          fixed64Field(out, EVENT_TIME, this.#time.low, this.#time.high);
        } else if (fieldId === 2 && fieldType === THRIFT_LIST) readTags(thrift, fields);
        else {
          thrift.skip(fieldType);
          continue;
        }
        seen |= 1 << fieldId;
      }
      thrift.leave(outer);
      require(seen, LOG_FIELDS, 'Log');
      writeEventFields(out, fields);
      out.end(mark);
    }
  }
}

const FOLLOWS_FROM = 1;

/** Types of Span's fields by number. */
const SPAN_TYPES = Uint8Array.of(
  0,
  THRIFT_I64,
  THRIFT_I64,
  THRIFT_I64,
  THRIFT_I64,
  THRIFT_STRING,
  THRIFT_LIST,
  THRIFT_I32,
  THRIFT_I64,
  THRIFT_I64,
  THRIFT_LIST,
  THRIFT_LIST,
);

/** Fields that must be there, as bits. */
const BATCH_FIELDS = 0b110;
const PROCESS_FIELDS = 0b10;
const SPAN_FIELDS = 0b11_1011_1110;
const REFERENCE_FIELDS = 0b1_1110;
const LOG_FIELDS = 0b110;
const TAG_FIELDS = 0b110;

function readTags(thrift: ThriftReader, tags: TagTable): void {
  const count = structs(thrift);
  // What clients write stands in the order of the IDL, and is told by its first bytes: a third less time than field by field.
  if (thrift instanceof ThriftBinary)
    for (let i = 0; i < count; i++) {
      if (!readBinaryTag(thrift, tags)) readTag(thrift, tags);
    }
  else for (let i = 0; i < count; i++) if (!readCompactTag(thrift as ThriftCompact, tags)) readTag(thrift, tags);
}

/**
 * A tag of the usual form, in the binary protocol; false, and nothing read, if it has another.
 *
 *   0b 0001 length key · 08 0002 0000 00 type · 0b 0003 length text | 04 0004 double | 02 0005 bool | 0a 0006 long · 00
 */
function readBinaryTag(thrift: ThriftBinary, tags: TagTable): boolean {
  const { view, pos } = thrift;
  const length = view.byteLength;
  if (pos + 7 > length || view.getInt32(pos) !== 0x0b_0001_00) return false;
  const keySize = view.getInt32(pos + 3);
  const keyStart = pos + 7;
  const at = keyStart + keySize;
  // Up to the value: what is shorter has no value and no end. Large sizes are left to the reader that knows its bounds.
  if (keySize < 0 || keySize > SIZE_MAX || at + 14 > length) return false;
  if (view.getInt32(at) !== 0x08_0002_00 || view.getInt32(at + 2) !== 0x02_000000) return false;
  const value = at + 10;
  // The type and the head of the value's field.
  const head = view.getInt32(at + 6);
  switch (head) {
    case 0x00_0b_0003: {
      const start = value + 4;
      const size = view.getInt32(value);
      const end = start + size;
      if (size < 0 || size > SIZE_MAX || end >= length || view.getInt8(end) !== 0) return false;
      tags.text(tags.key(keyStart, at), start, end);
      thrift.pos = end + 1;
      return true;
    }
    case 0x02_02_0005:
      if (view.getInt8(value + 1) !== 0) return false;
      tags.bool(tags.key(keyStart, at), view.getInt8(value) === 1);
      thrift.pos = value + 2;
      return true;
    case 0x03_0a_0006:
    case 0x01_04_0004: {
      if (value + 8 >= length || view.getInt8(value + 8) !== 0) return false;
      const tag = tags.key(keyStart, at);
      if (head === 0x03_0a_0006) tags.int(tag, view.getInt32(value + 4), view.getInt32(value));
      else tags.double(tag, view.getInt32(value + 4), view.getInt32(value));
      thrift.pos = value + 9;
      return true;
    }
    default:
      return false;
  }
}

const SIZE_MAX = 0xffff;

/**
 * The same in the compact protocol, whose types are zigzag:
 *
 *   18 length key · 15 type · 18 length text | 27 double | 31 true | 32 false | 46 long · 00
 */
function readCompactTag(thrift: ThriftCompact, tags: TagTable): boolean {
  const { bytes, pos } = thrift;
  const length = bytes.length;
  if (bytes[pos] !== 0x18 || bytes[pos + 1] > 0x7f) return false;
  const keyStart = pos + 2;
  const at = keyStart + bytes[pos + 1];
  if (at + 4 > length || bytes[at] !== 0x15) return false;
  const field = bytes[at + 2];
  switch (bytes[at + 1]) {
    case 2 * VALUE_TEXT: {
      const size = bytes[at + 3];
      const end = at + 4 + size;
      if (field !== 0x18 || size > 0x7f || end >= length || bytes[end] !== 0) return false;
      tags.text(tags.key(keyStart, at), at + 4, end);
      thrift.pos = end + 1;
      return true;
    }
    case 2 * VALUE_BOOL:
      if ((field !== 0x31 && field !== 0x32) || bytes[at + 3] !== 0) return false;
      tags.bool(tags.key(keyStart, at), field === 0x31);
      thrift.pos = at + 4;
      return true;
    default:
      return false;
  }
}

const VALUE_TEXT = 0;
const VALUE_DOUBLE = 1;
const VALUE_BOOL = 2;
const VALUE_LONG = 3;
const VALUE_BINARY = 4;
/** Types of Tag's fields by number. */
const TAG_TYPES = Uint8Array.of(
  0,
  THRIFT_STRING,
  THRIFT_I32,
  THRIFT_STRING,
  THRIFT_DOUBLE,
  THRIFT_BOOL,
  THRIFT_I64,
  THRIFT_STRING,
);

function readTag(thrift: ThriftReader, tags: TagTable): void {
  let keyStart = 0;
  let keyEnd = 0;
  let type = 0;
  let seen = 0;
  let textStart = 0;
  let textEnd = 0;
  let doubleLow = 0;
  let doubleHigh = 0;
  let bool = false;
  let low = 0;
  let high = 0;
  let binaryStart = 0;
  let binaryEnd = 0;
  const outer = thrift.enter();
  while (thrift.field()) {
    const { fieldId, fieldType } = thrift;
    if (fieldId < 1 || fieldId > 7 || fieldType !== TAG_TYPES[fieldId]) {
      thrift.skip(fieldType);
      continue;
    }
    seen |= 1 << fieldId;
    switch (fieldId) {
      case 1:
        thrift.text();
        keyStart = thrift.start;
        keyEnd = thrift.end;
        break;
      case 2:
        type = thrift.i32();
        break;
      case 3:
        thrift.text();
        textStart = thrift.start;
        textEnd = thrift.end;
        break;
      case 4:
        thrift.double();
        doubleLow = thrift.low;
        doubleHigh = thrift.high;
        break;
      case 5:
        bool = thrift.bool();
        break;
      case 6:
        thrift.i64();
        low = thrift.low;
        high = thrift.high;
        break;
      case 7:
        thrift.text();
        binaryStart = thrift.start;
        binaryEnd = thrift.end;
    }
  }
  thrift.leave(outer);
  require(seen, TAG_FIELDS, 'Tag');
  const tag = tags.key(keyStart, keyEnd);
  if (type === VALUE_TEXT) tags.text(tag, textStart, textEnd);
  else if (type === VALUE_LONG) tags.int(tag, low, high);
  else if (type === VALUE_DOUBLE) tags.double(tag, doubleLow, doubleHigh);
  else if (type === VALUE_BOOL) tags.bool(tag, bool);
  else if (type === VALUE_BINARY) tags.binary(tag, binaryStart, binaryEnd);
  else tags.literal(tag, `<Unknown Jaeger TagType "${type}">`);
}

/** The head of a list of structs. */
function structs(thrift: ThriftReader): number {
  const count = thrift.list();
  if (count > 0 && thrift.elementType !== THRIFT_STRUCT)
    throw new VivaceError('undecodable', `cannot decode Jaeger's Thrift: a list of type ${thrift.elementType}`);
  return count;
}

function require(seen: number, wanted: number, struct: string): void {
  if ((seen & wanted) === wanted) return;
  const field = 31 - Math.clz32(wanted & ~seen);
  throw new VivaceError('undecodable', `cannot decode Jaeger's Thrift: field ${field} of ${struct} is missing`);
}
