import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAhead } from './read-ahead.ts';
import type { Segment, Want } from './segment.ts';

test('the next blocks hear once of what is read', () => {
  const heard: string[][] = Array.from({ length: 30 }, () => []);
  const blocks = heard.map(
    (list) =>
      ({
        warm: (what: Want | 'lines') => list.push(what === 'lines' ? what : what.of),
      }) as unknown as Segment,
  );
  const told = readAhead(blocks);
  for (let at = 0; at < 3; at++) {
    told(at)({ of: 'resource' });
    told(at)({ of: 'scope' });
    told(at)('lines');
    told(at)({ of: 'resource' });
  }
  assert.deepEqual(heard[0], []);
  for (let at = 1; at <= 12; at++) assert.deepEqual(heard[at], ['resource', 'scope', 'lines']);
  assert.deepEqual(heard.slice(13).flat(), []);
});
