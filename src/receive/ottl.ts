/**
 * Conditions of the OpenTelemetry Transformation Language, as the filters of forwarders use them: comparisons of paths,
 * literals and a few functions, joined by `and`, `or` and `not`. A condition is compiled once into closures; nothing of it is
 * looked up again when spans are asked.
 *
 *   or         = and { "or" and }
 *   and        = not { "and" not }
 *   not        = [ "not" ] ( "(" or ")" | comparison )
 *   comparison = value [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value ]
 *   value      = text | [-] number | 0x bytes | true | false | nil | ENUM | Function "(" values ")" | path
 *   path       = name { "." name | "[" ( text | number ) "]" }
 *
 * Source: https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/main/pkg/ottl/LANGUAGE.md
 */
import { VivaceError } from '../runtime/errors.ts';
import { functionOf } from './ottl-functions.ts';
import { Unanswerable, type Value } from './ottl-value.ts';

/** Finds the value that a path names in what a condition is asked about. */
export type Getter<Context> = (context: Context) => Value;

/** `path`: its names, without brackets. Undefined: there is no such path. */
export type PathOf<Context> = (path: readonly string[]) => Getter<Context> | undefined;

const ENUMS: Readonly<Record<string, bigint>> = {
  SPAN_KIND_UNSPECIFIED: 0n,
  SPAN_KIND_INTERNAL: 1n,
  SPAN_KIND_SERVER: 2n,
  SPAN_KIND_CLIENT: 3n,
  SPAN_KIND_PRODUCER: 4n,
  SPAN_KIND_CONSUMER: 5n,
  STATUS_CODE_UNSET: 0n,
  STATUS_CODE_OK: 1n,
  STATUS_CODE_ERROR: 2n,
};

const CONDITION_CHARACTERS_MAX = 64 << 10;
const NESTING_MAX = 100;

/**
 * The condition as a predicate. What cannot be answered (a text where a list is needed) is not true. Throws VivaceError
 * 'invalid' with the place for what is no condition, or uses what is not known here.
 */
export function compileCondition<Context>(text: string, pathOf: PathOf<Context>): (context: Context) => boolean {
  const condition = new Parser(text, pathOf).whole();
  return (context) => {
    try {
      return condition(context) === true;
    } catch (error) {
      if (error instanceof Unanswerable) return false;
      throw error;
    }
  };
}

type Token = { kind: 'text' | 'number' | 'bytes' | 'name' | 'symbol' | 'end'; text: string; at: number };

const TOKEN =
  /\s*(?:("(?:[^"\\]|\\.)*")|(0x[0-9a-fA-F]*)|(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_][A-Za-z0-9_]*)|(==|!=|<=|>=|[<>()[\].,+*/-]))/y;

class Parser<Context> {
  readonly #text: string;
  readonly #pathOf: PathOf<Context>;
  readonly #tokens: Token[];
  #next = 0;
  #depth = 0;

  constructor(text: string, pathOf: PathOf<Context>) {
    this.#text = text;
    this.#pathOf = pathOf;
    if (text.length > CONDITION_CHARACTERS_MAX) throw this.#fail('the condition is too long', 0);
    this.#tokens = this.#lex();
  }

  whole(): Getter<Context> {
    const condition = this.#or();
    if (this.#peek().kind !== 'end') throw this.#unexpected('and, or, or the end');
    return condition;
  }

  #or(): Getter<Context> {
    if (++this.#depth > NESTING_MAX) throw this.#fail(`nested more than ${NESTING_MAX} levels`);
    const parts = [this.#and()];
    while (this.#takeName('or')) parts.push(this.#and());
    this.#depth--;
    return parts.length === 1 ? parts[0] : (context) => parts.some((part) => part(context) === true);
  }

  #and(): Getter<Context> {
    const parts = [this.#not()];
    while (this.#takeName('and')) parts.push(this.#not());
    return parts.length === 1 ? parts[0] : (context) => parts.every((part) => part(context) === true);
  }

  #not(): Getter<Context> {
    const isNegated = this.#takeName('not');
    let condition: Getter<Context>;
    if (this.#takeSymbol('(')) {
      condition = this.#or();
      this.#expect(')');
    } else condition = this.#comparison();
    return isNegated ? (context) => condition(context) !== true : condition;
  }

  #comparison(): Getter<Context> {
    const start = this.#peek();
    const left = this.#value();
    const operator = this.#peek().text;
    const compare = this.#peek().kind === 'symbol' ? COMPARISONS[operator] : undefined;
    if (compare === undefined) {
      if ('+-*/'.includes(operator) && operator !== '') throw this.#fail('arithmetic is not supported');
      const isBoolean = start.text === 'true' || start.text === 'false' || left.isBoolean === true;
      if (!isBoolean) throw this.#unexpected('a comparison');
      return left.get;
    }
    this.#next++;
    const right = this.#value();
    if ('+-*/'.includes(this.#peek().text) && this.#peek().text !== '') throw this.#fail('arithmetic is not supported');
    return (context) => compare(left.get(context), right.get(context));
  }

  #value(): { get: Getter<Context>; literal?: Value; isBoolean?: boolean } {
    const token = this.#peek();
    const literal = (value: Value) => {
      this.#next++;
      return { get: () => value, literal: value };
    };
    switch (token.kind) {
      case 'text':
        return literal(this.#unquoted(token));
      case 'bytes':
        if (token.text.length % 2 !== 0) throw this.#fail('half a byte', token.at);
        return literal(Buffer.from(token.text.slice(2), 'hex'));
      case 'number':
        return literal(numberOf(token.text, false));
      case 'symbol':
        if (token.text !== '-' || this.#tokens[this.#next + 1].kind !== 'number') break;
        this.#next++;
        return literal(numberOf(this.#peek().text, true));
      case 'name': {
        if (token.text === 'true' || token.text === 'false') return literal(token.text === 'true');
        if (token.text === 'nil') return literal(undefined);
        if (KEYWORDS.has(token.text)) break;
        if (Object.hasOwn(ENUMS, token.text)) return literal(ENUMS[token.text]);
        if (this.#tokens[this.#next + 1].text === '(') return this.#function();
        if (/^[A-Z]/.test(token.text)) throw this.#fail(`unknown name ${token.text}`, token.at);
        return { get: this.#path() };
      }
    }
    throw this.#unexpected('a value');
  }

  #function(): { get: Getter<Context>; isBoolean: boolean } {
    const { text: name, at } = this.#take();
    this.#expect('(');
    const values: { get: Getter<Context>; literal?: Value }[] = [];
    if (!this.#takeSymbol(')')) {
      do values.push(this.#value());
      while (this.#takeSymbol(','));
      this.#expect(')');
    }
    try {
      const { call, isBoolean } = functionOf(
        name,
        values.map((value) => ('literal' in value ? { literal: value.literal } : {})),
      );
      // A root span is one without a parent, which only its context knows.
      if (name === 'IsRootSpan') values.push({ get: this.#pathNamed(['span', 'parent_span_id'], at) });
      return { get: (context) => call(values.map(({ get }) => get(context))), isBoolean };
    } catch (error) {
      throw this.#fail((error as Error).message, at);
    }
  }

  #path(): Getter<Context> {
    const { text, at } = this.#take();
    const names = [text];
    while (this.#takeSymbol('.')) {
      if (this.#peek().kind !== 'name') throw this.#unexpected('a name');
      names.push(this.#take().text);
    }
    let get = this.#pathNamed(names, at);
    while (this.#takeSymbol('[')) {
      const token = this.#take();
      const isKey = token.kind === 'text';
      if (!isKey && !/^\d+$/.test(token.text))
        throw this.#fail('expected a text or a number between brackets', token.at);
      const key = isKey ? this.#unquoted(token) : Number(token.text);
      this.#expect(']');
      const whole = get;
      get = (context) => member(whole(context), key);
    }
    return get;
  }

  #pathNamed(names: readonly string[], at: number): Getter<Context> {
    const get = this.#pathOf(names);
    if (get === undefined) throw this.#fail(`unknown path ${names.join('.')}`, at);
    return get;
  }

  #unquoted(token: Token): string {
    return token.text
      .slice(1, -1)
      .replace(/\\(.)/gs, (_, escaped: string) => ({ n: '\n', t: '\t', r: '\r' })[escaped] ?? escaped);
  }

  #lex(): Token[] {
    const tokens: Token[] = [];
    const text = this.#text.trimEnd();
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < text.length) {
      const from = TOKEN.lastIndex;
      const found = TOKEN.exec(text);
      if (found === null) throw this.#fail(`unexpected ${JSON.stringify(text.slice(from).trimStart()[0])}`, from);
      const index = found.findIndex((part, i) => i > 0 && part !== undefined);
      const kind = (['text', 'bytes', 'number', 'name', 'symbol'] as const)[index - 1];
      tokens.push({ kind, text: found[index], at: TOKEN.lastIndex - found[index].length });
    }
    tokens.push({ kind: 'end', text: '', at: text.length });
    return tokens;
  }

  #peek(): Token {
    return this.#tokens[this.#next];
  }

  #take(): Token {
    const token = this.#tokens[this.#next];
    if (token.kind !== 'end') this.#next++;
    return token;
  }

  #takeName(name: string): boolean {
    if (this.#peek().kind !== 'name' || this.#peek().text !== name) return false;
    this.#next++;
    return true;
  }

  #takeSymbol(symbol: string): boolean {
    if (this.#peek().kind !== 'symbol' || this.#peek().text !== symbol) return false;
    this.#next++;
    return true;
  }

  #expect(symbol: string): void {
    if (!this.#takeSymbol(symbol)) throw this.#unexpected(`"${symbol}"`);
  }

  #unexpected(wanted: string): VivaceError {
    const { kind, text, at } = this.#peek();
    return this.#fail(`unexpected ${kind === 'end' ? 'end' : text}, expected ${wanted}`, at);
  }

  #fail(what: string, at = this.#peek().at): VivaceError {
    const text = this.#text.length > 200 ? `${this.#text.slice(0, 200)}…` : this.#text;
    return new VivaceError('invalid', `cannot understand OTTL condition ${JSON.stringify(text)}: ${what} at ${at + 1}`);
  }
}

const KEYWORDS = new Set(['and', 'or', 'not']);

function numberOf(text: string, isNegative: boolean): Value {
  if (/^\d+$/.test(text)) return isNegative ? -BigInt(text) : BigInt(text);
  return isNegative ? -Number(text) : Number(text);
}

/** A member of a map or a list; nil when it is not there. */
function member(whole: Value, key: string | number): Value {
  if (whole === undefined) return undefined;
  if (typeof key === 'string') {
    if (whole instanceof Map) return whole.get(key);
  } else if (Array.isArray(whole)) return whole[key];
  throw new Unanswerable();
}

/** Values of types that cannot be compared are different, and neither is the greater one. */
const COMPARISONS: Readonly<Record<string, (a: Value, b: Value) => boolean>> = {
  '==': isEqual,
  '!=': (a, b) => !isEqual(a, b),
  '<': (a, b) => order(a, b, (sign) => sign < 0),
  '<=': (a, b) => order(a, b, (sign) => sign <= 0),
  '>': (a, b) => order(a, b, (sign) => sign > 0),
  '>=': (a, b) => order(a, b, (sign) => sign >= 0),
};

function isEqual(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return a <= b && a >= b;
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, i) => isEqual(each, b[i]));
  if (a instanceof Map && b instanceof Map)
    return a.size === b.size && [...a].every(([key, value]) => b.has(key) && isEqual(value, b.get(key)));
  return a === b;
}

function order(a: Value, b: Value, holds: (sign: number) => boolean): boolean {
  if (isNumber(a) && isNumber(b)) return a < b ? holds(-1) : a > b ? holds(1) : a <= b && holds(0);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return holds(Buffer.compare(a, b));
  if (typeof a === 'string' && typeof b === 'string') return holds(Buffer.compare(Buffer.from(a), Buffer.from(b)));
  if (typeof a === 'boolean' && typeof b === 'boolean') return holds(Number(a) - Number(b));
  return false;
}

function isNumber(value: Value): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}
