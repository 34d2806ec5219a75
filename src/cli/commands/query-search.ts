/** `query search`: traces in the blocks of a data folder by one attribute, as Tempo's program takes it. */
import type { Command } from 'commander';
import { folderSource } from '../folder-source.ts';
import { searchLines } from '../search-table.ts';
import { createTerminal, type World } from '../terminal.ts';
import {
  count,
  backendOptions,
  dataFolder,
  progressOf,
  rangeParameters,
  SINGLE_TENANT,
  START,
  END,
  type StorageOptions,
} from './shared-options.ts';
import { TENANT } from './tenant-argument.ts';

const LIMIT_DEFAULT = 20;

export function addQuerySearch(parent: Command, world: World): void {
  const command = parent
    .command('search')
    .description('Finds traces with an attribute in the blocks of a data folder. By TraceQL: query api search ./data …')
    .argument('<name>', 'key of an attribute of spans or resources, as http.method')
    .argument('<value>', 'its value')
    .argument('<start>', START)
    .argument('<end>', END)
    .argument('[tenant]', TENANT)
    .option('--limit <number>', 'traces wanted', count('--limit', 1), LIMIT_DEFAULT);
  backendOptions(command).action(async (name: string, value: string, start: string, end: string, tenant?: string) => {
    const options = command.opts<StorageOptions & { limit: number }>();
    const terminal = createTerminal(world, options, true);
    const folder = await dataFolder(world, terminal, options);
    const progress = progressOf(world, terminal, `searching ${folder.name}`, 'blocks');
    const notes: string[] = [];
    const parameters = rangeParameters(world, start, end, undefined);
    parameters.set('q', attributeQuery(name, value));
    parameters.set('limit', String(options.limit));
    try {
      const source = folderSource({
        ...folder,
        tenant: tenant ?? SINGLE_TENANT,
        nowMs: world.nowMs(),
        onBlock: progress.update,
        onDamage: (what) => notes.push(what),
      });
      const body = await source.ask('search', parameters);
      progress.end();
      notes.forEach(terminal.note);
      if (terminal.json) return terminal.print([body]);
      const { lines, traces, summary } = searchLines(body, { spans: false }, terminal);
      terminal.print(lines);
      terminal.note(traces === 0 ? `no trace matches${summary === '' ? '' : ` (${summary})`}` : summary);
    } finally {
      progress.end();
    }
  });
}

/** A value that reads as a number or a truth is looked for as that, too. */
export function attributeQuery(name: string, value: string): string {
  const key = /^[\w.\-/]+$/.test(name) ? name : JSON.stringify(name);
  const alternatives = [`.${key} = ${JSON.stringify(value)}`];
  if (/^-?\d+(\.\d+)?$/.test(value) || value === 'true' || value === 'false') alternatives.push(`.${key} = ${value}`);
  return `{ ${alternatives.join(' || ')} }`;
}
