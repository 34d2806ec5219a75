/** Open files of blocks that have left their folder: they hold the space of the disk that was to come free. */
import fs from 'node:fs';
import type { BlockCaches } from './open.ts';

/** The next one who opens the block looks for it anew: it may have moved from its folder to the bucket. */
export function forgetBlock({ blocks }: BlockCaches, id: string): void {
  const opening = blocks.get(id);
  blocks.delete(id);
  opening?.then(
    (block) => block.close(),
    () => {},
  );
}

/** Closes the blocks of a folder that are not there any more, as soon as nobody reads them. */
export async function closeGone({ blocks }: BlockCaches): Promise<void> {
  for (const [id, opening] of [...blocks]) {
    const block = await opening.catch(() => undefined);
    if (block?.ref.directory === undefined || fs.existsSync(block.ref.directory)) continue;
    if (blocks.get(id) === opening) blocks.delete(id);
    block.close();
  }
}
