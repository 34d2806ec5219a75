/** `query api search-tags`: names of attributes. */
import { type Command, Option } from 'commander';
import { tagNameLines } from '../tags-table.ts';
import { createTerminal, type World } from '../terminal.ts';
import {
  type ApiOptions,
  apiOptions,
  ENDPOINT,
  rangeArguments,
  rangeParameters,
  withSource,
} from './shared-options.ts';

const SCOPES = ['span', 'resource', 'event', 'link', 'instrumentation', 'intrinsic'];

export function addQueryApiTags(parent: Command, world: World): void {
  const command = parent
    .command('search-tags')
    .alias('tags')
    .description('Lists names of attributes, as TraceQL writes them.')
    .argument('<endpoint>', ENDPOINT);
  apiOptions(
    rangeArguments(command)
      .addOption(new Option('--scope <name>', 'of this scope only').choices(SCOPES))
      .option('--query <filter>', 'of spans that this TraceQL filter finds')
      .option('--use-grpc', 'stream the answer over gRPC'),
  ).action(async (endpoint: string, start?: string, end?: string) => {
    const options = command.opts<ApiOptions & { scope?: string; query?: string }>();
    const terminal = createTerminal(world, options, true);
    const parameters = rangeParameters(world, start, end, options.since);
    if (options.scope !== undefined) parameters.set('scope', options.scope);
    if (options.query !== undefined) parameters.set('q', options.query);
    const body = await withSource(world, terminal, endpoint, options, 'asking', (source) =>
      source.ask('tags', parameters),
    );
    if (terminal.json) return terminal.print([body]);
    const lines = tagNameLines(body);
    terminal.print(lines);
    if (lines.length === 0) terminal.note('no attributes');
  });
}
