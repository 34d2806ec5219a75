/**
 * Puts a block of a folder into the bucket: its files first, its meta last, so that others see it whole or not at all. Then the
 * file `flushed` in the folder says that the bucket has it.
 *
 * What was interrupted is done again from the beginning, under the same keys and with the same bytes: that cannot do harm,
 * whoever does it, as long as nobody has seen the meta. Who has may have merged the block into another one and deleted it; it
 * must not come back. So the file `sent` is written before the meta, and where it is found, the bucket is asked.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Bucket } from '../store/bucket.ts';
import type { LocalBlockRef } from './catalog.ts';
import {
  COMPACTED_META_FILE,
  DATA_FILE,
  FLUSHED_FILE,
  META_FILE,
  objectKey,
  SENT_FILE,
  TRACES_FILE,
} from './objects.ts';

export interface UploadOptions {
  signal?: AbortSignal;
  /** An earlier attempt may have been interrupted. */
  again: boolean;
  /** Told of every step that is done; tests end the process there. */
  reached?: (point: UploadPoint) => void;
  now: () => Date;
}

export const UPLOAD_POINTS = ['begin', 'data', 'traces', 'meta', 'flushed'] as const;
export type UploadPoint = (typeof UPLOAD_POINTS)[number];

/** Resolves when the block is in the bucket, or has been there, and its folder says so. */
export async function uploadBlock(bucket: Bucket, block: LocalBlockRef, options: UploadOptions): Promise<void> {
  const { signal, reached, now } = options;
  const fileOf = (name: string): string => path.join(block.directory, name);
  reached?.('begin');
  const sent = fs.statSync(fileOf(SENT_FILE), { throwIfNoEntry: false });
  if (sent === undefined) {
    await uploadFiles(bucket, block, block.id, options);
    await fs.promises.writeFile(fileOf(SENT_FILE), now().toISOString(), { flush: true });
  }
  if (sent === undefined || (await lacksMeta(bucket, block, signal)))
    await bucket.put(objectKey(block.tenant, block.id, META_FILE), await fs.promises.readFile(fileOf(META_FILE)), {
      signal,
    });
  reached?.('meta');
  await fs.promises.writeFile(fileOf(FLUSHED_FILE), now().toISOString(), { flush: true });
  if (sent !== undefined) await fs.promises.utimes(fileOf(FLUSHED_FILE), sent.mtime, sent.mtime);
  reached?.('flushed');
}

/** All of a folder's block but its meta, under the keys of the block `id`. */
export async function uploadFiles(
  bucket: Bucket,
  { tenant, directory, meta }: LocalBlockRef,
  id: string,
  { signal, again, reached }: Pick<UploadOptions, 'signal' | 'again' | 'reached'>,
): Promise<void> {
  const keyOf = (name: string): string => objectKey(tenant, id, name);
  const fileOf = (name: string): string => path.join(directory, name);
  const put = async (name: string, bytes: number): Promise<void> => {
    if (bytes > bucket.partBytes) await putParts(bucket, keyOf(name), fileOf(name), { signal, again });
    else {
      const whole = await fs.promises.readFile(fileOf(name));
      await bucket.put(keyOf(name), whole, { signal });
      giveBack(whole);
    }
  };
  await put(DATA_FILE, meta.size);
  reached?.('data');
  await put(TRACES_FILE, meta.vivace.tracesBytes);
  reached?.('traces');
}

/** Whether nobody can have seen a block whose files were sent: they are there, and no meta is. */
async function lacksMeta(
  bucket: Bucket,
  { tenant, id }: LocalBlockRef,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const names = new Set<string>();
  const folder = objectKey(tenant, id, '');
  for await (const { key } of bucket.list(folder, { signal })) names.add(key.slice(folder.length));
  return names.has(DATA_FILE) && !names.has(META_FILE) && !names.has(COMPACTED_META_FILE);
}

/** A file in parts. A merged block has a dozen of 8 MiB: memory of those that are stored is used for the next ones. */
async function putParts(
  bucket: Bucket,
  key: string,
  file: string,
  options: { signal: AbortSignal | undefined; again: boolean },
): Promise<void> {
  const free: ArrayBuffer[] = [];
  const sent = ({ buffer }: Uint8Array): void => void free.push(buffer as ArrayBuffer);
  await bucket.multipart(key, partsOf(file, bucket.partBytes, free), { ...options, sent });
  for (const buffer of free) buffer.transfer(0);
}

/** Each in memory of its own, or in what is `free`. */
async function* partsOf(file: string, partBytes: number, free: ArrayBuffer[]): AsyncGenerator<Uint8Array> {
  const handle = await fs.promises.open(file, 'r');
  try {
    const { size } = await handle.stat();
    for (let from = 0; from < size; from += partBytes) {
      const part = new Uint8Array(free.pop() ?? new ArrayBuffer(partBytes), 0, Math.min(partBytes, size - from));
      for (let at = 0; at < part.length; ) {
        const { bytesRead } = await handle.read(part, at, part.length - at, from + at);
        if (bytesRead === 0) throw new Error(`${file} became shorter while it was uploaded`);
        at += bytesRead;
      }
      yield part;
    }
  } finally {
    await handle.close();
  }
}

/** Memory that nobody reads any more; small files share theirs with others. */
function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
