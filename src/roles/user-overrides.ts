/** The limits that tenants set through the API: opens their bucket and reads it now and again. */
import path from 'node:path';
import type { Configuration } from '../config/load.ts';
import type { Tenants } from '../limits/tenants.ts';
import { UserOverrides } from '../limits/user-overrides.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnMetrics } from '../runtime/metrics.ts';
import { openBucket } from '../store/open.ts';
import { localBucket } from '../store/local.ts';

/** Undefined when they are not enabled. Rejects with `invalid` for a bucket that cannot be. */
export async function openUserOverrides(
  config: Configuration,
  tenants: Tenants,
  log: Log,
  metrics: OwnMetrics,
): Promise<{ store: UserOverrides; close(): void } | undefined> {
  const { enabled, client, api, pollIntervalMs } = config.overrides.userConfigurableOverrides;
  if (!enabled) return undefined;
  if (!['local', 's3', 'gcs', 'azure'].includes(client.backend))
    throw new VivaceError(
      'invalid',
      `invalid configuration: overrides.user_configurable_overrides.client.backend ${JSON.stringify(client.backend)} is none of local, s3, gcs, azure`,
    );
  if (client.backend === 'local' && client.local.path === '')
    throw new VivaceError(
      'invalid',
      'invalid configuration: overrides.user_configurable_overrides.client.local.path is empty: name a directory',
    );
  const bucket = client.backend === 'local' ? localBucket(path.resolve(client.local.path)) : await openBucket(client);
  const store = new UserOverrides({
    bucket,
    tenants,
    forwarders: config.distributor.forwarders.map(({ name }) => name),
    checkConflicts: api.checkForConflictingRuntimeOverrides,
    onList(failed) {
      metrics.userOverridesListed(failed);
      if (failed) log.log('error', `cannot list the limits that tenants have set, in ${bucket.name}`, {});
    },
    onFetch(tenant, error) {
      metrics.userOverridesFetched(tenant, error !== undefined);
      if (error !== undefined)
        log.log('error', `cannot read the limits that tenant ${tenant} has set, what it had stays: ${error}`, {
          tenant,
        });
    },
  });
  await store.refresh();
  const timer = setInterval(() => void store.refresh(), Math.max(100, pollIntervalMs));
  timer.unref();
  return {
    store,
    close() {
      clearInterval(timer);
      bucket.close();
    },
  };
}
