/**
 * The filters of trace ids of a tenant's blocks in one object of the bucket, `<tenant>/trace-filters`: a process that starts
 * reads it, and of other blocks only one by one. Little-endian; docs/formats/bucket.md.
 *
 * ```
 *  0         8        12       16
 *  ┌─────────┬────────┬────────┬──────────────────────────────────────────────────────────┬────────────────┐
 *  │VIVFLT1\n│ groups │ crc-32 │ block id 16 · first id 16 · last id 16 · length u32      │ filters, one   │
 *  │         │ G      │ of the │ · crc-32 u32 of the filter                               │ after the      │
 *  │         │        │ next   │ G times                                                  │ other          │
 *  └─────────┴────────┴────────┴──────────────────────────────────────────────────────────┴────────────────┘
 *  filter: the words of Parquet's split-block filter of a row group, without its header
 * ```
 */
import { crc32 } from 'node:zlib';
import { VivaceError } from '../runtime/errors.ts';
import type { TraceFilter } from './trace-filters.ts';

const MAGIC = 'VIVFLT1\n';
const HEAD_BYTES = 16;
const ENTRY_BYTES = 56;
const FILTER_BLOCK_BYTES = 32;

/** The object, in pieces. */
export function renderFilterPack(filters: ReadonlyMap<string, TraceFilter[]>): Uint8Array[] {
  const groups = [...filters.values()].reduce((sum, { length }) => sum + length, 0);
  const head = Buffer.alloc(HEAD_BYTES + ENTRY_BYTES * groups);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(groups, 8);
  const pieces: Uint8Array[] = [head];
  let at = HEAD_BYTES;
  for (const [id, ofBlock] of filters)
    for (const { first, last, bloom } of ofBlock) {
      const { buffer, byteOffset, byteLength } = bloom.words;
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      head.write(id.replaceAll('-', ''), at, 'hex');
      head.set(first, at + 16);
      head.set(last, at + 32);
      head.writeUInt32LE(byteLength, at + 48);
      head.writeUInt32LE(crc32(bytes), at + 52);
      at += ENTRY_BYTES;
      pieces.push(bytes);
    }
  head.writeUInt32LE(crc32(head.subarray(HEAD_BYTES)), 12);
  return pieces;
}

/** The filters by block, in memory of their own; a block with a damaged one is left out. Throws VivaceError 'undecodable'. */
export function parseFilterPack(bytes: Uint8Array): Map<string, TraceFilter[]> {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.length < HEAD_BYTES || head.toString('latin1', 0, 8) !== MAGIC)
    throw undecodable('it does not begin as one');
  const entriesEnd = HEAD_BYTES + ENTRY_BYTES * head.readUInt32LE(8);
  if (entriesEnd > head.length || crc32(head.subarray(HEAD_BYTES, entriesEnd)) !== head.readUInt32LE(12))
    throw undecodable('its checksum differs');
  const filters = new Map<string, TraceFilter[]>();
  const damaged = new Set<string>();
  for (let entry = HEAD_BYTES, at = entriesEnd; entry < entriesEnd; entry += ENTRY_BYTES) {
    const id = uuid(head.toString('hex', entry, entry + 16));
    const length = head.readUInt32LE(entry + 48);
    const filter = head.subarray(at, at + length);
    at += length;
    if (length === 0 || length % FILTER_BLOCK_BYTES !== 0 || crc32(filter) !== head.readUInt32LE(entry + 52)) {
      damaged.add(id);
      continue;
    }
    const words = new Int32Array(length / 4);
    new Uint8Array(words.buffer).set(filter);
    const idAt = (from: number): Uint8Array => new Uint8Array(head.subarray(from, from + 16));
    const group = { first: idAt(entry + 16), last: idAt(entry + 32), bloom: { words } };
    const groups = filters.get(id);
    if (groups === undefined) filters.set(id, [group]);
    else groups.push(group);
  }
  for (const id of damaged) filters.delete(id);
  return filters;
}

function uuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function undecodable(reason: string): VivaceError {
  return new VivaceError('undecodable', `cannot read the filters of trace ids: ${reason}`);
}
