/**
 * The data folders of processes that take spans for a bucket: what they have in memory, in their logs and in blocks on the way
 * is in no object that others see. Each is one object, `vivace~folders/<folder>`, and says there which deleted traces it may hold
 * (docs/formats/deleted.md).
 *
 * A folder has the name that stands in its file `folder-id`, so that it is the same after a restart.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Bucket, isNotFound } from '../store/bucket.ts';

/** No tenant can have this name. */
export const FOLDERS_FOLDER = 'vivace~folders';

/** `unsure`: what it has it has not looked through yet. */
export type Holding = 'clear' | 'unsure' | 'holds';

/** What a folder says of deleted traces: by tenant and trace id. */
export type FolderHoldings = Record<string, Record<string, Holding>>;

export interface DataFolder {
  id: string;
  host: string;
  /** When it was heard of. */
  modifiedMs: number;
  holdings: FolderHoldings;
}

const NAME_FILE = 'folder-id';
const NAME = /^[0-9a-f]{16}$/;
const BYTES_MAX = 16 << 20;

/** The name of the folder with the logs; processes that share it have one. */
export function folderId(wal: string): string {
  const file = path.join(wal, NAME_FILE);
  const own = path.join(wal, `.${NAME_FILE}.${process.pid}`);
  for (;;) {
    const known = readText(file);
    if (known !== undefined && NAME.test(known)) return known;
    fs.writeFileSync(own, randomBytes(8).toString('hex'), { flush: true });
    try {
      // With its content at once, and only if there is none.
      if (known === undefined) fs.linkSync(own, file);
      else fs.renameSync(own, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      fs.rmSync(own, { force: true });
    }
  }
}

export async function writeFolder(
  bucket: Bucket,
  id: string,
  holdings: FolderHoldings,
  signal?: AbortSignal,
): Promise<void> {
  const text = JSON.stringify({ host: os.hostname(), holdings });
  await bucket.put(`${FOLDERS_FOLDER}/${id}`, Buffer.from(text), { signal });
}

/** A folder of which nothing is left that is not in the bucket. */
export async function removeFolder(bucket: Bucket, id: string, signal?: AbortSignal): Promise<void> {
  await bucket.delete(`${FOLDERS_FOLDER}/${id}`, { signal });
}

export async function readFolders(bucket: Bucket, signal?: AbortSignal): Promise<DataFolder[]> {
  const folders: DataFolder[] = [];
  for await (const { key, modifiedMs } of bucket.list(`${FOLDERS_FOLDER}/`, { signal }))
    try {
      const { bytes } = await bucket.get(key, { bytesMax: BYTES_MAX, signal });
      const { host, holdings } = JSON.parse(Buffer.from(bytes).toString()) as Pick<DataFolder, 'host' | 'holdings'>;
      folders.push({ id: path.posix.basename(key), host, modifiedMs, holdings });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  return folders;
}

function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
