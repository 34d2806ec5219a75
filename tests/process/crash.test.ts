import assert from 'node:assert/strict';
import { it } from 'node:test';
import { SEED } from '../property.ts';
import { crash } from './crash.ts';

it('survives kill -9 at any moment: every acknowledged span is there once', async (t) => {
  t.diagnostic(`seed ${SEED} (VIVACE_SEED=${SEED} repeats it)`);
  const report = await crash({ times: 50, seed: SEED, tell: (line) => t.diagnostic(line) });
  assert.equal(report.kills, 50);
  // The run must have met what it is for.
  assert.ok(report.replays >= 10, `logs read back: ${report.replays}`);
  assert.ok(report.blocks >= 10, `blocks: ${report.blocks}`);
  assert.ok(report.unanswered >= 10, `requests cut off: ${report.unanswered}`);
});
