/**
 * DELTA_BINARY_PACKED for int32 and int64, and the two string encodings built on it.
 *
 *   page      := block size · miniblocks a block · count · first value · block…     (varints; first value zigzag)
 *   block     := smallest delta (zigzag) · a width byte a miniblock · miniblock…
 *   miniblock := (delta − smallest delta), bit-packed
 *
 * Values are differences modulo 2^32 or 2^64, so every sequence is representable. We write blocks of 128 values in four
 * miniblocks. 64-bit numbers are pairs of 32-bit words throughout: a BigInt a value would cost ten times as much.
 */
import { VivaceError } from '../runtime/errors.ts';
import { packBits, unpackBits } from './bits.ts';
import { bitWidth } from './hybrid.ts';
import { putVarint, reserve, type Sink } from './sink.ts';

const BLOCK_VALUES = 128;
const MINIBLOCKS = 4;
const MINIBLOCK_VALUES = BLOCK_VALUES / MINIBLOCKS;

/** Largest block that a reader accepts; known writers use 128 to 1,024 values. */
const BLOCK_VALUES_MAX = 65_536;

/** Appends values[from, to). */
export function encodeDeltaInt32(sink: Sink, values: Int32Array, from: number, to: number): void {
  const count = to - from;
  putVarint(sink, BLOCK_VALUES);
  putVarint(sink, MINIBLOCKS);
  putVarint(sink, count);
  const first = count === 0 ? 0 : values[from];
  putZigzag(sink, first, first >> 31);
  const deltas = new Uint32Array(BLOCK_VALUES);
  for (let at = from + 1; at < to; at += BLOCK_VALUES) {
    const n = Math.min(BLOCK_VALUES, to - at);
    let least = 0x7fffffff;
    for (let i = 0; i < n; i++) {
      const delta = (values[at + i] - values[at + i - 1]) | 0;
      deltas[i] = delta;
      if (delta < least) least = delta;
    }
    putZigzag(sink, least, least >> 31);
    for (let i = 0; i < n; i++) deltas[i] -= least;
    deltas.fill(0, n);
    const widthsAt = startMiniblocks(sink);
    for (let m = 0, start = 0; start < n; m++, start += MINIBLOCK_VALUES) {
      let bits = 0;
      for (let i = start; i < start + MINIBLOCK_VALUES; i++) bits |= deltas[i];
      putMiniblock(sink, widthsAt + m, bitWidth(bits), deltas, start);
    }
  }
}

/** Appends the values [from, to) of little-endian word pairs. */
export function encodeDeltaInt64(sink: Sink, words: Int32Array, from: number, to: number): void {
  const count = to - from;
  putVarint(sink, BLOCK_VALUES);
  putVarint(sink, MINIBLOCKS);
  putVarint(sink, count);
  putZigzag(sink, count === 0 ? 0 : words[from * 2], count === 0 ? 0 : words[from * 2 + 1]);
  const low = new Uint32Array(BLOCK_VALUES);
  const high = new Int32Array(BLOCK_VALUES);
  for (let at = from + 1; at < to; at += BLOCK_VALUES) {
    const n = Math.min(BLOCK_VALUES, to - at);
    // The smallest delta as a double: exact, and one comparison, while all of them are below 2^52.
    let least = Infinity;
    let wide = 0;
    for (let i = 0, w = at * 2; i < n; i++, w += 2) {
      const a = words[w];
      const b = words[w - 2];
      const deltaLow = (a - b) | 0;
      const deltaHigh = (words[w + 1] - words[w - 1] - borrowOf(a, b, deltaLow)) | 0;
      low[i] = deltaLow;
      high[i] = deltaHigh;
      wide |= (deltaHigh + 0x100000) >>> 21;
      const delta = deltaHigh * 4294967296 + (deltaLow >>> 0);
      if (delta < least) least = delta;
    }
    const smallest = wide === 0 ? undefined : smallestOf(low, high, n);
    const leastHigh = smallest === undefined ? Math.floor(least / 4294967296) | 0 : high[smallest];
    const leastLow = smallest === undefined ? (least - leastHigh * 4294967296) | 0 : low[smallest] | 0;
    putZigzag(sink, leastLow, leastHigh);
    for (let i = 0; i < n; i++) {
      const a = low[i] | 0;
      const difference = (a - leastLow) | 0;
      low[i] = difference;
      high[i] = (high[i] - leastHigh - borrowOf(a, leastLow, difference)) | 0;
    }
    low.fill(0, n);
    high.fill(0, n);
    const widthsAt = startMiniblocks(sink);
    for (let m = 0, start = 0; start < n; m++, start += MINIBLOCK_VALUES) {
      let bitsLow = 0;
      let bitsHigh = 0;
      for (let i = start; i < start + MINIBLOCK_VALUES; i++) {
        bitsLow |= low[i];
        bitsHigh |= high[i];
      }
      if (bitsHigh === 0) putMiniblock(sink, widthsAt + m, bitWidth(bitsLow), low, start);
      else putWideMiniblock(sink, widthsAt + m, 32 + bitWidth(bitsHigh), low, high, start);
    }
  }
}

/** DELTA_LENGTH_BYTE_ARRAY: the lengths as deltas, then the bytes of the values [from, to) one after another. */
export function encodeDeltaLength(sink: Sink, bytes: Uint8Array, offsets: Uint32Array, from: number, to: number): void {
  const lengths = new Int32Array(to - from);
  for (let i = from; i < to; i++) lengths[i - from] = offsets[i + 1] - offsets[i];
  encodeDeltaInt32(sink, lengths, 0, lengths.length);
  if (to === from) return;
  const size = offsets[to] - offsets[from];
  reserve(sink, size);
  sink.bytes.set(bytes.subarray(offsets[from], offsets[to]), sink.length);
  sink.length += size;
}

/** The index of the smallest 64-bit number. */
function smallestOf(low: Uint32Array, high: Int32Array, count: number): number {
  let least = 0;
  for (let i = 1; i < count; i++) {
    if (high[i] < high[least] || (high[i] === high[least] && low[i] < low[least])) least = i;
  }
  return least;
}

/** 1 when the unsigned words a − b = difference borrow from the next word: by its bits, because a branch would be a guess. */
function borrowOf(a: number, b: number, difference: number): number {
  return ((~a & b) | ((~a | b) & difference)) >>> 31;
}

/** 1 when the unsigned words a + b = sum carry into the next word. */
function carryOf(a: number, b: number, sum: number): number {
  return ((a & b) | ((a | b) & ~sum)) >>> 31;
}

/** Reserves the width bytes, all zero, and returns where they are: a miniblock without values keeps width 0. */
function startMiniblocks(sink: Sink): number {
  reserve(sink, MINIBLOCKS + BLOCK_VALUES * 8);
  sink.bytes.fill(0, sink.length, sink.length + MINIBLOCKS);
  sink.length += MINIBLOCKS;
  return sink.length - MINIBLOCKS;
}

function putMiniblock(sink: Sink, widthAt: number, width: number, deltas: Uint32Array, start: number): void {
  sink.bytes[widthAt] = width;
  packBits(width, deltas, start, sink.view, sink.length, MINIBLOCK_VALUES / 8);
  sink.length += (MINIBLOCK_VALUES / 8) * width;
}

/** Values of 33 to 64 bits, rare enough for a loop over bytes. */
function putWideMiniblock(
  sink: Sink,
  widthAt: number,
  width: number,
  low: Uint32Array,
  high: Int32Array,
  start: number,
): void {
  sink.bytes[widthAt] = width;
  const bytes = sink.bytes;
  bytes.fill(0, sink.length, sink.length + (MINIBLOCK_VALUES / 8) * width);
  let bit = sink.length * 8;
  for (let i = start; i < start + MINIBLOCK_VALUES; i++, bit += width) {
    orBits(bytes, bit, low[i], 32);
    orBits(bytes, bit + 32, high[i], width - 32);
  }
  sink.length += (MINIBLOCK_VALUES / 8) * width;
}

function orBits(bytes: Uint8Array, bit: number, value: number, width: number): void {
  for (let done = 0; done < width; ) {
    const at = Math.floor(bit / 8);
    const shift = bit % 8;
    bytes[at] |= (value >>> done) << shift;
    done += 8 - shift;
    bit += 8 - shift;
  }
}

/** A zigzag varint of the 64-bit number (high, low). */
function putZigzag(sink: Sink, low: number, high: number): void {
  const sign = high >> 31;
  let zLow = ((low << 1) ^ sign) >>> 0;
  let zHigh = (((high << 1) | (low >>> 31)) ^ sign) >>> 0;
  reserve(sink, 10);
  while (zHigh !== 0 || zLow > 0x7f) {
    sink.bytes[sink.length++] = (zLow & 0x7f) | 0x80;
    zLow = ((zLow >>> 7) | (zHigh << 25)) >>> 0;
    zHigh >>>= 7;
  }
  sink.bytes[sink.length++] = zLow;
}

/**
 * Decodes exactly `count` int32 values from bytes[from, to) into `out`.
 * @returns where the encoding ended
 * @throws VivaceError `undecodable`
 */
export function decodeDeltaInt32(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  count: number,
  out: Int32Array,
): number {
  const input = openDelta(bytes, view, from, to, count);
  let value = input.low;
  if (count > 0) out[0] = value;
  for (let done = 1; done < count; ) {
    startBlock(input);
    const least = input.low;
    for (let m = 0; m < input.miniblocks && done < count; m++) {
      const n = Math.min(input.miniblockValues, count - done);
      const width = bytes[input.widthsAt + m];
      if (width > 32) throw undecodable(`a delta of ${width} bits between int32 values`);
      const deltas = unpackMiniblock(input, width, n);
      for (let i = 0; i < n; i++) out[done + i] = value = (value + least + deltas[i]) | 0;
      done += n;
    }
  }
  return input.at;
}

/**
 * Decodes exactly `count` int64 values from bytes[from, to) into `out` as little-endian word pairs.
 * @returns where the encoding ended
 * @throws VivaceError `undecodable`
 */
export function decodeDeltaInt64(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  count: number,
  out: Int32Array,
): number {
  const input = openDelta(bytes, view, from, to, count);
  let low = input.low;
  let high = input.high;
  if (count > 0) {
    out[0] = low;
    out[1] = high;
  }
  for (let done = 1; done < count; ) {
    startBlock(input);
    const leastLow = input.low;
    const leastHigh = input.high;
    for (let m = 0; m < input.miniblocks && done < count; m++) {
      const n = Math.min(input.miniblockValues, count - done);
      const width = bytes[input.widthsAt + m];
      if (width <= 32) {
        const deltas = unpackMiniblock(input, width, n);
        for (let i = 0, o = done * 2; i < n; i++, o += 2) {
          const delta = deltas[i] | 0;
          const step = (delta + leastLow) | 0;
          const sum = (low + step) | 0;
          high = (high + leastHigh + carryOf(delta, leastLow, step) + carryOf(low, step, sum)) | 0;
          low = sum;
          out[o] = low;
          out[o + 1] = high;
        }
      } else {
        if (width > 64) throw undecodable(`a delta of ${width} bits`);
        checkMiniblock(input, width, n);
        for (let i = 0, o = done * 2, bit = input.at * 8; i < n; i++, o += 2, bit += width) {
          const delta = getBits(bytes, bit, 32);
          const step = (delta + leastLow) | 0;
          const sum = (low + step) | 0;
          high = (high + getBits(bytes, bit + 32, width - 32) + leastHigh) | 0;
          high = (high + carryOf(delta, leastLow, step) + carryOf(low, step, sum)) | 0;
          low = sum;
          out[o] = low;
          out[o + 1] = high;
        }
        input.at = Math.min(to, input.at + (input.miniblockValues / 8) * width);
      }
      done += n;
    }
  }
  return input.at;
}

/**
 * DELTA_LENGTH_BYTE_ARRAY: fills `offsets` (count + 1) and returns the values' bytes as a view.
 * @throws VivaceError `undecodable`
 */
export function decodeDeltaLength(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  count: number,
  offsets: Uint32Array,
): Uint8Array {
  const lengths = new Int32Array(count);
  const start = count === 0 ? from : decodeDeltaInt32(bytes, view, from, to, count, lengths);
  let offset = 0;
  offsets[0] = 0;
  for (let i = 0; i < count; i++) {
    if (lengths[i] < 0 || lengths[i] > to - start - offset) throw undecodable(`length ${lengths[i]} of value ${i}`);
    offsets[i + 1] = offset += lengths[i];
  }
  return bytes.subarray(start, start + offset);
}

/**
 * DELTA_BYTE_ARRAY: every value is a prefix of the one before and a suffix. Fills `offsets` and returns the bytes.
 * @param bytesMax the most that the values may take together: prefixes can make much of little
 * @throws VivaceError `undecodable`
 */
export function decodeDeltaBytes(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  count: number,
  offsets: Uint32Array,
  bytesMax: number,
): Uint8Array {
  offsets[0] = 0;
  if (count === 0) return new Uint8Array(0);
  const prefixes = new Int32Array(count);
  const suffixOffsets = new Uint32Array(count + 1);
  const suffixesAt = decodeDeltaInt32(bytes, view, from, to, count, prefixes);
  const suffixes = decodeDeltaLength(bytes, view, suffixesAt, to, count, suffixOffsets);
  let size = 0;
  let last = 0;
  for (let i = 0; i < count; i++) {
    if (prefixes[i] < 0 || prefixes[i] > last) throw undecodable(`prefix ${prefixes[i]} of value ${i}`);
    last = prefixes[i] + suffixOffsets[i + 1] - suffixOffsets[i];
    offsets[i + 1] = size += last;
    if (size > bytesMax) throw undecodable(`values of more than ${bytesMax} bytes together`);
  }
  const out = new Uint8Array(size);
  for (let i = 0; i < count; i++) {
    const at = offsets[i];
    if (prefixes[i] > 0) out.copyWithin(at, offsets[i - 1], offsets[i - 1] + prefixes[i]);
    out.set(suffixes.subarray(suffixOffsets[i], suffixOffsets[i + 1]), at + prefixes[i]);
  }
  return out;
}

export interface DeltaInput {
  bytes: Uint8Array;
  view: DataView;
  to: number;
  /** The next byte. */
  at: number;
  miniblocks: number;
  miniblockValues: number;
  widthsAt: number;
  /** Of the miniblock at hand; made with the first one. */
  deltas: Uint32Array | undefined;
  /** The 64-bit number read last: the first value, then a block's smallest delta. */
  low: number;
  high: number;
}

export function openDelta(bytes: Uint8Array, view: DataView, from: number, to: number, count: number): DeltaInput {
  const input: DeltaInput = {
    bytes,
    view,
    to,
    at: from,
    miniblocks: 0,
    miniblockValues: 0,
    widthsAt: 0,
    deltas: undefined,
    low: 0,
    high: 0,
  };
  const blockValues = getVarint(input);
  input.miniblocks = getVarint(input);
  const total = getVarint(input);
  getZigzag(input);
  input.miniblockValues = blockValues / input.miniblocks;
  const sound = blockValues > 0 && blockValues <= BLOCK_VALUES_MAX && input.miniblockValues % 8 === 0;
  if (!sound) throw undecodable(`delta blocks of ${blockValues} values in ${input.miniblocks} miniblocks`);
  if (total !== count) throw undecodable(`${total} deltas where ${count} values belong`);
  return input;
}

export function startBlock(input: DeltaInput): void {
  getZigzag(input);
  input.widthsAt = input.at;
  input.at += input.miniblocks;
  if (input.at > input.to) throw undecodable('the deltas end in the middle of a block');
}

/** The first `n` deltas of the miniblock at hand; a last miniblock may be cut off after its last value. */
function unpackMiniblock(input: DeltaInput, width: number, n: number): Uint32Array {
  checkMiniblock(input, width, n);
  input.deltas ??= new Uint32Array(input.miniblockValues);
  const size = (input.miniblockValues / 8) * width;
  if (input.at + size <= input.to) {
    unpackBits(width, input.view, input.at, input.deltas, 0, input.miniblockValues / 8);
    input.at += size;
  } else {
    const padded = new Uint8Array(size);
    padded.set(input.bytes.subarray(input.at, input.to));
    unpackBits(width, new DataView(padded.buffer), 0, input.deltas, 0, input.miniblockValues / 8);
    input.at = input.to;
  }
  return input.deltas;
}

export function checkMiniblock(input: DeltaInput, width: number, n: number): void {
  if (input.at + Math.ceil((n * width) / 8) > input.to)
    throw undecodable('the deltas end in the middle of a miniblock');
}

/** Up to 32 bits from any bit position, a byte at a time. */
function getBits(bytes: Uint8Array, bit: number, width: number): number {
  let value = 0;
  for (let done = 0; done < width; ) {
    const shift = bit % 8;
    const take = Math.min(8 - shift, width - done);
    value |= ((bytes[Math.floor(bit / 8)] >>> shift) & ((1 << take) - 1)) << done;
    done += take;
    bit += take;
  }
  return value;
}

interface Cursor {
  bytes: Uint8Array;
  at: number;
  to: number;
  low: number;
  high: number;
}

function getVarint(input: Cursor): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    if (input.at >= input.to) throw undecodable('the deltas end in their header');
    const byte = input.bytes[input.at++];
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value >>> 0;
  }
  throw undecodable('a varint is longer than five bytes');
}

function getZigzag(input: Cursor): void {
  let low = 0;
  let high = 0;
  for (let shift = 0; ; shift += 7) {
    if (input.at >= input.to) throw undecodable('the deltas end in a number');
    if (shift > 63) throw undecodable('a varint is longer than ten bytes');
    const byte = input.bytes[input.at++];
    const bits = byte & 0x7f;
    if (shift < 32) low |= bits << shift;
    if (shift === 28) high |= bits >>> 4;
    else if (shift > 28) high |= bits << (shift - 32);
    if (byte < 0x80) break;
  }
  const sign = -(low & 1);
  input.low = ((low >>> 1) | (high << 31)) ^ sign;
  input.high = (high >>> 1) ^ sign;
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', reason);
}
