import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { encodeRequest, type SpanSpec } from '../query/segments.fixture.ts';
import { criticalPath } from './critical-path.ts';
import { type ShownSpan, shownSpans } from './shown-spans.ts';
import { readTrace } from './trace-spans.ts';
import { treeOf } from './trace-tree.ts';

function traceOfParents(parents: readonly (number | undefined)[]): ReturnType<typeof readTrace> {
  const specs = parents.map(
    (parent, index): SpanSpec => ({
      trace: 1,
      span: index + 1,
      at: index,
      ms: 5,
      ...(parent !== undefined && { parent }),
    }),
  );
  return readTrace(encodeRequest(specs));
}

describe('tree of a trace', () => {
  it('has orphans at the top, under the id that is missing', () => {
    const { spans } = traceOfParents([undefined, 1, 77, 77, 3]);
    const tree = treeOf(spans);
    assert.deepEqual(tree.tops, [0, 2, 3]);
    assert.deepEqual([...tree.orphans], [['000000000000004d', [2, 3]]]);
    assert.deepEqual(tree.children[2], [4]);
  });

  it('hangs a ring from its first span, and a span that is its own parent from itself', () => {
    const { spans } = traceOfParents([undefined, 4, 2, 3, 5]);
    const tree = treeOf(spans);
    assert.deepEqual(tree.order.toSorted(), [0, 1, 2, 3, 4]);
    assert.deepEqual(tree.tops, [0, 4, 1]);
    assert.equal(tree.depthMax, 2);
  });

  it('holds every span once, and what is shown and hidden is all of it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }), { maxLength: 40 }),
        fc.nat(20),
        (parents, max) => {
          const { spans } = traceOfParents(parents);
          const tree = treeOf(spans);
          assert.deepEqual(
            tree.order.toSorted((a, b) => a - b),
            spans.map((_, index) => index),
          );
          const { tops, hiddenTops } = shownSpans(spans, tree, criticalPath(spans, tree), max);
          let shown = 0;
          let hidden = hiddenTops.spans;
          const visit = (each: ShownSpan): void => {
            shown++;
            hidden += each.hidden.spans;
            each.children.forEach(visit);
          };
          tops.forEach(visit);
          assert.equal(shown + hidden, spans.length);
          assert.equal(shown, max === 0 ? spans.length : Math.min(max, spans.length));
        },
      ),
    );
  });
});
