/**
 * OTLP/JSON → OTLP protobuf in one pass over the bytes, without a JavaScript object or string per value: every member
 * becomes a field as soon as it is read, and lengths are patched in when a message ends.
 *
 * Duplicate members need no care: the field is written again, and protobuf has the last one win for scalars and adds to
 * lists, as Tempo does. For the same reason zeros and empty strings are written too.
 * Source: spec/ingestion.md §3.1, §3.3; https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
import { LENGTH_PADDED, tagOf, WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import { memberId, N } from './otlp-json-names.ts';
import {
  base64,
  double,
  enumeration,
  fixed32,
  fixed64,
  id,
  int64,
  Reader,
  string,
  uint32,
} from './otlp-json-scalars.ts';

/** Levels of AnyValue within AnyValue. Tempo has no bound and takes quadratic time. */
export const VALUE_DEPTH_MAX = 256;
/** From this depth on lengths are padded instead of moving the content, so that nesting costs linear time. */
const PADDED_FROM_DEPTH = 4;

/**
 * Converts an ExportTraceServiceRequest. The answer's ArrayBuffer holds nothing else. Throws VivaceError 'undecodable'
 * with the byte position for what is not JSON or not OTLP.
 */
export function otlpJsonToProto(json: Uint8Array): Uint8Array<ArrayBuffer> {
  const reader = new Reader(json);
  request(reader);
  return reader.out.take();
}

/** Reads the members of one message whose object is next. */
type Message = (r: Reader) => void;

function request(r: Reader): void {
  const { json } = r;
  if (json.takeNull() || !json.openObject()) return;
  do {
    if (name(r) === N.resourceSpans) messages(r, tagOf(1, WIRE_BYTES), resourceSpans, 3);
    else json.skip();
  } while (json.anotherMember());
}

function resourceSpans(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.resource:
        message(r, tagOf(1, WIRE_BYTES), resource);
        break;
      case N.scopeSpans:
        messages(r, tagOf(2, WIRE_BYTES), scopeSpans, 3);
        break;
      case N.schemaUrl:
        string(r, tagOf(3, WIRE_BYTES));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function resource(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.attributes:
        messages(r, tagOf(1, WIRE_BYTES), keyValue);
        break;
      case N.droppedAttributesCount:
        uint32(r, tagOf(2, WIRE_VARINT));
        break;
      case N.entityRefs:
        messages(r, tagOf(3, WIRE_BYTES), entityRef);
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function entityRef(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.schemaUrl:
        string(r, tagOf(1, WIRE_BYTES));
        break;
      case N.type:
        string(r, tagOf(2, WIRE_BYTES));
        break;
      case N.idKeys:
        strings(r, tagOf(3, WIRE_BYTES));
        break;
      case N.descriptionKeys:
        strings(r, tagOf(4, WIRE_BYTES));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function scopeSpans(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.scope:
        message(r, tagOf(1, WIRE_BYTES), scope);
        break;
      case N.spans:
        messages(r, tagOf(2, WIRE_BYTES), span, 2);
        break;
      case N.schemaUrl:
        string(r, tagOf(3, WIRE_BYTES));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function scope(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.name:
        string(r, tagOf(1, WIRE_BYTES));
        break;
      case N.version:
        string(r, tagOf(2, WIRE_BYTES));
        break;
      case N.attributes:
        messages(r, tagOf(3, WIRE_BYTES), keyValue);
        break;
      case N.droppedAttributesCount:
        uint32(r, tagOf(4, WIRE_VARINT));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function span(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.traceId:
        id(r, tagOf(1, WIRE_BYTES), 16);
        break;
      case N.spanId:
        id(r, tagOf(2, WIRE_BYTES), 8);
        break;
      case N.traceState:
        string(r, tagOf(3, WIRE_BYTES));
        break;
      case N.parentSpanId:
        id(r, tagOf(4, WIRE_BYTES), 8);
        break;
      case N.name:
        string(r, tagOf(5, WIRE_BYTES));
        break;
      case N.kind:
        enumeration(r, tagOf(6, WIRE_VARINT), SPAN_KINDS);
        break;
      case N.startTimeUnixNano:
        fixed64(r, tagOf(7, WIRE_FIXED64));
        break;
      case N.endTimeUnixNano:
        fixed64(r, tagOf(8, WIRE_FIXED64));
        break;
      case N.attributes:
        messages(r, tagOf(9, WIRE_BYTES), keyValue);
        break;
      case N.droppedAttributesCount:
        uint32(r, tagOf(10, WIRE_VARINT));
        break;
      case N.events:
        messages(r, tagOf(11, WIRE_BYTES), event);
        break;
      case N.droppedEventsCount:
        uint32(r, tagOf(12, WIRE_VARINT));
        break;
      case N.links:
        messages(r, tagOf(13, WIRE_BYTES), link);
        break;
      case N.droppedLinksCount:
        uint32(r, tagOf(14, WIRE_VARINT));
        break;
      case N.status:
        message(r, tagOf(15, WIRE_BYTES), status);
        break;
      case N.flags:
        fixed32(r, tagOf(16, WIRE_FIXED32));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function event(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.timeUnixNano:
        fixed64(r, tagOf(1, WIRE_FIXED64));
        break;
      case N.name:
        string(r, tagOf(2, WIRE_BYTES));
        break;
      case N.attributes:
        messages(r, tagOf(3, WIRE_BYTES), keyValue);
        break;
      case N.droppedAttributesCount:
        uint32(r, tagOf(4, WIRE_VARINT));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function link(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.traceId:
        id(r, tagOf(1, WIRE_BYTES), 16);
        break;
      case N.spanId:
        id(r, tagOf(2, WIRE_BYTES), 8);
        break;
      case N.traceState:
        string(r, tagOf(3, WIRE_BYTES));
        break;
      case N.attributes:
        messages(r, tagOf(4, WIRE_BYTES), keyValue);
        break;
      case N.droppedAttributesCount:
        uint32(r, tagOf(5, WIRE_VARINT));
        break;
      case N.flags:
        fixed32(r, tagOf(6, WIRE_FIXED32));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function status(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.message:
        string(r, tagOf(2, WIRE_BYTES));
        break;
      case N.code:
        enumeration(r, tagOf(3, WIRE_VARINT), STATUS_CODES);
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function keyValue(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    switch (name(r)) {
      case N.key:
        string(r, tagOf(1, WIRE_BYTES));
        break;
      case N.value:
        message(r, tagOf(2, WIRE_BYTES), anyValue);
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

function anyValue(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  if (++r.depth > VALUE_DEPTH_MAX) throw json.fail(`attribute value nested more than ${VALUE_DEPTH_MAX} levels`);
  do {
    switch (name(r)) {
      case N.stringValue:
        string(r, tagOf(1, WIRE_BYTES));
        break;
      case N.boolValue:
        r.out.varintField(tagOf(2, WIRE_VARINT), json.boolean() ? 1 : 0);
        break;
      case N.intValue:
        int64(r, tagOf(3, WIRE_VARINT));
        break;
      case N.doubleValue:
        double(r, tagOf(4, WIRE_FIXED64));
        break;
      case N.arrayValue:
        message(r, tagOf(5, WIRE_BYTES), arrayValue);
        break;
      case N.kvlistValue:
        message(r, tagOf(6, WIRE_BYTES), kvlist);
        break;
      case N.bytesValue:
        base64(r, tagOf(7, WIRE_BYTES));
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
  r.depth--;
}

function arrayValue(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    if (name(r) === N.values) messages(r, tagOf(1, WIRE_BYTES), anyValue);
    else json.skip();
  } while (json.anotherMember());
}

function kvlist(r: Reader): void {
  const { json } = r;
  if (!json.openObject()) return;
  do {
    if (name(r) === N.values) messages(r, tagOf(1, WIRE_BYTES), keyValue);
    else json.skip();
  } while (json.anotherMember());
}

/** One nested message; `null` is an empty one. `lengthBytes`: the usual width of its length. */
function message(r: Reader, tag: number, read: Message, lengthBytes = 1): void {
  if (r.depth >= PADDED_FROM_DEPTH) lengthBytes = LENGTH_PADDED;
  const mark = r.out.begin(tag, lengthBytes);
  if (!r.json.takeNull()) read(r);
  r.out.end(mark, lengthBytes);
}

/** A list of messages; `null` is an empty list, a `null` element an empty message. */
function messages(r: Reader, tag: number, read: Message, lengthBytes = 1): void {
  const { json } = r;
  if (json.takeNull() || !json.openArray()) return;
  do message(r, tag, read, lengthBytes);
  while (json.anotherElement());
}

function strings(r: Reader, tag: number): void {
  const { json } = r;
  if (json.takeNull() || !json.openArray()) return;
  do string(r, tag);
  while (json.anotherElement());
}

/** The next member's name as one of `N`; 0 for a name that nobody knows. */
function name(r: Reader): number {
  const { json } = r;
  json.key();
  return memberId(json.textBytes, json.textStart, json.textEnd);
}

const SPAN_KINDS: ReadonlyMap<string, number> = new Map([
  ['SPAN_KIND_UNSPECIFIED', 0],
  ['SPAN_KIND_INTERNAL', 1],
  ['SPAN_KIND_SERVER', 2],
  ['SPAN_KIND_CLIENT', 3],
  ['SPAN_KIND_PRODUCER', 4],
  ['SPAN_KIND_CONSUMER', 5],
]);

const STATUS_CODES: ReadonlyMap<string, number> = new Map([
  ['STATUS_CODE_UNSET', 0],
  ['STATUS_CODE_OK', 1],
  ['STATUS_CODE_ERROR', 2],
]);
