/**
 * A Zipkin span of the second version while it is being read, and what it means in OTLP. One object serves all spans of a
 * request; its texts are ranges of the bytes that came in, or, out of JSON, of a buffer of what was unescaped.
 * Source: spec/ingestion.md §5.2–5.4; https://zipkin.io/zipkin-api/#/default/post_spans
 */
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { KnownTexts } from './known-texts.ts';
import {
  EVENT_ATTRIBUTE,
  EVENT_DROPPED_ATTRIBUTES,
  EVENT_NAME,
  EVENT_TIME,
  fixed64Field,
  KIND_INTERNAL,
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
  SCOPE_NAME,
  SCOPE_SPANS_SPAN,
  SCOPE_VERSION,
  SPAN_ATTRIBUTE,
  SPAN_EVENT,
  SPAN_KIND,
  SPAN_LENGTH_BYTES,
  SPAN_LINK,
  SPAN_NAME,
  SPAN_PARENT_ID,
  SPAN_TRACE_STATE,
  spanIdField,
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
import { boolAttribute, doubleAttribute, intAttribute, textAttribute } from './attributes.ts';
import { knownKey, type Name, nameOf } from './key-table.ts';
import { KeySet, TAG_TEXT, TagTable } from './tag-table.ts';

/** Where a span was, or whom it spoke to. */
export class ZipkinEndpoint {
  serviceStart = 0;
  serviceEnd = 0;
  ipv4 = '';
  ipv6 = '';
  port = 0;

  reset(): void {
    this.serviceStart = this.serviceEnd = this.port = 0;
    this.ipv4 = this.ipv6 = '';
  }
}

export class ZipkinSpan {
  /** The bytes that all ranges are of. */
  readonly texts: { readonly bytes: Uint8Array };
  readonly traceId = new Uint8Array(16);
  readonly spanId = new Uint8Array(8);
  readonly parentId = new Uint8Array(8);
  readonly traceIdView = new DataView(this.traceId.buffer);
  readonly spanIdView = new DataView(this.spanId.buffer);
  readonly parentIdView = new DataView(this.parentId.buffer);
  nameStart = 0;
  nameEnd = 0;
  /** As OTLP has it. */
  kind = KIND_UNSPECIFIED;
  /** Microseconds. */
  readonly start = new Time();
  readonly duration = new Time();
  /** A start of zero means that there is none, and is noted. */
  marksAbsentStart = false;
  readonly local = new ZipkinEndpoint();
  /** It is that of the span before, which was not reset. */
  localIsSame = false;
  readonly remote = new ZipkinEndpoint();
  readonly tags = new TagTable();
  annotations = 0;
  /** Low and high word of the time, start and end of the value, of each annotation. */
  #annotation = new Uint32Array(32);
  readonly #known = new KnownTexts();
  readonly #time = new Time();
  /** Text of one address. */
  readonly #address = new Uint8Array(64);
  /** Of the local endpoint: the service, and where what was written of its address stands. */
  #service = '';
  #addressStart = 0;
  #addressEnd = 0;

  constructor(texts: { readonly bytes: Uint8Array }) {
    this.texts = texts;
  }

  /** `keepsLocal`: the local endpoint is for the caller to reset, or to say that it is the same. */
  reset(keepsLocal = false): void {
    for (let i = 0; i < 16; i += 4) this.traceIdView.setInt32(i, 0);
    for (let i = 0; i < 8; i += 4) this.spanIdView.setInt32(i, 0);
    for (let i = 0; i < 8; i += 4) this.parentIdView.setInt32(i, 0);
    this.nameStart = this.nameEnd = 0;
    this.kind = KIND_UNSPECIFIED;
    this.start.set(0, 0);
    this.duration.set(0, 0);
    if (!keepsLocal) this.local.reset();
    this.localIsSame = false;
    this.remote.reset();
    this.tags.reset(this.texts);
    this.annotations = 0;
  }

  annotate(low: number, high: number, start: number, end: number): void {
    const at = this.annotations++ * 4;
    if (at === this.#annotation.length) {
      const grown = new Uint32Array(at * 2);
      grown.set(this.#annotation);
      this.#annotation = grown;
    }
    const annotation = this.#annotation;
    annotation[at] = low;
    annotation[at + 1] = high;
    annotation[at + 2] = start;
    annotation[at + 3] = end;
  }

  /** Writes the span into its group. Throws VivaceError 'undecodable' for broken links and annotations. */
  write(groups: SpanGroups, parseStringTags: boolean): void {
    const { tags } = this;
    const group = this.#group(groups);
    const out = groups.spans;
    const before = out.length;
    const mark = out.begin(SCOPE_SPANS_SPAN, SPAN_LENGTH_BYTES);
    const head = spanHead(out);
    putTraceId(out, head, this.traceIdView, 0, 16);
    putSpanId(out, head, this.spanIdView, 0);
    const hasStart = (this.start.low | this.start.high) !== 0;
    this.start.times1000();
    this.duration.times1000();
    putStart(out, head, this.start.low, this.start.high);
    this.start.add(this.duration.low, this.duration.high);
    putEnd(out, head, this.start.low, this.start.high);
    if (this.#hasParent())
      spanIdField(out, SPAN_PARENT_ID, this.parentIdView.getInt32(0), this.parentIdView.getInt32(4));
    if (this.nameEnd > this.nameStart) out.bytesField(SPAN_NAME, this.texts.bytes, this.nameStart, this.nameEnd);
    const kind = this.kind === KIND_UNSPECIFIED ? takeKind(tags) : this.kind;
    if (kind !== KIND_UNSPECIFIED) out.varintField(SPAN_KIND, kind);
    const state = tags.take(TRACE_STATE);
    if (state >= 0) tags.writeText(out, SPAN_TRACE_STATE, state);
    writeStatus(out, tags);
    writeLinks(out, tags);
    this.#writeAnnotations(out);
    if (!hasStart && this.marksAbsentStart) boolAttribute(out, SPAN_ATTRIBUTE, ABSENT_START, true);
    this.#writeLocalAddress(out);
    const { remote } = this;
    if (remote.serviceEnd > remote.serviceStart)
      textAttribute(out, SPAN_ATTRIBUTE, PEER_SERVICE, this.texts.bytes, remote.serviceStart, remote.serviceEnd);
    this.#writeAddress(out, remote, PEER_IP, PEER_PORT);
    if (parseStringTags) parseTags(tags);
    tags.write(out, SPAN_ATTRIBUTE);
    out.end(mark, SPAN_LENGTH_BYTES);
    groups.add(group, before);
  }

  hasSpanId(): boolean {
    return (this.spanIdView.getInt32(0) | this.spanIdView.getInt32(4)) !== 0;
  }

  #hasParent(): boolean {
    const high = this.parentIdView.getInt32(0);
    const low = this.parentIdView.getInt32(4);
    if ((high | low) === 0) return false;
    return high !== this.spanIdView.getInt32(0) || low !== this.spanIdView.getInt32(4);
  }

  /** The group of the span's service and library; what its tags say of either is taken out. */
  #group(groups: SpanGroups): number {
    const { tags, local } = this;
    const bytes = this.texts.bytes;
    if (!this.localIsSame) this.#service = this.#known.latin1(bytes, local.serviceStart, local.serviceEnd);
    const service = this.#service;
    const resourceKey = service === NO_SERVICE ? '' : service;
    const library = tags.take(LIBRARY_NAME);
    const version = tags.take(LIBRARY_VERSION);
    const scopeKey = library < 0 ? '' : this.#known.latin1(bytes, tags.start(library), tags.end(library));
    if (resourceKey === '' || groups.hasResource(resourceKey)) removeResourceTags(tags);
    else groups.setResource(resourceKey, resourceOf(tags, bytes, local.serviceStart, local.serviceEnd));
    const known = groups.find(resourceKey, scopeKey);
    if (known >= 0) return known;
    const scope = new ProtoWriter(64);
    if (library >= 0) tags.writeText(scope, SCOPE_NAME, library);
    if (library >= 0 && version >= 0) tags.writeText(scope, SCOPE_VERSION, version);
    return groups.create(resourceKey, scopeKey, scope.finish());
  }

  /** That of the span before is copied. */
  #writeLocalAddress(out: ProtoWriter): void {
    const start = this.#addressStart;
    this.#addressStart = out.length;
    if (this.localIsSame) out.again(start, this.#addressEnd);
    else this.#writeAddress(out, this.local, HOST_IP, HOST_PORT);
    this.#addressEnd = out.length;
  }

  #writeAddress(out: ProtoWriter, endpoint: ZipkinEndpoint, ip: Name, port: Name): void {
    const address = endpoint.ipv6 || endpoint.ipv4;
    for (let i = 0; i < address.length; i++) this.#address[i] = address.charCodeAt(i);
    if (address !== '') textAttribute(out, SPAN_ATTRIBUTE, ip, this.#address, 0, address.length);
    if (endpoint.port > 0) intAttribute(out, SPAN_ATTRIBUTE, port, endpoint.port);
  }

  #writeAnnotations(out: ProtoWriter): void {
    const bytes = this.texts.bytes;
    const time = this.#time;
    for (let at = 0; at < this.annotations * 4; at += 4) {
      const start = this.#annotation[at + 2];
      const end = this.#annotation[at + 3];
      time.set(this.#annotation[at], this.#annotation[at + 1]);
      time.times1000();
      const mark = out.begin(SPAN_EVENT);
      fixed64Field(out, EVENT_TIME, time.low, time.high);
      const bar = bytes.subarray(start, end).indexOf(BAR);
      out.bytesField(EVENT_NAME, bytes, start, bar < 0 ? end : start + bar);
      if (bar >= 0) {
        const [, ...rest] = Buffer.from(bytes.subarray(start, end)).toString('utf8').split('|');
        if (rest.length > 1) {
          const dropped = countOf(rest.pop());
          writeJsonAttributes(out, EVENT_ATTRIBUTE, rest.join('|'));
          if (dropped > 0) out.varintField(EVENT_DROPPED_ATTRIBUTES, dropped);
        }
      }
      out.end(mark);
    }
  }
}

const BAR = 0x7c;
const NO_SERVICE = 'OTLPResourceNoServiceName';
const LIBRARY_NAME = knownKey('otel.library.name');
const LIBRARY_VERSION = knownKey('otel.library.version');
const TRACE_STATE = knownKey('w3c.tracestate');
const KIND = knownKey('span.kind');
const INTERNAL = nameOf('internal');
const STATUS = knownKey('otel.status_code');
const DESCRIPTION = knownKey('otel.status_description');
const ERROR = knownKey('error');
const TRUE = nameOf('true');
const SERVICE_NAME = nameOf('service.name');
const SERVICE_NAME_SOURCE = knownKey('otlp.service.name.source');
const ABSENT_START = nameOf('otel.zipkin.absentField.startTime');
const HOST_IP = nameOf('net.host.ip');
const HOST_PORT = nameOf('net.host.port');
const PEER_SERVICE = nameOf('peer.service');
const PEER_IP = nameOf('net.peer.ip');
const PEER_PORT = nameOf('net.peer.port');

function takeKind(tags: TagTable): number {
  const tag = tags.take(KIND);
  return tag >= 0 && tags.equals(tag, INTERNAL) ? KIND_INTERNAL : KIND_UNSPECIFIED;
}

const CODES: Readonly<Record<string, number>> = {
  STATUS_CODE_OK: STATUS_OK,
  Ok: STATUS_OK,
  STATUS_CODE_ERROR: STATUS_ERROR,
  Error: STATUS_ERROR,
};

function writeStatus(out: ProtoWriter, tags: TagTable): void {
  let code = STATUS_UNSET;
  let description = -1;
  const status = tags.take(STATUS);
  if (status >= 0) {
    code = CODES[tags.string(status) ?? ''] ?? STATUS_UNSET;
    description = tags.take(DESCRIPTION);
  }
  const error = tags.find(ERROR);
  if (error >= 0) {
    code = STATUS_ERROR;
    if (tags.equals(error, TRUE)) tags.remove(error);
  }
  const hasText = description >= 0 && tags.end(description) > tags.start(description);
  statusField(out, code, hasText ? (to) => tags.writeText(to, STATUS_MESSAGE, description) : undefined);
}

const LINKS = Array.from({ length: 128 }, (_, i) => (i === 0 ? knownKey : nameOf)(`otlp.link.${i}`));

function writeLinks(out: ProtoWriter, tags: TagTable): void {
  for (const name of LINKS) {
    const tag = tags.take(name);
    if (tag < 0) return;
    const [traceId, spanId, state, ...rest] = (tags.string(tag) ?? '').split('|');
    if (rest.length < 2) continue;
    if (!/^[0-9a-f]{32}$/i.test(traceId) || !/^[0-9a-f]{16}$/i.test(spanId)) throw undecodable(`ids of ${name.text}`);
    const dropped = countOf(rest.pop());
    const mark = out.begin(SPAN_LINK);
    out.bytesField(LINK_TRACE_ID, Buffer.from(traceId, 'hex'));
    out.bytesField(LINK_SPAN_ID, Buffer.from(spanId, 'hex'));
    if (state !== '') out.stringField(LINK_TRACE_STATE, state);
    writeJsonAttributes(out, LINK_ATTRIBUTE, rest.join('|'));
    if (dropped > 0) out.varintField(LINK_DROPPED_ATTRIBUTES, dropped);
    out.end(mark);
  }
}

function countOf(text: string | undefined): number {
  if (text === undefined || !/^\d{1,10}$/.test(text) || Number(text) > 0xffffffff)
    throw undecodable(`count ${JSON.stringify(text?.slice(0, 40))}`);
  return Number(text);
}

/** The members of a JSON object as attributes; lists, objects and nulls in it are left out. */
function writeJsonAttributes(out: ProtoWriter, field: number, json: string): void {
  let object: unknown;
  try {
    object = JSON.parse(json);
  } catch {}
  if (typeof object !== 'object' || object === null || Array.isArray(object))
    throw undecodable('attributes that are no JSON object');
  for (const [key, value] of Object.entries(object)) {
    if (typeof value === 'string') textAttribute(out, field, nameOf(key), Buffer.from(value));
    else if (typeof value === 'boolean') boolAttribute(out, field, nameOf(key), value);
    else if (typeof value !== 'number') continue;
    else if (Number.isSafeInteger(value)) intAttribute(out, field, nameOf(key), value);
    else doubleAttribute(out, field, nameOf(key), value);
  }
}

/** The content of a resource: the service, and what tags say of it, which are taken out. */
function resourceOf(tags: TagTable, bytes: Uint8Array, serviceStart: number, serviceEnd: number): Uint8Array {
  const out = new ProtoWriter();
  const source = tags.take(SERVICE_NAME_SOURCE);
  const key = source < 0 ? '' : (tags.string(source) ?? '');
  const name = key === '' ? SERVICE_NAME : nameOf(key);
  // A tag of the same name wins over the service.
  const own = tags.find(name);
  if (own < 0 || !isResourceTag(tags, own))
    textAttribute(out, RESOURCE_ATTRIBUTE, name, bytes, serviceStart, serviceEnd);
  for (let tag = 0; tag < tags.count; tag++) {
    if (tags.isRemoved(tag) || !isResourceTag(tags, tag)) continue;
    tags.writeOne(out, RESOURCE_ATTRIBUTE, tag);
    tags.remove(tag);
  }
  return out.finish();
}

function removeResourceTags(tags: TagTable): void {
  for (let tag = 0; tag < tags.count; tag++) if (isResourceTag(tags, tag)) tags.remove(tag);
}

function isResourceTag(tags: TagTable, tag: number): boolean {
  return tags.type(tag) === TAG_TEXT && RESOURCE_TAGS.has(tags, tag);
}

/** Tags that describe the resource, whichever span has them. */
const RESOURCE_TAGS = new KeySet(
  [
    'cloud.{provider,account.id,region,availability_zone,platform}',
    'aws.ecs.{container.arn,cluster.arn,launchtype,task.arn,task.family,task.revision} aws.eks.cluster.arn',
    'aws.log.{group.names,group.arns,stream.names,stream.arns}',
    'container.{name,id,runtime,image.name,image.tag} deployment.environment',
    'device.{id,model.identifier,model.name,manufacturer} faas.{name,id,version,instance,max_memory}',
    'host.{id,name,type,arch,image.name,image.id,image.version}',
    'k8s.{cluster.name,node.name,node.uid,namespace.name,pod.uid,pod.name,container.name,container.restart_count}',
    'k8s.replicaset.{uid,name} k8s.deployment.{uid,name} k8s.statefulset.{uid,name} k8s.daemonset.{uid,name}',
    'k8s.job.{uid,name} k8s.cronjob.{uid,name} os.{type,description,name,version}',
    'process.{pid,executable.name,executable.path,command,command_line,command_args,owner}',
    'process.runtime.{name,version,description} service.{name,namespace,instance.id,version}',
    'telemetry.sdk.{name,language,version} telemetry.auto.version webengine.{name,version,description}',
    'otlp.service.name.source opencensus.{starttime,exporterversion,resourcetype}',
  ].flatMap((line) => line.split(' ').flatMap(unfold).map(knownKey)),
);

/** `a.{b,c}` → `a.b`, `a.c`. */
function unfold(pattern: string): string[] {
  const found = /^(.*)\{(.*)\}$/.exec(pattern);
  return found === null ? [pattern] : found[2].split(',').map((last) => found[1] + last);
}

function undecodable(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decode Zipkin span: broken ${what}`);
}
