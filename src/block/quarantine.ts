/**
 * Takes a damaged block of a folder out of every list: `meta.json` becomes `meta.damaged.json`. The block's files stay for
 * whoever can repair them, answers say that it is missing, and retention removes it as any other (docs/formats/block.md).
 *
 * Where it had taken the place of others which are still there, those come back: nothing is lost that need not be.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { BlockCatalog, DamagedBlock, LocalBlockRef } from './catalog.ts';
import { COMPACTED_META_FILE, DAMAGED_META_FILE, META_FILE, TRACES_FILE } from './objects.ts';
import { findTrace, readTraces, tracesParts } from './traces-file.ts';
import { folderFiles, verifyBlock } from './verify.ts';

/** Checks a block that somebody could not read, and quarantines it when it is damaged; resolves with what is wrong with it. */
export async function quarantineIfDamaged(
  catalog: BlockCatalog,
  tenant: string,
  id: string,
  pause: () => Promise<void>,
): Promise<string[]> {
  const ref = catalog.blocks(tenant).find((block) => block.id === id);
  if (ref?.directory === undefined) return [];
  const files = folderFiles(ref.directory);
  let problems: string[];
  try {
    problems = await verifyBlock(ref.meta, files, pause);
  } finally {
    await files.close();
  }
  // It may have been merged or have become too old meanwhile.
  if (problems.length === 0 || !fs.existsSync(path.join(ref.directory, META_FILE))) return [];
  await quarantine(ref.directory, ref.meta.vivace.replaces);
  catalog.quarantine(ref as LocalBlockRef);
  return problems;
}

/** Whether a damaged block may hold the trace: its list of traces has a checksum of its own and is mostly whole. */
export async function damagedMayHold({ directory }: DamagedBlock, traceId: Uint8Array): Promise<boolean> {
  if (directory === undefined) return true;
  try {
    const parts = tracesParts(await fs.promises.readFile(path.join(directory, TRACES_FILE)));
    return parts.some((part) => findTrace(readTraces(part).ids, traceId) >= 0);
  } catch {
    return true;
  }
}

/** Marks the block in the folder; `replaced` are the blocks that it stood for. */
export async function quarantine(directory: string, replaced: readonly string[] = []): Promise<void> {
  await fs.promises.rename(path.join(directory, META_FILE), path.join(directory, DAMAGED_META_FILE));
  for (const id of replaced) {
    const other = path.join(path.dirname(directory), id);
    await fs.promises
      .rename(path.join(other, COMPACTED_META_FILE), path.join(other, META_FILE))
      .catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
  }
}
