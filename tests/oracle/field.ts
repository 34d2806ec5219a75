/**
 * Field expressions over one span (spec of TraceQL §5, §6), value by value. Where the language has no agreed answer, an
 * `Unspecified` is thrown, and the case is not counted. What operators do to two values is told here a second time on purpose:
 * src/traceql/values.ts is among what is judged.
 */
import type { Binary, FieldExpr, FieldOp, Reference, StaticValue } from '../../src/traceql/ast.ts';
import { printField } from '../../src/traceql/print.ts';
import { isArithmetic } from '../../src/traceql/values.ts';
import type { ModelSpan } from './model.ts';
import { ID_INTRINSICS, isRepeated, NIL, type Reading, read, text, Unspecified } from './reading.ts';

export function matches(expression: FieldExpr, span: ModelSpan): boolean {
  return isTrue(evaluate(expression, span));
}

export function evaluate(expression: FieldExpr, span: ModelSpan): Reading {
  switch (expression.type) {
    case 'static':
      return { scalars: [expression.value] };
    case 'attribute':
    case 'intrinsic':
      return read(expression, span);
    case 'exists': {
      const operand = evaluate(expression.operand, span);
      const isThere = isAlways(expression.operand) || operand.scalars.length > 0;
      return bool(isThere !== expression.negated);
    }
    case 'unary':
      return unary(expression.op, evaluate(expression.operand, span));
    case 'binary':
      return binary(expression, span);
  }
}

/** Intrinsics of the span and its trace are never nil, not even the parent of a root. */
function isAlways(operand: FieldExpr): boolean {
  return operand.type === 'intrinsic' && !isRepeated(operand);
}

function unary(op: '-' | '!', operand: Reading): Reading {
  const [scalar, ...more] = operand.scalars;
  if (scalar === undefined) return NIL;
  if (more.length > 0) throw new Unspecified(`${op} of several values`);
  if (op === '!') {
    if (scalar.type !== 'bool') throw new Unspecified('! of what is no boolean');
    return bool(!scalar.value);
  }
  if (scalar.type === 'int') return { scalars: [{ type: 'int', value: BigInt.asIntN(64, -scalar.value) }] };
  if (scalar.type === 'float') return { scalars: [{ type: 'float', value: -scalar.value }] };
  if (scalar.type === 'duration') return { scalars: [{ type: 'duration', ns: -scalar.ns }] };
  throw new Unspecified('- of what is no number');
}

function binary(expression: Binary, span: ModelSpan): Reading {
  const { op, left, right } = expression;
  if (op === '&&' || op === '||') return logical(expression, span);
  const a = evaluate(left, span);
  const b = evaluate(right, span);
  if (isArithmetic(op)) return arithmetic(op, a, b);
  const holds = (x: StaticValue, y: StaticValue): boolean =>
    compare(op, trimmed(left, right, x), trimmed(left, right, y));
  if (left.type === 'static') return bool(a.scalars.some((x) => typed(right, b.scalars, x).some((y) => holds(x, y))));
  if (right.type === 'static') return bool(b.scalars.some((y) => typed(left, a.scalars, y).some((x) => holds(x, y))));
  if (a.scalars.length > 1 && b.scalars.length > 1) throw new Unspecified('array against array');
  if ((a.scalars.length > 1 || b.scalars.length > 1) && (op === '!=' || op === '!~'))
    throw new Unspecified('whether any element differs or all');
  return bool(a.scalars.some((x) => b.scalars.some((y) => holds(x, y))));
}

/** Beside && and ||, nil and whatever is no boolean count as false. */
function logical(expression: Binary, span: ModelSpan): Reading {
  const { op, left, right } = expression;
  const a = evaluate(left, span);
  const b = evaluate(right, span);
  if (op === '||') return bool(isTrue(a) || isTrue(b));
  if (!isTrue(a) || !isTrue(b)) return bool(false);
  const chain = conjunction(expression);
  if (chain.some((one) => chain.some((other) => isNotIn(one, other)) && !isTrueOfAll(one, span))) return bool(false);
  if (!isOfOneChild(chain, span)) return bool(false);
  if (severalConditions(expression, chain, span)) throw new Unspecified('several conditions on several values');
  return bool(true);
}

/** `a && b && c` as a list. */
function conjunction(expression: FieldExpr): FieldExpr[] {
  if (expression.type !== 'binary' || expression.op !== '&&') return [expression];
  return [...conjunction(expression.left), expression.right];
}

/** `a != x && a != y` is NOT IN (x, y): it asks all elements of an array, where `a != x` asks for one. */
function isNotIn(one: FieldExpr, other: FieldExpr): boolean {
  const [a, b] = [exclusion(one), exclusion(other)];
  if (one === other || a === undefined || b === undefined || isRepeated(a.reference)) return false;
  const same = a.op === b.op && a.literal.type === b.literal.type;
  return same && printField(a.reference) === printField(b.reference);
}

/** `reference != literal` or `!~`, whichever side the literal is on. */
function exclusion(expression: FieldExpr): { reference: Reference; op: FieldOp; literal: StaticValue } | undefined {
  if (expression.type !== 'binary' || (expression.op !== '!=' && expression.op !== '!~')) return undefined;
  const { op, left, right } = expression;
  if (isReference(left) && right.type === 'static') return { reference: left, op, literal: right.value };
  return isReference(right) && left.type === 'static' ? { reference: right, op, literal: left.value } : undefined;
}

function isTrueOfAll(expression: FieldExpr, span: ModelSpan): boolean {
  const { reference, op, literal } = exclusion(expression)!;
  return typed(reference, read(reference, span).scalars, literal).every((value) => compare(op, value, literal));
}

/** Conditions on events that are joined by && must be met by one and the same event; on links alike. */
function isOfOneChild(chain: FieldExpr[], span: ModelSpan): boolean {
  return (['event', 'link'] as const).every((scope) => {
    const own = chain.filter((one) => childOf(one) === scope);
    const children = scope === 'event' ? span.spec.events : span.spec.links;
    if (own.length < 2 || children === undefined) return true;
    const alone = (child: number): ModelSpan => {
      const key = scope === 'event' ? 'events' : 'links';
      return { ...span, spec: { ...span.spec, [key]: [children[child]] } };
    };
    return children.some((_, child) => own.every((one) => isTrue(evaluate(one, alone(child)))));
  });
}

/** Whose a plain condition or a test for presence is. */
function childOf(expression: FieldExpr): 'event' | 'link' | undefined {
  let reference: FieldExpr | undefined;
  if (expression.type === 'exists' && !expression.negated) reference = expression.operand;
  if (expression.type === 'binary' && expression.right.type === 'static') reference = expression.left;
  if (expression.type === 'binary' && expression.left.type === 'static') reference = expression.right;
  if (reference === undefined || !isReference(reference) || !isRepeated(reference)) return undefined;
  const scope = reference.type === 'attribute' ? reference.scope : reference.name.split(':')[0];
  return scope === 'event' ? 'event' : 'link';
}

/** Where && joins what is no plain condition, how far those rules reach is left to golden answers. */
function severalConditions({ left, right }: Binary, chain: FieldExpr[], span: ModelSpan): boolean {
  const own = severalIn(right, span);
  const others = severalIn(left, span);
  if (![...own].some((kind) => others.has(kind))) return false;
  return !chain.every(
    (one) => childOf(one) !== undefined || exclusion(one) !== undefined || severalIn(one, span).size === 0,
  );
}

function severalIn(expression: FieldExpr, span: ModelSpan): Set<string> {
  const found = new Set<string>();
  const visit = (node: FieldExpr): void => {
    if (node.type === 'binary') {
      for (const side of [node.left, node.right]) {
        visit(side);
        if ((node.op === '!=' || node.op === '!~') && isReference(side) && read(side, span).scalars.length > 1)
          found.add(`!${printField(side)}`);
      }
    } else if (node.type === 'unary' || node.type === 'exists') visit(node.operand);
    else if (isReference(node) && isRepeated(node)) {
      const scope = node.type === 'attribute' ? node.scope : node.name.split(':')[0];
      const count = scope === 'event' ? span.spec.events?.length : span.spec.links?.length;
      if ((count ?? 0) > 1) found.add(scope);
    }
  };
  visit(expression);
  return found;
}

function isReference(node: FieldExpr): node is Reference {
  return node.type === 'attribute' || node.type === 'intrinsic';
}

/** A literal sees only values of its own type under an attribute; intrinsics have theirs. */
function typed(expression: FieldExpr, scalars: StaticValue[], literal: StaticValue): StaticValue[] {
  return expression.type === 'attribute' ? scalars.filter(({ type }) => type === literal.type) : scalars;
}

/** Ids equal each other with their leading zeros and without. */
function trimmed(side: FieldExpr, other: FieldExpr, value: StaticValue): StaticValue {
  const isId = [side, other].some((node) => node.type === 'intrinsic' && ID_INTRINSICS.has(node.name));
  return isId && value.type === 'string' ? text(value.value.replace(/^0+/, '')) : value;
}

// ---- two scalars ---------------------------------------------------------------------------------------------------

export function compare(op: FieldOp, a: StaticValue, b: StaticValue): boolean {
  if (isNumber(a) && isNumber(b)) {
    if (a.type === 'int' && b.type === 'int') return ordered(op, a.value, b.value);
    if (a.type === 'duration' && b.type === 'duration') return ordered(op, a.ns, b.ns);
    return ordered(op, numberOf(a), numberOf(b));
  }
  if (a.type === 'string' && b.type === 'string') {
    if (op === '=~' || op === '!~') return anchored(b.value).test(a.value) === (op === '=~');
    return ordered(op, Buffer.compare(Buffer.from(a.value), Buffer.from(b.value)), 0);
  }
  if (a.type !== b.type || (op !== '=' && op !== '!=')) return false;
  const [x, y] = [a, b] as { value: unknown }[];
  return (x.value === y.value) === (op === '=');
}

/** Patterns match the whole value, and the dot a line break. */
function anchored(pattern: string): RegExp {
  return pattern.startsWith('(?i)')
    ? new RegExp(`^(?:${pattern.slice(4)})$`, 'sui')
    : new RegExp(`^(?:${pattern})$`, 'su');
}

function ordered<T extends bigint | number>(op: FieldOp, a: T, b: T): boolean {
  switch (op) {
    case '=':
      return a === b;
    case '!=':
      return a !== b;
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    case '>=':
      return a >= b;
    default:
      return false;
  }
}

function arithmetic(op: FieldOp, a: Reading, b: Reading): Reading {
  if (a.scalars.length > 1 || b.scalars.length > 1) throw new Unspecified('arithmetic on several values');
  const [x] = a.scalars;
  const [y] = b.scalars;
  if (x === undefined || y === undefined) return NIL;
  if (!isNumber(x) || !isNumber(y)) return NIL;
  if (x.type === 'int' && y.type === 'int') return { scalars: [{ type: 'int', value: integer(op, x.value, y.value) }] };
  return { scalars: [{ type: 'float', value: floating(op, numberOf(x), numberOf(y)) }] };
}

function integer(op: FieldOp, a: bigint, b: bigint): bigint {
  if ((op === '/' || op === '%') && b === 0n) throw new Unspecified('division by zero');
  switch (op) {
    case '+':
      return BigInt.asIntN(64, a + b);
    case '-':
      return BigInt.asIntN(64, a - b);
    case '*':
      return BigInt.asIntN(64, a * b);
    case '/':
      return a / b;
    case '%':
      return a % b;
    default:
      if (b < 0n || b > 100n) throw new Unspecified('a power that is no whole number, or a huge one');
      return BigInt.asIntN(64, a ** b);
  }
}

function floating(op: FieldOp, a: number, b: number): number {
  switch (op) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '%':
      return a % b;
    default:
      return a ** b;
  }
}

export type NumberValue = Extract<StaticValue, { type: 'int' | 'float' | 'duration' }>;

export function isNumber(value: StaticValue): value is NumberValue {
  return value.type === 'int' || value.type === 'float' || value.type === 'duration';
}

export function numberOf(value: NumberValue): number {
  return Number(value.type === 'duration' ? value.ns : value.value);
}

function isTrue({ scalars }: Reading): boolean {
  const truths = scalars.filter((scalar) => scalar.type === 'bool');
  if (truths.length > 1) throw new Unspecified('an array as a condition');
  return truths.length === 1 && truths[0].value;
}

function bool(value: boolean): Reading {
  return { scalars: [{ type: 'bool', value }] };
}
