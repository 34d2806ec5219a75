/**
 * What parses and still makes no sense, or is not supported: types that do not go together, filters that are no
 * condition, patterns that are none. Types of attributes are known only at run time and go with everything.
 * Texts are those of Tempo 3.0; the endpoint puts its own words before them.
 */

import type {
  Aggregate,
  Binary,
  Exists,
  FieldExpr,
  IntrinsicName,
  Metrics,
  Query,
  Reference,
  ScalarExpr,
  SpansetExpr,
  SpansetFilter,
  Stage,
  Unary,
} from './ast.ts';
import { meaningError } from './error.ts';
import { printField, printScalar, printSpanset, printStage, printStatic } from './print.ts';
import { compileRegex } from './regex.ts';
import { areCompatible, isArithmetic, isDefined, isNumeric, type ValueType } from './values.ts';

/** Each goes over all series of an answer, when nothing interrupts a query any more. */
const secondStagesMax = 32;

/**
 * Throws the first `TraceQLError` of kind `meaning`, or returns. `text` is what the query was parsed from, for line
 * and column. After it: filters are conditions, scalar filters are `aggregate op static`, patterns are literals that
 * compile, no field expression reads a parent.
 */
export function checkQuery(query: Query, text = ''): void {
  const fail: Fail = (offset, message) => {
    throw meaningError(text, offset, message);
  };
  checkStages(query.pipeline, fail);
  if (query.metrics) checkMetrics(query.metrics, fail);
  if (query.secondStages.length > secondStagesMax)
    fail(query.secondStages[secondStagesMax].offset, `more than ${secondStagesMax} second stage functions`);
  for (const stage of query.secondStages) {
    if (query.metrics?.name === 'compare') {
      fail(stage.offset, '`compare()` cannot be used with second stage functions');
    }
    if (stage.type !== 'seriesFilter' && stage.limit <= 0) fail(stage.offset, 'limit must be greater than 0');
  }
}

/** The static type of an intrinsic. Those of instrumentation are read like attributes. */
export function typeOfIntrinsic(name: IntrinsicName): ValueType {
  switch (name) {
    case 'duration':
    case 'traceDuration':
    case 'event:timeSinceStart':
      return 'duration';
    case 'status':
      return 'status';
    case 'kind':
      return 'kind';
    case 'span:childCount':
    case 'nestedSetLeft':
    case 'nestedSetRight':
    case 'nestedSetParent':
      return 'int';
    case 'instrumentation:name':
    case 'instrumentation:version':
      return 'attribute';
    case 'parent':
      return 'nil';
    default:
      return 'string';
  }
}

type Fail = (offset: number, message: string) => never;

// ---- pipeline ------------------------------------------------------------------------------------------------------

function checkStages(stages: Stage[], fail: Fail): void {
  for (const stage of stages) checkStage(stage, fail);
}

function checkStage(stage: Stage, fail: Fail): void {
  switch (stage.type) {
    case 'spanset':
      checkSpanset(stage.expression, fail);
      return;
    case 'scalarFilter':
      checkScalar(stage.left, fail);
      checkScalar(stage.right, fail);
      if (stage.left.type !== 'aggregate') fail(stage.offset, 'scalar filter lhs of type (%v) not yet supported');
      if (stage.right.type !== 'static') fail(stage.offset, 'scalar filter rhs of type (%v) not yet supported');
      return;
    case 'by':
      checkField(stage.expression, fail);
      if (!readsSpan(stage.expression)) {
        fail(stage.offset, `grouping field expressions must reference the span: ${printStage(stage)}`);
      }
      return;
    case 'select':
      for (const attribute of stage.attributes) checkReference(attribute, fail);
  }
}

function checkSpanset(expression: SpansetExpr, fail: Fail): void {
  const todo = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (next.type === 'spansetBinary') todo.push(next.right, next.left);
    else if (next.type === 'pipeline') checkStages(next.stages, fail);
    else checkFilter(next, fail);
  }
}

function checkFilter(filter: SpansetFilter, fail: Fail): void {
  const type = checkField(filter.expression, fail);
  if (type !== 'bool' && type !== 'attribute') {
    fail(filter.offset, `span filter field expressions must resolve to a boolean: ${printSpanset(filter)}`);
  }
}

function checkScalar(expression: ScalarExpr, fail: Fail): void {
  const todo = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (next.type === 'scalarBinary') todo.push(next.right, next.left);
    else if (next.type === 'aggregate') checkAggregate(next, fail);
    else if (next.type === 'scalarPipeline') {
      checkStages(next.stages, fail);
      checkAggregate(next.aggregate, fail);
    }
  }
}

function checkAggregate(aggregate: Aggregate, fail: Fail): void {
  if (!aggregate.argument) return;
  const type = checkField(aggregate.argument, fail);
  if (!isNumeric(type) && type !== 'attribute') {
    fail(aggregate.offset, `aggregate field expressions must resolve to a number type: ${printScalar(aggregate)}`);
  }
  if (!readsSpan(aggregate.argument)) {
    fail(aggregate.offset, `aggregate field expressions must reference the span: ${printScalar(aggregate)}`);
  }
}

// ---- field expressions ---------------------------------------------------------------------------------------------

/** Answers the static type of the value. */
function checkField(expression: FieldExpr, fail: Fail): ValueType {
  const chain: Binary[] = [];
  let leftmost = expression;
  for (; leftmost.type === 'binary'; leftmost = leftmost.left) chain.push(leftmost);
  let type = checkOperand(leftmost, fail);
  for (const operation of chain.toReversed()) {
    type = checkBinary(operation, type, checkField(operation.right, fail), fail);
  }
  return type;
}

function checkOperand(operand: Exclude<FieldExpr, Binary>, fail: Fail): ValueType {
  switch (operand.type) {
    case 'static':
      return operand.value.type;
    case 'attribute':
    case 'intrinsic':
      return checkReference(operand, fail);
    case 'unary':
      return checkUnary(operand, fail);
    case 'exists':
      return checkExists(operand, fail);
  }
}

function checkReference(reference: Reference, fail: Fail): ValueType {
  if (reference.type === 'attribute') {
    if (reference.parent) fail(reference.offset, 'parent not yet supported');
    return 'attribute';
  }
  if (reference.name === 'parent') fail(reference.offset, 'intrinsic (parent) not yet supported');
  return typeOfIntrinsic(reference.name);
}

function checkUnary(unary: Unary, fail: Fail): ValueType {
  const type = checkField(unary.operand, fail);
  const isAllowed = type === 'attribute' || (unary.op === '!' ? type === 'bool' : isNumeric(type));
  if (!isAllowed) fail(unary.offset, `illegal operation for the given type: ${printField(unary)}`);
  return type;
}

function checkExists(exists: Exists, fail: Fail): ValueType {
  const { operand } = exists;
  checkField(operand, fail);
  if (exists.negated && isNeverNil(operand)) {
    const name = printField(operand);
    const reason = operand.type === 'intrinsic' ? 'intrinsics' : name;
    fail(exists.offset, `${name}=nil is not valid because ${reason} cannot be nil`);
  }
  return 'bool';
}

function isNeverNil(operand: FieldExpr): boolean {
  if (operand.type === 'attribute') return operand.scope === 'resource' && operand.name === 'service.name';
  return operand.type === 'intrinsic';
}

function checkBinary(operation: Binary, left: ValueType, right: ValueType, fail: Fail): ValueType {
  const { op, offset } = operation;
  if (!areCompatible(left, right)) {
    fail(offset, `binary operations must operate on the same type: ${printField(operation)}`);
  }
  if (!isDefined(op, left) || !isDefined(op, right)) {
    fail(offset, `illegal operation for the given types: ${printField(operation)}`);
  }
  if (op === '=~' || op === '!~') {
    const pattern = operation.right;
    if (pattern.type !== 'static' || pattern.value.type !== 'string') {
      return fail(offset, `invalid type for =~ or !~: ${printField(pattern)}`);
    }
    if (!compileRegex(pattern.value.value)) fail(offset, `invalid regex: ${printStatic(pattern.value)}`);
  }
  if (!isArithmetic(op)) return 'bool';
  return left === 'attribute' ? right : left;
}

/** Whether any attribute or intrinsic occurs. */
function readsSpan(expression: FieldExpr): boolean {
  const todo = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (next.type === 'attribute' || next.type === 'intrinsic') return true;
    if (next.type === 'binary') todo.push(next.left, next.right);
    else if (next.type !== 'static') todo.push(next.operand);
  }
  return false;
}

// ---- metrics -------------------------------------------------------------------------------------------------------

const labelsMax = 5;
/** Functions that need a label of their own leave one less to the query. */
const labelsMaxWithOwn = 4;
const withOwnLabel: ReadonlySet<string> = new Set<Metrics['name']>([
  'avg_over_time',
  'quantile_over_time',
  'histogram_over_time',
]);

/** Attributes of metrics are not checked: `by(parent.x)` reads nil. */
function checkMetrics(metrics: Metrics, fail: Fail): void {
  const { offset } = metrics;
  if (metrics.name === 'compare') {
    checkFilter(metrics.filter, fail);
    if (metrics.topN <= 0) fail(offset, 'compare() top number of values must be integer greater than 0');
    const { startNs = 0n, endNs = 0n } = metrics;
    if ((startNs !== 0n || endNs !== 0n) && endNs <= startNs) {
      fail(offset, 'compare() end timestamp must be greater than start timestamp');
    }
    return;
  }
  if (metrics.by.length > (withOwnLabel.has(metrics.name) ? labelsMaxWithOwn : labelsMax)) {
    fail(metrics.by[0].offset, `metrics group by ${metrics.by.length} values not yet supported`);
  }
  if (metrics.name !== 'quantile_over_time') return;
  for (const quantile of metrics.quantiles) {
    if (quantile < 0 || quantile > 1) fail(offset, `quantile must be between 0 and 1: ${quantile}`);
  }
}
