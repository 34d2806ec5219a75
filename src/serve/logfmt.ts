/**
 * The `tags` parameter of a legacy search: `service.name=shop http.status_code=500 note="two words"`. Pairs are
 * separated by blanks; a key ends at `=` or a blank and may hold neither a quote; a value is bare or a JSON-like quoted
 * text. A key without a value has the empty one. Positions in errors count bytes from 1.
 */
import { VivaceError } from '../runtime/errors.ts';

/** The pairs in order. Throws `invalid`, whose message says what and where, for bad syntax or a repeated key. */
export function parseLogfmt(text: string): Map<string, string> {
  const tags = new Map<string, string>();
  let at = 0;
  while ((at = skipBlanks(text, at)) < text.length) {
    const keyEnd = endOfBare(text, at);
    if (keyEnd === at || text[keyEnd] === '"') unexpected(text, keyEnd);
    const key = text.slice(at, keyEnd);
    let value = '';
    at = keyEnd;
    if (text[at] === '=') [value, at] = readValue(text, at + 1);
    if (tags.has(key)) throw new VivaceError('invalid', `tag ${key} has been set twice`);
    tags.set(key, value);
  }
  return tags;
}

function readValue(text: string, at: number): [string, number] {
  if (text[at] === '"') return readQuoted(text, at);
  const end = endOfBare(text, at);
  if (text[end] === '=' || text[end] === '"') unexpected(text, end);
  return [text.slice(at, end), end];
}

function readQuoted(text: string, open: number): [string, number] {
  let close = open + 1;
  while (close < text.length && text[close] !== '"') close += text[close] === '\\' ? 2 : 1;
  if (close >= text.length) {
    throw new VivaceError('invalid', `unterminated quoted value at pos ${position(text, text.length) + 1}`);
  }
  const after = close + 1;
  if (after < text.length && text.charCodeAt(after) > BLANK) unexpected(text, after);
  try {
    // Control characters may stand as they are here, unlike in JSON.
    const body = text.slice(open, after).replace(/[\u0000-\u001f]/g, (c) => JSON.stringify(c).slice(1, -1));
    return [JSON.parse(body) as string, after];
  } catch (cause) {
    throw new VivaceError('invalid', `invalid quoted value at pos ${position(text, open)}`, { cause });
  }
}

const BLANK = 0x20;

function skipBlanks(text: string, at: number): number {
  while (at < text.length && text.charCodeAt(at) <= BLANK) at++;
  return at;
}

function endOfBare(text: string, at: number): number {
  while (at < text.length && text.charCodeAt(at) > BLANK && text[at] !== '=' && text[at] !== '"') at++;
  return at;
}

function unexpected(text: string, at: number): never {
  throw new VivaceError('invalid', `unexpected '${text[at]}' at pos ${position(text, at + 1)}`);
}

function position(text: string, length: number): number {
  return Buffer.byteLength(text.slice(0, length));
}
