import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TraceQLError } from './error.ts';
import { printReference } from './print.ts';
import { parseTagFilter, tagFilterGroupsMax } from './tag-filter.ts';

// The rules, case by case, are in tests/golden/traceql/tag-filters.txt.

test('says what it reads', () => {
  const filter = parseTagFilter('{ span.a = 1 && (span.a = 2 || status = error) }');
  assert.deepEqual(filter?.references.map(printReference), ['span.a', 'status']);
});

test('refuses more alternatives than the limit', () => {
  const alternatives = (count: number) =>
    `{ ${Array.from({ length: count }, (_, i) => `span.a = ${i}`).join(' || ')} }`;
  assert.equal(parseTagFilter(alternatives(tagFilterGroupsMax))?.groups.length, tagFilterGroupsMax);
  assert.throws(
    () => parseTagFilter(alternatives(tagFilterGroupsMax + 1)),
    (error) => error instanceof TraceQLError && /^maximum condition groups reached \(limit: 100\)/.test(error.message),
  );
  const product = Array.from({ length: 60 }, (_, i) => `(span.a = ${i} || span.b = ${i})`).join(' && ');
  assert.throws(() => parseTagFilter(`{ ${product} }`), TraceQLError);
});

test('a long filter is no burden', () => {
  const text = `{ ${'span.a = 1 && '.repeat(8000)}`;
  assert.equal(parseTagFilter(text)?.groups[0].length, 8000);
});
