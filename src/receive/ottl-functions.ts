/**
 * The functions of OTTL that conditions may use here.
 * Source: https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/main/pkg/ottl/ottlfuncs/README.md
 */
import { RE2JS } from 're2js';
import { textOf, Unanswerable, type Value } from './ottl-value.ts';

interface Compiled {
  call(values: Value[]): Value;
  /** The function alone is a condition. */
  isBoolean: boolean;
}

/** What is known of an argument before any span is asked. */
interface Argument {
  literal?: Value;
}

type Make = (given: readonly Argument[]) => (values: Value[]) => Value;

const test =
  (holds: (value: Value) => boolean): Make =>
  () =>
  ([value]) =>
    holds(value);

const affix =
  (holds: (text: string, affix: string) => boolean): Make =>
  () =>
  ([text, affix]) => {
    if (text === undefined) return false;
    if (typeof text !== 'string' || typeof affix !== 'string') throw new Unanswerable();
    return holds(text, affix);
  };

const id =
  (bytes: number): Make =>
  ([{ literal }]) => {
    if (!(literal instanceof Uint8Array) || literal.length !== bytes)
      throw new Error(`it takes ${bytes} bytes, written as 0x…`);
    return () => literal;
  };

const changed =
  (change: (text: string) => string): Make =>
  () =>
  ([text]) => {
    if (typeof text !== 'string') throw new Unanswerable();
    return change(text);
  };

/** Number of arguments, what makes it, and whether it answers yes or no. */
const FUNCTIONS: Readonly<Record<string, [count: number, make: Make, isBoolean: boolean]>> = {
  IsMatch: [2, isMatch, true],
  HasPrefix: [2, affix((text, prefix) => text.startsWith(prefix)), true],
  HasSuffix: [2, affix((text, suffix) => text.endsWith(suffix)), true],
  IsString: [1, test((value) => typeof value === 'string'), true],
  IsInt: [1, test((value) => typeof value === 'bigint'), true],
  IsDouble: [1, test((value) => typeof value === 'number'), true],
  IsBool: [1, test((value) => typeof value === 'boolean'), true],
  IsList: [1, test((value) => Array.isArray(value)), true],
  IsMap: [1, test((value) => value instanceof Map), true],
  // Its argument is the span's parent, which the caller adds.
  IsRootSpan: [0, test((parent) => parent instanceof Uint8Array && parent.every((byte) => byte === 0)), true],
  Len: [
    1,
    () =>
      ([value]) =>
        lengthOf(value),
    false,
  ],
  ToLowerCase: [1, changed((text) => text.toLowerCase()), false],
  ToUpperCase: [1, changed((text) => text.toUpperCase()), false],
  TraceID: [1, id(16), false],
  SpanID: [1, id(8), false],
};

/** Throws what is wrong with the name or its arguments. */
export function functionOf(name: string, given: readonly Argument[]): Compiled {
  if (!Object.hasOwn(FUNCTIONS, name))
    throw new Error(`function ${name} is not supported (supported: ${Object.keys(FUNCTIONS).join(', ')})`);
  const [count, make, isBoolean] = FUNCTIONS[name];
  if (given.length !== count) throw new Error(`${name} takes ${count} arguments, not ${given.length}`);
  return { call: make(given), isBoolean };
}

/** The pattern may match anywhere; what is no text is matched as it is written. */
function isMatch([, { literal }]: readonly Argument[]): (values: Value[]) => Value {
  if (typeof literal !== 'string') throw new Error('the pattern of IsMatch must be a text');
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(literal);
  } catch (error) {
    throw new Error(`the pattern of IsMatch is no regular expression (${(error as Error).message})`);
  }
  return ([value]) => value !== undefined && pattern.matcher(textOf(value)).find();
}

function lengthOf(value: Value): bigint {
  if (typeof value === 'string') return BigInt(Buffer.byteLength(value));
  if (value instanceof Uint8Array || Array.isArray(value)) return BigInt(value.length);
  if (value instanceof Map) return BigInt(value.size);
  throw new Unanswerable();
}
