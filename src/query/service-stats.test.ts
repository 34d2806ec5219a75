import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { TraceLines } from '../block/traces-file.ts';
import { addStats, NO_STATS, plainStats, statsOfLine } from './service-stats.ts';

/** Two traces: of `shop` and `cart`, and of `shop` and a service without a name, of which the empty name is another. */
const LINES = {
  strings: ['shop', 'cart', ''],
  firstStat: Uint32Array.of(0, 2, 5),
  statService: Uint32Array.of(1, 2, 1, 0, 3),
  statSpans: Uint32Array.of(5, 1, 2, 3, 4),
  statErrors: Uint32Array.of(0, 1, 0, 1, 1),
} as unknown as TraceLines;

it('reads services where they are, and as a map the same', () => {
  const stats = statsOfLine(LINES, 0)!;
  const read: unknown[] = [];
  stats.forEach((stat, service) => void read.push([service, stat]));
  assert.equal(stats.size, 2);
  assert.deepEqual(read, [
    ['shop', { spanCount: 5, errorCount: 0 }],
    ['cart', { spanCount: 1, errorCount: 1 }],
  ]);
  assert.deepEqual([...plainStats(stats)], read);
});

it('puts services without a name together with the empty name, and lines with lines', () => {
  assert.equal(statsOfLine(LINES, 1), undefined);
  const second = addStats(NO_STATS, LINES, 1);
  assert.deepEqual(second.get(''), { spanCount: 7, errorCount: 2 });
  assert.deepEqual(
    [...addStats(addStats(statsOfLine(LINES, 0)!, LINES, 1), LINES, 0)],
    [
      ['shop', { spanCount: 12, errorCount: 0 }],
      ['cart', { spanCount: 2, errorCount: 2 }],
      ['', { spanCount: 7, errorCount: 2 }],
    ],
  );
});
