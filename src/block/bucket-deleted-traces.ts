/**
 * Traces that are to be gone from a bucket: one object a tenant, `<tenant>/deleted-traces.json` (docs/formats/deleted.md), which is
 * only ever replaced by conditional puts, so that of several who change it none undoes what another one has done.
 */
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { type Bucket, isNotFound, isPrecondition } from '../store/bucket.ts';
import { DELETED_FILE } from './objects.ts';

/** What all processes know of a trace that is to be gone. */
export interface BucketDeletion {
  deletedMs: number;
  /** When spans of it were last found that came since. */
  lateMs?: number;
  /** Since when no byte of it is left; undefined: there may be some. */
  erasedMs?: number;
  /** What the last look found in the way. */
  waitsFor?: string[];
}

/** By trace id, 32 hex digits. */
export type BucketDeletions = Map<string, BucketDeletion>;

const BYTES_MAX = 16 << 20;
/** Who is always overtaken gives up. */
const TRIES_MAX = 20;

export async function readBucketDeletions(
  bucket: Bucket,
  tenant: string,
  signal?: AbortSignal,
): Promise<{ traces: BucketDeletions; version: string | undefined }> {
  const key = `${tenant}/${DELETED_FILE}`;
  try {
    const { bytes, version } = await bucket.get(key, { bytesMax: BYTES_MAX, signal });
    return { traces: parse(bytes, key, bucket.name), version };
  } catch (error) {
    if (isNotFound(error)) return { traces: new Map(), version: undefined };
    throw error;
  }
}

/**
 * Changes what the bucket says of a tenant's traces; `change` says whether there is something to write and is called again when
 * somebody else was first. Resolves with what stands there now.
 */
export async function changeBucketDeletions(
  bucket: Bucket,
  tenant: string,
  change: (traces: BucketDeletions) => boolean,
  signal?: AbortSignal,
): Promise<BucketDeletions> {
  for (let tries = 1; ; tries++) {
    const { traces, version } = await readBucketDeletions(bucket, tenant, signal);
    if (!change(traces)) return traces;
    const bytes = Buffer.from(JSON.stringify({ traces: Object.fromEntries(traces) }));
    try {
      const only = version === undefined ? 'absent' : { version };
      await bucket.put(`${tenant}/${DELETED_FILE}`, bytes, { only, signal });
      return traces;
    } catch (error) {
      if (!isPrecondition(error) || tries === TRIES_MAX) throw error;
    }
  }
}

function parse(bytes: Uint8Array, key: string, bucket: string): BucketDeletions {
  try {
    const { traces } = JSON.parse(Buffer.from(bytes).toString()) as { traces: Record<string, BucketDeletion> };
    return new Map(Object.entries(traces));
  } catch (error) {
    throw new VivaceError('internal', `cannot read ${key} of ${bucket}: ${messageOf(error)}; repair or delete it`, {
      cause: error,
    });
  }
}
