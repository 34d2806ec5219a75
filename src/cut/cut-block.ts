/** Turns one sealed live segment into a block in the local folder: everything is written and synced beside it, then renamed into place. */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { LocalBlockRef } from '../block/catalog.ts';
import { BLOCK_FORMAT, type BlockMeta, rfc3339Seconds } from '../block/meta.ts';
import { writeBlock } from '../block/write.ts';
import { syncDirectory } from '../log/local-log.ts';
import type { LiveSnapshot } from './layout.ts';
import { LiveView } from './live-view.ts';
import { orderRows } from './order.ts';
import { tableOf } from './table.ts';

export interface CutOptions {
  blocksDirectory: string;
  pageRows: number;
  createdBy: string;
  fsync: 'always' | 'never';
  log: { instance: string; sequence: number };
  /** Now. */
  cutMs: number;
  /** Gives the thread to others; called every few milliseconds of work. */
  pause: () => Promise<void>;
}

/** Milliseconds of work after which the cut lets the thread go. */
const SLICE_MS = 4;

/** Writes the block; resolves with it once it is durable and visible. The snapshot must have rows. */
export async function cutBlock(snapshot: LiveSnapshot, options: CutOptions): Promise<LocalBlockRef> {
  const id = randomUUID();
  const tenantDirectory = path.join(options.blocksDirectory, snapshot.tenant);
  const directory = path.join(tenantDirectory, id);
  const temporary = path.join(tenantDirectory, `.${id}`);
  await fs.promises.mkdir(temporary, { recursive: true, mode: 0o700 });
  try {
    const view = new LiveView(snapshot);
    const order = orderRows(view);
    await options.pause();
    const table = tableOf(view, order);
    await options.pause();
    const data = await fs.promises.open(path.join(temporary, 'data.parquet'), 'w', 0o644);
    try {
      let ready: Uint8Array[] = [];
      const steps = writeBlock(table, {
        pageRows: options.pageRows,
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
          if (options.fsync === 'always') await data.datasync();
          const meta: BlockMeta = {
            format: BLOCK_FORMAT,
            blockID: id,
            tenantID: snapshot.tenant,
            startTime: rfc3339Seconds(written.startSeconds),
            endTime: rfc3339Seconds(written.endSeconds),
            totalObjects: written.traceCount,
            size: written.dataBytes,
            compactionLevel: 0,
            encoding: 'none',
            indexPageSize: 0,
            totalRecords: 1,
            dataEncoding: '',
            bloomShards: 0,
            footerSize: written.footerBytes,
            vivace: {
              spans: table.rows,
              pageRows: options.pageRows,
              tracesBytes: written.traces.length,
              log: options.log,
              cut: rfc3339Seconds(options.cutMs / 1000),
            },
          };
          await writeFile(path.join(temporary, 'traces'), written.traces, options.fsync);
          await writeFile(path.join(temporary, 'meta.json'), Buffer.from(JSON.stringify(meta)), options.fsync);
          if (options.fsync === 'always') await syncDirectory(temporary);
          await fs.promises.rename(temporary, directory);
          if (options.fsync === 'always') await syncDirectory(tenantDirectory);
          return {
            id,
            tenant: snapshot.tenant,
            directory,
            meta,
            startSeconds: written.startSeconds,
            endSeconds: written.endSeconds,
          };
        }
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
