import fs from 'node:fs';
import path from 'node:path';
import { COMPACTED_META_FILE, META_FILE } from '../block/objects.ts';

/** Takes a block out of every list that is made from now on. Its grace begins now, not when its meta was written. */
export async function markCompacted(directory: string, nowMs: number): Promise<void> {
  const to = path.join(directory, COMPACTED_META_FILE);
  try {
    await fs.promises.rename(path.join(directory, META_FILE), to);
    await fs.promises.utimes(to, nowMs / 1000, nowMs / 1000);
  } catch (error) {
    // Somebody else has done so.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
