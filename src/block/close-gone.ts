/** Open files of blocks that have left their folder: they hold the space of the disk that was to come free. */
import fs from 'node:fs';
import type { BlockCaches } from './open.ts';

/** Closes the blocks of a folder that are not there any more, as soon as nobody reads them. */
export async function closeGone({ blocks }: BlockCaches): Promise<void> {
  for (const [id, opening] of [...blocks]) {
    const block = await opening.catch(() => undefined);
    if (block?.ref.directory === undefined || fs.existsSync(block.ref.directory)) continue;
    if (blocks.get(id) === opening) blocks.delete(id);
    block.close();
  }
}
