import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import type { FieldExpr, FieldOp, Query, Reference, ScalarExpr, SpansetExpr, Stage, StaticValue } from './ast.ts';
import { checkQuery } from './check.ts';
import { readsOfQuery } from './conditions.ts';
import { nestingMax } from './cursor.ts';
import { TraceQLError } from './error.ts';
import { foldBinary, foldExists, foldUnary } from './fold.ts';
import { fieldLevels, spansetLevels } from './levels.ts';
import { parseQuery } from './parse.ts';
import { printQuery } from './print.ts';

const offset = 0;

test('nodes say where they stand', () => {
  const query = parseQuery('{ .a = 1 }\n  > { .b }');
  const [stage] = query.pipeline;
  assert.ok(stage.type === 'spanset' && stage.expression.type === 'spansetBinary');
  assert.equal(stage.expression.offset, 13);
  assert.equal(stage.expression.right.offset, 15);
});

test('an error has line and column in characters', () => {
  const error = failure('{ .a = "😀" &&\n"😀" foo }');
  assert.equal(error.kind, 'syntax');
  assert.deepEqual([error.line, error.column, error.offset], [2, 5, 20]);
});

test('a check knows the place as well', () => {
  const text = '{ .a }\n| by(1)';
  const query = parseQuery(text);
  assert.throws(
    () => checkQuery(query, text),
    (error) => error instanceof TraceQLError && error.kind === 'meaning' && error.line === 2 && error.column === 3,
  );
});

test('whatever is printed parses back to the same tree', () => {
  fc.assert(
    fc.property(queries, (query) => {
      const text = printQuery(query);
      const parsed = parseQuery(text);
      assert.deepEqual(withoutOffsets(parsed), withoutOffsets(query), text);
      assert.equal(printQuery(parsed), text);
    }),
    { numRuns: 2000 },
  );
});

test('no text makes anything but a tree or a TraceQLError', () => {
  const words = `{ } ( ) | , = != =~ !~ < > >> << ~ !> &> && || + - * / % ^ ! . span. parent.resource. .a span."b c"
    duration status span:id trace: event:x 1 1.5 .5 1h 1d6h " "x" \` 'y' // /* */ true nil error server minInt foo
    count() max( avg(.a) by( by(name) select( coalesce() rate() compare( topk(1) quantile_over_time( with(`.split(
    /\s+/,
  );
  const soup = fc.array(fc.constantFrom(...words), { maxLength: 25 });
  fc.assert(
    fc.property(soup, fc.constantFrom('', ' '), (tokens, blank) => {
      onlyTraceQLErrors(tokens.join(blank));
      onlyTraceQLErrors(`{ ${tokens.join(blank)} }`);
      onlyTraceQLErrors(`{ } | ${tokens.join(blank)}`);
    }),
    { numRuns: 5000 },
  );
});

test('a chain of 100,000 operands is walked without recursion', () => {
  for (const [before, operand, op, after] of [
    ['{ ', '.a = 1', ' || ', ' }'],
    ['{ .x = ', '.a', ' + ', ' }'],
    ['', '{ .a }', ' && ', ''],
    ['', '{ .a }', ' > ', ''],
    ['', 'count()', ' + ', ' > 1'],
    ['', '({ .a } | coalesce())', ' || ', ''],
  ]) {
    const text = before + Array(100_000).fill(operand).join(op) + after;
    const query = parseQuery(text);
    if (operand === 'count()') assert.throws(() => checkQuery(query), TraceQLError);
    else checkQuery(query);
    assert.ok(readsOfQuery(query).length <= 2);
    const printed = printQuery(query);
    assert.equal(printQuery(parseQuery(printed)), printed);
  }
});

test('a long chain of changing operators prints to what parses', () => {
  const operands = Array.from({ length: 5000 }, (_, i) => `.a = ${i} ${i % 2 ? '&&' : '||'} `);
  const query = parseQuery(`{ ${operands.join('')} .b + 1 - 2 }`);
  const again = parseQuery(printQuery(query));
  assert.equal(printQuery(again), printQuery(query));
});

test('nesting is bounded', () => {
  const deep = (open: string, inner: string, close: string, times: number) =>
    open.repeat(times) + inner + close.repeat(times);
  for (const times of [nestingMax + 1, 40_000]) {
    for (const text of [
      `{ ${deep('(', '.a', ')', times)} }`,
      `{ ${deep('-', '.a', '', times)} }`,
      `{ ${deep('!', '.a', '', times)} }`,
      `{ ${deep('.a ^ ', '.a', '', times)} }`,
      `{ ${deep('.a = (', '.a', ')', times)} }`,
      deep('(', '{ .a }', ')', times),
      deep('{ .a } > (', '{ .a }', ')', times),
      `${deep('(', 'count()', ')', times)} > 1`,
      `${deep('count() ^ ', '1', '', times)} > 1`,
    ]) {
      assert.match(failure(text).message, /nested more than 512 levels deep/);
    }
  }
  parseQuery(`{ ${deep('(', '.a', ')', nestingMax)} }`);
});

test('no text of the usual size takes more than linear time', { timeout: 60_000 }, () => {
  const bytesMax = 131_072;
  for (const part of [
    '1.1',
    '1a',
    '.1',
    'span:',
    'a',
    '"',
    "'",
    '`',
    '/*',
    '//\n',
    '1h',
    '{',
    '}',
    '&',
    '.a"b"',
    '"\\x41"',
    '\n',
  ]) {
    const text = part.repeat(bytesMax / part.length);
    onlyTraceQLErrors(text);
    onlyTraceQLErrors(`{ ${text} }`);
  }
});

function failure(text: string): TraceQLError {
  try {
    parseQuery(text);
  } catch (error) {
    if (error instanceof TraceQLError) return error;
    throw error;
  }
  return assert.fail(`parses: ${text}`);
}

function onlyTraceQLErrors(text: string): void {
  let query: Query;
  try {
    query = parseQuery(text);
  } catch (error) {
    if (error instanceof TraceQLError) return;
    throw error;
  }
  const printed = printQuery(query);
  assert.deepEqual(withoutOffsets(parseQuery(printed)), withoutOffsets(query), text);
  try {
    checkQuery(query, text);
  } catch (error) {
    if (!(error instanceof TraceQLError)) throw error;
  }
}

function withoutOffsets(tree: unknown): unknown {
  if (Array.isArray(tree)) return tree.map(withoutOffsets);
  if (typeof tree !== 'object' || tree === null) return tree;
  const entries = Object.entries(tree).filter(([key]) => key !== 'offset');
  return Object.fromEntries(entries.map(([key, value]) => [key, withoutOffsets(value)]));
}

// ---- trees ---------------------------------------------------------------------------------------------------------

const names = fc.oneof(
  fc.constantFrom('a', 'http.status_code', '1st', 'span.x', 'resource.y', '', 'two words', 'a"b\\c', 'ключ', '{}'),
  fc.string({ unit: 'binary' }),
);

const references: fc.Arbitrary<Reference> = fc.oneof(
  fc.record({
    type: fc.constant('attribute' as const),
    scope: fc.constantFrom('none', 'span', 'resource', 'event', 'link', 'instrumentation'),
    parent: fc.constant(false),
    name: names,
    offset: fc.constant(offset),
  }),
  fc.record({
    type: fc.constant('attribute' as const),
    scope: fc.constantFrom('none', 'span', 'resource'),
    parent: fc.constant(true),
    name: names,
    offset: fc.constant(offset),
  }),
  fc
    .constantFrom('duration', 'name', 'rootServiceName', 'span:id', 'trace:id', 'event:timeSinceStart', 'parent')
    .map((name) => ({ type: 'intrinsic', name, offset }) as Reference),
);

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const positive = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });

/** What can be written as one literal, outside field expressions too. */
const literals: fc.Arbitrary<StaticValue> = fc.oneof(
  positive.map((value) => ({ type: 'int', value }) as const),
  positive.map((ns) => ({ type: 'duration', ns }) as const),
  fc
    .double({ min: 0, noNaN: true, noDefaultInfinity: true })
    .map((value) => ({ type: 'float', value: value + 0 }) as const),
);

const statics: fc.Arbitrary<StaticValue> = fc.oneof(
  literals,
  int64.map((value) => ({ type: 'int', value }) as const),
  fc.bigInt({ min: -(2n ** 63n) + 1n, max: 0n }).map((ns) => ({ type: 'duration', ns }) as const),
  fc.double().map((value) => ({ type: 'float', value }) as const),
  fc.string({ unit: 'binary' }).map((value) => ({ type: 'string', value }) as const),
  fc.boolean().map((value) => ({ type: 'bool', value }) as const),
  fc.constantFrom('error', 'ok', 'unset').map((value) => ({ type: 'status', value }) as StaticValue),
  fc.constantFrom('server', 'unspecified').map((value) => ({ type: 'kind', value }) as StaticValue),
);

const fieldOps = [...fieldLevels.keys()] as FieldOp[];

const { field: fields } = fc.letrec<{ field: FieldExpr }>((tie) => ({
  field: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    references,
    statics.map((value): FieldExpr => ({ type: 'static', value, offset })),
    fc
      .tuple(fc.constantFrom(...fieldOps), tie('field'), tie('field'))
      .map(([op, left, right]) => foldBinary(op, left, right, offset)),
    fc.tuple(fc.constantFrom('-' as const, '!' as const), tie('field')).map(([op, of]) => foldUnary(op, of, offset)),
    fc.tuple(fc.boolean(), tie('field')).map(([negated, of]) => foldExists(negated, of, offset)),
  ),
}));

const scalarStatics = fc.tuple(literals, fc.boolean()).map(([value, isNegative]): ScalarExpr => {
  const folded = isNegative ? foldUnary('-', { type: 'static', value, offset }, offset) : undefined;
  return folded?.type === 'static' ? folded : { type: 'static', value, offset };
});

const { scalar: scalars } = fc.letrec<{ scalar: ScalarExpr }>((tie) => ({
  scalar: fc.oneof(
    { depthSize: 'small' },
    fc.constant<ScalarExpr>({ type: 'aggregate', name: 'count', offset }),
    fc
      .tuple(fc.constantFrom('min', 'max', 'avg', 'sum'), fields)
      .map(([name, argument]) => ({ type: 'aggregate', name, argument, offset }) as ScalarExpr),
    scalarStatics,
    fc
      .tuple(fc.constantFrom('+', '-', '*', '/', '%', '^'), tie('scalar'), tie('scalar'))
      .map(([op, left, right]) => ({ type: 'scalarBinary', op, left, right, offset }) as ScalarExpr),
  ),
}));

const scalarFilters = fc
  .tuple(fc.constantFrom('=', '!=', '<', '<=', '>', '>='), scalars, scalars)
  .map(([op, left, right]) => ({ type: 'scalarFilter', op, left, right, offset }) as Stage);

const groupings: fc.Arbitrary<Stage> = fc.oneof(
  fields.map((expression): Stage => ({ type: 'by', expression, offset })),
  fc
    .array(references, { minLength: 1, maxLength: 3 })
    .map((attributes): Stage => ({ type: 'select', attributes, offset })),
);

const filters = fields.map((expression) => ({ type: 'filter' as const, expression, offset }));

function spansetsOver(leaf: fc.Arbitrary<SpansetExpr>): fc.Arbitrary<SpansetExpr> {
  return fc.letrec<{ set: SpansetExpr }>((tie) => ({
    set: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc
        .tuple(fc.constantFrom(...spansetLevels.keys()), tie('set'), tie('set'))
        .map(([op, left, right]) => ({ type: 'spansetBinary', op, left, right, offset }) as SpansetExpr),
    ),
  })).set;
}

function asStage(expression: SpansetExpr): Stage {
  return { type: 'spanset', expression, offset };
}

const firstStages = fc.oneof(spansetsOver(filters).map(asStage), scalarFilters, groupings);
const laterStages = fc.oneof(firstStages, fc.constant<Stage>({ type: 'coalesce', offset }));
const pipelines = fc
  .tuple(firstStages, fc.array(laterStages, { maxLength: 3 }))
  .map(([first, others]) => [first, ...others]);

/** A pipeline in parentheses: more than a spanset expression, which would just be one. */
const pipelineOperands = pipelines
  .filter((stages) => stages.length > 1 || stages[0].type !== 'spanset')
  .map((stages): SpansetExpr => ({ type: 'pipeline', stages, offset }));
const pipelineExpressions = fc
  .tuple(fc.constantFrom(...spansetLevels.keys()), pipelineOperands, spansetsOver(fc.oneof(filters, pipelineOperands)))
  .map(([op, left, right]) => [asStage({ type: 'spansetBinary', op, left, right, offset } as SpansetExpr)]);

const by = fc.array(references, { maxLength: 2 });
const metrics = fc.oneof(
  fc.record({ name: fc.constantFrom('rate', 'count_over_time'), by }),
  fc.record({ name: fc.constantFrom('max_over_time', 'histogram_over_time'), attribute: references, by }),
  fc.record({
    name: fc.constant('quantile_over_time'),
    attribute: references,
    quantiles: fc.array(
      fc.double({ min: 0, max: 1, noNaN: true }).map((q) => q + 0),
      { minLength: 1, maxLength: 3 },
    ),
    by,
  }),
  fc.record({ name: fc.constant('compare'), filter: filters, topN: fc.nat() }),
  fc.record({ name: fc.constant('compare'), filter: filters, topN: fc.nat(), startNs: positive, endNs: positive }),
);
const secondStages = fc.array(
  fc.oneof(
    fc.record({ type: fc.constantFrom('topk', 'bottomk'), limit: fc.nat() }),
    fc.record({ type: fc.constant('seriesFilter'), op: fc.constantFrom('<', '=', '>='), value: scalarStatics }),
  ),
  { maxLength: 3 },
);
const hints = fc.array(fc.record({ name: fc.constantFrom('most_recent', 'x1'), value: literals }), { maxLength: 2 });

const queries: fc.Arbitrary<Query> = fc.oneof(
  fc.record({ pipeline: fc.oneof(pipelines, pipelineExpressions), secondStages: fc.constant([]), hints }),
  fc
    .record({ pipeline: pipelines, metrics, secondStages, hints })
    .map((query) => ({ ...query, metrics: { type: 'metrics', ...query.metrics } })),
) as unknown as fc.Arbitrary<Query>;
