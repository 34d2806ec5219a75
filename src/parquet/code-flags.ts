/**
 * Which values of a run of dictionary codes have one of the wanted codes, as bits. Narrow codes are not even unpacked: a few
 * of them at a time are a number, and a table says which of the values in it are wanted.
 *
 *   2 bits a code   │ c3 c2 c1 c0 │  ── table of 256 ──▶  │ w3 w2 w1 w0 │  1 where the code is wanted
 *
 * (Two million codes of 2 bits: 1.2 ms; unpacked, looked up and put into bits they took 12.)
 */
import { VivaceError } from '../runtime/errors.ts';
import { decodeCodes } from './hybrid.ts';

/** Codes up to this many bits are looked up packed. */
const PACKED_WIDTH_MAX = 4;

/** Codes that are looked for, and tables made of them. */
export class CodeFlags {
  /** 1 for each code that is wanted. */
  readonly flags: Uint8Array;
  /** How many are wanted, and the first of them, -1 without any. */
  readonly count: number;
  readonly first: number;
  readonly #tables: (Uint8Array | undefined)[] = [];

  constructor(flags: Uint8Array) {
    this.flags = flags;
    this.first = flags.indexOf(1);
    let count = 0;
    for (let code = 0; code < flags.length; code++) count += flags[code];
    this.count = count;
  }

  /** For numbers of so many bits that hold codes of `width` bits: a bit for each of them. */
  table(width: number): Uint8Array {
    let table = this.#tables[width];
    if (table === undefined) {
      const bits = bitsLookedUp(width);
      table = new Uint8Array(1 << bits);
      for (let packed = 0; packed < table.length; packed++)
        for (let at = 0, bit = 0; at < bits; at += width, bit++)
          table[packed] |= (this.flags[(packed >>> at) & ((1 << width) - 1)] ?? 0) << bit;
      this.#tables[width] = table;
    }
    return table;
  }
}

/** Four codes of three bits are looked up together, of other widths as many as a byte has. */
function bitsLookedUp(width: number): number {
  return width === 3 ? 12 : 8;
}

/** Arrays that are used again. */
export interface CodesScratch {
  codes: Uint32Array;
}

/**
 * Sets bit `at + i` of `out` for each of the `count` hybrid-encoded values in bytes[from, to) whose code is wanted; whether
 * there was one.
 * @throws VivaceError `undecodable` when the bytes end first
 */
export function flagCodes(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  width: number,
  count: number,
  wanted: CodeFlags,
  out: Uint8Array,
  at: number,
  scratch: CodesScratch,
): boolean {
  if (width > 0 && width <= PACKED_WIDTH_MAX) return flagPacked(bytes, from, to, width, count, wanted, out, at);
  if (scratch.codes.length < count) scratch.codes = new Uint32Array(Math.max(count, 2 * scratch.codes.length));
  const { codes } = scratch;
  decodeCodes(bytes, view, from, to, width, count, codes);
  return wanted.count === 1
    ? flagOne(codes.subarray(0, count), wanted.first, out, at)
    : flagUnpacked(codes, count, wanted.flags, out, at);
}

function flagPacked(
  bytes: Uint8Array,
  from: number,
  to: number,
  width: number,
  count: number,
  wanted: CodeFlags,
  out: Uint8Array,
  first: number,
): boolean {
  const { flags } = wanted;
  const table = wanted.table(width);
  let any = 0;
  let at = from;
  let done = 0;
  while (done < count) {
    let header = 0;
    let byte = 0x80;
    for (let shift = 0; byte > 0x7f; shift += 7) {
      if (at >= to || shift > 28) throw undecodable(done, count);
      byte = bytes[at++];
      header |= (byte & 0x7f) << shift;
    }
    const length = header >>> 1;
    if (length === 0) throw undecodable(done, count);
    if ((header & 1) === 0) {
      if (at >= to) throw undecodable(done, count);
      const values = Math.min(count - done, length);
      if (flags[bytes[at++]] === 1) {
        any = 1;
        fillBits(out, first + done, first + done + values);
      }
      done += values;
      continue;
    }
    const values = Math.min(count - done, length * 8);
    const used = Math.ceil((values * width) / 8);
    if (at + used > to) throw undecodable(done, count);
    any |= flagGroups(bytes, at, width, values >>> 3, table, out, first + done);
    const rest = values & 7;
    if (rest > 0) {
      const group = groupAt(bytes, at + (values >>> 3) * width, width, table) & ((1 << rest) - 1);
      any |= group;
      putGroup(out, first + done + values - rest, group);
    }
    at = Math.min(to, at + length * width);
    done += values;
  }
  return any !== 0;
}

/** Groups of eight values; each is a byte of `out`, or the end of one and the beginning of the next. */
function flagGroups(
  bytes: Uint8Array,
  from: number,
  width: number,
  groups: number,
  table: Uint8Array,
  out: Uint8Array,
  first: number,
): number {
  const shift = first & 7;
  let to = first >>> 3;
  let at = from;
  let any = 0;
  for (let group = 0; group < groups; group++, at += width) {
    const found = groupAt(bytes, at, width, table);
    any |= found;
    out[to++] |= found << shift;
    if (shift > 0) out[to] |= found >>> (8 - shift);
  }
  return any;
}

/** The flags of eight values of 1 to 4 bits. */
function groupAt(bytes: Uint8Array, at: number, width: number, table: Uint8Array): number {
  switch (width) {
    case 1:
      return table[bytes[at]];
    case 2:
      return table[bytes[at]] | (table[bytes[at + 1]] << 4);
    case 3: {
      const packed = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
      return table[packed & 0xfff] | (table[packed >>> 12] << 4);
    }
    default:
      return table[bytes[at]] | (table[bytes[at + 1]] << 2) | (table[bytes[at + 2]] << 4) | (table[bytes[at + 3]] << 6);
  }
}

/** A code that is rare is searched for by the platform, which compares many at a time. */
function flagOne(codes: Uint32Array, wanted: number, out: Uint8Array, first: number): boolean {
  let at = codes.indexOf(wanted);
  if (at < 0) return false;
  // One that is everywhere is not.
  for (let found = 0; at >= 0 && found < codes.length >>> 6; found++) {
    out[(first + at) >>> 3] |= 1 << ((first + at) & 7);
    at = codes.indexOf(wanted, at + 1);
  }
  if (at >= 0)
    for (; at < codes.length; at++) if (codes[at] === wanted) out[(first + at) >>> 3] |= 1 << ((first + at) & 7);
  return true;
}

function flagUnpacked(codes: Uint32Array, count: number, flags: Uint8Array, out: Uint8Array, first: number): boolean {
  let any = 0;
  let i = 0;
  for (; i + 8 <= count; i += 8) {
    const group =
      flags[codes[i]] |
      (flags[codes[i + 1]] << 1) |
      (flags[codes[i + 2]] << 2) |
      (flags[codes[i + 3]] << 3) |
      (flags[codes[i + 4]] << 4) |
      (flags[codes[i + 5]] << 5) |
      (flags[codes[i + 6]] << 6) |
      (flags[codes[i + 7]] << 7);
    any |= group;
    putGroup(out, first + i, group);
  }
  let group = 0;
  for (let bit = 0; i + bit < count; bit++) group |= flags[codes[i + bit]] << bit;
  putGroup(out, first + i, group);
  return (any | group) !== 0;
}

/**
 * The bits of values as bits of rows: row i has the next value where `levels[i]` is `level`.
 * Sets bits from `at` on.
 */
export function spreadBits(
  values: Uint8Array,
  levels: Uint8Array,
  level: number,
  rows: number,
  out: Uint8Array,
  at: number,
): void {
  let value = 0;
  for (let row = 0; row < rows; row += 8) {
    let group = 0;
    const end = Math.min(8, rows - row);
    for (let bit = 0; bit < end; bit++) {
      // 1 where the row has a value, without a branch.
      const present = ((levels[row + bit] ^ level) - 1) >>> 31;
      group |= ((values[value >>> 3] >>> (value & 7)) & present) << bit;
      value += present;
    }
    putGroup(out, at + row, group);
  }
}

function putGroup(out: Uint8Array, at: number, group: number): void {
  if (group === 0) return;
  const shift = at & 7;
  out[at >>> 3] |= group << shift;
  if (shift > 0 && group >>> (8 - shift) !== 0) out[(at >>> 3) + 1] |= group >>> (8 - shift);
}

function fillBits(out: Uint8Array, from: number, to: number): void {
  let at = from;
  for (; at < to && (at & 7) !== 0; at++) out[at >>> 3] |= 1 << (at & 7);
  const whole = at + ((to - at) & ~7);
  if (whole > at) out.fill(0xff, at >>> 3, whole >>> 3);
  for (at = Math.max(at, whole); at < to; at++) out[at >>> 3] |= 1 << (at & 7);
}

function undecodable(done: number, count: number): VivaceError {
  return new VivaceError('undecodable', `the codes end after ${done} of ${count}`);
}
