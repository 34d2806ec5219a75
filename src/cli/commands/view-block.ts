/** `view block`: the columns of a block and what each of them takes. */
import { type Command, Option } from 'commander';
import type { BlockRef } from '../../block/catalog.ts';
import { openSource, type RemoteSource } from '../../block/source.ts';
import { messageOf, VivaceError } from '../../runtime/errors.ts';
import { type FileMetadata, parseFooter, TAIL_BYTES } from '../../parquet/footer.ts';
import { blockLines, columnLines, columnSizes } from '../block-tables.ts';
import { createTerminal, type World } from '../terminal.ts';
import { backendOptions, dataFolder, type StorageOptions } from './shared-options.ts';
import { blockOf, TENANT } from './tenant-argument.ts';

export function addViewBlock(parent: Command, world: World): void {
  const command = parent
    .command('block')
    .alias('schema')
    .description('Shows the columns of a block and their sizes.')
    .argument('<tenant>', TENANT)
    .argument('<block-id>', 'id of the block, or its beginning')
    .addOption(new Option('--sort <by>', 'order of the columns').choices(['size', 'name', 'file']).default('size'));
  backendOptions(command).action(async (tenant: string, id: string) => {
    const options = command.opts<StorageOptions & { sort: string }>();
    const terminal = createTerminal(world, options, false);
    const folder = await dataFolder(world, terminal, options);
    const block = blockOf(folder, tenant, id);
    const columns = columnSizes(await readFooter(block, folder.remote));
    if (options.sort === 'size') columns.sort((a, b) => b.bytes - a.bytes);
    else if (options.sort === 'name') columns.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (terminal.json) return terminal.print([JSON.stringify({ meta: block.meta, columns })]);
    terminal.print([...blockLines(block, terminal), '', ...columnLines(columns, terminal)]);
  });
}

async function readFooter(block: BlockRef, remote: RemoteSource | undefined): Promise<FileMetadata> {
  const { id, tenant, meta } = block;
  const range = { offset: meta.size - TAIL_BYTES - meta.footerSize, length: meta.footerSize };
  try {
    const source = openSource(block, remote);
    try {
      const read = await source.fetch([range]);
      return parseFooter(read(range.offset, range.length));
    } finally {
      source.close();
    }
  } catch (error) {
    const why = messageOf(error);
    throw new VivaceError('internal', `cannot read the footer of block ${id} of tenant ${tenant}: ${why}`, {
      cause: error,
    });
  }
}
