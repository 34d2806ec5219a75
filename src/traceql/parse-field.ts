/** Expressions over the fields of one span, by precedence climbing; `levels.ts` says what binds how. */

import type { FieldExpr, FieldOp, KindName, Reference, StaticValue, StatusName } from './ast.ts';
import { accept, type Cursor, expect, nested, peek, peekKeyword, peekSymbol, take, unexpected } from './cursor.ts';
import { syntaxError } from './error.ts';
import { foldBinary, foldExists, foldUnary } from './fold.ts';
import { aboveMinus, aboveNot, comparison, fieldLevels, loosest } from './levels.ts';
import { bareIntrinsics } from './lex.ts';

/** Reads as much as binds at `level` or tighter; constants are folded. */
export function parseField(cursor: Cursor, level = loosest): FieldExpr {
  let left = parseOperand(cursor, level);
  for (;;) {
    const op = peekSymbol(cursor) as FieldOp | undefined;
    const opLevel = op === undefined ? undefined : fieldLevels.get(op);
    if (op === undefined || opLevel === undefined || opLevel < level) return left;
    const { offset } = take(cursor);
    if ((op === '=' || op === '!=') && peekKeyword(cursor) === 'nil') {
      take(cursor);
      left = foldExists(op === '=', left, offset);
    } else {
      const right = op === '^' ? nested(cursor, (c) => parseField(c, opLevel)) : parseField(cursor, opLevel + 1);
      left = foldBinary(op, left, right, offset);
    }
  }
}

/** An attribute or intrinsic, and nothing else. */
export function parseReference(cursor: Cursor): Reference {
  const token = peek(cursor);
  const { offset } = token;
  if (token.type === 'attribute') {
    take(cursor);
    return { type: 'attribute', scope: token.scope, parent: token.parent, name: token.name, offset };
  }
  if (token.type === 'intrinsic') {
    take(cursor);
    return { type: 'intrinsic', name: token.name, offset };
  }
  const name = bareIntrinsics.get(peekKeyword(cursor) ?? '');
  if (name !== undefined) {
    take(cursor);
    return { type: 'intrinsic', name, offset };
  }
  if (token.type === 'identifier') throw syntaxError(cursor.text, offset, `unknown identifier: ${token.text}`);
  throw unexpected(cursor);
}

/** A literal without sign, or undefined when none stands at the cursor. */
export function acceptLiteral(cursor: Cursor): StaticValue | undefined {
  const value = literalAt(cursor);
  if (value) take(cursor);
  return value;
}

function parseOperand(cursor: Cursor, level: number): FieldExpr {
  const { offset } = peek(cursor);
  if (accept(cursor, '(')) {
    const inner = nested(cursor, (c) => parseField(c));
    expect(cursor, ')');
    return inner;
  }
  if (accept(cursor, '-')) {
    return foldUnary(
      '-',
      nested(cursor, (c) => parseField(c, aboveMinus)),
      offset,
    );
  }
  if (accept(cursor, '!')) {
    return foldUnary(
      '!',
      nested(cursor, (c) => parseField(c, aboveNot)),
      offset,
    );
  }
  if (peekKeyword(cursor) === 'nil' && level <= comparison) return parseNilFirst(cursor);
  const value = acceptLiteral(cursor);
  return value ? { type: 'static', value, offset } : parseReference(cursor);
}

/** `nil = x`, `nil != x`: nil stands nowhere else but beside these operators. */
function parseNilFirst(cursor: Cursor): FieldExpr {
  const nil = take(cursor);
  const op = peekSymbol(cursor);
  if (op !== '=' && op !== '!=') throw unexpected(cursor);
  const { offset } = take(cursor);
  if (peekKeyword(cursor) === 'nil') {
    take(cursor);
    return { type: 'static', value: { type: 'bool', value: false }, offset: nil.offset };
  }
  return foldExists(op === '=', parseField(cursor, comparison + 1), offset);
}

const words: ReadonlyMap<string, StaticValue> = new Map<string, StaticValue>([
  ['true', { type: 'bool', value: true }],
  ['false', { type: 'bool', value: false }],
  ['minInt', { type: 'int', value: -9_223_372_036_854_775_808n }],
  ['maxInt', { type: 'int', value: 9_223_372_036_854_775_807n }],
  ...(['error', 'ok', 'unset'] satisfies StatusName[]).map((value) => [value, { type: 'status', value }] as const),
  ...(['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] satisfies KindName[]).map(
    (value) => [value, { type: 'kind', value }] as const,
  ),
]);

function literalAt(cursor: Cursor): StaticValue | undefined {
  const token = peek(cursor);
  switch (token.type) {
    case 'string':
      return { type: 'string', value: token.value };
    case 'integer':
      return { type: 'int', value: token.value };
    case 'float':
      return { type: 'float', value: token.value };
    case 'duration':
      return { type: 'duration', ns: token.ns };
    case 'keyword':
      return words.get(token.text);
    default:
      return undefined;
  }
}
