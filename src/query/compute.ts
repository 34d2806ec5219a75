/** Values of expressions, span by span: what is no comparison with a literal, and what by() and aggregates read. */
import type { Segment } from '../block/segment.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Binary, FieldExpr, Reference, StaticValue } from '../traceql/ast.ts';
import { printField, printReference } from '../traceql/print.ts';
import { applyBinary, applyUnary } from '../traceql/values.ts';
import { gather, isOfChildren, type Read } from './gather.ts';

/** Values that are held and operations that are done at a time: memory has a bound, and so has the time until somebody looks. */
const VALUES_MAX = 64 * 1024;

/** Rows for which an expression is to be computed together. */
export function rowsAtOnce(expression: FieldExpr): number {
  return Math.max(8, Math.floor(VALUES_MAX / (4 + referencesOf(expression).length)));
}

/** The value of an expression at each of the ascending rows. Of several events or links the first one counts. */
export async function valuesAt(segment: Segment, expression: FieldExpr, rows: Uint32Array): Promise<Read[]> {
  if (expression.type === 'attribute' || expression.type === 'intrinsic') {
    const values = await gather(segment, expression, rows);
    if (!isOfChildren(expression)) return values;
    // Without events a span goes by the empty name.
    const none: Read = expression.name === 'event:name' ? { type: 'string', value: '' } : undefined;
    return values.map((value) => (Array.isArray(value) ? value[0] : value) ?? none);
  }
  const reads = await readsAt(segment, referencesOf(expression), rows);
  const values: Read[] = new Array(rows.length);
  for (let slot = 0; slot < rows.length; slot++) values[slot] = compute(expression, reads, slot);
  return values;
}

/** What each reference reads at the ascending rows; one that occurs many times is read once. */
export async function readsAt(
  segment: Segment,
  references: readonly Reference[],
  rows: Uint32Array,
): Promise<Map<Reference, Read[]>> {
  const byName = new Map<string, Read[]>();
  const reads = new Map<Reference, Read[]>();
  for (const reference of references) {
    const name = printReference(reference);
    let values = byName.get(name);
    if (values === undefined) byName.set(name, (values = await gather(segment, reference, rows)));
    reads.set(reference, values);
  }
  return reads;
}

/** The value of an expression for one row. */
export function compute(expression: FieldExpr, reads: Map<Reference, Read[]>, slot: number): Read {
  switch (expression.type) {
    case 'static':
      return expression.value.type === 'nil' ? undefined : expression.value;
    case 'attribute':
    case 'intrinsic':
      return reads.get(expression)?.[slot];
    case 'exists': {
      const there = compute(expression.operand, reads, slot) !== undefined;
      return { type: 'bool', value: there !== expression.negated };
    }
    case 'unary': {
      const operand = compute(expression.operand, reads, slot);
      if (operand === undefined) return undefined;
      const result = Array.isArray(operand) ? undefined : applyUnary(expression.op, operand);
      if (result !== undefined) return result;
      const wanted = expression.op === '!' ? 'a boolean' : 'a number';
      throw new VivaceError(
        'unsupported',
        `expression (${printField(expression)}) expected ${wanted}, but got ${typeName(operand)}`,
      );
    }
    case 'binary': {
      if (expression.left.type !== 'binary')
        return applied(expression, compute(expression.left, reads, slot), reads, slot);
      // Operations hang on the left of each other, perhaps very many.
      const chain: Binary[] = [];
      let first: FieldExpr = expression;
      for (; first.type === 'binary'; first = first.left) chain.push(first);
      let value = compute(first, reads, slot);
      for (let at = chain.length - 1; at >= 0; at--) value = applied(chain[at], value, reads, slot);
      return value;
    }
  }
}

/** An operation whose left side has been computed. */
function applied(operation: Binary, leftValue: Read, reads: Map<Reference, Read[]>, slot: number): Read {
  const { op } = operation;
  // nil is false here, so that `true || nil` is true.
  if (op === '&&') return { type: 'bool', value: isTrue(leftValue) && isTrue(compute(operation.right, reads, slot)) };
  if (op === '||') return { type: 'bool', value: isTrue(leftValue) || isTrue(compute(operation.right, reads, slot)) };
  let left = leftValue;
  let right = compute(operation.right, reads, slot);
  if (isPredicate(operation)) {
    left = comparable(operation.left, operation.right, left);
    right = comparable(operation.right, operation.left, right);
    // A comparison with nil is false, and the negation of one is true.
    if (left === undefined || right === undefined) return { type: 'bool', value: false };
  }
  if (left === undefined || right === undefined) return undefined;
  if ((op === '/' || op === '%') && isZeroInt(right) && isInt(left))
    throw new VivaceError('unsupported', op === '/' ? 'division by zero' : 'modulo by zero');
  const ofChildren = [operation.left, operation.right].some((side) => isReference(side) && isOfChildren(side));
  return applyRead(op, left, right, ofChildren);
}

/**
 * What a comparison sees of one side. Beside a literal an attribute has only values of the literal's type; ids equal each
 * other with leading zeros and without.
 */
function comparable(side: FieldExpr, other: FieldExpr, value: Read): Read {
  if (value === undefined) return undefined;
  if (isId(side) || isId(other)) return Array.isArray(value) ? value.map(withoutZeros) : withoutZeros(value);
  if (other.type !== 'static' || side.type !== 'attribute') return value;
  const { type } = other.value;
  if (Array.isArray(value)) return value.filter((each) => each.type === type);
  return value.type === type ? value : undefined;
}

const IDS: ReadonlySet<string> = new Set(['trace:id', 'span:id', 'span:parentID', 'link:traceID', 'link:spanID']);

function isId(expression: FieldExpr): boolean {
  return expression.type === 'intrinsic' && IDS.has(expression.name);
}

function withoutZeros(value: StaticValue): StaticValue {
  return value.type === 'string' ? { type: 'string', value: value.value.replace(/^0+/, '') } : value;
}

/** `ofChildren`: lists may be values of several events or links, which are no arrays. */
function applyRead(op: Parameters<typeof applyBinary>[0], left: Read, right: Read, ofChildren: boolean): Read {
  if (left === undefined || right === undefined) return undefined;
  const arithmetic = ['+', '-', '*', '/', '%', '^'].includes(op);
  if (!Array.isArray(left) && !Array.isArray(right)) {
    // Types that do not go together are not equal, nor different.
    return applyBinary(op, left, right) ?? (arithmetic ? undefined : { type: 'bool', value: false });
  }
  if (arithmetic) throw new VivaceError('unsupported', 'unsupported operation');
  if (Array.isArray(left) && Array.isArray(right) && !ofChildren)
    throw new VivaceError('unsupported', 'array operators must consist of a scalar and an array operand');
  const lefts = Array.isArray(left) ? left : [left];
  const rights = Array.isArray(right) ? right : [right];
  const value = lefts.some((l) => rights.some((r) => isTrue(applyBinary(op, l, r))));
  return { type: 'bool', value };
}

/** The operators and right operands of a chain of && and ||, from left to right, and where the chain begins. */
export function spine(expression: FieldExpr): { op: '&&' | '||'; right: FieldExpr }[] {
  const chain: { op: '&&' | '||'; right: FieldExpr }[] = [];
  for (let at = expression; at.type === 'binary' && (at.op === '&&' || at.op === '||'); at = at.left)
    chain.push({ op: at.op, right: at.right });
  return chain.reverse();
}

export function leftmost(expression: FieldExpr): FieldExpr {
  let at = expression;
  while (at.type === 'binary' && (at.op === '&&' || at.op === '||')) at = at.left;
  return at;
}

/** Every reference node of an expression. */
export function referencesOf(expression: FieldExpr): Reference[] {
  const references: Reference[] = [];
  const waiting: FieldExpr[] = [expression];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.type === 'attribute' || next.type === 'intrinsic') references.push(next);
    else if (next.type === 'binary') waiting.push(next.left, next.right);
    else if (next.type === 'unary' || next.type === 'exists') waiting.push(next.operand);
  }
  return references;
}

export function isTrue(value: Read): boolean {
  return value !== undefined && !Array.isArray(value) && value.type === 'bool' && value.value;
}

function isReference(expression: FieldExpr): expression is Reference {
  return expression.type === 'attribute' || expression.type === 'intrinsic';
}

/** The reference's word for a type. */
function typeName(value: StaticValue | StaticValue[]): string {
  if (Array.isArray(value)) return `${typeName(value[0])}Array`;
  const name = value.type === 'bool' ? 'boolean' : value.type;
  return `Type${name[0].toUpperCase()}${name.slice(1)}`;
}

function isInt(value: Read): boolean {
  return value !== undefined && !Array.isArray(value) && value.type === 'int';
}

function isZeroInt(value: Read): boolean {
  return value !== undefined && !Array.isArray(value) && value.type === 'int' && value.value === 0n;
}

/** Expressions that are boolean whatever the span: their negation is a complement. */
export function isPredicate(expression: FieldExpr): boolean {
  if (expression.type === 'exists') return true;
  if (expression.type === 'unary') return expression.op === '!' && isPredicate(expression.operand);
  return expression.type === 'binary' && !['+', '-', '*', '/', '%', '^'].includes(expression.op);
}
