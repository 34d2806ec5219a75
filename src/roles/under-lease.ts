/** Work on a tenant of a bucket that only whoever has its lease may do (compact/bucket-lease.ts). */
import type { BucketList } from '../block/bucket-list.ts';
import type { BucketLease, Leases } from '../compact/bucket-lease.ts';
import { finishPlan } from '../compact/bucket-merge.ts';
import type { Bucket } from '../store/bucket.ts';

const RELEASE_MS_MAX = 5000;

/**
 * Does `work` while the tenant's lease is held, and releases it; resolves with undefined, and does nothing, when somebody else
 * has it. The signal that `work` is given ends with `signal` and when the lease is lost.
 */
export async function underLease<T>(
  leases: Leases,
  tenant: string,
  signal: AbortSignal,
  work: (lease: BucketLease, signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const lease = await leases.take(tenant, signal);
  if (lease === undefined) return undefined;
  try {
    return await work(lease, AbortSignal.any([signal, lease.lost]));
  } finally {
    if (!lease.lost.aborted) await lease.release(AbortSignal.timeout(RELEASE_MS_MAX));
  }
}

/** Ends what the lease's last owner began, and lists the tenant anew unless that was us: others may have merged what we list. */
export async function comeUpToDate(
  { bucket, list }: { bucket: Bucket; list: BucketList },
  lease: BucketLease,
  tenant: string,
  signal: AbortSignal,
): Promise<void> {
  await finishPlan(bucket, list, lease, tenant, signal);
  if (!lease.isSequel || list.tenants.get(tenant)?.isFromIndex !== false) await list.refresh(tenant, signal);
}
