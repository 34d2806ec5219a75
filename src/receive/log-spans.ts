/**
 * `log_received_spans`: one line of the log for every span of a request, before its ids are looked at. Meant for finding
 * out what a sender sends, not for speed. Source: spec/ingestion.md §8.12.
 */
import { ProtoReader } from '../wire/protobuf.ts';

export interface LogSpansSettings {
  includeAllAttributes: boolean;
  filterByStatusError: boolean;
}

type Fields = Record<string, string | number>;

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const STATUSES = ['UNSET', 'OK', 'ERROR'];
const STATUS_ERROR = 2;

/** Gives the fields of each span's line to `write`. What is broken ends it; whoever decodes the request says so. */
export function logSpans(request: Uint8Array, settings: LogSpansSettings, write: (fields: Fields) => void): void {
  try {
    const reader = new ProtoReader(request);
    each(reader, (tag) => {
      if (tag === 0x0a) within(reader, () => resourceSpans(reader, settings, write));
      else reader.skip(tag);
    });
  } catch {}
}

function resourceSpans(reader: ProtoReader, settings: LogSpansSettings, write: (fields: Fields) => void): void {
  const start = reader.pos;
  const resource: Fields = {};
  each(reader, (tag) => {
    if (tag !== 0x0a || !settings.includeAllAttributes) return reader.skip(tag);
    within(reader, () =>
      each(reader, (inner) => {
        if (inner === 0x0a) within(reader, () => attribute(reader, resource));
        else reader.skip(inner);
      }),
    );
  });
  // The resource may stand behind its spans.
  reader.pos = start;
  each(reader, (tag) => {
    if (tag !== 0x12) return reader.skip(tag);
    within(reader, () =>
      each(reader, (inner) => {
        if (inner === 0x12) within(reader, () => span(reader, settings, resource, write));
        else reader.skip(inner);
      }),
    );
  });
}

function span(
  reader: ProtoReader,
  settings: LogSpansSettings,
  resource: Fields,
  write: (fields: Fields) => void,
): void {
  const attributes: Fields = { ...resource };
  let traceId = '';
  let spanId = '';
  let name = '';
  let kind = 0;
  let status = 0;
  let start = 0;
  let end = 0;
  each(reader, (tag) => {
    switch (tag) {
      case 0x0a:
        traceId = hex(reader.bytesValue());
        break;
      case 0x12:
        spanId = hex(reader.bytesValue());
        break;
      case 0x2a:
        name = reader.stringValue();
        break;
      case 0x30:
        kind = reader.varint();
        break;
      case 0x39:
      case 0x41: {
        reader.fixed64();
        const nanos = reader.high * 2 ** 32 + reader.low;
        if (tag === 0x39) start = nanos;
        else end = nanos;
        break;
      }
      case 0x4a:
        if (settings.includeAllAttributes) within(reader, () => attribute(reader, attributes));
        else reader.skip(tag);
        break;
      case 0x7a:
        within(reader, () =>
          each(reader, (inner) => {
            if (inner === 0x18) status = reader.varint();
            else reader.skip(inner);
          }),
        );
        break;
      default:
        reader.skip(tag);
    }
  });
  if (settings.filterByStatusError && status !== STATUS_ERROR) return;
  write({
    ...(settings.includeAllAttributes && {
      ...attributes,
      span_name: name,
      span_duration_seconds: (end - start) / 1e9,
      span_kind: `SPAN_KIND_${KINDS[kind] ?? kind}`,
      span_status: `STATUS_CODE_${STATUSES[status] ?? status}`,
    }),
    spanid: spanId,
    traceid: traceId,
  });
}

/** A KeyValue, as `span_<key>` with what no field name may have replaced. */
function attribute(reader: ProtoReader, into: Fields): void {
  let key = '';
  let value = '';
  each(reader, (tag) => {
    if (tag === 0x0a) key = reader.stringValue();
    else if (tag === 0x12) within(reader, () => (value = valueText(reader, 0)));
    else reader.skip(tag);
  });
  into[`span_${key.replace(/[^A-Za-z0-9_]/g, '_')}`] = value;
}

const DEPTH_MAX = 8;
const double = new DataView(new ArrayBuffer(8));

/** Lists in brackets; what lies deep is left out. */
function valueText(reader: ProtoReader, depth: number): string {
  let text = '';
  each(reader, (tag) => {
    if (tag === 0x0a) text = reader.stringValue();
    else if (tag === 0x10) text = String(reader.varint() !== 0);
    else if (tag === 0x18) {
      reader.varint64();
      text = String((BigInt(reader.high | 0) << 32n) | BigInt(reader.low));
    } else if (tag === 0x21) {
      reader.fixed64();
      double.setUint32(0, reader.low, true);
      double.setUint32(4, reader.high, true);
      text = String(double.getFloat64(0, true));
    } else if (tag === 0x2a && depth < DEPTH_MAX) {
      const items: string[] = [];
      within(reader, () =>
        each(reader, (inner) => {
          if (inner === 0x0a) within(reader, () => items.push(valueText(reader, depth + 1)));
          else reader.skip(inner);
        }),
      );
      text = `[${items.join(', ')}]`;
    } else if (tag === 0x3a) text = Buffer.from(reader.bytesValue()).toString('base64');
    else reader.skip(tag);
  });
  return text;
}

function each(reader: ProtoReader, use: (tag: number) => void): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) use(tag);
}

/** Reads the message that is next. */
function within(reader: ProtoReader, use: () => void): void {
  const outer = reader.enter();
  use();
  reader.leave(outer);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
