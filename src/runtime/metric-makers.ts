/** How metrics of one registry are made. The parts of prom-client are imported one by one: its index loads cluster support and default metrics, 8 MB of memory. */
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import type Registry from 'prom-client/lib/registry.js';
import { tenantCounter } from './tenant-counts.ts';

export type Makers = ReturnType<typeof makers>;

export function makers(registry: Registry) {
  const registers = [registry];
  return {
    counter: <L extends string>(name: string, help: string, labelNames: L[] = []) =>
      new Counter({ name, help, labelNames, registers }),
    /** For what is counted of every tenant, as opposed to what happens now and then. One count under all the names. */
    tenantCounter: (help: string, ...names: string[]) => tenantCounter(registry, names, help),
    gauge: <L extends string>(name: string, help: string, labelNames: L[] = []) =>
      new Gauge({ name, help, labelNames, registers }),
    histogram: <L extends string>(name: string, help: string, buckets: number[], labelNames: L[] = []) =>
      new Histogram({ name, help, labelNames, buckets, registers }),
    /** A level that is read when scraped. */
    level: (name: string, help: string, read: () => number | undefined) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read() ?? 0);
        },
      }),
    levels: (name: string, help: string, label: string, read: () => Iterable<readonly [string, number]> | undefined) =>
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          // A tenant that is gone must not stay at its last value.
          this.reset();
          for (const [owner, value] of read() ?? []) this.set({ [label]: owner }, value);
        },
      }),
  };
}

/** Seconds of answers, as most of Tempo's histograms have them. */
export const DEFAULT_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function doubling(first: number): number[] {
  return Array.from({ length: 10 }, (_, i) => first * 2 ** i);
}
