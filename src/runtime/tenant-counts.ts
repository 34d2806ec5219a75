/**
 * Counters by tenant for a registry of prom-client, as a map of numbers. prom-client's own hash their labels for each count
 * and keep an object and a key a series, which with ten thousand tenants and five such counters was 15 MB and
 * a tenth of the main thread.
 */
import type Counter from 'prom-client/lib/counter.js';
import type Registry from 'prom-client/lib/registry.js';

/** Registers a counter with the label `tenant`, under each of the names; returns what counts. */
export function tenantCounter(
  registry: Registry,
  names: readonly string[],
  help: string,
): (tenant: string, count: number) => void {
  const counts = new Map<string, number>();
  for (const name of names) {
    const metric = {
      name,
      get: async () => ({
        ...{ name, help, type: 'counter', aggregator: 'sum' },
        values: Array.from(counts, ([tenant, value]) => ({ labels: { tenant }, value })),
      }),
      reset: () => counts.clear(),
    };
    registry.registerMetric(metric as unknown as Counter);
  }
  return (tenant, count) => void counts.set(tenant, (counts.get(tenant) ?? 0) + count);
}
