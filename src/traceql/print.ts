/**
 * The canonical text of a tree. It parses back to the same tree, and it is what labels (`max(span.x + 1)`), spanset
 * attributes (`by(resource.service.name)`) and error texts show. Nested operations stand in parentheses, as Tempo
 * prints them, except that a chain of one operator (`a || b || c`) is printed flat. These parentheses are more than a
 * query has to write, so one that nests within a factor of five of the parser's limit may print to what exceeds it.
 */

import type {
  Binary,
  FieldExpr,
  Hint,
  Metrics,
  Query,
  Reference,
  ScalarBinary,
  ScalarExpr,
  SecondStage,
  SpansetBinary,
  SpansetExpr,
  Stage,
  StaticValue,
} from './ast.ts';
import { formatDuration } from './duration.ts';
import { needsQuotes } from './lex.ts';
import { aboveMinus, comparison, fieldLevels, spansetLevels } from './levels.ts';

/**
 * A chain in which the operator changes more often than this keeps only the parentheses that it needs: the others are
 * for the eye, and as many would not parse back.
 */
const changesShownMax = 64;

export function printQuery(query: Query): string {
  const stages = query.pipeline.map((stage) => printStage(stage));
  if (query.metrics) stages.push(printMetrics(query.metrics));
  const second = query.secondStages.map(printSecondStage).join('');
  const hints = query.hints.length === 0 ? '' : ` with(${query.hints.map(printHint).join(', ')})`;
  return stages.join(' | ') + second + hints;
}

export function printStage(stage: Stage): string {
  switch (stage.type) {
    case 'spanset':
      return printSpanset(stage.expression);
    case 'scalarFilter':
      return `${printScalar(stage.left)} ${stage.op} ${printScalar(stage.right)}`;
    case 'by':
      return `by(${printField(stage.expression)})`;
    case 'coalesce':
      return 'coalesce()';
    case 'select':
      return `select(${printReferences(stage.attributes)})`;
  }
}

export function printScalar(scalar: ScalarExpr): string {
  switch (scalar.type) {
    case 'static':
      return printStatic(scalar.value);
    case 'aggregate':
      return `${scalar.name}(${scalar.argument ? printField(scalar.argument) : ''})`;
    case 'scalarPipeline':
      return `(${scalar.stages.map(printStage).join(' | ')} | ${printScalar(scalar.aggregate)})`;
    case 'scalarBinary': {
      const chain = leftChain<ScalarExpr, ScalarBinary>(scalar, (side) => side.type === 'scalarBinary');
      const operand = (side: ScalarExpr) =>
        side.type === 'scalarBinary' ? `(${printScalar(side)})` : printScalar(side);
      return printChain(chain, fieldLevels, operand);
    }
  }
}

/** The text of a field expression, as in `by(…)` and aggregates. */
export function printField(expression: FieldExpr): string {
  switch (expression.type) {
    case 'static':
      return printStatic(expression.value);
    case 'attribute':
    case 'intrinsic':
      return printReference(expression);
    case 'unary':
      return expression.op + printFieldOperand(expression.operand);
    case 'exists':
      return `${printFieldOperand(expression.operand)} ${expression.negated ? '=' : '!='} nil`;
    case 'binary':
      return printChain(
        leftChain<FieldExpr, Binary>(expression, (side) => side.type === 'binary'),
        fieldLevels,
        printFieldOperand,
      );
  }
}

/** The print form of a name: `span.x`, `.x`, `resource."a b"`, `parent.span.x`, `traceDuration`, `event:name`. */
export function printReference(reference: Reference): string {
  if (reference.type === 'intrinsic') return reference.name;
  const { scope, parent, name } = reference;
  const introducer = `${parent ? 'parent.' : ''}${scope === 'none' ? (parent ? '' : '.') : `${scope}.`}`;
  return introducer + (needsQuotes(reference) ? `"${name.replace(/[\\"]/g, '\\$&')}"` : name);
}

/** A literal: strings in backticks when these can hold them, durations as Go prints them, floats never like ints. */
export function printStatic(value: StaticValue): string {
  switch (value.type) {
    case 'int':
      return value.value === -(2n ** 63n) ? 'minInt' : String(value.value);
    case 'float':
      return printFloat(value.value);
    case 'string':
      return /[`\r]/.test(value.value) ? printQuoted(value.value) : `\`${value.value}\``;
    case 'duration':
      return formatDuration(value.ns);
    case 'nil':
      return 'nil';
    default:
      return String(value.value);
  }
}

export function printSpanset(expression: SpansetExpr): string {
  if (expression.type === 'filter') return `{ ${printField(expression.expression)} }`;
  if (expression.type === 'pipeline') return `(${expression.stages.map(printStage).join(' | ')})`;
  const chain = leftChain<SpansetExpr, SpansetBinary>(expression, (side) => side.type === 'spansetBinary');
  // Beside a pipeline every operand stands in parentheses.
  const holdsPipeline = spansetHoldsPipeline(expression);
  const operand = (side: SpansetExpr) =>
    side.type === 'spansetBinary' || (holdsPipeline && side.type === 'filter')
      ? `(${printSpanset(side)})`
      : printSpanset(side);
  return printChain(chain, spansetLevels, operand);
}

// ---- operations ----------------------------------------------------------------------------------------------------

/** Operations of which each is the left side of the one before it, however many. */
function leftChain<Node, Operation extends Node & { left: Node }>(
  operation: Operation,
  isOperation: (node: Node) => node is Operation,
): Operation[] {
  const chain = [operation];
  for (let left = operation.left; isOperation(left); left = left.left) chain.push(left);
  return chain;
}

function printChain<Node>(
  chain: { op: string; left: Node; right: Node }[],
  levels: ReadonlyMap<string, number>,
  printOperand: (operand: Node, op: string) => string,
): string {
  const operations = chain.toReversed();
  const ops = operations.map(({ op }) => op);
  const closing = closingPlaces(ops, levels);
  const parts = ['('.repeat(closing.size), printOperand(operations[0].left, ops[0])];
  for (const [i, { op, right }] of operations.entries()) {
    if (closing.has(i)) parts.push(')');
    parts.push(` ${op} `, printOperand(right, op));
  }
  return parts.join('');
}

/** Before which operators of a chain the operation so far is closed by a parenthesis. */
function closingPlaces(ops: string[], levels: ReadonlyMap<string, number>): Set<number> {
  const changes: number[] = [];
  for (let i = 1; i < ops.length; i++) if (ops[i] !== ops[i - 1] || !isFlat(ops[i], levels)) changes.push(i);
  if (changes.length <= changesShownMax) return new Set(changes);
  return new Set(changes.filter((i) => ops[i] === '^' || levels.get(ops[i - 1])! < levels.get(ops[i])!));
}

/** Whether a chain of this operator reads well without parentheses: not `a < b < c`, nor `(a ^ b) ^ c`. */
function isFlat(op: string, levels: ReadonlyMap<string, number>): boolean {
  return levels === spansetLevels || (op !== '^' && levels.get(op) !== comparison);
}

function printFieldOperand(operand: FieldExpr, op?: string): string {
  const text = printField(operand);
  switch (operand.type) {
    case 'attribute':
    case 'intrinsic':
      return text;
    case 'static':
      // `-5 * .a` reads as `-(5 * .a)`.
      return text.startsWith('-') && op !== undefined && fieldLevels.get(op)! >= aboveMinus ? `(${text})` : text;
    default:
      return `(${text})`;
  }
}

function printFloat(value: number): string {
  if (Number.isNaN(value)) return '(0.0 / 0.0)';
  if (!Number.isFinite(value)) return value > 0 ? '(1.0 / 0.0)' : '(-1.0 / 0.0)';
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

function printQuoted(value: string): string {
  const escaped = value.replace(/[\\"\x00-\x1f]/g, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return `"${escaped}"`;
}

function printReferences(references: Reference[]): string {
  return references.map(printReference).join(', ');
}

// ---- spansets, metrics, hints --------------------------------------------------------------------------------------

function spansetHoldsPipeline(expression: SpansetExpr): boolean {
  const todo: SpansetExpr[] = [expression];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (next.type === 'pipeline') return true;
    if (next.type === 'spansetBinary') todo.push(next.left, next.right);
  }
  return false;
}

/** The function alone, without the pipeline before it. */
export function printMetrics(metrics: Metrics): string {
  if (metrics.name === 'compare') {
    const window = metrics.startNs === undefined ? '' : `, ${metrics.startNs}, ${metrics.endNs}`;
    return `compare(${printSpanset(metrics.filter)}, ${metrics.topN}${window})`;
  }
  const args: string[] = [];
  if ('attribute' in metrics) args.push(printReference(metrics.attribute));
  if ('quantiles' in metrics) args.push(...metrics.quantiles.map(String));
  const by = metrics.by.length === 0 ? '' : ` by(${printReferences(metrics.by)})`;
  return `${metrics.name}(${args.join(', ')})${by}`;
}

/** With the bar before it where it has one. */
export function printSecondStage(stage: SecondStage): string {
  if (stage.type === 'seriesFilter') return ` ${stage.op} ${printStatic(stage.value.value)}`;
  return ` | ${stage.type}(${stage.limit})`;
}

function printHint({ name, value }: Hint): string {
  return `${name}=${printStatic(value)}`;
}
