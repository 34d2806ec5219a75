/**
 * Ids that went through proto3 JSON. grpcurl reads OTLP/JSON by protobuf's rules, where bytes are base64: the 32
 * hexadecimal digits of a trace id become 24 bytes, the 16 of a span id 12. Encoding those to base64 gives the digits
 * back (spec/operations.md §11.1, lines 149–158).
 *
 * Called only when a request was found to have ids of a wrong length, so it may take its time; it runs once over the
 * bytes and copies what it does not understand.
 */
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';
import { HEX } from './json-cursor.ts';

/** Which fields of a message hold ids (with their right size) and which hold messages that do. */
interface Shape {
  readonly ids: ReadonlyMap<number, number>;
  readonly messages: ReadonlyMap<number, Shape>;
}

const LINK: Shape = {
  ids: new Map([
    [1, 16],
    [2, 8],
  ]),
  messages: new Map(),
};
const SPAN: Shape = {
  ids: new Map([
    [1, 16],
    [2, 8],
    [4, 8],
  ]),
  messages: new Map([[13, LINK]]),
};
const SCOPE_SPANS: Shape = { ids: new Map(), messages: new Map([[2, SPAN]]) };
const RESOURCE_SPANS: Shape = {
  ids: new Map(),
  messages: new Map([
    [2, SCOPE_SPANS],
    [1000, SCOPE_SPANS],
  ]),
};
const REQUEST: Shape = { ids: new Map(), messages: new Map([[1, RESOURCE_SPANS]]) };

/**
 * The same ExportTraceServiceRequest with its ids as they were meant, in an ArrayBuffer of its own; undefined when
 * there is nothing of that kind in it, or something that cannot be repaired, so that the first error stands.
 */
export function repairIds(body: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const out = new ProtoWriter(body.length);
  try {
    return repair(new ProtoReader(body), REQUEST, out) > 0 ? out.finish() : undefined;
  } catch {
    return undefined;
  }
}

/** Copies a message, repairing on the way; returns how many ids it repaired. */
function repair(reader: ProtoReader, shape: Shape, out: ProtoWriter): number {
  let repaired = 0;
  for (let start = reader.pos, tag = reader.tag(); tag !== 0; start = reader.pos, tag = reader.tag()) {
    const field = tag >>> 3;
    const idBytes = (tag & 7) === WIRE_BYTES ? shape.ids.get(field) : undefined;
    const inner = (tag & 7) === WIRE_BYTES ? shape.messages.get(field) : undefined;
    if (inner !== undefined) {
      const end = reader.lengthEnd();
      const mark = out.begin(tag, 2);
      repaired += repair(new ProtoReader(reader.bytes, reader.pos, end), inner, out);
      out.end(mark, 2);
      reader.pos = end;
      continue;
    }
    if (idBytes !== undefined) {
      const value = reader.bytesValue();
      const meant = value.length === (idBytes * 3) / 2 ? hexOfBase64(value) : undefined;
      if (meant !== undefined) {
        out.bytesField(tagOf(field, WIRE_BYTES), meant);
        repaired++;
        continue;
      }
    } else reader.skip(tag);
    out.raw(reader.bytes, start, reader.pos);
  }
  return repaired;
}

/** The bytes whose hexadecimal digits were taken for base64; undefined if they were not. */
function hexOfBase64(value: Uint8Array): Uint8Array | undefined {
  const digits = Buffer.from(value).toString('base64');
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const high = HEX[digits.charCodeAt(2 * i)];
    const low = HEX[digits.charCodeAt(2 * i + 1)];
    if (high > 15 || low > 15) return undefined;
    bytes[i] = (high << 4) | low;
  }
  return bytes;
}
