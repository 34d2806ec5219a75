/**
 * The frames of a zstd body, found without decompressing. Node's decoder ends in silence at a body that is cut short and
 * after the first of several frames; both would lose spans that the client believes delivered. So the frames are walked
 * here, whole or not at all, and then decompressed one by one.
 *
 *   28 b5 2f fd  descriptor(1)  [window(1)]  [dictionary 1|2|4]  [content size 1|2|4|8]
 *   { block header(3, LE): last(1 bit) type(2) size(21), data } …  [checksum 4]
 *   5x 2a 4d 18  size(4)  …                     skippable
 *
 * Source: RFC 8878 §3.
 */
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { VivaceError } from '../runtime/errors.ts';
import { ownedBytes, tooLarge } from './body.ts';

const MAGIC = 0xfd2fb528;
/** Frames that ask for a larger window are refused: the decoder would allocate it. RFC 8878 wants at least 8 MiB. */
const WINDOW_LOG_MAX = 25;

const decode = promisify<Uint8Array, zlib.ZstdOptions, Buffer<ArrayBuffer>>(zlib.zstdDecompress);

/** The content of all frames. VivaceError 'undecodable' if cut short, 'too-large' beyond `bytesMax`; else as zlib. */
export async function unzstd(bytes: Uint8Array, bytesMax: number, chunkSize: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Buffer<ArrayBuffer>[] = [];
  let length = 0;
  const params = { [zlib.constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX };
  for (const frame of frames(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))) {
    // The library wants at least one byte of room; the sum is checked again.
    const room = Math.max(1, bytesMax - length);
    const part = await decode(frame, { maxOutputLength: room, chunkSize, params });
    parts.push(part);
    if ((length += part.length) > bytesMax) throw tooLarge(bytesMax);
  }
  return ownedBytes(parts.length === 1 ? parts[0] : Buffer.concat(parts));
}

/** The frames with content; throws for anything that is not whole frames. */
function frames(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  let at = 0;
  if (bytes.length === 0) throw corrupt('it is empty');
  while (at < bytes.length) {
    const start = at;
    need(bytes, at + 5);
    const magic = bytes.readUInt32LE(at);
    if (magic >>> 4 === 0x184d2a5) {
      need(bytes, at + 8);
      at += 8 + bytes.readUInt32LE(at + 4);
      need(bytes, at);
      continue;
    }
    if (magic !== MAGIC) throw corrupt('bad magic number');
    at = frameEnd(bytes, at + 4);
    found.push(bytes.subarray(start, at));
  }
  return found;
}

/** Where the frame ends whose descriptor is at `at`. */
function frameEnd(bytes: Buffer, at: number): number {
  const descriptor = bytes[at++];
  const sizeFlag = descriptor >>> 6;
  const single = (descriptor & 0x20) !== 0;
  at += single ? 0 : 1;
  at += [0, 1, 2, 4][descriptor & 3];
  at += sizeFlag === 0 ? (single ? 1 : 0) : 1 << sizeFlag;
  for (let last = false; !last; ) {
    need(bytes, at + 3);
    const header = bytes.readUIntLE(at, 3);
    last = (header & 1) !== 0;
    const type = (header >>> 1) & 3;
    if (type === 3) throw corrupt('reserved block type');
    at += 3 + (type === 1 ? 1 : header >>> 3);
  }
  at += descriptor & 4 ? 4 : 0;
  need(bytes, at);
  return at;
}

function need(bytes: Buffer, end: number): void {
  if (end > bytes.length) throw corrupt('it is cut short');
}

function corrupt(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decompress zstd body: ${what}`);
}
