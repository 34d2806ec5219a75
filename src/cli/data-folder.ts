/** Finds the blocks that `--bucket`, `--config-file` or the environment name. */
import fs from 'node:fs';
import path from 'node:path';
import { BlockCatalog } from '../block/catalog.ts';
import { loadConfiguration } from '../config/load.ts';
import { VivaceError } from '../runtime/errors.ts';
import { UsageError } from './usage-error.ts';

/** Tempo's options for commands that read storage; those of object stores are taken and have no effect yet. */
export interface BackendOptions {
  configFile?: string;
  backend?: string;
  bucket?: string;
}

export interface DataFolder {
  catalog: BlockCatalog;
  /** The folder of the tenants' folders. */
  name: string;
}

/** The folder with the list of its blocks; damaged ones are told to `warn`. Throws VivaceError, UsageError. */
export function openDataFolder(
  options: BackendOptions,
  env: Record<string, string | undefined>,
  warn: (text: string) => void,
): DataFolder {
  const { backend = 'local' } = options;
  if (!['local', 's3', 'gcs', 'azure'].includes(backend))
    throw new UsageError(`no such backend: ${backend}; write local, s3, gcs or azure`);
  if (backend !== 'local') throw onlyLocal(backend);
  return openFolder(options.bucket ?? configured(options.configFile, env), warn);
}

/** A folder named by the user: the data folder itself, or the one of the blocks in it. */
export function openFolder(folder: string, warn: (text: string) => void): DataFolder {
  const inside = path.join(folder, 'blocks');
  const root = isDirectory(inside) ? inside : folder;
  if (!isDirectory(root)) {
    throw new VivaceError(
      'not-found',
      `cannot read data folder ${folder}: there is no such folder; name it with --bucket, or the configuration with --config-file`,
    );
  }
  const catalog = new BlockCatalog(root);
  for (const problem of catalog.refresh()) warn(problem);
  return { catalog, name: root };
}

function configured(configFile: string | undefined, env: Record<string, string | undefined>): string {
  const loaded = loadConfiguration({
    argv: configFile === undefined ? [] : [`-config.file=${configFile}`],
    env,
    readFile: (file) => fs.readFileSync(file, 'utf8'),
  });
  if (loaded.kind !== 'run') {
    const why = loaded.kind === 'exit' ? loaded.stderr.trim() : 'it asks for a health check';
    throw new VivaceError('invalid', `cannot use the configuration: ${why}`);
  }
  const { backend, local } = loaded.config.storage.trace;
  if (backend !== 'local') throw onlyLocal(backend);
  return local.path;
}

function onlyLocal(backend: string): VivaceError {
  return new VivaceError(
    'unsupported',
    `cannot read blocks from ${backend}: only local folders are read so far; ask the server with: query api …`,
  );
}

function isDirectory(folder: string): boolean {
  return fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
}
