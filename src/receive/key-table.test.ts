import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { KeyTable, knownKey, nameOf } from './key-table.ts';

const KNOWN = knownKey('http.method');

describe('KeyTable', () => {
  it('gives equal keys one number and other keys other ones, in any order', () => {
    const keys = fc.array(fc.constantFrom('', 'a', 'b', 'ab', 'abc', 'abcd', 'abce', 'abcde', 'xbcde', 'http.method'));
    fc.assert(
      fc.property(keys, fc.array(fc.string()), (some, more) => {
        const table = new KeyTable();
        const numbers = new Map<string, number>();
        for (const key of [...some, ...more, ...some]) {
          const number = numberOf(table, key);
          assert.equal(numbers.get(key) ?? number, number);
          numbers.set(key, number);
        }
        assert.equal(new Set(numbers.values()).size, numbers.size);
      }),
    );
  });

  it('finds known keys, those that it has met, and no others', () => {
    const table = new KeyTable();
    assert.equal(table.find(KNOWN), numberOf(table, 'http.method'));
    assert.equal(table.find(nameOf('http.method')), KNOWN.number);
    assert.equal(table.find(nameOf('met')), -1);
    const met = numberOf(table, 'met');
    assert.equal(table.find(nameOf('met')), met);
  });

  it('forgets between spans when there are too many, and begins to learn again', () => {
    const table = new KeyTable();
    for (let i = 0; i < 2000; i++) numberOf(table, `key ${i}`);
    assert.notEqual(table.find(nameOf('key 0')), -1);
    assert.equal(table.tidy(), true);
    assert.equal(table.find(nameOf('key 0')), -1);
    assert.equal(numberOf(table, 'http.method'), KNOWN.number);
    assert.equal(table.tidy(), false);
  });
});

/** With other bytes before and behind. */
function numberOf(table: KeyTable, key: string): number {
  const bytes = Buffer.from(`>${key}<`);
  return table.number(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 1, bytes.length - 1);
}
