/**
 * What a query reads from spans, for whoever fetches columns before evaluating. A leaf `reference op literal` is a
 * condition: a column can be searched for it. Everything else (a bare attribute, arithmetic, `nil`, one attribute
 * against another, `by`, `select`, aggregates) is an untyped read: the value is needed whatever it is.
 */

import type {
  ComparisonOp,
  FieldExpr,
  IntrinsicName,
  Metrics,
  Query,
  Reference,
  RegexOp,
  ScalarExpr,
  SpansetExpr,
  Stage,
  StaticValue,
} from './ast.ts';
import { printReference } from './print.ts';
import { isComparison, mirrored } from './values.ts';

/** `op` is turned round where the literal stood on the left: `100 < .x` is `{op: '>', value: 100}`. */
export type Condition = { op: ComparisonOp | RegexOp; value: StaticValue };

/**
 * One attribute or intrinsic, once however often the query names it. A span's value is listed in the results when
 * `listed` is set and the value is present and, unless `untyped`, satisfies at least one of the conditions.
 */
export type Read = {
  reference: Reference;
  conditions: Condition[];
  /** Also read in a way that is no condition, so every value counts. */
  untyped: boolean;
  /** Whether search results show it among a span's attributes (`listedName` says under which key). */
  listed: boolean;
};

/** What a filter reads, in the order of first mention. */
export function readsOfFilter(expression: FieldExpr): Read[] {
  const reads: Reads = new Map();
  addField(expression, reads);
  return [...reads.values()];
}

/** What the pipeline of a query reads: that of a search, metrics left out. */
export function readsOfPipeline(stages: Stage[]): Read[] {
  const reads: Reads = new Map();
  addStages(stages, reads);
  return [...reads.values()];
}

/** What a whole query reads. `compare()` reads everything; here only its filter counts. */
export function readsOfQuery(query: Query): Read[] {
  const reads: Reads = new Map();
  addStages(query.pipeline, reads);
  if (query.metrics) addMetrics(query.metrics, reads);
  return [...reads.values()];
}

/** Whether all conditions are joined by `&&` alone, so that a span must satisfy every one of them. */
export function isConjunction(expression: FieldExpr): boolean {
  const todo = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (next.type === 'binary' && next.op === '&&') todo.push(next.left, next.right);
    else if (next.type === 'unary' || (next.type === 'binary' && !asCondition(next) && !isNameTest(next))) return false;
  }
  return true;
}

/** The leaf `reference op literal`, whichever side the literal is on; undefined for any other expression. */
export function asCondition(expression: FieldExpr): (Condition & { reference: Reference }) | undefined {
  if (expression.type !== 'binary') return undefined;
  const { op, left, right } = expression;
  if (!isComparison(op) && op !== '=~' && op !== '!~') return undefined;
  const conditionOp = op as Condition['op'];
  if (isReference(left) && right.type === 'static') return { reference: left, op: conditionOp, value: right.value };
  if (isReference(right) && left.type === 'static') {
    return { reference: right, op: mirrored(conditionOp), value: left.value };
  }
  return undefined;
}

/** The key under which search results list a value: an attribute's name without scope, an intrinsic's print form. */
export function listedName(reference: Reference): string {
  return reference.name;
}

/** Intrinsics that have fields of their own in a result, or none. */
const neverListed: ReadonlySet<IntrinsicName> = new Set<IntrinsicName>([
  'name',
  'duration',
  'traceDuration',
  'rootName',
  'rootServiceName',
  'trace:id',
  'span:id',
]);

type Reads = Map<string, Read>;

function isReference(expression: FieldExpr): expression is Reference {
  return expression.type === 'attribute' || expression.type === 'intrinsic';
}

/** `.a = .b`: no arithmetic, though no condition either. */
function isNameTest(expression: FieldExpr): boolean {
  if (expression.type !== 'binary' || expression.op === '||') return false;
  return isReference(expression.left) && isReference(expression.right);
}

function readOf(reference: Reference, reads: Reads): Read {
  const key = printReference(reference);
  let read = reads.get(key);
  if (!read) {
    const listed = reference.type === 'attribute' || !neverListed.has(reference.name);
    read = { reference, conditions: [], untyped: false, listed };
    reads.set(key, read);
  }
  return read;
}

function addUntyped(reference: Reference, reads: Reads): void {
  readOf(reference, reads).untyped = true;
}

function addField(expression: FieldExpr, reads: Reads): void {
  const todo = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    const condition = asCondition(next);
    if (condition) {
      readOf(condition.reference, reads).conditions.push({ op: condition.op, value: condition.value });
    } else if (isReference(next)) {
      addUntyped(next, reads);
    } else if (next.type === 'binary') {
      todo.push(next.right, next.left);
    } else if (next.type !== 'static') {
      todo.push(next.operand);
    }
  }
}

function addStages(stages: Stage[], reads: Reads): void {
  for (const stage of stages) {
    switch (stage.type) {
      case 'spanset':
        addSpanset(stage.expression, reads);
        break;
      case 'scalarFilter':
        addScalar(stage.left, reads);
        addScalar(stage.right, reads);
        break;
      case 'by':
        addField(stage.expression, reads);
        break;
      case 'select':
        for (const attribute of stage.attributes) addUntyped(attribute, reads);
    }
  }
}

function addSpanset(expression: SpansetExpr, reads: Reads): void {
  const todo = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (next.type === 'spansetBinary') todo.push(next.right, next.left);
    else if (next.type === 'pipeline') addStages(next.stages, reads);
    else addField(next.expression, reads);
  }
}

function addScalar(expression: ScalarExpr, reads: Reads): void {
  const todo = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (next.type === 'scalarBinary') todo.push(next.right, next.left);
    else if (next.type === 'aggregate' && next.argument) addField(next.argument, reads);
    else if (next.type === 'scalarPipeline') {
      addStages(next.stages, reads);
      todo.push(next.aggregate);
    }
  }
}

function addMetrics(metrics: Metrics, reads: Reads): void {
  if (metrics.name === 'compare') {
    addField(metrics.filter.expression, reads);
    return;
  }
  if ('attribute' in metrics) addUntyped(metrics.attribute, reads);
  for (const label of metrics.by) addUntyped(label, reads);
}
