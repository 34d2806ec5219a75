/**
 * The index of a tenant's blocks in a bucket, `<tenant>/index.json.gz`: so that those who only read need not list the bucket
 * nor read every meta. Tempo's JSON form, with what only our metas have (`vivace`); docs/formats/bucket.md.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { messageOf } from '../runtime/errors.ts';
import { type Bucket, isNotFound } from '../store/bucket.ts';
import type { DamagedObject } from './bucket-list.ts';
import { BLOCK_FORMAT, type BlockMeta, checkedMeta } from './meta.ts';
import { parseProtobufIndex } from './tenant-index-protobuf.ts';

export const INDEX_FILE = 'index.json.gz';
/** Tempo's other encoding (tenant-index-protobuf.ts): written beside, and read where there is no other. */
export const INDEX_FILE_PROTOBUF = 'index.pb.zst';

const INDEX_BYTES_MAX = 64 << 20;
const INDEX_RAW_BYTES_MAX = 512 << 20;

export interface TenantIndex {
  createdMs: number;
  live: BlockMeta[];
  /** Ids of blocks that were merged into others. */
  compacted: string[];
  /** Blocks in formats that we cannot read. */
  foreign: string[];
  /** Ids of our blocks of which the index does not say all, because another program wrote it. */
  bare: string[];
  /** Blocks in quarantine; undefined when the index says nothing of that, because another program wrote it. */
  damaged: Map<string, DamagedObject> | undefined;
}

/** undefined when there is none; `damage` in the place of the index when it cannot be understood. */
export async function readTenantIndex(
  bucket: Bucket,
  tenant: string,
  signal?: AbortSignal,
): Promise<{ version: string | undefined; index: TenantIndex | { damage: string } } | undefined> {
  const own = await readIndex(bucket, `${tenant}/${INDEX_FILE}`, parseTenantIndex, signal);
  if (own !== undefined) return own;
  const other = await readIndex(bucket, `${tenant}/${INDEX_FILE_PROTOBUF}`, fromProtobuf, signal);
  return other && { version: undefined, index: other.index };
}

async function readIndex(
  bucket: Bucket,
  key: string,
  parse: (bytes: Uint8Array) => TenantIndex | Promise<TenantIndex>,
  signal: AbortSignal | undefined,
): Promise<{ version: string; index: TenantIndex | { damage: string } } | undefined> {
  try {
    const { bytes, version } = await bucket.get(key, { bytesMax: INDEX_BYTES_MAX, signal });
    try {
      return { version, index: await parse(bytes) };
    } catch (error) {
      return { version, index: { damage: `cannot read ${key} of ${bucket.name}: ${messageOf(error)}` } };
    }
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Of our blocks it does not say all. */
async function fromProtobuf(bytes: Uint8Array): Promise<TenantIndex> {
  const { createdMs, live, compacted } = await parseProtobufIndex(bytes);
  const [bare, foreign] = [true, false].map((isOurs) =>
    live.filter(({ format }) => (format === BLOCK_FORMAT) === isOurs).map(({ id }) => id),
  );
  return { createdMs, live: [], compacted, foreign, bare, damaged: undefined };
}

export function parseTenantIndex(bytes: Uint8Array): TenantIndex {
  const text = gunzipSync(bytes, { maxOutputLength: INDEX_RAW_BYTES_MAX }).toString();
  const { created_at, meta, compacted, damaged } = JSON.parse(text) as {
    created_at: string;
    damaged?: { blockID: string; damagedTime: string; meta?: unknown }[];
    meta: unknown[] | null;
    compacted: { blockID: string }[] | null;
  };
  const createdMs = Date.parse(created_at);
  if (Number.isNaN(createdMs)) throw new Error('it does not say when it was made');
  const index = { createdMs, live: [] as BlockMeta[], foreign: [] as string[], bare: [] as string[] };
  for (const each of meta ?? []) {
    const checked = checkedMeta(each);
    if (checked === 'foreign') index.foreign.push((each as BlockMeta)?.blockID);
    else if (checked === 'damaged') index.bare.push((each as BlockMeta).blockID);
    else index.live.push(checked);
  }
  const quarantined = damaged?.map(({ blockID, damagedTime, meta: of }) => {
    const checked = checkedMeta(of);
    return [blockID, { meta: typeof checked === 'string' ? undefined : checked, ms: Date.parse(damagedTime) }] as const;
  });
  return {
    ...index,
    damaged: quarantined && new Map(quarantined),
    compacted: (compacted ?? []).map(({ blockID }) => blockID),
  };
}

/** `compacted` as pairs of meta and the time when the block was merged. */
export function renderTenantIndex(
  createdMs: number,
  live: Iterable<BlockMeta>,
  compacted: Iterable<readonly [BlockMeta, number]>,
  damaged: ReadonlyMap<string, DamagedObject>,
): Uint8Array {
  const rendered = JSON.stringify({
    created_at: new Date(createdMs).toISOString(),
    meta: [...live],
    compacted: [...compacted].map(([meta, ms]) => ({ ...meta, compactedTime: new Date(ms).toISOString() })),
    damaged: [...damaged].map(([blockID, { meta, ms }]) => ({
      blockID,
      damagedTime: new Date(ms).toISOString(),
      meta,
    })),
  });
  return gzipSync(rendered, { level: 1 });
}
