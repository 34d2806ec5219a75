/**
 * OpenCensus' agent protocol as OTLP, message by message of a stream, which says who sends only once.
 * Source: spec/ingestion.md §6; https://github.com/census-instrumentation/opencensus-proto (trace/v1, agent/common/v1)
 */
import { isUtf8 } from 'node:buffer';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoReader, ProtoWriter } from '../wire/protobuf.ts';
import {
  EVENT_ATTRIBUTE,
  EVENT_DROPPED_ATTRIBUTES,
  EVENT_NAME,
  EVENT_TIME,
  fixed64Field,
  KIND_CLIENT,
  KIND_CONSUMER,
  KIND_INTERNAL,
  KIND_PRODUCER,
  KIND_SERVER,
  KIND_UNSPECIFIED,
  LINK_ATTRIBUTE,
  LINK_DROPPED_ATTRIBUTES,
  LINK_SPAN_ID,
  LINK_TRACE_ID,
  LINK_TRACE_STATE,
  putEnd,
  putSpanId,
  putStart,
  putTraceId,
  RESOURCE_ATTRIBUTE,
  SCOPE_SPANS_SPAN,
  SPAN_ATTRIBUTE,
  SPAN_DROPPED_ATTRIBUTES,
  SPAN_DROPPED_EVENTS,
  SPAN_DROPPED_LINKS,
  SPAN_EVENT,
  SPAN_KIND,
  SPAN_LENGTH_BYTES,
  SPAN_LINK,
  SPAN_NAME,
  SPAN_PARENT_ID,
  SPAN_TRACE_STATE,
  STATUS_ERROR,
  STATUS_MESSAGE,
  STATUS_UNSET,
  spanHead,
  statusField,
  Time,
} from './otlp-span.ts';
import { SpanGroups } from './span-groups.ts';
import { boolAttribute, intAttribute, textAttribute } from './attributes.ts';
import { knownKey, type Name, nameOf } from './key-table.ts';
import { TAG_INT, TagTable } from './tag-table.ts';

/** Bound of a node or resource, which a stream repeats for every message. */
const SENDER_BYTES_MAX = 64 << 10;
/** Bound of a converted message, in which each span may have a resource of its own beside the node. */
const REQUEST_BYTES_MAX = 64 << 20;
/** The group of spans that have no resource of their own. */
const OF_STREAM = '';

/** For the tags of one span and of one event of it. */
export class OpencensusTables {
  readonly tags = new TagTable();
  readonly eventTags = new TagTable();
}

/** What one stream remembers. */
export class OpencensusStream {
  #node: Uint8Array | undefined;
  #resource: Uint8Array = new Uint8Array(0);
  readonly #tags: TagTable;
  readonly #eventTags: TagTable;

  /** Streams may share `tables`, of which there must not be many. */
  constructor({ tags, eventTags } = new OpencensusTables()) {
    this.#tags = tags;
    this.#eventTags = eventTags;
  }

  /** Whether a node was seen, which the first message must bring. */
  get hasNode(): boolean {
    return this.#node !== undefined;
  }

  /**
   * An ExportTraceServiceRequest of OpenCensus as one of OTLP. Throws VivaceError 'undecodable', and 'too-large' when
   * names of the sender are, or would make the request so.
   */
  convert(message: Uint8Array): Uint8Array<ArrayBuffer> {
    const reader = new ProtoReader(message);
    const groups = new SpanGroups(REQUEST_BYTES_MAX);
    groups.begin(message.length * 2);
    // The sender may stand behind the spans.
    const spans = new ProtoReader(message);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) this.#node = remembered(reader);
      else if (tag === 0x1a) this.#resource = remembered(reader);
      else reader.skip(tag);
    }
    const node = nodeAttributes(this.#node ?? new Uint8Array(0));
    groups.setResource(OF_STREAM, resourceContent(node, this.#resource));
    for (let tag = spans.tag(); tag !== 0; tag = spans.tag()) {
      if (tag === 0x12) {
        const outer = spans.enter();
        this.#span(spans, groups, node);
        spans.leave(outer);
      } else if (tag >>> 3 <= 3 && (tag & 7) !== 2) throw undecodable(`field ${tag >>> 3} of wire type ${tag & 7}`);
      else spans.skip(tag);
    }
    return groups.finish();
  }

  #span(reader: ProtoReader, groups: SpanGroups, node: Uint8Array): void {
    const out = groups.spans;
    const before = out.length;
    const mark = out.begin(SCOPE_SPANS_SPAN, SPAN_LENGTH_BYTES);
    const head = spanHead(out);
    const tags = this.#tags;
    tags.reset(reader);
    let kind = KIND_UNSPECIFIED;
    let status = -1;
    let messageStart = 0;
    let messageEnd = 0;
    let sameProcess: boolean | undefined;
    let group = OF_STREAM;
    const time = new Time();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 0x0a:
          copyId(reader, 16, (id) => putTraceId(out, head, new DataView(id.buffer), 0, 16));
          break;
        case 0x12:
          copyId(reader, 8, (id) => putSpanId(out, head, new DataView(id.buffer), 0));
          break;
        case 0x1a:
          copyId(reader, 8, (id) => out.bytesField(SPAN_PARENT_ID, id));
          break;
        case 0x22:
          truncatable(reader, (start, end) => out.bytesField(SPAN_NAME, reader.bytes, start, end));
          break;
        case 0x2a:
          readTime(reader, time);
          putStart(out, head, time.low, time.high);
          break;
        case 0x32:
          readTime(reader, time);
          putEnd(out, head, time.low, time.high);
          break;
        case 0x3a: {
          const dropped = readAttributes(reader, tags);
          if (dropped > 0) out.varintField(SPAN_DROPPED_ATTRIBUTES, dropped);
          break;
        }
        case 0x4a:
          this.#timeEvents(reader, out);
          break;
        case 0x52:
          this.#links(reader, out);
          break;
        case 0x5a: {
          const outer = reader.enter();
          status = 0;
          for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
            if (inner === 0x08) {
              reader.varint64();
              status = (reader.low | reader.high) === 0 ? 0 : 1;
            } else if (inner === 0x12) {
              messageEnd = textEnd(reader);
              messageStart = reader.pos;
              reader.pos = messageEnd;
            } else reader.skip(inner);
          }
          reader.leave(outer);
          break;
        }
        case 0x62:
          sameProcess = readWrapper(reader) !== 0;
          break;
        case 0x70:
          kind = OC_KINDS[reader.varint()] ?? KIND_UNSPECIFIED;
          break;
        case 0x7a: {
          const state = traceState(reader);
          if (state !== '') out.stringField(SPAN_TRACE_STATE, state);
          break;
        }
        case 0x82:
          group = ownResource(reader, groups, node);
          break;
        default:
          if (tag >>> 3 <= 16 && (tag & 7) !== 2) throw undecodable(`field ${tag >>> 3} of wire type ${tag & 7}`);
          reader.skip(tag);
      }
    }
    if (kind === KIND_UNSPECIFIED) kind = takeKind(tags);
    if (kind !== KIND_UNSPECIFIED) out.varintField(SPAN_KIND, kind);
    writeStatus(out, tags, status, reader.bytes, messageStart, messageEnd);
    tags.write(out, SPAN_ATTRIBUTE);
    if (sameProcess !== undefined) boolAttribute(out, SPAN_ATTRIBUTE, SAME_PROCESS, sameProcess);
    out.end(mark, SPAN_LENGTH_BYTES);
    const known = groups.find(group, '');
    groups.add(known >= 0 ? known : groups.create(group, '', new Uint8Array(0)), before);
  }

  #timeEvents(reader: ProtoReader, out: ProtoWriter): void {
    const outer = reader.enter();
    let dropped = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) this.#timeEvent(reader, out);
      else if (tag === 0x10 || tag === 0x18) dropped += reader.varint();
      else reader.skip(tag);
    }
    reader.leave(outer);
    if (dropped > 0) out.varintField(SPAN_DROPPED_EVENTS, Math.min(dropped, 0xffffffff));
  }

  #timeEvent(reader: ProtoReader, out: ProtoWriter): void {
    const outer = reader.enter();
    const event = out.begin(SPAN_EVENT);
    const time = new Time();
    let named = false;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) {
        readTime(reader, time);
        fixed64Field(out, EVENT_TIME, time.low, time.high);
      } else if (tag === 0x12) {
        this.#annotation(reader, out);
        named = true;
      } else if (tag === 0x1a) {
        messageEvent(reader, out);
        named = true;
      } else reader.skip(tag);
    }
    if (!named) out.stringField(EVENT_NAME, 'OpenCensus time event without a value');
    out.end(event);
    reader.leave(outer);
  }

  #annotation(reader: ProtoReader, out: ProtoWriter): void {
    const outer = reader.enter();
    const tags = this.#eventTags;
    tags.reset(reader);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) truncatable(reader, (start, end) => out.bytesField(EVENT_NAME, reader.bytes, start, end));
      else if (tag === 0x12) {
        const dropped = readAttributes(reader, tags);
        if (dropped > 0) out.varintField(EVENT_DROPPED_ATTRIBUTES, dropped);
      } else reader.skip(tag);
    }
    tags.write(out, EVENT_ATTRIBUTE);
    reader.leave(outer);
  }

  #links(reader: ProtoReader, out: ProtoWriter): void {
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) this.#link(reader, out);
      else if (tag === 0x10) out.varintField(SPAN_DROPPED_LINKS, Math.min(reader.varint(), 0xffffffff));
      else reader.skip(tag);
    }
    reader.leave(outer);
  }

  #link(reader: ProtoReader, out: ProtoWriter): void {
    const outer = reader.enter();
    const link = out.begin(SPAN_LINK);
    const tags = this.#eventTags;
    tags.reset(reader);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) copyId(reader, 16, (id) => out.bytesField(LINK_TRACE_ID, id));
      else if (tag === 0x12) copyId(reader, 8, (id) => out.bytesField(LINK_SPAN_ID, id));
      else if (tag === 0x22) {
        const dropped = readAttributes(reader, tags);
        if (dropped > 0) out.varintField(LINK_DROPPED_ATTRIBUTES, dropped);
      } else if (tag === 0x2a) {
        const state = traceState(reader);
        if (state !== '') out.stringField(LINK_TRACE_STATE, state);
      } else reader.skip(tag);
    }
    tags.write(out, LINK_ATTRIBUTE);
    out.end(link);
    reader.leave(outer);
  }
}

const OC_KINDS = [KIND_UNSPECIFIED, KIND_SERVER, KIND_CLIENT];
const SAME_PROCESS = knownKey('opencensus.same_process_as_parent_span');
const STATUS_CODE_TAG = knownKey('otel.status_code');
const KIND_TAG = knownKey('span.kind');
const KINDS: [Name, number][] = [
  [nameOf('producer'), KIND_PRODUCER],
  [nameOf('consumer'), KIND_CONSUMER],
  [nameOf('internal'), KIND_INTERNAL],
];

function takeKind(tags: TagTable): number {
  const tag = tags.find(KIND_TAG);
  if (tag < 0) return KIND_UNSPECIFIED;
  for (const [name, kind] of KINDS) {
    if (!tags.equals(tag, name)) continue;
    tags.remove(tag);
    return kind;
  }
  return KIND_UNSPECIFIED;
}

/** `status`: 0 for a code of 0, 1 for every other, -1 when there is no status. */
function writeStatus(
  out: ProtoWriter,
  tags: TagTable,
  status: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  let code = status === -1 || status === 0 ? STATUS_UNSET : STATUS_ERROR;
  const own = tags.find(STATUS_CODE_TAG);
  if (own >= 0 && tags.type(own) === TAG_INT) {
    tags.remove(own);
    code = tags.high(own) === 0 ? tags.low(own) : STATUS_ERROR;
  }
  statusField(out, code, end > start ? (to) => to.bytesField(STATUS_MESSAGE, bytes, start, end) : undefined);
}

const MESSAGE_TYPES = ['TYPE_UNSPECIFIED', 'SENT', 'RECEIVED'];
const MESSAGE_TYPE = nameOf('message.type');
const MESSAGE_ID = nameOf('messaging.message_id');
const MESSAGE_BYTES = nameOf('messaging.message_payload_size_bytes');
const MESSAGE_BYTES_COMPRESSED = nameOf('messaging.message_payload_compressed_size_bytes');

function messageEvent(reader: ProtoReader, out: ProtoWriter): void {
  const outer = reader.enter();
  const values = [0, 0, 0, 0];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if ((tag & 7) === 0 && tag >>> 3 <= 4) values[(tag >>> 3) - 1] = reader.varint();
    else reader.skip(tag);
  }
  reader.leave(outer);
  out.stringField(EVENT_NAME, 'message');
  textAttribute(out, EVENT_ATTRIBUTE, MESSAGE_TYPE, Buffer.from(MESSAGE_TYPES[values[0]] ?? MESSAGE_TYPES[0]));
  for (const [i, name] of [MESSAGE_ID, MESSAGE_BYTES, MESSAGE_BYTES_COMPRESSED].entries())
    intAttribute(out, EVENT_ATTRIBUTE, name, values[i + 1]);
}

/** A copy of the message that is next. */
function remembered(reader: ProtoReader): Uint8Array {
  const bytes = reader.bytesValue();
  if (bytes.length > SENDER_BYTES_MAX)
    throw new VivaceError('too-large', `cannot take a node or resource of more than ${SENDER_BYTES_MAX} bytes`);
  return bytes.slice();
}

/** The key of the resource that a span has for itself: its bytes. */
function ownResource(reader: ProtoReader, groups: SpanGroups, node: Uint8Array): string {
  const bytes = reader.bytesValue();
  const key = `r${Buffer.from(bytes).toString('latin1')}`;
  if (!groups.hasResource(key)) groups.setResource(key, resourceContent(node, bytes));
  return key;
}

const SERVICE_NAME = nameOf('service.name');
const HOST_NAME = nameOf('host.name');
const PID = nameOf('process.pid');
const START_TIME = nameOf('opencensus.starttime');
const SDK_VERSION = nameOf('telemetry.sdk.version');
const EXPORTER_VERSION = nameOf('opencensus.exporterversion');
const LANGUAGE = nameOf('telemetry.sdk.language');
const RESOURCE_TYPE = nameOf('opencensus.resourcetype');
const ZONE_LABEL = 'cloud.zone';
const ZONE = nameOf('cloud.availability_zone');
const LANGUAGES = ['', 'cpp', 'dotnet', 'erlang', 'go', 'java', 'nodejs', 'php', 'python', 'ruby', 'webjs'];

/** A Node as attributes of a resource. */
function nodeAttributes(node: Uint8Array): Uint8Array {
  const out = new ProtoWriter(node.length + 128);
  const reader = new ProtoReader(node);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if ((tag & 7) !== 2 || tag >>> 3 > 4) {
      reader.skip(tag);
      continue;
    }
    const outer = reader.enter();
    if (tag === 0x22) writeEntry(reader, out);
    else
      for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
        if (tag === 0x0a && inner === 0x0a) writeText(reader, out, HOST_NAME);
        else if (tag === 0x0a && inner === 0x10) intAttribute(out, RESOURCE_ATTRIBUTE, PID, reader.varint());
        else if (tag === 0x0a && inner === 0x1a) {
          const text = Buffer.from(readTimeText(reader));
          textAttribute(out, RESOURCE_ATTRIBUTE, START_TIME, text);
        } else if (tag === 0x12 && inner === 0x08) {
          const language = LANGUAGES[reader.varint()] ?? '';
          if (language !== '') textAttribute(out, RESOURCE_ATTRIBUTE, LANGUAGE, Buffer.from(language));
        } else if (tag === 0x12 && inner === 0x12) writeText(reader, out, EXPORTER_VERSION);
        else if (tag === 0x12 && inner === 0x1a) writeText(reader, out, SDK_VERSION);
        else if (tag === 0x1a && inner === 0x0a) writeText(reader, out, SERVICE_NAME);
        else reader.skip(inner);
      }
    reader.leave(outer);
  }
  return out.finish();
}

/** The content of a resource of OTLP: the node's attributes, then type and labels. */
function resourceContent(node: Uint8Array, resource: Uint8Array): Uint8Array {
  const out = new ProtoWriter(node.length + resource.length + 64);
  out.raw(node);
  const reader = new ProtoReader(resource);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) writeText(reader, out, RESOURCE_TYPE);
    else if (tag === 0x12) {
      const outer = reader.enter();
      writeEntry(reader, out);
      reader.leave(outer);
    } else reader.skip(tag);
  }
  return out.finish();
}

/** A text, unless it is empty, as an attribute of a resource. */
function writeText(reader: ProtoReader, out: ProtoWriter, name: Name): void {
  const end = textEnd(reader);
  if (end > reader.pos) textAttribute(out, RESOURCE_ATTRIBUTE, name, reader.bytes, reader.pos, end);
  reader.pos = end;
}

/** One entry of a map of texts, which fills what is left of the reader's message. */
function writeEntry(reader: ProtoReader, out: ProtoWriter): void {
  let key = '';
  let start = 0;
  let end = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      const keyEnd = textEnd(reader);
      key = Buffer.from(reader.bytes.subarray(reader.pos, keyEnd)).toString('utf8');
      reader.pos = keyEnd;
    } else if (tag === 0x12) {
      end = textEnd(reader);
      start = reader.pos;
      reader.pos = end;
    } else reader.skip(tag);
  }
  textAttribute(out, RESOURCE_ATTRIBUTE, key === ZONE_LABEL ? ZONE : nameOf(key), reader.bytes, start, end);
}

/** Attributes into the table; returns how many more there were. */
function readAttributes(reader: ProtoReader, tags: TagTable): number {
  const outer = reader.enter();
  let dropped = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      const inside = reader.enter();
      readAttribute(reader, tags);
      reader.leave(inside);
    } else if (tag === 0x10) dropped = Math.min(reader.varint(), 0xffffffff);
    else reader.skip(tag);
  }
  reader.leave(outer);
  return dropped;
}

function readAttribute(reader: ProtoReader, tags: TagTable): void {
  let keyStart = 0;
  let keyEnd = 0;
  let valueAt = -1;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      keyEnd = textEnd(reader);
      keyStart = reader.pos;
      reader.pos = keyEnd;
    } else if (tag === 0x12) {
      valueAt = reader.pos;
      reader.skip(tag);
    } else reader.skip(tag);
  }
  const key = tags.key(keyStart, keyEnd);
  tags.literal(key, '<Unknown OpenCensus attribute value type "<nil>">');
  if (valueAt < 0) return;
  const after = reader.pos;
  reader.pos = valueAt;
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      tags.text(key, 0, 0);
      truncatable(reader, (start, end) => tags.text(key, start, end));
    } else if (tag === 0x10) {
      reader.varint64();
      tags.int(key, reader.low, reader.high);
    } else if (tag === 0x18) tags.bool(key, reader.varint() !== 0);
    else if (tag === 0x21) {
      reader.fixed64();
      tags.double(key, reader.low, reader.high);
    } else reader.skip(tag);
  }
  reader.leave(outer);
  reader.pos = after;
}

/** TruncatableString: gives the range of its text. */
function truncatable(reader: ProtoReader, use: (start: number, end: number) => void): void {
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== 0x0a) {
      reader.skip(tag);
      continue;
    }
    const end = textEnd(reader);
    use(reader.pos, end);
    reader.pos = end;
  }
  reader.leave(outer);
}

/** `k=v,k=v` */
function traceState(reader: ProtoReader): string {
  const outer = reader.enter();
  const entries: string[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== 0x0a) {
      reader.skip(tag);
      continue;
    }
    const inside = reader.enter();
    const pair = ['', ''];
    for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
      if (inner === 0x0a || inner === 0x12) pair[(inner >>> 3) - 1] = reader.stringValue();
      else reader.skip(inner);
    }
    reader.leave(inside);
    entries.push(pair.join('='));
  }
  reader.leave(outer);
  return entries.join(',');
}

/** The value of a BoolValue or UInt32Value. */
function readWrapper(reader: ProtoReader): number {
  const outer = reader.enter();
  let value = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) value = reader.varint();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return value;
}

/** Copies an id to the left of its place: what is too short ends in zeros, what is too long is cut. */
function copyId(reader: ProtoReader, size: number, use: (id: Uint8Array<ArrayBuffer>) => void): void {
  const value = reader.bytesValue();
  if (value.length === 0) return;
  const id = new Uint8Array(size);
  id.set(value.subarray(0, size));
  use(id);
}

const SECONDS_MAX = 2 ** 38;

function readSeconds(reader: ProtoReader): { seconds: number; nanos: number } {
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
    } else reader.skip(tag);
  }
  reader.leave(outer);
  // Beyond what nanoseconds of 64 bits hold; arithmetic stays exact.
  return { seconds: Math.max(-SECONDS_MAX, Math.min(SECONDS_MAX, seconds)), nanos };
}

function readTime(reader: ProtoReader, time: Time): void {
  const { seconds, nanos } = readSeconds(reader);
  time.setSeconds(seconds, nanos);
}

/** RFC 3339 with as many digits as needed. */
function readTimeText(reader: ProtoReader): string {
  const { seconds, nanos } = readSeconds(reader);
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) throw undecodable('timestamp');
  const fraction = nanos > 0 ? `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}` : '';
  return `${date.toISOString().slice(0, -5)}${fraction}Z`;
}

/** Where the text ends that is next; it must be UTF-8. */
function textEnd(reader: ProtoReader): number {
  const end = reader.lengthEnd();
  if (!isUtf8(reader.bytes.subarray(reader.pos, end))) throw undecodable('text that is not UTF-8');
  return end;
}

function undecodable(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decode OpenCensus message: ${what}`);
}
