/** The tenant and block that commands over a data folder are about. */
import type { BlockRef } from '../../block/catalog.ts';
import { VivaceError } from '../../runtime/errors.ts';
import type { DataFolder } from '../data-folder.ts';
import { noBlocks } from '../folder-source.ts';
import { SINGLE_TENANT } from './shared-options.ts';

export const TENANT = `tenant; ${SINGLE_TENANT} where there is only one`;

/** Newest first. Throws VivaceError when the tenant has none. */
export function blocksOf({ catalog, name }: DataFolder, tenant = SINGLE_TENANT): BlockRef[] {
  const blocks = catalog.blocks(tenant);
  if (blocks.length === 0) throw noBlocks(catalog, name, tenant);
  return blocks;
}

/** The block by its id, or by the beginning of it where that is enough. */
export function blockOf(folder: DataFolder, tenant: string, id: string): BlockRef {
  const blocks = blocksOf(folder, tenant);
  const found = blocks.filter((block) => block.id.startsWith(id.toLowerCase()));
  if (found.length === 1) return found[0];
  const why =
    found.length > 1
      ? `${found.length} blocks begin so; write more of the id`
      : 'list blocks shows those that there are';
  throw new VivaceError('not-found', `no one block ${id} of tenant ${tenant} in ${folder.name}: ${why}`);
}
