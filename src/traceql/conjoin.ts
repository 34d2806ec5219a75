/**
 * A query that sees only spans of a filter: the filter's expression is ANDed into every spanset filter of the query, also
 * those inside parentheses and on both sides of structural operators. No stage then yields another span.
 */
import type { FieldExpr, Query, ScalarExpr, SpansetExpr, Stage } from './ast.ts';

export function conjoin(query: Query, filter: FieldExpr): Query {
  return { ...query, pipeline: conjoinStages(query.pipeline, filter) };
}

/** Both must hold. */
export function both(left: FieldExpr, right: FieldExpr): FieldExpr {
  if (left.type === 'static' && left.value.type === 'bool' && left.value.value) return right;
  return { type: 'binary', op: '&&', left, right, offset: right.offset };
}

/** A pipeline that does not begin with a spanset begins with all spans, which is the filter then. */
function conjoinStages(stages: Stage[], filter: FieldExpr): Stage[] {
  const { offset } = stages[0];
  const all: Stage = { type: 'spanset', expression: { type: 'filter', expression: filter, offset }, offset };
  const conjoined = stages.map((stage) => conjoinStage(stage, filter));
  return stages[0].type === 'spanset' ? conjoined : [all, ...conjoined];
}

function conjoinStage(stage: Stage, filter: FieldExpr): Stage {
  switch (stage.type) {
    case 'spanset':
      return { ...stage, expression: conjoinSpanset(stage.expression, filter) };
    case 'scalarFilter':
      return { ...stage, left: conjoinScalar(stage.left, filter), right: conjoinScalar(stage.right, filter) };
    case 'by':
    case 'coalesce':
    case 'select':
      return stage;
  }
}

function conjoinSpanset(expression: SpansetExpr, filter: FieldExpr): SpansetExpr {
  switch (expression.type) {
    case 'filter':
      return { ...expression, expression: both(expression.expression, filter) };
    case 'pipeline':
      return { ...expression, stages: conjoinStages(expression.stages, filter) };
    case 'spansetBinary':
      return {
        ...expression,
        left: conjoinSpanset(expression.left, filter),
        right: conjoinSpanset(expression.right, filter),
      };
  }
}

function conjoinScalar(scalar: ScalarExpr, filter: FieldExpr): ScalarExpr {
  switch (scalar.type) {
    case 'static':
    case 'aggregate':
      return scalar;
    case 'scalarBinary':
      return { ...scalar, left: conjoinScalar(scalar.left, filter), right: conjoinScalar(scalar.right, filter) };
    case 'scalarPipeline':
      return { ...scalar, stages: conjoinStages(scalar.stages, filter) };
  }
}
