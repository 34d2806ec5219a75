/** Azure Blob Storage, by Microsoft's own client. Loaded only when configured; identities only when no key is given. */
import type { Readable } from 'node:stream';
import { ContainerClient, RestError, StorageSharedKeyCredential } from '@azure/storage-blob';
import { VivaceError } from '../runtime/errors.ts';
import { type Bucket, type BucketFailure, checkKey } from './bucket.ts';
import { sendParts } from './parts.ts';
import { callsOf, readsOf, readWhole } from './remote.ts';

/** As the keys of `storage.trace.azure`. */
export interface AzureSettings {
  containerName: string;
  endpointSuffix: string;
  storageAccountName: string;
  storageAccountKey: string;
  useManagedIdentity: boolean;
  useFederatedToken: boolean;
  userAssignedId: string;
  maxBuffers: number;
  bufferSize: number;
}

const SILENT_MS_MAX = 15_000;
const TRY_MS_MAX = 120_000;
const TRIES = 4;
const PART_BYTES_MIN = 1 << 20;

/** `silentMs`: a body that brings nothing for so long is not waited for. */
export async function azureBucket(
  settings: AzureSettings,
  env: NodeJS.ProcessEnv = process.env,
  silentMs = SILENT_MS_MAX,
): Promise<Bucket> {
  const name = `Azure container ${settings.containerName}`;
  const account = settings.storageAccountName || env.AZURE_STORAGE_ACCOUNT || '';
  if (settings.containerName === '' || account === '')
    throw new VivaceError(
      'invalid',
      'cannot use Azure: set storage.trace.azure.container_name, and storage_account_name or AZURE_STORAGE_ACCOUNT',
    );
  const container = new ContainerClient(
    `${accountUrl(account, settings.endpointSuffix)}/${settings.containerName}`,
    await credential(settings, account, env),
    { retryOptions: { maxTries: TRIES, tryTimeoutInMs: TRY_MS_MAX } },
  );
  const partBytes = Math.max(settings.bufferSize, PART_BYTES_MIN);

  const call = callsOf(name, codeOf, reasonOf);

  const reads = readsOf(name, silentMs, (key, offset, length, limits, options) => {
    const open = async () => {
      const answer = await container
        .getBlobClient(key)
        .download(offset, length, { abortSignal: options.signal, maxRetryRequests: 0 });
      return { body: answer.readableStreamBody as Readable, version: answer.etag ?? '' };
    };
    return call(`read ${key}`, options, () => readWhole(open, limits, options.signal));
  });

  return {
    name,
    partBytes,
    ...reads,
    put(key, bytes, options) {
      checkKey(key);
      const { only, signal } = options ?? {};
      return call(`write ${key}`, options, async () => {
        const { etag } = await container.getBlockBlobClient(key).upload(bytes, bytes.length, {
          abortSignal: signal,
          ...(only !== undefined && {
            conditions: only === 'absent' ? { ifNoneMatch: '*' } : { ifMatch: only.version },
          }),
        });
        return etag ?? '';
      });
    },
    multipart(key, parts, options) {
      checkKey(key);
      const abort = { abortSignal: options?.signal };
      // Blocks that are never committed are forgotten after a week; those of the same key, with the next commit.
      return call(`write ${key}`, options, async () => {
        const blob = container.getBlockBlobClient(key);
        const stage = async (part: number, bytes: Uint8Array): Promise<string> => {
          const id = Buffer.from(String(part).padStart(8, '0')).toString('base64');
          await blob.stageBlock(id, bytes, bytes.length, abort);
          return id;
        };
        const ids = await sendParts(parts, Math.max(1, settings.maxBuffers), stage, options?.sent);
        await blob.commitBlockList(ids, abort);
      });
    },
    async *list(prefix, options) {
      const pages = container.listBlobsFlat({ prefix, abortSignal: options?.signal }).byPage()[Symbol.asyncIterator]();
      for (;;) {
        const page = await call(`list ${prefix}`, options, () => pages.next());
        if (page.done) return;
        for (const { name: key, properties } of page.value.segment.blobItems) {
          if (options?.from !== undefined && key < options.from) continue;
          if (options?.to !== undefined && key >= options.to) return;
          yield { key, bytes: properties.contentLength ?? 0, modifiedMs: properties.lastModified.getTime() };
        }
      }
    },
    folders: (prefix, options) =>
      call(`list ${prefix}`, options, async () => {
        const names: string[] = [];
        for await (const page of container.listBlobsByHierarchy('/', { prefix, abortSignal: options?.signal }).byPage())
          for (const each of page.segment.blobPrefixes ?? []) names.push(each.name.slice(prefix.length, -1));
        return names;
      }),
    /** Blobs of which there are only parts. Those of an upload that is to replace an object are not seen. */
    async *uploads(prefix, options) {
      const all = container.listBlobsFlat({ prefix, abortSignal: options?.signal, includeUncommitedBlobs: true });
      const pages = all.byPage()[Symbol.asyncIterator]();
      for (;;) {
        const page = await call(`list uploads ${prefix}`, options, () => pages.next());
        if (page.done) return;
        for (const { name: key, properties } of page.value.segment.blobItems) {
          if ((properties.contentLength ?? 0) > 0) continue;
          const isCommitted = await call(`look for ${key}`, options, () =>
            container.getBlobClient(key).exists({ abortSignal: options?.signal }),
          );
          // Somebody may be at one of which nobody says when it was begun.
          if (!isCommitted) yield { key, id: '', startedMs: properties.lastModified?.getTime() ?? Date.now() };
        }
      }
    },
    /** Parts cannot be deleted: they go when there is an object, which is not there for long. */
    async abortUpload({ key }, options) {
      const abort = { abortSignal: options?.signal };
      await call(`end an upload of ${key}`, options, async () => {
        const blob = container.getBlockBlobClient(key);
        try {
          const { uncommittedBlocks = [] } = await blob.getBlockList('uncommitted', abort);
          if (uncommittedBlocks.length === 0) return;
          const { etag } = await blob.commitBlockList([], { ...abort, conditions: { ifNoneMatch: '*' } });
          await blob.delete({ ...abort, conditions: { ifMatch: etag } });
        } catch (error) {
          // It has ended, one way or the other.
          if (!['not-found', 'precondition'].includes(codeOf(error))) throw error;
        }
      });
    },
    async delete(key, options) {
      await call(`delete ${key}`, options, () =>
        container.getBlobClient(key).deleteIfExists({ abortSignal: options?.signal }),
      );
    },
    close() {},
  };
}

/** A suffix that does not begin with `blob.` is the host of an emulator, which has the account in the path. */
function accountUrl(account: string, suffix: string): string {
  return suffix.startsWith('blob.') ? `https://${account}.${suffix}` : `http://${suffix}/${account}`;
}

async function credential(settings: AzureSettings, account: string, env: NodeJS.ProcessEnv) {
  const { useManagedIdentity, useFederatedToken, userAssignedId } = settings;
  if (!useManagedIdentity && !useFederatedToken) {
    const key = settings.storageAccountKey || env.AZURE_STORAGE_KEY;
    if (key) return new StorageSharedKeyCredential(account, key);
  }
  const identity = await import('@azure/identity');
  if (useFederatedToken) return new identity.WorkloadIdentityCredential();
  if (useManagedIdentity)
    return userAssignedId === ''
      ? new identity.ManagedIdentityCredential()
      : new identity.ManagedIdentityCredential({ clientId: userAssignedId });
  return new identity.DefaultAzureCredential();
}

function codeOf(error: unknown): BucketFailure {
  if (!(error instanceof RestError)) return 'unavailable';
  if (error.code === 'BlobNotFound' || (error.statusCode === 404 && error.code === undefined)) return 'not-found';
  if (error.statusCode === 412 || error.code === 'BlobAlreadyExists') return 'precondition';
  return 'unavailable';
}

function reasonOf(error: unknown): string {
  const { code, statusCode, message } = error as RestError;
  if (code === 'ContainerNotFound')
    return 'the container does not exist; make it, or correct storage.trace.azure.container_name';
  const said = `${code ?? (error as Error).name}: ${String(message).split('\n')[0]}`;
  if (statusCode === 403 || statusCode === 401)
    return `access denied (${said}); check storage.trace.azure.storage_account_key, or the identity of this process`;
  return said;
}
