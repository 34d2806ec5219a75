/**
 * Reads protobuf's wire format at any place of some bytes. Results beyond the first are left in fields, so that reading makes no
 * object: where what was read ends, and the upper half of a varint.
 */
import { VivaceError } from '../runtime/errors.ts';

const GROUP_DEPTH_MAX = 64;

export class WireCursor {
  bytes: Uint8Array = new Uint8Array(0);
  /** Where what was read last ends. */
  at = 0;
  /** The upper 32 bits of the last varint. */
  high = 0;

  /** A length that fits before `end`; `at` is where the bytes begin. */
  length(at: number, end: number): number {
    const length = this.varint(at, end);
    if (length < 0 || this.at + length > end) throw overrun(at);
    return length;
  }

  /** A varint of at most 32 significant bits, as tags and lengths are; more bits make it -1. */
  varint(at: number, end: number): number {
    const low = this.varint64(at, end);
    return this.high !== 0 || low < 0 ? -1 : low;
  }

  /**
   * Any varint: returns its low 32 bits (signed), `high` is the rest. Not wire's `readVarint64`, which writes both words to an
   * object: every tag and length of every span comes through here.
   */
  varint64(at: number, end: number): number {
    const bytes = this.bytes;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw overrun(at);
      const byte = bytes[at++];
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 128) {
        this.at = at;
        this.high = high;
        return low;
      }
    }
    throw new VivaceError(
      'undecodable',
      `cannot decode the request: a varint at byte ${at - 10} has more than ten bytes`,
    );
  }

  endOfField(at: number, end: number): number {
    const tag = this.varint(at, end);
    return this.skipAny(tag, this.at, end, 0);
  }

  /** Skips a field that the message does not know; one that it knows has the wrong wire type, which is an error. */
  skipUnknown(tag: number, fieldMax: number, at: number, end: number, fieldMin = 1): number {
    const field = tag >>> 3;
    if (field >= fieldMin && field <= fieldMax && (tag & 7) !== 3 && (tag & 7) !== 4)
      throw new VivaceError(
        'undecodable',
        `cannot decode the request: field ${field} at byte ${at} has wire type ${tag & 7}`,
      );
    return this.skipAny(tag, at, end, 0);
  }

  skipAny(tag: number, at: number, end: number, depth: number): number {
    if (tag >>> 3 === 0)
      throw new VivaceError('undecodable', `cannot decode the request: field number 0 at byte ${at}`);
    switch (tag & 7) {
      case 0:
        this.varint64(at, end);
        return this.at;
      case 1:
        if (at + 8 > end) throw overrun(at);
        return at + 8;
      case 2: {
        const length = this.length(at, end);
        return this.at + length;
      }
      case 5:
        if (at + 4 > end) throw overrun(at);
        return at + 4;
      case 3: {
        if (depth > GROUP_DEPTH_MAX)
          throw new VivaceError('undecodable', 'cannot decode the request: groups nested too deep');
        for (;;) {
          if (at >= end) throw overrun(at);
          const inner = this.varint(at, end);
          at = this.at;
          if (inner === tag + 1) return at;
          if ((inner & 7) === 4) break;
          at = this.skipAny(inner, at, end, depth + 1);
        }
        break;
      }
    }
    throw new VivaceError('undecodable', `cannot decode the request: wire type ${tag & 7} at byte ${at}`);
  }
}

/** The bytes end inside the field that begins at byte `at`. */
export function overrun(at: number): VivaceError {
  return new VivaceError('undecodable', `cannot decode the request: it ends inside a field at byte ${at}`);
}
