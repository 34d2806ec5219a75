/** `query_frontend.url_deny_list`: requests whose path and parameters match one of these patterns are refused. */
import { RE2JS } from 're2js';
import { VivaceError } from '../runtime/errors.ts';

/** Throws `invalid` at once for a pattern that RE2 does not know; the function throws it for a URL that is denied. */
export function denyList(patterns: readonly string[]): (url: string) => void {
  const compiled = patterns.map((pattern) => {
    try {
      return RE2JS.compile(pattern);
    } catch (cause) {
      throw new VivaceError(
        'invalid',
        `cannot use ${JSON.stringify(pattern)} in query_frontend.url_deny_list: it is no regular expression that RE2 knows`,
        { cause },
      );
    }
  });
  return (url) => {
    if (compiled.some((pattern) => pattern.matcher(url).find()))
      throw new VivaceError('invalid', 'the request is refused: its URL is on query_frontend.url_deny_list');
  };
}
