/** A folder of blocks and a bucket of blocks as the same thing: for those who check and repair what is stored, file by file. */
import fs from 'node:fs';
import path from 'node:path';
import { type Bucket, isNotFound } from '../store/bucket.ts';
import { BLOCK_ID, META_FILE, objectKey, META_BYTES_MAX } from './objects.ts';
import { type BlockFiles, folderFiles } from './verify.ts';

export interface StoredFile {
  bytes: number;
  modifiedMs: number;
}

/** What lies directly in a tenant's folder. */
export interface StoredTenant {
  /** Files of each block, by its id and their names. */
  blocks: Map<string, Map<string, StoredFile>>;
  /** Everything else: names, and when they were last written. */
  others: Map<string, number>;
}

export interface StoredBlocks {
  readonly name: string;
  /** Whether a block is written beside its place (`.<id>`) and renamed, rather than file by file with its meta last. */
  readonly isFolder: boolean;
  tenants(): Promise<string[]>;
  look(tenant: string): Promise<StoredTenant>;
  /** The files of one block as they are now; undefined if it is gone. */
  lookAt(tenant: string, id: string): Promise<Map<string, StoredFile> | undefined>;
  files(tenant: string, id: string): BlockFiles;
  text(tenant: string, id: string, name: string): Promise<string>;
  /** Replaces the file as a whole. */
  write(tenant: string, id: string, name: string, text: string): Promise<void>;
  /** What `to` was is lost; `from` may be gone already. */
  rename(tenant: string, id: string, from: string, to: string): Promise<void>;
  /** Large files whose upload to a bucket was begun and not ended, and how to end it; undefined: that cannot be known. */
  uploads?(): AsyncIterable<{ key: string; startedMs: number; abort: () => Promise<void> }>;
  /** A block, or a file or folder of the tenant's folder; what is not there counts as removed. */
  remove(tenant: string, name: string): Promise<void>;
}

export function folderBlocks(root: string): StoredBlocks {
  const at = (...names: string[]): string => path.join(root, ...names);
  const lookAt = async (tenant: string, id: string): Promise<Map<string, StoredFile> | undefined> => {
    const names = await fs.promises.readdir(at(tenant, id)).catch(ifThere);
    if (names === undefined) return undefined;
    const files = new Map<string, StoredFile>();
    for (const file of names) {
      const stat = await fs.promises.stat(at(tenant, id, file)).catch(ifThere);
      if (stat !== undefined) files.set(file, { bytes: stat.size, modifiedMs: stat.mtimeMs });
    }
    return files;
  };
  return {
    name: root,
    isFolder: true,
    async tenants() {
      const entries = await fs.promises.readdir(root, { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name);
    },
    async look(tenant) {
      const found: StoredTenant = { blocks: new Map(), others: new Map() };
      for (const name of ((await fs.promises.readdir(at(tenant)).catch(ifThere)) ?? []).sort()) {
        const stat = await fs.promises.stat(at(tenant, name)).catch(ifThere);
        if (stat === undefined) continue;
        if (!BLOCK_ID.test(name) || !stat.isDirectory()) {
          found.others.set(name, stat.mtimeMs);
          continue;
        }
        const files = await lookAt(tenant, name);
        if (files !== undefined) found.blocks.set(name, files);
      }
      return found;
    },
    lookAt,
    files: (tenant, id) => folderFiles(at(tenant, id)),
    text: (tenant, id, name) => fs.promises.readFile(at(tenant, id, name), 'utf8'),
    async write(tenant, id, name, text) {
      const temporary = at(tenant, id, `.${name}`);
      await fs.promises.writeFile(temporary, text, { flush: true });
      await fs.promises.rename(temporary, at(tenant, id, name));
    },
    async rename(tenant, id, from, to) {
      await fs.promises.rename(at(tenant, id, from), at(tenant, id, to)).catch(ifThere);
    },
    async remove(tenant, name) {
      const isBlock = BLOCK_ID.test(name);
      // As a whole for whoever looks.
      if (isBlock) await fs.promises.rename(at(tenant, name), at(tenant, `.${name}.gone`)).catch(ifThere);
      await fs.promises.rm(at(tenant, isBlock ? `.${name}.gone` : name), { recursive: true, force: true });
    },
  };
}

export function bucketBlocks(bucket: Bucket): StoredBlocks {
  const textOf = async (key: string): Promise<Uint8Array> =>
    (await bucket.get(key, { bytesMax: META_BYTES_MAX })).bytes;
  return {
    name: bucket.name,
    isFolder: false,
    // Folders with ~ hold what belongs to no tenant.
    tenants: async () => (await bucket.folders('')).filter((name) => !name.includes('~')),
    async look(tenant) {
      const found: StoredTenant = { blocks: new Map(), others: new Map() };
      for await (const { key, bytes, modifiedMs } of bucket.list(`${tenant}/`)) {
        const [id, ...rest] = key.slice(tenant.length + 1).split('/');
        if (!BLOCK_ID.test(id) || rest.length !== 1) {
          found.others.set([id, ...rest].join('/'), modifiedMs);
          continue;
        }
        let files = found.blocks.get(id);
        if (files === undefined) found.blocks.set(id, (files = new Map()));
        files.set(rest[0], { bytes, modifiedMs });
      }
      return found;
    },
    async lookAt(tenant, id) {
      const files = new Map<string, StoredFile>();
      for await (const { key, bytes, modifiedMs } of bucket.list(`${tenant}/${id}/`))
        files.set(key.slice(tenant.length + id.length + 2), { bytes, modifiedMs });
      return files.size === 0 ? undefined : files;
    },
    files: (tenant, id) => bucketFiles(bucket, tenant, id),
    text: async (tenant, id, name) => Buffer.from(await textOf(objectKey(tenant, id, name))).toString(),
    async write(tenant, id, name, text) {
      await bucket.put(objectKey(tenant, id, name), Buffer.from(text));
    },
    async rename(tenant, id, from, to) {
      try {
        await bucket.put(objectKey(tenant, id, to), await textOf(objectKey(tenant, id, from)));
        await bucket.delete(objectKey(tenant, id, from));
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    },
    ...(bucket.uploads !== undefined && {
      async *uploads() {
        for await (const upload of bucket.uploads!(''))
          yield { key: upload.key, startedMs: upload.startedMs, abort: () => bucket.abortUpload!(upload) };
      },
    }),
    async remove(tenant, name) {
      const keys: string[] = [];
      for await (const { key } of bucket.list(`${tenant}/${name}`))
        if (key === `${tenant}/${name}` || key.startsWith(`${tenant}/${name}/`)) keys.push(key);
      // Its meta last: as long as that is there, the next look knows what the others are.
      for (const key of keys.sort((a, b) => Number(isMeta(a)) - Number(isMeta(b)))) await bucket.delete(key);
    },
  };
}

/** The files of one block in a bucket; their lengths are asked for once. */
export function bucketFiles(bucket: Bucket, tenant: string, id: string): BlockFiles {
  let lengths: Promise<Map<string, number>> | undefined;
  const listed = async (): Promise<Map<string, number>> => {
    const found = new Map<string, number>();
    for await (const { key, bytes } of bucket.list(`${tenant}/${id}/`)) found.set(key.split('/').at(-1)!, bytes);
    return found;
  };
  return {
    bytes: async (name) => (await (lengths ??= listed())).get(name),
    read: (name, offset, length) => bucket.range(objectKey(tenant, id, name), offset, length),
    async close() {},
  };
}

function isMeta(key: string): boolean {
  return key.endsWith(META_FILE) || key.endsWith('.json');
}

function ifThere(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
