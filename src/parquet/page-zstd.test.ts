import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from '../../tests/property.ts';
import { compressZstd, decompressZstd } from './page-zstd.ts';

test('pages come back one after the other', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 20 }), (pages) => {
      for (const page of pages)
        assert.deepEqual(Buffer.from(decompressZstd(zstdCompressSync(page), page.length)), Buffer.from(page));
    }),
  );
});

test('frames are whole, one after the other, at every level, and state their size', () => {
  const pages = fc.array(fc.record({ bytes: fc.uint8Array({ maxLength: 5000 }), level: fc.constantFrom(1, 3, 9) }), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(pages, (pages) => {
      for (const { bytes, level } of pages) {
        const frame = compressZstd(bytes, level);
        assert.deepEqual(zstdDecompressSync(frame), Buffer.from(bytes));
        // RFC 8878, 3.1.1.1: a single segment has its size in the header.
        assert.equal(frame[4] & 0x20, 0x20);
      }
    }),
  );
  const large = Buffer.alloc(3 << 20, 'large');
  assert.deepEqual(zstdDecompressSync(compressZstd(large, 1)), large);
});

test('a damaged page spoils no other', () => {
  const page = Buffer.from(Array.from({ length: 4000 }, (_, i) => (i * i) % 251));
  const whole = zstdCompressSync(page);
  const attempt = (bytes: Uint8Array, size: number): string => {
    try {
      return Buffer.from(decompressZstd(bytes, size)).equals(page) ? 'page' : 'other bytes';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  };
  for (let at = 0; at < whole.length; at += 7) {
    const cut = whole.subarray(0, at);
    assert.notEqual(attempt(cut, page.length), 'page', `cut at ${at}`);
    assert.deepEqual(Buffer.from(decompressZstd(whole, page.length)), page);
    const flipped = Buffer.from(whole);
    flipped[at] ^= 0x55;
    attempt(flipped, page.length);
    assert.deepEqual(Buffer.from(decompressZstd(whole, page.length)), page);
  }
});

test('a page that is larger or smaller than it says is never given that size', () => {
  const page = Buffer.alloc(3000, 'abc');
  const bytes = zstdCompressSync(page);
  assert.throws(() => decompressZstd(bytes, 2999), { code: 'ERR_BUFFER_TOO_LARGE' });
  assert.equal(decompressZstd(bytes, 3001).length, 3000);
  assert.throws(() => decompressZstd(bytes, 1), { code: 'ERR_BUFFER_TOO_LARGE' });
  assert.deepEqual(Buffer.from(decompressZstd(bytes, 3000)), page);
});

test('large pages', () => {
  const page = Buffer.alloc(3 << 20, 'large');
  assert.deepEqual(Buffer.from(decompressZstd(zstdCompressSync(page), page.length)), page);
});
