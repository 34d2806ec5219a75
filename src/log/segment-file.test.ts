import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { alignedBlocks, BLOCK_BYTES, SegmentFile } from './segment-file.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-segment-file-'));
after(() => fs.rmSync(root, { recursive: true }));

const COMMITS = [
  [Buffer.from('one')],
  [Buffer.alloc(10_000, 'a'), Buffer.alloc(0), Buffer.from('b')],
  // More than is gathered at once, in parts that do not fit its end.
  [Buffer.alloc(1_500_000, 'c'), Buffer.alloc(3_000_001, 'd'), Buffer.from('e')],
  Array.from({ length: 1500 }, (_, index) => Buffer.from(`part ${index} `)),
  [Buffer.alloc(BLOCK_BYTES, 'f')],
];

for (const [name, blocks] of [
  ['past the page cache', alignedBlocks()],
  ['by way of the page cache', undefined],
] as const) {
  test(`commits stand in their order, ${name}`, async () => {
    const file = path.join(root, name);
    const segment = await SegmentFile.create(file, true, blocks);
    const begins: number[] = [];
    for (const buffers of COMMITS) {
      begins.push(segment.bytes);
      await segment.append(buffers);
      assert.equal(fs.statSync(file).size, segment.bytes);
    }
    const bytes = fs.readFileSync(file);
    for (const [index, buffers] of COMMITS.entries()) {
      const wanted = Buffer.concat(buffers);
      const next = begins[index + 1] ?? bytes.length;
      assert.ok(bytes.subarray(begins[index], begins[index] + wanted.length).equals(wanted), `commit ${index}`);
      assert.ok(bytes.subarray(begins[index] + wanted.length, next).every((byte) => byte === 0));
      assert.ok(next - begins[index] - wanted.length < BLOCK_BYTES);
    }
    await segment.close();
  });

  test(`what failed is taken back, ${name}`, async () => {
    const file = path.join(root, `${name}, back`);
    const segment = await SegmentFile.create(file, true, blocks);
    await segment.append([Buffer.from('kept')]);
    const kept = segment.bytes;
    fs.appendFileSync(file, 'part of a commit that failed');
    await segment.takeBack();
    assert.equal(fs.statSync(file).size, kept);
    await segment.append([Buffer.from('next')]);
    assert.equal(fs.readFileSync(file, 'latin1').slice(kept, kept + 4), 'next');
    await segment.close();
  });
}

test('memory that does not begin at a block is written all the same', async () => {
  const file = path.join(root, 'not aligned');
  const segment = await SegmentFile.create(file, true, new Uint8Array(1 << 16).subarray(1, 1 + 8 * BLOCK_BYTES));
  for (const buffers of COMMITS) await segment.append(buffers);
  const bytes = fs.readFileSync(file);
  let at = 0;
  for (const buffers of COMMITS) {
    const wanted = Buffer.concat(buffers);
    at = bytes.indexOf(wanted.subarray(0, 64), at);
    assert.ok(at >= 0 && bytes.subarray(at, at + wanted.length).equals(wanted));
    at += wanted.length;
  }
  await segment.close();
});
