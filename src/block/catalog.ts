/**
 * The blocks that can be read: those in a local folder, `<root>/<tenant>/<block id>/meta.json`, and those in the bucket as
 * somebody else lists them. Blocks appear in the folder by a rename and go by a rename, so a folder either has a meta or is
 * nothing. Other processes write there too; `refresh` looks which tenant folders changed. A block that is in both is one.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type BlockMeta, parseMeta } from './meta.ts';
import { DELETED_FOLDER, listDeleted } from './deleted-traces.ts';
import { BLOCK_ID, FLUSHED_FILE, META_FILE } from './objects.ts';

/** What a reader needs to open a block and to know whether it wants to. */
export interface BlockRef {
  id: string;
  tenant: string;
  /** undefined: only in the bucket. */
  directory: string | undefined;
  meta: BlockMeta;
  startSeconds: number;
  endSeconds: number;
}

/** A block that is in a folder. */
export interface LocalBlockRef extends BlockRef {
  directory: string;
}

interface TenantBlocks {
  /** In the folder. */
  blocks: Map<string, BlockRef>;
  changedMs: number;
  remote: Map<string, BlockRef>;
  /** Blocks that were in the bucket and are not any more: what they held is in others, or too old. */
  removed: Set<string>;
  /** Blocks in the folder whose spans are in a merged one. They come and go with it in one step. */
  replaced: Set<string>;
  /** What blocks in the bucket replace. */
  replacedRemote: Set<string>;
  /** Traces that are to be gone, and those of them that may not be gone yet. */
  deleted: { hidden: string[]; pending: string[] };
  deletedChangedMs: number;
}

export class BlockCatalog {
  readonly root: string;
  /** Grows whenever the list changes. */
  version = 1;
  readonly #tenants = new Map<string, TenantBlocks>();

  constructor(root: string) {
    this.root = root;
  }

  /** Newest first. */
  blocks(tenant: string): BlockRef[] {
    const known = this.#tenants.get(tenant);
    if (known === undefined) return [];
    const { removed, replaced, replacedRemote } = known;
    const all = [...known.blocks.values()].filter(
      ({ id }) => !removed.has(id) && !replaced.has(id) && !replacedRemote.has(id),
    );
    for (const ref of known.remote.values()) if (!known.blocks.has(ref.id)) all.push(ref);
    return all.sort((a, b) => b.endSeconds - a.endSeconds);
  }

  /** Ids of the traces that nobody may see, whatever the blocks hold. */
  deleted(tenant: string): readonly string[] {
    return this.#tenants.get(tenant)?.deleted.hidden ?? [];
  }

  /** Those of them of which something may be left. */
  pendingDeletions(tenant: string): readonly string[] {
    return this.#tenants.get(tenant)?.deleted.pending ?? [];
  }

  /** Where the deleted traces of a tenant are noted. */
  deletedFolder(tenant: string): string {
    return path.join(this.root, tenant, DELETED_FOLDER);
  }

  tenants(): string[] {
    return [...this.#tenants.keys()];
  }

  get count(): number {
    let count = 0;
    for (const tenant of this.#tenants.keys()) count += this.blocks(tenant).length;
    return count;
  }

  add(ref: BlockRef): void {
    list(this.#of(ref.tenant), ref);
    this.version++;
  }

  /** A block of the folder is not to be read any more; its files may still be there. */
  remove(tenant: string, id: string): void {
    if (this.#of(tenant).blocks.delete(id)) this.version++;
  }

  /**
   * What changed in the bucket. The list is complete as of a moment: a block that was in the bucket before, as its folder says,
   * and is not in the list, has gone, and its copy in the folder is not to be read either.
   */
  changeRemote(tenant: string, added: BlockMeta[], removed: string[], asOfMs = 0): void {
    const of = this.#of(tenant);
    for (const meta of added) {
      of.remote.set(meta.blockID, blockRef(meta, tenant, undefined));
      of.removed.delete(meta.blockID);
    }
    for (const id of removed) {
      of.remote.delete(id);
      if (of.blocks.has(id)) of.removed.add(id);
    }
    of.replacedRemote = new Set([...of.remote.values()].flatMap(({ meta }) => meta.vivace.replaces ?? []));
    for (const { id, directory } of of.blocks.values()) {
      if (of.remote.has(id) || of.removed.has(id)) continue;
      // What replaces it may be replaced itself before the folder is gone.
      if (of.replacedRemote.has(id) || flushedMsOf(directory!) < asOfMs) of.removed.add(id);
    }
    this.version++;
  }

  /** Reads the tenant folders whose entries changed since the last time; damaged metas are named in the answer. */
  refresh(): string[] {
    const problems: string[] = [];
    for (const tenant of listDirectories(this.root)) {
      const directory = path.join(this.root, tenant);
      const changedMs = fs.statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      const known = this.#of(tenant);
      this.#refreshDeleted(tenant, known);
      // A rename within the clock's grain of the last look would be missed by its time alone.
      if (changedMs === known.changedMs && Date.now() - changedMs > 2000) continue;
      known.changedMs = changedMs;
      this.#refreshTenant(tenant, directory, known, problems);
    }
    return problems;
  }

  /** The same for one tenant; cheap when nothing changed. */
  refreshIfChanged(tenant: string): void {
    const directory = path.join(this.root, tenant);
    const changedMs = fs.statSync(directory, { throwIfNoEntry: false })?.mtimeMs;
    if (changedMs === undefined) return;
    const of = this.#of(tenant);
    this.#refreshDeleted(tenant, of);
    if (changedMs === of.changedMs && Date.now() - changedMs > 2000) return;
    of.changedMs = changedMs;
    this.#refreshTenant(tenant, directory, of, []);
  }

  #of(tenant: string): TenantBlocks {
    let known = this.#tenants.get(tenant);
    if (known === undefined) {
      known = {
        ...{ blocks: new Map(), changedMs: -1, remote: new Map(), removed: new Set(), replaced: new Set() },
        ...{ replacedRemote: new Set(), deleted: { hidden: [], pending: [] }, deletedChangedMs: -1 },
      };
      this.#tenants.set(tenant, known);
    }
    return known;
  }

  #refreshDeleted(tenant: string, known: TenantBlocks): void {
    const folder = this.deletedFolder(tenant);
    const changedMs = fs.statSync(folder, { throwIfNoEntry: false })?.mtimeMs;
    if (changedMs === undefined && known.deleted.hidden.length === 0) return;
    if (changedMs === known.deletedChangedMs && Date.now() - changedMs > 2000) return;
    const deleted = listDeleted(folder);
    if (deleted.hidden.join() !== known.deleted.hidden.join()) this.version++;
    known.deleted = deleted;
    known.deletedChangedMs = changedMs ?? -1;
  }

  #refreshTenant(tenant: string, directory: string, known: TenantBlocks, problems: string[]): void {
    const { blocks, removed, replaced } = known;
    const present = new Set(listDirectories(directory).filter((name) => BLOCK_ID.test(name)));
    for (const id of blocks.keys())
      if (!present.has(id)) {
        blocks.delete(id);
        removed.delete(id);
        this.version++;
      }
    for (const id of replaced)
      if (!present.has(id)) {
        replaced.delete(id);
        this.version++;
      }
    for (const id of present) {
      if (blocks.has(id)) continue;
      const ref = readBlockRef(path.join(directory, id), tenant);
      if (typeof ref === 'string') problems.push(ref);
      else if (ref !== undefined) {
        list(known, ref);
        this.version++;
      }
    }
  }
}

function list({ blocks, replaced }: TenantBlocks, ref: BlockRef): void {
  blocks.set(ref.id, ref);
  for (const id of ref.meta.vivace.replaces ?? []) replaced.add(id);
}

/** The block in a folder; undefined when it has no meta, a text when its meta cannot be read. */
export function readBlockRef(directory: string, tenant: string): LocalBlockRef | string | undefined {
  let text: string;
  try {
    text = fs.readFileSync(path.join(directory, META_FILE), 'utf8');
  } catch {
    return undefined;
  }
  const meta = parseMeta(text);
  if (meta === undefined) return `cannot read block ${directory}: its meta.json is not that of a block of ours`;
  return blockRef(meta, tenant, directory);
}

/** When the bucket got the block of a folder; Infinity: it has not. */
export function flushedMsOf(directory: string): number {
  return (
    fs.statSync(path.join(directory, FLUSHED_FILE), { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY
  );
}

export function blockRef<D extends string | undefined>(
  meta: BlockMeta,
  tenant: string,
  directory: D,
): BlockRef & { directory: D } {
  return {
    id: meta.blockID,
    tenant,
    directory,
    meta,
    startSeconds: Date.parse(meta.startTime) / 1000,
    endSeconds: Date.parse(meta.endTime) / 1000,
  };
}

function listDirectories(directory: string): string[] {
  try {
    return fs
      .readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}
