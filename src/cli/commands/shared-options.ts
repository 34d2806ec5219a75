/** Options that many commands have, and what they lead to: where to write, whom to ask, which folder to read. */
import fs from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type BackendOptions, type DataFolder, openDataFolder, openFolder } from '../data-folder.ts';
import { folderSource } from '../folder-source.ts';
import { startProgress } from '../progress.ts';
import { type ServerOptions, serverSource } from '../server-source.ts';
import type { Source } from '../source.ts';
import type { OutputOptions, Terminal, World } from '../terminal.ts';
import { clean } from '../text.ts';
import { timeRange } from '../time-range.ts';
import { UsageError } from '../usage-error.ts';

export const SINGLE_TENANT = 'single-tenant';

/** How to print. */
export function outputOptions(command: Command): Command {
  return command
    .addOption(new Option('--json', 'print JSON').helpGroup('Output:'))
    .addOption(
      new Option('-o, --output <form>', 'print a table or JSON').choices(['table', 'json']).helpGroup('Output:'),
    )
    .addOption(
      new Option('--color <when>', 'use colours; NO_COLOR=1 means never')
        .choices(['auto', 'always', 'never'])
        .default('auto')
        .helpGroup('Output:'),
    )
    .addOption(
      new Option('--width <columns>', 'width of tables and pictures')
        .argParser(count('--width', 40))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--ascii', 'draw with ASCII only').helpGroup('Output:'));
}

/** How to ask a server. */
export interface ApiOptions extends OutputOptions {
  orgId?: string;
  header?: Record<string, string>;
  useGrpc?: boolean;
  pathPrefix?: string;
  secure?: boolean;
  insecureSkipVerify?: boolean;
  since?: string;
  v1?: boolean;
}

export const SERVER = 'host:port or URL of the API';
export const ENDPOINT = 'host:port or URL of the API; or, as a path, a data folder (./data) or a configuration file';

export function apiOptions(command: Command): Command {
  return outputOptions(
    command
      .option('--org-id <tenant>', 'tenant; several are joined by |')
      .option('--header <key=value>', 'extra header; may be repeated', header)
      .option('--path-prefix <path>', 'what stands in front of /api')
      .option('--secure', 'use TLS')
      .option('--insecure-skip-verify', 'take every certificate of TLS'),
  );
}

export const START = 'start: now-1h, 2026-01-31T12:00:00Z, or Unix seconds';
export const END = 'end, in the same forms';

export function rangeArguments(command: Command): Command {
  return command
    .argument('[start]', START)
    .argument('[end]', END)
    .option('--since <duration>', 'instead of start and end: the last 30m, 6h, 2d');
}

/** Opens the source, asks it with a line of progress, and closes it. Nothing is to be printed before it is answered. */
export async function withSource<T>(
  world: World,
  terminal: Terminal,
  endpoint: string,
  options: ApiOptions,
  verb: string,
  ask: (source: Source) => Promise<T>,
): Promise<T> {
  const name = isFolder(endpoint) ? endpoint : endpoint.replace(/\/\/.*@/, '//');
  const progress = progressOf(world, terminal, `${verb} ${name}`, options.useGrpc ? 'jobs' : 'blocks');
  const notes: string[] = [];
  let source: Source | undefined;
  try {
    source = await openSource(world, endpoint, options, progress.update, (text) => notes.push(text));
    return await ask(source);
  } finally {
    source?.close();
    progress.end();
    for (const note of notes) terminal.note(note);
  }
}

export async function openSource(
  world: World,
  endpoint: string,
  options: ApiOptions,
  onBlock: (done: number, total: number) => void,
  note: (text: string) => void,
): Promise<Source> {
  const tenant = options.orgId;
  if (isFolder(endpoint)) {
    if (options.useGrpc) throw new UsageError(`--use-grpc asks a server, and ${endpoint} is a folder`);
    const isFile = fs.statSync(endpoint, { throwIfNoEntry: false })?.isFile() === true;
    const folder = isFile
      ? await openDataFolder({ configFile: endpoint }, world.env, note)
      : openFolder(endpoint, note);
    world.onEnd(folder.close);
    return folderSource({
      ...folder,
      tenant: tenant ?? SINGLE_TENANT,
      nowMs: world.nowMs(),
      onBlock,
      onDamage: note,
    });
  }
  const onMissing = (what: string): void => note(`not all of it: ${clean(what)}`);
  const server = { ...serverOf(endpoint, options), traceV1: options.v1, onMissing };
  if (!options.useGrpc) return serverSource(server);
  // What a stream takes is only loaded for one.
  const { grpcSource } = await import('../grpc-source.ts');
  return grpcSource({ ...server, nowMs: world.nowMs(), onJobs: onBlock });
}

/** How to ask the server at that address. */
export function serverOf(endpoint: string, options: ApiOptions): ServerOptions {
  return {
    endpoint,
    secure: options.secure === true,
    pathPrefix: options.pathPrefix ?? '',
    tenant: options.orgId,
    headers: options.header ?? {},
    verifyTls: options.insecureSkipVerify !== true,
  };
}

/** A folder is written as a path, so that no host is taken for one. */
export function isFolder(endpoint: string): boolean {
  return /^(?:\.{0,2}\/|\.{1,2}$|~)/.test(endpoint);
}

/** `start` and `end` in whole seconds that contain the range. */
export function rangeParameters(
  world: World,
  start: string | undefined,
  end: string | undefined,
  since: string | undefined,
): URLSearchParams {
  const range = timeRange(start, end, since, world.nowMs());
  if (range === undefined) return new URLSearchParams();
  return new URLSearchParams({
    start: String(Math.floor(range.startMs / 1000)),
    end: String(Math.ceil(range.endMs / 1000)),
  });
}

/** Tempo's options for commands that read storage themselves. */
export function backendOptions(command: Command): Command {
  return outputOptions(
    command
      .option('-c, --config-file <file>', 'configuration of the server whose storage to read')
      .addOption(new Option('--backend <name>', 'storage').choices(['local', 's3', 'gcs', 'azure']))
      .option('--bucket <name>', 'data folder, bucket or container')
      .option('--s3-endpoint <host:port>', 'of the S3 API')
      .option('--s3-user <key>', 'access key')
      .option('--s3-pass <secret>', 'secret key; better in the environment or the configuration')
      .option('--insecure-skip-verify', 'take every certificate of TLS'),
  );
}

export type StorageOptions = BackendOptions & OutputOptions;

export async function dataFolder(world: World, terminal: Terminal, options: BackendOptions): Promise<DataFolder> {
  const folder = await openDataFolder(options, world.env, (text) => terminal.note(`${world.program}: ${text}`));
  world.onEnd(folder.close);
  return folder;
}

export function progressOf(
  world: World,
  terminal: Terminal,
  label: string,
  unit: string,
): ReturnType<typeof startProgress> {
  const { stderr } = world;
  return startProgress({
    label,
    unit,
    write: stderr.isTTY === true ? (text) => stderr.write(text) : undefined,
    columns: stderr.columns ?? 80,
    glyphs: terminal.glyphs,
    nowMs: world.nowMs,
  });
}

/** A parser of whole numbers. */
export function count(name: string, least: number): (text: string) => number {
  return (text) => {
    if (!/^\d{1,9}$/.test(text) || Number(text) < least)
      throw new InvalidArgumentError(`${name} wants a whole number of at least ${least}.`);
    return Number(text);
  };
}

function header(text: string, known: Record<string, string> = {}): Record<string, string> {
  const at = text.search(/[=:]/);
  if (at <= 0) throw new InvalidArgumentError('Write it as key=value.');
  return { ...known, [text.slice(0, at).trim()]: text.slice(at + 1).trim() };
}
