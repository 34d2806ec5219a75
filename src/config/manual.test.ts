import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readManual, updatedManual } from './manual.ts';

describe('the manual of the configuration', () => {
  it('lists the keys that there are: run node src/config/manual.ts', () => {
    const text = readManual();
    assert.equal(updatedManual(text), text);
  });
});
