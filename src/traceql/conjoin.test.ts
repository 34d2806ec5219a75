import assert from 'node:assert/strict';
import { it } from 'node:test';
import { conjoin } from './conjoin.ts';
import { parseQuery } from './parse.ts';
import { printQuery } from './print.ts';
import { parseTagFilter } from './tag-filter.ts';

const CASES: [query: string, expected: string][] = [
  ['{}', '{ resource.team = `a` }'],
  ['{ span.x = 1 || true }', '{ (span.x = 1 || true) && resource.team = `a` }'],
  ['{ !(span.x = 1) }', '{ !(span.x = 1) && resource.team = `a` }'],
  [
    '{ kind = server } >> { name = "x" }',
    '{ kind = server && resource.team = `a` } >> { name = `x` && resource.team = `a` }',
  ],
  [
    '({ name = "a" } | count() > 1) && ({} | by(name))',
    '({ name = `a` && resource.team = `a` } | count() > 1) && ({ resource.team = `a` } | by(name))',
  ],
  ['by(name) | rate()', '{ resource.team = `a` } | by(name) | rate()'],
  [
    '(count() > 1) && ({ name = "b" })',
    '({ resource.team = `a` } | count() > 1) && ({ name = `b` && resource.team = `a` })',
  ],
  ['count() > 2', '{ resource.team = `a` } | count() > 2'],
  [
    '{ name = "a" } | { name = "b" } | rate() by(name) with(sample=true)',
    '{ name = `a` && resource.team = `a` } | { name = `b` && resource.team = `a` } | rate() by(name) with(sample=true)',
  ],
];

for (const [query, expected] of CASES)
  it(`${query} sees spans of the filter only`, () => {
    const filter = parseTagFilter('{ resource.team = "a" }')!.expression;
    const printed = printQuery(conjoin(parseQuery(query), filter));
    assert.equal(printQuery(parseQuery(printed)), printQuery(parseQuery(expected)));
  });
