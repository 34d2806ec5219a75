/** `list compacted`: blocks that were merged into others, or were too old, and whose files are still there. */
import type { Command } from 'commander';
import { readMeta } from '../../block/meta.ts';
import { COMPACTED_META_FILE } from '../../block/objects.ts';
import { bucketBlocks, folderBlocks } from '../../block/stored-blocks.ts';
import { openStorage } from '../data-folder.ts';
import { terminalTable } from '../table.ts';
import { createTerminal, type World } from '../terminal.ts';
import { bytesText, counted, durationText, numberText } from '../units.ts';
import { backendOptions, SINGLE_TENANT, type StorageOptions } from './shared-options.ts';
import { TENANT } from './tenant-argument.ts';

export function addListCompacted(parent: Command, world: World): void {
  const command = parent
    .command('compacted')
    .description('Lists blocks that were merged into others or too old, and wait to be deleted.')
    .argument('[tenant]', TENANT);
  backendOptions(command).action(async (tenant = SINGLE_TENANT) => {
    const options = command.opts<StorageOptions>();
    const terminal = createTerminal(world, options, false);
    const storage = await openStorage(options, world.env);
    world.onEnd(storage.close);
    const stored = typeof storage.blocks === 'string' ? folderBlocks(storage.blocks) : bucketBlocks(storage.blocks);
    const tenants = await stored.tenants();
    const { blocks } = tenants.includes(tenant) ? await stored.look(tenant) : { blocks: new Map() };
    const found: { id: string; sinceMs: number; bytes: number; meta: ReturnType<typeof readMeta> }[] = [];
    for (const [id, files] of blocks) {
      const marked = files.get(COMPACTED_META_FILE);
      if (marked === undefined) continue;
      let bytes = 0;
      for (const file of files.values()) bytes += file.bytes;
      const meta = readMeta(await stored.text(tenant, id, COMPACTED_META_FILE));
      found.push({ id, sinceMs: marked.modifiedMs, bytes, meta });
    }
    found.sort((a, b) => b.sinceMs - a.sinceMs);
    if (terminal.json)
      return terminal.print([
        JSON.stringify(
          found.map(({ id, sinceMs, bytes, meta }) => ({
            blockID: id,
            compactedTime: new Date(sinceMs).toISOString(),
            bytes,
            ...(typeof meta === 'object' && { meta }),
          })),
        ),
      ]);
    const right = { align: 'right' as const };
    const columns = [
      { title: 'ID' },
      { title: 'Lvl', ...right },
      { title: 'Objects', ...right },
      { title: 'Spans', ...right },
      { title: 'Size', ...right },
      { title: 'End', dropRank: 1 },
      { title: 'Since', ...right },
    ];
    const rows = found.map(({ id, sinceMs, bytes, meta }) => [
      id,
      ...(typeof meta === 'string'
        ? ['', '', '']
        : [meta.compactionLevel, meta.totalObjects, meta.vivace.spans].map((number) => numberText(number))),
      bytesText(bytes),
      typeof meta === 'string' ? meta : meta.endTime,
      durationText(Math.max(0, world.nowMs() - sinceMs) * 1e6),
    ]);
    if (rows.length > 0) terminal.print(terminalTable(columns, rows, terminal));
    terminal.note(`${counted(found.length, 'block')} of tenant ${tenant}`);
  });
}
