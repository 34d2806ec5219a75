import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { WordLists } from './word-lists.ts';

test('equal lists have equal numbers, which count up', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.constantFrom(0, 1, 2, 0xffffffff), { maxLength: 6 }), { maxLength: 600 }),
      (all) => {
        const lists = new WordLists();
        const known = new Map<string, number>();
        for (const list of all) {
          const number = known.get(list.join()) ?? known.size;
          known.set(list.join(), number);
          assert.equal(lists.intern(Uint32Array.of(...list, 7), list.length), number);
          assert.equal(lists.count, known.size);
        }
      },
    ),
    { numRuns: 200 },
  );
});
