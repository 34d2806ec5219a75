/** Names and values of attributes, in the JSON of the API, as lines: names as TraceQL writes them, one a line. */
import { terminalTable } from './table.ts';
import type { Terminal } from './terminal.ts';
import { clean } from './text.ts';

/** `/api/v2/search/tags`. */
export function tagNameLines(text: string): string[] {
  const body = JSON.parse(text) as { scopes?: { name: string; tags?: string[] }[] };
  const byScope = new Map<string, string[]>();
  // A stream may divide a scope into several.
  for (const { name, tags = [] } of body.scopes ?? []) byScope.set(name, [...(byScope.get(name) ?? []), ...tags]);
  return [...byScope].flatMap(([scope, tags]) =>
    [...new Set(tags)].sort().map((tag) => clean(scope === 'intrinsic' ? tag : `${scope}.${quoted(tag)}`)),
  );
}

/** Keys that TraceQL can not read bare stand in quotes. */
function quoted(key: string): string {
  return /[\s"'`{}()=~!<>&|^,\\+*]/.test(key) || key === '' ? JSON.stringify(key) : key;
}

/** `/api/v2/search/tag/…/values`. */
export function tagValueLines(text: string, terminal: Terminal): string[] {
  const body = JSON.parse(text) as { tagValues?: { type: string; value?: string }[] };
  const values = (body.tagValues ?? []).map(({ type, value = '' }) => ({ type, value }));
  if (values.length === 0) return [];
  values.sort((a, b) => (a.type < b.type ? -1 : a.type > b.type ? 1 : compare(a.type, a.value, b.value)));
  const rows = values.map(({ type, value }) => [type, value === '' ? '(empty)' : clean(value)]);
  return terminalTable([{ title: 'type' }, { title: 'value', shrinkTo: 20 }], rows, terminal);
}

function compare(type: string, a: string, b: string): number {
  const numbers = type === 'int' || type === 'float' ? Number(a) - Number(b) : Number.NaN;
  if (!Number.isNaN(numbers) && numbers !== 0) return numbers;
  return a < b ? -1 : a > b ? 1 : 0;
}
