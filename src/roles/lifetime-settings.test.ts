import assert from 'node:assert/strict';
import { it } from 'node:test';
import { rowGroupBounds } from './lifetime-settings.ts';

const MIB = 1024 * 1024;

it('makes smaller row groups where there is little memory', () => {
  const rowsOf = (memory: number, live: number): number => rowGroupBounds(memory * MIB, live * MIB).rowsMax;
  assert.equal(rowsOf(256, 64), 32_768);
  assert.equal(rowsOf(200, 64), 32_768);
  const some = rowsOf(300, 64);
  assert.ok(some > 32_768 && some < 196_608, String(some));
  assert.equal(rowsOf(512, 64), 196_608);
});
