/**
 * Google Cloud Storage, by Google's own client, with the credentials that it finds (application default credentials). Loaded
 * only when configured. The client knows no signals: what was aborted goes on unheard.
 */
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ApiError, type GetFilesOptions, IdempotencyStrategy, Storage } from '@google-cloud/storage';
import { VivaceError } from '../runtime/errors.ts';
import { readBody } from './body.ts';
import { type Bucket, type BucketFailure, checkKey } from './bucket.ts';
import { BODY_ATTEMPTS, type Call, callsOf, readsOf } from './remote.ts';

/** As the keys of `storage.trace.gcs`. */
export interface GcsSettings {
  bucketName: string;
  endpoint: string;
  insecure: boolean;
  chunkBufferSize: number;
  maxRetries: number;
  objectCacheControl: string;
  objectMetadata: Record<string, string>;
}

const SILENT_MS_MAX = 15_000;
const PAGE_OBJECTS = 1000;
/** Parts of an upload are multiples of this. */
const CHUNK_GRAIN_BYTES = 256 * 1024;

/** `silentMs`: a body that brings nothing for so long is not waited for. */
export function gcsBucket(settings: GcsSettings, silentMs = SILENT_MS_MAX): Bucket {
  const name = `GCS bucket ${settings.bucketName}`;
  if (settings.bucketName === '')
    throw new VivaceError('invalid', 'cannot use GCS: storage.trace.gcs.bucket_name is empty; name the bucket');
  const storage = new Storage({
    ...endpointOf(settings),
    retryOptions: {
      autoRetry: true,
      maxRetries: settings.maxRetries,
      // Our objects are the same whenever they are written, and conditions hold for every attempt.
      idempotencyStrategy: IdempotencyStrategy.RetryAlways,
    },
  });
  const bucket = storage.bucket(settings.bucketName);
  const partBytes = Math.max(1, Math.ceil(settings.chunkBufferSize / CHUNK_GRAIN_BYTES)) * CHUNK_GRAIN_BYTES;
  const stored = {
    validation: 'md5',
    metadata: {
      ...(settings.objectCacheControl !== '' && { cacheControl: settings.objectCacheControl }),
      ...(Object.keys(settings.objectMetadata).length > 0 && { metadata: settings.objectMetadata }),
    },
  };

  const calls = callsOf(name, codeOf, reasonOf);
  const call: Call = (action, options, work) => calls(action, options, () => heeding(options?.signal, work));

  const reads = readsOf(name, silentMs, (key, offset, length, limits, options) =>
    call(`read ${key}`, options, async () => {
      const range = length === undefined ? {} : { start: offset, end: offset + length - 1 };
      for (let attempt = 1; ; attempt++) {
        let version = '';
        let answered = false;
        const body: Readable = bucket.file(key).createReadStream({ ...range, validation: false, decompress: false });
        body.on('response', ({ headers }: { headers: Headers | Record<string, string> }) => {
          answered = true;
          version = headerOf(headers, 'x-goog-generation');
        });
        try {
          return { bytes: await readBody(body, limits, options.signal), version };
        } catch (error) {
          const final = !answered || error instanceof VivaceError || error instanceof ApiError;
          if (final || options.signal?.aborted || attempt === BODY_ATTEMPTS) throw error;
        }
      }
    }),
  );

  const page = async (query: GetFilesOptions) => {
    const [files, next, answer] = await bucket.getFiles({ ...query, autoPaginate: false, maxResults: PAGE_OBJECTS });
    const { prefixes = [] } = answer as { prefixes?: string[] };
    return { files, prefixes, token: (next as { pageToken?: string } | null)?.pageToken };
  };

  return {
    name,
    partBytes,
    ...reads,
    put(key, bytes, options) {
      checkKey(key);
      const { only } = options ?? {};
      return call(`write ${key}`, options, async () => {
        const file = bucket.file(key);
        await file.save(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), {
          ...stored,
          resumable: false,
          ...(only !== undefined && {
            preconditionOpts: { ifGenerationMatch: only === 'absent' ? 0 : Number(only.version) },
          }),
        });
        return String(file.metadata.generation ?? '');
      });
    },
    multipart(key, parts, options) {
      checkKey(key);
      // A session that was never finished is forgotten after a week, and never seen.
      return call(`write ${key}`, options, () =>
        pipeline(
          parts,
          bucket.file(key).createWriteStream({ ...stored, resumable: true, chunkSize: partBytes }),
          options?.signal === undefined ? {} : { signal: options.signal },
        ),
      );
    },
    async *list(prefix, options) {
      for (let token: string | undefined; ; ) {
        const query = { prefix, startOffset: options?.from, endOffset: options?.to, pageToken: token };
        const { files, token: next } = await call(`list ${prefix}`, options, () => page(query));
        for (const { name: key, metadata } of files) {
          if (options?.from !== undefined && key < options.from) continue;
          if (options?.to !== undefined && key >= options.to) return;
          yield { key, bytes: Number(metadata.size ?? 0), modifiedMs: Date.parse(metadata.updated ?? '') };
        }
        if (next === undefined) return;
        token = next;
      }
    },
    folders: (prefix, options) =>
      call(`list ${prefix}`, options, async () => {
        const names: string[] = [];
        for (let token: string | undefined; ; ) {
          const { prefixes, token: next } = await page({ prefix, delimiter: '/', pageToken: token });
          for (const each of prefixes) names.push(each.slice(prefix.length, -1));
          if (next === undefined) return names;
          token = next;
        }
      }),
    async delete(key, options) {
      await call(`delete ${key}`, options, () => bucket.file(key).delete({ ignoreNotFound: true }));
    },
    close() {},
  };
}

/** An own endpoint over plain HTTP is an emulator's, which asks for no credentials. */
function endpointOf({ endpoint, insecure }: GcsSettings) {
  if (endpoint === '' && !insecure) return {};
  const host = endpoint === '' ? 'storage.googleapis.com' : endpoint.replace(/\/storage\/v1\/?$/, '');
  const apiEndpoint = /^https?:\/\//.test(host) ? host : `${insecure ? 'http' : 'https'}://${host}`;
  return { apiEndpoint, ...(insecure ? { projectId: 'none' } : { useAuthWithCustomEndpoint: true }) };
}

/** The work's end, or the signal's, whichever comes first. */
async function heeding<A>(signal: AbortSignal | undefined, work: () => Promise<A>): Promise<A> {
  if (signal === undefined) return work();
  signal.throwIfAborted();
  let stop = (): void => {};
  try {
    return await Promise.race([
      work(),
      new Promise<never>((_, reject) => {
        stop = () => reject(signal.reason);
        signal.addEventListener('abort', stop, { once: true });
      }),
    ]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function headerOf(headers: Headers | Record<string, string>, name: string): string {
  return (headers instanceof Headers ? headers.get(name) : headers[name]) ?? '';
}

function codeOf(error: unknown, action: string): BucketFailure {
  const code = Number((error as ApiError).code);
  if (code === 404 && !isBucketMissing(error, action)) return 'not-found';
  return code === 412 ? 'precondition' : 'unavailable';
}

/** What is read may be missing itself; what is listed or written to may not. */
function isBucketMissing(error: unknown, action: string): boolean {
  return !action.startsWith('read ') || /specified bucket does not exist/i.test((error as Error).message);
}

function reasonOf(error: unknown, action: string): string {
  const { code, message } = error as ApiError;
  if (Number(code) === 404 && isBucketMissing(error, action))
    return 'the bucket does not exist; make it, or correct storage.trace.gcs.bucket_name';
  const said = String(message).split('\n')[0];
  if (Number(code) === 403 || Number(code) === 401)
    return `access denied (${said}); check the credentials of this process and the policy of the bucket`;
  return said;
}
