/**
 * vivace-cli, and under its other name tempo-cli: the tree of commands. The code that a run ends with: 0 it worked (a search
 * that finds nothing worked), 1 it did not or the trace is not there, 2 the command line is wrong.
 */
import { Command, CommanderError } from 'commander';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { addCompact } from './commands/compact.ts';
import { addCompletion } from './commands/completion.ts';
import { addDelete } from './commands/delete-trace.ts';
import { addExport } from './commands/export.ts';
import { addFsck } from './commands/fsck.ts';
import { addImport } from './commands/import.ts';
import { addListBlock } from './commands/list-block.ts';
import { addListBlocks } from './commands/list-blocks.ts';
import { addListCompacted } from './commands/list-compacted.ts';
import { addListCompactionSummary } from './commands/list-compaction-summary.ts';
import { addListTenants } from './commands/list-tenants.ts';
import { addPreviewRetention } from './commands/preview-retention.ts';
import { addQueryApiExplain } from './commands/query-api-explain.ts';
import { addQueryApiMetrics } from './commands/query-api-metrics.ts';
import { addQueryApiSearch } from './commands/query-api-search.ts';
import { addQueryApiTagValues } from './commands/query-api-tag-values.ts';
import { addQueryApiTags } from './commands/query-api-tags.ts';
import { addQueryApiTrace } from './commands/query-api-trace.ts';
import { addQuerySearch } from './commands/query-search.ts';
import { addQueryTrace } from './commands/query-trace.ts';
import { addQueryTraceSummary } from './commands/query-trace-summary.ts';
import { addRewriteBlocks } from './commands/rewrite-blocks.ts';
import { addViewBlock } from './commands/view-block.ts';
import type { World } from './terminal.ts';
import { UsageError } from './usage-error.ts';

/** Runs the command and returns its exit code. `args` come without the program. */
export async function runCli(args: readonly string[], outside: Omit<World, 'onEnd'>): Promise<number> {
  const ends: (() => void)[] = [];
  const world: World = { ...outside, onEnd: (work) => void ends.push(work) };
  let code = 0;
  const program = createProgram(world, (other) => {
    code = other;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    // Commander has said what was wrong; help that was asked for is no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    world.stderr.write(`${world.program}: ${described(error, args)}\n`);
    if (error instanceof UsageError) world.stderr.write(`${world.program} --help shows how it is used\n`);
    return error instanceof UsageError ? 2 : 1;
  } finally {
    for (const work of ends) work();
  }
}

export function createProgram(world: World, exit: (code: number) => void): Command {
  const program = new Command(world.program)
    .description(
      'Asks a Vivace or Tempo server, or the blocks of a data folder.\n' +
        'A folder in use by a server can be read at any time; only what is in blocks is seen.',
    )
    .version(world.version, '--version', 'show the version')
    .addHelpText('after', examples(world.program))
    .exitOverride()
    .showHelpAfterError('(add --help for what there is)')
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: (text) => world.stderr.write(text),
      getOutHelpWidth: () => world.stdout.columns ?? 100,
      getErrHelpWidth: () => world.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  const query = program.command('query').description('Finds traces, attributes and metrics.');
  const api = query.command('api').description('Asks the API of a server, or a data folder in its place.');
  addQueryApiSearch(api, world);
  addQueryApiTrace(api, world, exit);
  addQueryApiTags(api, world);
  addQueryApiTagValues(api, world);
  addQueryApiMetrics(api, world);
  addQueryApiExplain(api, world);
  addQueryTrace(query, world, exit);
  addQueryTraceSummary(query, world, exit);
  addQuerySearch(query, world);
  const list = program.command('list').description('Lists blocks of a data folder.');
  addListBlocks(list, world);
  addListBlock(list, world);
  addListCompactionSummary(list, world);
  addListCompacted(list, world);
  addListTenants(list, world);
  const view = program.command('view').description('Looks into a block.');
  addViewBlock(view, world);
  addPreviewRetention(program.command('retention').description('Tries rules of retention.'), world);
  addDelete(program.command('delete').description('Deletes traces from a server.'), world);
  addFsck(program, world, exit);
  addCompact(program, world);
  addRewriteBlocks(program, world);
  addExport(program, world);
  addImport(program, world);
  addCompletion(program, world);
  return program;
}

function examples(program: string): string {
  return `
Examples:
  ${program} query api search localhost:3200 '{ status = error }' now-1h now
  ${program} query api trace-id localhost:3200 2f3e0cee77ae5dc9c17ade3689eb2e54
  ${program} query api metrics localhost:3200 '{ } | rate() by (resource.service.name)' --since 6h
  ${program} query api search ./data '{ duration > 2s }'
  ${program} list blocks --bucket ./data
  ${program} export ./data '{ status = error }' errors.parquet
`;
}

/** An error about a place in a query shows the place. */
function described(error: unknown, args: readonly string[]): string {
  const message = messageOf(error);
  if (!(error instanceof VivaceError) && !(error instanceof UsageError)) {
    const stack = error instanceof Error ? error.stack : undefined;
    return stack === undefined ? message : `${message}\n${stack}`;
  }
  const place = /parse error at line (\d+), col (\d+)/.exec(message);
  if (place === null) return message;
  const lines = args.find((arg) => arg.includes('{') || arg.includes('|'))?.split('\n');
  const line = lines?.[Number(place[1]) - 1];
  return line === undefined ? message : `${message}\n  ${line}\n  ${' '.repeat(Math.max(0, Number(place[2]) - 1))}^`;
}
