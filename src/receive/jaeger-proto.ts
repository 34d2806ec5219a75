/**
 * Jaeger's protobuf model (`jaeger.api_v2`) as OTLP, in one pass. A span may have a process of its own, and two tags name
 * its scope, so spans are collected in groups. Source: spec/ingestion.md §4.1, §4.6;
 * https://github.com/jaegertracing/jaeger-idl/blob/main/proto/api_v2/model.proto
 */
import { VivaceError } from '../runtime/errors.ts';
import { ProtoReader, ProtoWriter } from '../wire/protobuf.ts';
import { readVarint64 } from '../wire/varint.ts';
import { References, writeEventFields, writeResource, writeSpanTags } from './jaeger-tags.ts';
import {
  EVENT_TIME,
  fixed64Field,
  putEnd,
  putSpanId,
  putStart,
  putTraceId,
  SCOPE_NAME,
  SCOPE_SPANS_SPAN,
  SCOPE_VERSION,
  SPAN_EVENT,
  SPAN_LENGTH_BYTES,
  SPAN_NAME,
  SPAN_TRACE_STATE,
  spanHead,
  Time,
  traceIdAt,
} from './otlp-span.ts';
import { SpanGroups } from './span-groups.ts';
import { knownKey, nameOf } from './key-table.ts';
import { TagTable } from './tag-table.ts';

/** Of the process that all spans of a batch have that have no other. */
const BATCH_PROCESS = '';
const REQUEST_BYTES_MAX = 64 << 20;
const NO_RESOURCE = nameOf('OTLPResourceNoServiceName');
const SCOPE_NAME_TAG = knownKey('otel.scope.name');
const SCOPE_VERSION_TAG = knownKey('otel.scope.version');
const TRACE_STATE_TAG = knownKey('w3c.tracestate');

/** Converts one request after the other; its tables are used again. */
export class JaegerProto {
  #reader = new ProtoReader(new Uint8Array(0));
  #view: DataView = new DataView(new ArrayBuffer(0));
  readonly #groups = new SpanGroups(REQUEST_BYTES_MAX);
  readonly #tags = new TagTable();
  readonly #fields = new TagTable();
  readonly #references = new References();
  readonly #time = new Time();
  readonly #end = new Time();
  readonly #eventTime = new Time();
  readonly #traceId = new Uint32Array(4);
  readonly #otherTraceId = new Uint32Array(4);
  #scopeName = '';
  #scopeVersion = '';
  #scopeKey = '';

  /** A `PostSpansRequest` as an ExportTraceServiceRequest. Throws VivaceError 'undecodable'. */
  request(request: Uint8Array): Uint8Array<ArrayBuffer> {
    const reader = this.#begin(request);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a) {
        wrongType(tag, 1);
        reader.skip(tag);
        continue;
      }
      const outer = reader.enter();
      this.#batch();
      reader.leave(outer);
    }
    return this.#groups.finish();
  }

  /** One `Span`, as Kafka carries it, as an ExportTraceServiceRequest. */
  span(span: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#begin(span);
    this.#span();
    return this.#groups.finish();
  }

  #begin(bytes: Uint8Array): ProtoReader {
    this.#reader = new ProtoReader(bytes);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#groups.begin(bytes.length * 2);
    return this.#reader;
  }

  #batch(): void {
    const reader = this.#reader;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a && tag !== 0x12) {
        wrongType(tag, 2);
        reader.skip(tag);
        continue;
      }
      const outer = reader.enter();
      if (tag === 0x0a) this.#span();
      else this.#groups.setResource(BATCH_PROCESS, this.#process());
      reader.leave(outer);
    }
  }

  #span(): void {
    const reader = this.#reader;
    const out = this.#groups.spans;
    const before = out.length;
    const mark = out.begin(SCOPE_SPANS_SPAN, SPAN_LENGTH_BYTES);
    const head = spanHead(out);
    const tags = this.#tags;
    tags.reset(reader);
    this.#references.reset();
    this.#time.set(0, 0);
    this.#end.set(0, 0);
    let process = BATCH_PROCESS;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 0x0a: {
          const end = idEnd(reader, 'trace');
          putTraceId(out, head, this.#view, reader.pos, end);
          reader.pos = end;
          break;
        }
        case 0x12: {
          const end = idEnd(reader, 'span');
          putSpanId(out, head, this.#view, reader.pos);
          reader.pos = end;
          break;
        }
        case 0x1a: {
          const end = reader.lengthEnd();
          out.shortField(SPAN_NAME, this.#view, reader.pos, end);
          reader.pos = end;
          break;
        }
        case 0x22:
          this.#reference();
          break;
        case 0x32:
          readTimestamp(reader, this.#time);
          break;
        case 0x3a:
          readDuration(reader, this.#end);
          break;
        case 0x42: {
          if (readUsualTag(reader, tags)) break;
          const outer = reader.enter();
          readKeyValue(reader, tags);
          reader.leave(outer);
          break;
        }
        case 0x4a: {
          const outer = reader.enter();
          this.#log(out);
          reader.leave(outer);
          break;
        }
        case 0x52:
          process = this.#ownProcess();
          break;
        default:
          wrongType(tag, 12, 5);
          reader.skip(tag);
      }
    }
    putStart(out, head, this.#time.low, this.#time.high);
    this.#end.add(this.#time.low, this.#time.high);
    putEnd(out, head, this.#end.low, this.#end.high);
    const at = traceIdAt(head);
    for (let i = 0; i < 4; i++) this.#traceId[i] = out.view.getInt32(at + 4 * i);
    this.#references.write(out, this.#traceId, 0, 0);
    const group = this.#group(process);
    const state = tags.take(TRACE_STATE_TAG);
    if (state >= 0) tags.writeText(out, SPAN_TRACE_STATE, state);
    writeSpanTags(out, tags);
    out.end(mark, SPAN_LENGTH_BYTES);
    this.#groups.add(group, before);
  }

  #reference(): void {
    const reader = this.#reader;
    const view = this.#view;
    const traceId = this.#otherTraceId;
    traceId[0] = traceId[1] = traceId[2] = traceId[3] = 0;
    let spanHigh = 0;
    let spanLow = 0;
    let followsFrom = false;
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a || tag === 0x12) {
        const end = idEnd(reader, tag === 0x0a ? 'trace' : 'span');
        if (tag === 0x12) {
          spanHigh = view.getInt32(reader.pos);
          spanLow = view.getInt32(reader.pos + 4);
        } else {
          traceId[0] = traceId[1] = 0;
          for (let i = 0, at = end - 4; at >= reader.pos; i++, at -= 4) traceId[3 - i] = view.getInt32(at);
        }
        reader.pos = end;
      } else if (tag === 0x18) followsFrom = reader.varint() === 1;
      else {
        wrongType(tag, 3);
        reader.skip(tag);
      }
    }
    reader.leave(outer);
    this.#references.add(traceId, spanHigh, spanLow, followsFrom);
  }

  #log(out: ProtoWriter): void {
    const reader = this.#reader;
    const fields = this.#fields;
    const time = this.#eventTime;
    time.set(0, 0);
    fields.reset(reader);
    const mark = out.begin(SPAN_EVENT);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) readTimestamp(reader, time);
      else if (tag === 0x12) {
        if (readUsualTag(reader, fields)) continue;
        const outer = reader.enter();
        readKeyValue(reader, fields);
        reader.leave(outer);
      } else {
        wrongType(tag, 2);
        reader.skip(tag);
      }
    }
    fixed64Field(out, EVENT_TIME, time.low, time.high);
    writeEventFields(out, fields);
    out.end(mark);
  }

  /** The key of the resource of a span's own process, which is its bytes. */
  #ownProcess(): string {
    const reader = this.#reader;
    const outer = reader.enter();
    const { buffer, byteOffset } = reader.bytes;
    const key = `p${Buffer.from(buffer, byteOffset + reader.pos, reader.end - reader.pos).toString('latin1')}`;
    if (!this.#groups.hasResource(key)) this.#groups.setResource(key, this.#process());
    reader.leave(outer);
    return key;
  }

  /** The content of the resource that a process is. */
  #process(): Uint8Array {
    const reader = this.#reader;
    const tags = this.#fields;
    tags.reset(reader);
    let serviceStart = 0;
    let serviceEnd = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) {
        serviceEnd = reader.lengthEnd();
        serviceStart = reader.pos;
        reader.pos = serviceEnd;
      } else if (tag === 0x12) {
        const outer = reader.enter();
        readKeyValue(reader, tags);
        reader.leave(outer);
      } else {
        wrongType(tag, 2);
        reader.skip(tag);
      }
    }
    if (NO_RESOURCE.bytes.length === serviceEnd - serviceStart)
      if (Buffer.compare(NO_RESOURCE.bytes, reader.bytes.subarray(serviceStart, serviceEnd)) === 0)
        return new Uint8Array(0);
    const out = new ProtoWriter();
    writeResource(out, tags, serviceStart, serviceEnd);
    return out.finish();
  }

  /** The group of a span, whose scope two of its tags may name. */
  #group(process: string): number {
    const tags = this.#tags;
    const name = tags.take(SCOPE_NAME_TAG);
    const scopeName = name < 0 ? '' : (tags.string(name) ?? '');
    const version = name < 0 ? -1 : tags.take(SCOPE_VERSION_TAG);
    const scopeVersion = version < 0 ? '' : (tags.string(version) ?? '');
    if (scopeName !== this.#scopeName || scopeVersion !== this.#scopeVersion) {
      this.#scopeName = scopeName;
      this.#scopeVersion = scopeVersion;
      this.#scopeKey = `${scopeName}\n${scopeVersion}`;
    }
    const known = this.#groups.find(process, this.#scopeKey);
    if (known >= 0) return known;
    const scope = new ProtoWriter();
    if (scopeName !== '') scope.stringField(SCOPE_NAME, scopeName);
    if (scopeVersion !== '') scope.stringField(SCOPE_VERSION, scopeVersion);
    return this.#groups.create(process, this.#scopeKey, scope.finish());
  }
}

const VALUE_BOOL = 1;
const VALUE_INT = 2;
const VALUE_DOUBLE = 3;
const VALUE_BINARY = 4;

/**
 * A KeyValue of the usual form, that is next with its length; false, and nothing read, if it has another. Two thirds of the time of
 * reading it member by member.
 *
 *   size · 0a size key · 1a size text | 10 01 20 bool | 10 02 28 varint | 10 03 31 double
 */
function readUsualTag(reader: ProtoReader, tags: TagTable): boolean {
  const { bytes, pos } = reader;
  // Before any byte is looked at, for a look beyond the end makes the engine give up its fast code.
  if (pos + 3 > reader.end) return false;
  const end = pos + 1 + bytes[pos];
  const keyStart = pos + 3;
  const keyEnd = keyStart + bytes[pos + 2];
  const value = keyEnd + 2;
  // With one byte for the size of the whole, every size in it has one byte, or reaches beyond the end.
  if (bytes[pos] > 127 || end > reader.end || value > end || bytes[pos + 1] !== 0x0a) return false;
  if (bytes[keyEnd] === 0x1a) {
    if (value + bytes[keyEnd + 1] !== end) return false;
    tags.text(tags.key(keyStart, keyEnd), value, end);
  } else {
    if (bytes[keyEnd] !== 0x10 || value === end) return false;
    const kind = (bytes[keyEnd + 1] << 8) | bytes[value];
    if (kind === ((VALUE_INT << 8) | 0x28)) {
      if (readVarint64(bytes, value + 1, end, reader) !== end) return false;
      tags.int(tags.key(keyStart, keyEnd), reader.low, reader.high);
    } else if (kind === ((VALUE_BOOL << 8) | 0x20)) {
      if (value + 2 !== end || bytes[value + 1] > 127) return false;
      tags.bool(tags.key(keyStart, keyEnd), bytes[value + 1] !== 0);
    } else {
      if (kind !== ((VALUE_DOUBLE << 8) | 0x31) || value + 9 !== end) return false;
      reader.pos = value + 1;
      reader.fixed64();
      tags.double(tags.key(keyStart, keyEnd), reader.low, reader.high);
    }
  }
  reader.pos = end;
  return true;
}

/** The KeyValue that fills what is left of the reader's message. */
function readKeyValue(reader: ProtoReader, tags: TagTable): void {
  let keyStart = 0;
  let keyEnd = 0;
  let type = 0;
  let textStart = 0;
  let textEnd = 0;
  let bool = false;
  let low = 0;
  let high = 0;
  let doubleLow = 0;
  let doubleHigh = 0;
  let binaryStart = 0;
  let binaryEnd = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x0a:
        keyEnd = reader.lengthEnd();
        keyStart = reader.pos;
        reader.pos = keyEnd;
        break;
      case 0x10:
        type = reader.varint();
        break;
      case 0x1a:
        textEnd = reader.lengthEnd();
        textStart = reader.pos;
        reader.pos = textEnd;
        break;
      case 0x20:
        bool = reader.varint() !== 0;
        break;
      case 0x28:
        reader.varint64();
        low = reader.low;
        high = reader.high;
        break;
      case 0x31:
        reader.fixed64();
        doubleLow = reader.low;
        doubleHigh = reader.high;
        break;
      case 0x3a:
        binaryEnd = reader.lengthEnd();
        binaryStart = reader.pos;
        reader.pos = binaryEnd;
        break;
      default:
        wrongType(tag, 7);
        reader.skip(tag);
    }
  }
  const tag = tags.key(keyStart, keyEnd);
  if (type === 0) tags.text(tag, textStart, textEnd);
  else if (type === VALUE_BOOL) tags.bool(tag, bool);
  else if (type === VALUE_INT) tags.int(tag, low, high);
  else if (type === VALUE_DOUBLE) tags.double(tag, doubleLow, doubleHigh);
  else if (type === VALUE_BINARY) tags.binary(tag, binaryStart, binaryEnd);
  else tags.literal(tag, `<Unknown Jaeger TagType "${type}">`);
}

/** Years 1 to 9999. */
const TIMESTAMP_SECONDS_MIN = -62_135_596_800;
const TIMESTAMP_SECONDS_MAX = 253_402_300_799;

function readTimestamp(reader: ProtoReader, time: Time): void {
  readSeconds(reader);
  const { seconds, nanos } = read;
  if (!(nanos >= 0 && nanos < 1e9 && seconds >= TIMESTAMP_SECONDS_MIN && seconds <= TIMESTAMP_SECONDS_MAX))
    throw undecodable(`timestamp of ${seconds} s and ${nanos} ns`);
  time.setSeconds(seconds, nanos);
}

/** What fits into 64 bits of nanoseconds. */
const DURATION_SECONDS_MAX = 9_223_372_036;

function readDuration(reader: ProtoReader, time: Time): void {
  readSeconds(reader);
  const { seconds, nanos } = read;
  const mixed = (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0);
  if (mixed || Math.abs(nanos) >= 1e9 || Math.abs(seconds) > DURATION_SECONDS_MAX)
    throw undecodable(`duration of ${seconds} s and ${nanos} ns`);
  time.setSeconds(seconds, nanos);
}

/** What `readSeconds` has read last. An object each time was two thirds of all that was made for a span. */
const read = { seconds: 0, nanos: 0 };

/** The members of google.protobuf.Timestamp and Duration. */
function readSeconds(reader: ProtoReader): void {
  let seconds = 0;
  let nanos = 0;
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) {
      reader.varint64();
      seconds = (reader.high | 0) * 2 ** 32 + reader.low;
    } else if (tag === 0x10) {
      reader.varint64();
      nanos = reader.low | 0;
    } else {
      wrongType(tag, 2);
      reader.skip(tag);
    }
  }
  reader.leave(outer);
  read.seconds = seconds;
  read.nanos = nanos;
}

/** Where an id ends: trace ids have 16 or 8 bytes, span ids 8. */
function idEnd(reader: ProtoReader, of: 'trace' | 'span'): number {
  const end = reader.lengthEnd();
  const size = end - reader.pos;
  if (size !== 8 && !(of === 'trace' && size === 16)) throw undecodable(`${of} id of ${size} bytes`);
  return end;
}

/** Refuses a known field with the wrong wire type; `varint` is a known field that is skipped. */
function wrongType(tag: number, fieldMax: number, varint = 0): void {
  const field = tag >>> 3;
  if (field > fieldMax || (field === varint && (tag & 7) === 0)) return;
  if ((field === 11 || field === 12) && (tag & 7) === 2) return;
  throw undecodable(`field ${field} of wire type ${tag & 7}`);
}

function undecodable(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decode Jaeger's protobuf: ${what}`);
}
