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

/** Throws VivaceError 'invalid' for settings that cannot work; asks nothing of the bucket yet. */
export async function openBucket({ backend, s3, gcs, azure }: StorageSettings): Promise<Bucket> {
  switch (backend) {
    case 's3':
      return prefixed((await import('./s3.ts')).s3Bucket(s3), s3.prefix);
    case 'gcs':
      return prefixed((await import('./gcs.ts')).gcsBucket(gcs), gcs.prefix);
    case 'azure':
      return prefixed(await (await import('./azure.ts')).azureBucket(azure), azure.prefix);
    default:
      throw new Error(`there is no bucket for storage.trace.backend ${backend}`);
  }
}
