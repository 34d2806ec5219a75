/**
 * Parquet's split-block bloom filter (BloomFilter.md of the format): blocks of eight 32-bit words. The high half of a
 * value's xxHash64 chooses the block, the low half, times a salt for each word, one bit in each of the block's words.
 *
 *   file := header (thrift: numBytes, algorithm BLOCK, hash XXHASH, compression UNCOMPRESSED) · numBytes bytes
 */
import { VivaceError } from '../runtime/errors.ts';
import { inRuns } from '../runtime/runs.ts';
import type { Values } from './column.ts';
import { rawBytes } from './plain.ts';
import { putBytes, type Sink } from './sink.ts';
import { ThriftReader, ThriftWriter } from './thrift.ts';
import { type Hash64, xxhash64 } from './xxhash64.ts';

/** The format's salts, one for each word of a block. */
const SALT = Int32Array.of(
  0x47b6137b,
  0x44974d91,
  0x8824ad5b,
  0xa2b7289d,
  0x705495c7,
  0x2df1424b,
  0x9efc4947,
  0x5c6bfb31,
);

const BLOCK_BYTES = 32;

/** Readers of other projects refuse filters above 128 MiB; at 16 bits a value this one holds 32 million. */
const FILTER_BYTES_MAX = 64 << 20;

/** The filter over distinct values, header and all, appended to `sink`. */
export function putBloomFilter(sink: Sink, values: Values, bitsPerValue: number): void {
  const bytesWanted = Math.ceil((values.count * bitsPerValue) / 8);
  const blocks = Math.max(1, Math.ceil(Math.min(bytesWanted, FILTER_BYTES_MAX) / BLOCK_BYTES));
  const words = new Int32Array(blocks * 8);
  addValues(words, values);
  const thrift = new ThriftWriter(sink);
  thrift.beginElement();
  thrift.i32(1, words.byteLength);
  for (let union = 2; union <= 4; union++) {
    thrift.begin(union);
    thrift.empty(1);
    thrift.end();
  }
  thrift.end();
  putBytes(sink, new Uint8Array(words.buffer));
}

/** A filter as read from a file. */
export interface BloomFilter {
  /** Eight words a block. */
  words: Int32Array;
}

/**
 * Reads a filter, header and all, from the bytes that the footer's bloom offset and length name.
 * @throws VivaceError `undecodable`
 */
export function parseBloomFilter(bytes: Uint8Array): BloomFilter {
  const r = new ThriftReader(bytes);
  let size = 0;
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    if (id === 1) size = r.size();
    else if (id <= 4 && unionCase(r) !== 1) throw undecodable(`an unknown method in field ${id}`);
    else if (id > 4) r.skip();
  }
  if (size === 0 || size % BLOCK_BYTES !== 0) throw undecodable(`its size is ${size} bytes`);
  if (size > bytes.length - r.offset) throw undecodable(`${bytes.length - r.offset} of ${size} bytes are there`);
  const words = new Int32Array(size / 4);
  new Uint8Array(words.buffer).set(bytes.subarray(r.offset, r.offset + size));
  return { words };
}

/** False: the chunk has no such value. True: it may have it. `value[from, to)` is the value as PLAIN, without a length. */
export function mayContain(filter: BloomFilter, value: Uint8Array, from = 0, to = value.length): boolean {
  const hash: Hash64 = new Int32Array(2);
  xxhash64(value, from, to, hash);
  return mayContainHash(filter, hash);
}

/** The same for a value whose xxHash64 is known, when many filters are asked for it. */
export function mayContainHash(filter: BloomFilter, hash: Hash64): boolean {
  const at = blockOf(hash, filter.words.length / 8) * 8;
  for (let i = 0; i < 8; i++) {
    if ((filter.words[at + i] & (1 << (Math.imul(hash[0], SALT[i]) >>> 27))) === 0) return false;
  }
  return true;
}

function addValues(words: Int32Array, values: Values): void {
  const hash: Hash64 = new Int32Array(2);
  if (values.type === 'boolean') throw new TypeError('a bloom filter over booleans cannot exclude anything');
  if (values.type === 'bytes') {
    inRuns(values.count, addStrings, words, values.bytes, values.offsets, hash);
    return;
  }
  const raw = rawBytes(values, 0, values.count);
  const width = values.count === 0 ? 0 : raw.length / values.count;
  inRuns(values.count, addFixed, words, raw, width, hash);
}

function addStrings(
  from: number,
  to: number,
  words: Int32Array,
  bytes: Uint8Array,
  offsets: Uint32Array,
  hash: Hash64,
): void {
  for (let i = from; i < to; i++) {
    xxhash64(bytes, offsets[i], offsets[i + 1], hash);
    addHash(words, hash);
  }
}

function addFixed(from: number, to: number, words: Int32Array, raw: Uint8Array, width: number, hash: Hash64): void {
  for (let i = from; i < to; i++) {
    xxhash64(raw, i * width, (i + 1) * width, hash);
    addHash(words, hash);
  }
}

function addHash(words: Int32Array, hash: Hash64): void {
  const at = blockOf(hash, words.length / 8) * 8;
  for (let i = 0; i < 8; i++) words[at + i] |= 1 << (Math.imul(hash[0], SALT[i]) >>> 27);
}

/** hash × blocks / 2^64: exact, because a filter has fewer than 2^21 blocks. */
function blockOf(hash: Hash64, blocks: number): number {
  return Math.floor(((hash[1] >>> 0) * blocks) / 2 ** 32);
}

/** The number of the case that a union holds. */
function unionCase(r: ThriftReader): number {
  r.struct();
  let chosen = 0;
  for (let id = r.field(0); id !== 0; id = r.field(id)) {
    chosen = id;
    r.skip();
  }
  return chosen;
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', `cannot read a bloom filter: ${reason}`);
}
