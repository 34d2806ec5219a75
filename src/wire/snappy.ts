/**
 * Snappy as a block (length varint, then elements) and as a stream of framed chunks:
 *
 *   ff 06 00 00 "sNaPpY"                 stream identifier, first and repeatable
 *   type(1) length(3, LE) crc32c(4) data  00 compressed block · 01 plain bytes, each ≤ 64 KiB uncompressed
 *   80…fe skippable · 02…7f unknown, an error
 *
 * The block itself is the library's; what a block will inflate to is read from its header first, for the library
 * allocates what the header says. Source: https://github.com/google/snappy/blob/main/framing_format.txt
 */
import { createRequire } from 'node:module';
import { VivaceError } from '../runtime/errors.ts';
import { BodyBuffer, ownedBytes, tooLarge } from './body.ts';

const IDENTIFIER = Buffer.from('ff060000734e61507059', 'hex');
const CHUNK_BYTES_MAX = 1 << 16;

let loaded: typeof import('snappy') | undefined;

/** The native library, loaded with the first snappy body: most servers never see one, and it takes 3 MB. */
function native(): typeof import('snappy') {
  loaded ??= createRequire(import.meta.url)('snappy') as typeof import('snappy');
  return loaded;
}

/** Whether the bytes open with the framing format's identifier. */
export function isFramedSnappy(bytes: Uint8Array): boolean {
  return bytes.length >= IDENTIFIER.length && IDENTIFIER.equals(bytes.subarray(0, IDENTIFIER.length));
}

/** One block. VivaceError 'undecodable' if corrupt, 'too-large' if its header announces more than `bytesMax`. */
export function unsnappyBlock(bytes: Uint8Array, bytesMax: number): Uint8Array<ArrayBuffer> {
  const size = blockBytes(bytes);
  if (size > bytesMax) throw tooLarge(bytesMax);
  // An element of 3 bytes can yield 64 at most: what announces more than that is corrupt and must not be allocated.
  if (size > 22 * bytes.length + 64) throw corrupt('announced length cannot follow');
  return ownedBytes(native().uncompressSync(bytes, { copyOutputData: true }) as Buffer<ArrayBuffer>);
}

/** A framed stream. Errors as `unsnappyBlock`. */
export function unsnappyFramed(bytes: Uint8Array, bytesMax: number): Uint8Array<ArrayBuffer> {
  if (!isFramedSnappy(bytes)) throw corrupt('stream identifier missing');
  const out = new BodyBuffer(undefined);
  let at = IDENTIFIER.length;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw corrupt('cut short chunk header');
    const type = bytes[at];
    const start = at + 4;
    const end = start + (bytes[at + 1] | (bytes[at + 2] << 8) | (bytes[at + 3] << 16));
    if (end > bytes.length) throw corrupt('cut short chunk');
    if (type <= 1) {
      if (end - start < 4) throw corrupt('chunk without checksum');
      let data = bytes.subarray(start + 4, end);
      if (type === 0) {
        if (blockBytes(data) > CHUNK_BYTES_MAX) throw corrupt('chunk of more than 64 KiB');
        data = native().uncompressSync(data, { copyOutputData: true }) as Buffer;
      } else if (data.length > CHUNK_BYTES_MAX) throw corrupt('chunk of more than 64 KiB');
      if (out.length + data.length > bytesMax) throw tooLarge(bytesMax);
      const sum = bytes[start] | (bytes[start + 1] << 8) | (bytes[start + 2] << 16) | (bytes[start + 3] << 24);
      if (maskedCrc32c(data) !== sum >>> 0) throw corrupt('checksum differs');
      out.append(Buffer.from(data.buffer, data.byteOffset, data.length));
    } else if (type === 0xff) {
      if (!isFramedSnappy(bytes.subarray(at))) throw corrupt('bad stream identifier');
    } else if (type < 0x80) throw corrupt(`unknown chunk type ${type}`);
    at = end;
  }
  return out.finish();
}

/** Compresses into a framed stream. */
export function snappyFramed(bytes: Uint8Array): Buffer {
  const parts: Uint8Array[] = [IDENTIFIER];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
    const plain = bytes.subarray(at, at + CHUNK_BYTES_MAX);
    const data = native().compressSync(plain, { copyOutputData: true });
    const head = Buffer.alloc(8);
    head.writeUIntLE(data.length + 4, 1, 3);
    head.writeUInt32LE(maskedCrc32c(plain), 4);
    parts.push(head, data);
  }
  return Buffer.concat(parts);
}

/** The uncompressed size that a block's header announces. */
function blockBytes(bytes: Uint8Array): number {
  let size = 0;
  for (let i = 0; i < 5 && i < bytes.length; i++) {
    size += (bytes[i] & 0x7f) * 2 ** (7 * i);
    if (bytes[i] < 0x80 && size <= 0xffffffff) return size;
  }
  throw corrupt('bad length');
}

const CRC32C = crc32cTable();

function maskedCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = CRC32C[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function crc32cTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[i] = crc;
  }
  return table;
}

function corrupt(what: string): VivaceError {
  return new VivaceError('undecodable', `cannot decompress snappy body: ${what}`);
}
