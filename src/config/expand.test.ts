import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { messageOf } from '../runtime/errors.ts';
import { expand } from './expand.ts';

const environment: Record<string, string> = {
  A: 'value',
  EMPTY: '',
  PORT: '5000',
  URL: 'http://host:80/path',
  FILE: 'a/b/c.tar.gz',
  word: 'tempo',
};

/** Text, and what becomes of it. */
const cases: [string, string][] = [
  ['no placeholder', 'no placeholder'],
  ['${A}', 'value'],
  ['x${A}y${A}z', 'xvaluey' + 'valuez'],
  ['${UNSET}', ''],
  ['${UNSET:-def}', 'def'],
  ['${EMPTY:-def}', 'def'],
  ['${A:-def}', 'value'],
  ['${UNSET:=def}', 'def'],
  ['${UNSET=def}', 'def'],
  ['${UNSET:?def}', 'def'],
  ['${UNSET:+def}', 'def'],
  ['${A:+def}', 'value'],
  ['${UNSET:-http://host:80/path}', 'http://host:80/path'],
  ['${UNSET:-${A}}', 'value'],
  ['${UNSET:-a${ALSO:-b${PORT}}c}', 'ab5000c'],
  ['${UNSET:-}', ''],
  // Not the library's: a default without the dash.
  ['${UNSET:default}', 'default'],
  ['${EMPTY:0.0.0.0:4317}', '0.0.0.0:4317'],
  ['${A:default}', 'value'],
  ['${PORT:3200}', ''],
  ['${UNSET:3200}', ''],
  ['${A:2}', 'lue'],
  ['${A:1:3}', 'alu'],
  ['${A:-2}', 'value'],
  ['${A:1:99}', 'alue'],
  ['${A:99}', ''],
  ['${word^}', 'Tempo'],
  ['${word^^}', 'TEMPO'],
  ['${A,,}', 'value'],
  ['${#A}', '5'],
  ['${#UNSET}', '0'],
  ['${URL/host/server}', 'http://server:80/path'],
  ['${FILE//a/X}', 'X/b/c.tXr.gz'],
  ['${FILE/#a/X}', 'X/b/c.tar.gz'],
  ['${FILE/%gz/X}', 'a/b/c.tar.X'],
  ['${FILE//\\//-}', 'a-b-c.tar.gz'],
  ['${FILE#*/}', 'b/c.tar.gz'],
  ['${FILE##*/}', 'c.tar.gz'],
  ['${FILE%.*}', 'a/b/c.tar'],
  ['${FILE%%.*}', 'a/b/c'],
  ['${FILE%?z}', 'a/b/c.tar.'],
  ['$A', '$A'],
  ['$(date)', '$(date)'],
  ['$5', '$5'],
  ['costs $', 'costs $'],
  ['$$', '$'],
  ['$${A}', '${A}'],
  ['a\\\\b', 'a\\b'],
  ['a\\/b', 'a/b'],
  ['a\\nb', 'a\\nb'],
  ['# ${A} in a comment', '# value in a comment'],
];

const failures: [string, RegExp][] = [
  ['${A-def}', /^missing closing brace \(line 1, column 1: /],
  ['${A+x}', /^missing closing brace/],
  ['${A.B}', /^missing closing brace/],
  ['${A-B}', /^missing closing brace/],
  ['port: 1\n  x: ${A', /^missing closing brace \(line 2, column 6: \$\{A\)$/],
  ['${UNSET:-def', /^missing closing brace/],
  ['${}', /^unable to parse variable name/],
  ['${ A }', /^unable to parse variable name/],
  ['# ${} in a comment', /^unable to parse variable name/],
];

describe('expand', () => {
  for (const [text, expected] of cases) {
    it(JSON.stringify(text), () =>
      assert.equal(
        expand(text, (name) => environment[name]),
        expected,
      ),
    );
  }

  for (const [text, reason] of failures) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => expand(text, (name) => environment[name]),
        (error) => reason.test(messageOf(error)),
      );
    });
  }

  it('refuses placeholders in placeholders without end', () => {
    assert.throws(() => expand('${U:-'.repeat(100_000), () => undefined), /nested deeper than 64/);
  });

  it('leaves a text without dollar and backslash as it is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const plain = text.replaceAll(/[$\\]/g, '');
        assert.equal(
          expand(plain, () => 'never'),
          plain,
        );
      }),
    );
  });

  it('ends on any text', () => {
    const pieces = fc.array(fc.constantFrom('${', '}', ':-', ':', '/', '#', '%', '^', '$', '$$', '\\', 'A', '1', '\n'));
    fc.assert(
      fc.property(pieces, (parts) => {
        try {
          expand(parts.join(''), (name) => environment[name]);
        } catch (error) {
          assert.match(messageOf(error), /missing closing brace|unable to parse variable name/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
