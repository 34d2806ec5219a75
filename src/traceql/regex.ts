import { RE2JS } from 're2js';

/** Patterns that are kept compiled, and the longest of them together: filters compile theirs for each part of the data. */
const KEPT_MAX = 32;
const KEPT_CHARACTERS_MAX = 512 * 1024;

const kept = new Map<string, ((text: string) => boolean) | undefined>();
let keptCharacters = 0;

/**
 * The pattern of `=~` and `!~` as a predicate: RE2 syntax, the whole value must match, the dot matches line breaks.
 * Matching takes linear time whatever the pattern. Undefined for a pattern that RE2 does not know.
 */
export function compileRegex(pattern: string): ((text: string) => boolean) | undefined {
  if (kept.has(pattern)) return kept.get(pattern);
  const compiled = compile(pattern);
  kept.set(pattern, compiled);
  keptCharacters += pattern.length;
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT_MAX && keptCharacters <= KEPT_CHARACTERS_MAX) break;
    kept.delete(oldest);
    keptCharacters -= oldest.length;
  }
  return compiled;
}

function compile(pattern: string): ((text: string) => boolean) | undefined {
  const texts = alternatives(pattern);
  if (texts !== undefined) return (text) => texts.has(text);
  try {
    const compiled = RE2JS.compile(pattern, RE2JS.DOTALL);
    return (text) => compiled.matches(text);
  } catch {
    return undefined;
  }
}

/** The texts of `a|b|c`, which dashboards write for variables with many values: a table tells them as fast as one. */
function alternatives(pattern: string): Set<string> | undefined {
  const inner = /^\((?:\?:)?([^()]*)\)$/.exec(pattern)?.[1] ?? pattern;
  return /[\\^$.*+?()[\]{}]/.test(inner) ? undefined : new Set(inner.split('|'));
}
