/**
 * A folder as a bucket: a file an object. Writing goes to a hidden file beside it, is synced, and appears by a rename (or a
 * link, where nothing may be there yet). Conditional replacement is guarded by a lock file, which also works between
 * processes. A folder whose last object is deleted goes, too.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { VivaceError } from '../runtime/errors.ts';
import { type Bucket, type BucketFailure, bucketError, checkKey, type ListedObject } from './bucket.ts';

const PART_BYTES = 8 << 20;
/** A lock this old belongs to a process that died: what is done under it takes milliseconds. */
const LOCK_STALE_MS = 10_000;
const LOCK_POLL_MS = 5;

export function localBucket(root: string): Bucket {
  const name = `folder ${root}`;
  const fileOf = (key: string): string => {
    checkKey(key);
    return path.join(root, key);
  };
  const failed = (action: string, error: unknown, signal?: AbortSignal): VivaceError => {
    if (error instanceof VivaceError) return error;
    return bucketError(signal?.aborted ? 'cancelled' : codeOf(error), action, name, error);
  };

  /** Writes beside the object, then publishes. */
  const write = async (
    key: string,
    parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    publish: (temporary: string, file: string) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<string> => {
    const file = fileOf(key);
    const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomUUID()}`);
    try {
      const handle = await openNew(temporary);
      try {
        for await (const part of parts) {
          signal?.throwIfAborted();
          for (let at = 0; at < part.length; ) at += (await handle.write(part, at)).bytesWritten;
        }
        await handle.datasync();
      } finally {
        await handle.close();
      }
      signal?.throwIfAborted();
      const version = versionOf(await fs.promises.stat(temporary, { bigint: true }));
      await publish(temporary, file);
      await syncFolder(path.dirname(file));
      return version;
    } catch (error) {
      throw failed(`write ${key}`, error, signal);
    } finally {
      await fs.promises.rm(temporary, { force: true });
    }
  };

  return {
    name,
    partBytes: PART_BYTES,
    async get(key, { bytesMax, signal }) {
      const file = fileOf(key);
      try {
        signal?.throwIfAborted();
        const handle = await fs.promises.open(file, 'r');
        try {
          const stat = await handle.stat({ bigint: true });
          if (stat.isDirectory()) throw bucketError('not-found', `read ${key}`, name, 'it is a folder');
          if (stat.size > bytesMax)
            throw bucketError('too-large', `read ${key}`, name, `it has more than ${bytesMax} bytes`);
          return { bytes: await readAt(handle, 0, Number(stat.size)), version: versionOf(stat) };
        } finally {
          await handle.close();
        }
      } catch (error) {
        throw failed(`read ${key}`, error, signal);
      }
    },
    async range(key, offset, length, options) {
      const file = fileOf(key);
      try {
        options?.signal?.throwIfAborted();
        const handle = await fs.promises.open(file, 'r');
        try {
          return await readAt(handle, offset, length);
        } finally {
          await handle.close();
        }
      } catch (error) {
        throw failed(`read ${key}`, error, options?.signal);
      }
    },
    async put(key, bytes, options) {
      const { only, signal } = options ?? {};
      const publish = async (temporary: string, file: string): Promise<void> => {
        if (only === undefined) return fs.promises.rename(temporary, file);
        if (only === 'absent') return fs.promises.link(temporary, file);
        await withLock(file, async () => {
          const there = await fs.promises.stat(file, { bigint: true }).catch(() => undefined);
          if (there === undefined || versionOf(there) !== only.version)
            throw bucketError('precondition', `write ${key}`, name, 'somebody else was first');
          await fs.promises.rename(temporary, file);
        });
      };
      return write(key, [bytes], publish, signal);
    },
    async multipart(key, parts, options) {
      await write(key, parts, (temporary, file) => fs.promises.rename(temporary, file), options?.signal);
    },
    async *list(prefix, options) {
      for await (const object of walk(root, '', prefix, options?.from)) {
        if (options?.signal?.aborted) throw bucketError('cancelled', `list ${prefix}`, name, 'nobody waits for it');
        if (options?.from !== undefined && object.key < options.from) continue;
        if (options?.to !== undefined && object.key >= options.to) return;
        yield object;
      }
    },
    async folders(prefix) {
      try {
        const entries = await fs.promises.readdir(path.join(root, prefix), { withFileTypes: true });
        return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map((entry) => entry.name);
      } catch (error) {
        if (codeOf(error) === 'not-found') return [];
        throw failed(`list ${prefix}`, error);
      }
    },
    async delete(key) {
      let file = fileOf(key);
      try {
        await fs.promises.rm(file, { force: true });
        while ((file = path.dirname(file)) !== root) await fs.promises.rmdir(file);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw failed(`delete ${key}`, error);
      }
    },
    close() {},
  };
}

/** The folder may go, with its last object, between the two steps. */
async function openNew(file: string): Promise<fs.promises.FileHandle> {
  for (let attempt = 0; ; attempt++) {
    await fs.promises.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    try {
      return await fs.promises.open(file, 'wx', 0o644);
    } catch (error) {
      if (attempt === 3 || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

async function readAt(handle: fs.promises.FileHandle, offset: number, length: number) {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(bytes, at, length - at, offset + at);
    if (bytesRead === 0) throw new Error(`it ends at byte ${offset + at}`);
    at += bytesRead;
  }
  return bytes;
}

/** Depth first, in the order of whole keys: `a-b` stands before `a/b`, so folders sort with their slash. */
async function* walk(
  root: string,
  folder: string,
  prefix: string,
  from: string | undefined,
): AsyncGenerator<ListedObject> {
  let entries: fs.Dirent[];
  try {
    entries = await fs.promises.readdir(path.join(root, folder), { withFileTypes: true });
  } catch {
    return;
  }
  const keys = entries
    .filter((entry) => !entry.name.startsWith('.') && (entry.isDirectory() || entry.isFile()))
    .map((entry) => folder + entry.name + (entry.isDirectory() ? '/' : ''))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const key of keys) {
    if (!key.startsWith(prefix) && !(key.endsWith('/') && prefix.startsWith(key))) continue;
    if (key.endsWith('/')) {
      if (from === undefined || key >= from || from.startsWith(key)) yield* walk(root, key, prefix, from);
    } else {
      const stat = await fs.promises.stat(path.join(root, key)).catch(() => undefined);
      if (stat !== undefined) yield { key, bytes: stat.size, modifiedMs: stat.mtimeMs };
    }
  }
}

async function withLock(file: string, work: () => Promise<void>): Promise<void> {
  const lock = path.join(path.dirname(file), `.${path.basename(file)}.lock`);
  for (;;) {
    try {
      await (await fs.promises.open(lock, 'wx')).close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const stat = await fs.promises.stat(lock).catch(() => undefined);
      if (stat !== undefined && Date.now() - stat.mtimeMs > LOCK_STALE_MS) await fs.promises.rm(lock, { force: true });
      else await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
  }
  try {
    await work();
  } finally {
    await fs.promises.rm(lock, { force: true });
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.promises.open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A rename changes the inode, an overwritten file its time. */
function versionOf(stat: fs.BigIntStats): string {
  return `${stat.ino}-${stat.mtimeNs}-${stat.size}`;
}

function codeOf(error: unknown): BucketFailure {
  const { code, name } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return 'not-found';
  if (code === 'EEXIST') return 'precondition';
  return name === 'AbortError' ? 'cancelled' : 'unavailable';
}
