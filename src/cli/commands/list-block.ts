/** `list block`: what is known of one block. */
import type { Command } from 'commander';
import { blockLines } from '../block-tables.ts';
import { createTerminal, type World } from '../terminal.ts';
import { backendOptions, dataFolder, type StorageOptions } from './shared-options.ts';
import { blockOf, TENANT } from './tenant-argument.ts';

export function addListBlock(parent: Command, world: World): void {
  const command = parent
    .command('block')
    .description('Shows what is known of a block.')
    .argument('<tenant>', TENANT)
    .argument('<block-id>', 'id of the block, or its beginning');
  backendOptions(command).action(async (tenant: string, id: string) => {
    const options = command.opts<StorageOptions>();
    const terminal = createTerminal(world, options, false);
    const block = blockOf(await dataFolder(world, terminal, options), tenant, id);
    terminal.print(terminal.json ? [JSON.stringify(block.meta)] : blockLines(block, terminal));
  });
}
