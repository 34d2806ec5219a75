/** Opens the bucket that the configuration names; each client is loaded only when it is used. */
import type { AzureSettings } from './azure.ts';
import type { Bucket } from './bucket.ts';
import type { GcsSettings } from './gcs.ts';
import { prefixed } from './prefixed.ts';
import type { S3Settings } from './s3.ts';

/** As `storage.trace`. */
export interface StorageSettings {
  backend: string;
  s3: S3Settings & { prefix: string };
  gcs: GcsSettings & { prefix: string };
  azure: AzureSettings & { prefix: string };
}

const SILENT_MS_MAX = 15_000;

/**
 * `silentMs`: a server that says nothing for so long is not waited for. Throws VivaceError 'invalid' for settings that cannot
 * work; asks nothing of the bucket yet.
 */
export async function openBucket(
  { backend, s3, gcs, azure }: StorageSettings,
  silentMs = SILENT_MS_MAX,
): Promise<Bucket> {
  switch (backend) {
    case 's3':
      return prefixed((await import('./s3.ts')).s3Bucket(s3, process.env, silentMs), s3.prefix);
    case 'gcs':
      return prefixed((await import('./gcs.ts')).gcsBucket(gcs, silentMs), gcs.prefix);
    case 'azure':
      return prefixed(await (await import('./azure.ts')).azureBucket(azure, process.env, silentMs), azure.prefix);
    default:
      throw new Error(`there is no bucket for storage.trace.backend ${backend}`);
  }
}
