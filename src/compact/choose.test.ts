import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BlockRef, blockRef } from '../block/catalog.ts';
import { rfc3339Seconds } from '../block/meta.ts';
import { type ChooseOptions, chooseMerges } from './choose.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse('2026-11-21T12:30:00Z');
const OPTIONS: ChooseOptions = {
  windowMs: HOUR_MS,
  nowMs: NOW_MS,
  inputsMin: 2,
  inputsMax: 4,
  levelMax: 0,
  tracesMax: 1000,
  bytesMax: 100_000,
};

/** A block that ended so many hours ago, with so many traces. */
function block(name: string, hours: number, traces: number, level = 0, spans = traces): BlockRef {
  const end = rfc3339Seconds((NOW_MS - hours * HOUR_MS) / 1000);
  const meta = {
    ...{ format: 'vivace1', blockID: name, tenantID: 't', startTime: end, endTime: end, totalObjects: traces },
    ...{ size: 10 * spans, compactionLevel: level, encoding: 'none', indexPageSize: 0, totalRecords: 1 },
    ...{ dataEncoding: '', bloomShards: 0, footerSize: 1, vivace: { spans, pageRows: 8, tracesBytes: 1 } },
  };
  return blockRef(meta, 't', `/blocks/t/${name}`);
}

function chosen(blocks: BlockRef[], more: Partial<ChooseOptions> = {}): string[] {
  return chooseMerges(blocks, { ...OPTIONS, ...more }).map((refs) => refs.map(({ id }) => id).join(' '));
}

test('blocks of one window and level go together, the smallest first', () => {
  const blocks = [block('a', 2, 30), block('b', 2, 10), block('c', 2, 20), block('d', 1, 10), block('e', 1, 5, 1)];
  assert.deepEqual(chosen(blocks), ['b c a']);
  assert.deepEqual(chosen(blocks, { inputsMax: 2 }), ['b c']);
  assert.deepEqual(chosen(blocks, { inputsMin: 4 }), []);
  assert.deepEqual(chosen([...blocks, block('f', 1, 50, 1)]), ['b c a', 'e f']);
  assert.deepEqual(chosen([...blocks, block('f', 1, 50, 1)], { levelMax: 1 }), ['b c a']);
});

test('while blocks come, it is waited for as many as go together', () => {
  const blocks = ['a', 'b', 'c'].map((name) => block(name, 0.1, 10));
  assert.deepEqual(chosen(blocks), []);
  assert.deepEqual(chosen([...blocks, block('d', 0.1, 10)]), ['a b c d']);
  assert.deepEqual(chosen([block('x', -48, 1), block('y', -48, 1)]), [], 'clocks may be ahead');
});

test('after a day levels go together', () => {
  assert.deepEqual(chosen([block('a', 30, 10, 2), block('b', 30, 20), block('c', 30, 5, 1)]), ['c a b']);
});

test('no bound is passed', () => {
  const blocks = [block('a', 2, 600), block('b', 2, 500), block('c', 2, 400)];
  assert.deepEqual(chosen(blocks), ['c b']);
  assert.deepEqual(chosen(blocks, { tracesMax: 800 }), []);
  assert.deepEqual(chosen(blocks, { bytesMax: 9999 }), ['c b']);
  assert.deepEqual(chosen(blocks, { bytesMax: 8999 }), []);
});
