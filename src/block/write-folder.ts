/** Puts a block into the local folder: everything is written and synced beside it, then renamed into place. */
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory } from '../runtime/sync-directory.ts';
import type { LocalBlockRef } from './catalog.ts';
import { BLOCK_FORMAT, type BlockMeta, rfc3339Seconds } from './meta.ts';
import { DATA_FILE, META_FILE, TRACES_FILE } from './objects.ts';
import type { SpanTable } from './table.ts';
import { writeBlock } from './write.ts';

export interface FolderOptions {
  id: string;
  tenant: string;
  blocksDirectory: string;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  compactionLevel: number;
  /** What meta.json says besides what the table says. */
  more: Omit<BlockMeta['vivace'], 'spans' | 'pageRows' | 'tracesBytes'>;
  /** Gives the thread to others; called every few milliseconds of work. */
  pause: () => Promise<void>;
  /** Called when all is written, right before the rename; what it throws undoes everything. */
  beforeRename?: () => Promise<void>;
}

/** Milliseconds of work after which the thread is let go. */
const SLICE_MS = 4;

/** Writes the block; resolves with it once it is durable and visible. The table must have rows. */
export async function writeBlockFolder(
  makeTable: () => Promise<SpanTable>,
  options: FolderOptions,
): Promise<LocalBlockRef> {
  const { id, tenant, fsync, pageRows } = options;
  const tenantDirectory = path.join(options.blocksDirectory, tenant);
  const directory = path.join(tenantDirectory, id);
  const temporary = path.join(tenantDirectory, `.${id}`);
  await fs.promises.mkdir(temporary, { recursive: true, mode: 0o700 });
  try {
    const table = await makeTable();
    await options.pause();
    const data = await fs.promises.open(path.join(temporary, DATA_FILE), 'w', 0o644);
    try {
      let ready: Uint8Array[] = [];
      const steps = writeBlock(table, {
        pageRows,
        createdBy: options.createdBy,
        write: (bytes) => ready.push(bytes),
      });
      let began = performance.now();
      for (;;) {
        const step = steps.next();
        if (ready.length > 0) {
          const buffers = ready;
          ready = [];
          for (const buffer of buffers) await writeWhole(data, buffer);
        }
        if (step.done) {
          const written = step.value;
          if (fsync === 'always') await data.datasync();
          const meta: BlockMeta = {
            format: BLOCK_FORMAT,
            blockID: id,
            tenantID: tenant,
            startTime: rfc3339Seconds(written.startSeconds),
            endTime: rfc3339Seconds(written.endSeconds),
            totalObjects: written.traceCount,
            size: written.dataBytes,
            compactionLevel: options.compactionLevel,
            encoding: 'none',
            indexPageSize: 0,
            totalRecords: 1,
            dataEncoding: '',
            bloomShards: 0,
            footerSize: written.footerBytes,
            vivace: { spans: table.rows, pageRows, tracesBytes: written.traces.length, ...options.more },
          };
          await writeFile(path.join(temporary, TRACES_FILE), written.traces, fsync);
          await writeFile(path.join(temporary, META_FILE), Buffer.from(JSON.stringify(meta)), fsync);
          if (fsync === 'always') await syncDirectory(temporary);
          await options.beforeRename?.();
          await fs.promises.rename(temporary, directory);
          if (fsync === 'always') await syncDirectory(tenantDirectory);
          const { startSeconds, endSeconds } = written;
          return { id, tenant, directory, meta, startSeconds, endSeconds };
        }
        if (step.value !== undefined) await step.value;
        if (performance.now() - began > SLICE_MS) {
          await options.pause();
          began = performance.now();
        }
      }
    } finally {
      await data.close();
    }
  } catch (error) {
    await fs.promises.rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

async function writeWhole(file: fs.promises.FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at);
    at += bytesWritten;
  }
}

async function writeFile(file: string, bytes: Uint8Array, fsync: 'always' | 'never'): Promise<void> {
  const handle = await fs.promises.open(file, 'w', 0o644);
  try {
    await writeWhole(handle, bytes);
    if (fsync === 'always') await handle.datasync();
  } finally {
    await handle.close();
  }
}
