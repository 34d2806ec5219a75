/**
 * S3 and whatever speaks like it, by Amazon's own client: it brings the credentials that users expect (environment, shared
 * files, web identity, container, machine), signs, and asks again. Checksums beyond the signature are only sent where the
 * protocol requires them, because many S3-compatible servers refuse the others. Loaded only when configured.
 */
import https from 'node:https';
import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { VivaceError } from '../runtime/errors.ts';
import { type Bucket, type BucketFailure, type CallOptions, checkKey, type UnfinishedUpload } from './bucket.ts';
import { sendParts } from './parts.ts';
import { callsOf, readsOf, readWhole } from './remote.ts';
import { type TlsSettings, tlsOptions } from './tls-options.ts';

/** As the keys of `storage.trace.s3`. */
export interface S3Settings extends TlsSettings {
  bucket: string;
  endpoint: string;
  region: string;
  accessKey: string;
  secretKey: string;
  sessionToken: string;
  insecure: boolean;
  forcepathstyle: boolean;
  enableDualStack: boolean;
  bucketLookupType: number;
  partSize: number;
  retryMaxAttempts: number;
  tags: Record<string, string>;
  metadata: Record<string, string>;
  storageClass: string;
  sse: { type: string; kmsKeyId: string; kmsEncryptionContext: string; encryptionKey: string };
}

/** The protocol's least size of a part that is not the last. */
const PART_BYTES_MIN = 5 << 20;
const PART_BYTES = 8 << 20;
const PARTS_AT_ONCE = 2;
const CONNECT_MS_MAX = 5000;
const SILENT_MS_MAX = 15_000;
const REQUEST_MS_MAX = 120_000;
const SOCKETS_MAX = 64;

/** `silentMs`: a server that says nothing for so long is not waited for. */
export function s3Bucket(settings: S3Settings, env: NodeJS.ProcessEnv = process.env, silentMs = SILENT_MS_MAX): Bucket {
  const name = `S3 bucket ${settings.bucket}`;
  if (settings.bucket === '')
    throw new VivaceError('invalid', 'cannot use S3: storage.trace.s3.bucket is empty; name the bucket');
  const client = new S3Client(clientConfig(settings, env, silentMs));
  const Bucket = settings.bucket;
  const { customerKey, written } = encryption(settings);
  const tags = new URLSearchParams(settings.tags).toString();
  const stored = {
    ...written,
    ...(tags !== '' && { Tagging: tags }),
    ...(Object.keys(settings.metadata).length > 0 && { Metadata: settings.metadata }),
    ...(settings.storageClass !== '' && { StorageClass: settings.storageClass as 'STANDARD' }),
  };
  const partBytes = settings.partSize === 0 ? PART_BYTES : Math.max(settings.partSize, PART_BYTES_MIN);

  const call = callsOf(name, codeOf, reasonOf);
  const send = (options: CallOptions | undefined) => ({ abortSignal: options?.signal });

  const reads = readsOf(name, silentMs, (key, offset, length, limits, options) => {
    const Range = length === undefined ? undefined : `bytes=${offset}-${offset + length - 1}`;
    const open = async () => {
      const answer = await client.send(
        new GetObjectCommand({ Bucket, Key: key, Range, ...customerKey }),
        send(options),
      );
      return { body: answer.Body as Readable, version: answer.ETag ?? '' };
    };
    return call(`read ${key}`, options, () => readWhole(open, limits, options.signal));
  });

  return {
    name,
    partBytes,
    ...reads,
    put(key, bytes, options) {
      checkKey(key);
      const { only } = options ?? {};
      return call(`write ${key}`, options, async () => {
        const command = new PutObjectCommand({
          Bucket,
          Key: key,
          Body: bytes,
          ...stored,
          ...(only !== undefined && (only === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: only.version })),
        });
        return (await client.send(command, send(options))).ETag ?? '';
      });
    },
    multipart(key, parts, options) {
      checkKey(key);
      return call(`write ${key}`, options, async () => {
        if (options?.again) await abortOld(key, options);
        const { UploadId } = await client.send(
          new CreateMultipartUploadCommand({ Bucket, Key: key, ...stored }),
          send(options),
        );
        const upload = { Bucket, Key: key, UploadId };
        try {
          const sendPart = async (PartNumber: number, Body: Uint8Array) => {
            const command = new UploadPartCommand({ ...upload, PartNumber, Body, ...customerKey });
            const { ETag } = await client.send(command, send(options));
            return { PartNumber, ETag };
          };
          const done = await sendParts(parts, PARTS_AT_ONCE, sendPart, options?.sent);
          await client.send(
            new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: done }, ...customerKey }),
            send(options),
          );
        } catch (error) {
          await client.send(new AbortMultipartUploadCommand(upload)).catch(() => {});
          throw error;
        }
      });
    },
    async *list(prefix, options) {
      let after: string | undefined = options?.from;
      for (let token: string | undefined; ; ) {
        const page = await call(`list ${prefix}`, options, () =>
          client.send(
            new ListObjectsV2Command({
              Bucket,
              Prefix: prefix,
              // StartAfter leaves out the key itself: the key before it in order is it without its last character.
              ...(token === undefined
                ? after !== undefined && { StartAfter: before(after) }
                : { ContinuationToken: token }),
            }),
            send(options),
          ),
        );
        for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
          if (options?.from !== undefined && Key < options.from) continue;
          if (options?.to !== undefined && Key >= options.to) return;
          yield { key: Key, bytes: Size, modifiedMs: LastModified?.getTime() ?? 0 };
        }
        if (!page.IsTruncated || page.NextContinuationToken === undefined) return;
        token = page.NextContinuationToken;
        after = undefined;
      }
    },
    async folders(prefix, options) {
      const names: string[] = [];
      for (let token: string | undefined; ; ) {
        const page = await call(`list ${prefix}`, options, () =>
          client.send(
            new ListObjectsV2Command({ Bucket, Prefix: prefix, Delimiter: '/', ContinuationToken: token }),
            send(options),
          ),
        );
        for (const { Prefix = '' } of page.CommonPrefixes ?? []) names.push(Prefix.slice(prefix.length, -1));
        token = page.NextContinuationToken;
        if (!page.IsTruncated || token === undefined) return names;
      }
    },
    async delete(key, options) {
      await call(`delete ${key}`, options, () =>
        client.send(new DeleteObjectCommand({ Bucket, Key: key }), send(options)),
      );
    },
    uploads: unfinished,
    async abortUpload({ key, id }, options) {
      await call(`end an upload of ${key}`, options, () => abort(key, id, options));
    },
    close: () => client.destroy(),
  };

  async function* unfinished(prefix: string, options?: CallOptions): AsyncGenerator<UnfinishedUpload> {
    for (let markers = {}; ; ) {
      const page = await call(`list uploads ${prefix}`, options, () =>
        client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: prefix, ...markers }), send(options)),
      );
      for (const { Key: key = '', UploadId: id = '', Initiated } of page.Uploads ?? [])
        yield { key, id, startedMs: Initiated?.getTime() ?? 0 };
      if (!page.IsTruncated || page.NextKeyMarker === undefined) return;
      markers = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    }
  }

  async function abort(key: string, UploadId: string, options: CallOptions | undefined): Promise<void> {
    try {
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key: key, UploadId }), send(options));
    } catch (error) {
      if ((error as Error).name !== 'NoSuchUpload') throw error;
    }
  }

  async function abortOld(key: string, options: CallOptions): Promise<void> {
    for await (const upload of unfinished(key, options)) if (upload.key === key) await abort(key, upload.id, options);
  }
}

function clientConfig(settings: S3Settings, env: NodeJS.ProcessEnv, silentMs: number): S3ClientConfig {
  const { endpoint, insecure, region } = settings;
  const credentials = staticCredentials(settings, env);
  const amazon = endpoint === '' || /(?:^|\.)amazonaws\.com(?:\.cn)?(?::\d+)?$/.test(endpoint);
  // Amazon's host names say their region; others do not care, and accept the customary one.
  const named = /s3[.-](?:dualstack\.)?([a-z]{2,3}(?:-[a-z]+)+-\d)\.amazonaws\.com/.exec(endpoint)?.[1];
  const ownRegion = region !== '' ? region : (named ?? env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? 'us-east-1');
  return {
    region: ownRegion,
    // Amazon's endpoints follow from the region; only what is named otherwise is said.
    ...(!(amazon && !insecure) && { endpoint: withScheme(endpoint, insecure) }),
    forcePathStyle:
      settings.forcepathstyle || settings.bucketLookupType === 2 || (settings.bucketLookupType === 0 && !amazon),
    useDualstackEndpoint: settings.enableDualStack,
    ...(credentials && { credentials }),
    maxAttempts: Math.max(1, settings.retryMaxAttempts),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    followRegionRedirects: true,
    requestHandler: {
      connectionTimeout: CONNECT_MS_MAX,
      socketTimeout: silentMs,
      requestTimeout: REQUEST_MS_MAX,
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      httpsAgent: new https.Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, ...tlsOptions(settings) }),
    },
  };
}

function withScheme(endpoint: string, insecure: boolean): string {
  return /^https?:\/\//.test(endpoint) ? endpoint : `${insecure ? 'http' : 'https'}://${endpoint}`;
}

/** From the file, else from MinIO's variables where Amazon's are not set; undefined leaves it to the client's chain. */
function staticCredentials(settings: S3Settings, env: NodeJS.ProcessEnv): S3ClientConfig['credentials'] {
  const { accessKey, secretKey, sessionToken } = settings;
  if (accessKey !== '' && secretKey !== '')
    return {
      accessKeyId: accessKey,
      secretAccessKey: secretKey,
      ...(sessionToken !== '' && { sessionToken }),
    };
  const user = env.MINIO_ROOT_USER ?? env.MINIO_ACCESS_KEY;
  const password = env.MINIO_ROOT_PASSWORD ?? env.MINIO_SECRET_KEY;
  if (env.AWS_ACCESS_KEY_ID || !user || !password) return undefined;
  return { accessKeyId: user, secretAccessKey: password };
}

function encryption({ sse }: S3Settings) {
  switch (sse.type) {
    case '':
      return { customerKey: {}, written: {} };
    case 'SSE-S3':
      return { customerKey: {}, written: { ServerSideEncryption: 'AES256' as const } };
    case 'SSE-KMS':
      return {
        customerKey: {},
        written: {
          ServerSideEncryption: 'aws:kms' as const,
          ...(sse.kmsKeyId !== '' && { SSEKMSKeyId: sse.kmsKeyId }),
          ...(sse.kmsEncryptionContext !== '' && {
            SSEKMSEncryptionContext: Buffer.from(sse.kmsEncryptionContext).toString('base64'),
          }),
        },
      };
    case 'SSE-C': {
      const customerKey = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: sse.encryptionKey };
      return { customerKey, written: customerKey };
    }
    default:
      throw new VivaceError(
        'invalid',
        `cannot use storage.trace.s3.sse.type ${JSON.stringify(sse.type)}: it is none of SSE-S3, SSE-KMS, SSE-C`,
      );
  }
}

/** A key that sorts before the given one with nothing of ours between them. */
function before(key: string): string {
  return key.slice(0, -1);
}

function codeOf(error: unknown): BucketFailure {
  if (!(error instanceof S3ServiceException)) return 'unavailable';
  const status = error.$metadata?.httpStatusCode;
  if (error.name === 'NoSuchBucket') return 'unavailable';
  // A gateway's 404 for an unknown account must not pass for a missing object.
  if (error.name === 'NoSuchKey' || error.name === 'NotFound') return 'not-found';
  if (status === 412 || error.name === 'ConditionalRequestConflict') return 'precondition';
  return 'unavailable';
}

/** What the server said, and what to do where a person must act. */
function reasonOf(error: unknown): string {
  const { name, message } = error as Error;
  const status = error instanceof S3ServiceException ? error.$metadata?.httpStatusCode : undefined;
  const said = message && message !== name ? `${name}: ${message}` : name;
  if (name === 'NoSuchBucket') return 'the bucket does not exist; make it, or correct storage.trace.s3.bucket';
  if (name === 'InvalidBucketName') return `${said}; correct storage.trace.s3.bucket`;
  // The client tells it in the words of its own settings.
  const silent = name === 'TimeoutError' && /(\d+) ms of inactivity/.exec(message);
  if (silent)
    return `nothing came for ${silent[1]} ms; look after the server and the way to it, or raise vivace.bucket_timeout`;
  if (status === 403 || status === 401 || name === 'XAdminUserNotFound')
    return `access denied (${said}); check storage.trace.s3.access_key, the credentials of this process and the policy of the bucket`;
  if (name === 'CredentialsProviderError')
    return `no credentials were found (${message}); set storage.trace.s3.access_key and secret_key, or give the process a role`;
  return said;
}
