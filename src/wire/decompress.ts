/**
 * Undoes the compressions that clients use, into one buffer of its own, never beyond a bound: output sizes are checked
 * before memory is spent. Names are those of HTTP's Content-Encoding and gRPC's grpc-encoding.
 */
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { ownedBytes, tooLarge } from './body.ts';
import { unlz4 } from './lz4.ts';
import { isFramedSnappy, unsnappyBlock, unsnappyFramed } from './snappy.ts';
import { unzstd } from './zstd.ts';

export type Compression = 'gzip' | 'zlib' | 'zstd' | 'snappy' | 'snappy-framed' | 'lz4';

/** Inflations that may run at once, each in a thread of libuv's pool: bounds their memory to so many times the cap. */
const CONCURRENT_MAX = 2;

const gunzip = promisify<Uint8Array, zlib.ZlibOptions, Buffer<ArrayBuffer>>(zlib.gunzip);
const inflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer<ArrayBuffer>>(zlib.inflate);

/** Takes turns, so that a burst of compressed bodies cannot inflate all at once. One object is shared by a process. */
export class Decompressor {
  #running = 0;
  readonly #queue: (() => void)[] = [];

  /**
   * The uncompressed bytes in an ArrayBuffer of exactly their size. Rejects with VivaceError 'undecodable' for corrupt
   * or empty input and 'too-large' beyond `bytesMax`.
   */
  async decompress(bytes: Uint8Array, compression: Compression, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#running >= CONCURRENT_MAX) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running++;
    try {
      return await decompress(bytes, compression, bytesMax);
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

async function decompress(
  bytes: Uint8Array,
  compression: Compression,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    switch (compression) {
      case 'snappy':
        return isFramedSnappy(bytes) ? unsnappyFramed(bytes, bytesMax) : unsnappyBlock(bytes, bytesMax);
      case 'snappy-framed':
        return unsnappyFramed(bytes, bytesMax);
      case 'lz4':
        return unlz4(bytes, bytesMax);
    }
    // An empty input is an error of its own: zlib would wait for more and answer with nothing.
    if (bytes.length === 0) throw new VivaceError('undecodable', `cannot decompress ${compression} body: it is empty`);
    // One step per chunk is one trip to the thread pool, so chunks follow the size to be expected.
    const chunkSize = Math.min(Math.max(bytes.length * 8, 16 << 10), 1 << 20);
    const options = { maxOutputLength: bytesMax, chunkSize };
    if (compression === 'gzip') return ownedBytes(await gunzip(bytes, options));
    if (compression === 'zlib') return ownedBytes(await inflate(bytes, options));
    return await unzstd(bytes, bytesMax, chunkSize);
  } catch (error) {
    if (error instanceof VivaceError) throw error;
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax);
    throw new VivaceError('undecodable', `cannot decompress ${compression} body: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
