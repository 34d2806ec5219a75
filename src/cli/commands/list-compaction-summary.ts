/** `list compaction-summary`: blocks by compaction level. */
import type { Command } from 'commander';
import { blocksSummary, compactionLines } from '../block-tables.ts';
import { createTerminal, type World } from '../terminal.ts';
import { backendOptions, dataFolder, type StorageOptions } from './shared-options.ts';
import { blocksOf, TENANT } from './tenant-argument.ts';

export function addListCompactionSummary(parent: Command, world: World): void {
  const command = parent
    .command('compaction-summary')
    .description('Sums up the blocks of a tenant by compaction level.')
    .argument('[tenant]', TENANT);
  backendOptions(command).action(async (tenant?: string) => {
    const options = command.opts<StorageOptions>();
    const terminal = createTerminal(world, options, false);
    const blocks = blocksOf(await dataFolder(world, terminal, options), tenant);
    if (terminal.json) return terminal.print([JSON.stringify(blocks.map(({ meta }) => meta))]);
    terminal.print(compactionLines(blocks, world.nowMs(), terminal));
    terminal.note(blocksSummary(blocks));
  });
}
