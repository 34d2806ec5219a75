/** Times on the command line: `now`, `now-1h`, RFC 3339, or Unix time. */
import { parsePromDuration } from '../config/duration.ts';
import { VivaceError } from '../runtime/errors.ts';
import { UsageError } from './usage-error.ts';

export interface TimeRange {
  startMs: number;
  endMs: number;
}

const RELATIVE = /^now(?:([-+])(.+))?$/;
const RFC3339 = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[-+]\d\d:\d\d)?)?$/;

/** The range of two arguments or of `--since`; undefined when none was given. Throws UsageError. */
export function timeRange(
  start: string | undefined,
  end: string | undefined,
  since: string | undefined,
  nowMs: number,
): TimeRange | undefined {
  if (since !== undefined) {
    if (start !== undefined) throw new UsageError('give --since or a start and an end, not both');
    return { startMs: nowMs - durationMs('--since', since), endMs: nowMs };
  }
  if (start === undefined) return undefined;
  const range = { startMs: timeMs('start', start, nowMs), endMs: timeMs('end', end ?? 'now', nowMs) };
  if (range.startMs >= range.endMs)
    throw new UsageError(`the start (${start}) must be before the end (${end ?? 'now'})`);
  return range;
}

/** Milliseconds since 1970. Throws UsageError. */
export function timeMs(name: string, text: string, nowMs: number): number {
  const relative = RELATIVE.exec(text);
  if (relative !== null) {
    const [, sign, duration] = relative;
    if (duration === undefined) return nowMs;
    return nowMs + (sign === '-' ? -1 : 1) * durationMs(name, duration);
  }
  // Up to ten digits are seconds, up to thirteen milliseconds, more nanoseconds.
  if (/^\d{1,19}$/.test(text)) {
    if (text.length <= 10) return Number(text) * 1000;
    return text.length <= 13 ? Number(text) : Number(text) / 1e6;
  }
  if (RFC3339.test(text)) {
    // A time without a zone is in UTC, like those that are printed.
    const zoned = /[Zz]$|[-+]\d\d:\d\d$/.test(text) || text.length === 10 ? text : `${text}Z`;
    const ms = Date.parse(zoned.replace(' ', 'T'));
    if (!Number.isNaN(ms)) return ms;
  }
  throw new UsageError(`${name} is no time: ${text}; write now, now-1h, 2026-01-31T12:00:00Z or Unix seconds`);
}

function durationMs(name: string, text: string): number {
  try {
    return parsePromDuration(text);
  } catch (error) {
    if (error instanceof VivaceError) throw new UsageError(`${name} is no duration: ${text}; write 30m, 1h or 2d`);
    throw error;
  }
}
