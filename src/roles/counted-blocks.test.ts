import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockMeta } from '../block/meta.ts';
import { countedIn } from './counted-blocks.ts';

/** `a:3` is record 3 of log a. */
const place = (text: string) => ({ instance: text[0], sequence: Number(text.slice(2)) });

test('blocks hold nothing, some or all of what others have counted', () => {
  const cases: [log: string, logs: string[], level: number, counted: string[], expected: string][] = [
    ['a:3', [], 0, [], 'nothing'],
    ['a:3', [], 0, ['a:4'], 'nothing'],
    ['a:3', [], 0, ['a:3'], 'all'],
    ['a:3', [], 0, ['a:2', 'b:1'], 'all'],
    ['b:3', [], 0, ['a:2'], 'nothing'],
    ['', ['a:3', 'b:7'], 1, ['a:4', 'b:8'], 'nothing'],
    ['', ['a:3', 'b:7'], 1, ['b:7'], 'some'],
    ['', ['a:3', 'b:7'], 2, ['a:1'], 'some'],
  ];
  for (const [log, logs, compactionLevel, counted, expected] of cases) {
    const vivace = { ...(log !== '' && { log: place(log) }), logs: logs.map(place) };
    const found = countedIn({ compactionLevel, vivace } as unknown as BlockMeta, counted.map(place));
    assert.equal(found, expected, `${log} ${logs} ${counted}`);
  }
});
