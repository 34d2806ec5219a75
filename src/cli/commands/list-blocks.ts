/** `list blocks`: the blocks of a tenant, newest first. */
import { type Command, Option } from 'commander';
import { parsePromDuration } from '../../config/duration.ts';
import { blocksLines, blocksSummary } from '../block-tables.ts';
import { createTerminal, type World } from '../terminal.ts';
import { backendOptions, dataFolder, type StorageOptions } from './shared-options.ts';
import { blocksOf, TENANT } from './tenant-argument.ts';

/** As long as Tempo's default window of compaction. */
const WINDOW_DEFAULT = '1h';

export function addListBlocks(parent: Command, world: World): void {
  const command = parent
    .command('blocks')
    .description('Lists the blocks of a tenant.')
    .argument('[tenant]', TENANT)
    .option('--window <duration>', 'window of compaction that the column Window is for', WINDOW_DEFAULT)
    .addOption(new Option('--include-compacted', 'also those that are compacted; nothing keeps them so far'));
  backendOptions(command).action(async (tenant?: string) => {
    const options = command.opts<StorageOptions & { window: string }>();
    const terminal = createTerminal(world, options, false);
    const folder = await dataFolder(world, terminal, options);
    const blocks = blocksOf(folder, tenant);
    if (terminal.json) return terminal.print([JSON.stringify(blocks.map(({ meta }) => meta))]);
    const windowSeconds = Math.max(1, parsePromDuration(options.window) / 1000);
    terminal.print(blocksLines(blocks, windowSeconds, world.nowMs(), terminal));
    terminal.note(`${blocksSummary(blocks)} in ${folder.name}`);
  });
}
