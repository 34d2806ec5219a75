/**
 * `-config.expand-env=true`: fills `${NAME}` in a text from the environment before it is read as YAML, with the operators
 * of the drone/envsubst library (version 1) that Tempo uses.
 *
 *   text      := ( literal | '$$' | '\\' | '\/' | '${' function '}' )*
 *   function  := '#' name | name [ operator argument… ]
 *   operator  := ':-' ':=' '=' ':?' ':+'   default when unset or empty
 *              | ':' offset [ ':' length ]  part of the value
 *              | '^' '^^' ',' ',,'          upper and lower case
 *              | '#' '##' '%' '%%' pattern  cut a prefix or suffix, shortest or longest
 *              | '/' '//' '/#' '/%' a '/' b replace first, all, prefix, suffix
 *
 * `$NAME` without braces is left alone; so are comments' other characters, but a placeholder in a comment counts. One
 * addition: `${NAME:default}`, where the library would see a part of the value with an offset that is no number, is a
 * default, as its writer meant.
 */
import { VivaceError } from '../runtime/errors.ts';

/** A default may hold a placeholder, whose default may hold another, and so on to this depth. */
const depthMax = 64;

export type Lookup = (name: string) => string | undefined;

/** Throws `invalid` with the library's reason and the place, counted from 1. */
export function expand(text: string, lookup: Lookup): string {
  const scanner: Scanner = { text, at: 0, lookup };
  const out: string[] = [];
  while (scanner.at < text.length) {
    const next = nextSpecial(text, scanner.at);
    out.push(text.slice(scanner.at, next));
    scanner.at = next;
    if (next < text.length) out.push(special(scanner, 0));
  }
  return out.join('');
}

interface Scanner {
  text: string;
  at: number;
  lookup: Lookup;
}

function nextSpecial(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x24 || code === 0x5c) return at;
  }
  return text.length;
}

/** What stands for the `$` or backslash at the scanner, which moves behind it. */
function special(scanner: Scanner, depth: number): string {
  const { text, at } = scanner;
  if (text[at] === '\\') {
    const escaped = text[at + 1] === '\\' || text[at + 1] === '/';
    scanner.at += escaped ? 2 : 1;
    return escaped ? text[at + 1] : '\\';
  }
  if (text[at + 1] === '$') {
    scanner.at += 2;
    return '$';
  }
  if (text[at + 1] !== '{') {
    scanner.at += 1;
    return '$';
  }
  scanner.at += 2;
  return functionValue(scanner, at, depth);
}

function functionValue(scanner: Scanner, start: number, depth: number): string {
  if (depth > depthMax) throw failure(scanner, start, `placeholders are nested deeper than ${depthMax}`);
  const isLength = scanner.text[scanner.at] === '#';
  if (isLength) scanner.at++;
  const name = takeName(scanner);
  if (name === '') throw failure(scanner, start, 'unable to parse variable name');
  const value = scanner.lookup(name) ?? '';
  if (isLength) return closed(scanner, start, String([...value].length));
  const operator = takeOperator(scanner);
  if (operator === '') return closed(scanner, start, value);
  const argument = (stop: string): string => takeArgument(scanner, start, depth, stop);
  switch (operator) {
    case '^^':
      return closed(scanner, start, value.toUpperCase());
    case ',,':
      return closed(scanner, start, value.toLowerCase());
    case '^':
      return closed(scanner, start, value.slice(0, 1).toUpperCase() + value.slice(1));
    case ',':
      return closed(scanner, start, value.slice(0, 1).toLowerCase() + value.slice(1));
    case ':':
      return closed(scanner, start, partOrDefault(value, argument('}')));
    case '#':
    case '##':
      return closed(scanner, start, cutPrefix(value, argument('}'), operator === '##'));
    case '%':
    case '%%':
      return closed(scanner, start, cutSuffix(value, argument('}'), operator === '%%'));
    case '/':
    case '//':
    case '/#':
    case '/%': {
      const from = argument('/}');
      let to = '';
      if (scanner.text[scanner.at] === '/') {
        scanner.at++;
        to = argument('}');
      }
      return closed(scanner, start, replaced(value, operator, from, to));
    }
    default: {
      const byDefault = argument('}');
      return closed(scanner, start, value === '' ? byDefault : value);
    }
  }
}

function takeName(scanner: Scanner): string {
  const from = scanner.at;
  while (/[A-Za-z0-9_]/.test(scanner.text[scanner.at] ?? '')) scanner.at++;
  return scanner.text.slice(from, scanner.at);
}

const operators = [':-', ':=', ':?', ':+', ':', '=', '^^', '^', ',,', ',', '##', '#', '%%', '%', '//', '/#', '/%', '/'];

function takeOperator(scanner: Scanner): string {
  const operator = operators.find((candidate) => scanner.text.startsWith(candidate, scanner.at)) ?? '';
  scanner.at += operator.length;
  return operator;
}

/** Text up to one of the characters `stop`, which stays; placeholders and escapes inside are filled in. */
function takeArgument(scanner: Scanner, start: number, depth: number, stop: string): string {
  const out: string[] = [];
  let from = scanner.at;
  while (scanner.at < scanner.text.length) {
    const character = scanner.text[scanner.at];
    if (stop.includes(character)) {
      out.push(scanner.text.slice(from, scanner.at));
      return out.join('');
    }
    if (character === '$' || character === '\\') {
      out.push(scanner.text.slice(from, scanner.at), special(scanner, depth + 1));
      from = scanner.at;
    } else {
      scanner.at++;
    }
  }
  throw failure(scanner, start, 'missing closing brace');
}

function closed(scanner: Scanner, start: number, value: string): string {
  if (scanner.text[scanner.at] !== '}') throw failure(scanner, start, 'missing closing brace');
  scanner.at++;
  return value;
}

/** `2`, `2:3` and `-2` name a part of the value; anything else is a default. */
function partOrDefault(value: string, argument: string): string {
  const part = /^(-?\d{1,9})(?::(\d{1,9}))?$/.exec(argument);
  if (!part) return value === '' ? argument : value;
  const offset = Number(part[1]);
  const from = offset < 0 ? Math.max(0, value.length + offset) : offset;
  return part[2] === undefined ? value.slice(from) : value.slice(from, from + Number(part[2]));
}

function cutPrefix(value: string, pattern: string, longest: boolean): string {
  const lengths = Array.from({ length: value.length + 1 }, (_, index) => index);
  if (longest) lengths.reverse();
  const found = lengths.find((length) => matches(pattern, value.slice(0, length)));
  return found === undefined ? value : value.slice(found);
}

function cutSuffix(value: string, pattern: string, longest: boolean): string {
  const starts = Array.from({ length: value.length + 1 }, (_, index) => index);
  if (!longest) starts.reverse();
  const found = starts.find((start) => matches(pattern, value.slice(start)));
  return found === undefined ? value : value.slice(0, found);
}

/** Shell pattern with `*` and `?`, over the whole text. */
function matches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

function replaced(value: string, operator: string, from: string, to: string): string {
  if (from === '') return value;
  if (operator === '//') return value.replaceAll(from, () => to);
  if (operator === '/#') return value.startsWith(from) ? to + value.slice(from.length) : value;
  if (operator === '/%') return value.endsWith(from) ? value.slice(0, value.length - from.length) + to : value;
  return value.replace(from, () => to);
}

function failure(scanner: Scanner, start: number, reason: string): VivaceError {
  const before = scanner.text.slice(0, start).split('\n');
  const excerpt = scanner.text.slice(start, start + 30).split('\n')[0];
  return new VivaceError(
    'invalid',
    `${reason} (line ${before.length}, column ${before[before.length - 1].length + 1}: ${excerpt})`,
  );
}
