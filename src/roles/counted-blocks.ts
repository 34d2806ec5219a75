/**
 * Which blocks hold spans that other processes have counted for a query. A process counts what it has not cut yet and says from which
 * record of its log on; a block that it writes before this process lists blocks holds records that were counted.
 *
 *   log of the other    … 40 │ 41 42 43 ▸ counted, from 41 on
 *   its next block             41 42 43     all of it: left out here
 *   a merged block     38 … 40 41 42 43     some of it: neither to be counted nor to be left out, so the others are asked again
 */
import { type BlockMeta, type LogPlace, logsOf } from '../block/meta.ts';

export function countedIn(meta: BlockMeta, counted: readonly LogPlace[]): 'nothing' | 'some' | 'all' {
  const isThere = logsOf(meta).some((log) =>
    counted.some(({ instance, sequence }) => log.instance === instance && log.sequence >= sequence),
  );
  if (!isThere) return 'nothing';
  return meta.compactionLevel > 0 ? 'some' : 'all';
}
