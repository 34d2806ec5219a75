/**
 * The blocks that can be read: those in a local folder, `<root>/<tenant>/<block id>/meta.json`, and those in the bucket as
 * somebody else lists them. Blocks appear in the folder by a rename and go by a rename, so a folder either has a meta or is
 * nothing. Other processes write there too; `refresh` looks which tenant folders changed. A block that is in both is one.
 */
import fs from 'node:fs';
import path from 'node:path';
import { DELETED_FOLDER, listDeleted } from './deleted-traces.ts';
import { type BlockMeta, type MetaProblem, parseMeta, readMeta } from './meta.ts';
import { BLOCK_ID, DAMAGED_META_FILE, FLUSHED_FILE, META_FILE } from './objects.ts';
import { NO_TRACE_IDS, TraceIds } from './trace-ids.ts';

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

/** A block that is there and cannot be read: answers about its range say that it is missing. */
export interface DamagedBlock {
  id: string;
  /** undefined: in the bucket. */
  directory: string | undefined;
  why: string;
  /** Everything, when its meta does not say. */
  startSeconds: number;
  endSeconds: number;
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
  deleted: { hidden: TraceIds; pending: string[] };
  deletedChangedMs: number;
  damaged: Map<string, DamagedBlock>;
  damagedRemote: DamagedBlock[];
}

const REFRESHED_AT_ONCE = 200;

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

  /** The traces that nobody may see, whatever the blocks hold. */
  deleted(tenant: string): TraceIds {
    return this.#tenants.get(tenant)?.deleted.hidden ?? NO_TRACE_IDS;
  }

  /** Those of them of which something may be left. */
  pendingDeletions(tenant: string): readonly string[] {
    return this.#tenants.get(tenant)?.deleted.pending ?? [];
  }

  /** Hides traces of a tenant that has no folder here. */
  hide(tenant: string, ids: readonly string[]): void {
    this.#of(tenant).deleted = { hidden: new TraceIds(ids), pending: [] };
    this.version++;
  }

  /** Looks again which traces of a tenant are deleted. */
  refreshDeleted(tenant: string): void {
    this.#refreshDeleted(tenant, this.#of(tenant));
  }

  /** Where the deleted traces of a tenant are noted. */
  deletedFolder(tenant: string): string {
    return path.join(this.root, tenant, DELETED_FOLDER);
  }

  /** Blocks that answers lack, because they are damaged. */
  damaged(tenant: string): DamagedBlock[] {
    const { damaged, remote, damagedRemote = [] } = this.#tenants.get(tenant) ?? {};
    // What the bucket has is read from there.
    return [...[...(damaged?.values() ?? [])].filter(({ id }) => !remote?.has(id)), ...damagedRemote];
  }

  /** All blocks of the bucket that are damaged. */
  changeDamagedRemote(tenant: string, blocks: { id: string; meta: BlockMeta | undefined }[]): void {
    this.#of(tenant).damagedRemote = blocks.map(({ id, meta }) => quarantined(id, undefined, meta));
    this.version++;
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

  /** A block of the folder was marked as damaged; those that it stood for are looked for again. */
  quarantine({ tenant, id, directory, meta, startSeconds, endSeconds }: LocalBlockRef): void {
    const of = this.#of(tenant);
    of.blocks.delete(id);
    for (const each of meta.vivace.replaces ?? []) of.replaced.delete(each);
    of.damaged.set(id, { id, directory, why: QUARANTINED, startSeconds, endSeconds });
    of.changedMs = -1;
    this.version++;
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
    const steps = this.refreshSteps();
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
    }
  }

  /** The same, with a stop after every few tenants for whoever has other things to do: ten thousand take a tenth of a second. */
  *refreshSteps(): Generator<undefined, string[]> {
    const problems: string[] = [];
    let sinceStop = 0;
    for (const tenant of listDirectories(this.root)) {
      if (++sinceStop > REFRESHED_AT_ONCE) {
        sinceStop = 0;
        yield undefined;
      }
      const directory = path.join(this.root, tenant);
      const changedMs = fs.statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      const known = this.#of(tenant);
      // A rename within the clock's grain of the last look would be missed by its time alone.
      const isSame = changedMs === known.changedMs && Date.now() - changedMs > 2000;
      // The folder of deleted traces appears in this one, and its changes are its own.
      if (!isSame || known.deletedChangedMs >= 0) this.#refreshDeleted(tenant, known);
      if (isSame) continue;
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
    const isSame = changedMs === of.changedMs && Date.now() - changedMs > 2000;
    if (!isSame || of.deletedChangedMs >= 0) this.#refreshDeleted(tenant, of);
    if (isSame) return;
    of.changedMs = changedMs;
    this.#refreshTenant(tenant, directory, of, []);
  }

  #of(tenant: string): TenantBlocks {
    let known = this.#tenants.get(tenant);
    if (known === undefined) {
      known = {
        ...{ blocks: new Map(), changedMs: -1, remote: new Map(), removed: new Set(), replaced: new Set() },
        ...{ replacedRemote: new Set(), deleted: { hidden: NO_TRACE_IDS, pending: [] }, deletedChangedMs: -1 },
        ...{ damaged: new Map(), damagedRemote: [] },
      };
      this.#tenants.set(tenant, known);
    }
    return known;
  }

  #refreshDeleted(tenant: string, known: TenantBlocks): void {
    const folder = this.deletedFolder(tenant);
    const changedMs = fs.statSync(folder, { throwIfNoEntry: false })?.mtimeMs;
    if (changedMs === undefined && known.deleted.hidden.ids.length === 0) return;
    if (changedMs === known.deletedChangedMs && Date.now() - changedMs > 2000) return;
    const { hidden, pending } = listDeleted(folder);
    const isSame = hidden.join() === known.deleted.hidden.ids.join();
    if (!isSame) this.version++;
    known.deleted = { hidden: isSame ? known.deleted.hidden : new TraceIds(hidden), pending };
    known.deletedChangedMs = changedMs ?? -1;
  }

  #refreshTenant(tenant: string, directory: string, known: TenantBlocks, problems: string[]): void {
    const { blocks, removed, replaced, damaged } = known;
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
    for (const id of damaged.keys())
      if (!present.has(id)) {
        damaged.delete(id);
        this.version++;
      }
    for (const id of present) {
      if (blocks.has(id)) continue;
      const folder = path.join(directory, id);
      const ref = readBlockRef(folder, tenant);
      if (typeof ref === 'object') {
        damaged.delete(id);
        list(known, ref);
        this.version++;
      } else if (!damaged.has(id)) {
        if (ref !== undefined) problems.push(notReadable(folder, ref));
        const found = ref === 'foreign' ? undefined : damagedBlock(folder, id, ref);
        if (found === undefined) continue;
        damaged.set(id, found);
        this.version++;
      }
    }
  }
}

function list({ blocks, replaced }: TenantBlocks, ref: BlockRef): void {
  blocks.set(ref.id, ref);
  for (const id of ref.meta.vivace.replaces ?? []) replaced.add(id);
}

/** The block in a folder; undefined when it has no meta, or what is wrong with its meta. */
export function readBlockRef(directory: string, tenant: string): LocalBlockRef | MetaProblem | undefined {
  let text: string;
  try {
    text = fs.readFileSync(path.join(directory, META_FILE), 'utf8');
  } catch {
    return undefined;
  }
  const meta = readMeta(text);
  return typeof meta === 'string' ? meta : blockRef(meta, tenant, directory);
}

function notReadable(directory: string, problem: MetaProblem): string {
  const why = { foreign: 'its meta.json is not that of a block of ours', damaged: 'its meta.json is damaged' }[problem];
  return `cannot read block ${directory}: ${why}`;
}

const EVER = { startSeconds: 0, endSeconds: Number.POSITIVE_INFINITY };
const QUARANTINED = 'it was found damaged and is in quarantine';

/** The block whose meta is damaged, or that is in quarantine; undefined when it is neither. */
function damagedBlock(directory: string, id: string, problem: 'damaged' | undefined): DamagedBlock | undefined {
  if (problem === 'damaged') return { id, directory, why: 'its meta.json is damaged', ...EVER };
  let text: string;
  try {
    text = fs.readFileSync(path.join(directory, DAMAGED_META_FILE), 'utf8');
  } catch {
    return undefined;
  }
  return quarantined(id, directory, parseMeta(text));
}

function quarantined(id: string, directory: string | undefined, meta: BlockMeta | undefined): DamagedBlock {
  const { startSeconds, endSeconds } = meta === undefined ? EVER : blockRef(meta, '', directory);
  return { id, directory, why: QUARANTINED, startSeconds, endSeconds };
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
