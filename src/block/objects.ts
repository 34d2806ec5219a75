/** The names of a block's files, the same in a folder and in a bucket, and its keys there (docs/formats/bucket.md). */

export const DATA_FILE = 'data.parquet';
export const TRACES_FILE = 'traces';
/** What makes the others a block: written last. */
export const META_FILE = 'meta.json';
/** No meta is longer, nor is a lease. */
export const META_BYTES_MAX = 1 << 20;
/** In the place of META_FILE when the block was merged into another one. */
export const COMPACTED_META_FILE = 'meta.compacted.json';
/** In a folder only: all but the block's meta is in the bucket, and perhaps that, too. */
export const SENT_FILE = 'sent';
/** In the place of META_FILE when the block was found damaged. */
export const DAMAGED_META_FILE = 'meta.damaged.json';
/** In a folder only: the block is in the bucket. */
export const FLUSHED_FILE = 'flushed';

/** Of a tenant in a bucket: who merges its blocks (compact/bucket-lease.ts). */
export const LEASE_FILE = 'compaction.json';

/** Of a tenant in a bucket: its deleted traces (bucket-deleted-traces.ts). */
export const DELETED_FILE = 'deleted-traces.json';

/** Of a tenant in a bucket: the filters of trace ids of its blocks (filter-pack.ts). */
export const FILTERS_FILE = 'trace-filters';

export const BLOCK_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function objectKey(tenant: string, id: string, name: string): string {
  return `${tenant}/${id}/${name}`;
}
