/**
 * Puts a block of a folder into the bucket: its files first, its meta last, so that others see it whole or not at all. What
 * was interrupted is done again from the beginning, under the same keys and with the same bytes: that cannot do harm, whoever
 * does it. Then the file `flushed` in the folder says that the bucket has it.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Bucket } from '../store/bucket.ts';
import type { LocalBlockRef } from './catalog.ts';
import { DATA_FILE, FLUSHED_FILE, META_FILE, objectKey, TRACES_FILE } from './objects.ts';

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

/** Resolves when the block is in the bucket and its folder says so. */
export async function uploadBlock(bucket: Bucket, block: LocalBlockRef, options: UploadOptions): Promise<void> {
  const { signal, again, reached } = options;
  const keyOf = (name: string): string => objectKey(block.tenant, block.id, name);
  const fileOf = (name: string): string => path.join(block.directory, name);
  reached?.('begin');
  if (block.meta.size > bucket.partBytes)
    await bucket.multipart(keyOf(DATA_FILE), partsOf(fileOf(DATA_FILE), bucket.partBytes), { signal, again });
  else await bucket.put(keyOf(DATA_FILE), await fs.promises.readFile(fileOf(DATA_FILE)), { signal });
  reached?.('data');
  await bucket.put(keyOf(TRACES_FILE), await fs.promises.readFile(fileOf(TRACES_FILE)), { signal });
  reached?.('traces');
  await bucket.put(keyOf(META_FILE), await fs.promises.readFile(fileOf(META_FILE)), { signal });
  reached?.('meta');
  await fs.promises.writeFile(fileOf(FLUSHED_FILE), options.now().toISOString(), { flush: true });
  reached?.('flushed');
}

/** A file in parts, each in memory of its own. */
async function* partsOf(file: string, partBytes: number): AsyncGenerator<Uint8Array> {
  const handle = await fs.promises.open(file, 'r');
  try {
    const { size } = await handle.stat();
    for (let from = 0; from < size; from += partBytes) {
      const part = new Uint8Array(Math.min(partBytes, size - from));
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
