/** `compact`: merges blocks now, as large as they may become, without waiting for a server to come to it. */
import type { Command } from 'commander';
import type { BlockRef } from '../../block/catalog.ts';
import { chooseMerges } from '../../compact/choose.ts';
import { TooLarge } from '../../compact/merged-schema.ts';
import { parsePromDuration } from '../../config/duration.ts';
import { beginMerging, settleOption } from '../merging.ts';
import { createTerminal, type World } from '../terminal.ts';
import { bytesText, counted } from '../units.ts';
import { backendOptions, count, dataFolder, type StorageOptions } from './shared-options.ts';
import { blocksOf, TENANT } from './tenant-argument.ts';

interface CompactOptions extends StorageOptions {
  window: string;
  settle: string;
  maxInputBlocks: number;
  maxBlockBytes: number;
}

/** Blocks of a window are merged whatever their level, as those of a server are when they are a day old. */
const ALL_LEVELS_MS = 25 * 3_600_000;

export function addCompact(parent: Command, world: World): void {
  const command = parent
    .command('compact')
    .description('Merges the blocks of a tenant now. A server may be running.')
    .argument('[tenant]', TENANT)
    .option('--window <duration>', 'blocks that end in the same one are merged', '1h')
    .option('--max-input-blocks <number>', 'that are merged at a time', count('--max-input-blocks', 2), 8)
    .option('--max-block-bytes <bytes>', 'of a merged block', count('--max-block-bytes', 1), 100 << 20);
  settleOption(backendOptions(command)).action(async (tenant?: string) => {
    const options = command.opts<CompactOptions>();
    const terminal = createTerminal(world, options, false);
    const folder = await dataFolder(world, terminal, options);
    const before = blocksOf(folder, tenant);
    const of = before[0].tenant;
    const merging = await beginMerging(folder, of, {
      createdBy: `${world.program} ${world.version}`,
      settleMs: parsePromDuration(options.settle),
    });
    const windowMs = parsePromDuration(options.window);
    const left = new Set<string>();
    let merges = 0;
    try {
      for (;;) {
        folder.catalog.refresh();
        const free: BlockRef[] = folder.catalog.blocks(of).filter(({ id }) => !left.has(id));
        const [refs] = chooseMerges(free, {
          windowMs,
          nowMs: world.nowMs() + windowMs + ALL_LEVELS_MS,
          inputsMin: 2,
          inputsMax: options.maxInputBlocks,
          levelMax: 0,
          tracesMax: Number.POSITIVE_INFINITY,
          bytesMax: options.maxBlockBytes,
        });
        if (refs === undefined) break;
        try {
          const made = await merging.merge(refs);
          merges++;
          if (made !== undefined && !terminal.json)
            terminal.print([
              `${counted(refs.length, 'block')} into one: ${counted(made.traces, 'trace')}, ${counted(made.spans, 'span')}, ${bytesText(made.bytes)}`,
            ]);
        } catch (error) {
          if (!(error instanceof TooLarge)) throw error;
          for (const { id } of refs) left.add(id);
        }
      }
    } finally {
      await merging.end();
    }
    const after = folder.catalog.blocks(of);
    if (terminal.json)
      terminal.print([JSON.stringify({ tenant: of, merges, before: before.length, after: after.length })]);
    else terminal.note(`${counted(before.length, 'block')} before, ${counted(after.length, 'block')} now`);
  });
}
