/** Any valid query, for fast-check, as text: trees of the language, printed. Literals are those that spans have. */
import type {
  Aggregate,
  ArithmeticOp,
  ComparisonOp,
  FieldExpr,
  FieldOp,
  IntrinsicName,
  Metrics,
  Reference,
  Scope,
  SecondStage,
  SpansetExpr,
  SpansetFilter,
  SpansetOp,
  Stage,
  Static,
  StaticValue,
} from '../../src/traceql/ast.ts';
import { checkQuery } from '../../src/traceql/check.ts';
import { TraceQLError } from '../../src/traceql/error.ts';
import { parseQuery } from '../../src/traceql/parse.ts';
import { printQuery } from '../../src/traceql/print.ts';
import fc from '../property.ts';
import type { Form } from './forms.ts';
import { nanoAt } from './model.ts';
import { DOUBLES, EVENT_NAMES, INTS, KEYS, NAMES, SERVICES, STRINGS } from './arbitrary-spans.ts';

/** What of the language is asked. */
export interface Features {
  structural: boolean;
  /** Stages after the first, and pipelines as operands. */
  pipelines: boolean;
  /** Forms that are searched, and forms of which metrics are computed. */
  searched: readonly Form[];
  measured: readonly Form[];
}

const COMPARISONS: readonly ComparisonOp[] = ['=', '!=', '<', '<=', '>', '>='];
const ARITHMETIC: readonly ArithmeticOp[] = ['+', '-', '*', '/', '%', '^'];
const STRUCTURAL: readonly SpansetOp[] = ['', '!', '&'].flatMap((form) =>
  ['>', '>>', '<', '<<', '~'].map((relation) => `${form}${relation}` as SpansetOp),
);
const PATTERNS = ['e.*', '(?i)EU|.', '(eu|us)', '.*', '[xy]', '', '.', 'GET .*', '20.'];
const offset = 0;

// ---- field expressions ---------------------------------------------------------------------------------------------

export const attribute: fc.Arbitrary<Reference> = fc
  .tuple(
    fc.constantFrom<Scope>('none', 'none', 'span', 'span', 'span', 'resource', 'event', 'link', 'instrumentation'),
    fc.constantFrom(...KEYS, 'absent'),
  )
  .map(([scope, name]) => ({ type: 'attribute', scope, parent: false, name, offset }));

const serviceName = fc
  .constantFrom<Scope>('resource', 'resource', 'none')
  .map((scope): Reference => ({ type: 'attribute', scope, parent: false, name: 'service.name', offset }));

const intrinsic = (...names: IntrinsicName[]): fc.Arbitrary<Reference> =>
  fc.constantFrom(...names).map((name) => ({ type: 'intrinsic', name, offset }));

const literal = (value: StaticValue): Static => ({ type: 'static', value, offset });
const text = (...values: string[]): fc.Arbitrary<Static> =>
  fc.constantFrom(...values).map((value) => literal({ type: 'string', value }));
const int = fc.constantFrom(...INTS).map((value) => literal({ type: 'int', value }));
const float = fc.constantFrom(...DOUBLES).map((value) => literal({ type: 'float', value }));
const duration = fc
  .constantFrom(0n, 1n, 1_000_000n, 5_000_000n, 100_000_000n, 250_500_000n, 2_000_000_000n)
  .map((ns) => literal({ type: 'duration', ns }));
const truth = fc.boolean().map((value) => literal({ type: 'bool', value }));
const number = fc.oneof(int, float, duration);

const binary = (op: FieldOp, left: FieldExpr, right: FieldExpr): FieldExpr => ({
  type: 'binary',
  op,
  left,
  right,
  offset,
});

/** `ref op literal` and, now and then, the other way round. */
function condition(
  refs: fc.Arbitrary<Reference>,
  ops: readonly FieldOp[],
  literals: fc.Arbitrary<Static>,
): fc.Arbitrary<FieldExpr> {
  return fc
    .tuple(refs, fc.constantFrom(...ops), literals, fc.integer({ min: 0, max: 5 }))
    .map(([left, op, right, turn]) =>
      turn === 5 && !op.includes('~') ? binary(op, right, left) : binary(op, left, right),
    );
}

const regex: readonly FieldOp[] = ['=~', '!~'];
const equality: readonly FieldOp[] = ['=', '!='];
const hex = (...values: number[]): string[] =>
  values.flatMap((n) => [n.toString(16), n.toString(16).padStart(16, '0')]);

export const conditions: fc.Arbitrary<FieldExpr>[] = [
  condition(attribute, COMPARISONS, text(...STRINGS)),
  condition(attribute, regex, text(...PATTERNS)),
  condition(attribute, COMPARISONS, int),
  condition(attribute, COMPARISONS, float),
  condition(attribute, equality, truth),
  condition(serviceName, equality, text(...SERVICES, 'nobody')),
  condition(intrinsic('name', 'rootName'), COMPARISONS, text(...NAMES)),
  condition(intrinsic('name', 'statusMessage', 'rootServiceName'), regex, text(...PATTERNS)),
  condition(intrinsic('rootServiceName'), equality, text(...SERVICES)),
  condition(intrinsic('statusMessage'), equality, text('', 'x', 'timeout')),
  condition(intrinsic('duration', 'traceDuration', 'event:timeSinceStart'), COMPARISONS, number),
  condition(
    intrinsic('status'),
    equality,
    fc.constantFrom('error', 'ok', 'unset').map((value) => literal({ type: 'status', value } as StaticValue)),
  ),
  condition(
    intrinsic('kind'),
    equality,
    fc
      .constantFrom('unspecified', 'internal', 'server', 'client', 'producer', 'consumer')
      .map((value) => literal({ type: 'kind', value } as StaticValue)),
  ),
  condition(intrinsic('span:childCount'), COMPARISONS, int),
  condition(intrinsic('event:name'), COMPARISONS, text(...EVENT_NAMES)),
  condition(intrinsic('instrumentation:name', 'instrumentation:version'), COMPARISONS, text('lib', '1.0', '')),
  condition(intrinsic('span:id', 'span:parentID', 'link:spanID'), ['='], text(...hex(1, 0xa0, 0xa1, 0xabc_def0_0000))),
  condition(intrinsic('trace:id', 'link:traceID'), ['='], text(...hex(7, 0xabc), 'abc'.padStart(32, '0'))),
  // The numbers of the tree are nobody's business, but for these.
  fc
    .constantFrom<[IntrinsicName, FieldOp]>(
      ['nestedSetParent', '<'],
      ['nestedSetParent', '='],
      ['nestedSetLeft', '>'],
      ['nestedSetRight', '='],
    )
    .map(([name, op]) => binary(op, { type: 'intrinsic', name, offset }, literal({ type: 'int', value: 0n }))),
];

const numeric = fc.oneof(
  fc
    .constantFrom('a', 'b', 'http.status_code')
    .map((name): Reference => ({ type: 'attribute', scope: 'span', parent: false, name, offset })),
  intrinsic('duration'),
);

const calculation: fc.Arbitrary<FieldExpr> = fc
  .tuple(fc.oneof(numeric, attribute), fc.constantFrom(...ARITHMETIC), fc.oneof(int, float, numeric))
  .map(([left, op, right]) => binary(op, left, right));

const otherLeaves: fc.Arbitrary<FieldExpr>[] = [
  fc
    .tuple(calculation, fc.constantFrom(...COMPARISONS), fc.oneof(number, numeric))
    .map(([l, op, r]) => binary(op, l, r)),
  fc
    .tuple(
      attribute,
      fc.constantFrom(...COMPARISONS),
      fc.oneof(attribute, intrinsic('name', 'duration', 'kind'), serviceName),
    )
    .map(([l, op, r]) => binary(op, l, r)),
  fc
    .tuple(fc.oneof(attribute, intrinsic('event:name', 'link:traceID', 'name')), fc.boolean())
    .map(([operand, negated]) => ({
      type: 'exists',
      negated: negated && operand.type === 'attribute',
      operand,
      offset,
    })),
  fc
    .constantFrom<Scope>('none', 'span')
    .map((scope) => ({ type: 'attribute', scope, parent: false, name: 'flag', offset })),
  truth,
];

const leaf = fc.oneof(
  ...conditions.map((arbitrary) => ({ weight: 3, arbitrary })),
  ...otherLeaves.map((arbitrary) => ({ weight: 4, arbitrary })),
);

const field: fc.Arbitrary<FieldExpr> = fc.letrec<{ field: FieldExpr }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 3, arbitrary: leaf },
    {
      weight: 2,
      arbitrary: fc
        .tuple(tie('field'), fc.constantFrom<FieldOp>('&&', '||'), tie('field'))
        .map(([left, op, right]) => binary(op, left, right)),
    },
    { weight: 1, arbitrary: tie('field').map((operand): FieldExpr => ({ type: 'unary', op: '!', operand, offset })) },
  ),
})).field;

// ---- spansets and pipelines ----------------------------------------------------------------------------------------

const filter: fc.Arbitrary<SpansetExpr> = fc
  .oneof(
    { weight: 2, arbitrary: fc.constant<FieldExpr>(literal({ type: 'bool', value: true })) },
    { weight: 6, arbitrary: field },
  )
  .map((expression) => ({ type: 'filter', expression, offset }));

const spansetBinary = (op: SpansetOp, left: SpansetExpr, right: SpansetExpr): SpansetExpr => ({
  type: 'spansetBinary',
  op,
  left,
  right,
  offset,
});

const aggregate: fc.Arbitrary<Aggregate> = fc.oneof(
  fc.constant<Aggregate>({ type: 'aggregate', name: 'count', offset }),
  fc
    .tuple(
      fc.constantFrom<'min' | 'max' | 'avg' | 'sum'>('min', 'max', 'avg', 'sum'),
      fc.oneof<fc.Arbitrary<FieldExpr>[]>(numeric, numeric, intrinsic('traceDuration', 'span:childCount'), calculation),
    )
    .map(([name, argument]): Aggregate => ({ type: 'aggregate', name, argument, offset })),
);

const scalarFilter: fc.Arbitrary<Stage> = fc
  .tuple(aggregate, fc.constantFrom(...COMPARISONS), number)
  .map(([left, op, right]) => ({ type: 'scalarFilter', op, left, right, offset }));

const by: fc.Arbitrary<Stage> = fc
  .oneof<fc.Arbitrary<FieldExpr>[]>(
    attribute,
    serviceName,
    intrinsic(
      'name',
      'kind',
      'status',
      'duration',
      'rootName',
      'event:name',
      'span:childCount',
      'instrumentation:name',
    ),
    leaf,
  )
  .map((expression) => ({ type: 'by', expression, offset }));

const select: fc.Arbitrary<Stage> = fc
  .array(fc.oneof(attribute, intrinsic('kind', 'duration', 'name')), { minLength: 1, maxLength: 2 })
  .map((attributes) => ({ type: 'select', attributes, offset }));

const coalesce: fc.Arbitrary<Stage> = fc.constant({ type: 'coalesce', offset });

function spanset(ops: readonly SpansetOp[], operand: fc.Arbitrary<SpansetExpr>): fc.Arbitrary<SpansetExpr> {
  return fc.letrec<{ spanset: SpansetExpr }>((tie) => ({
    spanset: fc.oneof(
      { maxDepth: 2, withCrossShrink: true },
      { weight: 3, arbitrary: operand },
      {
        weight: 2,
        arbitrary: fc
          .tuple(tie('spanset'), fc.constantFrom(...ops), tie('spanset'))
          .map(([left, op, right]) => spansetBinary(op, left, right)),
      },
    ),
  })).spanset;
}

/** Texts of searches that `features` allow. */
export function queryText(features: Features): fc.Arbitrary<string> {
  return stages(features)
    .map((pipeline) => printQuery({ pipeline, secondStages: [], hints: [] }))
    .filter(isValid);
}

/** Texts of metrics queries over what `features` allow. */
export function metricsText(features: Features): fc.Arbitrary<string> {
  return fc
    .tuple(stages(features), metrics, fc.array(secondStage, { maxLength: 2, size: 'xsmall' }))
    .map(([pipeline, metrics, secondStages]) => printQuery({ pipeline, metrics, secondStages, hints: [] }))
    .filter(isValid);
}

function stages({ structural, pipelines }: Features): fc.Arbitrary<Stage[]> {
  const ops: SpansetOp[] = ['&&', '||', '&&', '||', ...(structural ? STRUCTURAL : [])];
  const plain = spanset(ops, filter).map((expression): Stage => ({ type: 'spanset', expression, offset }));
  const stage = fc.oneof({ weight: 2, arbitrary: plain }, scalarFilter, scalarFilter, by, coalesce, select);
  const operand: fc.Arbitrary<SpansetExpr> = fc
    .tuple(plain, fc.array(stage, { maxLength: 2 }))
    .map(([first, more]) => ({ type: 'pipeline', stages: [first, ...more], offset }));
  const nested = fc
    .tuple(operand, fc.constantFrom(...ops), operand)
    .map(([left, op, right]): Stage[] => [{ type: 'spanset', expression: spansetBinary(op, left, right), offset }]);
  const chain = fc
    .tuple(
      fc.oneof({ weight: 8, arbitrary: plain }, { weight: 1, arbitrary: fc.oneof(scalarFilter, by, select) }),
      fc.array(stage, { maxLength: 3 }),
    )
    .map(([first, more]) => [first, ...more]);
  const searched = fc.tuple(plain, fc.array(select, { maxLength: 1 })).map(([first, more]) => [first, ...more]);
  return pipelines ? fc.oneof({ weight: 6, arbitrary: chain }, { weight: 1, arbitrary: nested }) : searched;
}

const label = fc.oneof(
  attribute,
  serviceName,
  intrinsic('name', 'kind', 'status', 'rootName', 'event:name', 'duration', 'instrumentation:name'),
);
const labels = fc.array(label, { maxLength: 3, size: 'xsmall' });
const measured = fc.oneof({ weight: 3, arbitrary: numeric }, { weight: 1, arbitrary: attribute });

const metrics: fc.Arbitrary<Metrics> = fc.oneof(
  fc
    .tuple(fc.constantFrom<'rate' | 'count_over_time'>('rate', 'count_over_time'), labels)
    .map(([name, by]): Metrics => ({ type: 'metrics', name, by, offset })),
  fc
    .tuple(
      fc.constantFrom<'min_over_time' | 'max_over_time' | 'avg_over_time' | 'sum_over_time' | 'histogram_over_time'>(
        'min_over_time',
        'max_over_time',
        'avg_over_time',
        'sum_over_time',
        'histogram_over_time',
      ),
      measured,
      labels,
    )
    .map(([name, attribute, by]): Metrics => ({ type: 'metrics', name, attribute, by, offset })),
  fc.tuple(measured, fc.uniqueArray(fc.constantFrom(0, 0.5, 0.9, 1), { minLength: 1, maxLength: 2 }), labels).map(
    ([attribute, quantiles, by]): Metrics => ({
      type: 'metrics',
      name: 'quantile_over_time',
      attribute,
      quantiles,
      by,
      offset,
    }),
  ),
  fc
    .tuple(
      filter,
      fc.constantFrom(1, 3, 50, 50, 50),
      fc.option(fc.constantFrom<[number, number]>([0, 60_000], [5, 90_000])),
    )
    .map(
      ([inner, topN, window]): Metrics => ({
        type: 'metrics',
        name: 'compare',
        filter: inner as SpansetFilter,
        topN,
        ...(window !== null && { startNs: nanoAt(window[0]), endNs: nanoAt(window[1]) }),
        offset,
      }),
    ),
);

const secondStage: fc.Arbitrary<SecondStage> = fc.oneof(
  fc
    .tuple(fc.constantFrom<'topk' | 'bottomk'>('topk', 'bottomk'), fc.integer({ min: 1, max: 3 }))
    .map(([type, limit]): SecondStage => ({ type, limit, offset })),
  fc
    .tuple(fc.constantFrom(...COMPARISONS), fc.oneof(int, float, duration))
    .map(([op, value]): SecondStage => ({ type: 'seriesFilter', op, value, offset })),
);

function isValid(text: string): boolean {
  try {
    checkQuery(parseQuery(text), text);
    return true;
  } catch (error) {
    if (error instanceof TraceQLError) return false;
    throw error;
  }
}
