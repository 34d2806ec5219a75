/**
 * Zstd pages with one decoder and one encoder, again and again. `zstdDecompressSync` and `zstdCompressSync` make a stream of
 * their own for every call, which takes 20 µs: decompressing a page of 3,000 bytes takes 3, compressing it 10 (measured on Node
 * 24.18). The handle of a stream that is kept can be fed directly; that is not in Node's documentation, so everything about it is
 * checked, and whatever is not as expected, damaged pages among them, is left to the documented functions.
 */
import {
  constants,
  createZstdCompress,
  createZstdDecompress,
  type ZstdOptions,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';

/** Larger pages gain nothing, and their memory should only be spent as their bytes appear. */
const REUSED_BYTES_MAX = 1 << 20;
/** Output of larger pages is inflated in pieces of at most this size, so that a header that lies about its page costs no more. */
const PIECE_BYTES = 1 << 20;

/** What is inside of a stream of Node's: an encoder or a decoder. */
interface Handle {
  /** Consumes and produces what it can; what is left of both is then in `left`: output first, then input. */
  write(
    flush: number,
    from: Uint8Array,
    fromAt: number,
    fromLength: number,
    to: Uint8Array,
    toAt: number,
    toLength: number,
  ): void;
  left: Uint32Array;
  failed: boolean;
}

let decoder: Handle | undefined;
let decoders = 0;
/** By level; undefined where Node is not what this is for. */
const encoders = new Map<number, Handle | undefined>();
let encoded = new Uint8Array(0);
/** Where decoders fail again and again, pages or Node are not what this is for. */
const DECODERS_MAX = 100;

/** An array that pages are decompressed into, one after the other; it grows with them. */
export interface PlainScratch {
  plain: Uint8Array<ArrayBuffer>;
}

/**
 * The bytes of a page that is to have `size` of them, in the front of `into` when that is given. Throws what zlib throws; the
 * length is for the caller to check.
 */
export function decompressZstd(bytes: Uint8Array, size: number, into?: PlainScratch): Uint8Array {
  return (
    reused(bytes, size, into) ??
    zstdDecompressSync(bytes, {
      // A little more than the size: the stream's end is then seen in the same call.
      maxOutputLength: size,
      chunkSize: Math.max(64, Math.min(size + 64, PIECE_BYTES)),
    })
  );
}

function reused(bytes: Uint8Array, size: number, into: PlainScratch | undefined): Uint8Array | undefined {
  if (size > REUSED_BYTES_MAX || bytes.length === 0) return undefined;
  decoder ??= decoders++ < DECODERS_MAX ? handleOf(createZstdDecompress()) : undefined;
  if (decoder === undefined) return undefined;
  // One byte more than there may be: whoever fills it lied about the size.
  const out = into === undefined ? new Uint8Array(size + 1) : roomIn(into, size + 1);
  try {
    decoder.write(constants.ZSTD_e_end, bytes, 0, bytes.length, out, 0, size + 1);
  } catch {
    decoder.failed = true;
  }
  const [outLeft, inLeft] = decoder.left;
  if (!decoder.failed && outLeft === 1 && inLeft === 0) return out.subarray(0, size);
  // What it is in the middle of must not become part of the next page.
  decoder = undefined;
  return undefined;
}

function roomIn(scratch: PlainScratch, bytes: number): Uint8Array {
  if (scratch.plain.length < bytes) scratch.plain = new Uint8Array(Math.max(bytes, 2 * scratch.plain.length));
  return scratch.plain;
}

/** A zstd frame that states its content's size: good until the next call. */
export function compressZstd(bytes: Uint8Array, level: number): Uint8Array {
  // zstd's own bound for what does not shrink, so that one call fills one buffer.
  const room = Math.max(64, bytes.length + (bytes.length >> 8) + 128);
  if (bytes.length <= REUSED_BYTES_MAX) {
    if (encoded.length < room) encoded = new Uint8Array(2 * room);
    const length = encode(bytes, level, encoded);
    if (length > 0) return encoded.subarray(0, length);
  }
  // Node takes `pledgedSrcSize`, its type declarations do not know it yet.
  const options: ZstdOptions & { pledgedSrcSize: number } = {
    pledgedSrcSize: bytes.length,
    chunkSize: room,
    params: { [constants.ZSTD_c_compressionLevel]: level },
  };
  return zstdCompressSync(bytes, options);
}

/** The length of the frame in `out`; 0 when it was not made. */
function encode(bytes: Uint8Array, level: number, out: Uint8Array): number {
  if (!encoders.has(level))
    encoders.set(level, handleOf(createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: level } })));
  const encoder = encoders.get(level);
  if (encoder === undefined) return 0;
  try {
    encoder.write(constants.ZSTD_e_end, bytes, 0, bytes.length, out, 0, out.length);
  } catch {
    encoder.failed = true;
  }
  const [outLeft, inLeft] = encoder.left;
  if (!encoder.failed && outLeft > 0 && inLeft === 0) return out.length - outLeft;
  encoders.set(level, undefined);
  return 0;
}

function handleOf(stream: unknown): Handle | undefined {
  const { _handle: handle, _writeState: left } = stream as {
    _handle?: { writeSync?: Handle['write']; onerror?: unknown };
    _writeState?: unknown;
  };
  if (typeof handle?.writeSync !== 'function' || !(left instanceof Uint32Array) || left.length !== 2) return undefined;
  const made: Handle = { write: (...what) => handle.writeSync!(...what), left, failed: false };
  handle.onerror = () => {
    made.failed = true;
  };
  return made;
}
