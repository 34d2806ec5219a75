import { RE2JS } from 're2js';

/**
 * The pattern of `=~` and `!~` as a predicate: RE2 syntax, the whole value must match, the dot matches line breaks.
 * Matching takes linear time whatever the pattern. Undefined for a pattern that RE2 does not know.
 */
export function compileRegex(pattern: string): ((text: string) => boolean) | undefined {
  try {
    const compiled = RE2JS.compile(pattern, RE2JS.DOTALL);
    return (text) => compiled.matches(text);
  } catch {
    return undefined;
  }
}
