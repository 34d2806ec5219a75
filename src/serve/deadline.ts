/** A limit on the time of one question, beside the client's patience. */
import { VivaceError } from '../runtime/errors.ts';

/**
 * What `work` makes of a signal that is also aborted after `ms` (0: never). Rejects with `deadline`, naming the setting, when
 * work then rejects.
 */
export async function withDeadline<T>(
  ms: number,
  setting: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (ms <= 0) return work(signal);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ms);
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    if (!late.signal.aborted || signal.aborted) throw error;
    throw new VivaceError(
      'deadline',
      `context deadline exceeded: no answer within ${ms} ms; narrow the range of the query or raise ${setting}`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}
