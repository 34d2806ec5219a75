import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isConjunction, listedName, type Read, readsOfFilter, readsOfPipeline, readsOfQuery } from './conditions.ts';
import { parseQuery } from './parse.ts';
import { printReference, printStatic } from './print.ts';

/** `span.a> 1, = 2, untyped; [name]…`: a bracket where results do not list it. */
function show(reads: Read[]): string {
  return reads
    .map(({ reference, conditions, untyped, listed }) => {
      const uses = conditions.map(({ op, value }) => `${op} ${printStatic(value)}`);
      if (untyped) uses.push('any');
      const name = printReference(reference);
      return `${listed ? name : `[${name}]`} ${uses.join(', ')}`;
    })
    .join('; ');
}

function filterOf(text: string) {
  const [stage] = parseQuery(text).pipeline;
  assert.ok(stage.type === 'spanset' && stage.expression.type === 'filter');
  return stage.expression.expression;
}

test('what filters read', () => {
  const cases: [string, string][] = [
    ['{ }', ''],
    ['{ span.a = 1 && span.a > 2 || name = "x" }', 'span.a = 1, > 2; [name] = `x`'],
    ['{ 100 < .x && 5 = .y }', '.x > 100; .y = 5'],
    ['{ .a && !(.b = 1) }', '.a any; .b = 1'],
    ['{ .a = .b && .a = 1 }', '.a = 1, any; .b any'],
    ['{ .a + 1 = 2 }', '.a any'],
    ['{ .a != nil && duration > 1s }', '.a any; [duration] > 1s'],
    ['{ .a = "1" && span.a = "1" }', '.a = `1`; span.a = `1`'],
    ['{ status = error && kind != server && trace:id = "a" }', 'status = error; kind != server; [trace:id] = `a`'],
  ];
  for (const [text, want] of cases) assert.equal(show(readsOfFilter(filterOf(text))), want, text);
});

test('what queries read', () => {
  const text = '({ .a } | avg(.b) > 1) > ({ .c =~ "x" } | by(.d + .e) | select(name, event:name))';
  assert.equal(
    show(readsOfPipeline(parseQuery(text).pipeline)),
    '.a any; .b any; .c =~ `x`; .d any; .e any; [name] any; event:name any',
  );
  const metrics = parseQuery('{ .a = 1 } | quantile_over_time(duration, .5) by(.g, .a)');
  assert.equal(show(readsOfPipeline(metrics.pipeline)), '.a = 1');
  assert.equal(show(readsOfQuery(metrics)), '.a = 1, any; [duration] any; .g any');
});

test('which filters are conjunctions', () => {
  for (const text of ['{ }', '{ .a = 1 }', '{ .a && .b != nil && 3 < .c }', '{ .a = .b && name =~ "x" }']) {
    assert.ok(isConjunction(filterOf(text)), text);
  }
  for (const text of ['{ .a || .b }', '{ .a && !.b }', '{ .a + 1 = 2 }', '{ .a && (.b = 1 || .c = 1) }']) {
    assert.ok(!isConjunction(filterOf(text)), text);
  }
});

test('names in results', () => {
  const reads = readsOfFilter(
    filterOf('{ span.http.method = "GET" && instrumentation:name = "x" && span:status = ok }'),
  );
  assert.deepEqual(
    reads.map((read) => listedName(read.reference)),
    ['http.method', 'instrumentation:name', 'status'],
  );
});
