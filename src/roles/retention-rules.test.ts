import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRule, tenantRules } from './retention-rules.ts';

test('a rule is a duration, a share and a query', () => {
  const read = (text: string) => {
    const { keepMs, share, stages } = parseRule(text);
    return [keepMs, share, stages.length];
  };
  assert.deepEqual(read('30d { status = error }'), [30 * 86_400_000, 1, 1]);
  assert.deepEqual(read(' 3d 5% { } '), [3 * 86_400_000, 0.05, 1]);
  assert.deepEqual(read('6h 0.5 %{ } | count() > 3'), [6 * 3_600_000, 0.005, 2]);
  assert.deepEqual(read('0s { name = "5% off" }'), [0, 1, 1]);
});

const BAD: [rule: string, why: RegExp][] = [
  ['', /a duration and a query/],
  ['30d', /a duration and a query/],
  ['soon { }', /soon/],
  ['1d 101% { }', /101 %/],
  ['1d { status = }', /parse error/],
  ['1d { } | rate()', /metrics find no traces/],
  ['1d { 1 }', /cannot use/],
];
for (const [rule, why] of BAD)
  test(`no rule: ${rule}`, () => assert.throws(() => parseRule(rule), { code: 'invalid', message: why }));

test('what may have to go at which age', () => {
  const { deadlinesMs } = tenantRules(['2d { status = error }', '1h 5% { }', '1h { name = "x" }'], 7_200_000);
  assert.deepEqual(deadlinesMs, [3_600_000, 7_200_000, 172_800_000]);
  assert.deepEqual(tenantRules(['1h { }'], Number.POSITIVE_INFINITY).deadlinesMs, [3_600_000]);
});
