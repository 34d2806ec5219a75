/** Finds the blocks that `--bucket`, `--config-file` or the environment name: in a folder, or in an object store. */
import fs from 'node:fs';
import path from 'node:path';
import { readBucketDeletions } from '../block/bucket-deleted-traces.ts';
import { BucketList } from '../block/bucket-list.ts';
import { BlockCatalog } from '../block/catalog.ts';
import { objectKey } from '../block/objects.ts';
import { fetchingSource, type RemoteSource } from '../block/source.ts';
import { type Configuration, loadConfiguration } from '../config/load.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Bucket } from '../store/bucket.ts';
import { openBucket } from '../store/open.ts';
import { UsageError } from './usage-error.ts';

/** Tempo's options for commands that read storage. */
export interface BackendOptions {
  configFile?: string;
  backend?: string;
  /** Folder, bucket or container. */
  bucket?: string;
  s3Endpoint?: string;
  s3User?: string;
  s3Pass?: string;
  insecureSkipVerify?: boolean;
}

export interface DataFolder {
  catalog: BlockCatalog;
  /** The folder of the tenants' folders, or the bucket. */
  name: string;
  /** Opens blocks that are in no folder. */
  remote?: RemoteSource;
  /** The bucket and its list, where it is one. */
  bucket?: { bucket: Bucket; list: BucketList };
  close(): void;
}

const BACKENDS = ['local', 's3', 'gcs', 'azure'];

/** The storage with the list of its blocks; damaged ones are told to `warn`. Throws VivaceError, UsageError. */
export async function openDataFolder(
  options: BackendOptions,
  env: Record<string, string | undefined>,
  warn: (text: string) => void,
): Promise<DataFolder> {
  const { backend, bucket } = options;
  if (backend !== undefined && !BACKENDS.includes(backend))
    throw new UsageError(`no such backend: ${backend}; write ${BACKENDS.join(', ')}`);
  // A folder that is named needs no configuration.
  if (bucket !== undefined && options.configFile === undefined && (backend ?? 'local') === 'local')
    return openFolder(bucket, warn);
  const { trace } = configured(options, env).storage;
  return trace.backend === 'local' ? openFolder(trace.local.path, warn) : openStore(trace, warn);
}

/** Where blocks are stored, and the log beside them if there is one. */
export interface Storage {
  /** The folder of the tenants' folders, or the bucket. */
  blocks: string | Bucket;
  wal: string | undefined;
  close(): void;
}

/** The storage itself, for commands that look through its files. Throws VivaceError, UsageError. */
export async function openStorage(options: BackendOptions, env: Record<string, string | undefined>): Promise<Storage> {
  const { backend, bucket, configFile } = options;
  if (bucket !== undefined && configFile === undefined && (backend ?? 'local') === 'local') {
    const root = blocksFolder(bucket);
    const wal = path.join(root, '../wal');
    return { blocks: root, wal: path.basename(root) === 'blocks' && isDirectory(wal) ? wal : undefined, close() {} };
  }
  const { trace } = configured(options, env).storage;
  const wal = isDirectory(trace.wal.path) ? trace.wal.path : undefined;
  if (trace.backend === 'local') return { blocks: blocksFolder(trace.local.path), wal, close() {} };
  const blocks = await openBucket(trace);
  // A log on this machine belongs to the bucket only if the configuration says so.
  return { blocks, wal: configFile === undefined ? undefined : wal, close: () => blocks.close() };
}

/** A folder named by the user: the data folder itself, or the one of the blocks in it. */
export function openFolder(folder: string, warn: (text: string) => void): DataFolder {
  const root = blocksFolder(folder);
  const catalog = new BlockCatalog(root);
  for (const problem of catalog.refresh()) warn(problem);
  return { catalog, name: root, close() {} };
}

function blocksFolder(folder: string): string {
  const inside = path.join(folder, 'blocks');
  const root = isDirectory(inside) ? inside : folder;
  if (!isDirectory(root)) {
    throw new VivaceError(
      'not-found',
      `cannot read data folder ${folder}: there is no such folder; name it with --bucket, or the configuration with --config-file`,
    );
  }
  return root;
}

/** Blocks are listed once; what is written later is not seen. */
async function openStore(trace: Configuration['storage']['trace'], warn: (text: string) => void): Promise<DataFolder> {
  const bucket = await openBucket(trace);
  try {
    // There is no folder beside the bucket.
    const catalog = new BlockCatalog('');
    const list = new BucketList(bucket, {
      concurrency: trace.blocklistPollConcurrency,
      tenantConcurrency: trace.blocklistPollTenantConcurrency,
      listConcurrency: 1,
      jitterMs: 0,
      builder: false,
      pollMs: trace.blocklistPollMs,
      staleIndexMs: trace.blocklistPollStaleTenantIndexMs,
      fallback: true,
      errorsTolerated: trace.blocklistPollTolerateConsecutiveErrors,
      tenantsTolerated: trace.blocklistPollTolerateTenantFailures,
      listMsMax: Number.POSITIVE_INFINITY,
      now: Date.now,
      random: () => 0,
      wait: async () => {},
      async beforeTenant(tenant) {
        const { traces } = await readBucketDeletions(bucket, tenant);
        if (traces.size > 0) catalog.hide(tenant, [...traces.keys()]);
      },
      onChange: (tenant, added, removed) => catalog.changeRemote(tenant, added, removed),
      onProblem: (tenant, _kind, text) => warn(`tenant ${tenant}: ${text}`),
    });
    await list.poll();
    return {
      catalog,
      name: bucket.name,
      bucket: { bucket, list },
      remote: (ref) =>
        fetchingSource(ref, (name, { offset, length }) =>
          bucket.range(objectKey(ref.tenant, ref.id, name), offset, length),
        ),
      close: () => bucket.close(),
    };
  } catch (error) {
    bucket.close();
    throw error;
  }
}

/** The options are flags of the server under other names, so that they are checked as those are. */
function configured(options: BackendOptions, env: Record<string, string | undefined>): Configuration {
  const { configFile, backend, bucket, s3Endpoint, s3User, s3Pass, insecureSkipVerify } = options;
  const bucketKeys: Record<string, string> = {
    local: 'local.path',
    s3: 's3.bucket',
    gcs: 'gcs.bucket_name',
    azure: 'azure.container_name',
  };
  const argv: string[] = [];
  const flag = (name: string, value: string | undefined): void => {
    if (value !== undefined) argv.push(`-storage.trace.${name}=${value}`);
  };
  if (configFile !== undefined) argv.push(`-config.file=${configFile}`);
  flag('backend', backend);
  flag(bucketKeys[backend ?? 'local'], bucket);
  flag('s3.endpoint', s3Endpoint?.replace(/^https?:\/\//, ''));
  if (s3Endpoint?.startsWith('http://')) flag('s3.insecure', 'true');
  flag('s3.access_key', s3User);
  flag('s3.secret_key', s3Pass);
  if (insecureSkipVerify) flag('s3.tls_insecure_skip_verify', 'true');
  const loaded = loadConfiguration({ argv, env, readFile: (file) => fs.readFileSync(file, 'utf8') });
  if (loaded.kind === 'run') return loaded.config;
  const why = loaded.kind === 'exit' ? loaded.stderr.trim() : 'it asks for a health check';
  throw new VivaceError('invalid', `cannot use the configuration: ${why}`);
}

function isDirectory(folder: string): boolean {
  return fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
}
