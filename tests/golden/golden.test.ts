import assert from 'node:assert/strict';
import { it } from 'node:test';
import { judge } from './judge.ts';
import { type Difference, goldenRun } from './run.ts';

it('answers what Tempo 3.0 answers, from live columns, from blocks, from both and after a merge', async (t) => {
  const { news, changed, settled } = judge(await goldenRun(t));
  const lines = (list: Difference[]): string[] => list.map(({ name, place, text }) => `${name} ${place}: ${text}`);
  assert.deepEqual(lines(news), [], 'answers differ that did not');
  assert.deepEqual(lines(changed), [], 'answers that are meant to differ from Tempo have changed');
  assert.deepEqual(settled, [], 'these differ no longer: take them out (npm run golden -- --write)');
});
