/**
 * Reads queries/*.json. A file is one theme:
 *
 *     { "theme": "…", "path": "/api/search", "params": {…}, "queries": [ {"name": "…", "q": "{ … }", …}, … ] }
 *
 * A query takes path and params from its file unless it has a path of its own; `q` is short for params.q, and a param
 * that is null is not sent. Values and path may contain {start}, {end-23}, {start+600:ns}, {end:rfc3339}, and {x*140000}
 * for that many letters.
 */
import fs from 'node:fs';

export interface GoldenQuery {
  name: string;
  path: string;
  params: { [name: string]: string | null };
  method?: string;
  headers?: { [name: string]: string };
  /**
   * What of the answer counts: all of it (default), the status alone, its top-level names; of a search which spans,
   * how many spans, how many traces; of metrics the exemplars as well, or only the values at each instant; of tags
   * only names that Tempo does not list always.
   */
  compare?: 'full' | 'status' | 'keys' | 'spans' | 'matched' | 'count' | 'exemplars' | 'values' | 'specific';
  /** The content type counts, too. */
  type?: boolean;
  /** Trace ids of a search are compared as written, zeros on the left included. */
  raw?: boolean;
  /** The status is enough, whatever the text of the error. */
  loose?: boolean;
  /** Statuses that will do as well, whatever the body. */
  accept?: number[];
  /** The answer of Tempo 2.9 will do. */
  alternatives?: boolean;
  /** The answer to that other query will do: what a reader of the manual would expect. */
  orLike?: string;
  /** What is surprising about the recorded answer. */
  quirk?: string;
}

const folder = new URL('queries/', import.meta.url);

export function readQueries(): GoldenQuery[] {
  const queries: GoldenQuery[] = [];
  for (const file of fs.readdirSync(folder).sort()) {
    const theme = JSON.parse(fs.readFileSync(new URL(file, folder), 'utf8'));
    for (const { q, ...query } of theme.queries)
      queries.push({
        path: theme.path,
        ...query,
        params: { ...(query.path ? {} : theme.params), ...query.params, ...(q !== undefined && { q }) },
      });
  }
  const names = new Set(queries.map(({ name }) => name));
  if (names.size !== queries.length) throw new Error('cannot read the golden queries: two have one name');
  return queries;
}
