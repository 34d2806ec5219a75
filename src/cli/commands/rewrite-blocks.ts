/** `rewrite-blocks drop-traces`, also as `rewrite`: writes blocks again without some traces. Without --drop-trace it only says which. */
import type { Command } from 'commander';
import { openSource } from '../../block/source.ts';
import { findTrace, readTraceIds, tracesParts } from '../../block/traces-file.ts';
import { VivaceError } from '../../runtime/errors.ts';
import { parsePromDuration } from '../../config/duration.ts';
import { parseTraceId } from '../../serve/parameters.ts';
import type { DataFolder } from '../data-folder.ts';
import { folderQueries } from '../folder-queries.ts';
import { beginMerging, settleOption } from '../merging.ts';
import { createTerminal, type Terminal, type World } from '../terminal.ts';
import { counted } from '../units.ts';
import { UsageError } from '../usage-error.ts';
import { backendOptions, dataFolder, progressOf, type StorageOptions } from './shared-options.ts';
import { blocksOf, TENANT } from './tenant-argument.ts';

interface RewriteOptions extends StorageOptions {
  settle: string;
  dropTrace?: boolean;
  query?: string;
}

/** More traces than this are dropped by several runs. */
const TRACES_MAX = 1_000_000;

export function addRewriteBlocks(parent: Command, world: World): void {
  const group = parent.command('rewrite-blocks').alias('rewrite').description('Writes blocks again.');
  const command = group
    .command('drop-traces')
    .alias('drop-trace')
    .description('Writes the blocks that hold some traces again without them; a dry run unless --drop-trace is there.')
    .argument('<tenant>', TENANT)
    .argument('[trace-ids]', 'hexadecimal, joined by commas')
    .option('--query <traceql>', 'instead of ids: the traces that match it')
    .option('--drop-trace', 'do it');
  settleOption(backendOptions(command)).action(async (tenant: string, texts: string | undefined) => {
    const options = command.opts<RewriteOptions>();
    if ((texts === undefined) === (options.query === undefined))
      throw new UsageError('name the traces either by their ids or by --query');
    const terminal = createTerminal(world, options, false);
    const folder = await dataFolder(world, terminal, options);
    blocksOf(folder, tenant);
    const ids =
      options.query === undefined
        ? texts!.split(',').map((text) => Buffer.from(parseTraceId(text.trim())))
        : await matching(world, terminal, folder, tenant, options.query);
    const held = await holding(world, terminal, folder, tenant, ids);
    const wanted = new Set(ids.map((id) => id.toString('hex')));
    const found = new Set([...held.values()].flat());
    const report: { block: string; traces: string[]; kept?: number }[] = [];
    if (options.dropTrace === true && held.size > 0) {
      const merging = await beginMerging(folder, tenant, {
        createdBy: `${world.program} ${world.version}`,
        settleMs: parsePromDuration(options.settle),
      });
      try {
        for (const block of blocksOf(folder, tenant)) {
          const traces = held.get(block.id);
          if (traces === undefined) continue;
          const made = await merging.merge([block], (all, at) =>
            wanted.has(Buffer.from(all.buffer, all.byteOffset + at, 16).toString('hex')),
          );
          report.push({ block: block.id, traces, kept: made?.traces ?? 0 });
        }
      } finally {
        await merging.end();
      }
    } else for (const [block, traces] of held) report.push({ block, traces });
    if (terminal.json)
      return terminal.print([JSON.stringify({ tenant, dropped: options.dropTrace === true, blocks: report })]);
    terminal.print(
      report.map(({ block, traces, kept }) => {
        const what = counted(traces.length, 'trace');
        return kept === undefined
          ? `block ${block}: ${what} would go`
          : `block ${block}: ${what} dropped, ${kept} kept`;
      }),
    );
    const missing = ids.length - found.size;
    terminal.note(
      [
        `${counted(found.size, 'trace')} in ${counted(report.length, 'block')}`,
        ...(missing > 0 ? [`${counted(missing, 'trace')} in no block`] : []),
        ...(options.dropTrace === true || report.length === 0 ? [] : ['nothing was changed: --drop-trace does it']),
      ].join('; '),
    );
  });
}

async function matching(
  world: World,
  terminal: Terminal,
  folder: DataFolder,
  tenant: string,
  query: string,
): Promise<Buffer[]> {
  const progress = progressOf(world, terminal, `searching ${folder.name}`, 'blocks');
  const lost: string[] = [];
  try {
    const queries = folderQueries({
      ...folder,
      traceBytesMax: 0,
      onBlock: progress.update,
      onDamage: (what) => lost.push(what),
    });
    const all = { startSeconds: 0, endSeconds: Number.MAX_SAFE_INTEGER };
    const request = { tenant, query, limit: TRACES_MAX, spansPerSpanSet: 0, ...all };
    const { traces } = await queries.search(request, new AbortController().signal);
    // A trace may be told by the part of it that cannot be read.
    if (lost.length > 0) throw new VivaceError('internal', lost.join('; '));
    return traces.map(({ traceId }) => Buffer.from(traceId, 'hex'));
  } finally {
    progress.end();
  }
}

/** Which of the traces each block holds. */
export async function holding(
  world: World,
  terminal: Terminal,
  folder: DataFolder,
  tenant: string,
  ids: Buffer[],
): Promise<Map<string, string[]>> {
  const held = new Map<string, string[]>();
  const progress = progressOf(world, terminal, `looking through ${folder.name}`, 'blocks');
  const refs = blocksOf(folder, tenant);
  try {
    for (const [i, ref] of refs.entries()) {
      progress.update(i, refs.length);
      const source = openSource(ref, folder.remote);
      try {
        const file = await source.traces({ offset: 0, length: ref.meta.vivace.tracesBytes });
        const parts = tracesParts(file).map(readTraceIds);
        const found = ids.filter((id) => parts.some((all) => findTrace(all, id) >= 0));
        if (found.length > 0)
          held.set(
            ref.id,
            found.map((id) => id.toString('hex')),
          );
      } finally {
        source.close();
      }
    }
  } finally {
    progress.end();
  }
  return held;
}
