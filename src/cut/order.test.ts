import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Appender } from './append.ts';
import { LiveColumns } from './columns.ts';
import { LiveView } from './live-view.ts';
import { orderRows } from './order.ts';
import { encodeRequest, requestOf } from './otlp.fixture.ts';

/**
 * Spans as `name(start)<parent`, parent `-` for none; a name is the span's id, with `'` and more behind it where ids are
 * shared. `|` ends a request, `;` a trace. A row is told as `name:distance to its parent`.
 */
const TREES: [what: string, spans: string, rows: string][] = [
  ['one span', 'a', 'a:0'],
  ['children by start', 'a(1) c(3)<a b(2)<a', 'a:0 b:1 c:2'],
  ['children of one start as they came', 'a(1) c(2)<a b(2)<a d(2)<a', 'a:0 c:1 b:2 d:3'],
  ['depth first', 'a(1) b(2)<a c(3)<a d(9)<b e(4)<c', 'a:0 b:1 d:1 c:3 e:1'],
  ['children before their parents', 'd(9)<b c(3)<a b(2)<a a(1)', 'a:0 b:1 d:1 c:3'],
  ['children that start before their parent', 'a(5) b(1)<a', 'a:0 b:1'],
  ['two roots, by start', 'b(2) a(1) c(3)<b', 'a:0 b:0 c:1'],
  ['a parent that is not here', 'a(1) x(0)<y b(2)<a', 'a:0 b:1 x:-1'],
  ['children of a span without its parent', 'x(5)<y z(6)<x a(9)', 'a:0 x:-1 z:1'],
  ['its own parent', 'a(1) s(2)<s', 'a:0 s:-1'],
  ['its own parent, with a child', 's(2)<s t(3)<s', 's:-1 t:1'],
  ['a ring beside a root', 'a(1) p(2)<q q(3)<p', 'a:0 p:-1 q:-1'],
  ['a ring with a child, by start', 'p(3)<q q(2)<p c(1)<p', 'c:-1 q:-1 p:-1'],
  ['a shared id: children go to the first', "a(1) a'(2) b(3)<a", "a:0 b:1 a':0"],
  ['times beyond 2^63 are late', 'a(1) b(18446744073709551615)<a c(9223372036854775807)<a', 'a:0 c:1 b:2'],
  ['a span that comes again in a later request', 'a(1) b(2)<a | b(2)<a a(1)', 'a:0 b:1'],
  ['a span that comes twice in one request', 'a(1) b(2)<a b(2)<a', 'a:0 b:1 b:2'],
  ['the same id with another start', 'a(1) b(2)<a | b(3)<a', 'a:0 b:1 b:2'],
  ['traces by id', 'a(1);b(1);d(2) | c(1)<a', 'd:0 b:0 a:0 c:1'],
  ['the late span of a trace', 'a(1) b(3)<a | c(2)<a', 'a:0 c:1 b:2'],
];

for (const [what, spans, rows] of TREES)
  test(`order: ${what}`, () => {
    const { view, names } = appended(spans);
    const order = orderRows(view);
    assert.equal([...order.rows].map((row, at) => `${names[row]}:${order.parents[at]}`).join(' '), rows);
    assert.equal(order.starts[0], 0);
    assert.equal(order.starts[order.traces.length], order.rows.length);
  });

test('one trace alone is ordered as it is among others', () => {
  const { view } = appended('a(1) c(3)<a b(2)<a;x(1) y(2)<x;z(5)');
  const all = orderRows(view);
  for (let trace = 0; trace < 3; trace++) {
    const alone = orderRows(view, trace);
    const at = all.traces.indexOf(trace);
    assert.deepEqual(alone.rows, all.rows.slice(all.starts[at], all.starts[at + 1]));
    assert.deepEqual(alone.parents, all.parents.slice(all.starts[at], all.starts[at + 1]));
  }
});

test('kinds that do not fit a byte are told apart', () => {
  const { columns, appender } = newColumns();
  const span = { traceId: '0'.repeat(31) + '1', spanId: '0'.repeat(15) + '1' };
  for (const kind of [300, 301, 300, 2]) appender.append(encodeRequest(requestOf({ ...span, kind })));
  assert.equal(orderRows(new LiveView(columns.snapshot(1, 't'))).rows.length, 3);
});

test('spans in any order make one tree', () => {
  // A complete binary tree of 255 spans, whose parents are told by their numbers; starts grow with the number.
  const spans = Array.from({ length: 255 }, (_, i) => ({
    traceId: 'f'.repeat(32),
    spanId: (i + 1).toString(16).padStart(16, '0'),
    parentId: i === 0 ? '' : ((i + 1) >> 1).toString(16).padStart(16, '0'),
    start: BigInt(i),
  }));
  const shuffles = [
    spans,
    spans.toReversed(),
    spans.toSorted((a, b) => Number(((a.start * 7919n) % 255n) - ((b.start * 7919n) % 255n))),
  ];
  const expected: number[] = [];
  const walk = (n: number): void => {
    if (n > 255) return;
    expected.push(n);
    walk(2 * n);
    walk(2 * n + 1);
  };
  walk(1);
  for (const shuffle of shuffles) {
    const { columns, appender } = newColumns();
    appender.append(encodeRequest(requestOf(...shuffle)));
    const { rows, parents } = orderRows(new LiveView(columns.snapshot(1, 't')));
    const numbers = [...rows].map((row) => Number(shuffle[row].start) + 1);
    assert.deepEqual(numbers, expected);
    for (const [at, number] of numbers.entries())
      assert.equal(parents[at], number === 1 ? 0 : at - numbers.indexOf(number >> 1));
  }
});

function newColumns(): { columns: LiveColumns; appender: Appender } {
  const columns = new LiveColumns(1 << 24, 1);
  return { columns, appender: new Appender(columns, { attributeBytesMax: 0, traceBytesMax: 0 }) };
}

function appended(text: string): { view: LiveView; names: string[] } {
  const { columns, appender } = newColumns();
  const names: string[] = [];
  for (const request of text.split('|')) {
    const spans = request.split(';').flatMap((trace, index) =>
      trace
        .trim()
        .split(/\s+/)
        .map((span) => {
          const [, name, start = '0', parent = ''] = /^(\w'*)(?:\((\d+)\))?(?:<(\w))?$/.exec(span)!;
          names.push(name);
          return {
            // Later traces of a request have smaller ids, so that order by id is not order of arrival.
            traceId: (100 - index).toString(16).padStart(32, '0'),
            spanId: idOf(name[0]),
            parentId: parent && idOf(parent),
            kind: name.length,
            start: BigInt(start),
          };
        }),
    );
    appender.append(encodeRequest(requestOf(...spans)));
  }
  return { view: new LiveView(columns.snapshot(1, 't')), names };
}

function idOf(letter: string): string {
  return letter.charCodeAt(0).toString(16).padStart(16, '0');
}
