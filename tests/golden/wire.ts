/**
 * Protobuf by tables: OTLP traces, and the answers that clients may ask for as application/protobuf. Objects are in the
 * JSON mapping of OTLP: lowerCamel names, hex ids, 64-bit integers as strings, enums as numbers, bytes as base64. It shares
 * nothing with what it judges.
 *
 *     field: [number, name, kind, repeated?]     kind: a scalar below, or the name of another message
 */

export type Message = { [field: string]: unknown };

export function encode(type: string, message: Message): Buffer<ArrayBuffer> {
  const parts: Buffer[] = [];
  for (const [number, name, declared, repeated] of MESSAGES[type]) {
    const kind = declared.replace('!', '');
    const value = message[name];
    if (value === undefined) continue;
    for (const one of repeated ? (value as unknown[]) : [value]) {
      if (MESSAGES[kind]) parts.push(varint((number << 3) | 2), delimited(encode(kind, one as Message)));
      else if (declared !== kind || repeated || !DEFAULTS.has(one))
        parts.push(varint((number << 3) | WIRE[kind]), scalar(kind, one as string | number | boolean));
    }
  }
  return Buffer.concat(parts);
}

export function decode(type: string, bytes: Buffer): Message {
  const fields = new Map(MESSAGES[type].map((field) => [field[0], field]));
  const message: Message = {};
  let at = 0;
  const readVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new Error(`cannot decode ${type}: varint ends after byte ${at}`);
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
  };
  while (at < bytes.length) {
    const tag = Number(readVarint());
    const wire = tag & 7;
    let raw: bigint | Buffer;
    if (wire === 0) raw = readVarint();
    else {
      const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? Number(readVarint()) : NaN;
      if (!(at + length <= bytes.length))
        throw new Error(`cannot decode ${type}: field ${tag >> 3} is cut off at ${at}`);
      raw = bytes.subarray(at, at + length);
      at += length;
    }
    const field = fields.get(tag >> 3);
    if (field === undefined) continue;
    const [, name, declared, repeated] = field;
    const value = MESSAGES[declared] ? decode(declared, raw as Buffer) : unscalar(declared.replace('!', ''), raw);
    if (repeated) ((message[name] ??= []) as unknown[]).push(value);
    else message[name] = value;
  }
  return message;
}

type Field = [number: number, name: string, kind: string, repeated?: 1];

const MESSAGES: { [message: string]: Field[] } = {
  ExportTraceServiceRequest: [[1, 'resourceSpans', 'ResourceSpans', 1]],
  ResourceSpans: [
    [1, 'resource', 'Resource'],
    [2, 'scopeSpans', 'ScopeSpans', 1],
    [3, 'schemaUrl', 'string'],
  ],
  Resource: [
    [1, 'attributes', 'KeyValue', 1],
    [2, 'droppedAttributesCount', 'uint32'],
  ],
  ScopeSpans: [
    [1, 'scope', 'Scope'],
    [2, 'spans', 'Span', 1],
    [3, 'schemaUrl', 'string'],
  ],
  Scope: [
    [1, 'name', 'string'],
    [2, 'version', 'string'],
    [3, 'attributes', 'KeyValue', 1],
    [4, 'droppedAttributesCount', 'uint32'],
  ],
  Span: [
    [1, 'traceId', 'id'],
    [2, 'spanId', 'id'],
    [3, 'traceState', 'string'],
    [4, 'parentSpanId', 'id'],
    [5, 'name', 'string'],
    [6, 'kind', 'uint32'],
    [7, 'startTimeUnixNano', 'fixed64'],
    [8, 'endTimeUnixNano', 'fixed64'],
    [9, 'attributes', 'KeyValue', 1],
    [10, 'droppedAttributesCount', 'uint32'],
    [11, 'events', 'Event', 1],
    [12, 'droppedEventsCount', 'uint32'],
    [13, 'links', 'Link', 1],
    [14, 'droppedLinksCount', 'uint32'],
    [15, 'status', 'Status'],
    [16, 'flags', 'fixed32'],
  ],
  Event: [
    [1, 'timeUnixNano', 'fixed64'],
    [2, 'name', 'string'],
    [3, 'attributes', 'KeyValue', 1],
    [4, 'droppedAttributesCount', 'uint32'],
  ],
  Link: [
    [1, 'traceId', 'id'],
    [2, 'spanId', 'id'],
    [3, 'traceState', 'string'],
    [4, 'attributes', 'KeyValue', 1],
    [5, 'droppedAttributesCount', 'uint32'],
    [6, 'flags', 'fixed32'],
  ],
  Status: [
    [2, 'message', 'string'],
    [3, 'code', 'uint32'],
  ],
  KeyValue: [
    [1, 'key', 'string'],
    [2, 'value', 'AnyValue'],
  ],
  // The members of a oneof are written even when they are zero.
  AnyValue: [
    [1, 'stringValue', 'string!'],
    [2, 'boolValue', 'bool!'],
    [3, 'intValue', 'int64!'],
    [4, 'doubleValue', 'double!'],
    [5, 'arrayValue', 'ArrayValue'],
    [6, 'kvlistValue', 'KeyValueList'],
    [7, 'bytesValue', 'bytes!'],
  ],
  ArrayValue: [[1, 'values', 'AnyValue', 1]],
  KeyValueList: [[1, 'values', 'KeyValue', 1]],

  Trace: [[1, 'resourceSpans', 'ResourceSpans', 1]],
  TraceByIDResponse: [
    [1, 'trace', 'Trace'],
    [2, 'metrics', 'Ignored'],
    [3, 'status', 'uint32'],
    [4, 'message', 'string'],
  ],
  SearchResponse: [
    [1, 'traces', 'TraceSearchMetadata', 1],
    [2, 'metrics', 'Ignored'],
  ],
  TraceSearchMetadata: [
    [1, 'traceID', 'string'],
    [2, 'rootServiceName', 'string'],
    [3, 'rootTraceName', 'string'],
    [4, 'startTimeUnixNano', 'uint64'],
    [5, 'durationMs', 'uint32'],
    [6, 'spanSet', 'SpanSet'],
    [7, 'spanSets', 'SpanSet', 1],
    [8, 'serviceStats', 'ServiceStatsEntry', 1],
  ],
  ServiceStatsEntry: [
    [1, 'key', 'string'],
    [2, 'value', 'ServiceStats'],
  ],
  ServiceStats: [
    [1, 'spanCount', 'uint32'],
    [2, 'errorCount', 'uint32'],
  ],
  SpanSet: [
    [1, 'spans', 'SearchSpan', 1],
    [2, 'matched', 'uint32'],
    [3, 'attributes', 'KeyValue', 1],
  ],
  SearchSpan: [
    [1, 'spanID', 'string'],
    [2, 'name', 'string'],
    [3, 'startTimeUnixNano', 'uint64'],
    [4, 'durationNanos', 'uint64'],
    [5, 'attributes', 'KeyValue', 1],
  ],
  SearchTagsResponse: [
    [1, 'tagNames', 'string', 1],
    [2, 'metrics', 'Ignored'],
  ],
  SearchTagsV2Response: [
    [1, 'scopes', 'TagScope', 1],
    [2, 'metrics', 'Ignored'],
  ],
  TagScope: [
    [1, 'name', 'string'],
    [2, 'tags', 'string', 1],
  ],
  SearchTagValuesResponse: [
    [1, 'tagValues', 'string', 1],
    [2, 'metrics', 'Ignored'],
  ],
  SearchTagValuesV2Response: [
    [1, 'tagValues', 'TagValue', 1],
    [2, 'metrics', 'Ignored'],
  ],
  TagValue: [
    [1, 'type', 'string'],
    [2, 'value', 'string'],
  ],
  Ignored: [],
};

const WIRE: { [kind: string]: number } = {
  string: 2,
  id: 2,
  bytes: 2,
  uint32: 0,
  uint64: 0,
  int64: 0,
  bool: 0,
  fixed64: 1,
  double: 1,
  fixed32: 5,
};
const DEFAULTS = new Set<unknown>(['', 0, '0', false]);

function varint(value: bigint | number | string): Buffer {
  let left = BigInt.asUintN(64, BigInt(value));
  const out: number[] = [];
  while (left > 127n) {
    out.push(Number(left & 127n) | 128);
    left >>= 7n;
  }
  out.push(Number(left));
  return Buffer.from(out);
}

function delimited(bytes: Buffer): Buffer {
  return Buffer.concat([varint(bytes.length), bytes]);
}

function scalar(kind: string, value: string | number | boolean): Buffer {
  const fixed = Buffer.alloc(8);
  switch (kind) {
    case 'string':
      return delimited(Buffer.from(value as string, 'utf8'));
    case 'id':
      return delimited(Buffer.from(value as string, 'hex'));
    case 'bytes':
      return delimited(Buffer.from(value as string, 'base64'));
    case 'bool':
      return varint(value ? 1 : 0);
    case 'fixed64':
      fixed.writeBigUInt64LE(BigInt(value));
      return fixed;
    case 'fixed32':
      fixed.writeUInt32LE(value as number);
      return fixed.subarray(0, 4);
    case 'double':
      fixed.writeDoubleLE(Number(value));
      return fixed;
    default:
      return varint(value as string | number);
  }
}

function unscalar(kind: string, raw: bigint | Buffer): unknown {
  if (typeof raw === 'bigint') {
    if (kind === 'bool') return raw !== 0n;
    if (kind === 'uint32') return Number(raw);
    return kind === 'int64' ? BigInt.asIntN(64, raw).toString() : raw.toString();
  }
  switch (kind) {
    case 'string':
      return raw.toString('utf8');
    case 'id':
      return raw.toString('hex');
    case 'bytes':
      return raw.toString('base64');
    case 'fixed64':
      return raw.readBigUInt64LE().toString();
    case 'fixed32':
      return raw.readUInt32LE();
    case 'double': {
      const value = raw.readDoubleLE();
      return Number.isFinite(value) ? value : String(value);
    }
    default:
      throw new Error(`cannot decode: a ${kind} came as bytes`);
  }
}
