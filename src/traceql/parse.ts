/**
 * Tokens to the tree of a query, by recursive descent. Parentheses at the start of a query are the one hard spot: they
 * may hold a spanset expression, a scalar expression, a whole pipeline (`({…} | count() > 1) && (…)`) or a pipeline
 * that ends in an aggregate. So whatever stands between spanset or scalar operators is read as an `Operand`, which
 * knows which of these it turned out to be.
 */

import type {
  Aggregate,
  ArithmeticOp,
  ComparisonOp,
  FieldOp,
  Hint,
  Query,
  Reference,
  ScalarExpr,
  SecondStage,
  SpansetExpr,
  SpansetFilter,
  SpansetOp,
  Stage,
  Static,
} from './ast.ts';
import {
  accept,
  type Cursor,
  cursorOver,
  expect,
  nested,
  peek,
  peekKeyword,
  peekSymbol,
  take,
  unexpected,
} from './cursor.ts';
import { TraceQLError } from './error.ts';
import { additive, fieldLevels, loosest, spansetLevels } from './levels.ts';
import { acceptLiteral, parseField, parseReference } from './parse-field.ts';
import { asCount, parseMetrics } from './parse-metrics.ts';
import { applyUnary, isArithmetic, isComparison } from './values.ts';

/**
 * The tree of a query. Throws `TraceQLError` of kind `syntax`. What parses may still make no sense: see `checkQuery`.
 * Takes time linear in the text; how long a text may be is the caller's business (Tempo: 131072 bytes).
 */
export function parseQuery(text: string): Query {
  const cursor = cursorOver(text);
  const query: Query = { pipeline: [], secondStages: [], hints: [] };
  const first = parseFirstStage(cursor);
  query.pipeline = first.stages;
  if (!first.closed) parseFollowingStages(cursor, query);
  while (peekKeyword(cursor) === 'with') query.hints = parseHints(cursor);
  if (peek(cursor).type !== 'end') throw unexpected(cursor, 'with');
  return query;
}

/**
 * What the route of tag values names: an attribute (`span.http.method`, `.region`, `span."a b"`) or intrinsic
 * (`name`, `event:name`). Columns in the error count an opening brace before the text, as those of Tempo do.
 */
export function parseIdentifier(text: string): Reference {
  const cursor = cursorOver(`{${text}}`);
  try {
    expect(cursor, '{');
    const reference = parseReference(cursor);
    expect(cursor, '}');
    if (peek(cursor).type !== 'end') throw unexpected(cursor);
    return { ...reference, offset: 0 };
  } catch (error) {
    if (!(error instanceof TraceQLError)) throw error;
    throw new TraceQLError('syntax', `failed to parse identifier ${text}: ${error.message}`, error);
  }
}

// ---- stages --------------------------------------------------------------------------------------------------------

/** `closed`: nothing may be piped after it. */
function parseFirstStage(cursor: Cursor): { stages: Stage[]; closed: boolean } {
  const grouping = acceptGroupByOrSelect(cursor);
  if (grouping) return { stages: [grouping], closed: false };
  const { offset } = peek(cursor);
  const operand = parseOperands(cursor, loosest, true);
  if (operand.kind === 'scalar') {
    return { stages: [parseScalarFilter(cursor, operand)], closed: operand.holdsPipeline };
  }
  if (operand.expression.type === 'pipeline') return { stages: operand.expression.stages, closed: true };
  return { stages: [{ type: 'spanset', expression: operand.expression, offset }], closed: operand.holdsPipeline };
}

function parseFollowingStages(cursor: Cursor, query: Query): void {
  while (accept(cursor, '|')) {
    const metrics = parseMetrics(cursor, () => parseFilter(cursor));
    if (metrics) {
      query.metrics = metrics;
      query.secondStages = parseSecondStages(cursor);
      return;
    }
    query.pipeline.push(parseStage(cursor));
  }
}

/** A stage after a pipe. */
function parseStage(cursor: Cursor): Stage {
  const { offset } = peek(cursor);
  if (peekKeyword(cursor) === 'coalesce') {
    take(cursor);
    expect(cursor, '(');
    expect(cursor, ')', ')');
    return { type: 'coalesce', offset };
  }
  const grouping = acceptGroupByOrSelect(cursor);
  if (grouping) return grouping;
  const operand = parseOperands(cursor, loosest, false);
  if (operand.kind === 'scalar') return parseScalarFilter(cursor, operand);
  return { type: 'spanset', expression: operand.expression, offset };
}

function acceptGroupByOrSelect(cursor: Cursor): Stage | undefined {
  const keyword = peekKeyword(cursor);
  if (keyword !== 'by' && keyword !== 'select') return undefined;
  const { offset } = take(cursor);
  expect(cursor, '(', '(');
  let stage: Stage;
  if (keyword === 'by') {
    stage = { type: 'by', expression: parseField(cursor), offset };
  } else {
    const attributes = [parseReference(cursor)];
    while (accept(cursor, ',')) attributes.push(parseReference(cursor));
    stage = { type: 'select', attributes, offset };
  }
  expect(cursor, ')');
  return stage;
}

function parseScalarFilter(cursor: Cursor, left: ScalarOperand): Stage {
  const op = peekSymbol(cursor) as ComparisonOp | undefined;
  if (op === undefined || !isComparison(op)) throw unexpected(cursor);
  const { offset } = take(cursor);
  const rightToken = peek(cursor);
  const right = parseOperands(cursor, additive, left.holdsPipeline);
  const fits =
    right.kind === 'scalar' && (left.holdsPipeline === right.holdsPipeline || right.expression.type === 'static');
  if (!fits) throw unexpected(cursor, undefined, rightToken);
  return { type: 'scalarFilter', op, left: left.expression, right: right.expression, offset };
}

function parseFilter(cursor: Cursor): SpansetFilter {
  const { offset } = peek(cursor);
  expect(cursor, '{', '{');
  if (peekSymbol(cursor) === '}') {
    take(cursor);
    const value = { type: 'bool', value: true } as const;
    return { type: 'filter', expression: { type: 'static', value, offset }, offset };
  }
  const expression = parseField(cursor);
  expect(cursor, '}');
  return { type: 'filter', expression, offset };
}

// ---- operands of spanset and scalar operators ----------------------------------------------------------------------

type SetOperand = {
  kind: 'set';
  expression: SpansetExpr;
  /** In parentheses, or made of such: what may stand beside a pipeline in parentheses. */
  parenthesised: boolean;
  holdsPipeline: boolean;
};
type ScalarOperand = { kind: 'scalar'; expression: ScalarExpr; holdsPipeline: boolean };
type Operand = SetOperand | ScalarOperand;

function parseOperands(cursor: Cursor, level: number, pipelines: boolean): Operand {
  let left = parseOperand(cursor, pipelines);
  for (;;) {
    const op = peekSymbol(cursor);
    const opLevel = op === undefined ? undefined : levelFor(left, op);
    if (op === undefined || opLevel === undefined || opLevel < level) return left;
    const { offset } = take(cursor);
    const rightToken = peek(cursor);
    const right =
      op === '^'
        ? nested(cursor, (c) => parseOperands(c, opLevel, pipelines))
        : parseOperands(cursor, opLevel + 1, pipelines);
    const joined = joinOperands(op, left, right, offset);
    if (!joined) throw unexpected(cursor, undefined, rightToken);
    left = joined;
  }
}

function levelFor(left: Operand, op: string): number | undefined {
  if (left.kind === 'set') return spansetLevels.get(op);
  return isArithmetic(op as FieldOp) ? fieldLevels.get(op) : undefined;
}

/** Undefined when the two cannot stand side by side. */
function joinOperands(op: string, left: Operand, right: Operand, offset: number): Operand | undefined {
  if (left.kind === 'set' && right.kind === 'set') {
    const parenthesised = left.parenthesised && right.parenthesised;
    const holdsPipeline = left.holdsPipeline || right.holdsPipeline;
    if (holdsPipeline && !parenthesised) return undefined;
    const expression: SpansetExpr = {
      type: 'spansetBinary',
      op: op as SpansetOp,
      left: left.expression,
      right: right.expression,
      offset,
    };
    return { kind: 'set', expression, parenthesised, holdsPipeline };
  }
  if (left.kind === 'scalar' && right.kind === 'scalar' && left.holdsPipeline === right.holdsPipeline) {
    const expression: ScalarExpr = {
      type: 'scalarBinary',
      op: op as ArithmeticOp,
      left: left.expression,
      right: right.expression,
      offset,
    };
    return { kind: 'scalar', expression, holdsPipeline: left.holdsPipeline };
  }
  return undefined;
}

function parseOperand(cursor: Cursor, pipelines: boolean): Operand {
  const symbol = peekSymbol(cursor);
  if (symbol === '{') {
    return { kind: 'set', expression: parseFilter(cursor), parenthesised: false, holdsPipeline: false };
  }
  if (symbol === '(') return parseGroup(cursor, pipelines);
  const expression = acceptAggregate(cursor) ?? acceptNumber(cursor);
  if (!expression) throw unexpected(cursor);
  return { kind: 'scalar', expression, holdsPipeline: false };
}

/** What stands in parentheses; with `pipelines` that may be a pipeline. */
function parseGroup(cursor: Cursor, pipelines: boolean): Operand {
  const { offset } = take(cursor);
  const group = nested(cursor, () => {
    const stageOffset = peek(cursor).offset;
    let stage = pipelines ? acceptGroupByOrSelect(cursor) : undefined;
    if (!stage) {
      const operand = parseOperands(cursor, loosest, pipelines);
      const isAlone = peekSymbol(cursor) === ')';
      if (operand.kind === 'set') {
        if (isAlone) return { ...operand, parenthesised: true };
        if (!pipelines || operand.holdsPipeline) throw unexpected(cursor);
        stage = { type: 'spanset', expression: operand.expression, offset: stageOffset };
      } else {
        if (isAlone) return operand;
        if (!pipelines || operand.holdsPipeline) throw unexpected(cursor);
        stage = parseScalarFilter(cursor, operand);
      }
    }
    return parsePipelineInGroup(cursor, stage, offset);
  });
  expect(cursor, ')');
  return group;
}

function parsePipelineInGroup(cursor: Cursor, first: Stage, offset: number): Operand {
  const stages = [first];
  while (accept(cursor, '|')) {
    const start = cursor.at;
    const aggregate = acceptAggregate(cursor);
    if (aggregate && peekSymbol(cursor) === ')') {
      const expression: ScalarExpr = { type: 'scalarPipeline', stages, aggregate, offset };
      return { kind: 'scalar', expression, holdsPipeline: true };
    }
    cursor.at = start;
    stages.push(parseStage(cursor));
  }
  return { kind: 'set', expression: { type: 'pipeline', stages, offset }, parenthesised: true, holdsPipeline: true };
}

// ---- scalars -------------------------------------------------------------------------------------------------------

const aggregates: ReadonlySet<string> = new Set(['count', 'min', 'max', 'avg', 'sum']);

function acceptAggregate(cursor: Cursor): Aggregate | undefined {
  const name = peekKeyword(cursor) as Aggregate['name'] | undefined;
  if (name === undefined || !aggregates.has(name)) return undefined;
  const { offset } = take(cursor);
  expect(cursor, '(', '(');
  const argument = name === 'count' ? undefined : parseField(cursor);
  expect(cursor, ')', name === 'count' ? ')' : undefined);
  return argument ? { type: 'aggregate', name, argument, offset } : { type: 'aggregate', name, offset };
}

/** A number or duration with or without a minus before it. */
function acceptNumber(cursor: Cursor): Static | undefined {
  const { offset } = peek(cursor);
  const isNegative = accept(cursor, '-');
  const { type } = peek(cursor);
  if (type !== 'integer' && type !== 'float' && type !== 'duration') {
    if (isNegative) throw unexpected(cursor);
    return undefined;
  }
  const value = acceptLiteral(cursor)!;
  return { type: 'static', value: isNegative ? applyUnary('-', value)! : value, offset };
}

// ---- second stages and hints ---------------------------------------------------------------------------------------

function parseSecondStages(cursor: Cursor): SecondStage[] {
  const stages: SecondStage[] = [];
  for (;;) {
    const { offset } = peek(cursor);
    const op = peekSymbol(cursor) as FieldOp | undefined;
    if (op !== undefined && isComparison(op)) {
      take(cursor);
      const value = acceptNumber(cursor);
      if (!value) throw unexpected(cursor, 'INTEGER or FLOAT or DURATION or -');
      stages.push({ type: 'seriesFilter', op: op as ComparisonOp, value, offset });
    } else if (accept(cursor, '|')) {
      stages.push(parseTopK(cursor));
    } else {
      return stages;
    }
  }
}

function parseTopK(cursor: Cursor): SecondStage {
  const type = peekKeyword(cursor);
  if (type !== 'topk' && type !== 'bottomk') throw unexpected(cursor, 'topk or bottomk');
  const { offset } = take(cursor);
  expect(cursor, '(', '(');
  const token = take(cursor);
  if (token.type !== 'integer') throw unexpected(cursor, 'INTEGER', token);
  expect(cursor, ')', ')');
  return { type, limit: asCount(token.value), offset };
}

function parseHints(cursor: Cursor): Hint[] {
  take(cursor);
  expect(cursor, '(', '(');
  const hints: Hint[] = [];
  do {
    const token = take(cursor);
    if (token.type !== 'identifier') throw unexpected(cursor, 'IDENTIFIER', token);
    expect(cursor, '=', '=');
    const value = acceptLiteral(cursor);
    if (!value) throw unexpected(cursor);
    hints.push({ name: token.text, value, offset: token.offset });
  } while (accept(cursor, ','));
  expect(cursor, ')');
  return hints;
}
