/**
 * Text to tokens. Three things are not as in other languages:
 *
 * - An attribute is one token. Its introducer (`.`, `span.`, `parent.resource.` …) is followed at once by its name,
 *   which runs to a blank or one of `{ } ( ) = ~ ! < > & | ^ ,`: `.a-b/c:d` is one name. Any part may be quoted.
 * - A scoped intrinsic (`trace:id`) is one token, too.
 * - A number takes along every letter that makes it a duration.
 *
 * A lexical error is the last token, so that the parser reports what comes first in the text.
 */

import type { Attribute, IntrinsicName, Scope } from './ast.ts';
import { parseDuration } from './duration.ts';

export type Token = { offset: number } & (
  | { type: 'end' }
  | { type: 'error'; reason: string; inAttribute: boolean }
  | { type: 'symbol' | 'keyword' | 'identifier'; text: string }
  | { type: 'string'; value: string }
  | { type: 'integer'; value: bigint }
  | { type: 'float'; value: number }
  | { type: 'duration'; ns: bigint }
  | { type: 'attribute'; introducer: string; scope: Scope; parent: boolean; name: string }
  | { type: 'intrinsic'; prefix: string; name: IntrinsicName }
);

/** Tokens of the text, the last one of type `end` or `error`. Takes linear time. */
export function lex(text: string): Token[] {
  const tokens: Token[] = [];
  let offset = 0;
  for (;;) {
    const start = skipBlanksAndComments(text, offset);
    if (start === undefined) {
      tokens.push({ type: 'error', reason: 'comment not terminated', inAttribute: false, offset: text.length });
      return tokens;
    }
    if (start === text.length) {
      tokens.push({ type: 'end', offset: start });
      return tokens;
    }
    const { token, end } = lexToken(text, start);
    tokens.push(token);
    if (token.type === 'error') return tokens;
    offset = end;
  }
}

/** How errors call a token. */
export function describeToken(token: Token): string {
  switch (token.type) {
    case 'end':
      return '$end';
    case 'symbol':
    case 'keyword':
      return token.text;
    case 'attribute':
      return token.introducer;
    case 'intrinsic':
      return token.prefix;
    default:
      return token.type.toUpperCase();
  }
}

/** Intrinsics that are written without a prefix. */
export const bareIntrinsics: ReadonlyMap<string, IntrinsicName> = new Map(
  (
    [
      'duration',
      'name',
      'status',
      'statusMessage',
      'kind',
      'traceDuration',
      'rootName',
      'rootServiceName',
      'nestedSetLeft',
      'nestedSetRight',
      'nestedSetParent',
      'parent',
    ] as const
  ).map((name) => [name, name]),
);

const scopedIntrinsics: Record<string, Record<string, IntrinsicName>> = {
  span: {
    duration: 'duration',
    name: 'name',
    status: 'status',
    statusMessage: 'statusMessage',
    kind: 'kind',
    id: 'span:id',
    parentID: 'span:parentID',
    childCount: 'span:childCount',
  },
  trace: { duration: 'traceDuration', rootName: 'rootName', rootService: 'rootServiceName', id: 'trace:id' },
  event: { name: 'event:name', timeSinceStart: 'event:timeSinceStart' },
  link: { traceID: 'link:traceID', spanID: 'link:spanID' },
  instrumentation: { name: 'instrumentation:name', version: 'instrumentation:version' },
};

/** The words of the grammar; any other bare word is an identifier, which only hints know. */
const keywords = new Set([
  ...bareIntrinsics.keys(),
  ...['true', 'false', 'nil', 'minInt', 'maxInt', 'error', 'ok', 'unset'],
  ...['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'],
  ...['count', 'min', 'max', 'avg', 'sum', 'by', 'coalesce', 'select', 'with'],
  ...['rate', 'count_over_time', 'min_over_time', 'max_over_time', 'avg_over_time', 'sum_over_time'],
  ...['quantile_over_time', 'histogram_over_time', 'compare', 'topk', 'bottomk'],
]);

const symbols = /&>>|&<<|&>|&<|&~|&&|\|\||!>>|!<<|!>|!<|!~|!=|=~|>>|>=|<<|<=|[{}()=~!<>&|^,+\-*/%]/y;
const word = /[\p{L}_][\p{L}\p{Nd}_]*/uy;
const number = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y;
/** A number with what could make it a duration; bounded, because it is tried anew at every number. */
const numberAndUnits = /[0-9A-Za-z\u00b5\u03bc.]{1,100}/y;
const introducers = /(?:parent\.(?:span\.|resource\.)?|(?:span|resource|event|link|instrumentation)\.|\.)/y;
const intrinsicPrefix = /(span|trace|event|link|instrumentation):/y;
const bareName = /[^\s{}()=~!<>&|^,"]+/y;
const blanks = /\s*/y;

type Lexed = { token: Token; end: number };

function skipBlanksAndComments(text: string, offset: number): number | undefined {
  for (;;) {
    blanks.lastIndex = offset;
    blanks.exec(text);
    offset = blanks.lastIndex;
    if (text.startsWith('//', offset)) {
      const end = text.indexOf('\n', offset);
      offset = end === -1 ? text.length : end + 1;
    } else if (text.startsWith('/*', offset)) {
      const end = text.indexOf('*/', offset + 2);
      if (end === -1) return undefined;
      offset = end + 2;
    } else {
      return offset;
    }
  }
}

function lexToken(text: string, offset: number): Lexed {
  const character = text[offset];
  if (character === '"') return lexQuoted(text, offset);
  if (character === '`') return lexRaw(text, offset);
  if (character === "'") return lexApostrophes(text, offset);
  if (match(number, text, offset) !== undefined) return lexNumber(text, offset);
  const introducer = match(introducers, text, offset);
  if (introducer !== undefined) return lexAttribute(text, offset, introducer);
  const prefix = match(intrinsicPrefix, text, offset);
  if (prefix !== undefined) return lexScopedIntrinsic(text, offset, prefix);
  const found = match(word, text, offset);
  if (found !== undefined) {
    const type = keywords.has(found) ? 'keyword' : 'identifier';
    return { token: { type, text: found, offset }, end: offset + found.length };
  }
  const symbol = match(symbols, text, offset);
  if (symbol !== undefined) return { token: { type: 'symbol', text: symbol, offset }, end: offset + symbol.length };
  const stray = String.fromCodePoint(text.codePointAt(offset)!);
  return { token: { type: 'identifier', text: stray, offset }, end: offset + stray.length };
}

function match(pattern: RegExp, text: string, offset: number): string | undefined {
  pattern.lastIndex = offset;
  return pattern.exec(text)?.[0];
}

function errorAt(offset: number, reason: string, inAttribute = false): Lexed {
  return { token: { type: 'error', reason, inAttribute, offset }, end: offset };
}

// ---- numbers -------------------------------------------------------------------------------------------------------

const int64Max = 9_223_372_036_854_775_807n;

function lexNumber(text: string, offset: number): Lexed {
  const run = match(numberAndUnits, text, offset)!;
  const ns = /[a-z\u00b5\u03bc]$/.test(run) ? parseDuration(run) : undefined;
  if (ns !== undefined) return { token: { type: 'duration', ns, offset }, end: offset + run.length };
  const digits = match(number, text, offset)!;
  const end = offset + digits.length;
  if (/^\d+$/.test(digits)) {
    const significant = digits.replace(/^0+(?=\d)/, '');
    const value = significant.length > 19 ? undefined : BigInt(significant);
    if (value === undefined || value > int64Max) {
      return errorAt(offset, `strconv.Atoi: parsing "${digits}": value out of range`);
    }
    return { token: { type: 'integer', value, offset }, end };
  }
  const value = Number(digits);
  if (!Number.isFinite(value)) return errorAt(offset, `strconv.ParseFloat: parsing "${digits}": value out of range`);
  return { token: { type: 'float', value, offset }, end };
}

// ---- strings -------------------------------------------------------------------------------------------------------

const plainText = /[^"\\\n]+/y;
const escapeSequence = /\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))/y;
const escapes: Record<string, string> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
};

/** `"…"` with Go's escapes; `\xNN` and octal escapes name bytes of UTF-8. */
function lexQuoted(text: string, offset: number): Lexed {
  const parts: string[] = [];
  let bytes: number[] = [];
  const flushBytes = () => {
    if (bytes.length > 0) parts.push(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes)));
    bytes = [];
  };
  let at = offset + 1;
  while (text[at] !== '"') {
    const plain = match(plainText, text, at);
    if (plain !== undefined) {
      flushBytes();
      parts.push(plain);
      at += plain.length;
      continue;
    }
    if (text[at] !== '\\' || at + 1 >= text.length) return errorAt(offset, 'literal not terminated');
    escapeSequence.lastIndex = at;
    const found = escapeSequence.exec(text);
    if (!found) return errorAt(at, 'invalid char escape');
    const [all, simple, hex, short, long, octal] = found;
    at += all.length;
    if (hex !== undefined || octal !== undefined) {
      bytes.push(hex !== undefined ? Number.parseInt(hex, 16) : Number.parseInt(octal, 8));
      continue;
    }
    flushBytes();
    if (simple !== undefined) {
      parts.push(escapes[simple]);
      continue;
    }
    const codePoint = Number.parseInt(short ?? long, 16);
    if (codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) {
      return errorAt(at - all.length, 'invalid char escape');
    }
    parts.push(String.fromCodePoint(codePoint));
  }
  flushBytes();
  return { token: { type: 'string', value: parts.join(''), offset }, end: at + 1 };
}

function lexRaw(text: string, offset: number): Lexed {
  const end = text.indexOf('`', offset + 1);
  if (end === -1) return errorAt(offset, 'literal not terminated');
  const value = text.slice(offset + 1, end).replaceAll('\r', '');
  return { token: { type: 'string', value, offset }, end: end + 1 };
}

/** Not a string here: a word that no rule knows. */
function lexApostrophes(text: string, offset: number): Lexed {
  const end = text.indexOf("'", offset + 1);
  if (end === -1) return errorAt(offset, 'literal not terminated');
  return { token: { type: 'identifier', text: text.slice(offset, end + 1), offset }, end: end + 1 };
}

// ---- attributes ----------------------------------------------------------------------------------------------------

/** Whether a name needs quotes: the printer's side of the rule that `lexAttribute` reads by. */
export function needsQuotes(attribute: Pick<Attribute, 'scope' | 'parent' | 'name'>): boolean {
  const { scope, parent, name } = attribute;
  if (match(bareName, name, 0)?.length !== name.length || name === '') return true;
  if (scope !== 'none') return false;
  return parent ? /^(span|resource)\./.test(name) : /^\d/.test(name);
}

function lexAttribute(text: string, offset: number, introducer: string): Lexed {
  const parts: string[] = [];
  const nameStart = offset + introducer.length;
  let at = nameStart;
  for (;;) {
    const bare = match(bareName, text, at);
    if (bare !== undefined) {
      parts.push(bare);
      at += bare.length;
    } else if (text[at] === '"') {
      const quoted = readQuotedPart(text, at);
      if (typeof quoted === 'string') return errorAt(offset, quoted, true);
      parts.push(quoted.value);
      at = quoted.end;
    } else {
      break;
    }
  }
  if (at === nameStart) return errorAt(offset, 'syntax error: unexpected END_ATTRIBUTE, expecting IDENTIFIER', true);
  const words = introducer.slice(0, -1).split('.');
  const parent = words[0] === 'parent';
  const scope = (parent ? words[1] : words[0]) || 'none';
  const token: Token = { type: 'attribute', introducer, scope: scope as Scope, parent, name: parts.join(''), offset };
  return { token, end: at };
}

const quotedText = /[^"\\]+/y;

/** Inside quotes of a name only `\"` and `\\` are escapes. A string is an error. */
function readQuotedPart(text: string, offset: number): { value: string; end: number } | string {
  const parts: string[] = [];
  let at = offset + 1;
  while (text[at] !== '"') {
    const plain = match(quotedText, text, at);
    if (plain !== undefined) {
      parts.push(plain);
      at += plain.length;
    } else if (at >= text.length) {
      return 'unexpected EOF, expecting "';
    } else {
      const escaped = text[at + 1];
      if (escaped !== '"' && escaped !== '\\') return 'invalid escape sequence';
      parts.push(escaped);
      at += 2;
    }
  }
  return { value: parts.join(''), end: at + 1 };
}

function lexScopedIntrinsic(text: string, offset: number, prefix: string): Lexed {
  const at = offset + prefix.length;
  const found = match(word, text, at);
  const known = scopedIntrinsics[prefix.slice(0, -1)];
  if (found !== undefined && Object.hasOwn(known, found)) {
    return { token: { type: 'intrinsic', prefix, name: known[found], offset }, end: at + found.length };
  }
  const expected = Object.keys(known);
  const unexpected = found === undefined ? describeCharacter(text[at]) : keywords.has(found) ? found : 'IDENTIFIER';
  const hint = expected.length <= 4 && unexpected !== 'IDENTIFIER' ? `, expecting ${expected.join(' or ')}` : '';
  return errorAt(at, `syntax error: unexpected ${unexpected}${hint}`);
}

function describeCharacter(character: string | undefined): string {
  if (character === undefined) return '$end';
  return /\s/.test(character) ? 'blank' : character;
}
