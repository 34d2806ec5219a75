import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { formatDuration, parseDuration } from './duration.ts';

test('both notations', () => {
  const cases: [string, bigint | undefined][] = [
    ['1ns', 1n],
    ['1y', 365n * 86_400_000_000_000n],
    ['1w2d', 9n * 86_400_000_000_000n],
    ['1d12h', 129_600_000_000_000n],
    ['1.5h', 5_400_000_000_000n],
    ['.5s', 500_000_000n],
    ['1.s', 1_000_000_000n],
    ['30m1h', 5_400_000_000_000n],
    ['1\u00b5s', 1000n],
    ['1\u03bcs', 1000n],
    ['0.000000001s', 1n],
    ['9223372036854775807ns', 2n ** 63n - 1n],
    ['9223372036854775808ns', undefined],
    ['293y', undefined],
    ['1.5d', undefined],
    ['2month', undefined],
    ['.s', undefined],
    ['1', undefined],
    ['', undefined],
    [`${'9'.repeat(100)}s`, undefined],
  ];
  for (const [text, ns] of cases) assert.equal(parseDuration(text), ns, text);
});

test('shown as Go shows them', () => {
  const cases: [bigint, string][] = [
    [0n, '0s'],
    [1n, '1ns'],
    [1500n, '1.5\u00b5s'],
    [154_000_000n, '154ms'],
    [1_000_000_001n, '1.000000001s'],
    [90_000_000_000n, '1m30s'],
    [3_600_000_000_000n, '1h0m0s'],
    [-2_000_000n, '-2ms'],
  ];
  for (const [ns, text] of cases) assert.equal(formatDuration(ns), text);
});

test('what is shown is read back', () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (ns) => parseDuration(formatDuration(ns)) === ns));
});
