/** `query api explain`: how a server answers a query, and where its time goes. Ours alone: Tempo has no such route. */
import type { Command } from 'commander';
import { explainLines } from '../explain-lines.ts';
import { createTerminal, type World } from '../terminal.ts';
import {
  type ApiOptions,
  apiOptions,
  count,
  ENDPOINT,
  rangeArguments,
  rangeParameters,
  withSource,
} from './shared-options.ts';

export function addQueryApiExplain(parent: Command, world: World): void {
  const command = parent
    .command('explain')
    .description('Runs a query and shows its plan, what it read, and where its time went.')
    .argument('<endpoint>', ENDPOINT.replace(/, or .*/, ''))
    .argument('<query>', 'TraceQL: a search or a metrics query');
  apiOptions(
    rangeArguments(command)
      .option('--limit <number>', 'traces wanted', count('--limit', 1))
      .option('--step <duration>', 'of a metrics query: time between two samples'),
  ).action(async (endpoint: string, query: string, start?: string, end?: string) => {
    const options = command.opts<ApiOptions & { limit?: number; step?: string }>();
    const terminal = createTerminal(world, options, true);
    const parameters = rangeParameters(world, start, end, options.since);
    parameters.set('q', query);
    if (options.limit !== undefined) parameters.set('limit', String(options.limit));
    if (options.step !== undefined) parameters.set('step', options.step);
    const body = await withSource(world, terminal, endpoint, options, 'asking', (source) =>
      source.ask('explain', parameters),
    );
    terminal.print(terminal.json ? [body] : explainLines(body, terminal));
  });
}
