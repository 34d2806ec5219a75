/** Tells how an answer differs from what is known to be right. */
import fs from 'node:fs';
import type { GoldenQuery } from './queries.ts';

export interface Answer {
  status: number;
  /** Content type, when it counts. */
  type?: string;
  body?: unknown;
}

/** Of a recorded answer: what the same release answered from another kind of storage. */
export interface RecordedAnswer extends Answer {
  also?: Answer[];
}

export type Answers = { [name: string]: RecordedAnswer };

export function readAnswers(file: string): Answers {
  return JSON.parse(fs.readFileSync(new URL(file, import.meta.url), 'utf8'));
}

/** One answer a line, so that a change can be read. */
export function writeAnswers(file: string, answers: Answers): void {
  const names = Object.keys(answers).sort();
  const lines = names.map((name) => `${JSON.stringify(name)}: ${JSON.stringify(answers[name])}`);
  fs.writeFileSync(new URL(file, import.meta.url), lines.length === 0 ? '{}\n' : `{\n${lines.join(',\n')}\n}\n`);
}

/** How an answer differs from all that would be right, as a short text; undefined when it is one of them. */
export function differenceOf(
  query: GoldenQuery,
  actual: Answer,
  expected: Answers,
  alternatives: Answers,
): string | undefined {
  if (query.accept?.includes(actual.status)) return undefined;
  const right = [
    ...versions(expected[query.name]),
    ...(query.alternatives ? versions(alternatives[query.name]) : []),
    ...(query.orLike ? versions(expected[query.orLike]) : []),
  ];
  const differences = right.map((answer) => difference(answer, actual, query.loose ?? false));
  return differences.includes(undefined) ? undefined : differences[0];
}

function versions(answer: RecordedAnswer | undefined): Answer[] {
  if (answer === undefined) return [];
  const { also = [], ...first } = answer;
  return [first, ...also];
}

function difference(expected: Answer, actual: Answer, loose: boolean): string | undefined {
  if (expected.status !== actual.status) {
    const text = typeof actual.body === 'string' ? ` (${clip(actual.body)})` : '';
    return `status ${actual.status} instead of ${expected.status}${text}`;
  }
  if (expected.type !== actual.type) return `content type ${actual.type} instead of ${expected.type}`;
  return loose ? undefined : descend(expected.body, actual.body, '');
}

type Node = { [key: string]: unknown };

function descend(expected: unknown, actual: unknown, at: string): string | undefined {
  if (JSON.stringify(expected) === JSON.stringify(actual)) return undefined;
  if (Array.isArray(expected) && Array.isArray(actual)) {
    const lost = absent(expected, actual);
    const extra = absent(actual, expected);
    if (lost.length > 0 || extra.length > 0)
      return `${at || 'body'}: ${lost.length} of ${expected.length} missing${first(lost)}, ${extra.length} unexpected${first(extra)}`;
    const there = new Map(actual.map((each) => [label(each), each]));
    for (const each of expected) {
      const found = descend(each, there.get(label(each)), `${at}[${clip(label(each), 40)}]`);
      if (found !== undefined) return found;
    }
    return `${at}: repeated entries`;
  }
  if (isObject(expected) && isObject(actual)) {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
      const found = descend(expected[key], actual[key], at ? `${at}.${key}` : key);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return `${at || 'body'}: ${clip(show(actual))} instead of ${clip(show(expected))}`;
}

function absent(list: unknown[], other: unknown[]): unknown[] {
  const labels = new Set(other.map(label));
  return list.filter((each) => !labels.has(label(each)));
}

/** What tells an entry of a list from the others: an id, labels, a group; of a sample its time; else all of it. */
function label(entry: unknown): string {
  if (Array.isArray(entry) && typeof entry[0] === 'number') return String(entry[0]);
  if (!isObject(entry)) return show(entry);
  if (typeof entry.id === 'string') return entry.id;
  if (entry.labels !== undefined) return show(entry.labels);
  if (entry.resource !== undefined) return show([entry.resource, entry.scope]);
  return show(entry.matched !== undefined ? (entry.attributes ?? 'only') : entry);
}

function isObject(value: unknown): value is Node {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function first(list: unknown[]): string {
  return list.length > 0 ? ` (${clip(label(list[0]))})` : '';
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

function clip(text: string, length = 160): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
