/** `retention preview`: what rules of retention come to on a server, without changing anything. */
import type { Command } from 'commander';
import { createTerminal, type World } from '../terminal.ts';
import { terminalTable } from '../table.ts';
import { bytesText, counted, countText } from '../units.ts';
import { serverJson } from './delete-trace.ts';
import { type ApiOptions, apiOptions, SERVER } from './shared-options.ts';

/** As the API writes it. */
interface Preview {
  blocks: number;
  missing?: string[];
  rules: (Counts & { rule: string; dropped: Counts })[];
}

interface Counts {
  traces: number;
  spans: number;
  bytes: number;
}

export function addPreviewRetention(parent: Command, world: World): void {
  const command = parent
    .command('preview')
    .description('Says which rule applies to how much, and what would go now. Changes nothing.')
    .argument('<endpoint>', SERVER)
    .option(
      '--rule <rule>',
      "try this one instead of the tenant's: '30d { status = error }', '3d 5% { }'; may be repeated, the first that applies decides",
      (rule: string, rules: string[] = []) => [...rules, rule],
    );
  apiOptions(command).action(async (endpoint: string) => {
    const options = command.opts<ApiOptions & { rule?: string[] }>();
    const terminal = createTerminal(world, options, false);
    const parameters = new URLSearchParams((options.rule ?? []).map((rule): [string, string] => ['rule', rule]));
    const preview = (await serverJson(endpoint, options)(`/api/retention/preview?${parameters}`)) as Preview;
    if (terminal.json) return terminal.print([JSON.stringify(preview, undefined, 2)]);
    const right = { align: 'right' as const };
    const columns = [
      { title: 'Rule' },
      ...['Traces', 'Spans', 'Size', 'Go: traces', 'Go: spans', 'Go: size'].map((title) => ({ title, ...right })),
    ];
    const cells = ({ traces, spans, bytes }: Counts): string[] => [
      countText(traces),
      countText(spans),
      bytesText(bytes),
    ];
    const rows = preview.rules.map((each) => [each.rule, ...cells(each), ...cells(each.dropped)]);
    terminal.print(terminalTable(columns, rows, terminal));
    terminal.note(`${counted(preview.blocks, 'block')} looked through`);
    for (const block of preview.missing ?? []) terminal.note(`block ${block} could not be read`);
  });
}
