/**
 * What Jaeger's tags mean in OTLP, the same for Thrift and protobuf but for a few that only the latter's translation
 * knows. Source: spec/ingestion.md §4.6.
 */
import type { ProtoWriter } from '../wire/protobuf.ts';
import {
  EVENT_ATTRIBUTE,
  EVENT_NAME,
  KIND_CLIENT,
  KIND_CONSUMER,
  KIND_INTERNAL,
  KIND_PRODUCER,
  KIND_SERVER,
  KIND_UNSPECIFIED,
  LINK_ATTRIBUTE,
  LINK_SPAN_ID,
  LINK_TRACE_ID,
  RESOURCE_ATTRIBUTE,
  SPAN_ATTRIBUTE,
  SPAN_KIND,
  SPAN_LINK,
  SPAN_PARENT_ID,
  STATUS_ERROR,
  STATUS_MESSAGE,
  STATUS_OK,
  STATUS_UNSET,
  spanIdField,
  statusField,
} from './otlp-span.ts';
import { textAttribute } from './attributes.ts';
import { knownKey, nameOf } from './key-table.ts';
import { TAG_BOOL, TAG_INT, TAG_TEXT, type TagTable } from './tag-table.ts';

const SPAN_KIND_TAG = knownKey('span.kind');
const ERROR = knownKey('error');
const OTEL_STATUS = knownKey('otel.status_code');
const OTEL_DESCRIPTION = knownKey('otel.status_description');
const HTTP_STATUS = knownKey('http.status_code');
const HTTP_MESSAGE = knownKey('http.status_message');
const SERVICE_NAME = knownKey('service.name');
const HOSTNAME = knownKey('hostname');
const HOST_NAME = knownKey('host.name');
const JAEGER_VERSION = knownKey('jaeger.version');
const EXPORTER_VERSION = knownKey('opencensus.exporterversion');
const EVENT = knownKey('event');
const REF_TYPE = nameOf('opentracing.ref_type');
const CHILD_OF_TEXT = Buffer.from('child_of');
const FOLLOWS_FROM_TEXT = Buffer.from('follows_from');

const KINDS = [
  { name: nameOf('server'), kind: KIND_SERVER },
  { name: nameOf('client'), kind: KIND_CLIENT },
  { name: nameOf('producer'), kind: KIND_PRODUCER },
  { name: nameOf('consumer'), kind: KIND_CONSUMER },
  { name: nameOf('internal'), kind: KIND_INTERNAL },
];

/** Writes a span's kind, status and attributes. */
export function writeSpanTags(out: ProtoWriter, tags: TagTable): void {
  const kind = takeKind(tags);
  if (kind !== KIND_UNSPECIFIED) out.varintField(SPAN_KIND, kind);
  writeStatus(out, tags, kind);
  tags.write(out, SPAN_ATTRIBUTE);
}

function takeKind(tags: TagTable): number {
  const tag = tags.take(SPAN_KIND_TAG);
  if (tag >= 0) for (const { name, kind } of KINDS) if (tags.equals(tag, name)) return kind;
  return KIND_UNSPECIFIED;
}

/** An error that is true, then OpenTelemetry's own tags, then the status of HTTP: the first that is there decides. */
function writeStatus(out: ProtoWriter, tags: TagTable, kind: number): void {
  const otel = tags.take(OTEL_STATUS);
  const error = tags.find(ERROR);
  if (error >= 0 && tags.type(error) === TAG_BOOL && tags.low(error) === 1) {
    tags.remove(error);
    const description = tags.take(OTEL_DESCRIPTION);
    putStatus(out, tags, STATUS_ERROR, description >= 0 ? description : tags.find(HTTP_MESSAGE));
    return;
  }
  if (otel >= 0) {
    const text = tags.string(otel)?.toUpperCase();
    const code = text === 'OK' ? STATUS_OK : text === 'ERROR' ? STATUS_ERROR : STATUS_UNSET;
    putStatus(out, tags, code, tags.take(OTEL_DESCRIPTION));
    return;
  }
  const http = tags.find(HTTP_STATUS);
  if (http < 0 || !isHttpError(tags, http, kind)) return;
  putStatus(out, tags, STATUS_ERROR, tags.find(HTTP_MESSAGE));
}

function putStatus(out: ProtoWriter, tags: TagTable, code: number, message: number): void {
  const hasText = message >= 0 && tags.type(message) === TAG_TEXT && tags.end(message) > tags.start(message);
  statusField(out, code, hasText ? (to) => tags.writeText(to, STATUS_MESSAGE, message) : undefined);
}

/** The blame for a status between 400 and 499 is the client's. 399 counts as an error, as in the original. */
function isHttpError(tags: TagTable, tag: number, kind: number): boolean {
  let code: number;
  if (tags.type(tag) === TAG_INT) code = (tags.high(tag) | 0) * 2 ** 32 + tags.low(tag);
  else {
    const text = tags.end(tag) - tags.start(tag) <= 20 ? tags.string(tag) : undefined;
    if (text === undefined || !/^[+-]?\d+$/.test(text)) return false;
    code = Number(text);
  }
  if (code >= 100 && code < 399) return false;
  return !(code >= 400 && code < 500 && kind === KIND_SERVER);
}

/** Writes the attributes of a resource. `service` is a text in `tags.bytes`. */
export function writeResource(out: ProtoWriter, tags: TagTable, serviceStart: number, serviceEnd: number): void {
  if (serviceEnd > serviceStart) {
    const own = tags.take(SERVICE_NAME);
    if (own >= 0) tags.writeOne(out, RESOURCE_ATTRIBUTE, own);
    else textAttribute(out, RESOURCE_ATTRIBUTE, SERVICE_NAME, tags.bytes, serviceStart, serviceEnd);
  }
  const hostname = tags.find(HOST_NAME) < 0 ? tags.take(HOSTNAME) : -1;
  const version = tags.find(EXPORTER_VERSION) < 0 ? tags.take(JAEGER_VERSION) : -1;
  tags.write(out, RESOURCE_ATTRIBUTE);
  if (hostname >= 0) tags.writeOne(out, RESOURCE_ATTRIBUTE, hostname, HOST_NAME);
  if (version >= 0)
    textAttribute(out, RESOURCE_ATTRIBUTE, EXPORTER_VERSION, Buffer.from(`Jaeger-${tags.string(version) ?? ''}`));
}

/** Writes an event's name, which is its field `event`, and its other fields as attributes. */
export function writeEventFields(out: ProtoWriter, tags: TagTable): void {
  const name = tags.take(EVENT);
  if (name >= 0) tags.writeText(out, EVENT_NAME, name);
  tags.write(out, EVENT_ATTRIBUTE);
}

/** The references of one span: what it is a child of, or follows from. Ids as words, most significant first. */
export class References {
  count = 0;
  #words = new Uint32Array(8 * 6);
  #followsFrom = new Uint8Array(8);

  reset(): void {
    this.count = 0;
  }

  add(traceId: Uint32Array, spanIdHigh: number, spanIdLow: number, followsFrom: boolean): void {
    if (this.count === this.#followsFrom.length) this.#grow();
    const at = this.count * 6;
    for (let i = 0; i < 4; i++) this.#words[at + i] = traceId[i];
    this.#words[at + 4] = spanIdHigh;
    this.#words[at + 5] = spanIdLow;
    this.#followsFrom[this.count++] = followsFrom ? 1 : 0;
  }

  /**
   * Writes the parent and the links of a span. The parent is the one given, if it is not zero, or else the first that
   * the span is a child of, or else follows from, in its own trace. What is a child of the parent is no link.
   */
  write(out: ProtoWriter, traceId: Uint32Array, parentHigh: number, parentLow: number): void {
    if ((parentHigh | parentLow) === 0 && this.count > 0) {
      let parent = this.#find(traceId, 0);
      if (parent < 0) parent = this.#find(traceId, 1);
      if (parent >= 0) {
        parentHigh = this.#words[parent * 6 + 4];
        parentLow = this.#words[parent * 6 + 5];
      }
    }
    if ((parentHigh | parentLow) !== 0) spanIdField(out, SPAN_PARENT_ID, parentHigh, parentLow);
    for (let i = 0; i < this.count; i++) {
      const at = i * 6;
      const ofParent = this.#words[at + 4] === parentHigh >>> 0 && this.#words[at + 5] === parentLow >>> 0;
      if (this.#followsFrom[i] === 0 && ofParent) continue;
      const mark = out.begin(SPAN_LINK);
      out.varint(LINK_TRACE_ID);
      out.varint(16);
      out.reserve(16);
      for (let word = 0; word < 4; word++) out.view.setInt32(out.length + 4 * word, this.#words[at + word]);
      out.length += 16;
      spanIdField(out, LINK_SPAN_ID, this.#words[at + 4], this.#words[at + 5]);
      textAttribute(out, LINK_ATTRIBUTE, REF_TYPE, this.#followsFrom[i] === 1 ? FOLLOWS_FROM_TEXT : CHILD_OF_TEXT);
      out.end(mark);
    }
  }

  #find(traceId: Uint32Array, followsFrom: 0 | 1): number {
    for (let i = 0; i < this.count; i++) {
      if (this.#followsFrom[i] !== followsFrom) continue;
      const at = i * 6;
      const words = this.#words;
      if (words[at] === traceId[0] && words[at + 1] === traceId[1])
        if (words[at + 2] === traceId[2] && words[at + 3] === traceId[3]) return i;
    }
    return -1;
  }

  #grow(): void {
    const words = new Uint32Array(this.#words.length * 2);
    words.set(this.#words);
    this.#words = words;
    const types = new Uint8Array(this.#followsFrom.length * 2);
    types.set(this.#followsFrom);
    this.#followsFrom = types;
  }
}
