/**
 * A Zipkin span of the first version while it is being read, and what it means in OTLP: what it is, when it was and whose
 * it is stands in its annotations. Source: spec/ingestion.md §5.5.
 */
import { ProtoWriter } from '../wire/protobuf.ts';
import {
  EVENT_NAME,
  EVENT_TIME,
  fixed64Field,
  KIND_CLIENT,
  KIND_CONSUMER,
  KIND_PRODUCER,
  KIND_SERVER,
  KIND_UNSPECIFIED,
  putEnd,
  putSpanId,
  putStart,
  putTraceId,
  RESOURCE_ATTRIBUTE,
  SCOPE_SPANS_SPAN,
  SPAN_ATTRIBUTE,
  SPAN_EVENT,
  SPAN_KIND,
  SPAN_LENGTH_BYTES,
  SPAN_NAME,
  SPAN_PARENT_ID,
  STATUS_ERROR,
  STATUS_MESSAGE,
  STATUS_OK,
  STATUS_UNSET,
  spanHead,
  statusField,
  Time,
} from './otlp-span.ts';
import { parseTags } from './parse-tags.ts';
import type { SpanGroups } from './span-groups.ts';
import { boolAttribute, textAttribute } from './attributes.ts';
import { knownKey, nameOf } from './key-table.ts';
import { TAG_INT, TAG_TEXT, TagTable } from './tag-table.ts';

/** Where an annotation was made. */
export interface V1Endpoint {
  service: string;
  ipv4: string;
  ipv6: string;
  port: string;
}

export class ZipkinV1Span {
  readonly texts: { readonly bytes: Uint8Array };
  readonly traceId = new Uint8Array(16);
  readonly spanId = new Uint8Array(8);
  readonly parentId = new Uint8Array(8);
  nameStart = 0;
  nameEnd = 0;
  /** Microseconds. */
  readonly timestamp = new Time();
  readonly duration = new Time();
  readonly tags = new TagTable();
  #kind = KIND_UNSPECIFIED;
  #hasKind = false;
  /** Of the first annotation that tells a kind and a service; of the last binary annotation with a service. */
  #endpoint: V1Endpoint | undefined;
  #binaryEndpoint: V1Endpoint | undefined;
  readonly #first = new Time();
  readonly #last = new Time();
  #annotations = 0;
  readonly #events = new ProtoWriter(256);

  constructor(texts: { readonly bytes: Uint8Array }) {
    this.texts = texts;
  }

  reset(): void {
    this.traceId.fill(0);
    this.spanId.fill(0);
    this.parentId.fill(0);
    this.nameStart = this.nameEnd = 0;
    this.timestamp.set(0, 0);
    this.duration.set(0, 0);
    this.tags.reset(this.texts);
    this.#kind = KIND_UNSPECIFIED;
    this.#hasKind = false;
    this.#endpoint = this.#binaryEndpoint = undefined;
    this.#annotations = 0;
    this.#events.length = 0;
  }

  /** An annotation at a time in microseconds, whose value is a range of `texts`. */
  annotate(low: number, high: number, start: number, end: number, endpoint: V1Endpoint | undefined): void {
    const { bytes } = this.texts;
    if (this.#annotations++ === 0 || isBefore(low, high, this.#first)) this.#first.set(low, high);
    if (this.#annotations === 1 || !isBefore(low, high, this.#last)) this.#last.set(low, high);
    const kind = end - start === 2 ? (KINDS[String.fromCharCode(bytes[start], bytes[start + 1])] ?? -1) : -1;
    if (kind >= 0) {
      if (!this.#hasKind) this.#kind = kind;
      this.#hasKind = true;
      if (endpoint !== undefined && endpoint.service !== '') this.#endpoint ??= endpoint;
      return;
    }
    if (end === start) return;
    const time = new Time();
    time.set(low, high);
    time.times1000();
    const mark = this.#events.begin(SPAN_EVENT);
    fixed64Field(this.#events, EVENT_TIME, time.low, time.high);
    this.#events.bytesField(EVENT_NAME, bytes, start, end);
    this.#events.end(mark);
  }

  /** A binary annotation's endpoint; its key and value are in `tags`. */
  noteBinary(endpoint: V1Endpoint | undefined): void {
    if (endpoint !== undefined && endpoint.service !== '') this.#binaryEndpoint = endpoint;
  }

  /** `nowMs`: the start of a span that has none, which is then marked; undefined leaves it at 0. */
  write(groups: SpanGroups, parseStringTags: boolean, nowMs: number | undefined): void {
    const { tags } = this;
    const group = this.#group(groups);
    const out = groups.spans;
    const before = out.length;
    const mark = out.begin(SCOPE_SPANS_SPAN, SPAN_LENGTH_BYTES);
    const head = spanHead(out);
    putTraceId(out, head, new DataView(this.traceId.buffer), 0, 16);
    putSpanId(out, head, new DataView(this.spanId.buffer), 0);
    const marked = this.#writeTimes(out, head, nowMs);
    if (this.parentId.some((byte) => byte !== 0)) out.bytesField(SPAN_PARENT_ID, this.parentId);
    if (this.nameEnd > this.nameStart) out.bytesField(SPAN_NAME, this.texts.bytes, this.nameStart, this.nameEnd);
    if (this.#kind !== KIND_UNSPECIFIED) out.varintField(SPAN_KIND, this.#kind);
    writeStatus(out, tags);
    out.raw(this.#events.bytes, 0, this.#events.length);
    if (marked) boolAttribute(out, SPAN_ATTRIBUTE, ABSENT_START, true);
    const component = tags.take(LOCAL_COMPONENT);
    if (component >= 0) tags.writeOne(out, SPAN_ATTRIBUTE, component, COMPONENT);
    if (parseStringTags) parseTags(tags);
    tags.write(out, SPAN_ATTRIBUTE);
    out.end(mark, SPAN_LENGTH_BYTES);
    groups.add(group, before);
  }

  /** Between the first and the last annotation, unless the span says when it was. True: there was no start. */
  #writeTimes(out: ProtoWriter, head: number, nowMs: number | undefined): boolean {
    const start = new Time();
    const end = new Time();
    if (this.#annotations > 0) {
      start.set(this.#first.low, this.#first.high);
      end.set(this.#last.low, this.#last.high);
    }
    const { timestamp, duration } = this;
    if ((timestamp.low | timestamp.high) !== 0) {
      start.set(timestamp.low, timestamp.high);
      end.set(timestamp.low, timestamp.high);
      end.add(duration.low, duration.high);
    }
    const isAbsent = (start.low | start.high) === 0;
    start.times1000();
    end.times1000();
    if (isAbsent && nowMs !== undefined) {
      start.setSeconds(Math.floor(nowMs / 1000), (nowMs % 1000) * 1e6);
      end.set(start.low, start.high);
    }
    putStart(out, head, start.low, start.high);
    putEnd(out, head, end.low, end.high);
    return isAbsent && nowMs !== undefined;
  }

  #group(groups: SpanGroups): number {
    const { service, ipv4, ipv6, port } = this.#endpoint ?? this.#binaryEndpoint ?? NO_ENDPOINT;
    const component = service === '' ? this.tags.find(LOCAL_COMPONENT) : -1;
    const name = service || (component < 0 ? '' : this.tags.string(component)) || UNKNOWN_SERVICE;
    const key = `${name}\n${ipv4}\n${ipv6}\n${port}`;
    const known = groups.find(key, '');
    if (known >= 0) return known;
    const resource = new ProtoWriter(128);
    textAttribute(resource, RESOURCE_ATTRIBUTE, SERVICE_NAME, Buffer.from(name));
    if (ipv4 !== '') textAttribute(resource, RESOURCE_ATTRIBUTE, IPV4, Buffer.from(ipv4));
    if (ipv6 !== '') textAttribute(resource, RESOURCE_ATTRIBUTE, IPV6, Buffer.from(ipv6));
    if (port !== '') textAttribute(resource, RESOURCE_ATTRIBUTE, PORT, Buffer.from(port));
    groups.setResource(key, resource.finish());
    return groups.create(key, '', new Uint8Array(0));
  }
}

const KINDS: Readonly<Record<string, number>> = {
  cs: KIND_CLIENT,
  cr: KIND_CLIENT,
  sr: KIND_SERVER,
  ss: KIND_SERVER,
  ms: KIND_PRODUCER,
  mr: KIND_CONSUMER,
};

const NO_ENDPOINT: V1Endpoint = { service: '', ipv4: '', ipv6: '', port: '' };
const UNKNOWN_SERVICE = 'unknown-service';
const SERVICE_NAME = nameOf('service.name');
const IPV4 = nameOf('ipv4');
const IPV6 = nameOf('ipv6');
const PORT = nameOf('port');
const LOCAL_COMPONENT = knownKey('lc');
const COMPONENT = nameOf('component');
const ABSENT_START = nameOf('otel.zipkin.absentField.startTime');
const CENSUS_CODE = knownKey('census.status_code');
const CENSUS_MESSAGES = [knownKey('census.status_description'), knownKey('opencensus.status_description')];
const OTEL_CODE = knownKey('otel.status_code');
const OTEL_MESSAGE = knownKey('otel.status_description');
const ERROR = knownKey('error');
const HTTP_CODE = knownKey('http.status_code');
const HTTP_MESSAGE = knownKey('http.status_message');

/** OpenCensus, OpenTelemetry, a tag `error`, HTTP: the first that is there decides. All but HTTP's are taken out. */
function writeStatus(out: ProtoWriter, tags: TagTable): void {
  const census = codeOf(tags, tags.take(CENSUS_CODE));
  const censusMessage = CENSUS_MESSAGES.map((name) => tags.take(name)).find((tag) => tag >= 0) ?? -1;
  const otel = codeOf(tags, tags.take(OTEL_CODE));
  const otelMessage = tags.take(OTEL_MESSAGE);
  const error = tags.take(ERROR);
  const http = codeOf(tags, tags.find(HTTP_CODE));
  const httpMessage = tags.find(HTTP_MESSAGE);
  if (census !== undefined) putStatus(out, tags, census === 0 ? STATUS_OK : STATUS_ERROR, censusMessage);
  else if (otel !== undefined) putStatus(out, tags, otel, otelMessage);
  else if (error >= 0)
    putStatus(out, tags, STATUS_ERROR, [censusMessage, otelMessage, httpMessage].find((tag) => tag >= 0) ?? -1);
  else if (http !== undefined)
    putStatus(out, tags, http >= 100 && http < 400 ? STATUS_UNSET : STATUS_ERROR, httpMessage);
}

/** A whole number of 32 bits, or the text of one. */
function codeOf(tags: TagTable, tag: number): number | undefined {
  if (tag < 0) return undefined;
  if (tags.type(tag) === TAG_INT) return tags.low(tag) | 0;
  const text = tags.end(tag) - tags.start(tag) <= 11 ? tags.string(tag) : undefined;
  return text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) | 0 : undefined;
}

function putStatus(out: ProtoWriter, tags: TagTable, code: number, message: number): void {
  const hasText = message >= 0 && tags.type(message) === TAG_TEXT && tags.end(message) > tags.start(message);
  // A code comes from a client and may be anything; an enum is written as a number of 64 bits with its sign.
  if (code < 0) code = STATUS_ERROR;
  statusField(out, code, hasText ? (to) => tags.writeText(to, STATUS_MESSAGE, message) : undefined);
}

function isBefore(low: number, high: number, time: Time): boolean {
  return high < time.high || (high === time.high && low < time.low);
}
