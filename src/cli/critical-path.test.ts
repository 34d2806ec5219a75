import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { encodeRequest, type SpanSpec } from '../query/segments.fixture.ts';
import { criticalPath } from './critical-path.ts';
import { traceOf } from './trace.fixture.ts';
import { readTrace } from './trace-spans.ts';
import { treeOf } from './trace-tree.ts';

/** Stretches by span name, in milliseconds, in order of time. */
function pathOf(text: string): string {
  const { spans } = traceOf(text);
  const { stretches } = criticalPath(spans, treeOf(spans));
  return stretches
    .flatMap((list, span) => (list ?? []).map(([from, to]) => ({ from, to, name: spans[span].name })))
    .sort((a, b) => a.from - b.from)
    .map(({ from, to, name }) => `${name} ${from / 1e6}-${to / 1e6}`)
    .join(', ');
}

describe('critical path', () => {
  const cases: [what: string, trace: string, path: string][] = [
    ['a span alone', 's a 0-10', 'a 0-10'],
    ['a child in the middle', 's a 0-10\n s b 2-6', 'a 0-2, b 2-6, a 6-10'],
    ['one after the other', 's a 0-10\n s b 1-4\n s c 4-9', 'a 0-1, b 1-4, c 4-9, a 9-10'],
    ['of two at once the one that ends last', 's a 0-10\n s b 1-9\n s c 1-5', 'a 0-1, b 1-9, a 9-10'],
    ['what overlapped was not waited for', 's a 0-10\n s b 1-6\n s c 5-9', 'a 0-5, c 5-9, a 9-10'],
    ['deeper', 's a 0-10\n s b 1-9\n  s c 2-8\n   s d 3-7', 'a 0-1, b 1-2, c 2-3, d 3-7, c 7-8, b 8-9, a 9-10'],
    ['a little longer than its parent', 's a 0-10\n s b 2-11', 'a 0-2, b 2-10'],
    ['begun before its parent', 's a 5-10\n s b 3-8', 'b 2-5, a 5-7'],
    ['a consumer that runs after its producer', 's a 0-4\n s b 2-3\n  s c 5-9', 'a 0-2, b 2-3, a 3-4, c 5-9'],
    ['roots one after the other', 's a 0-4\ns b 6-9', 'a 0-4, b 6-9'],
    ['an instant', 's a 0-0', ''],
  ];
  for (const [what, trace, path] of cases) it(what, () => assert.equal(pathOf(trace), path));

  it('takes every instant once, and all of a single root', () => {
    const span = fc.record({ parent: fc.nat(20), at: fc.nat(1000), ms: fc.nat(1000) });
    fc.assert(
      fc.property(fc.array(span, { maxLength: 20 }), (made) => {
        const specs: SpanSpec[] = [{ trace: 1, span: 1, at: 0, ms: 2000 }];
        for (const { parent, ...rest } of made)
          specs.push({ trace: 1, span: specs.length + 1, parent: 1 + (parent % specs.length), ...rest });
        const { spans } = readTrace(encodeRequest(specs));
        const { stretches, totalNs } = criticalPath(spans, treeOf(spans));
        const all = stretches.flatMap((list) => list ?? []).sort((a, b) => a[0] - b[0]);
        for (let i = 1; i < all.length; i++) assert.equal(all[i][0], all[i - 1][1]);
        assert.equal(totalNs, 2000e6);
      }),
    );
  });
});
