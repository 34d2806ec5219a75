/**
 * The LZ4 frame format, decompressed within a bound:
 *
 *   04 22 4d 18  FLG  BD  [content size 8] [dictionary id 4]  header checksum
 *   { block size 4 (top bit: stored as is), data, [checksum 4] } …  0000 0000  [content checksum 4]
 *
 * FLG: version 01 in bits 7–6 · 5 blocks independent · 4 block checksums · 3 content size · 2 content checksum · 0
 * dictionary. Frames may follow one another; skippable frames (184d2a5x) are stepped over. Blocks may refer to the 64
 * KiB before them, so they are decoded straight into the one output.
 * Source: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md, …/lz4_Block_format.md
 */
import { VivaceError } from '../runtime/errors.ts';
import { ownedBytes, tooLarge } from './body.ts';

const MAGIC = 0x184d2204;

/** The content of all frames. VivaceError 'undecodable' if corrupt or empty, 'too-large' beyond `bytesMax`. */
export function unlz4(bytes: Uint8Array, bytesMax: number): Uint8Array<ArrayBuffer> {
  const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const out = new Output(bytesMax, Math.min(bytesMax, Math.max(bytes.length * 4, 64 << 10)));
  if (input.length < 7) throw corrupt('no frame');
  let at = 0;
  while (at < input.length) at = readFrame(input, at, out);
  return ownedBytes(out.bytes.subarray(0, out.length));
}

/** What was decoded so far; doubles up to the bound. */
class Output {
  bytes: Buffer<ArrayBuffer>;
  length = 0;
  readonly #max: number;

  constructor(bytesMax: number, firstBytes: number) {
    this.#max = bytesMax;
    this.bytes = Buffer.allocUnsafeSlow(firstBytes);
  }

  reserve(more: number): void {
    const need = this.length + more;
    if (need > this.#max) throw tooLarge(this.#max);
    if (need <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#max, Math.max(need, this.bytes.length * 2)));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }
}

function readFrame(input: Buffer, at: number, out: Output): number {
  const magic = readU32(input, at);
  if (magic >>> 4 === 0x184d2a5) {
    const end = at + 8 + readU32(input, at + 4);
    if (end > input.length) throw corrupt('cut short skippable frame');
    return end;
  }
  if (magic !== MAGIC) throw corrupt('bad magic number');
  const descriptor = at + 4;
  if (descriptor + 3 > input.length) throw corrupt('cut short header');
  const flags = input[descriptor];
  if (flags >>> 6 !== 1) throw corrupt('unknown version');
  if (flags & 0x01) throw corrupt('frame needs a dictionary');
  at = descriptor + 2 + (flags & 0x08 ? 8 : 0);
  if (at >= input.length) throw corrupt('cut short header');
  if (((xxh32(input, descriptor, at) >>> 8) & 0xff) !== input[at]) throw corrupt('header checksum differs');
  at++;
  const frameStart = out.length;
  for (;;) {
    const head = readU32(input, at);
    at += 4;
    if (head === 0) break;
    const end = at + (head & 0x7fffffff);
    if (end > input.length) throw corrupt('cut short block');
    if (head & 0x80000000) {
      out.reserve(end - at);
      input.copy(out.bytes, out.length, at, end);
      out.length += end - at;
    } else readBlock(input, at, end, out, flags & 0x20 ? out.length : frameStart);
    if (flags & 0x10) {
      if (xxh32(input, at, end) !== readU32(input, end)) throw corrupt('block checksum differs');
      at = end + 4;
    } else at = end;
  }
  if (flags & 0x04) {
    if (xxh32(out.bytes, frameStart, out.length) !== readU32(input, at)) throw corrupt('content checksum differs');
    at += 4;
  }
  return at;
}

/** Sequences of literals and matches; a match may reach back to `floor` and may overlap its own output. */
function readBlock(input: Buffer, at: number, end: number, out: Output, floor: number): void {
  while (at < end) {
    const token = input[at++];
    let literals = token >>> 4;
    if (literals === 15) {
      let more: number;
      do {
        if (at >= end) throw corrupt('cut short literals');
        literals += more = input[at++];
      } while (more === 255);
    }
    if (at + literals > end) throw corrupt('literals beyond the block');
    out.reserve(literals);
    input.copy(out.bytes, out.length, at, at + literals);
    out.length += literals;
    at += literals;
    if (at === end) return;
    if (at + 2 > end) throw corrupt('cut short offset');
    const offset = input[at] | (input[at + 1] << 8);
    at += 2;
    let size = (token & 15) + 4;
    if (size === 19) {
      let more: number;
      do {
        if (at >= end) throw corrupt('cut short match');
        size += more = input[at++];
      } while (more === 255);
    }
    if (offset === 0 || out.length - offset < floor) throw corrupt('match before the start');
    out.reserve(size);
    const bytes = out.bytes;
    const from = out.length - offset;
    if (offset >= size) bytes.copyWithin(out.length, from, from + size);
    else for (let i = 0; i < size; i++) bytes[out.length + i] = bytes[from + i];
    out.length += size;
  }
}

function readU32(bytes: Buffer, at: number): number {
  if (at + 4 > bytes.length) throw corrupt('cut short');
  return bytes.readUInt32LE(at);
}

const P1 = 0x9e3779b1 | 0;
const P2 = 0x85ebca77 | 0;
const P3 = 0xc2b2ae3d | 0;
const P4 = 0x27d4eb2f | 0;
const P5 = 0x165667b1 | 0;

/** XXH32 with seed 0. Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
function xxh32(bytes: Buffer, start: number, end: number): number {
  let at = start;
  let hash: number;
  if (end - start >= 16) {
    let a = (P1 + P2) | 0;
    let b = P2;
    let c = 0;
    let d = -P1 | 0;
    for (; at + 16 <= end; at += 16) {
      a = xxhRound(a, bytes.readInt32LE(at));
      b = xxhRound(b, bytes.readInt32LE(at + 4));
      c = xxhRound(c, bytes.readInt32LE(at + 8));
      d = xxhRound(d, bytes.readInt32LE(at + 12));
    }
    hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  } else hash = P5;
  hash = (hash + end - start) | 0;
  for (; at + 4 <= end; at += 4) hash = Math.imul(rotate((hash + Math.imul(bytes.readInt32LE(at), P3)) | 0, 17), P4);
  for (; at < end; at++) hash = Math.imul(rotate((hash + Math.imul(bytes[at], P5)) | 0, 11), P1);
  hash = Math.imul(hash ^ (hash >>> 15), P2);
  hash = Math.imul(hash ^ (hash >>> 13), P3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function xxhRound(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, P2)) | 0, 13), P1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function corrupt(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decompress lz4 body: ${what}`);
}
