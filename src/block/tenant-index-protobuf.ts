/**
 * The index of a tenant's blocks as Tempo reads it first, `<tenant>/index.pb.zst`: a zstd frame around a message (docs/formats/bucket.md).
 *
 *   TenantIndex         1 created_at   2 BlockMeta …   3 CompactedBlockMeta …
 *   CompactedBlockMeta  1 BlockMeta    2 compacted_time
 *   BlockMeta           1 format   2 block id, 16 bytes   5 tenant   6 start   7 end   8 traces   9 bytes   10 level
 *                       11 encoding, one byte   12 index page size   13 row groups   15 bloom shards   16 bytes of the footer
 *
 * Times are google.protobuf.Timestamp; what is 0 or empty is left out.
 */
import { zstdCompressSync } from 'node:zlib';
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';
import { unzstd } from '../wire/zstd.ts';
import type { BlockMeta } from './meta.ts';

const INDEX_RAW_BYTES_MAX = 512 << 20;
const CHUNK_BYTES = 64 * 1024;
/** Bytes that the length of a block's meta takes, mostly. */
const META_LENGTH_BYTES = 2;

const bytesTag = (field: number): number => tagOf(field, WIRE_BYTES);
const CREATED = bytesTag(1);
const LIVE = bytesTag(2);
const COMPACTED = bytesTag(3);
const COMPACTED_META = bytesTag(1);
const COMPACTED_TIME = bytesTag(2);
const FORMAT = bytesTag(1);
const BLOCK_ID = bytesTag(2);
const SECONDS = tagOf(1, WIRE_VARINT);
const NANOS = tagOf(2, WIRE_VARINT);

/** What Tempo's form says of blocks: not all that ours need (`vivace`). */
export interface ListedBlocks {
  createdMs: number;
  live: { id: string; format: string }[];
  compacted: string[];
}

/** `compacted` as pairs of meta and the time when the block was merged. */
export function renderProtobufIndex(
  createdMs: number,
  live: Iterable<BlockMeta>,
  compacted: Iterable<readonly [BlockMeta, number]>,
): Uint8Array {
  const writer = new ProtoWriter();
  timestamp(writer, CREATED, createdMs);
  for (const meta of live) block(writer, LIVE, meta);
  for (const [meta, ms] of compacted) {
    const mark = writer.begin(COMPACTED, META_LENGTH_BYTES);
    block(writer, COMPACTED_META, meta);
    timestamp(writer, COMPACTED_TIME, ms);
    writer.end(mark, META_LENGTH_BYTES);
  }
  return zstdCompressSync(writer.finish());
}

/** Throws for what is no index. */
export async function parseProtobufIndex(bytes: Uint8Array): Promise<ListedBlocks> {
  const reader = new ProtoReader(await unzstd(bytes, INDEX_RAW_BYTES_MAX, CHUNK_BYTES));
  const found: ListedBlocks = { createdMs: Number.NaN, live: [], compacted: [] };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag())
    if (tag === CREATED) found.createdMs = readTimestamp(reader);
    else if (tag === LIVE) found.live.push(readBlock(reader));
    else if (tag === COMPACTED) {
      const outer = reader.enter();
      for (let inner = reader.tag(); inner !== 0; inner = reader.tag())
        if (inner === COMPACTED_META) found.compacted.push(readBlock(reader).id);
        else reader.skip(inner);
      reader.leave(outer);
    } else reader.skip(tag);
  if (Number.isNaN(found.createdMs)) throw new Error('it does not say when it was made');
  return found;
}

function block(writer: ProtoWriter, tag: number, meta: BlockMeta): void {
  const mark = writer.begin(tag, META_LENGTH_BYTES);
  writer.stringField(FORMAT, meta.format);
  writer.bytesField(BLOCK_ID, Buffer.from(meta.blockID.replaceAll('-', ''), 'hex'));
  writer.stringField(bytesTag(5), meta.tenantID);
  timestamp(writer, bytesTag(6), Date.parse(meta.startTime));
  timestamp(writer, bytesTag(7), Date.parse(meta.endTime));
  const number = (field: number, value: number): void => {
    if (value > 0) writer.varintField(tagOf(field, WIRE_VARINT), value);
  };
  number(8, meta.totalObjects);
  number(9, meta.size);
  number(10, meta.compactionLevel);
  // No encoding.
  writer.bytesField(bytesTag(11), new Uint8Array(1));
  number(12, meta.indexPageSize);
  number(13, meta.totalRecords);
  number(15, meta.bloomShards);
  number(16, meta.footerSize);
  writer.end(mark, META_LENGTH_BYTES);
}

function timestamp(writer: ProtoWriter, tag: number, ms: number): void {
  const mark = writer.begin(tag);
  const seconds = Math.floor(ms / 1000);
  writer.varintField(SECONDS, seconds);
  if (ms > 1000 * seconds) writer.varintField(NANOS, Math.round((ms - 1000 * seconds) * 1e6));
  writer.end(mark);
}

function readTimestamp(reader: ProtoReader): number {
  const outer = reader.enter();
  let [seconds, nanos] = [0, 0];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag())
    if (tag === SECONDS) seconds = reader.varint();
    else if (tag === NANOS) nanos = reader.varint();
    else reader.skip(tag);
  reader.leave(outer);
  return 1000 * seconds + Math.floor(nanos / 1e6);
}

function readBlock(reader: ProtoReader): { id: string; format: string } {
  const outer = reader.enter();
  let [id, format] = ['', ''];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag())
    if (tag === FORMAT) format = reader.stringValue();
    else if (tag === BLOCK_ID) id = uuidOf(reader.bytesValue());
    else reader.skip(tag);
  reader.leave(outer);
  return { id, format };
}

function uuidOf(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
