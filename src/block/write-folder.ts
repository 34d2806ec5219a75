/** Puts a block into the local folder: everything is written and synced beside it, then renamed into place. */
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory } from '../runtime/sync-directory.ts';
import type { LocalBlockRef } from './catalog.ts';
import { type MetaOptions, metaOf } from './meta.ts';
import { DATA_FILE, META_FILE, TRACES_FILE } from './objects.ts';
import type { BlockFacts, BlockSink } from './sink.ts';

export interface FolderOptions extends MetaOptions {
  blocksDirectory: string;
  fsync: 'always' | 'never';
  /** Told of every step that is done; tests end the process there. */
  reached?: (point: CutPoint) => void;
  /** Called when all is written, right before the rename; what it throws undoes everything. */
  beforeRename?: () => Promise<void>;
}

export const CUT_POINTS = ['begin', 'files', 'meta', 'listed'] as const;
export type CutPoint = (typeof CUT_POINTS)[number];

/** Has the block written; resolves with it once it is durable and visible. */
export async function writeBlockFolder(
  write: (sink: BlockSink) => Promise<BlockFacts>,
  options: FolderOptions,
): Promise<LocalBlockRef> {
  const { id, tenant, fsync, reached = () => {} } = options;
  const tenantDirectory = path.join(options.blocksDirectory, tenant);
  const directory = path.join(tenantDirectory, id);
  const temporary = path.join(tenantDirectory, `.${id}`);
  await fs.promises.mkdir(temporary, { recursive: true, mode: 0o700 });
  try {
    reached('begin');
    const facts = await writeFile(path.join(temporary, DATA_FILE), fsync, (data) =>
      writeFile(path.join(temporary, TRACES_FILE), fsync, (traces) => write({ data, traces })),
    );
    reached('files');
    const meta = metaOf(facts, options);
    await writeFile(path.join(temporary, META_FILE), fsync, (put) => put(Buffer.from(JSON.stringify(meta))));
    if (fsync === 'always') await syncDirectory(temporary);
    reached('meta');
    await options.beforeRename?.();
    await fs.promises.rename(temporary, directory);
    if (fsync === 'always') await syncDirectory(tenantDirectory);
    reached('listed');
    return { id, tenant, directory, meta, startSeconds: facts.startSeconds, endSeconds: facts.endSeconds };
  } catch (error) {
    await fs.promises.rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

/** Pieces below this are gathered: a block of a hundred spans has fifty columns of a hundred bytes, and a write costs two threads. */
const GATHERED_BYTES = 64 * 1024;

/** Resolves with what `write` resolves with, once what it put is durable. */
async function writeFile<T>(
  file: string,
  fsync: 'always' | 'never',
  write: (put: (bytes: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  const handle = await fs.promises.open(file, 'w', 0o644);
  try {
    let gathered: Uint8Array | undefined;
    let filled = 0;
    const flush = async (): Promise<void> => {
      if (filled > 0) await writeWhole(handle, gathered!.subarray(0, filled));
      filled = 0;
    };
    const result = await write(async (bytes) => {
      if (filled + bytes.length > GATHERED_BYTES) await flush();
      if (bytes.length >= GATHERED_BYTES) {
        await writeWhole(handle, bytes);
        // As garbage they would have the engine collect all of the heap, every few blocks.
        if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
        return;
      }
      gathered ??= new Uint8Array(GATHERED_BYTES);
      gathered.set(bytes, filled);
      filled += bytes.length;
    });
    await flush();
    if (fsync === 'always') await handle.datasync();
    return result;
  } finally {
    await handle.close();
  }
}

async function writeWhole(file: fs.promises.FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at);
    at += bytesWritten;
  }
}
