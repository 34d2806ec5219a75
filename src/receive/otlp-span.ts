/**
 * The parts of OTLP that every other protocol is turned into, written straight as protobuf: the fixed head of a span (ids
 * and times, filled in when they are known, for they come in any order), and the tags of fields.
 *
 *   head   0a 10 trace id · 12 08 span id · 39 start · 41 end        46 bytes
 */
import { type ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';

export const REQUEST_RESOURCE_SPANS = tagOf(1, WIRE_BYTES);
export const RESOURCE_SPANS_RESOURCE = tagOf(1, WIRE_BYTES);
export const RESOURCE_SPANS_SCOPE_SPANS = tagOf(2, WIRE_BYTES);
export const RESOURCE_ATTRIBUTE = tagOf(1, WIRE_BYTES);
export const SCOPE_SPANS_SCOPE = tagOf(1, WIRE_BYTES);
export const SCOPE_SPANS_SPAN = tagOf(2, WIRE_BYTES);
export const SCOPE_NAME = tagOf(1, WIRE_BYTES);
export const SCOPE_VERSION = tagOf(2, WIRE_BYTES);
export const SPAN_TRACE_STATE = tagOf(3, WIRE_BYTES);
export const SPAN_PARENT_ID = tagOf(4, WIRE_BYTES);
export const SPAN_NAME = tagOf(5, WIRE_BYTES);
export const SPAN_KIND = tagOf(6, WIRE_VARINT);
export const SPAN_ATTRIBUTE = tagOf(9, WIRE_BYTES);
export const SPAN_DROPPED_ATTRIBUTES = tagOf(10, WIRE_VARINT);
export const SPAN_EVENT = tagOf(11, WIRE_BYTES);
export const SPAN_DROPPED_EVENTS = tagOf(12, WIRE_VARINT);
export const SPAN_LINK = tagOf(13, WIRE_BYTES);
export const SPAN_DROPPED_LINKS = tagOf(14, WIRE_VARINT);
export const SPAN_STATUS = tagOf(15, WIRE_BYTES);
export const EVENT_TIME = tagOf(1, WIRE_FIXED64);
export const EVENT_NAME = tagOf(2, WIRE_BYTES);
export const EVENT_ATTRIBUTE = tagOf(3, WIRE_BYTES);
export const EVENT_DROPPED_ATTRIBUTES = tagOf(4, WIRE_VARINT);
export const LINK_TRACE_ID = tagOf(1, WIRE_BYTES);
export const LINK_SPAN_ID = tagOf(2, WIRE_BYTES);
export const LINK_TRACE_STATE = tagOf(3, WIRE_BYTES);
export const LINK_ATTRIBUTE = tagOf(4, WIRE_BYTES);
export const LINK_DROPPED_ATTRIBUTES = tagOf(5, WIRE_VARINT);
export const STATUS_MESSAGE = tagOf(2, WIRE_BYTES);
export const STATUS_CODE = tagOf(3, WIRE_VARINT);

export const KIND_UNSPECIFIED = 0;
export const KIND_INTERNAL = 1;
export const KIND_SERVER = 2;
export const KIND_CLIENT = 3;
export const KIND_PRODUCER = 4;
export const KIND_CONSUMER = 5;

export const STATUS_UNSET = 0;
export const STATUS_OK = 1;
export const STATUS_ERROR = 2;

/** The usual width of a span's length. */
export const SPAN_LENGTH_BYTES = 2;

const HEAD_BYTES = 46;
const TRACE_ID_AT = 2;
const SPAN_ID_AT = 20;
const START_AT = 29;
const END_AT = 38;

/** Room for ids and times, all zero; returns where it is, for the functions below. */
export function spanHead(out: ProtoWriter): number {
  out.reserve(HEAD_BYTES + 2);
  const { view, length } = out;
  // By words, the last of which reaches two bytes beyond.
  for (let at = length; at < length + HEAD_BYTES; at += 4) view.setInt32(at, 0);
  view.setInt16(length, 0x0a10);
  view.setInt16(length + TRACE_ID_AT + 16, 0x1208);
  view.setInt8(length + SPAN_ID_AT + 8, 0x39);
  view.setInt8(length + START_AT + 8, 0x41);
  out.length += HEAD_BYTES;
  return length;
}

/** Half of a trace id, as two words: the half that comes first in its bytes is 0. */
export function putTraceIdHalf(out: ProtoWriter, head: number, half: 0 | 1, high: number, low: number): void {
  out.view.setInt32(head + TRACE_ID_AT + half * 8, high);
  out.view.setInt32(head + TRACE_ID_AT + half * 8 + 4, low);
}

/** A trace id of 16 or 8 bytes as it stands in `view`; the shorter one is padded with zeros on the left. */
export function putTraceId(out: ProtoWriter, head: number, view: DataView, start: number, end: number): void {
  const to = out.view;
  const whole = end - start === 16;
  for (let i = 4; i <= 16; i += 4)
    to.setInt32(head + TRACE_ID_AT + 16 - i, i <= 8 || whole ? view.getInt32(end - i) : 0);
}

export function putSpanIdWords(out: ProtoWriter, head: number, high: number, low: number): void {
  out.view.setInt32(head + SPAN_ID_AT, high);
  out.view.setInt32(head + SPAN_ID_AT + 4, low);
}

/** A span id as it stands in `view`. */
export function putSpanId(out: ProtoWriter, head: number, view: DataView, start: number): void {
  putSpanIdWords(out, head, view.getInt32(start), view.getInt32(start + 4));
}

export function putStart(out: ProtoWriter, head: number, low: number, high: number): void {
  putFixed64(out, head + START_AT, low, high);
}

export function putEnd(out: ProtoWriter, head: number, low: number, high: number): void {
  putFixed64(out, head + END_AT, low, high);
}

export function hasTraceId(out: ProtoWriter, head: number): boolean {
  return !isZero(out.bytes, head + TRACE_ID_AT, 16);
}

export function hasSpanId(out: ProtoWriter, head: number): boolean {
  return !isZero(out.bytes, head + SPAN_ID_AT, 8);
}

/** Where the ids of a head stand in `out.bytes`. */
export function traceIdAt(head: number): number {
  return head + TRACE_ID_AT;
}

export function spanIdAt(head: number): number {
  return head + SPAN_ID_AT;
}

/** A fixed64 field of 64 bits. */
export function fixed64Field(out: ProtoWriter, tag: number, low: number, high: number): void {
  out.varint(tag);
  out.fixed32(low);
  out.fixed32(high);
}

/** A bytes field with a span id of two words. */
export function spanIdField(out: ProtoWriter, tag: number, high: number, low: number): void {
  out.varint(tag);
  out.varint(8);
  out.reserve(8);
  out.view.setInt32(out.length, high);
  out.view.setInt32(out.length + 4, low);
  out.length += 8;
}

/** A status; none at all when it says nothing. */
export function statusField(out: ProtoWriter, code: number, message?: (out: ProtoWriter) => void): void {
  if (code === STATUS_UNSET && message === undefined) return;
  const mark = out.begin(SPAN_STATUS);
  message?.(out);
  if (code !== STATUS_UNSET) out.varintField(STATUS_CODE, code);
  out.end(mark);
}

/** Times as two words, for arithmetic modulo 2^64 without BigInt. */
export class Time {
  low = 0;
  high = 0;

  set(low: number, high: number): void {
    this.low = low >>> 0;
    this.high = high >>> 0;
  }

  add(low: number, high: number): void {
    const sum = this.low + (low >>> 0);
    this.high = (this.high + high + (sum > 0xffffffff ? 1 : 0)) >>> 0;
    this.low = sum >>> 0;
  }

  /** Microseconds become nanoseconds. */
  times1000(): void {
    const product = this.low * 1000;
    this.high = (Math.imul(this.high, 1000) + Math.floor(product / 2 ** 32)) >>> 0;
    this.low = product >>> 0;
  }

  /** `seconds` times 10^9 plus `nanos`; seconds within ±2^38, so that every step is exact in a double. */
  setSeconds(seconds: number, nanos: number): void {
    const upper = Math.floor(seconds / 65536);
    const lower = seconds - upper * 65536;
    const upperProduct = upper * 1e9;
    const upperHigh = Math.floor(upperProduct / 65536);
    const rest = (upperProduct - upperHigh * 65536) * 65536 + lower * 1e9 + nanos;
    const carry = Math.floor(rest / 2 ** 32);
    this.low = (rest - carry * 2 ** 32) >>> 0;
    this.high = (upperHigh + carry) >>> 0;
  }
}

function putFixed64({ view }: ProtoWriter, at: number, low: number, high: number): void {
  view.setInt32(at, low, true);
  view.setInt32(at + 4, high, true);
}

function isZero(bytes: Uint8Array, at: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (bytes[at + i] !== 0) return false;
  return true;
}
