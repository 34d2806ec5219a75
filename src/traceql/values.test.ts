import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import type { FieldOp, StaticValue } from './ast.ts';
import { printStatic } from './print.ts';
import { applyBinary, compareUtf8 } from './values.ts';

const int = (value: bigint): StaticValue => ({ type: 'int', value });
const float = (value: number): StaticValue => ({ type: 'float', value });
const text = (value: string): StaticValue => ({ type: 'string', value });
const seconds = (value: bigint): StaticValue => ({ type: 'duration', ns: value * 1_000_000_000n });

test('results of operators', () => {
  const cases: [StaticValue, FieldOp, StaticValue, string | undefined][] = [
    [int(7n), '/', int(2n), '3'],
    [int(-7n), '/', int(2n), '-3'],
    [int(-7n), '%', int(2n), '-1'],
    [int(7n), '/', int(0n), undefined],
    [int(2n ** 62n), '*', int(2n), 'minInt'],
    [int(2n), '^', int(10n), '1024'],
    [int(3n), '^', int(2n ** 40n), '-7860764868738023423'],
    [int(2n), '^', int(-1n), '0'],
    [int(-1n), '^', int(-3n), '-1'],
    [int(7n), '/', float(2), '3.5'],
    [float(1), '/', int(0n), '(1.0 / 0.0)'],
    [seconds(1n), '/', int(2n), '500000000.0'],
    [seconds(1n), '=', int(1_000_000_000n), 'true'],
    [seconds(2n), '>', seconds(1n), 'true'],
    [int(2n ** 53n), '=', int(2n ** 53n + 1n), 'false'],
    [text('abc'), '=~', text('b'), 'false'],
    [text('a\nc'), '=~', text('a.c'), 'true'],
    [text('a'), '!~', text('['), undefined],
    [text('a'), '+', text('b'), undefined],
    [text('a'), '=', int(1n), undefined],
    [{ type: 'bool', value: true }, '<', { type: 'bool', value: true }, undefined],
    [{ type: 'bool', value: true }, '&&', { type: 'bool', value: false }, 'false'],
    [{ type: 'status', value: 'ok' }, '!=', { type: 'status', value: 'error' }, 'true'],
    [{ type: 'status', value: 'ok' }, '=', { type: 'kind', value: 'server' }, undefined],
    [{ type: 'nil' }, '!=', int(1n), 'false'],
    [float(Number.NaN), '!=', float(1), 'true'],
  ];
  for (const [a, op, b, want] of cases) {
    const result = applyBinary(op, a, b);
    assert.equal(result && printStatic(result), want, `${printStatic(a)} ${op} ${printStatic(b)}`);
  }
});

test('strings are ordered as their UTF-8 bytes', () => {
  const strings = fc.string({ unit: 'grapheme' });
  fc.assert(
    fc.property(strings, strings, (a, b) => {
      assert.equal(Math.sign(compareUtf8(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
  assert.ok(compareUtf8('\uffff', '😀') < 0);
});
