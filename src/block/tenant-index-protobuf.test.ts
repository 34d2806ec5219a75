import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { TimestampSchema } from '@bufbuild/protobuf/wkt';
import type { BlockMeta } from './meta.ts';
import { parseProtobufIndex, renderProtobufIndex } from './tenant-index-protobuf.ts';

const NOW_MS = Date.parse('2026-11-20T10:00:00.250Z');

function metaOf(size: number, format = 'vivace1'): BlockMeta {
  return {
    ...{ format, blockID: randomUUID(), tenantID: 'team' },
    ...{ startTime: '2026-11-20T10:00:00Z', endTime: '2026-11-20T10:05:00Z' },
    ...{ totalObjects: 300, size, compactionLevel: 0, encoding: 'none', indexPageSize: 0, totalRecords: 1 },
    ...{ dataEncoding: '', bloomShards: 0, footerSize: 1 },
    vivace: { spans: 1, pageRows: 8, tracesBytes: 1 },
  };
}

test('what is written is read', async () => {
  const live = [metaOf(2 ** 33), metaOf(0), metaOf(70_000, 'vParquet4')];
  const gone = metaOf(5);
  assert.deepEqual(await parseProtobufIndex(renderProtobufIndex(NOW_MS, live, [[gone, NOW_MS - 1]])), {
    createdMs: NOW_MS,
    live: live.map(({ blockID, format }) => ({ id: blockID, format })),
    compacted: [gone.blockID],
  });
});

test('byte by byte as the definition has it', () => {
  const meta = metaOf(300);
  const stamp = (text: string): Buffer => {
    const value = create(TimestampSchema, { seconds: BigInt(Date.parse(text) / 1000) });
    return Buffer.from(toBinary(TimestampSchema, value));
  };
  const field = (tag: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([tag, value.length]), value]);
  const block = Buffer.concat([
    field(0x0a, Buffer.from('vivace1')),
    field(0x12, Buffer.from(meta.blockID.replaceAll('-', ''), 'hex')),
    field(0x2a, Buffer.from('team')),
    field(0x32, stamp(meta.startTime)),
    field(0x3a, stamp(meta.endTime)),
    // total_objects 300, size 300, encoding none, total_records 1, footer_size 1
    Buffer.from([0x40, 0xac, 2, 0x48, 0xac, 2, 0x5a, 1, 0, 0x68, 1]),
    Buffer.from([0x80, 1, 1]),
  ]);
  const whole = zstdDecompressSync(renderProtobufIndex(Date.parse(meta.startTime), [meta], []));
  assert.deepEqual(whole, Buffer.concat([field(0x0a, stamp(meta.startTime)), field(0x12, block)]));
});

test('what is no index is refused', async () => {
  await assert.rejects(parseProtobufIndex(Buffer.from('no zstd')));
  await assert.rejects(parseProtobufIndex(zstdCompressSync(Buffer.from([0x12, 0x7f]))), /cut short|beyond the end/);
  await assert.rejects(parseProtobufIndex(zstdCompressSync(Buffer.alloc(0))), /does not say when it was made/);
});
