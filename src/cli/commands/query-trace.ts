/** `query trace-id`, formerly `query blocks`: a trace from the blocks of a data folder, and which of them hold it. */
import type { Command } from 'commander';
import type { BlockRef } from '../../block/catalog.ts';
import { createBlockCaches, type OpenBlock } from '../../block/open.ts';
import { collectTrace } from '../../query/trace.ts';
import { parseTraceId } from '../../serve/parameters.ts';
import type { DataFolder } from '../data-folder.ts';
import { damageText, isDamage, openBlocks } from '../folder-queries.ts';
import { TRACE_BYTES_MAX } from '../folder-source.ts';
import type { TraceFound } from '../source.ts';
import { createTerminal, type Terminal, type World } from '../terminal.ts';
import { showTrace, type TraceViewOptions, traceViewOptions } from './trace-view.ts';
import { counted } from '../units.ts';
import { UsageError } from '../usage-error.ts';
import { backendOptions, dataFolder, progressOf, SINGLE_TENANT, type StorageOptions } from './shared-options.ts';
import { blocksOf, TENANT } from './tenant-argument.ts';

export interface FolderTraceOptions extends StorageOptions {
  percentage?: string;
}

export function addQueryTrace(parent: Command, world: World, exit: (code: number) => void): void {
  const command = parent
    .command('trace-id')
    .alias('blocks')
    .description('Shows a trace from the blocks of a data folder.')
    .argument('<trace-id>', 'hexadecimal; zeros on the left may be left out')
    .argument('[tenant]', TENANT);
  backendOptions(percentageOption(traceViewOptions(command))).action(async (id: string, tenant?: string) => {
    const options = command.opts<FolderTraceOptions & TraceViewOptions>();
    const terminal = createTerminal(world, options, true);
    const folder = await dataFolder(world, terminal, options);
    const { found, blocks, looked } = await findTrace(id, folder, tenant, options, world, terminal);
    exit(showTrace(id, found, { name: folder.name, blocksOnly: true }, terminal, options));
    if (blocks.length > 0)
      terminal.note(`in ${blocks.length} of ${counted(looked, 'block')}: ${blocks.map((block) => block.id).join(' ')}`);
  });
}

export function percentageOption(command: Command): Command {
  return command.option('--percentage <share>', 'look at this share of the blocks only, newest first: 0.1 is a tenth');
}

/** The trace from all blocks that hold a part of it. */
export async function findTrace(
  text: string,
  folder: DataFolder,
  tenant: string | undefined,
  options: FolderTraceOptions,
  world: World,
  terminal: Terminal,
): Promise<{ found: TraceFound | undefined; blocks: BlockRef[]; looked: number }> {
  const id = parseTraceId(text);
  const share = Number(options.percentage ?? 1);
  if (!(share > 0 && share <= 1))
    throw new UsageError(`--percentage wants a share above 0 and up to 1, not ${options.percentage}`);
  const refs = folder.catalog.deleted(tenant ?? SINGLE_TENANT).has(id, 0) ? [] : blocksOf(folder, tenant);
  const wanted = refs.slice(0, Math.ceil(share * refs.length));
  const caches = { ...createBlockCaches(0), remote: folder.remote };
  const progress = progressOf(world, terminal, `looking for ${text} in ${folder.name}`, 'blocks');
  const blocks: OpenBlock[] = [];
  const notes: string[] = [];
  try {
    for (const [index, ref] of wanted.entries()) {
      progress.update(index, wanted.length);
      for (const block of await openBlocks([ref], caches, (what) => notes.push(what)))
        if (await holds(block, id, (error) => notes.push(damageText(ref, error)))) blocks.push(block);
        else block.release();
    }
    const segments = blocks.flatMap(({ rowGroups }) => rowGroups);
    const trace = await collectTrace(segments, id, TRACE_BYTES_MAX, () => {});
    const partial = trace?.partial === true ? `it is larger than ${TRACE_BYTES_MAX} bytes` : undefined;
    const found = trace && { bytes: trace.bytes, ...(partial !== undefined && { partial }) };
    return { found, blocks: blocks.map(({ ref }) => ref), looked: wanted.length };
  } finally {
    progress.end();
    for (const note of notes) terminal.note(note);
    for (const block of blocks) block.release();
  }
}

/** Whether the trace is in the block, and can be read. */
async function holds(block: OpenBlock, id: Uint8Array, onDamage: (error: unknown) => void): Promise<boolean> {
  try {
    return (await collectTrace(block.rowGroups, id, 0, () => {})) !== undefined;
  } catch (error) {
    if (!isDamage(error)) throw error;
    onDamage(error);
    return false;
  }
}
