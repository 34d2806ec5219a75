import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { formatGoDuration, formatPromDuration, parseGoDuration, parsePromDuration } from './duration.ts';

/** Text, milliseconds, and the text that Go prints for it. */
const goCases: [string, number, string][] = [
  ['0', 0, '0s'],
  ['0s', 0, '0s'],
  ['30s', 30_000, '30s'],
  ['5m', 300_000, '5m0s'],
  ['1h30m', 5_400_000, '1h30m0s'],
  ['168h', 604_800_000, '168h0m0s'],
  ['1.5s', 1500, '1.5s'],
  ['.5s', 500, '500ms'],
  ['250ms', 250, '250ms'],
  ['10us', 0.01, '10µs'],
  ['10µs', 0.01, '10µs'],
  ['7ns', 0.000007, '7ns'],
  ['-5m', -300_000, '-5m0s'],
  ['1m30.5s', 90_500, '1m30.5s'],
  ['2562047h47m16.854775807s', Number.POSITIVE_INFINITY, '2562047h47m16.854775807s'],
];

const goFailures: [string, RegExp][] = [
  ['', /invalid duration ""/],
  ['5', /missing unit in duration "5"/],
  ['1d', /unknown unit "d" in duration "1d" \(write days as hours: 1d is 24h\)/],
  ['abc', /invalid duration "abc"/],
  ['5 m', /unknown unit " m"/],
  ['1h30', /missing unit/],
  ['5constructor', /unknown unit "constructor"/],
];

const promCases: [string, number, string][] = [
  ['0', 0, '0s'],
  ['7d', 604_800_000, '1w'],
  ['1d12h', 129_600_000, '1d12h'],
  ['336h', 1_209_600_000, '2w'],
  ['1y', 31_536_000_000, '1y'],
  ['10s', 10_000, '10s'],
  ['1m30s250ms', 90_250, '1m30s250ms'],
  ['1h30m', 5_400_000, '1h30m'],
];

describe('durations', () => {
  for (const [text, ms, printed] of goCases) {
    it(`Go ${text}`, () => {
      assert.equal(parseGoDuration(text), ms);
      assert.equal(formatGoDuration(ms), printed);
    });
  }
  for (const [text, reason] of goFailures) {
    it(`Go refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseGoDuration(text), reason));
  }
  for (const [text, ms, printed] of promCases) {
    it(`Prometheus ${text}`, () => {
      assert.equal(parsePromDuration(text), ms);
      assert.equal(formatPromDuration(ms), printed);
    });
  }
  for (const text of ['', 'abc', '5', '1h1d']) {
    it(`Prometheus refuses ${JSON.stringify(text)}`, () => assert.throws(() => parsePromDuration(text), /duration/));
  }

  it('reads what it prints', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e13 }), (ms) => {
        assert.equal(parseGoDuration(formatGoDuration(ms)), ms);
        assert.equal(parsePromDuration(formatPromDuration(ms)), ms);
      }),
    );
  });

  it('refuses a long text without repeating it', () => {
    assert.throws(() => parseGoDuration('1h'.repeat(200_000)), /^VivaceError: time: invalid duration: it is too long$/);
  });
});
