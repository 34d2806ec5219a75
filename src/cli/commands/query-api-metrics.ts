/** `query api metrics`: series of numbers over time, or one number of each. */
import type { Command } from 'commander';
import { instantLines, rangeLines } from '../metrics-table.ts';
import { createTerminal, type World } from '../terminal.ts';
import {
  type ApiOptions,
  apiOptions,
  ENDPOINT,
  rangeArguments,
  rangeParameters,
  withSource,
} from './shared-options.ts';

interface Options extends ApiOptions {
  instant?: boolean;
  step?: string;
}

export function addQueryApiMetrics(parent: Command, world: World): void {
  const command = parent
    .command('metrics')
    .description('Computes metrics by TraceQL.')
    .argument('<endpoint>', ENDPOINT)
    .argument('<query>', 'TraceQL, as { } | rate() by (resource.service.name)');
  apiOptions(
    rangeArguments(command)
      .option('--instant', 'one number for the whole range')
      .option('--step <duration>', 'time between two samples; the server chooses by itself')
      .option('--use-grpc', 'stream the answer over gRPC'),
  ).action(async (endpoint: string, query: string, start?: string, end?: string) => {
    const options = command.opts<Options>();
    const terminal = createTerminal(world, options, true);
    const parameters = rangeParameters(world, start, end, options.since);
    parameters.set('q', query);
    if (options.step !== undefined) parameters.set('step', options.step);
    const body = await withSource(world, terminal, endpoint, options, 'asking', (source) =>
      source.ask(options.instant ? 'metrics-instant' : 'metrics-range', parameters),
    );
    if (terminal.json) return terminal.print([body]);
    const { lines, summary } = (options.instant ? instantLines : rangeLines)(body, terminal);
    terminal.print(lines);
    terminal.note(summary);
  });
}
