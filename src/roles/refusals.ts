/** What a refused request counts as in metrics and logs. */
import { VivaceError } from '../runtime/errors.ts';

/** A request whose spans count as discarded: not one that is to be sent again because there was no room. */
export function isDiscarded(error: unknown): boolean {
  if (!(error instanceof VivaceError)) return false;
  return error.message.startsWith('RATE_LIMITED') || invalidIds(error) !== undefined;
}

/** Tempo's word for spans whose request was refused for an id. */
export function invalidIds(error: unknown): string | undefined {
  if (!(error instanceof VivaceError) || error.code !== 'invalid') return undefined;
  if (error.message.startsWith('trace ids ')) return 'invalid_trace_id';
  return error.message.startsWith('span ids ') ? 'invalid_span_id' : undefined;
}
