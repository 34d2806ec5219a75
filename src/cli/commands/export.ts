/** `export`: the traces that match, whole, in one file. */
import fs from 'node:fs';
import type { Command } from 'commander';
import { openDataFolder, openFolder } from '../data-folder.ts';
import { writeExportedBlock } from '../exported-block.ts';
import { FILE, type FileForm, formatOption, formOf } from '../file-forms.ts';
import { type OtlpForm, otlpRecord } from '../otlp-file.ts';
import type { Source } from '../source.ts';
import { createTerminal, type Terminal, type World } from '../terminal.ts';
import { bytesText, counted } from '../units.ts';
import { UsageError } from '../usage-error.ts';
import { VivaceError } from '../../runtime/errors.ts';
import { holding } from './rewrite-blocks.ts';
import {
  type ApiOptions,
  apiOptions,
  count,
  ENDPOINT,
  isFolder,
  openSource,
  progressOf,
  rangeArguments,
  rangeParameters,
  SINGLE_TENANT,
} from './shared-options.ts';
import { blocksOf } from './tenant-argument.ts';

interface ExportOptions extends ApiOptions {
  format?: FileForm;
  limit: number;
}

interface Written {
  traces: number;
  bytes: number;
  spans?: number;
}

const LIMIT_DEFAULT = 100_000;

export function addExport(parent: Command, world: World): void {
  const command = parent
    .command('export')
    .description('Writes the traces that match to one file: whole traces, as Parquet or OTLP. import reads it.')
    .argument('<endpoint>', ENDPOINT)
    .argument('<query>', 'TraceQL, as { status = error }; {} for everything')
    .argument('<file>', FILE);
  apiOptions(
    rangeArguments(command)
      .addOption(formatOption())
      .option('--limit <number>', 'more traces are not exported but an error', count('--limit', 1), LIMIT_DEFAULT),
  ).action(async (endpoint: string, query: string, file: string, start?: string, end?: string) => {
    const options = command.opts<ExportOptions>();
    const terminal = createTerminal(world, options, false);
    const form = formOf(file, options.format);
    if (form === 'parquet' && !isFolder(endpoint))
      throw new UsageError(
        'Parquet is made of blocks: name a data folder or a configuration file, or take --format otlp',
      );
    const parameters = rangeParameters(world, start, end, options.since);
    if (!parameters.has('start') && !isFolder(endpoint))
      throw new UsageError('a server looks at the last minutes alone when it is told no time: name a start or --since');
    parameters.set('q', query);
    parameters.set('spss', '1');
    // One more tells that there are more.
    parameters.set('limit', String(options.limit + 1));
    const written = await wholeFile(file, (handle) =>
      form === 'parquet'
        ? writeParquet(world, terminal, endpoint, options, parameters, handle)
        : writeOtlp(world, terminal, endpoint, options, parameters, handle, form),
    );
    if (terminal.json) return terminal.print([JSON.stringify({ file, ...written })]);
    const spans = written.spans === undefined ? '' : `, ${counted(written.spans, 'span')}`;
    terminal.print([`${counted(written.traces, 'trace')}${spans}, ${bytesText(written.bytes)} in ${file}`]);
  });
}

/** The file is there when it is whole; the one that was there before stays until then. */
async function wholeFile(file: string, write: (handle: fs.promises.FileHandle) => Promise<Written>): Promise<Written> {
  const unfinished = `${file}.unfinished`;
  let handle: fs.promises.FileHandle;
  try {
    handle = await fs.promises.open(unfinished, 'w+');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new VivaceError('not-found', `cannot write ${unfinished}: ${code}`, { cause: error });
  }
  try {
    const written = await write(handle);
    await handle.datasync();
    await handle.close();
    await fs.promises.rename(unfinished, file);
    return written;
  } catch (error) {
    await handle.close().catch(() => {});
    await fs.promises.rm(unfinished, { force: true });
    throw error;
  }
}

async function writeOtlp(
  world: World,
  terminal: Terminal,
  endpoint: string,
  options: ExportOptions,
  parameters: URLSearchParams,
  file: fs.promises.FileHandle,
  form: OtlpForm,
): Promise<Written> {
  return withMatching(world, terminal, endpoint, options, parameters, async (ids, source, whole) => {
    const progress = progressOf(world, terminal, 'exporting', 'traces');
    let bytes = 0;
    try {
      for (const [i, id] of ids.entries()) {
        progress.update(i, ids.length);
        const found = await source.trace(id, new URLSearchParams());
        // Somebody may delete it meanwhile.
        if (found === undefined) throw new VivaceError('not-found', `trace ${id} has gone meanwhile; export again`);
        if (found.partial !== undefined) throw new VivaceError('too-large', `trace ${id}: ${found.partial}`);
        whole();
        const record = otlpRecord(form, found.bytes);
        await file.writeFile(record);
        bytes += record.length;
      }
    } finally {
      progress.end();
    }
    return { traces: ids.length, bytes };
  });
}

async function writeParquet(
  world: World,
  terminal: Terminal,
  endpoint: string,
  options: ExportOptions,
  parameters: URLSearchParams,
  file: fs.promises.FileHandle,
): Promise<Written> {
  const isFile = fs.statSync(endpoint, { throwIfNoEntry: false })?.isFile() === true;
  const warn = (text: string): void => terminal.note(text);
  const folder = isFile ? await openDataFolder({ configFile: endpoint }, world.env, warn) : openFolder(endpoint, warn);
  world.onEnd(folder.close);
  const tenant = options.orgId ?? SINGLE_TENANT;
  return withMatching(world, terminal, endpoint, options, parameters, async (ids) => {
    const held = await holding(
      world,
      terminal,
      folder,
      tenant,
      ids.map((id) => Buffer.from(id, 'hex')),
    );
    const refs = blocksOf(folder, tenant).filter(({ id }) => held.has(id));
    return writeExportedBlock(file, refs, new Set(ids), `${world.program} ${world.version}`, folder.remote);
  });
}

/** Calls `use` with the ids of the traces that match, at least one; `whole` throws when a part of the storage was not looked at. */
async function withMatching<T>(
  world: World,
  terminal: Terminal,
  endpoint: string,
  options: ExportOptions,
  parameters: URLSearchParams,
  use: (ids: string[], source: Source, whole: () => void) => Promise<T>,
): Promise<T> {
  const searching = progressOf(world, terminal, `searching ${endpoint.replace(/\/\/.*@/, '//')}`, 'blocks');
  const missing: string[] = [];
  const whole = (): void => {
    if (missing.length > 0) throw new VivaceError('internal', `nothing is exported: ${missing.join('; ')}`);
  };
  const source = await openSource(world, endpoint, options, searching.update, (text) => missing.push(text));
  try {
    const { traces = [] } = JSON.parse(await source.ask('search', parameters)) as { traces?: { traceID: string }[] };
    searching.end();
    whole();
    if (traces.length === 0) throw new VivaceError('not-found', 'nothing is exported: no trace matches');
    if (traces.length > options.limit)
      throw new VivaceError(
        'too-large',
        `nothing is exported: more than ${options.limit} traces match; raise --limit, or name a shorter time`,
      );
    const ids = traces.map(({ traceID }) => traceID.padStart(32, '0')).sort();
    return await use(ids, source, whole);
  } finally {
    searching.end();
    source.close();
  }
}
