import assert from 'node:assert/strict';
import { it } from 'node:test';
import { mergedSpansMax } from './lifetime-settings.ts';

const MIB = 1024 * 1024;

it('merges less where there is little memory, and nothing in a small container', () => {
  assert.equal(mergedSpansMax(256 * MIB, 64 * MIB), 0);
  assert.equal(mergedSpansMax(200 * MIB, 64 * MIB), 0);
  const some = mergedSpansMax(320 * MIB, 64 * MIB);
  assert.ok(some > 200_000 && some < 350_000, String(some));
  assert.equal(mergedSpansMax(512 * MIB, 64 * MIB), 350_000);
  assert.ok(mergedSpansMax(256 * MIB, 32 * MIB) > 100_000);
});
