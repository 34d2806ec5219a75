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

/** A list of spans as an ExportTraceServiceRequest. Throws VivaceError 'undecodable'. */
export function zipkinProtoToOtlp(body: Uint8Array, options: ZipkinOptions): Uint8Array<ArrayBuffer> {
  const reader = new ProtoReader(body);
  const groups = new SpanGroups(body.length, ZIPKIN_REQUEST_BYTES_MAX);
  const span = new ZipkinSpan(reader);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== 0x0a) {
      skipUnknown(reader, tag, 1);
      continue;
    }
    const outer = reader.enter();
    readSpan(reader, span);
    reader.leave(outer);
    span.write(groups, options.parseStringTags);
  }
  return groups.finish();
}

function readSpan(reader: ProtoReader, span: ZipkinSpan): void {
  span.reset();
  let hasId = false;
  let hasTraceId = false;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x0a:
        readId(reader, span.traceId, 'trace', false);
        hasTraceId = true;
        break;
      case 0x12:
        readId(reader, span.parentId, 'parent', true);
        break;
      case 0x1a:
        readId(reader, span.spanId, 'span', false);
        hasId = true;
        break;
      case 0x20:
        span.kind = KINDS[reader.varint()] ?? KIND_UNSPECIFIED;
        break;
      case 0x2a:
        span.nameEnd = textEnd(reader);
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
        readEndpoint(reader, span.local);
        break;
      case 0x4a:
        readEndpoint(reader, span.remote);
        break;
      case 0x52:
        readAnnotation(reader, span);
        break;
      case 0x5a:
        readTag(reader, span);
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
}

function readId(reader: ProtoReader, id: Uint8Array, of: string, mayBeEmpty: boolean): void {
  const end = reader.lengthEnd();
  const size = end - reader.pos;
  if (size !== id.length && !(mayBeEmpty && size === 0)) throw undecodable(`${of} id of ${size} bytes`);
  id.fill(0);
  for (let i = 0; i < size; i++) id[i] = reader.bytes[reader.pos + i];
  reader.pos = end;
}

/** Where the text ends that is next; it must be UTF-8. */
function textEnd(reader: ProtoReader): number {
  const end = reader.lengthEnd();
  const { bytes } = reader;
  let at = reader.pos;
  let bits = 0;
  for (const words = end - 3; at < words; at += 4) bits |= bytes[at] | bytes[at + 1] | bytes[at + 2] | bytes[at + 3];
  for (; at < end; at++) bits |= bytes[at];
  // Anything but ASCII is rare enough to pay for a view.
  if (bits > 0x7f && !isUtf8(bytes.subarray(reader.pos, end))) throw undecodable('text that is not UTF-8');
  return end;
}

function readEndpoint(reader: ProtoReader, endpoint: ZipkinEndpoint): void {
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      endpoint.serviceEnd = textEnd(reader);
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

function readAnnotation(reader: ProtoReader, span: ZipkinSpan): void {
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
      end = textEnd(reader);
      start = reader.pos;
      reader.pos = end;
    } else skipUnknown(reader, tag, 2);
  }
  reader.leave(outer);
  span.annotate(low, high, start, end);
}

function readTag(reader: ProtoReader, span: ZipkinSpan): void {
  let keyStart = 0;
  let keyEnd = 0;
  let valueStart = 0;
  let valueEnd = 0;
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      keyEnd = textEnd(reader);
      keyStart = reader.pos;
      reader.pos = keyEnd;
    } else if (tag === 0x12) {
      valueEnd = textEnd(reader);
      valueStart = reader.pos;
      reader.pos = valueEnd;
    } else skipUnknown(reader, tag, 2);
  }
  reader.leave(outer);
  span.tags.text(span.tags.key(keyStart, keyEnd), valueStart, valueEnd);
}

function skipUnknown(reader: ProtoReader, tag: number, fieldMax: number): void {
  if (tag >>> 3 <= fieldMax) throw undecodable(`field ${tag >>> 3} of wire type ${tag & 7}`);
  reader.skip(tag);
}

function undecodable(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decode Zipkin's protobuf: ${what}`);
}
