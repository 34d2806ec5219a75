/**
 * The filter `q` of tag names and values. It comes from editors while people type, so it is read with leniency:
 * matchers without a value are dropped, a missing closing brace is supplied, and whatever cannot be used is no filter
 * at all rather than an error.
 */

import type { FieldExpr, LogicalOp, Reference } from './ast.ts';
import { checkQuery } from './check.ts';
import { readsOfFilter } from './conditions.ts';
import { TraceQLError } from './error.ts';
import { lex, type Token } from './lex.ts';
import { parseQuery } from './parse.ts';

/** What a span must satisfy: `expression`, which is the same as any group of which it satisfies every condition. */
export type TagFilter = { expression: FieldExpr; groups: FieldExpr[][]; references: Reference[] };

/** More alternatives than this are refused: each is a query of its own in Tempo. */
export const tagFilterGroupsMax = 100;

/**
 * The filter, or undefined when the answer is to be unfiltered: text that stays unusable, several spansets, a
 * pipeline, an unscoped attribute, nothing but constants. Throws `TraceQLError` (kind `meaning`) for more than
 * `tagFilterGroupsMax` groups.
 */
export function parseTagFilter(text: string): TagFilter | undefined {
  const expression = parseSingleFilter(text) ?? parseSingleFilter(repaired(text));
  if (!expression) return undefined;
  const references = readsOfFilter(expression).map(({ reference }) => reference);
  if (references.length === 0 || references.some((r) => r.type === 'attribute' && r.scope === 'none')) return undefined;
  return { expression, groups: groupsOf(expression), references };
}

function parseSingleFilter(text: string | undefined): FieldExpr | undefined {
  if (text === undefined) return undefined;
  try {
    const query = parseQuery(text);
    checkQuery(query, text);
    const [stage, ...others] = query.pipeline;
    if (others.length > 0 || query.metrics || stage.type !== 'spanset') return undefined;
    return stage.expression.type === 'filter' ? stage.expression.expression : undefined;
  } catch (error) {
    if (error instanceof TraceQLError) return undefined;
    throw error;
  }
}

/** The text with its incomplete matchers dropped, or undefined when it is not one filter without parentheses. */
function repaired(text: string): string | undefined {
  const tokens = lex(text);
  if (!isSymbol(tokens[0], '{')) return undefined;
  const kept: string[] = [];
  let start = 1;
  let joint: LogicalOp | undefined;
  for (let at = 1; at < tokens.length; at++) {
    const token = tokens[at];
    if (isSymbol(token, '(') || isSymbol(token, ')') || isSymbol(token, '{')) return undefined;
    const isEnd = isSymbol(token, '}') || token.type === 'end' || token.type === 'error';
    if (!isEnd && !isSymbol(token, '&&') && !isSymbol(token, '||')) continue;
    const matcher = token.type === 'error' ? '' : text.slice(tokens[start]?.offset, token.offset);
    if (parseSingleFilter(`{${matcher}}`) && matcher.trim() !== '') {
      if (kept.length > 0) kept.push(joint!);
      kept.push(matcher);
    }
    if (isEnd) {
      const isLast = token.type !== 'symbol' || tokens[at + 1].type === 'end';
      return isLast && kept.length > 0 ? `{ ${kept.join(' ')} }` : undefined;
    }
    joint = token.type === 'symbol' ? (token.text as LogicalOp) : undefined;
    start = at + 1;
  }
  return undefined;
}

function isSymbol(token: Token, text: string): boolean {
  return token.type === 'symbol' && token.text === text;
}

/** Alternatives of conjunctions, by distributing `&&` over `||`. */
function groupsOf(expression: FieldExpr): FieldExpr[][] {
  const chain: (FieldExpr & { type: 'binary' })[] = [];
  let leftmost = expression;
  while (leftmost.type === 'binary' && (leftmost.op === '&&' || leftmost.op === '||')) {
    chain.push(leftmost);
    leftmost = leftmost.left;
  }
  let groups: FieldExpr[][] = [[leftmost]];
  for (const { op, right } of chain.toReversed()) {
    const others = groupsOf(right);
    if (op === '||') {
      groups.push(...others);
    } else if (others.length === 1) {
      for (const group of groups) for (const condition of others[0]) group.push(condition);
    } else {
      groups = groups.flatMap((group) => others.map((other) => [...group, ...other]));
    }
    if (groups.length > tagFilterGroupsMax) throw tooManyGroups(expression.offset);
  }
  return groups;
}

function tooManyGroups(offset: number): TraceQLError {
  const message =
    `maximum condition groups reached (limit: ${tagFilterGroupsMax}). ` +
    'Reduce the number of OR conditions in the query';
  return new TraceQLError('meaning', message, { offset, line: 1, column: offset + 1 });
}
