import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32, zstdDecompressSync } from 'node:zlib';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import { findTrace, readTraces, type TraceLines, writeTraces } from './traces-file.ts';

const id = (n: number): Buffer => Buffer.from(n.toString(16).padStart(32, '0'), 'hex');

const LINES: TraceLines = {
  ids: Buffer.concat([id(1), id(2), id(0xff00)]),
  firstRow: Uint32Array.of(0, 2, 3, 7),
  startLow: Uint32Array.of(1, 2, 3),
  startHigh: Uint32Array.of(4, 5, 0xffffffff),
  endLow: Uint32Array.of(7, 8, 9),
  endHigh: Uint32Array.of(10, 11, 0xffffffff),
  rootService: Uint32Array.of(1, 0, 1),
  rootName: Uint32Array.of(2, 0, 3),
  firstStat: Uint32Array.of(0, 1, 1, 3),
  statService: Uint32Array.of(1, 1, 4),
  statSpans: Uint32Array.of(2, 3, 70000),
  statErrors: Uint32Array.of(0, 300, 1),
  strings: ['shop', 'GET /', '', 'größer'],
};

test('the bytes are those of the format page', () => {
  const file = Buffer.from(writeTraces(LINES));
  assert.equal(file.toString('latin1', 0, 8), 'VIVTRC2\n');
  assert.deepEqual([file.readUInt32LE(8), file.readUInt32LE(12)], [3, 7]);
  assert.deepEqual(file.subarray(28, 76), Buffer.from(LINES.ids));
  const body = file.subarray(76);
  assert.equal(file.readUInt32LE(20), body.length);
  assert.equal(file.readUInt32LE(24), crc32(file.subarray(28), crc32(file.subarray(0, 24))));
  const raw = zstdDecompressSync(body);
  assert.equal(file.readUInt32LE(16), raw.length);
  const words = Array.from({ length: 4 + 6 * 3 + 4 + 3 * 3 + 1 + 4 }, (_, i) => raw.readUInt32LE(4 * i));
  assert.deepEqual(words, [
    ...[0, 2, 3, 7],
    ...[1, 2, 3, 4, 5, 0xffffffff],
    ...[7, 8, 9, 10, 11, 0xffffffff],
    ...[1, 0, 1, 2, 0, 3],
    ...[0, 1, 1, 3],
    ...[1, 1, 4, 2, 3, 70000, 0, 300, 1],
    ...[4, 4, 9, 9, 17],
  ]);
  assert.equal(raw.toString('utf8', 4 * words.length), 'shopGET /größer');
});

test('what is written is read', () => {
  const read = readTraces(writeTraces(LINES));
  for (const key of Object.keys(LINES) as (keyof TraceLines)[]) assert.deepEqual([...read[key]], [...LINES[key]], key);
});

test('a file that was cut or changed anywhere is refused', () => {
  const file = writeTraces(LINES);
  for (let length = 0; length < file.length; length++)
    assert.throws(
      () => readTraces(file.slice(0, length)),
      { name: 'VivaceError', code: 'internal' },
      `${length} bytes`,
    );
  for (let at = 0; at < file.length; at++) {
    const changed = file.slice();
    changed[at] ^= 0x11;
    assert.throws(
      () => readTraces(changed),
      (error) => error instanceof VivaceError,
      `byte ${at}`,
    );
  }
});

test('ids are found by halving', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat({ max: 0xffff }), { maxLength: 40 }),
      fc.nat({ max: 0xffff }),
      (numbers, wanted) => {
        numbers.sort((a, b) => a - b);
        const ids = Buffer.concat(numbers.map(id));
        assert.equal(findTrace(ids, id(wanted)), numbers.indexOf(wanted));
        for (const [at, number] of numbers.entries()) assert.equal(findTrace(ids, id(number)), at);
      },
    ),
  );
});
