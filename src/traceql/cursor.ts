import type { TraceQLError } from './error.ts';
import { syntaxError } from './error.ts';
import { describeToken, lex, type Token } from './lex.ts';

/**
 * How deep parentheses, prefixes and powers may nest. Generous for people and machines, and few enough frames for
 * every stack, here and in whoever walks the tree.
 */
export const nestingMax = 512;

/** The parser's place in the text. */
export type Cursor = { text: string; tokens: Token[]; at: number; nesting: number };

export function cursorOver(text: string): Cursor {
  return { text, tokens: lex(text), at: 0, nesting: 0 };
}

export function peek(cursor: Cursor): Token {
  return cursor.tokens[cursor.at];
}

/** Steps over the token and answers it; the last token is never left. */
export function take(cursor: Cursor): Token {
  const token = cursor.tokens[cursor.at];
  if (cursor.at < cursor.tokens.length - 1) cursor.at++;
  return token;
}

/** The symbol at the cursor, or undefined when another kind of token stands there. */
export function peekSymbol(cursor: Cursor): string | undefined {
  const token = cursor.tokens[cursor.at];
  return token.type === 'symbol' ? token.text : undefined;
}

/** The keyword at the cursor, or undefined when another kind of token stands there. */
export function peekKeyword(cursor: Cursor): string | undefined {
  const token = cursor.tokens[cursor.at];
  return token.type === 'keyword' ? token.text : undefined;
}

/** Steps over the symbol if it is the one. */
export function accept(cursor: Cursor, symbol: string): boolean {
  if (peekSymbol(cursor) !== symbol) return false;
  take(cursor);
  return true;
}

/** Steps over the symbol or throws; `expecting` goes into the error's text. */
export function expect(cursor: Cursor, symbol: string, expecting?: string): void {
  if (!accept(cursor, symbol)) throw unexpected(cursor, expecting);
}

/** The error for the token at the cursor (or another one). */
export function unexpected(cursor: Cursor, expecting?: string, token: Token = peek(cursor)): TraceQLError {
  if (token.type === 'error') return syntaxError(cursor.text, token.offset, token.reason, token.inAttribute);
  const hint = expecting === undefined ? '' : `, expecting ${expecting}`;
  const reason = `syntax error: unexpected ${describeToken(token)}${hint}`;
  return syntaxError(cursor.text, token.offset, reason, token.type === 'attribute' && token.introducer !== '.');
}

/** Runs `parse` one level deeper. */
export function nested<T>(cursor: Cursor, parse: (cursor: Cursor) => T): T {
  if (++cursor.nesting > nestingMax) {
    throw syntaxError(cursor.text, peek(cursor).offset, `nested more than ${nestingMax} levels deep`);
  }
  const parsed = parse(cursor);
  cursor.nesting--;
  return parsed;
}
