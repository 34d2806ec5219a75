/**
 * Types of values and what operators do to two of them: the language's own arithmetic, for constants in a query and
 * for whoever evaluates it.
 */

import type { FieldOp, StaticValue } from './ast.ts';
import { compileRegex } from './regex.ts';

/** `attribute` is a type that is known only at run time; it goes with all others. */
export type ValueType = StaticValue['type'] | 'attribute';

export function isNumeric(type: ValueType): boolean {
  return type === 'int' || type === 'float' || type === 'duration';
}

/** Whether two operands can meet at all. */
export function areCompatible(a: ValueType, b: ValueType): boolean {
  if (a === b || a === 'attribute' || b === 'attribute' || a === 'nil' || b === 'nil') return true;
  return isNumeric(a) && isNumeric(b);
}

/** Whether an operator is defined for a type. */
export function isDefined(op: FieldOp, type: ValueType): boolean {
  switch (type) {
    case 'attribute':
      return true;
    case 'int':
    case 'float':
    case 'duration':
      return isArithmetic(op) || isComparison(op);
    case 'string':
      return isComparison(op) || op === '=~' || op === '!~';
    case 'bool':
      return op === '&&' || op === '||' || op === '=' || op === '!=';
    default:
      return op === '=' || op === '!=';
  }
}

export function isArithmetic(op: FieldOp): boolean {
  return op === '+' || op === '-' || op === '*' || op === '/' || op === '%' || op === '^';
}

export function isComparison(op: FieldOp): boolean {
  return op === '=' || op === '!=' || op === '<' || op === '<=' || op === '>' || op === '>=';
}

/** The operator that says the same with its sides swapped: `100 < .x` is `.x > 100`. */
export function mirrored<Op extends FieldOp>(op: Op): Op {
  const swapped = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' }[op as string];
  return (swapped ?? op) as Op;
}

/**
 * The result of `a op b`, or undefined when there is none: types that do not go with the operator, an integer
 * divided by zero, a pattern that is none. Integers wrap at 64 bits; with a float or duration all is floats (ns).
 */
export function applyBinary(op: FieldOp, a: StaticValue, b: StaticValue): StaticValue | undefined {
  if (!areCompatible(a.type, b.type) || !isDefined(op, a.type) || !isDefined(op, b.type)) return undefined;
  if (a.type === 'nil' || b.type === 'nil') return { type: 'bool', value: false };
  if (a.type === 'int' && b.type === 'int') {
    return isArithmetic(op) ? intArithmetic(op, a.value, b.value) : compared(op, order(a.value, b.value));
  }
  if (isNumeric(a.type)) {
    const [x, y] = [asNumber(a), asNumber(b)];
    return isArithmetic(op) ? floatArithmetic(op, x, y) : floatComparison(op, x, y);
  }
  if (a.type === 'string' && b.type === 'string') {
    if (op !== '=~' && op !== '!~') return compared(op, compareUtf8(a.value, b.value));
    const matches = compileRegex(b.value);
    return matches && { type: 'bool', value: matches(a.value) === (op === '=~') };
  }
  if (a.type === 'bool' && b.type === 'bool') {
    if (op === '&&') return { type: 'bool', value: a.value && b.value };
    if (op === '||') return { type: 'bool', value: a.value || b.value };
  }
  const [x, y] = [a, b] as { value: unknown }[];
  return { type: 'bool', value: (x.value === y.value) === (op === '=') };
}

/** The result of `-a` or `!a`, or undefined when the operator is not defined for the type. */
export function applyUnary(op: '-' | '!', a: StaticValue): StaticValue | undefined {
  if (op === '!') return a.type === 'bool' ? { type: 'bool', value: !a.value } : undefined;
  if (a.type === 'int') return { type: 'int', value: BigInt.asIntN(64, -a.value) };
  if (a.type === 'float') return { type: 'float', value: -a.value };
  if (a.type === 'duration') return { type: 'duration', ns: BigInt.asIntN(64, -a.ns) };
  return undefined;
}

/** Order of the UTF-8 bytes, which is that of code points and not JavaScript's. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above 0xffff, yet are smaller units than 0xe000 … 0xffff.
    if (x >= 0xd800 && y >= 0xd800) {
      x = x >= 0xe000 ? x - 0x2000 : x + 0x2000;
      y = y >= 0xe000 ? y - 0x2000 : y + 0x2000;
    }
    return x - y;
  }
  return a.length - b.length;
}

function asNumber(value: StaticValue): number {
  if (value.type === 'duration') return Number(value.ns);
  return Number((value as { value: bigint | number }).value);
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compared(op: FieldOp, order: number): StaticValue {
  return { type: 'bool', value: holds(op, order < 0, order === 0, order > 0) };
}

function floatComparison(op: FieldOp, a: number, b: number): StaticValue {
  return { type: 'bool', value: holds(op, a < b, a === b, a > b) };
}

function holds(op: FieldOp, less: boolean, equal: boolean, greater: boolean): boolean {
  switch (op) {
    case '=':
      return equal;
    case '!=':
      return !equal;
    case '<':
      return less;
    case '<=':
      return less || equal;
    case '>':
      return greater;
    default:
      return greater || equal;
  }
}

function floatArithmetic(op: FieldOp, a: number, b: number): StaticValue {
  return { type: 'float', value: floatResult(op, a, b) };
}

function floatResult(op: FieldOp, a: number, b: number): number {
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

function intArithmetic(op: FieldOp, a: bigint, b: bigint): StaticValue | undefined {
  if ((op === '/' || op === '%') && b === 0n) return undefined;
  return { type: 'int', value: BigInt.asIntN(64, intResult(op, a, b)) };
}

function intResult(op: FieldOp, a: bigint, b: bigint): bigint {
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
      return intPower(a, b);
  }
}

/** By squaring, modulo 2^64; a negative exponent truncates to a whole number. */
function intPower(base: bigint, exponent: bigint): bigint {
  if (exponent < 0n) {
    if (base === 1n) return 1n;
    if (base === -1n) return exponent % 2n === 0n ? 1n : -1n;
    return 0n;
  }
  let result = 1n;
  for (let square = base, left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = BigInt.asIntN(64, result * square);
    square = BigInt.asIntN(64, square * square);
  }
  return result;
}
