/**
 * What each service has of a trace, read from the lists of traces when it is written. A map a trace would be a quarter of the
 * garbage of a search that finds thousands of traces (6.8 of 25 MB for 3,300).
 */
import type { TraceLines } from '../block/traces-file.ts';
import { lineString } from './gather.ts';
import type { ServiceStat, ServiceStats } from './results.ts';

export const NO_STATS: ServiceStats = { size: 0, forEach() {} };

/** The services of one line; undefined where one of them has no name, since such ones are put together with the empty name. */
export function statsOfLine(lines: TraceLines, trace: number): ServiceStats | undefined {
  const { firstStat, statService } = lines;
  for (let stat = firstStat[trace]; stat < firstStat[trace + 1]; stat++) if (statService[stat] === 0) return undefined;
  return new LineStats(lines, trace);
}

/** Adds the services of a line to those that are known already. */
export function addStats(known: ServiceStats, lines: TraceLines, trace: number): Map<string, ServiceStat> {
  const stats = plainStats(known);
  for (let stat = lines.firstStat[trace]; stat < lines.firstStat[trace + 1]; stat++) {
    const name = lineString(lines, lines.statService[stat]) ?? '';
    const before = stats.get(name);
    stats.set(name, {
      spanCount: lines.statSpans[stat] + (before?.spanCount ?? 0),
      errorCount: lines.statErrors[stat] + (before?.errorCount ?? 0),
    });
  }
  return stats;
}

/** As a map, which can be changed and sent to another thread. */
export function plainStats(stats: ServiceStats): Map<string, ServiceStat> {
  if (stats instanceof Map) return stats;
  const plain = new Map<string, ServiceStat>();
  stats.forEach((stat, service) => void plain.set(service, stat));
  return plain;
}

class LineStats implements ServiceStats {
  readonly size: number;
  readonly #lines: TraceLines;
  readonly #from: number;

  constructor(lines: TraceLines, trace: number) {
    this.#lines = lines;
    this.#from = lines.firstStat[trace];
    this.size = lines.firstStat[trace + 1] - this.#from;
  }

  forEach(each: (stats: ServiceStat, service: string) => void): void {
    const { strings, statService, statSpans, statErrors } = this.#lines;
    for (let stat = this.#from; stat < this.#from + this.size; stat++)
      each({ spanCount: statSpans[stat], errorCount: statErrors[stat] }, strings[statService[stat] - 1]);
  }
}
