/** `query trace-summary`: what a trace in the blocks of a data folder amounts to. */
import type { Command } from 'commander';
import { pairLines } from '../table.ts';
import { createTerminal, type World } from '../terminal.ts';
import { clean } from '../text.ts';
import { readTrace, type Trace } from '../trace-spans.ts';
import { showTrace } from './trace-view.ts';
import { bytesText, durationText } from '../units.ts';
import { type FolderTraceOptions, findTrace, percentageOption } from './query-trace.ts';
import { backendOptions, dataFolder } from './shared-options.ts';
import { TENANT } from './tenant-argument.ts';

const SERVICES_MAX = 5;

export function addQueryTraceSummary(parent: Command, world: World, exit: (code: number) => void): void {
  const command = parent
    .command('trace-summary')
    .description('Sums up a trace in the blocks of a data folder.')
    .argument('<trace-id>', 'hexadecimal; zeros on the left may be left out')
    .argument('[tenant]', TENANT);
  backendOptions(percentageOption(command)).action(async (id: string, tenant?: string) => {
    const options = command.opts<FolderTraceOptions>();
    const terminal = createTerminal(world, options, false);
    const folder = await dataFolder(world, terminal, options);
    const { found, blocks } = await findTrace(id, folder, tenant, options, world, terminal);
    if (found === undefined) return exit(showTrace(id, found, { name: folder.name, blocksOnly: true }, terminal, {}));
    const summary = summaryOf(readTrace(found.bytes), found.bytes.length, blocks.length);
    if (terminal.json) return terminal.print([JSON.stringify(summary)]);
    const pairs: [string, string][] = [
      ['Trace', summary.traceID],
      ['Blocks', String(summary.blocks)],
      ['Spans', String(summary.spans)],
      ['Size', bytesText(summary.bytes)],
      ['Duration', durationText(summary.durationNanos)],
      ['Root service', clean(summary.rootServiceName ?? '(no root)')],
      ['Root span', clean(summary.rootTraceName ?? '(no root)')],
      ['Services', summary.services.map(({ name, spans }) => `${clean(name)} (${spans})`).join(', ')],
    ];
    terminal.print(pairLines(pairs, (text) => terminal.paint.style('dim', text)));
  });
}

function summaryOf(trace: Trace, bytes: number, blocks: number) {
  const services = new Map<string, number>();
  for (const { service } of trace.spans) services.set(service, (services.get(service) ?? 0) + 1);
  const root = trace.spans.find(({ parentId }) => parentId === '');
  return {
    traceID: trace.id,
    blocks,
    spans: trace.spans.length,
    bytes,
    durationNanos: trace.durationNs,
    rootServiceName: root?.service,
    rootTraceName: root?.name,
    /** Most spans first. */
    services: Array.from(services, ([name, spans]) => ({ name, spans }))
      .sort((a, b) => b.spans - a.spans || (a.name < b.name ? -1 : 1))
      .slice(0, SERVICES_MAX),
  };
}
