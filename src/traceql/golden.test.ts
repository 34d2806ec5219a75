/**
 * Runs the cases of `tests/golden/traceql`: one a line, `text => canonical form` or `text !! error`. A line break
 * inside a case is written `⏎`. Every accepted query is also printed, parsed again and compared.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkQuery } from './check.ts';
import { TraceQLError } from './error.ts';
import { parseIdentifier, parseQuery } from './parse.ts';
import { printField, printQuery, printReference } from './print.ts';
import { parseTagFilter } from './tag-filter.ts';

const folder = new URL('../../tests/golden/traceql/', import.meta.url);

/** What a file's lines are, when they are not queries. */
const otherFiles: Record<string, (text: string) => string> = {
  'identifiers.txt': (text) => printReference(parseIdentifier(text)),
  'tag-filters.txt': (text) => {
    const groups = parseTagFilter(text)?.groups;
    return groups?.map((group) => group.map(printField).join(' ; ')).join(' | ') ?? 'unfiltered';
  },
};

for (const file of readdirSync(folder)) {
  test(`golden ${file}`, () => {
    const run = otherFiles[file] ?? canonicalQuery;
    const lines = readFileSync(new URL(file, folder), 'utf8').split('\n').filter(Boolean);
    assert.ok(lines.length > 0);
    for (const line of lines) {
      const [, input, mark] = /^(.*?) (=>|!!) /.exec(line) ?? assert.fail(`no case: ${line}`);
      assert.equal(`${input} ${mark} ${outcome(run, input)}`, line);
    }
  });
}

function outcome(run: (text: string) => string, input: string): string {
  try {
    return run(input.replaceAll('⏎', '\n')).replaceAll('\n', '⏎');
  } catch (error) {
    if (error instanceof TraceQLError) return error.message;
    throw error;
  }
}

function canonicalQuery(text: string): string {
  const query = parseQuery(text);
  checkQuery(query, text);
  const printed = printQuery(query);
  assert.deepEqual(withoutOffsets(parseQuery(printed)), withoutOffsets(query), text);
  return printed;
}

function withoutOffsets(tree: unknown): unknown {
  if (Array.isArray(tree)) return tree.map(withoutOffsets);
  if (typeof tree !== 'object' || tree === null) return tree;
  const entries = Object.entries(tree).filter(([key]) => key !== 'offset');
  return Object.fromEntries(entries.map(([key, value]) => [key, withoutOffsets(value)]));
}
