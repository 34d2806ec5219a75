/** Opens the bucket that the configuration names; each client is loaded only when it is used. */
import type { Bucket } from './bucket.ts';
import { prefixed } from './prefixed.ts';
import type { S3Settings } from './s3.ts';

/** As `storage.trace`. */
export interface StorageSettings {
  backend: string;
  s3: S3Settings & { prefix: string };
}

/** Throws VivaceError 'invalid' for settings that cannot work; asks nothing of the bucket yet. */
export async function openBucket(settings: StorageSettings): Promise<Bucket> {
  switch (settings.backend) {
    case 's3':
      return prefixed((await import('./s3.ts')).s3Bucket(settings.s3), settings.s3.prefix);
    default:
      throw new Error(`there is no bucket for storage.trace.backend ${settings.backend}`);
  }
}
