/**
 * Zipkin's JSON of the second version as OTLP, in one pass over the bytes. Names of members may be written in any case.
 * Source: spec/ingestion.md §5.2.
 */
import { ProtoWriter } from '../wire/protobuf.ts';
import { ipText } from './ip-text.ts';
import { HEX, JsonCursor } from './json-cursor.ts';
import { MemberNames } from './member-names.ts';
import { KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER, KIND_UNSPECIFIED } from './otlp-span.ts';
import { SpanGroups } from './span-groups.ts';
import { type ZipkinEndpoint, ZipkinSpan } from './zipkin-span.ts';

export const ZIPKIN_REQUEST_BYTES_MAX = 256 << 20;

export interface ZipkinOptions {
  /** `parse_string_tags`. */
  parseStringTags: boolean;
}

/** A list of spans as an ExportTraceServiceRequest. Throws VivaceError 'undecodable'. */
export function zipkinJsonToOtlp(body: Uint8Array, options: ZipkinOptions): Uint8Array<ArrayBuffer> {
  const texts = new ProtoWriter(4096);
  const span = new ZipkinSpan(texts);
  span.marksAbsentStart = true;
  return listToOtlp(body, texts, (json, groups) => {
    if (json.takeNull()) return;
    readSpan(json, texts, span);
    span.write(groups, options.parseStringTags);
  });
}

/** `convert` reads one span of the list and writes it into its group; `texts` is empty each time. */
export function listToOtlp(
  body: Uint8Array,
  texts: ProtoWriter,
  convert: (json: JsonCursor, groups: SpanGroups) => void,
): Uint8Array<ArrayBuffer> {
  const json = new JsonCursor(body, 'Zipkin JSON');
  const groups = new SpanGroups(ZIPKIN_REQUEST_BYTES_MAX);
  groups.begin(body.length);
  if (!json.takeNull() && json.openArray())
    do {
      texts.length = 0;
      convert(json, groups);
    } while (json.anotherElement());
  json.end();
  return groups.finish();
}

const N = {
  traceId: 1,
  id: 2,
  parentId: 3,
  name: 4,
  kind: 5,
  timestamp: 6,
  duration: 7,
  localEndpoint: 8,
  remoteEndpoint: 9,
  annotations: 10,
  tags: 11,
  debug: 12,
  shared: 13,
} as const;
const SPAN_NAMES = new MemberNames(N);

export const ENDPOINT = { serviceName: 1, ipv4: 2, ipv6: 3, port: 4 } as const;
export const ENDPOINT_NAMES = new MemberNames(ENDPOINT);

const A = { timestamp: 1, value: 2 } as const;
const ANNOTATION_NAMES = new MemberNames(A);

const KINDS: Readonly<Record<string, number>> = {
  CLIENT: KIND_CLIENT,
  SERVER: KIND_SERVER,
  PRODUCER: KIND_PRODUCER,
  CONSUMER: KIND_CONSUMER,
};

function readSpan(json: JsonCursor, texts: ProtoWriter, span: ZipkinSpan): void {
  span.reset();
  let hasId = false;
  if (json.openObject())
    do {
      const member = SPAN_NAMES.next(json);
      if (member !== 0 && json.takeNull()) continue;
      switch (member) {
        case N.traceId:
          readId(json, span.traceId);
          break;
        case N.id:
          readId(json, span.spanId);
          hasId = span.hasSpanId();
          break;
        case N.parentId:
          readId(json, span.parentId);
          break;
        case N.name:
          span.nameStart = json.keepText(texts);
          span.nameEnd = texts.length;
          break;
        case N.kind:
          json.text();
          span.kind = KINDS[json.word()] ?? KIND_UNSPECIFIED;
          break;
        case N.timestamp:
          readInteger(json, false);
          span.start.set(json.low, json.high);
          break;
        case N.duration:
          readInteger(json, false);
          span.duration.set(json.low, json.high);
          break;
        case N.localEndpoint:
          readEndpoint(json, texts, span.local);
          break;
        case N.remoteEndpoint:
          readEndpoint(json, texts, span.remote);
          break;
        case N.annotations:
          if (json.openArray())
            do readAnnotation(json, texts, span);
            while (json.anotherElement());
          break;
        case N.tags:
          readTags(json, texts, span);
          break;
        case N.debug:
        case N.shared:
          json.boolean();
          break;
        default:
          json.skip();
      }
    } while (json.anotherMember());
  if (!hasId) throw json.fail('span without an id, before');
}

/** Hexadecimal digits, at most as many as fit; the id stands at the right. */
function readId(json: JsonCursor, id: Uint8Array): void {
  json.text();
  const { textBytes, textStart, textEnd } = json;
  const digits = textEnd - textStart;
  if (digits === 0 || digits > id.length * 2) throw json.fail(`id of ${digits} digits, before`);
  const size = id.length;
  let any = 0;
  let at = textEnd;
  for (let i = size - 1; i >= 0; i--, at -= 2) {
    const low = at > textStart ? HEX[textBytes[at - 1]] : 0;
    const high = at - 1 > textStart ? HEX[textBytes[at - 2]] : 0;
    any |= low | high;
    id[i] = (high << 4) | low;
  }
  if (any > 15) throw json.fail('id that is not hexadecimal, before');
}

/** A whole number, not as text. */
export function readInteger(json: JsonCursor, isSigned: boolean): void {
  if (json.peek() === QUOTE) throw json.fail('expected a number');
  json.integer(isSigned);
}

export const QUOTE = 0x22;

function readEndpoint(json: JsonCursor, texts: ProtoWriter, endpoint: ZipkinEndpoint): void {
  if (!json.openObject()) return;
  do {
    const member = ENDPOINT_NAMES.next(json);
    if (member !== 0 && json.takeNull()) continue;
    switch (member) {
      case ENDPOINT.serviceName:
        endpoint.serviceStart = json.keepText(texts);
        endpoint.serviceEnd = texts.length;
        break;
      case ENDPOINT.ipv4:
        endpoint.ipv4 = readAddress(json);
        break;
      case ENDPOINT.ipv6:
        endpoint.ipv6 = readAddress(json);
        break;
      case ENDPOINT.port:
        readInteger(json, false);
        if (json.high !== 0 || json.low > 0xffff) throw json.fail('port beyond 65535, before');
        endpoint.port = json.low;
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
}

export function readAddress(json: JsonCursor): string {
  json.text();
  if (json.textEnd === json.textStart) return '';
  const address = json.textEnd - json.textStart > 64 ? undefined : ipText(json.word());
  if (address === undefined) throw json.fail('expected an IP address, before');
  return address;
}

function readAnnotation(json: JsonCursor, texts: ProtoWriter, span: ZipkinSpan): void {
  let low = 0;
  let high = 0;
  let start = 0;
  let end = 0;
  if (json.openObject())
    do {
      const member = ANNOTATION_NAMES.next(json);
      if (member !== 0 && json.takeNull()) continue;
      if (member === A.timestamp) {
        readInteger(json, false);
        low = json.low;
        high = json.high;
      } else if (member === A.value) {
        start = json.keepText(texts);
        end = texts.length;
      } else json.skip();
    } while (json.anotherMember());
  if ((low | high) === 0) throw json.fail('annotation without a timestamp, before');
  span.annotate(low, high, start, end);
}

function readTags(json: JsonCursor, texts: ProtoWriter, span: ZipkinSpan): void {
  if (!json.openObject()) return;
  do {
    json.key();
    const start = texts.length;
    texts.raw(json.textBytes, json.textStart, json.textEnd);
    const tag = span.tags.key(start, texts.length);
    const valueStart = texts.length;
    if (!json.takeNull()) json.keepText(texts);
    span.tags.text(tag, valueStart, texts.length);
  } while (json.anotherMember());
}
