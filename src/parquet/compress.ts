/**
 * Page compression. Every decompressor is told the size that the page header promises and may not exceed it; memory for a
 * large page is only spent as its bytes appear.
 */
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import type { Codec } from './format.ts';
import { decompressZstd, type PlainScratch } from './page-zstd.ts';

/** Output is inflated in pieces of at most this size, so that a header that lies about its page costs no more. */
const INFLATE_PIECE_BYTES = 1 << 20;

/** Only foreign files need these two, so they are loaded when the first such page is met. */
const load = createRequire(import.meta.url);

/**
 * The `size` bytes that a page holds. Those of zstd pages are in `into`, when it is given, until the next page.
 * @throws VivaceError `undecodable` when the bytes are not that many or not of that codec, `unsupported` for a codec that
 * no known writer of traces uses
 */
export function decompress(codec: Codec, bytes: Uint8Array, size: number, into?: PlainScratch): Uint8Array {
  if (codec === 'none') return checkSize(bytes, size);
  if (size === 0) return new Uint8Array(0);
  if (!(codec in decompressors)) {
    throw new VivaceError('unsupported', `pages compressed by ${codec}; rewrite the file with zstd or snappy`);
  }
  let inflated: Uint8Array;
  try {
    inflated = decompressors[codec as keyof typeof decompressors](bytes, size, into);
  } catch (error) {
    if (error instanceof VivaceError) throw error;
    throw new VivaceError('undecodable', `${codec}: ${messageOf(error)}`, { cause: error });
  }
  return checkSize(inflated, size);
}

const decompressors = {
  zstd: decompressZstd,
  gzip: (bytes: Uint8Array, size: number): Uint8Array => gunzipSync(bytes, inflateOptions(size)),
  snappy: (bytes: Uint8Array, size: number): Uint8Array => {
    if (snappyLength(bytes) !== size) throw sizeDiffers(snappyLength(bytes), size);
    const snappy = load('snappy') as typeof import('snappy');
    return snappy.uncompressSync(bytes, { copyOutputData: true }) as Buffer;
  },
  'lz4-raw': (bytes: Uint8Array, size: number): Uint8Array => {
    const lz4 = load('lz4-napi') as typeof import('lz4-napi');
    // The library wants the size before the block; LZ4 expands at most 255 times.
    if (size > bytes.length * 255) throw sizeDiffers(bytes.length * 255, size);
    const framed = Buffer.allocUnsafe(bytes.length + 4);
    framed.writeUInt32LE(size);
    framed.set(bytes, 4);
    return lz4.uncompressSync(framed);
  },
};

function inflateOptions(size: number) {
  // A little more than the size: the stream's end is then seen in the same call.
  return { maxOutputLength: size, chunkSize: Math.max(64, Math.min(size + 64, INFLATE_PIECE_BYTES)) };
}

/** The length in a raw snappy block's first bytes, or -1. */
function snappyLength(bytes: Uint8Array): number {
  let length = 0;
  for (let i = 0; i < 5 && i < bytes.length; i++) {
    length += (bytes[i] & 0x7f) * 2 ** (7 * i);
    if (bytes[i] < 0x80) return length;
  }
  return -1;
}

function checkSize(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size) throw sizeDiffers(bytes.length, size);
  return bytes;
}

function sizeDiffers(length: number, size: number): VivaceError {
  return new VivaceError('undecodable', `the page holds ${length} bytes where its header says ${size}`);
}
