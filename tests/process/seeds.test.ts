import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runInSandbox, sandboxSkipped } from './sandbox.fixture.ts';

it('the runbook and the deployment work as they are written', async (t) => {
  const skipped = await sandboxSkipped();
  if (skipped !== undefined) {
    process.stderr.write(`${skipped}\n`);
    t.skip(skipped);
    return;
  }
  const { code, output } = await runInSandbox(t, 'tests/process/seeds.sandbox.ts', ['votre-app.osc-fr1.scalingo.io']);
  assert.equal(code, 0, output);
  t.diagnostic(output);
});
