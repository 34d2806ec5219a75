/** Zipkin's protobuf (`zipkin.proto3.ListOfSpans`) as OTLP. Source: spec/ingestion.md §5.3. */
import { isUtf8 } from 'node:buffer';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoReader } from '../wire/protobuf.ts';
import { ipOfBytes } from './ip-text.ts';
import { KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER, KIND_UNSPECIFIED } from './otlp-span.ts';
import { SpanGroups } from './span-groups.ts';
import { ZIPKIN_REQUEST_BYTES_MAX, type ZipkinOptions } from './zipkin-json.ts';
import { type ZipkinEndpoint, ZipkinSpan } from './zipkin-span.ts';

const KINDS = [KIND_UNSPECIFIED, KIND_CLIENT, KIND_SERVER, KIND_PRODUCER, KIND_CONSUMER];

/** Converts one request after the other; its tables are used again. */
export class ZipkinProto {
  readonly #options: ZipkinOptions;
  readonly #texts: { bytes: Uint8Array } = { bytes: new Uint8Array(0) };
  readonly #span = new ZipkinSpan(this.#texts);
  readonly #groups = new SpanGroups(ZIPKIN_REQUEST_BYTES_MAX);
  #reader = new ProtoReader(this.#texts.bytes);
  #view: DataView = new DataView(this.#texts.bytes.buffer);
  /** Where the local endpoint of the last span stands. */
  #localStart = 0;
  #localEnd = 0;

  constructor(options: ZipkinOptions) {
    this.#options = options;
  }

  /** A list of spans as an ExportTraceServiceRequest. Throws VivaceError 'undecodable'. */
  convert(body: Uint8Array): Uint8Array<ArrayBuffer> {
    const reader = new ProtoReader(body);
    this.#reader = reader;
    this.#view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.#texts.bytes = body;
    this.#localStart = this.#localEnd = 0;
    const groups = this.#groups;
    // Most become a little longer.
    groups.begin(body.length + (body.length >> 3));
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a) {
        skipUnknown(reader, tag, 1);
        continue;
      }
      const outer = reader.enter();
      this.#readSpan();
      reader.leave(outer);
      this.#span.write(groups, this.#options.parseStringTags);
    }
    return groups.finish();
  }

  #readSpan(): void {
    const reader = this.#reader;
    const span = this.#span;
    span.reset(true);
    let hasId = false;
    let hasTraceId = false;
    let hasLocal = false;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 0x0a:
          this.#readId(span.traceIdView, 'trace', false);
          hasTraceId = true;
          break;
        case 0x12:
          this.#readId(span.parentIdView, 'parent', true);
          break;
        case 0x1a:
          this.#readId(span.spanIdView, 'span', false);
          hasId = true;
          break;
        case 0x20:
          span.kind = KINDS[reader.varint()] ?? KIND_UNSPECIFIED;
          break;
        case 0x2a:
          span.nameEnd = this.#textEnd();
          span.nameStart = reader.pos;
          reader.pos = span.nameEnd;
          break;
        case 0x31:
          reader.fixed64();
          span.start.set(reader.low, reader.high);
          break;
        case 0x38:
          reader.varint64();
          span.duration.set(reader.low, reader.high);
          break;
        case 0x42:
          if (hasLocal || !this.#isSameLocal()) {
            const start = reader.pos;
            if (!hasLocal) span.local.reset();
            this.#readEndpoint(span.local);
            // A second one adds to the first, and what both came to stands nowhere.
            this.#localStart = hasLocal ? 0 : start;
            this.#localEnd = hasLocal ? 0 : reader.pos;
          }
          hasLocal = true;
          break;
        case 0x4a:
          this.#readEndpoint(span.remote);
          break;
        case 0x52:
          this.#readAnnotation();
          break;
        case 0x5a:
          if (!this.#readUsualTag()) this.#readTag();
          break;
        case 0x60:
        case 0x68:
          reader.varint();
          break;
        default:
          skipUnknown(reader, tag, 13);
      }
    }
    if (!hasTraceId) throw undecodable('span without a trace id');
    if (!hasId) throw undecodable('span without an id');
    if (hasLocal) return;
    span.local.reset();
    this.#localStart = this.#localEnd = 0;
  }

  #readId(id: DataView, of: string, mayBeEmpty: boolean): void {
    const reader = this.#reader;
    const end = reader.lengthEnd();
    const size = end - reader.pos;
    if (size !== id.byteLength && !(mayBeEmpty && size === 0)) throw undecodable(`${of} id of ${size} bytes`);
    for (let i = 0; i < id.byteLength; i += 4) id.setInt32(i, size === 0 ? 0 : this.#view.getInt32(reader.pos + i));
    reader.pos = end;
  }

  /** Where the text ends that is next; it must be UTF-8. */
  #textEnd(): number {
    const reader = this.#reader;
    const end = reader.lengthEnd();
    // Anything but ASCII is rare enough to pay for a view.
    if (!isAscii(this.#view, reader.pos, end) && !isUtf8(reader.bytes.subarray(reader.pos, end)))
      throw undecodable('text that is not UTF-8');
    return end;
  }

  /** Steps over a local endpoint that is that of the last span: the same bytes, length included. */
  #isSameLocal(): boolean {
    const reader = this.#reader;
    const view = this.#view;
    const size = this.#localEnd - this.#localStart;
    if (size < 4 || reader.pos + size > reader.end) return false;
    const last = size - 4;
    for (let i = 0; i < last; i += 4)
      if (view.getInt32(this.#localStart + i) !== view.getInt32(reader.pos + i)) return false;
    if (view.getInt32(this.#localStart + last) !== view.getInt32(reader.pos + last)) return false;
    this.#span.localIsSame = true;
    reader.pos += size;
    return true;
  }

  #readEndpoint(endpoint: ZipkinEndpoint): void {
    const reader = this.#reader;
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) {
        endpoint.serviceEnd = this.#textEnd();
        endpoint.serviceStart = reader.pos;
        reader.pos = endpoint.serviceEnd;
      } else if (tag === 0x12 || tag === 0x1a) {
        const end = reader.lengthEnd();
        const address = ipOfBytes(reader.bytes, reader.pos, end) ?? '';
        if (tag === 0x12) endpoint.ipv4 = address;
        else endpoint.ipv6 = address;
        reader.pos = end;
      } else if (tag === 0x20) {
        reader.varint64();
        endpoint.port = reader.low & 0xffff;
      } else skipUnknown(reader, tag, 4);
    }
    reader.leave(outer);
  }

  #readAnnotation(): void {
    const reader = this.#reader;
    let low = 0;
    let high = 0;
    let start = 0;
    let end = 0;
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x09) {
        reader.fixed64();
        low = reader.low;
        high = reader.high;
      } else if (tag === 0x12) {
        end = this.#textEnd();
        start = reader.pos;
        reader.pos = end;
      } else skipUnknown(reader, tag, 2);
    }
    reader.leave(outer);
    this.#span.annotate(low, high, start, end);
  }

  /**
   * A tag of the usual form, that is next with its length; false, and nothing read, if it has another.
   *
   *   size · 0a size key · 12 size value, all ASCII
   */
  #readUsualTag(): boolean {
    const reader = this.#reader;
    const { bytes, pos } = reader;
    // Before any byte is looked at, for a look beyond the end makes the engine give up its fast code.
    if (pos + 3 > reader.end) return false;
    const end = pos + 1 + bytes[pos];
    const keyStart = pos + 3;
    const keyEnd = keyStart + bytes[pos + 2];
    const value = keyEnd + 2;
    // With one byte for the size of the whole, every size in it has one byte, or reaches beyond the end.
    if (bytes[pos] > 127 || end > reader.end || value > end || bytes[pos + 1] !== 0x0a) return false;
    if (bytes[keyEnd] !== 0x12 || value + bytes[keyEnd + 1] !== end || !isAscii(this.#view, pos, end)) return false;
    const { tags } = this.#span;
    tags.text(tags.key(keyStart, keyEnd), value, end);
    reader.pos = end;
    return true;
  }

  #readTag(): void {
    const reader = this.#reader;
    let keyStart = 0;
    let keyEnd = 0;
    let valueStart = 0;
    let valueEnd = 0;
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) {
        keyEnd = this.#textEnd();
        keyStart = reader.pos;
        reader.pos = keyEnd;
      } else if (tag === 0x12) {
        valueEnd = this.#textEnd();
        valueStart = reader.pos;
        reader.pos = valueEnd;
      } else skipUnknown(reader, tag, 2);
    }
    reader.leave(outer);
    const { tags } = this.#span;
    tags.text(tags.key(keyStart, keyEnd), valueStart, valueEnd);
  }
}

function isAscii(view: DataView, start: number, end: number): boolean {
  let bits = 0;
  const last = end - 4;
  if (last < start) {
    for (let at = start; at < end; at++) bits |= view.getInt8(at);
    return (bits & 0x80) === 0;
  }
  for (let at = start; at < last; at += 4) bits |= view.getInt32(at);
  return ((bits | view.getInt32(last)) & 0x80808080) === 0;
}

function skipUnknown(reader: ProtoReader, tag: number, fieldMax: number): void {
  if (tag >>> 3 <= fieldMax) throw undecodable(`field ${tag >>> 3} of wire type ${tag & 7}`);
  reader.skip(tag);
}

function undecodable(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decode Zipkin's protobuf: ${what}`);
}
