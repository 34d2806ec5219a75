/**
 * Looks through the blocks of a tenant, in a folder or a bucket, for what should not be, and knows how to put it right:
 *
 * | found                                            | repair                                                     |
 * | ------------------------------------------------ | ---------------------------------------------------------- |
 * | a byte of data.parquet or traces is another one   | quarantine; blocks that it stood for come back              |
 * | meta.json is damaged or missing, the rest is sound | meta.json is made anew from the rest                        |
 * | the rest is damaged, too                         | quarantine                                                  |
 * | a block in quarantine that is sound              | it comes back                                              |
 * | a block whose spans are in a merged one          | it is marked as merged                                     |
 * | two metas, of a deletion that was interrupted    | the first goes                                             |
 * | what an interrupted cut or deletion left          | it is removed once it is old                               |
 * | an upload that was not finished                  | `removeUploads` removes it                                 |
 */
import { messageOf } from '../runtime/errors.ts';
import { DELETED_FOLDER } from './deleted-traces.ts';
import { type BlockMeta, readMeta } from './meta.ts';
import { rebuiltMeta } from './meta-rebuilt.ts';
import {
  BLOCK_ID,
  COMPACTED_META_FILE,
  DAMAGED_META_FILE,
  DATA_FILE,
  DELETED_FILE,
  FILTERS_FILE,
  FLUSHED_FILE,
  LEASE_FILE,
  META_FILE,
  SENT_FILE,
  TRACES_FILE,
} from './objects.ts';
import type { StoredBlocks, StoredFile } from './stored-blocks.ts';
import { INDEX_FILE, INDEX_FILE_PROTOBUF } from './tenant-index.ts';
import { verifyBlock } from './verify.ts';

export interface Finding {
  tenant: string;
  /** undefined: it is about something beside the blocks. */
  block: string | undefined;
  text: string;
  /** undefined: nothing can be done. */
  repair?: { text: string; run(): Promise<void> };
}

export interface CheckedTenant {
  tenant: string;
  blocks: number;
  traces: number;
  spans: number;
  bytes: number;
  /** Blocks that were merged into others or were too old, and whose files are still there. */
  compacted: number;
  /** Blocks of Tempo, which are not looked into. */
  foreign: number;
}

export interface CheckOptions {
  /** Only metas and lengths of files. */
  fast: boolean;
  nowMs: number;
  /** Somebody may be at work on what is younger than this. */
  youngMs: number;
  /** Unfinished uploads have no machine any more that could finish them. */
  removeUploads: boolean;
  onFinding(finding: Finding): Promise<void>;
  onBlock(done: number, all: number): void;
  pause(): Promise<void>;
}

const KNOWN_FILES = new Set([
  DATA_FILE,
  TRACES_FILE,
  META_FILE,
  COMPACTED_META_FILE,
  DAMAGED_META_FILE,
  FLUSHED_FILE,
  SENT_FILE,
]);
const KNOWN_OTHERS = new Set([INDEX_FILE, INDEX_FILE_PROTOBUF, LEASE_FILE, FILTERS_FILE, DELETED_FILE, DELETED_FOLDER]);

export async function checkTenant(stored: StoredBlocks, tenant: string, options: CheckOptions): Promise<CheckedTenant> {
  const { nowMs, youngMs, onFinding } = options;
  const { blocks, others } = await stored.look(tenant);
  const checked = { tenant, blocks: 0, traces: 0, spans: 0, bytes: 0, compacted: 0, foreign: 0 };
  const sound: BlockMeta[] = [];
  let done = 0;
  for (const [id, files] of blocks) {
    options.onBlock(done++, blocks.size);
    const meta = await checkBlock(stored, tenant, id, files, options);
    if (meta === 'foreign') checked.foreign++;
    else if (meta === 'compacted') checked.compacted++;
    else if (meta !== undefined) sound.push(meta);
  }
  const listed = new Set(sound.map(({ blockID }) => blockID));
  for (const meta of sound)
    for (const id of meta.vivace.replaces ?? []) {
      if (!listed.delete(id)) continue;
      // Whoever has just merged them will mark them.
      if (nowMs - (blocks.get(meta.blockID)?.get(META_FILE)?.modifiedMs ?? 0) < youngMs) continue;
      await onFinding({
        tenant,
        block: id,
        text: `its spans are in block ${meta.blockID}; the merge was not finished`,
        repair: {
          text: 'marked as merged',
          run: () => stored.rename(tenant, id, META_FILE, COMPACTED_META_FILE),
        },
      });
    }
  for (const { blockID, totalObjects, size, vivace } of sound) {
    if (!listed.has(blockID)) continue;
    checked.blocks++;
    checked.traces += totalObjects;
    checked.spans += vivace.spans;
    checked.bytes += size + vivace.tracesBytes;
  }
  for (const [name, modifiedMs] of others) {
    if (KNOWN_OTHERS.has(name.split('/')[0])) continue;
    const isOurs = stored.isFolder && BLOCK_ID.test(name.slice(1, 37)) && /^\.[^.]+(?:\.gone)?$/.test(name);
    if (isOurs && nowMs - modifiedMs < youngMs) continue;
    await onFinding({
      tenant,
      block: undefined,
      text: isOurs ? `${name} was left by somebody who was interrupted` : `${name} belongs to no block`,
      ...(isOurs && { repair: { text: 'removed', run: () => stored.remove(tenant, name) } }),
    });
  }
  return checked;
}

type CheckedBlock = BlockMeta | 'foreign' | 'compacted' | undefined;

/**
 * Its meta, when the block is listed and sound. Somebody may merge or remove the block meanwhile: what was found holds only
 * if the block's files are those that were looked at.
 */
async function checkBlock(
  stored: StoredBlocks,
  tenant: string,
  id: string,
  seen: Map<string, StoredFile>,
  options: CheckOptions,
): Promise<CheckedBlock> {
  for (let files = seen; ; ) {
    const findings: Finding[] = [];
    const onFinding = async (finding: Finding): Promise<void> => void findings.push(finding);
    let checked: CheckedBlock;
    let failure: unknown;
    try {
      checked = await checkFiles(stored, tenant, id, files, { ...options, onFinding });
    } catch (error) {
      failure = error;
    }
    if (failure === undefined && findings.length === 0) return checked;
    const now = await stored.lookAt(tenant, id);
    if (now === undefined) return undefined;
    if (isSame(files, now)) {
      if (failure !== undefined) throw failure;
      for (const finding of findings) await options.onFinding(finding);
      return checked;
    }
    files = now;
  }
}

function isSame(a: Map<string, StoredFile>, b: Map<string, StoredFile>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, { bytes, modifiedMs }] of a) {
    const other = b.get(name);
    if (other?.bytes !== bytes || other.modifiedMs !== modifiedMs) return false;
  }
  return true;
}

async function checkFiles(
  stored: StoredBlocks,
  tenant: string,
  id: string,
  files: Map<string, StoredFile>,
  options: CheckOptions,
): Promise<CheckedBlock> {
  const found = (text: string, repair?: Finding['repair']): Promise<void> =>
    options.onFinding({ tenant, block: id, text, ...(repair && { repair }) });
  const rename = (from: string, to: string) => () => stored.rename(tenant, id, from, to);
  const isForeign = async (name: string): Promise<boolean> =>
    readMeta(await stored.text(tenant, id, name)) === 'foreign';
  if (files.has(COMPACTED_META_FILE)) {
    if (files.has(META_FILE) && !(await isForeign(META_FILE)))
      await found(`it has ${META_FILE} and ${COMPACTED_META_FILE}: its deletion was interrupted`, {
        text: `${META_FILE} removed`,
        run: () => stored.remove(tenant, `${id}/${META_FILE}`),
      });
    return 'compacted';
  }
  if (files.has(META_FILE)) {
    const meta = readMeta(await stored.text(tenant, id, META_FILE));
    if (meta === 'foreign') return 'foreign';
    await checkNames();
    if (meta === 'damaged') {
      await rebuild(`${META_FILE} is damaged`, rename(META_FILE, DAMAGED_META_FILE));
      return undefined;
    }
    const problems = await problemsOf(meta);
    if (problems.length === 0) return meta;
    await found(problems.join('; '), {
      text: 'put into quarantine',
      async run() {
        await rename(META_FILE, DAMAGED_META_FILE)();
        for (const other of meta.vivace.replaces ?? [])
          await stored.rename(tenant, other, COMPACTED_META_FILE, META_FILE);
      },
    });
    return undefined;
  }
  if (files.has(DAMAGED_META_FILE)) {
    const meta = readMeta(await stored.text(tenant, id, DAMAGED_META_FILE));
    if (typeof meta === 'string') {
      await rebuild('it is in quarantine', undefined);
      return undefined;
    }
    const problems = await problemsOf(meta);
    if (problems.length > 0) await found(`it is in quarantine: ${problems.join('; ')}`);
    else
      await found('it is in quarantine, and sound', {
        text: 'brought back',
        run: rename(DAMAGED_META_FILE, META_FILE),
      });
    return undefined;
  }
  const youngest = Math.max(0, ...[...files.values()].map(({ modifiedMs }) => modifiedMs));
  if (!stored.isFolder) {
    // An upload writes its meta last, a deletion takes it last. Where its machine has the block and believes that its files are
    // here, removing them would lose it.
    if (options.nowMs - youngest >= options.youngMs) {
      const text =
        'it has no meta: an upload that was interrupted, and that its machine finishes if it still has the block';
      const repair = options.removeUploads && { text: 'removed', run: () => stored.remove(tenant, id) };
      await found(text, repair || undefined);
    }
  } else await rebuild(`it has no ${META_FILE}`, undefined);
  return undefined;

  async function problemsOf(meta: BlockMeta): Promise<string[]> {
    if (meta.blockID !== id) return [`its meta is that of block ${meta.blockID}`];
    if (options.fast) {
      const lengths: [string, number][] = [
        [DATA_FILE, meta.size],
        [TRACES_FILE, meta.vivace.tracesBytes],
      ];
      return lengths
        .filter(([name, bytes]) => files.get(name)?.bytes !== bytes)
        .map(([name, bytes]) => `${name} has ${files.get(name)?.bytes ?? 'no'} bytes, meta.json says ${bytes}`);
    }
    const opened = stored.files(tenant, id);
    try {
      return await verifyBlock(meta, opened, options.pause);
    } catch (error) {
      return [messageOf(error)];
    } finally {
      await opened.close();
    }
  }

  /** Finds the block without its meta; `otherwise` is done when it cannot be had from the rest. */
  async function rebuild(text: string, otherwise: (() => Promise<void>) | undefined): Promise<void> {
    const opened = stored.files(tenant, id);
    let meta: BlockMeta | string;
    try {
      meta = await rebuiltMeta(tenant, id, opened, files.get(DATA_FILE)?.modifiedMs ?? options.nowMs, options.pause);
    } finally {
      await opened.close();
    }
    if (typeof meta === 'string') {
      const repair = otherwise && { text: 'put into quarantine', run: otherwise };
      return found(`${text}, and cannot be made anew: ${meta}`, repair);
    }
    const made = JSON.stringify(meta);
    await found(text, {
      text: `${META_FILE} made anew`,
      async run() {
        await stored.write(tenant, id, META_FILE, made);
        if (files.has(DAMAGED_META_FILE)) await stored.remove(tenant, `${id}/${DAMAGED_META_FILE}`);
      },
    });
  }

  async function checkNames(): Promise<void> {
    for (const name of files.keys()) if (!KNOWN_FILES.has(name)) await found(`${name} is no file of a block`);
  }
}
