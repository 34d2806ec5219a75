/** `query api search`: traces that a TraceQL query finds. */
import type { Command } from 'commander';
import { searchLines } from '../search-table.ts';
import { createTerminal, type World } from '../terminal.ts';
import {
  type ApiOptions,
  apiOptions,
  count,
  ENDPOINT,
  isFolder,
  rangeArguments,
  rangeParameters,
  withSource,
} from './shared-options.ts';

interface Options extends ApiOptions {
  limit?: number;
  spss?: number;
  spans?: boolean;
}

export function addQueryApiSearch(parent: Command, world: World): void {
  const command = parent
    .command('search')
    .description('Finds traces by TraceQL.')
    .argument('<endpoint>', ENDPOINT)
    .argument('<query>', 'TraceQL, as { status = error && duration > 1s }');
  apiOptions(
    rangeArguments(command)
      .option('--limit <number>', 'traces wanted; the server’s own default is 20', count('--limit', 1))
      .option('--spss <number>', 'spans listed of each set of spans', count('--spss', 1))
      .option('--spans', 'list the spans that matched')
      .option('--use-grpc', 'stream the answer over gRPC'),
  ).action(async (endpoint: string, query: string, start?: string, end?: string) => {
    const options = command.opts<Options>();
    const terminal = createTerminal(world, options, true);
    const parameters = rangeParameters(world, start, end, options.since);
    parameters.set('q', query);
    if (options.limit !== undefined) parameters.set('limit', String(options.limit));
    if (options.spss !== undefined) parameters.set('spss', String(options.spss));
    const body = await withSource(world, terminal, endpoint, options, 'searching', (source) =>
      source.ask('search', parameters),
    );
    if (terminal.json) return terminal.print([body]);
    const { lines, traces, summary } = searchLines(body, { spans: options.spans === true }, terminal);
    terminal.print(lines);
    const range =
      parameters.has('start') || isFolder(endpoint)
        ? ''
        : ' in the last 15 minutes or not yet in a block; name a start, as now-24h';
    terminal.note(traces === 0 ? `no trace matches${range}${summary === '' ? '' : ` (${summary})`}` : summary);
  });
}
