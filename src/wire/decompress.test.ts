import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import zlib from 'node:zlib';
import fc from '../../tests/property.ts';
import lz4 from 'lz4-napi';
import snappy from 'snappy';
import type { VivaceError } from '../runtime/errors.ts';
import { type Compression, Decompressor } from './decompress.ts';
import { snappyFramed } from './snappy.ts';

const decompressor = new Decompressor();
const MAX = 1 << 20;

const ENCODERS: Record<Compression, (bytes: Buffer) => Buffer> = {
  gzip: (bytes) => zlib.gzipSync(bytes),
  zlib: (bytes) => zlib.deflateSync(bytes),
  zstd: (bytes) => zlib.zstdCompressSync(bytes),
  snappy: (bytes) => snappy.compressSync(bytes),
  'snappy-framed': snappyFramed,
  lz4: (bytes) => lz4.compressFrameSync(bytes, { contentChecksum: true, blockChecksums: true }),
};

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'fine',
    (error: VivaceError) => error.code,
  );
}

for (const [name, encode] of Object.entries(ENCODERS) as [Compression, (bytes: Buffer) => Buffer][])
  describe(name, () => {
    it('gives back what was compressed, in a buffer of its own', async () => {
      const pieces = fc.array(fc.tuple(fc.uint8Array({ maxLength: 50 }), fc.nat(3000)), { maxLength: 10 });
      await fc.assert(
        fc.asyncProperty(pieces, async (list) => {
          const plain = Buffer.concat(list.flatMap(([bytes, times]) => Array(times).fill(bytes))).subarray(0, MAX);
          const got = await decompressor.decompress(encode(plain), name, MAX);
          assert.ok(plain.equals(got));
          assert.equal(got.buffer.byteLength, got.length);
        }),
        { numRuns: 30 },
      );
    });

    it('takes exactly the bound and refuses one byte more', async () => {
      assert.equal((await decompressor.decompress(encode(Buffer.alloc(MAX)), name, MAX)).length, MAX);
      assert.equal(await codeOf(decompressor.decompress(encode(Buffer.alloc(MAX + 1)), name, MAX)), 'too-large');
    });

    it('refuses a bomb', async () => {
      assert.equal(await codeOf(decompressor.decompress(encode(Buffer.alloc(100 << 20)), name, MAX)), 'too-large');
    });

    it('refuses what is empty, cut short, or something else', async () => {
      const whole = encode(Buffer.from('some text that is long enough to be cut '.repeat(50)));
      for (const bad of [Buffer.alloc(0), whole.subarray(0, whole.length - 5), Buffer.from('{"resourceSpans":[]}')])
        assert.equal(await codeOf(decompressor.decompress(bad, name, MAX)), 'undecodable');
    });

    it('never crashes or hangs on damaged input', async () => {
      const whole = encode(Buffer.from('abcabcabc'.repeat(300)));
      await fc.assert(
        fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, byte) => {
          const bad = Buffer.from(whole);
          bad[at] = byte;
          assert.ok(
            ['fine', 'undecodable', 'too-large'].includes(await codeOf(decompressor.decompress(bad, name, MAX))),
          );
        }),
        { numRuns: 200 },
      );
    });
  });

it('gzip members may follow one another', async () => {
  const two = Buffer.concat([zlib.gzipSync('one '), zlib.gzipSync('two')]);
  assert.equal(Buffer.from(await decompressor.decompress(two, 'gzip', MAX)).toString(), 'one two');
});

it('zstd frames may follow one another and skippable ones; junk may not', async () => {
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
  const frames = Buffer.concat([ENCODERS.zstd(Buffer.from('one ')), skippable, ENCODERS.zstd(Buffer.from('two'))]);
  assert.equal(Buffer.from(await decompressor.decompress(frames, 'zstd', MAX)).toString(), 'one two');
  const junk = Buffer.concat([frames, Buffer.from('junk')]);
  assert.equal(await codeOf(decompressor.decompress(junk, 'zstd', MAX)), 'undecodable');
});

it('zstd of every kind of frame header', async () => {
  const { ZSTD_c_checksumFlag, ZSTD_c_windowLog, ZSTD_c_compressionLevel } = zlib.constants;
  for (const size of [0, 1, 255, 256, 70_000, 900_000])
    for (const params of [{}, { [ZSTD_c_checksumFlag]: 1 }, { [ZSTD_c_windowLog]: 12, [ZSTD_c_compressionLevel]: 19 }])
      for (const pledgedSrcSize of [undefined, size]) {
        const plain = Buffer.alloc(size, 'mixture of text');
        const got = await decompressor.decompress(
          zlib.zstdCompressSync(plain, { params, pledgedSrcSize } as zlib.ZstdOptions),
          'zstd',
          MAX,
        );
        assert.ok(plain.equals(got), `${size} bytes`);
      }
});

it('lz4 frames may follow one another and skippable ones', async () => {
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
  const frames = Buffer.concat([ENCODERS.lz4(Buffer.from('one ')), skippable, ENCODERS.lz4(Buffer.from('two'))]);
  assert.equal(Buffer.from(await decompressor.decompress(frames, 'lz4', MAX)).toString(), 'one two');
});

it('snappy takes framed bytes under its plain name', async () => {
  const got = await decompressor.decompress(snappyFramed(Buffer.from('framed')), 'snappy', MAX);
  assert.equal(Buffer.from(got).toString(), 'framed');
});

it("snappy's framing is the one of others", async () => {
  const reader = new snappy.Decompressor();
  const plain = Buffer.from('interoperable '.repeat(10_000));
  const got = Buffer.concat([reader.update(snappyFramed(plain)), await reader.finish()]);
  assert.ok(plain.equals(got));
});

it('raw deflate is not zlib', async () => {
  assert.equal(await codeOf(decompressor.decompress(zlib.deflateRawSync('x'), 'zlib', MAX)), 'undecodable');
});

it('a snappy length that cannot be true is not allocated', async () => {
  const lie = Buffer.from([0xff, 0xff, 0x3f, 0, 0x61]);
  assert.equal(await codeOf(decompressor.decompress(lie, 'snappy', MAX)), 'undecodable');
});

it('many at once all finish', async () => {
  const body = zlib.gzipSync('x'.repeat(1000));
  const all = await Promise.all(Array.from({ length: 50 }, () => decompressor.decompress(body, 'gzip', MAX)));
  assert.ok(all.every((bytes) => bytes.length === 1000));
});
