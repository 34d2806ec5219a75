import fs from 'node:fs';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import Counter from 'prom-client/lib/counter.js';
import type Gauge from 'prom-client/lib/gauge.js';
import type Registry from 'prom-client/lib/registry.js';
import { makers } from './metric-makers.ts';

/**
 * What every process tells, read at the scrape. Dashboards ask for three metrics of Go's runtime; ours are their nearest
 * kin: things that keep the event loop alive, collections of garbage, heap in use.
 */
export function processMetrics(registry: Registry): PerformanceObserver {
  const { level } = makers(registry);
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of user and system.',
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const startSeconds = performance.timeOrigin / 1000;
  level('process_start_time_seconds', 'Start of the process, Unix time.', () => startSeconds);
  level('process_resident_memory_bytes', 'Memory in RAM.', () => process.memoryUsage.rss());
  level('process_virtual_memory_bytes', 'Address space in use.', virtualBytes);
  level('process_open_fds', 'Open file descriptors.', openDescriptors);
  level('process_max_fds', 'Most file descriptors allowed.', descriptorsMax);
  level('go_goroutines', 'Things that keep the event loop alive.', () => process.getActiveResourcesInfo().length);
  level('go_memstats_heap_inuse_bytes', 'Heap in use.', () => process.memoryUsage().heapUsed);
  level('go_memstats_heap_sys_bytes', 'Heap reserved.', () => process.memoryUsage().heapTotal);
  level('vivace_external_bytes', 'Memory of buffers outside the heap.', () => process.memoryUsage().external);
  const pauses = { seconds: 0, count: 0 };
  // prom-client's summary puts every pause into a tree, percentiles or not.
  const summary = {
    name: 'go_gc_duration_seconds',
    get: async () => ({
      ...{ name: summary.name, help: 'Pauses for collecting garbage.', type: 'summary', aggregator: 'sum' },
      values: [
        { metricName: `${summary.name}_sum`, labels: {}, value: pauses.seconds },
        { metricName: `${summary.name}_count`, labels: {}, value: pauses.count },
      ],
    }),
    reset: () => {},
  };
  registry.registerMetric(summary as unknown as Gauge);
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const kind = (entry as { detail?: { kind?: number } }).detail?.kind;
      // Incremental steps are part of a collection that is counted at its end.
      if (kind === constants.NODE_PERFORMANCE_GC_INCREMENTAL) continue;
      pauses.seconds += entry.duration / 1000;
      pauses.count++;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return observer;
}

/** From Linux's /proc; 0 where there is none. */
function virtualBytes(): number {
  const pages = readProc('statm').split(' ')[0];
  return Number(pages) * 4096 || 0;
}

function openDescriptors(): number {
  try {
    return fs.readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

function descriptorsMax(): number {
  return Number(/^Max open files +(\d+)/m.exec(readProc('limits'))?.[1] ?? 0);
}

function readProc(name: string): string {
  try {
    return fs.readFileSync(`/proc/self/${name}`, 'utf8');
  } catch {
    return '';
  }
}
