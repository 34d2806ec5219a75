/** `query api search-tag-values`: values of an attribute. */
import type { Command } from 'commander';
import { tagValueLines } from '../tags-table.ts';
import { createTerminal, type World } from '../terminal.ts';
import {
  type ApiOptions,
  apiOptions,
  ENDPOINT,
  rangeArguments,
  rangeParameters,
  withSource,
} from './shared-options.ts';

export function addQueryApiTagValues(parent: Command, world: World): void {
  const command = parent
    .command('search-tag-values')
    .alias('tag-values')
    .description('Lists the values of an attribute.')
    .argument('<endpoint>', ENDPOINT)
    .argument('<tag>', 'attribute or intrinsic, as resource.service.name');
  apiOptions(
    rangeArguments(command)
      .option('--query <filter>', 'of spans that this TraceQL filter finds')
      .option('--use-grpc', 'stream the answer over gRPC'),
  ).action(async (endpoint: string, tag: string, start?: string, end?: string) => {
    const options = command.opts<ApiOptions & { query?: string }>();
    const terminal = createTerminal(world, options, true);
    const parameters = rangeParameters(world, start, end, options.since);
    if (options.query !== undefined) parameters.set('q', options.query);
    const body = await withSource(world, terminal, endpoint, options, 'asking', (source) =>
      source.ask('tag-values', parameters, tag),
    );
    if (terminal.json) return terminal.print([body]);
    const lines = tagValueLines(body, terminal);
    terminal.print(lines);
    if (lines.length === 0) terminal.note(`no values of ${tag}`);
  });
}
