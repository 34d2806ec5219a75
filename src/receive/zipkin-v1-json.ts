/** Zipkin's JSON of the first version as OTLP. Source: spec/ingestion.md §5.5. */
import { ProtoWriter } from '../wire/protobuf.ts';
import { HEX, type JsonCursor } from './json-cursor.ts';
import { MemberNames } from './member-names.ts';
import {
  ENDPOINT,
  ENDPOINT_NAMES,
  listToOtlp,
  QUOTE,
  readAddress,
  readInteger,
  type ZipkinOptions,
} from './zipkin-json.ts';
import { type V1Endpoint, ZipkinV1Span } from './zipkin-v1-span.ts';

/** A list of spans as an ExportTraceServiceRequest. Throws VivaceError 'undecodable'. */
export function zipkinV1JsonToOtlp(body: Uint8Array, options: ZipkinOptions, nowMs: number): Uint8Array<ArrayBuffer> {
  const texts = new ProtoWriter(4096);
  const span = new ZipkinV1Span(texts);
  return listToOtlp(body, texts, (json, groups) => {
    readSpan(json, texts, span);
    span.write(groups, options.parseStringTags, nowMs);
  });
}

const N = {
  traceId: 1,
  name: 2,
  parentId: 3,
  id: 4,
  timestamp: 5,
  duration: 6,
  debug: 7,
  annotations: 8,
  binaryAnnotations: 9,
} as const;
const SPAN_NAMES = new MemberNames(N);

const A = { timestamp: 1, value: 2, endpoint: 3, key: 4 } as const;
const ANNOTATION_NAMES = new MemberNames(A);

function readSpan(json: JsonCursor, texts: ProtoWriter, span: ZipkinV1Span): void {
  span.reset();
  let hasTraceId = false;
  let hasId = false;
  if (json.openObject())
    do {
      const member = SPAN_NAMES.next(json);
      if (member !== 0 && json.takeNull()) continue;
      switch (member) {
        case N.traceId:
          readId(json, span.traceId, true);
          hasTraceId = true;
          break;
        case N.id:
          readId(json, span.spanId, false);
          hasId = true;
          break;
        case N.parentId:
          readId(json, span.parentId, false);
          break;
        case N.name:
          span.nameStart = json.keepText(texts);
          span.nameEnd = texts.length;
          break;
        case N.timestamp:
          readInteger(json, true);
          span.timestamp.set(json.low, json.high);
          break;
        case N.duration:
          readInteger(json, true);
          span.duration.set(json.low, json.high);
          break;
        case N.debug:
          json.boolean();
          break;
        case N.annotations:
          if (json.openArray())
            do readAnnotation(json, texts, span);
            while (json.anotherElement());
          break;
        case N.binaryAnnotations:
          if (json.openArray())
            do readBinaryAnnotation(json, texts, span);
            while (json.anotherElement());
          break;
        default:
          json.skip();
      }
    } while (json.anotherMember());
  if (!hasTraceId || !hasId) throw json.fail('span without ids, before');
}

/** As many digits as the id has, for trace ids also half of them; not all zero. */
function readId(json: JsonCursor, id: Uint8Array, halfAllowed: boolean): void {
  json.text();
  const { textBytes, textStart, textEnd } = json;
  const digits = textEnd - textStart;
  if (digits !== id.length * 2 && !(halfAllowed && digits === id.length))
    throw json.fail(`id of ${digits} digits, before`);
  id.fill(0);
  let any = 0;
  for (let i = 0; i < digits; i++) {
    const value = HEX[textBytes[textEnd - 1 - i]];
    if (value > 15) throw json.fail('id that is not hexadecimal, before');
    any |= value;
    id[id.length - 1 - (i >> 1)] |= (i & 1) === 0 ? value : value << 4;
  }
  if (any === 0) throw json.fail('id that is zero, before');
}

function readAnnotation(json: JsonCursor, texts: ProtoWriter, span: ZipkinV1Span): void {
  let low = 0;
  let high = 0;
  let start = 0;
  let end = 0;
  let endpoint: V1Endpoint | undefined;
  if (json.openObject())
    do {
      const member = ANNOTATION_NAMES.next(json);
      if (member !== 0 && json.takeNull()) continue;
      if (member === A.timestamp) {
        readInteger(json, true);
        low = json.low;
        high = json.high;
      } else if (member === A.value) {
        start = json.keepText(texts);
        end = texts.length;
      } else if (member === A.endpoint) endpoint = readEndpoint(json);
      else json.skip();
    } while (json.anotherMember());
  span.annotate(low, high, start, end, endpoint);
}

/** Values are strings; the `true` that zipkin-js sends for addresses is taken as what it is. */
function readBinaryAnnotation(json: JsonCursor, texts: ProtoWriter, span: ZipkinV1Span): void {
  let keyStart = 0;
  let keyEnd = 0;
  let start = 0;
  let end = 0;
  let bool: boolean | undefined;
  let endpoint: V1Endpoint | undefined;
  if (json.openObject())
    do {
      const member = ANNOTATION_NAMES.next(json);
      if (member !== 0 && json.takeNull()) continue;
      if (member === A.key) {
        keyStart = json.keepText(texts);
        keyEnd = texts.length;
      } else if (member === A.value) {
        bool = json.peek() === QUOTE ? undefined : json.boolean();
        if (bool !== undefined) continue;
        start = json.keepText(texts);
        end = texts.length;
      } else if (member === A.endpoint) endpoint = readEndpoint(json);
      else json.skip();
    } while (json.anotherMember());
  const tag = span.tags.key(keyStart, keyEnd);
  if (bool === undefined) span.tags.text(tag, start, end);
  else span.tags.bool(tag, bool);
  span.noteBinary(endpoint);
}

function readEndpoint(json: JsonCursor): V1Endpoint {
  const endpoint = { service: '', ipv4: '', ipv6: '', port: '' };
  if (!json.openObject()) return endpoint;
  do {
    const member = ENDPOINT_NAMES.next(json);
    if (member !== 0 && json.takeNull()) continue;
    switch (member) {
      case ENDPOINT.serviceName:
        json.text();
        endpoint.service = Buffer.from(json.textBytes.subarray(json.textStart, json.textEnd)).toString('utf8');
        break;
      case ENDPOINT.ipv4:
        endpoint.ipv4 = readAddress(json);
        break;
      case ENDPOINT.ipv6:
        endpoint.ipv6 = readAddress(json);
        break;
      case ENDPOINT.port:
        readInteger(json, true);
        endpoint.port = json.low === 0 ? '' : String(json.low | 0);
        break;
      default:
        json.skip();
    }
  } while (json.anotherMember());
  return endpoint;
}
