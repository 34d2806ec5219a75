/** What a trace may look like: several roots, none, orphans, deep, wide, split by clocks. */
import { CLIENT, CONSUMER, ERROR, SERVER, service, type Begin, type Trace } from './trace-builder.ts';

export function shapeTraces(begin: Begin): void {
  let t: Trace;
  let root: string | undefined;

  // 12. and 13. More than one root.
  t = begin(12);
  const rootsA = service('roots-a'),
    rootsB = service('roots-b');
  root = t.span('first-root', { resource: rootsA, ms: 40, kind: SERVER });
  t.span('first-child', { resource: rootsA, parent: root, at: 5, ms: 10 });
  const second = t.span('second-root', { resource: rootsB, at: 100, ms: 80, kind: CONSUMER });
  const below = t.span('second-child', { resource: rootsB, parent: second, at: 110, ms: 10 });
  t.span('second-grandchild', { resource: rootsA, parent: below, at: 111, ms: 5, status: ERROR });
  t = begin(13);
  t.resource = service('roots-c');
  for (let i = 0; i < 4; i++) t.span(`lone-root-${i}`, { at: i * 7, ms: 3, attrs: { i } });

  // 14. Orphans beside a root. 15. No root at all.
  t = begin(14);
  t.resource = service('orphans');
  root = t.span('orphans-root', { ms: 100, kind: SERVER });
  t.span('orphans-child', { parent: root, at: 1, ms: 5 });
  const orphan = t.span('orphan', { parent: 'deadbeefdeadbeef', at: 10, ms: 30, attrs: { lost: true } });
  t.span('orphan-child', { parent: orphan, at: 12, ms: 5 });
  t.span('orphan-child', { parent: orphan, at: 14, ms: 5, status: ERROR });
  t.span('orphan-twin', { parent: 'deadbeefdeadbeef', at: 11, ms: 4 });
  t = begin(15);
  t.resource = service('rootless');
  const headless = t.span('headless', { parent: 'feedfacefeedface', ms: 20, kind: SERVER });
  t.span('headless-child', { parent: headless, at: 2, ms: 5 });
  t.span('headless-sibling', { parent: 'feedfacefeedface', at: 25, ms: 5, kind: CLIENT });

  // 16. A chain of 60. 17. A fan of 90.
  t = begin(16);
  const deep = [service('deep-even'), service('deep-odd')];
  root = undefined;
  for (let i = 0; i < 60; i++)
    root = t.span(`deep-${i}`, {
      resource: deep[i % 2],
      parent: root,
      at: i,
      ms: 200 - i * 2,
      kind: i % 2 ? CLIENT : SERVER,
      attrs: { depth: i },
    });
  t = begin(17);
  t.resource = service('wide');
  root = t.span('wide-root', { ms: 1000, kind: SERVER });
  for (let i = 0; i < 90; i++)
    t.span('wide-leaf', {
      parent: root,
      at: i * 10,
      ms: 1 + i,
      kind: CLIENT,
      attrs: { i, even: i % 2 === 0, third: ['a', 'b', 'c'][i % 3] },
    });

  // 18. A family for the structural operators. 19. One name at several depths. 20. Groups of siblings.
  t = begin(18);
  t.resource = service('family');
  const granny = t.span('granny', { ms: 300, attrs: { gen: 1, side: 'none' } });
  const mother = t.span('mother', { parent: granny, at: 10, ms: 100, attrs: { gen: 2, side: 'left' } });
  const uncle = t.span('uncle', { parent: granny, at: 120, ms: 100, status: ERROR, attrs: { gen: 2, side: 'right' } });
  t.span('aunt', { parent: granny, at: 230, ms: 20, attrs: { gen: 2, side: 'none' } });
  const me = t.span('me', { parent: mother, at: 15, ms: 40, attrs: { gen: 3, side: 'left' } });
  t.span('sister', { parent: mother, at: 60, ms: 20, status: ERROR, attrs: { gen: 3, side: 'left' } });
  t.span('cousin', { parent: uncle, at: 130, ms: 50, attrs: { gen: 3, side: 'right' } });
  const child = t.span('child', { parent: me, at: 20, ms: 10, attrs: { gen: 4, side: 'left' } });
  t.span('grandchild', { parent: child, at: 22, ms: 3, status: ERROR, attrs: { gen: 5, side: 'left' } });
  t.span('niece', { parent: me, at: 32, ms: 5, attrs: { gen: 4, side: 'left' } });
  t = begin(19);
  t.resource = service('repeat');
  const r1 = t.span('loop', { ms: 100, attrs: { turn: 1 } });
  const r2 = t.span('loop', { parent: r1, at: 5, ms: 80, attrs: { turn: 2 } });
  const r3 = t.span('other', { parent: r2, at: 10, ms: 60, attrs: { turn: 3 } });
  const r4 = t.span('loop', { parent: r3, at: 15, ms: 40, attrs: { turn: 4 } });
  t.span('loop', { parent: r4, at: 20, ms: 10, attrs: { turn: 5 } });
  t.span('other', { parent: r1, at: 90, ms: 5, attrs: { turn: 6 } });
  t = begin(20);
  t.resource = service('siblings');
  root = t.span('siblings-root', { ms: 100 });
  for (const group of ['x', 'y']) {
    const head = t.span(`group-${group}`, { parent: root, at: 1, ms: 50, attrs: { group } });
    for (let i = 0; i < 3; i++)
      t.span(`member-${i}`, { parent: head, at: 2 + i, ms: 10 * (i + 1), attrs: { group, i } });
  }
  t.span('member-alone', {
    parent: t.span('group-z', { parent: root, at: 70, ms: 20, attrs: { group: 'z' } }),
    at: 71,
    ms: 5,
    attrs: { group: 'z', i: 0 },
  });

  // 21. Clocks that disagree. 22. No duration at all, an empty name.
  t = begin(21);
  const skewA = service('skew-a'),
    skewB = service('skew-b');
  root = t.span('skew-root', { resource: skewA, ms: 50, kind: SERVER });
  t.span('skew-before', { resource: skewB, parent: root, at: -3000, ms: 10 });
  t.span('skew-after', { resource: skewB, parent: root, at: 5000, ms: 10 });
  t.span('skew-around', { resource: skewB, parent: root, at: -10, ms: 100 });
  t = begin(22);
  t.resource = service('instant');
  root = t.span('instant-root', { ms: 0 });
  t.span('instant-child', { parent: root, ms: 0, status: ERROR });
  t.span('', { parent: root, ms: 0.000001 });
  t.span('instant-micro', { parent: root, ms: 0.001 });

  // 23. Forty minutes long, from minute 5 to minute 45.
  t = begin(23, { at: 300 });
  t.resource = service('marathon');
  root = t.span('marathon', { ms: 2_400_000, kind: CONSUMER });
  for (let i = 0; i < 8; i++) t.span('lap', { parent: root, at: i * 300_000, ms: 299_000, attrs: { lap: i } });

  // 24.–27. Nothing but errors.
  for (let i = 0; i < 4; i++) {
    t = begin(24 + i);
    t.resource = service('broken', { 'service.version': `0.${i}.0` });
    root = t.span('boom', {
      ms: 10 * (i + 1),
      kind: SERVER,
      status: ERROR,
      message: `boom ${i}`,
      attrs: { 'http.status_code': 500 + i },
    });
    for (let k = 0; k < i + 1; k++)
      t.span('boom-child', { parent: root, at: k, ms: 2, status: ERROR, message: k % 2 ? 'odd' : 'even' });
  }

  // 28. Services inside one another and back again.
  t = begin(28);
  const [na, nb, nc] = ['nested-a', 'nested-b', 'nested-c'].map((n, i) => service(n, { tier: i }));
  root = t.span('a-in', { resource: na, ms: 100, kind: SERVER });
  let call = t.span('a-out', { resource: na, parent: root, at: 1, ms: 90, kind: CLIENT });
  call = t.span('b-in', { resource: nb, parent: call, at: 2, ms: 80, kind: SERVER });
  const bWork = t.span('b-work', { resource: nb, parent: call, at: 3, ms: 10 });
  t.span('b-deeper', { resource: nb, parent: bWork, at: 4, ms: 5 });
  call = t.span('b-out', { resource: nb, parent: call, at: 20, ms: 50, kind: CLIENT });
  call = t.span('c-in', { resource: nc, parent: call, at: 21, ms: 40, kind: SERVER, status: ERROR });
  call = t.span('c-out', { resource: nc, parent: call, at: 25, ms: 30, kind: CLIENT });
  call = t.span('a-again', { resource: na, parent: call, at: 26, ms: 20, kind: SERVER });
  t.span('a-work', { resource: na, parent: call, at: 27, ms: 10 });
}
