/**
 * A condition `reference op literal` as tests of stored values, one for each type that the literal can be compared with
 * (spec/traceql.md §6.1: a string literal sees only strings, an int literal only ints, a float literal only doubles).
 * A column whose type has no test has no match.
 */
import { VivaceError } from '../runtime/errors.ts';
import type { ComparisonOp, RegexOp, StaticValue } from '../traceql/ast.ts';
import { compileRegex } from '../traceql/regex.ts';
import { compareUtf8 } from '../traceql/values.ts';
import type { AnyValue } from '../block/any-value.ts';

/** Bit 0: smaller satisfies, bit 1: equal, bit 2: greater, bit 3: incomparable (NaN). */
export type OrderMask = number;

/** Whether the string in bytes[from, to) satisfies a condition. */
export interface StringTest {
  (bytes: Uint8Array, from: number, to: number): boolean;
  /** The only strings that do, where they are known: they can be searched for among many. */
  only?: readonly Uint8Array[];
  /** What a byte costs at worst, about 10 ns each: tests of regular expressions may be slow. */
  cost?: number;
}

export interface ValueTest {
  /** Called once a distinct string. */
  string?: StringTest;
  /** int64 values compared with this one. */
  int?: { low: number; high: number; mask: OrderMask };
  /** int64 values, told by their words; the low one is unsigned. */
  intAnyOf?: (low: number, high: number) => boolean;
  double?: { value: number; mask: OrderMask };
  doubleAnyOf?: ReadonlySet<number>;
  bool?: { value: number; equal: boolean };
  /** Arrays alone satisfy it: one element must satisfy one of these. */
  elements?: readonly ValueTest[];
}

const MASKS: Record<ComparisonOp, OrderMask> = { '<': 1, '<=': 3, '=': 2, '>=': 6, '>': 4, '!=': 13 };

/** The test of `op value` on an attribute. */
export function attributeTest(op: ComparisonOp | RegexOp, value: StaticValue): ValueTest {
  switch (value.type) {
    case 'string':
      return { string: stringTest(op, value.value) };
    case 'int':
      return op === '=~' || op === '!~' ? {} : { int: intTest(op, value.value) };
    case 'float':
      return op === '=~' || op === '!~' ? {} : { double: { value: value.value, mask: MASKS[op] } };
    case 'bool':
      return op === '=' || op === '!=' ? { bool: { value: value.value ? 1 : 0, equal: op === '=' } } : {};
    default:
      return {};
  }
}

/** The test of being equal to one of the values, which are strings, whole numbers (or durations) or floats, all alike. */
export function anyOfTest(values: readonly StaticValue[]): ValueTest {
  const strings = new Set<string>();
  const doubles = new Set<number>();
  const lows = new Map<number, Set<number>>();
  for (const value of values) {
    if (value.type === 'string') strings.add(value.value);
    if (value.type === 'float') doubles.add(value.value);
    if (value.type === 'int' || value.type === 'duration') {
      const { low, high } = intTest('=', value.type === 'int' ? value.value : value.ns);
      const known = lows.get(high);
      if (known === undefined) lows.set(high, new Set([low]));
      else known.add(low);
    }
  }
  return {
    ...(strings.size > 0 && { string: anyStringTest(strings) }),
    ...(doubles.size > 0 && { doubleAnyOf: doubles }),
    ...(lows.size > 0 && { intAnyOf: (low, high) => lows.get(high)?.has(low) === true }),
  };
}

function anyStringTest(strings: ReadonlySet<string>): StringTest {
  const test: StringTest = (bytes, from, to) => strings.has(decode(bytes, from, to));
  test.only = Array.from(strings, (text) => Buffer.from(text));
  return test;
}

/** The test of an int64 in nanoseconds or of a plain whole number: int and duration literals alike, floats by value. */
export function numberTest(op: ComparisonOp | RegexOp, value: StaticValue): ValueTest {
  if (op === '=~' || op === '!~') return {};
  if (value.type === 'int') return { int: intTest(op, value.value) };
  if (value.type === 'duration') return { int: intTest(op, value.ns) };
  if (value.type !== 'float') return {};
  return floatAgainstInts(op, value.value);
}

/** Bytes of a string, compared without decoding where the operator allows it. */
export function stringTest(op: ComparisonOp | RegexOp, text: string): StringTest {
  if (op === '=~' || op === '!~') {
    const matches = compileRegex(text);
    if (matches === undefined) throw new VivaceError('invalid', `invalid regex: \`${text}\``);
    const test: StringTest = (bytes, from, to) => matches(decode(bytes, from, to)) === (op === '=~');
    test.cost = text.length;
    return test;
  }
  if (op === '=' || op === '!=') {
    const wanted = Buffer.from(text);
    const equal = op === '=';
    const test: StringTest = (bytes, from, to) => {
      if (to - from !== wanted.length) return !equal;
      for (let i = 0; i < wanted.length; i++) if (bytes[from + i] !== wanted[i]) return !equal;
      return equal;
    };
    if (equal) test.only = [wanted];
    return test;
  }
  const mask = MASKS[op];
  return (bytes, from, to) => {
    const order = compareUtf8(decode(bytes, from, to), text);
    return (mask & (order < 0 ? 1 : order === 0 ? 2 : 4)) !== 0;
  };
}

/** The test on a decoded value; an array satisfies it when one of its elements does. */
export function testAny(test: ValueTest, value: AnyValue): boolean {
  switch (value.type) {
    case 'string': {
      if (test.string === undefined) return false;
      const bytes = Buffer.from(value.value);
      return test.string(bytes, 0, bytes.length);
    }
    case 'int': {
      const [low, high] = [Number(BigInt.asUintN(32, value.value)), Number(BigInt.asIntN(32, value.value >> 32n))];
      if (test.intAnyOf !== undefined) return test.intAnyOf(low, high);
      return test.int !== undefined && testInt(test.int, low, high);
    }
    case 'double':
      if (test.doubleAnyOf !== undefined) return test.doubleAnyOf.has(value.value);
      return test.double !== undefined && testDouble(test.double, value.value);
    case 'bool':
      return test.bool !== undefined && (value.value === (test.bool.value === 1)) === test.bool.equal;
    case 'array': {
      const type = value.values[0]?.type;
      // Mixed and nested arrays have no readable value.
      if (type === undefined || type === 'array' || value.values.some((each) => each.type !== type)) return false;
      const tests = test.elements ?? [test];
      return value.values.some((each) => tests.some((one) => testAny(one, each)));
    }
    default:
      return false;
  }
}

export function testInt(test: { low: number; high: number; mask: OrderMask }, low: number, high: number): boolean {
  const order = high < test.high ? 1 : high > test.high ? 4 : low >>> 0 < test.low ? 1 : low >>> 0 > test.low ? 4 : 2;
  return (test.mask & order) !== 0;
}

export function testDouble(test: { value: number; mask: OrderMask }, value: number): boolean {
  const order = value < test.value ? 1 : value > test.value ? 4 : value === test.value ? 2 : 8;
  return (test.mask & order) !== 0;
}

function intTest(op: ComparisonOp, value: bigint): { low: number; high: number; mask: OrderMask } {
  const wrapped = BigInt.asIntN(64, value);
  return { low: Number(wrapped & 0xffffffffn), high: Number(wrapped >> 32n), mask: MASKS[op] };
}

/** A float literal against whole numbers: the nearest whole numbers around it decide. */
function floatAgainstInts(op: ComparisonOp, value: number): ValueTest {
  if (Number.isNaN(value)) return op === '!=' ? { int: { low: 0, high: 0, mask: 15 } } : {};
  const limit = 2 ** 63;
  if (value >= limit || value < -limit) {
    const smaller = value >= limit;
    const all = op === '!=' || (smaller ? op === '<' || op === '<=' : op === '>' || op === '>=');
    return all ? { int: { low: 0, high: 0, mask: 15 } } : {};
  }
  const floor = Math.floor(value);
  if (floor === value) return { int: intTest(op, BigInt(floor)) };
  // Between floor and floor + 1: smaller or equal to floor is smaller.
  switch (op) {
    case '<':
    case '<=':
      return { int: intTest('<=', BigInt(floor)) };
    case '>':
    case '>=':
      return { int: intTest('>', BigInt(floor)) };
    case '!=':
      return { int: { low: 0, high: 0, mask: 15 } };
    default:
      return {};
  }
}

function decode(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
}
