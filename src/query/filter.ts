/**
 * Evaluates a spanset filter on a segment: each comparison of an attribute with a literal becomes a set of rows, found column
 * by column; `&&`, `||` and `!` combine sets; everything else (arithmetic, one attribute against another) is computed row by
 * row for the rows that are still wanted. nil counts as false (spec/traceql.md §6.3).
 *
 * What stands together is looked at together: conditions on events joined by && hold for one and the same event; `.a != 1 &&
 * .a != 2` wants an array without either; `.a = 1 || .a = 2 || …` is one pass, however long it is.
 */
import type { Segment } from '../block/segment.ts';
import type { Attribute, FieldExpr, Reference, StaticValue } from '../traceql/ast.ts';
import { asCondition } from '../traceql/conditions.ts';
import { printReference } from '../traceql/print.ts';
import { allBits, type Bits, intersect, isEmpty, noBits, rowsOf, subtract, unite } from './bits.ts';
import { compute, isPredicate, isTrue, leftmost, readsAt, referencesOf, rowsAtOnce, spine } from './compute.ts';
import {
  anyOfRows,
  arrayRows,
  canBeAnyOf,
  childConditionRows,
  childRows,
  conditionRows,
  presentChildren,
  presentRows,
} from './condition-rows.ts';
import { childSpace, isOfChildren } from './gather.ts';

/** The rows of the segment for which the expression is true. `within` bounds what has to be looked at. */
export async function filterRows(segment: Segment, expression: FieldExpr, within?: Bits): Promise<Bits> {
  if (expression.type === 'static')
    return expression.value.type === 'bool' && expression.value.value
      ? (within?.slice() ?? allBits(segment.rows))
      : noBits(segment.rows);
  const condition = asCondition(expression);
  if (condition !== undefined)
    return bounded(await conditionRows(segment, condition.reference, condition.op, condition.value), within);
  if (expression.type === 'binary' && (expression.op === '&&' || expression.op === '||'))
    return logicalRows(segment, expression, within);
  if (expression.type === 'unary' && expression.op === '!' && isPredicate(expression.operand))
    return subtract(within?.slice() ?? allBits(segment.rows), await filterRows(segment, expression.operand, within));
  if (expression.type === 'attribute')
    return bounded(await conditionRows(segment, expression, '=', { type: 'bool', value: true }), within);
  if (expression.type === 'unary' && expression.op === '!' && expression.operand.type === 'attribute')
    return notRows(segment, expression, expression.operand, within);
  if (
    expression.type === 'exists' &&
    (expression.operand.type === 'attribute' || expression.operand.type === 'intrinsic')
  ) {
    const present = await presentRows(segment, expression.operand);
    return expression.negated ? subtract(within?.slice() ?? allBits(segment.rows), present) : bounded(present, within);
  }
  return computedRows(segment, expression, within);
}

/** `!.x`: where it is false. A value that is no boolean is an error of whoever asks. */
async function notRows(
  segment: Segment,
  expression: FieldExpr,
  operand: Attribute,
  within: Bits | undefined,
): Promise<Bits> {
  const rows = bounded(await conditionRows(segment, operand, '=', { type: 'bool', value: false }), within);
  const others = subtract(bounded(await presentRows(segment, operand), within), rows);
  subtract(others, await conditionRows(segment, operand, '=', { type: 'bool', value: true }));
  if (!isEmpty(others)) await computedRows(segment, expression, others);
  return rows;
}

/** `&&` and `||` grow along the left; runs of the same operator are evaluated together. */
async function logicalRows(segment: Segment, expression: FieldExpr, within: Bits | undefined): Promise<Bits> {
  const chain = spine(expression);
  let rows: Bits | undefined;
  for (let at = 0; at < chain.length; ) {
    const { op } = chain[at];
    const operands = rows === undefined ? [leftmost(expression)] : [];
    for (; at < chain.length && chain[at].op === op; at++) operands.push(chain[at].right);
    if (op === '&&') rows = await allOf(segment, operands, rows ?? within);
    else {
      const found = await anyOf(segment, operands, within);
      rows = rows === undefined ? found : unite(rows, found);
    }
  }
  return rows!;
}

/** The rows for which all operands hold. */
async function allOf(segment: Segment, operands: readonly FieldExpr[], within: Bits | undefined): Promise<Bits> {
  let rows = within;
  const narrow = async (operand: FieldExpr): Promise<void> => {
    if (rows === undefined || !isEmpty(rows)) rows = await filterRows(segment, operand, rows);
  };
  const ofChildren = { event: [] as FieldExpr[], link: [] as FieldExpr[] };
  const unequal = new Map<string, Unequal>();
  for (const operand of operands) {
    const space = childSpaceOf(operand);
    if (space !== undefined) ofChildren[space].push(operand);
    else {
      addUnequal(unequal, operand);
      await narrow(operand);
    }
  }
  for (const space of ['event', 'link'] as const) {
    const of = ofChildren[space];
    if (of.length === 1) await narrow(of[0]);
    else if (of.length > 1 && (rows === undefined || !isEmpty(rows)))
      rows = bounded(await sameChildRows(segment, space, of), rows);
  }
  for (const { reference, op, values } of unequal.values())
    if (values.length > 1 && !isEmpty(rows!))
      rows = subtract(rows!, await arrayRows(segment, reference, op === '!=' ? '=' : '=~', values));
  // What came in belongs to somebody else.
  return rows === within ? rows!.slice() : rows!;
}

/** `.a != x` and `.a != y`: no element of an array may be x or y, while for `.a != x` alone another element is enough. */
interface Unequal {
  reference: Attribute;
  op: '!=' | '!~';
  values: StaticValue[];
}

function addUnequal(unequal: Map<string, Unequal>, operand: FieldExpr): void {
  const condition = asCondition(operand);
  if (condition === undefined || condition.reference.type !== 'attribute') return;
  const { reference, op, value } = condition;
  if (op !== '!=' && op !== '!~') return;
  const key = `${printReference(reference)} ${op} ${value.type}`;
  const known = unequal.get(key);
  if (known === undefined) unequal.set(key, { reference, op, values: [value] });
  else known.values.push(value);
}

/** Values of one reference from which on they are looked for together. */
const ANY_OF_MIN = 3;

/** The rows for which one of the operands holds. */
async function anyOf(segment: Segment, operands: readonly FieldExpr[], within: Bits | undefined): Promise<Bits> {
  const rows = noBits(segment.rows);
  const equal = new Map<string, { reference: Reference; values: StaticValue[]; operands: FieldExpr[] }>();
  const others: FieldExpr[] = [];
  for (const operand of operands) {
    const condition = asCondition(operand);
    if (condition?.op !== '=' || !canBeAnyOf(condition.reference, condition.value)) {
      others.push(operand);
      continue;
    }
    const { reference, value } = condition;
    const key = `${printReference(reference)} ${value.type}`;
    const known = equal.get(key);
    if (known === undefined) equal.set(key, { reference, values: [value], operands: [operand] });
    else {
      known.values.push(value);
      known.operands.push(operand);
    }
  }
  for (const { reference, values, operands } of equal.values())
    if (values.length < ANY_OF_MIN) others.push(...operands);
    else unite(rows, bounded(await anyOfRows(segment, reference, values), within));
  for (const operand of others) unite(rows, await filterRows(segment, operand, within));
  return rows;
}

/** The children that an expression is about, when it is about one kind of them alone and each can be judged by itself. */
function childSpaceOf(expression: FieldExpr): 'event' | 'link' | undefined {
  let space: 'event' | 'link' | undefined;
  const waiting = [expression];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.type === 'binary' && (next.op === '&&' || next.op === '||')) {
      waiting.push(next.left, next.right);
      continue;
    }
    const reference =
      asCondition(next)?.reference ?? (next.type === 'exists' && !next.negated ? next.operand : undefined);
    if (reference === undefined || (reference.type !== 'attribute' && reference.type !== 'intrinsic')) return undefined;
    if (!isOfChildren(reference) || (space !== undefined && space !== childSpace(reference))) return undefined;
    space = childSpace(reference);
  }
  return space;
}

/** The rows with an event (or link) for which all operands hold. */
async function sameChildRows(segment: Segment, space: 'event' | 'link', operands: readonly FieldExpr[]): Promise<Bits> {
  const rows = noBits(segment.rows);
  await childRows(segment, space, rows, async (children) => {
    const [first, ...rest] = operands;
    unite(children, await childrenFor(segment, first, children.length));
    for (const operand of rest) intersect(children, await childrenFor(segment, operand, children.length));
  });
  return rows;
}

/** The children for which an expression of `childSpaceOf` holds. */
async function childrenFor(segment: Segment, expression: FieldExpr, words: number): Promise<Bits> {
  const children = new Uint32Array(words);
  const condition = asCondition(expression);
  if (condition !== undefined) {
    await childConditionRows(segment, condition.reference, condition.op, condition.value, children);
    return children;
  }
  if (expression.type === 'exists') {
    await presentChildren(segment, expression.operand as Reference, children);
    return children;
  }
  const found = await childrenFor(segment, leftmost(expression), words);
  for (const { op, right } of spine(expression)) {
    const other = await childrenFor(segment, right, words);
    if (op === '&&') intersect(found, other);
    else unite(found, other);
  }
  return found;
}

function bounded(rows: Bits, within: Bits | undefined): Bits {
  return within === undefined ? rows : intersect(rows, within);
}

/** An expression that is more than one comparison: computed for each wanted row. */
async function computedRows(segment: Segment, expression: FieldExpr, within: Bits | undefined): Promise<Bits> {
  const rows = noBits(segment.rows);
  const wanted = rowsOf(within ?? allBits(segment.rows));
  const references = referencesOf(expression);
  const rowsMax = rowsAtOnce(expression);
  for (let from = 0; from < wanted.length; from += rowsMax) {
    const chunk = wanted.subarray(from, from + rowsMax);
    const reads = await readsAt(segment, references, chunk);
    for (let slot = 0; slot < chunk.length; slot++)
      if (isTrue(compute(expression, reads, slot))) rows[chunk[slot] >>> 5] |= 1 << (chunk[slot] & 31);
  }
  return rows;
}
