/** `query api trace-id`: one trace as a picture, or its JSON. */
import type { Command } from 'commander';
import { createTerminal, type World } from '../terminal.ts';
import { showTrace, type TraceViewOptions, traceViewOptions } from './trace-view.ts';
import { type ApiOptions, apiOptions, ENDPOINT, withSource } from './shared-options.ts';

export function addQueryApiTrace(parent: Command, world: World, exit: (code: number) => void): void {
  const command = parent
    .command('trace-id')
    .alias('trace')
    .description('Shows a trace.')
    .argument('<endpoint>', ENDPOINT)
    .argument('<trace-id>', 'hexadecimal; zeros on the left may be left out');
  apiOptions(traceViewOptions(command).option('--v1', 'ask /api/traces instead of /api/v2/traces')).action(
    async (endpoint: string, id: string) => {
      const options = command.opts<ApiOptions & TraceViewOptions>();
      const terminal = createTerminal(world, options, true);
      const { found, source } = await withSource(
        world,
        terminal,
        endpoint,
        options,
        `looking for ${id} in`,
        async (source) => ({ found: await source.trace(id, new URLSearchParams()), source }),
      );
      exit(showTrace(id, found, source, terminal, options));
    },
  );
}
