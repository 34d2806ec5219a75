import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FEATURES } from './features.ts';
import { compareMany } from './run.ts';

it('the engine finds what the specification says, in live columns, blocks and mixtures', async (t) => {
  const tally = await compareMany({ pairs: 2000, features: FEATURES });
  t.diagnostic(JSON.stringify(tally));
  assert.ok(tally.pairs >= 2000, `${tally.pairs} pairs`);
  assert.ok(tally.unspecified < tally.pairs / 6, `${tally.unspecified} of ${tally.pairs} are left out`);
  assert.ok(tally.found > tally.pairs / 4, `${tally.found} of ${tally.pairs} find something`);
});
