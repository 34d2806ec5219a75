import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { CHUNK_BYTES, isShared, RangeCache, readShared } from './range-cache.ts';

const SIZE = 20 * CHUNK_BYTES + 777;
const byteAt = (key: string, at: number): number => (at * 31 + (at >> 9) + key.charCodeAt(0)) & 0xff;

function cacheOf(chunks: number) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-range-cache-'));
  const asked: [key: string, offset: number, length: number][] = [];
  const failing = { now: false };
  const cache = new RangeCache({
    directory,
    bytesMax: chunks * CHUNK_BYTES,
    async read(key, offset, length) {
      asked.push([key, offset, length]);
      await new Promise((resolve) => setImmediate(resolve));
      if (failing.now) throw new Error('the bucket is away');
      assert.ok(offset + length <= SIZE);
      const bytes = new Uint8Array(length);
      for (let i = 0; i < length; i++) bytes[i] = byteAt(key, offset + i);
      return bytes;
    },
  });
  assert.deepEqual(fs.readdirSync(directory), []);
  fs.rmSync(directory, { recursive: true });
  return { cache, asked, failing };
}

function check(key: string, offset: number, bytes: Uint8Array): void {
  for (const at of [0, bytes.length >> 1, bytes.length - 1]) assert.equal(bytes[at], byteAt(key, offset + at));
}

test('any ranges, whatever is kept of them', async () => {
  const range = fc.record({
    key: fc.constantFrom('a', 'b'),
    offset: fc.nat(SIZE - 2),
    length: fc.integer({ min: 1, max: 6 * CHUNK_BYTES }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(range, { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 9 }),
      async (ranges, chunks) => {
        const { cache } = cacheOf(chunks);
        await Promise.all(
          ranges.map(async ({ key, offset, length: wanted }) => {
            const length = Math.min(wanted, SIZE - offset);
            const bytes = await cache.range(key, SIZE, offset, length);
            assert.equal(bytes.length, length);
            check(key, offset, bytes);
            const shared = cache.shared(key, SIZE)!;
            const again = readShared(shared, offset, length);
            assert.equal(again !== undefined, isShared(shared, offset, length));
            if (again !== undefined) assert.deepEqual(again, bytes);
          }),
        );
        assert.ok(cache.bytes <= chunks * CHUNK_BYTES);
        cache.close();
      },
    ),
    { numRuns: 40 },
  );
});

test('what is kept is not asked for again, and the rest in as few requests as there are gaps', async () => {
  const { cache, asked } = cacheOf(30);
  await cache.range('a', SIZE, 3 * CHUNK_BYTES + 5, 10);
  await cache.range('a', SIZE, 3 * CHUNK_BYTES, CHUNK_BYTES);
  assert.deepEqual(asked, [['a', 3 * CHUNK_BYTES, CHUNK_BYTES]]);
  await cache.range('a', SIZE, 0, SIZE);
  assert.deepEqual(asked.slice(1), [
    ['a', 0, 3 * CHUNK_BYTES],
    ['a', 4 * CHUNK_BYTES, SIZE - 4 * CHUNK_BYTES],
  ]);
  await cache.range('a', SIZE, 0, SIZE);
  assert.equal(asked.length, 3);
  cache.close();
});

test('two that want the same at the same time share a request', async () => {
  const { cache, asked } = cacheOf(30);
  await Promise.all([cache.range('a', SIZE, 0, 1000), cache.range('a', SIZE, 500, 1000)]);
  assert.equal(asked.length, 1);
  cache.close();
});

test('what is warmed is not asked for again, nor by those who come before it is there', async () => {
  const { cache, asked, failing } = cacheOf(30);
  failing.now = true;
  cache.warm('a', SIZE, 0, 10);
  await assert.rejects(cache.range('a', SIZE, 0, 10), /the bucket is away/);
  failing.now = false;
  cache.warm('a', SIZE, 0, 10);
  check('a', 0, await cache.range('a', SIZE, 0, 10));
  check('a', 5, await cache.range('a', SIZE, 5, 10));
  assert.equal(asked.length, 2);
  cache.close();
});

test('a failure is not kept', async () => {
  const { cache, failing } = cacheOf(30);
  failing.now = true;
  await assert.rejects(cache.range('a', SIZE, 0, 1000), /the bucket is away/);
  failing.now = false;
  check('a', 0, await cache.range('a', SIZE, 0, 1000));
  cache.close();
});

test('what is kept is read by others without asking, as long as it is kept; what they read stays', async () => {
  const { cache, asked } = cacheOf(4);
  const { places, ...rest } = cache.shared('a', SIZE)!;
  const shared = { places, ...rest };
  assert.equal(readShared(shared, 5, 1000), undefined);
  await cache.range('a', SIZE, 0, 4 * CHUNK_BYTES);
  const bytes = readShared(shared, CHUNK_BYTES - 10, CHUNK_BYTES + 20)!;
  check('a', CHUNK_BYTES - 10, bytes);
  assert.equal(readShared(shared, 3 * CHUNK_BYTES, CHUNK_BYTES + 1), undefined);
  // Chunks 0 to 2 were read just now, 3 was not.
  await cache.range('b', SIZE, 0, 10);
  assert.equal(isShared(shared, 0, 3 * CHUNK_BYTES), true);
  assert.equal(isShared(shared, 3 * CHUNK_BYTES, 1), false);
  for (let i = 0; i < 8; i++) await cache.range('b', SIZE, i * CHUNK_BYTES, 10);
  assert.equal(isShared(shared, 0, 1), false);
  assert.equal(asked.length, 9);
  cache.close();
});

test('without room nothing is kept', async () => {
  const { cache, asked } = cacheOf(0);
  for (let i = 0; i < 2; i++) check('a', 7, await cache.range('a', SIZE, 7, 1000));
  assert.deepEqual(asked, [
    ['a', 7, 1000],
    ['a', 7, 1000],
  ]);
});

test('what is forgotten is read anew, and its bytes are gone from the file', async () => {
  const { cache, asked } = cacheOf(8);
  for (const key of ['a/x/data', 'a/x/traces', 'b/x/data']) await cache.range(key, SIZE, 0, CHUNK_BYTES);
  const { file, places } = cache.shared('a/x/data', SIZE)!;
  const slot = places[0] - 1;
  cache.forget('a/x/', true);
  assert.equal(readShared({ file, places, used: new Uint8Array(8) }, 0, 10), undefined);
  const bytes = Buffer.alloc(CHUNK_BYTES);
  fs.readSync(file, bytes, 0, CHUNK_BYTES, slot * CHUNK_BYTES);
  assert.ok(bytes.every((byte) => byte === 0));
  asked.length = 0;
  for (const key of ['b/x/data', 'a/x/data', 'a/x/traces']) check(key, 0, await cache.range(key, SIZE, 0, CHUNK_BYTES));
  assert.deepEqual(
    asked.map(([key]) => key),
    ['a/x/data', 'a/x/traces'],
  );
});
