/**
 * Constants are computed while parsing, bottom up: `{ 1 + 1 = 2 }` is `{ true }`. What has no result stays as it is
 * written, for `check` or the run to refuse: `1 = "a"`, `1 / 0`.
 */

import type { Exists, FieldExpr, FieldOp, Static, StaticValue } from './ast.ts';
import { applyBinary, applyUnary } from './values.ts';

export function foldBinary(op: FieldOp, left: FieldExpr, right: FieldExpr, offset: number): FieldExpr {
  if (left.type === 'static' && right.type === 'static') {
    const value = applyBinary(op, left.value, right.value);
    if (value) return { type: 'static', value, offset: left.offset };
  }
  return { type: 'binary', op, left, right, offset };
}

export function foldUnary(op: '-' | '!', operand: FieldExpr, offset: number): FieldExpr {
  const value = operand.type === 'static' ? applyUnary(op, operand.value) : undefined;
  return value ? { type: 'static', value, offset } : { type: 'unary', op, operand, offset };
}

/** `operand != nil`, negated `operand = nil`: a constant is never nil. */
export function foldExists(negated: boolean, operand: FieldExpr, offset: number): Exists | Static {
  if (operand.type !== 'static') return { type: 'exists', negated, operand, offset };
  const value: StaticValue = { type: 'bool', value: !negated };
  return { type: 'static', value, offset: operand.offset };
}
