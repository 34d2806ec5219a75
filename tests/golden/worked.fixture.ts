/**
 * The cases of `worked/search.txt`: what queries find in the spans of `worked/spans.json` (src/query/worked.fixture.ts has the
 * same), one a line; `worked/metrics.txt` is read where metrics are tested. For defects of the reference a line says what is
 * recommended.
 *
 *     query => spans / spans [attribute=value, …] / …       query !! error       `–` is nothing
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';

export interface WorkedCase {
  line: string;
  query: string;
  /** A spanset each, sorted. */
  answer?: string[];
  error?: string;
}

export function workedCases(): WorkedCase[] {
  const lines = fs
    .readFileSync(new URL('worked/search.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean);
  return lines.map((line) => {
    const [, query, mark, result] = /^(.*?) (=>|!!) (.*)$/.exec(line) ?? assert.fail(`no case: ${line}`);
    if (mark === '!!') return { line, query, error: result };
    return { line, query, answer: result === '–' ? [] : result.split(' / ').sort() };
  });
}
