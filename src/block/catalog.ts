/**
 * The blocks that are in a local folder: `<root>/<tenant>/<block id>/meta.json`. Blocks appear by a rename and go by a rename,
 * so a folder either has a meta or is nothing. Other processes write there too; `refresh` looks which tenant folders changed.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type BlockMeta, parseMeta } from './meta.ts';

/** What a reader needs to open a block and to know whether it wants to. */
export interface BlockRef {
  id: string;
  tenant: string;
  directory: string;
  meta: BlockMeta;
  startSeconds: number;
  endSeconds: number;
}

const BLOCK_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export class BlockCatalog {
  readonly root: string;
  /** Grows whenever the list changes. */
  version = 1;
  readonly #tenants = new Map<string, { blocks: Map<string, BlockRef>; changedMs: number }>();

  constructor(root: string) {
    this.root = root;
  }

  /** Newest first. */
  blocks(tenant: string): BlockRef[] {
    const known = this.#tenants.get(tenant);
    if (known === undefined) return [];
    return [...known.blocks.values()].sort((a, b) => b.endSeconds - a.endSeconds);
  }

  tenants(): string[] {
    return [...this.#tenants.keys()];
  }

  get count(): number {
    let count = 0;
    for (const { blocks } of this.#tenants.values()) count += blocks.size;
    return count;
  }

  add(ref: BlockRef): void {
    this.#of(ref.tenant).blocks.set(ref.id, ref);
    this.version++;
  }

  /** Reads the tenant folders whose entries changed since the last time; damaged metas are named in the answer. */
  refresh(): string[] {
    const problems: string[] = [];
    for (const tenant of listDirectories(this.root)) {
      const directory = path.join(this.root, tenant);
      const changedMs = fs.statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      const known = this.#of(tenant);
      // A rename within the clock's grain of the last look would be missed by its time alone.
      if (changedMs === known.changedMs && Date.now() - changedMs > 2000) continue;
      known.changedMs = changedMs;
      this.#refreshTenant(tenant, directory, known.blocks, problems);
    }
    return problems;
  }

  /** The same for one tenant; cheap when nothing changed. */
  refreshIfChanged(tenant: string): void {
    const directory = path.join(this.root, tenant);
    const changedMs = fs.statSync(directory, { throwIfNoEntry: false })?.mtimeMs;
    const known = this.#tenants.get(tenant);
    if (changedMs === undefined || (changedMs === known?.changedMs && Date.now() - changedMs > 2000)) return;
    const of = this.#of(tenant);
    of.changedMs = changedMs;
    this.#refreshTenant(tenant, directory, of.blocks, []);
  }

  #of(tenant: string): { blocks: Map<string, BlockRef>; changedMs: number } {
    let known = this.#tenants.get(tenant);
    if (known === undefined) {
      known = { blocks: new Map(), changedMs: -1 };
      this.#tenants.set(tenant, known);
    }
    return known;
  }

  #refreshTenant(tenant: string, directory: string, blocks: Map<string, BlockRef>, problems: string[]): void {
    const present = new Set(listDirectories(directory).filter((name) => BLOCK_ID.test(name)));
    for (const id of blocks.keys())
      if (!present.has(id)) {
        blocks.delete(id);
        this.version++;
      }
    for (const id of present) {
      if (blocks.has(id)) continue;
      const ref = readBlockRef(path.join(directory, id), tenant);
      if (typeof ref === 'string') problems.push(ref);
      else if (ref !== undefined) {
        blocks.set(id, ref);
        this.version++;
      }
    }
  }
}

/** The block in a folder; undefined when it has no meta, a text when its meta cannot be read. */
export function readBlockRef(directory: string, tenant: string): BlockRef | string | undefined {
  let text: string;
  try {
    text = fs.readFileSync(path.join(directory, 'meta.json'), 'utf8');
  } catch {
    return undefined;
  }
  const meta = parseMeta(text);
  if (meta === undefined) return `cannot read block ${directory}: its meta.json is not that of a block of ours`;
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
