/**
 * OTLP `TracesData` bytes to the JSON that trace look-ups answer (api.md §1.6): proto3 JSON with ids in base64, 64-bit
 * integers as strings, zeros left out. One walk over the bytes, straight into the bytes of the text: no object per
 * span, no BigInt, no string. A table says what each field of each message becomes.
 *
 *   bytes    fields in any order          text     {"traceId":"…",…,"attributes":[…],"events":[…]}
 *
 * A repeated field becomes one array, though its occurrences may be scattered: at the first one the array is opened and
 * the rest of the message is walked for the others; the outer walk then steps over them. Fields of one message are
 * nearly always next to each other, so the second walk costs a few skips.
 */
import { VivaceError } from '../runtime/errors.ts';
import { JsonBytes } from './json-bytes.ts';
import { WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT } from './protobuf.ts';

/** ASCII around the trace: `{"trace":` … `,"metrics":{}}`. */
export interface Surroundings {
  before: string;
  after: string;
}

/**
 * UTF-8 of `{"batches":[…]}` or `{"resourceSpans":[…]}`; of `{}` when there is nothing. Throws `undecodable` when
 * `traces` is no protobuf message. Unknown fields are skipped. The answer is a view of a somewhat larger buffer.
 */
export function otlpToJson(
  traces: Uint8Array,
  key: 'batches' | 'resourceSpans',
  around: Surroundings = { before: '', after: '' },
): Uint8Array<ArrayBuffer> {
  // Typical traces grow two- to threefold.
  const out = new JsonBytes(traces.length * 2.5 + around.before.length + around.after.length + 1024);
  out.ascii(around.before);
  new Transcoder(traces, out).message(key === 'batches' ? BATCHES : TRACES_DATA, traces.length);
  out.ascii(around.after);
  return out.finish();
}

/**
 * The same as OTLP itself has it in JSON, which receivers take: ids in hexadecimal, enums as numbers, no line breaks. Throws as
 * `otlpToJson` does.
 */
export function otlpToOtlpJson(traces: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new JsonBytes(traces.length * 2.5 + 1024);
  new Transcoder(traces, out, true).message(TRACES_DATA, traces.length);
  return out.finish();
}

// ------------------------------------------------------------------------------------------------------------ the table

const TEXT = 0;
const BYTES = 1;
const UINT32 = 2;
const FIXED32 = 3;
const FIXED64 = 4;
const ENUM = 5;
const ONE = 6;
const MANY = 7;
const BOOL = 8;
const INT64 = 9;
const DOUBLE = 10;
/** Of a trace or span. */
const ID = 11;

interface Field {
  number: number;
  /** `"name":`. */
  key: string;
  as: number;
  /** Of ONE and MANY. */
  message?: Message;
  /** Of ENUM: quoted, by number; the one of 0 is never written. */
  names?: string[];
  /** A message that clients read without looking whether it is there: `{}` when it is not. */
  always?: boolean;
}

interface Message {
  /** By tag. */
  byTag: (Field | undefined)[];
  always: Field[];
  /** A oneof: of several fields the last one holds, and it is written even when it is zero. */
  oneof: boolean;
}

const WIRE_TYPES = [
  WIRE_BYTES,
  WIRE_BYTES,
  WIRE_VARINT,
  WIRE_FIXED32,
  WIRE_FIXED64,
  WIRE_VARINT,
  WIRE_BYTES,
  WIRE_BYTES,
  WIRE_VARINT,
  WIRE_VARINT,
  WIRE_FIXED64,
  WIRE_BYTES,
];

function field(number: number, name: string, as: number, more: Partial<Field> = {}): Field {
  return { number, key: `"${name}":`, as, ...more };
}

function message(fields: Field[], oneof = false): Message {
  const made: Message = { byTag: [], always: fields.filter((f) => f.always), oneof };
  for (const f of fields) {
    const tag = (f.number << 3) | WIRE_TYPES[f.as];
    while (made.byTag.length <= tag) made.byTag.push(undefined);
    made.byTag[tag] = f;
  }
  return made;
}

// A value may hold lists of values, so the table of AnyValue is completed after those that it needs.
const ANY_VALUE = message([], true);
const KEY_VALUE = message([field(1, 'key', TEXT), field(2, 'value', ONE, { message: ANY_VALUE, always: true })]);
const ARRAY_VALUE = message([field(1, 'values', MANY, { message: ANY_VALUE })]);
const KVLIST_VALUE = message([field(1, 'values', MANY, { message: KEY_VALUE })]);
Object.assign(
  ANY_VALUE,
  message(
    [
      field(1, 'stringValue', TEXT),
      field(2, 'boolValue', BOOL),
      field(3, 'intValue', INT64),
      field(4, 'doubleValue', DOUBLE),
      field(5, 'arrayValue', ONE, { message: ARRAY_VALUE }),
      field(6, 'kvlistValue', ONE, { message: KVLIST_VALUE }),
      field(7, 'bytesValue', BYTES),
    ],
    true,
  ),
);

const attributes = (number: number) => field(number, 'attributes', MANY, { message: KEY_VALUE });
const dropped = (number: number, what = 'Attributes') => field(number, `dropped${what}Count`, UINT32);

const EVENT = message([field(1, 'timeUnixNano', FIXED64), field(2, 'name', TEXT), attributes(3), dropped(4)]);
const LINK = message([
  field(1, 'traceId', ID),
  field(2, 'spanId', ID),
  field(3, 'traceState', TEXT),
  attributes(4),
  dropped(5),
  field(6, 'flags', FIXED32),
]);
const STATUS = message([
  field(2, 'message', TEXT),
  field(3, 'code', ENUM, { names: ['', '"STATUS_CODE_OK"', '"STATUS_CODE_ERROR"'] }),
]);
const SPAN_KINDS = ['', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const SPAN = message([
  field(1, 'traceId', ID),
  field(2, 'spanId', ID),
  field(3, 'traceState', TEXT),
  field(4, 'parentSpanId', ID),
  field(5, 'name', TEXT),
  field(6, 'kind', ENUM, { names: SPAN_KINDS.map((kind) => `"SPAN_KIND_${kind}"`) }),
  field(7, 'startTimeUnixNano', FIXED64),
  field(8, 'endTimeUnixNano', FIXED64),
  attributes(9),
  dropped(10),
  field(11, 'events', MANY, { message: EVENT }),
  dropped(12, 'Events'),
  field(13, 'links', MANY, { message: LINK }),
  dropped(14, 'Links'),
  field(15, 'status', ONE, { message: STATUS, always: true }),
  field(16, 'flags', FIXED32),
]);
const SCOPE = message([field(1, 'name', TEXT), field(2, 'version', TEXT), attributes(3), dropped(4)]);
const SCOPE_SPANS = message([
  field(1, 'scope', ONE, { message: SCOPE, always: true }),
  field(2, 'spans', MANY, { message: SPAN }),
  field(3, 'schemaUrl', TEXT),
]);
const RESOURCE = message([attributes(1), dropped(2)]);
const RESOURCE_SPANS = message([
  field(1, 'resource', ONE, { message: RESOURCE, always: true }),
  field(2, 'scopeSpans', MANY, { message: SCOPE_SPANS }),
  field(3, 'schemaUrl', TEXT),
]);
const TRACES_DATA = message([field(1, 'resourceSpans', MANY, { message: RESOURCE_SPANS })]);
const BATCHES = message([field(1, 'batches', MANY, { message: RESOURCE_SPANS })]);

// ------------------------------------------------------------------------------------------------------------- the walk

/** Deeper values of hostile spans are named, not followed: the walk recurses. */
const NESTED_MAX = 1000;
const TOO_DEEP = `"stringValue":"(not shown: nested too deep)"`;

class Transcoder {
  readonly #in: Uint8Array;
  readonly #view: DataView;
  readonly #out: JsonBytes;
  /** Ids in hexadecimal and enums as numbers. */
  readonly #asOtlp: boolean;
  #at = 0;
  #depth = 0;
  /** The varint read last, in two unsigned words. */
  #low = 0;
  #high = 0;

  constructor(source: Uint8Array, out: JsonBytes, asOtlp = false) {
    this.#in = source;
    this.#asOtlp = asOtlp;
    this.#view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    this.#out = out;
  }

  /** Writes the message whose bytes are here … `end` as an object and stops at `end`. */
  message(kind: Message, end: number): void {
    const out = this.#out;
    out.open(0x7b);
    if (++this.#depth > NESTED_MAX && kind.oneof) {
      out.member(TOO_DEEP);
      this.#at = end;
    } else if (kind.oneof) this.#lastOf(kind, end);
    else this.#fields(kind, end);
    this.#depth--;
    out.close(0x7d);
  }

  #fields(kind: Message, end: number): void {
    const byTag = kind.byTag;
    // Messages and arrays that are written: a bit by field number.
    let written = 0;
    while (this.#at < end) {
      const tag = this.#tag(end);
      const found = byTag[tag];
      if (found === undefined) this.#skip(tag, end);
      else if (found.as === ONE || found.as === MANY) {
        const bit = 1 << found.number;
        if ((written & bit) !== 0) this.#skip(tag, end);
        else if (found.as === MANY) this.#array(found, tag, end);
        else this.#value(found, end, false);
        written |= bit;
      } else this.#value(found, end, false);
    }
    for (const { number, key } of kind.always) if ((written & (1 << number)) === 0) this.#out.member(`${key}{}`);
  }

  #lastOf(kind: Message, end: number): void {
    let last: Field | undefined;
    let lastAt = 0;
    while (this.#at < end) {
      const tag = this.#tag(end);
      const found = kind.byTag[tag];
      if (found !== undefined) {
        last = found;
        lastAt = this.#at;
      }
      this.#skip(tag, end);
    }
    if (last === undefined) return;
    this.#at = lastAt;
    this.#value(last, end, true);
    this.#at = end;
  }

  /** All occurrences of a repeated field, whose first tag was just read. Stops behind the first. */
  #array(repeated: Field, tag: number, end: number): void {
    this.#out.member(repeated.key);
    this.#out.open(0x5b);
    let behindFirst = 0;
    let more = true;
    while (more) {
      const elementEnd = this.#lengthEnd(end);
      behindFirst ||= elementEnd;
      this.#out.element();
      this.message(repeated.message!, elementEnd);
      more = this.#find(tag, end);
    }
    this.#out.close(0x5d);
    this.#at = behindFirst;
  }

  /** Moves behind the next `tag` of this message; false if there is none. */
  #find(tag: number, end: number): boolean {
    while (this.#at < end) {
      const other = this.#tag(end);
      if (other === tag) return true;
      this.#skip(other, end);
    }
    return false;
  }

  /** One member from the value that starts here; nothing if it is zero and `evenZero` is not set. */
  #value({ key, as, message, names }: Field, end: number, evenZero: boolean): void {
    const out = this.#out;
    if (as === TEXT || as === BYTES || as === ID) {
      const valueEnd = this.#lengthEnd(end);
      if (valueEnd > this.#at || evenZero) {
        out.member(key);
        if (as === TEXT) out.string(this.#in, this.#at, valueEnd);
        else if (as === ID && this.#asOtlp) out.ascii(`"${hexOf(this.#in, this.#at, valueEnd)}"`);
        else out.base64(this.#in, this.#at, valueEnd);
      }
      this.#at = valueEnd;
    } else if (as === ONE) {
      const valueEnd = this.#lengthEnd(end);
      out.member(key);
      this.message(message!, valueEnd);
    } else {
      if (as === FIXED64 || as === DOUBLE) this.#fixed64(end);
      else if (as === FIXED32) this.#fixed32(end);
      else this.#varint(end);
      if (this.#low === 0 && this.#high === 0 && !evenZero) return;
      out.member(key);
      this.#number(as, names);
    }
  }

  #number(as: number, names: string[] | undefined): void {
    const out = this.#out;
    if (as === FIXED64) out.uint64(this.#low, this.#high);
    else if (as === INT64) out.int64(this.#low, this.#high);
    else if (as === DOUBLE) out.double(this.#view.getFloat64(this.#at - 8, true));
    else if (as === BOOL) out.ascii(this.#low === 0 && this.#high === 0 ? 'false' : 'true');
    else if (as === ENUM) out.ascii((this.#asOtlp ? undefined : names![this.#low]) ?? String(this.#low | 0));
    else out.uint32(this.#low);
  }

  #tag(end: number): number {
    const byte = this.#in[this.#at];
    if (byte < 0x80 && byte >= 8) {
      this.#at++;
      return byte;
    }
    this.#varint(end);
    if (this.#high !== 0 || this.#low < 8) throw broken(this.#at);
    return this.#low;
  }

  #skip(tag: number, end: number): void {
    const wire = tag & 7;
    if (wire === WIRE_BYTES) this.#at = this.#lengthEnd(end);
    else if (wire === WIRE_VARINT) this.#varint(end);
    else if (wire === WIRE_FIXED64) this.#at += 8;
    else if (wire === WIRE_FIXED32) this.#at += 4;
    else throw broken(this.#at);
    if (this.#at > end) throw broken(this.#at);
  }

  /** Where the length-delimited value that starts here ends; `at` moves to its first byte. */
  #lengthEnd(end: number): number {
    this.#varint(end);
    const valueEnd = this.#at + this.#high * 0x100000000 + this.#low;
    if (valueEnd > end) throw broken(this.#at);
    return valueEnd;
  }

  /** Not `readVarint64`: every length comes through here, and the call made a trace's JSON some 5 % slower. */
  #varint(end: number): void {
    const source = this.#in;
    let at = this.#at;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw broken(at);
      const byte = source[at++];
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 0x80) {
        this.#at = at;
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw broken(at);
  }

  #fixed64(end: number): void {
    if (this.#at + 8 > end) throw broken(this.#at);
    this.#low = this.#view.getUint32(this.#at, true);
    this.#high = this.#view.getUint32(this.#at + 4, true);
    this.#at += 8;
  }

  #fixed32(end: number): void {
    if (this.#at + 4 > end) throw broken(this.#at);
    this.#low = this.#view.getUint32(this.#at, true);
    this.#high = 0;
    this.#at += 4;
  }
}

function hexOf(source: Uint8Array, start: number, end: number): string {
  return Buffer.from(source.buffer, source.byteOffset + start, end - start).toString('hex');
}

function broken(at: number): VivaceError {
  return new VivaceError('undecodable', `cannot write trace as JSON: no valid protobuf at byte ${at}`);
}
